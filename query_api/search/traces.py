"""Traces: what a whole trace amounts to, and the list of them, newest first.

A trace starts when its earliest span starts, however many days lie between its spans. So the list is
found in steps: a window of time (see windows.py) gives the traces that have a span in it, by the earliest
there. Then the spans of these are looked up wherever they lie, through the index on trace ids. A trace
that really starts where the window said is summed up and stands in the list; an older window will find
the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from clickhouse_connect.driver.client import Client

from spanledger.query_api.search.cursors import Position
from spanledger.query_api.search.windows import Window, stored_days, windows
from spanledger.query_api.times import LATEST_NS, format_time, milliseconds
from spanledger.query_api.values import money
from spanledger.schemas.api import Status

_END_OF_LIST = Position(LATEST_NS, "ff" * 16)
_MOST_AT_ONCE = 500

# FINAL gives each span once, as it was received last. The root is the first of: spans without a parent,
# spans whose parent is not stored, all others; within these the earliest.
SUMMARY_SQL = """
WITH asked AS (SELECT toFixedString(unhex(arrayJoin({trace_ids:Array(String)})), 16))
SELECT
    lower(hex(trace_id)) AS id,
    argMin(
        tuple(lower(hex(span_id)), name, service, status_code),
        tuple(multiIf(
            parent_span_id = toFixedString('', 8), 0,
            (trace_id, parent_span_id) NOT IN (
                SELECT trace_id, span_id FROM spans
                WHERE project = {project:String} AND trace_id IN (asked)
                    AND start_time >= fromUnixTimestamp64Nano({first:Int64}, 'UTC')
                    AND start_time <= fromUnixTimestamp64Nano({last:Int64}, 'UTC')
            ), 1,
            2
        ), start_time, span_id)
    ) AS root,
    toUnixTimestamp64Nano(min(start_time)) AS start_ns,
    toUnixTimestamp64Nano(max(greatest(start_time, end_time))) AS end_ns,
    count() AS span_count,
    countIf(status_code = 2) AS error_count,
    countIf(counted AND role = 'LLM') AS llm_call_count,
    sumIf(toUInt128(input_tokens), counted) AS input_tokens,
    sumIf(toUInt128(output_tokens), counted) AS output_tokens,
    sumIf(cost_usd, counted) AS cost,
    countIf(counted AND cost_usd IS NULL) AS unpriced,
    arraySort(groupUniqArrayIf(
        toString(if(response_model = '', request_model, response_model)),
        response_model != '' OR request_model != ''
    )) AS models,
    argMinIf(conversation_id, (start_time, span_id), conversation_id != '') AS conversation,
    argMinIf(user_id, (start_time, span_id), user_id != '') AS user,
    argMinIf(toString(experiment_id), (start_time, span_id), experiment_id != '') AS experiment,
    groupUniqArray(toString(service)) AS services,
    arrayConcat(
        groupUniqArray(toString(request_model)), groupUniqArray(toString(response_model))
    ) AS any_model
FROM spans FINAL
WHERE project = {project:String} AND trace_id IN (asked)
    AND start_time >= fromUnixTimestamp64Nano({first:Int64}, 'UTC')
    AND start_time <= fromUnixTimestamp64Nano({last:Int64}, 'UTC')
GROUP BY trace_id
"""

# Neither a minimum nor the being there of a span depends on how often it is stored: no FINAL from here on.
# The index on trace ids is right about few ids and errs about many, so this reads as little as it can.
EXTENTS_SQL = """
SELECT
    lower(hex(trace_id)) AS id,
    toUnixTimestamp64Nano(min(start_time)) AS first_ns,
    toUnixTimestamp64Nano(max(start_time)) AS last_ns
FROM spans
WHERE project = {project:String}
    AND trace_id IN (SELECT toFixedString(unhex(arrayJoin({trace_ids:Array(String)})), 16))
GROUP BY trace_id
"""

CANDIDATES_SQL = """
SELECT lower(hex(trace_id)) AS id, toUnixTimestamp64Nano(min(start_time)) AS start_ns
FROM spans
WHERE project = {project:String}
    AND start_time >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')
    AND start_time < fromUnixTimestamp64Nano({until:Int64}, 'UTC')
"""
CANDIDATES_END_SQL = """
GROUP BY trace_id
HAVING start_ns < {before:Int64} OR (start_ns = {before:Int64} AND id < {before_id:String})
ORDER BY start_ns DESC, id DESC
LIMIT {most:UInt32}
"""
# A span that matches may start long after its trace does, so there is no upper bound. An older copy of a
# span may match where the one that counts does not: the summary decides.
MATCHING_SQL = """
    AND trace_id IN (
        SELECT trace_id FROM spans
        WHERE project = {{project:String}}
            AND start_time >= fromUnixTimestamp64Nano({{since:Int64}}, 'UTC')
            AND {condition}
    )
"""
CONDITIONS = {
    "service": "service = {service:String}",
    "model": "(request_model = {model:String} OR response_model = {model:String})",
    "status": "multiIf(status_code = 1, 'ok', status_code = 2, 'error', 'unset') = {status:String}",
}


class Search(NamedTuple):
    """Which traces: those that start in a time, and of these those that every given condition holds for."""

    since_ns: int = 0
    until_ns: int = LATEST_NS
    service: str | None = None
    status: Status | None = None
    model: str | None = None

    def conditions(self) -> dict[str, str]:
        given = {"service": self.service, "status": self.status, "model": self.model}
        return {name: value for name, value in given.items() if value is not None}


class Extent(NamedTuple):
    """From where to where the spans of a trace start."""

    trace_id: str
    first_ns: int
    last_ns: int


class Trace(NamedTuple):
    """A summary as the API gives it, its place in the list, and what a search asks of it."""

    position: Position
    summary: dict[str, Any]
    services: frozenset[str]
    models: frozenset[str]

    def fits(self, search: Search) -> bool:
        return (
            (search.service is None or search.service in self.services)
            and (search.status is None or search.status == self.summary["status"])
            and (search.model is None or search.model in self.models)
        )


def list_traces(
    client: Client, project: str, search: Search, *, limit: int, after: Position | None = None
) -> tuple[list[dict[str, Any]], Position | None]:
    """Up to `limit` summaries that follow `after`, newest first, and the position to go on from."""
    found: list[Trace] = []
    for trace in _found(client, project, search, limit, after or _END_OF_LIST):
        found.append(trace)
        if len(found) > limit:
            return [shown.summary for shown in found[:limit]], found[limit - 1].position
    return [shown.summary for shown in found], None


def _found(client: Client, project: str, search: Search, limit: int, after: Position) -> Iterator[Trace]:
    until = min(search.until_ns, after.start_ns + 1)
    # A status is known only after summing up, so more are taken at once where one is asked for.
    at_once = min(limit + 1 if search.status is None else 4 * limit, _MOST_AT_ONCE + 1)
    for window in windows(stored_days(client), search.since_ns, until):
        full = True
        while full:
            candidates = _candidates(client, project, search, window, after=after, most=at_once)
            traces = summaries(client, project, _starting(client, project, candidates))
            yield from (
                trace
                for place in candidates
                if (trace := traces.get(place.trace_id)) is not None and trace.fits(search)
            )
            full = len(candidates) == at_once
            after = candidates[-1] if candidates else after


def _candidates(
    client: Client, project: str, search: Search, window: Window, *, after: Position, most: int
) -> list[Position]:
    conditions = search.conditions()
    sql = candidates_sql(conditions)
    parameters = {
        "project": project,
        "since": window.since_ns,
        "until": window.until_ns,
        "before": after.start_ns,
        "before_id": after.trace_id,
        "most": most,
    }
    rows = client.query(sql, parameters=parameters | conditions).result_rows
    return [Position(start_ns, trace_id) for trace_id, start_ns in rows]


def candidates_sql(conditions: Mapping[str, str]) -> str:
    """The query for candidates with the parts that these conditions need: constants, in a fixed order."""
    parts = [MATCHING_SQL.format(condition=CONDITIONS[name]) for name in CONDITIONS if name in conditions]
    return "".join((CANDIDATES_SQL, *parts, CANDIDATES_END_SQL))


def _starting(client: Client, project: str, candidates: list[Position]) -> list[Extent]:
    """Those of the candidates whose earliest span is the one they were found by."""
    if not candidates:
        return []
    parameters = {"project": project, "trace_ids": [place.trace_id for place in candidates]}
    extents = [Extent(*row) for row in client.query(EXTENTS_SQL, parameters=parameters).result_rows]
    starts = {place.trace_id: place.start_ns for place in candidates}
    return [extent for extent in extents if extent.first_ns == starts[extent.trace_id]]


def summaries(client: Client, project: str, extents: list[Extent]) -> dict[str, Trace]:
    """The summaries of these traces by id."""
    if not extents:
        return {}
    parameters = {
        "project": project,
        "trace_ids": [extent.trace_id for extent in extents],
        "first": min(extent.first_ns for extent in extents),
        "last": max(extent.last_ns for extent in extents),
    }
    result = client.query(SUMMARY_SQL, parameters=parameters)
    return {row["id"]: _trace(row) for row in result.named_results()}


def _trace(row: Mapping[str, Any]) -> Trace:
    span_id, name, service, status_code = row["root"]
    summary = {
        "trace_id": row["id"],
        "root_span_id": span_id,
        "name": name,
        "service": service or None,
        "status": status_name(status_code),
        "start_time": format_time(row["start_ns"]),
        "end_time": format_time(row["end_ns"]),
        "duration_ms": milliseconds(row["end_ns"] - row["start_ns"]),
        "span_count": row["span_count"],
        "error_count": row["error_count"],
        "llm_call_count": row["llm_call_count"],
        "input_tokens": row["input_tokens"],
        "output_tokens": row["output_tokens"],
        "cost_usd": money(row["cost"]),
        "unpriced_call_count": row["unpriced"],
        "models": row["models"],
        "conversation_id": row["conversation"] or None,
        "user_id": row["user"] or None,
        "experiment_id": row["experiment"] or None,
    }
    position = Position(row["start_ns"], row["id"])
    return Trace(position, summary, frozenset(row["services"]), frozenset(row["any_model"]))


def status_name(code: int) -> Status:
    """OTLP's status codes by name; an unknown one says nothing, like 0."""
    return "ok" if code == 1 else "error" if code == 2 else "unset"
