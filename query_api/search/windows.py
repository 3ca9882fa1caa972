"""Windows: the order in which a search by time goes through the spans.

How many spans each day has is known without reading any. A window is cut so that it holds about
`FIRST_ROWS` spans, the next one four times as many, and so on: a search that finds enough at once reads
little whatever is stored, and one that finds nothing makes few steps. Days without spans cost nothing.
Where a condition sorts most spans out the first window may be larger: a query of its own takes 5 ms,
in which a day's 300,000 values of a column or two are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

FIRST_ROWS = 20_000
MOST_ROWS = 4_000_000

# The parts of this server. Their bounds are whole seconds of 32 bits, and so has the last start that the gate
# lets in. They are those of all projects: bounds need not be tight, and no row has to be read for them. A
# part that is alone in its day and was merged has each span once.
PARTS_SQL = """
SELECT
    1000000000 * toInt64(toUnixTimestamp(min(min_time))) AS first_ns,
    1000000000 * (1 + toInt64(toUnixTimestamp(max(max_time)))) - 1 AS last_ns,
    sum(rows) AS row_count,
    count() = 1 AND min(level) > 0 AS each_once
FROM system.parts
WHERE database = currentDatabase() AND table = 'spans' AND active
GROUP BY partition_id
ORDER BY first_ns DESC
"""
# The same where the user may not see parts, or `spans` is spread over servers.
DAYS_SQL = """
SELECT
    toUnixTimestamp64Nano(min(start_time)) AS first_ns,
    toUnixTimestamp64Nano(max(start_time)) AS last_ns,
    count() AS row_count
FROM spans
GROUP BY _partition_id
ORDER BY first_ns DESC
"""


# Spans that start in a time, with the parameters `since` and `until` in nanoseconds.
STARTS_WITHIN = (
    "start_time >= fromUnixTimestamp64Nano({since:Int64}, 'UTC') "
    "AND start_time < fromUnixTimestamp64Nano({until:Int64}, 'UTC')"
)


class Day(NamedTuple):
    """What a day has: its first and last start, how many rows, and whether each span surely is there once."""

    first_ns: int
    last_ns: int
    rows: int
    each_once: bool = False


class Window(NamedTuple):
    """From `since_ns` until before `until_ns`."""

    since_ns: int
    until_ns: int


def stored_days(client: Client) -> list[Day]:
    """The days that have spans, newest first."""
    try:
        days = [Day(*row) for row in client.query(PARTS_SQL).result_rows]
    except ClickHouseError:
        days = []
    return days or [Day(*row) for row in client.query(DAYS_SQL).result_rows]


def may_have_copies(days: list[Day], starts_ns: Iterable[int]) -> bool:
    """Whether a span that starts at one of these moments may be stored more than once.

    Asked of days that were looked up before the spans were read: what arrived since counts as later.
    """
    once = [(day.first_ns, day.last_ns) for day in days if day.each_once]
    return not all(any(first <= start <= last for first, last in once) for start in starts_ns)


def rows_between(days: list[Day], since_ns: int, until_ns: int) -> int:
    """About how many rows of all projects start in a time; never fewer than one where there may be any."""
    return sum(
        max(1, day.rows * (last - first) // (day.last_ns + 1 - day.first_ns))
        for day in days
        if (first := max(day.first_ns, since_ns)) < (last := min(day.last_ns + 1, until_ns))
    )


def windows(
    days: list[Day],
    since_ns: int,
    until_ns: int,
    *,
    newest_first: bool = True,
    first_rows: int | None = None,
) -> Iterator[Window]:
    """Windows, one behind the other, that cover every stored span from `since_ns` until before `until_ns`."""
    first_rows = first_rows or FIRST_ROWS
    if newest_first:
        yield from _backward(days, since_ns, until_ns, first_rows)
        return
    # Time turned round: the same steps from the other end.
    mirrored = [Day(-day.last_ns, -day.first_ns, day.rows) for day in reversed(days)]
    for window in _backward(mirrored, 1 - until_ns, 1 - since_ns, first_rows):
        yield Window(1 - window.until_ns, 1 - window.since_ns)


def _backward(days: list[Day], since_ns: int, until_ns: int, first_rows: int) -> Iterator[Window]:
    rows_wanted = room = first_rows
    top = bottom = None
    for day in days:
        first, last = max(day.first_ns, since_ns), min(day.last_ns + 1, until_ns)
        if first >= last:
            continue
        rows = max(1, day.rows * (last - first) // (day.last_ns + 1 - day.first_ns))
        top = last if top is None else top
        while rows > room and last - first > 1:
            cut = last - max(1, (last - first) * room // rows)
            yield Window(cut, top)
            rows -= room
            rows_wanted = room = min(4 * rows_wanted, MOST_ROWS)
            top = last = cut
        room = max(0, room - rows)
        bottom = first
    if top is not None and bottom is not None:
        yield Window(bottom, top)


def samples(days: list[Day], since_ns: int, until_ns: int, *, rows: int, pieces: int) -> list[Window]:
    """Pieces of a time, spread over its rows, that hold about `rows` of them together."""
    inside = [
        (first, last)
        for day in sorted(days)
        if (first := max(day.first_ns, since_ns)) < (last := min(day.last_ns + 1, until_ns))
    ]
    counts = [rows_between(days, *piece) for piece in inside]
    step = sum(counts) / pieces
    found: list[Window] = []
    for n in range(pieces):
        wanted = (n + 0.5) * step
        for (first, last), count in zip(inside, counts, strict=True):
            if wanted < count:
                size = max(1, (last - first) * rows // (pieces * count))
                since = max(first, min(last - size, first + int((last - first) * wanted / count)))
                since = max([since, *(window.until_ns for window in found)])
                if since < last:
                    found.append(Window(since, min(last, since + size)))
                break
            wanted -= count
    return found
