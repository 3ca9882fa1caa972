"""Counts: how many spans or traces a search means in all, counted where they are few and else estimated.

An estimate takes pieces of the time, spread over its spans, counts in these and multiplies.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from clickhouse_connect.driver.client import Client

from spanledger.query_api.search.conditions import compiled
from spanledger.query_api.search.inherited import settled, settled_where
from spanledger.query_api.search.spans import SpanSearch
from spanledger.query_api.search.traces import Search, found_by_time
from spanledger.query_api.search.windows import STARTS_WITHIN, Day, Window, samples

# Rows among which is counted, and in how many pieces.
SPAN_ROWS, SPAN_PIECES = 50_000, 5
TRACE_ROWS, TRACE_PIECES = 10_000, 3
_TRACES_AT_ONCE = 500

DAYS_SQL = f"""
SELECT
    toUnixTimestamp64Nano(min(start_time)), toUnixTimestamp64Nano(max(start_time)), count()
FROM spans
WHERE project = {{project:String}} AND {STARTS_WITHIN}
GROUP BY toDate(start_time)
"""  # noqa: S608 - constants
COUNT_SQL = """
SELECT countIf({condition}), count()
FROM spans FINAL
WHERE project = {{project:String}} AND {in_time}
"""


class Estimate(NamedTuple):
    """`exact`: counted, and not extrapolated."""

    number: int
    exact: bool


def count_spans(client: Client, project: str, search: SpanSearch) -> Estimate:
    """How many spans fulfil the condition."""
    condition = compiled(settled(client, project, search.condition))

    def count(window: Window) -> tuple[int, int]:
        parameters = {"project": project, "since": window.since_ns, "until": window.until_ns}
        sql = COUNT_SQL.format(condition=condition.text, in_time=STARTS_WITHIN)
        [[fitting, rows]] = client.query(sql, parameters=parameters | condition.parameters).result_rows
        return fitting, rows

    days = _days(client, project, search.since_ns, search.until_ns)
    return _estimate(days, search.since_ns, search.until_ns, count, rows=SPAN_ROWS, pieces=SPAN_PIECES)


def count_traces(client: Client, project: str, search: Search) -> Estimate:
    """How many traces fit."""
    search = search._replace(where=settled_where(client, project, search.where))

    def count(window: Window) -> tuple[int, int]:
        inside = search._replace(
            since_ns=window.since_ns, until_ns=window.until_ns, sort="time", order="desc"
        )
        found = sum(1 for _ in found_by_time(client, project, inside, _TRACES_AT_ONCE, None))
        rows = sum(day.rows for day in _days(client, project, window.since_ns, window.until_ns))
        return found, rows

    days = _days(client, project, search.since_ns, search.until_ns)
    return _estimate(days, search.since_ns, search.until_ns, count, rows=TRACE_ROWS, pieces=TRACE_PIECES)


def _estimate(
    days: list[Day],
    since_ns: int,
    until_ns: int,
    count: Callable[[Window], tuple[int, int]],
    *,
    rows: int,
    pieces: int,
) -> Estimate:
    total = sum(day.rows for day in days)
    if total <= rows:
        return Estimate(count(Window(since_ns, until_ns))[0] if total else 0, exact=True)
    counted = [count(window) for window in samples(days, since_ns, until_ns, rows=rows, pieces=pieces)]
    looked_at = sum(part for _, part in counted)
    found = sum(part for part, _ in counted)
    return Estimate(round(total * found / looked_at) if looked_at else 0, exact=False)


def _days(client: Client, project: str, since_ns: int, until_ns: int) -> list[Day]:
    """The days of the project, with the rows that are stored, copies included."""
    parameters = {"project": project, "since": since_ns, "until": until_ns}
    return sorted(Day(*row) for row in client.query(DAYS_SQL, parameters=parameters).result_rows)
