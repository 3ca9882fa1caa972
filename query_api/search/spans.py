"""Spans: the list of those that fulfil a condition.

Any stored copy of a span may fulfil the condition, so copies are looked for without FINAL, which lets the
engine use its indexes, and read what is shown of the few that it finds only. Then it is asked when the newest
copy of each of these came: where that is not the one that was found, it is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from clickhouse_connect.driver.client import Client

from spanledger.query_api.search.conditions import All, Condition, compiled, reads
from spanledger.query_api.search.cursors import Position
from spanledger.query_api.search.fields import FIELDS
from spanledger.query_api.search.inherited import settled
from spanledger.query_api.search.windows import (
    STARTS_WITHIN,
    Day,
    Window,
    may_have_copies,
    stored_days,
    windows,
)
from spanledger.query_api.times import LATEST_NS, format_time, milliseconds
from spanledger.query_api.values import merged, money, status_name

Sort = Literal["time", "duration", "cost", "tokens"]
Order = Literal["desc", "asc"]

# What a sort goes by, and the type of its values.
_VALUES: dict[Sort, tuple[str, str]] = {
    "duration": ("duration_ns", "UInt64"),
    "cost": (FIELDS["cost_usd"].sql, "Decimal(38, 18)"),
    "tokens": (FIELDS["tokens"].sql, "UInt64"),
}

FOUND_SQL = """
SELECT
    lower(hex(trace_id)) AS trace,
    lower(hex(span_id)) AS span,
    toUnixTimestamp64Nano(start_time) AS start_ns,
    toUnixTimestamp64Nano(received_at) AS received_ns,
    toString({value}) AS value_text,
    if(parent_span_id = toFixedString('', 8), '', lower(hex(parent_span_id))) AS parent,
    name, service, scope_name, role, operation, provider, request_model, response_model, status_code,
    error_type, toUnixTimestamp64Nano(end_time) AS end_ns, duration_ns, input_tokens, output_tokens,
    cost_usd, cost_reason, counted, conversation_id, user_id, experiment_id, tool_name, agent_name, tags{more}
FROM spans
WHERE project = {{project:String}} AND {in_time}
    AND {condition}{after}
ORDER BY {by}start_time {order}, trace_id {order}, span_id {order}, received_at DESC
LIMIT {{most:UInt32}}
"""
_AFTER_SQL = """(
        start_time {sign} fromUnixTimestamp64Nano({{after_ns:Int64}}, 'UTC')
        OR (
            start_time = fromUnixTimestamp64Nano({{after_ns:Int64}}, 'UTC')
            AND (trace_id, span_id) {sign} (
                toFixedString(unhex({{after_trace:String}}), 16),
                toFixedString(unhex({{after_span:String}}), 8)
            )
        )
    )"""

NEWEST_SQL = """
SELECT
    lower(hex(trace_id)) AS trace,
    lower(hex(span_id)) AS span,
    toUnixTimestamp64Nano(start_time) AS start_ns,
    toUnixTimestamp64Nano(max(received_at)) AS received_ns
FROM spans
WHERE project = {project:String}
    AND toStartOfHour(start_time) IN (SELECT toDateTime(arrayJoin({hours:Array(UInt32)}), 'UTC'))
    AND start_time >= fromUnixTimestamp64Nano({first:Int64}, 'UTC')
    AND start_time <= fromUnixTimestamp64Nano({last:Int64}, 'UTC')
    AND trace_id IN (SELECT toFixedString(unhex(arrayJoin({trace_ids:Array(String)})), 16))
    AND span_id IN (SELECT toFixedString(unhex(arrayJoin({span_ids:Array(String)})), 8))
GROUP BY trace_id, span_id, start_time
"""
_ATTRIBUTES = ", attributes_string, attributes_int, attributes_double, attributes_bool, attributes_json"
_HOUR_NS = 3600 * 10**9
# How many spans the first window of a search by time holds, by what its condition reads of each.
FIRST_ROWS_FOR = {"columns": 400_000, "attributes": 400_000, "content": 80_000}


class SpanSearch(NamedTuple):
    """Which spans, in which order. By another sort than time, what has no value comes last."""

    condition: Condition = All([])
    since_ns: int = 0
    until_ns: int = LATEST_NS
    sort: Sort = "time"
    order: Order = "desc"


class Found(NamedTuple):
    """A stored copy of a span that fulfils a condition, and what is shown of it."""

    trace_id: str
    span_id: str
    start_ns: int
    received_ns: int
    value: Decimal | None
    row: Mapping[str, Any]

    @property
    def key(self) -> tuple[str, str, int]:
        return self.trace_id, self.span_id, self.start_ns

    @property
    def position(self) -> Position:
        return Position(self.start_ns, self.trace_id, self.span_id, self.value)


def list_spans(
    client: Client,
    project: str,
    search: SpanSearch,
    *,
    limit: int,
    after: Position | None = None,
    attributes: bool = False,
) -> tuple[list[dict[str, Any]], Position | None]:
    """Up to `limit` spans that follow `after`, and the position to go on from."""
    search = search._replace(condition=settled(client, project, search.condition))
    shown: list[dict[str, Any]] = []
    last: Position | None = None
    for found in _current(client, project, search, limit + 1, after, attributes=attributes):
        if len(shown) == limit:
            return shown, last
        shown.append(_summary(found.row))
        last = found.position
    return shown, None


def _current(
    client: Client,
    project: str,
    search: SpanSearch,
    at_once: int,
    after: Position | None,
    *,
    attributes: bool,
) -> Iterator[Found]:
    """The spans that fulfil the condition as they count."""
    waiting: dict[tuple[str, str, int], Found] = {}
    days = stored_days(client)
    for window in _windows(days, search, after):
        full = True
        while full:
            copies = _copies(
                client, project, search, window, after=after, most=at_once, attributes=attributes
            )
            for copy in copies:
                waiting.setdefault(copy.key, copy)  # of one span the newest comes first
            full = len(copies) == at_once
            after = copies[-1].position if copies else after
            if len(waiting) >= at_once:
                yield from _newest(client, project, waiting, days)
                waiting = {}
    yield from _newest(client, project, waiting, days)


def _windows(days: list[Day], search: SpanSearch, after: Position | None) -> Iterator[Window]:
    if search.sort != "time":
        yield Window(search.since_ns, search.until_ns)
        return
    newest_first = search.order == "desc"
    since, until = search.since_ns, search.until_ns
    if after is not None:
        since, until = (
            (since, min(until, after.start_ns + 1)) if newest_first else (max(since, after.start_ns), until)
        )
    first_rows = FIRST_ROWS_FOR[reads(search.condition)] if search.condition != All([]) else None
    yield from windows(days, since, until, newest_first=newest_first, first_rows=first_rows)


def _copies(
    client: Client,
    project: str,
    search: SpanSearch,
    window: Window,
    *,
    after: Position | None,
    most: int,
    attributes: bool,
) -> list[Found]:
    sql = compiled(search.condition)
    parameters = {
        "project": project,
        "since": window.since_ns,
        "until": window.until_ns,
        "most": most,
        **sql.parameters,
    }
    if after is not None:
        parameters |= {
            "after_ns": after.start_ns,
            "after_trace": after.trace_id,
            "after_span": after.span_id,
        }
        if after.value is not None:
            parameters["after_value"] = f"{after.value:f}"
    text = found_sql(sql.text, search.sort, search.order, after, attributes=attributes)
    return [
        Found(
            row["trace"],
            row["span"],
            row["start_ns"],
            row["received_ns"],
            None if row["value_text"] is None else Decimal(row["value_text"]),
            row,
        )
        for row in client.query(text, parameters=parameters).named_results()
    ]


def found_sql(
    condition: str, sort: Sort, order: Order, after: Position | None, *, attributes: bool = False
) -> str:
    """The query for copies, with the parts that this order needs: constants, and the condition."""
    sign = "<" if order == "desc" else ">"
    behind = _AFTER_SQL.format(sign=sign)
    value, by = "NULL", ""
    if sort != "time":
        value, kind = _VALUES[sort]
        by = f"isNull({value}), {value} {order.upper()}, "
        if after is not None and after.value is None:
            behind = f"({value} IS NULL AND {behind})"
        elif after is not None:
            given = f"{{after_value:{kind}}}"
            behind = f"({value} IS NULL OR {value} {sign} {given} OR ({value} = {given} AND {behind}))"
    return FOUND_SQL.format(
        value=value,
        more=_ATTRIBUTES if attributes else "",
        in_time=STARTS_WITHIN,
        condition=condition,
        after="" if after is None else f"\n    AND {behind}",
        by=by,
        order=order.upper(),
    )


def _newest(
    client: Client, project: str, waiting: Mapping[tuple[str, str, int], Found], days: list[Day]
) -> Iterator[Found]:
    """Those of the copies that no newer one of their span has taken the place of."""
    if not waiting:
        return
    starts = [start_ns for _, _, start_ns in waiting]
    if not may_have_copies(days, starts):
        yield from waiting.values()
        return
    parameters = {
        "project": project,
        "hours": sorted({start // _HOUR_NS * 3600 for start in starts}),
        "first": min(starts),
        "last": max(starts),
        "trace_ids": sorted({trace_id for trace_id, _, _ in waiting}),
        "span_ids": [span_id for _, span_id, _ in waiting],
    }
    newest = {
        (trace_id, span_id, start_ns): received_ns
        for trace_id, span_id, start_ns, received_ns in client.query(
            NEWEST_SQL, parameters=parameters
        ).result_rows
    }
    for key, copy in waiting.items():
        if newest.get(key) == copy.received_ns:
            yield copy


def _summary(row: Mapping[str, Any]) -> dict[str, Any]:
    summary = {
        "trace_id": row["trace"],
        "span_id": row["span"],
        "parent_span_id": row["parent"] or None,
        "name": row["name"],
        "service": row["service"] or None,
        "scope": row["scope_name"] or None,
        "role": row["role"],
        "operation": row["operation"] or None,
        "provider": row["provider"] or None,
        "request_model": row["request_model"] or None,
        "response_model": row["response_model"] or None,
        "status": status_name(row["status_code"]),
        "error_type": row["error_type"] or None,
        "start_time": format_time(row["start_ns"]),
        "end_time": format_time(row["end_ns"]),
        "duration_ms": milliseconds(row["duration_ns"]),
        "input_tokens": row["input_tokens"],
        "output_tokens": row["output_tokens"],
        "cost_usd": money(row["cost_usd"]),
        "cost_reason": row["cost_reason"] or None,
        "counted": row["counted"],
        "conversation_id": row["conversation_id"] or None,
        "user_id": row["user_id"] or None,
        "experiment_id": row["experiment_id"] or None,
        "tool": row["tool_name"] or None,
        "agent": row["agent_name"] or None,
        "tags": row["tags"],
    }
    if "attributes_string" in row:
        summary["attributes"] = merged(
            row["attributes_string"],
            row["attributes_int"],
            row["attributes_double"],
            row["attributes_bool"],
            row["attributes_json"],
        )
    return summary
