"""Conversations and users: what all spans of one amount to, and the list of them, newest first.

A span belongs to the conversation that it names, else to the first that a span of its trace names; so do
users. A list goes by the spans that name one: windows of time (search/windows.py) give those that were named
last, and then all of their spans are summed up, wherever they lie.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from clickhouse_connect.driver.client import Client

from spanledger.query_api.search.cursors import Position
from spanledger.query_api.search.fields import FIELDS
from spanledger.query_api.search.windows import STARTS_WITHIN, Window, stored_days, windows
from spanledger.query_api.stats.inherited import joined, own_or_of_trace
from spanledger.query_api.stats.measures import Measure, answer, columns
from spanledger.query_api.times import LATEST_NS, format_time, milliseconds
from spanledger.schemas.errors import NotFound

Kind = Literal["conversation", "user"]

_MEASURES: tuple[Measure, ...] = ("tokens", "cost")
_MEASURED = ", ".join(f"{sql} AS m_{name}" for name, sql in columns("spans", _MEASURES))
_MODEL = FIELDS["model"].sql

# Two that were named last at the same time stand in the order of a hash, which fits into a cursor.
_CANDIDATES_SQL = f"""
SELECT
    {{column}} AS id,
    toUnixTimestamp64Nano(max(start_time)) AS last_ns,
    lower(hex(sipHash128(id))) AS place
FROM spans FINAL
WHERE project = {{{{project:String}}}} AND {STARTS_WITHIN.replace("{", "{{").replace("}", "}}")}
    AND {{column}} != ''{{condition}}
GROUP BY id
HAVING (last_ns, place) < ({{{{before_ns:Int64}}}}, {{{{before:String}}}})
ORDER BY last_ns DESC, place DESC
LIMIT {{{{most:UInt32}}}}
"""  # noqa: S608 - constants
_NEWER_SQL = f"""
SELECT DISTINCT {{column}} FROM spans FINAL
WHERE project = {{{{project:String}}}} AND {STARTS_WITHIN.replace("{", "{{").replace("}", "}}")}
    AND {{column}} IN {{{{ids:Array(String)}}}}{{condition}}
"""  # noqa: S608 - constants
_OF_USER = """
    AND (user_id = {user:String} OR trace_id IN (
        SELECT trace_id FROM spans FINAL WHERE project = {project:String} AND user_id = {user:String}
    ))"""


class Asked(NamedTuple):
    """Conversations or users that a span of this time names; conversations of this user only, if given."""

    kind: Kind
    since_ns: int = 0
    until_ns: int = LATEST_NS
    user: str | None = None


class _Place(NamedTuple):
    """One that was found: it was last named at `last_ns` (within what is asked for)."""

    session_id: str
    last_ns: int
    hashed: str


def list_sessions(
    client: Client, project: str, asked: Asked, *, limit: int, after: Position | None
) -> tuple[list[dict[str, Any]], Position | None]:
    """Up to `limit` summaries behind `after`, and the position to go on from."""
    found: list[_Place] = []
    for place in _found(client, project, asked, limit + 1, after):
        found.append(place)
        if len(found) > limit:
            break
    shown = found[:limit]
    known = summaries(client, project, asked.kind, [place.session_id for place in shown])
    rows = [
        known[place.session_id] | {"last_named_at": format_time(place.last_ns)}
        for place in shown
        if place.session_id in known
    ]
    position = Position(shown[-1].last_ns, shown[-1].hashed) if len(found) > limit else None
    return rows, position


def _found(client: Client, project: str, asked: Asked, most: int, after: Position | None) -> Iterator[_Place]:
    before = after or Position(LATEST_NS, "ff" * 16)
    until = min(asked.until_ns, before.start_ns + 1)
    for window in windows(stored_days(client), asked.since_ns, until):
        place = before
        while True:
            batch = _candidates(client, project, asked, window, before=place, most=most)
            newer = _newer(client, project, asked, window, batch)
            yield from (each for each in batch if each.session_id not in newer)
            if len(batch) < most:
                break
            place = Position(batch[-1].last_ns, batch[-1].hashed)


def _candidates(
    client: Client, project: str, asked: Asked, window: Window, *, before: Position, most: int
) -> list[_Place]:
    parameters = _parameters(project, asked, window.since_ns, window.until_ns) | {
        "before_ns": before.start_ns,
        "before": before.trace_id,
        "most": most,
    }
    return [_Place(*row) for row in client.query(_sql(_CANDIDATES_SQL, asked), parameters).result_rows]


def _newer(
    client: Client, project: str, asked: Asked, window: Window, batch: Sequence[_Place]
) -> frozenset[str]:
    """Those that a newer span names as well: they stand further up in the list."""
    if not batch or window.until_ns >= asked.until_ns:
        return frozenset()
    parameters = _parameters(project, asked, window.until_ns, asked.until_ns)
    parameters["ids"] = [place.session_id for place in batch]
    rows = client.query(_sql(_NEWER_SQL, asked), parameters).result_rows
    return frozenset(row[0] for row in rows)


def _sql(text: str, asked: Asked) -> str:
    condition = "" if asked.user is None else _OF_USER
    return text.format(column=FIELDS[asked.kind].sql, condition=condition)


def _parameters(project: str, asked: Asked, since_ns: int, until_ns: int) -> dict[str, Any]:
    given = {} if asked.user is None else {"user": asked.user}
    return {"project": project, "since": since_ns, "until": until_ns, **given}


# --- what one amounts to


def source(kind: Kind) -> str:
    """FROM and WHERE of all spans of those in the parameter `ids`, with `who` as the one that each is of."""
    column = FIELDS[kind].sql
    # Without FINAL, which can only find too many.
    traces = (
        "trace_id IN (SELECT trace_id FROM spans WHERE project = {project:String} "  # noqa: S608
        f"AND {column} IN {{ids:Array(String)}})"
    )
    return (
        f"FROM (SELECT *, {own_or_of_trace(kind)} AS who FROM spans FINAL{joined([kind], traces)} "  # noqa: S608
        f"WHERE project = {{project:String}} AND {traces}) WHERE who IN {{ids:Array(String)}}"
    )


def measured_sql() -> str:
    """Columns for `measured`."""
    return (
        f"{_MEASURED}, toUnixTimestamp64Nano(min(start_time)) AS first_ns, "
        "toUnixTimestamp64Nano(max(greatest(start_time, end_time))) AS last_ns, "
        "uniqExact(trace_id) AS traces, "
        f"arraySort(groupUniqArrayIf(toString({_MODEL}), {_MODEL} != '')) AS models"
    )


def measured(row: Mapping[str, Any]) -> dict[str, Any]:
    """What spans amount to, from `measured_sql`."""
    counts = {name.removeprefix("m_"): value for name, value in row.items() if name.startswith("m_")}
    return {
        "first_time": format_time(row["first_ns"]),
        "last_time": format_time(row["last_ns"]),
        "duration_ms": milliseconds(row["last_ns"] - row["first_ns"]),
        **answer("spans", _MEASURES, counts),
        "models": list(row["models"]),
    }


def summaries(client: Client, project: str, kind: Kind, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What all spans of each amount to, by id."""
    if not ids:
        return {}
    result = client.query(
        f"SELECT who, {measured_sql()} {source(kind)} GROUP BY who",
        parameters={"project": project, "ids": list(ids)},
    )
    return {
        row["who"]: {"id": row["who"], "traces": row["traces"]} | measured(row)
        for row in result.named_results()
    }


def summary(client: Client, project: str, kind: Kind, session_id: str) -> dict[str, Any]:
    """The same of one; NotFound where no span is of it."""
    found = summaries(client, project, kind, [session_id])
    if session_id not in found:
        raise NotFound(f"No {kind} {session_id[:100]!r} is stored")
    return found[session_id]
