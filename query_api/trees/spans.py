"""Spans: the rows of one trace as the nodes of its tree."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from clickhouse_connect.driver.client import Client

from spanledger.query_api.extents import WITHIN_EXTENT
from spanledger.query_api.messages.read import Conversation, read_messages
from spanledger.query_api.problems import TraceTooLarge
from spanledger.query_api.search.traces import status_name
from spanledger.query_api.times import format_time, milliseconds
from spanledger.query_api.trees.fields import EVERYTHING
from spanledger.query_api.trees.logs import Record, read_logs
from spanledger.query_api.trees.summary import summary_of
from spanledger.query_api.trees.tree import Node, Span, build_tree, tree_text, walk
from spanledger.query_api.values import merged, money, readable, typed_map
from spanledger.schemas.errors import NotFound

MOST_SPANS = 50_000

# What every answer is made of, and the columns that only some fields are made of. Links may name ids of any
# length, in raw bytes.
_ALWAYS = """
    lower(hex(span_id)) AS id,
    if(parent_span_id = toFixedString('', 8), '', lower(hex(parent_span_id))) AS parent,
    name, kind,
    toUnixTimestamp64Nano(start_time) AS start_ns,
    toUnixTimestamp64Nano(end_time) AS end_ns,
    duration_ns, status_code, status_message, service, role,
    request_model, response_model, conversation_id, user_id, experiment_id,
    input_tokens, output_tokens, counted, cost_usd"""
_COLUMNS = {
    "call": """
    dialect, operation, provider, provider_claimed, service_tier, response_id,
    tool_name, agent_name, error_type, tags, finish_reasons, time_to_first_chunk_s,
    cache_read_tokens, cache_write_tokens, reasoning_tokens,
    input_audio_tokens, output_audio_tokens, usage, usage_flags, lower(hex(duplicate_of)) AS duplicate,
    cost_input_usd, cost_output_usd, cost_source, cost_reason,
    cost_reported_usd, cost_computed_usd, cost_origin, price_model, price_version""",
    "content": "content_string, content_json",
    "attributes": """
    attributes_string, attributes_int, attributes_double, attributes_bool, attributes_json, attributes_cut""",
    "resource": "resource_attributes, resource_schema_url, resource_dropped_attributes_count",
    "scope": """
    scope_name, scope_version, scope_attributes, scope_schema_url, scope_dropped_attributes_count""",
    "events": """
    arrayMap(t -> toUnixTimestamp64Nano(t), events.time) AS event_times,
    events.name AS event_names,
    events.dropped_attributes_count AS event_dropped""",
    "event attributes": "events.attributes AS event_attributes",
    "links": """
    arrayMap(x -> lower(hex(x)), links.trace_id) AS link_trace_ids,
    arrayMap(x -> lower(hex(x)), links.span_id) AS link_span_ids,
    links.trace_state AS link_states,
    links.flags AS link_flags,
    links.attributes AS link_attributes,
    links.dropped_attributes_count AS link_dropped""",
    "otlp": """
    trace_state, flags, dropped_attributes_count, dropped_events_count, dropped_links_count""",
}
_FROM = f"""
FROM spans FINAL
WHERE project = {{project:String}} AND trace_id = toFixedString(unhex({{trace_id:String}}), 16)
    AND {WITHIN_EXTENT}
LIMIT {{most:UInt32}}
"""

KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
# Columns that are given under their own name; empty means that it was not sent.
_TEXTS = (
    "dialect",
    "operation",
    "error_type",
    "provider",
    "provider_claimed",
    "service_tier",
    "request_model",
    "response_model",
    "response_id",
    "tool_name",
    "agent_name",
)
_MESSAGES = ("input", "output", "system_instructions", "tool_definitions")
_TOKENS = (
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "input_audio_tokens",
    "output_audio_tokens",
)


def spans_sql(groups: frozenset[str] = EVERYTHING) -> str:
    """The query for the spans of a trace with the columns that these groups of fields are made of."""
    wanted = set(groups)
    if "content" in groups:
        # Messages may stand among all of these.
        wanted |= {"attributes", "events", "event attributes"}
    chosen = [_ALWAYS, *(columns for name, columns in _COLUMNS.items() if name in wanted)]
    return f"SELECT {','.join(chosen)}{_FROM}"


SPANS_SQL = spans_sql()


def trace_json(client: Client, project: str, trace_id: str, groups: frozenset[str] = EVERYTHING) -> bytes:
    """The whole trace as the API answers it, with these groups of fields.

    Raises NotFound; TraceTooLarge beyond MOST_SPANS spans.
    """
    names, columns = read_columns(client, project, trace_id, spans_sql(groups))
    if not columns or not columns[0]:
        raise NotFound(f"No trace {trace_id} is stored")
    logs = read_logs(client, project, trace_id) if "content" in groups else {}
    by_name = dict(zip(names, columns, strict=True))
    summary = summary_of(trace_id, by_name)
    spans = [
        Span(start, span_id, parent or None, number)
        for number, (start, span_id, parent) in enumerate(
            zip(by_name["start_ns"], by_name["id"], by_name["parent"], strict=True)
        )
    ]
    roots = build_tree(spans)
    _hand_down(roots, by_name)
    typed_once = _Typed()
    rows = list(zip(*columns, strict=True))

    def fields_of(span: Span) -> dict[str, Any]:
        # One at a time: a node is written before the next is made, so that few objects are alive.
        row = dict(zip(names, rows[span.fields], strict=True))
        return _fields(row, groups, logs.get(span.span_id, ()), typed_once)

    return tree_text(summary, roots, fields_of)


def _hand_down(roots: Sequence[Node], by_name: Mapping[str, list[Any]]) -> None:
    """Who names no conversation or user has those of the span above: many libraries name them at the top."""
    for name in ("conversation_id", "user_id"):
        column = by_name[name]
        if not any(column):
            continue
        for _, node in walk(roots):
            said = column[node["span"].fields] if node["span"] else ""
            if said:
                for child in node["children"]:
                    column[child["span"].fields] = column[child["span"].fields] or said


def read_columns(client: Client, project: str, trace_id: str, sql: str) -> tuple[list[str], list[list[Any]]]:
    """The spans of a trace, each once, in no order: the columns' names, and the columns."""
    parameters = {"project": project, "trace_id": trace_id, "most": MOST_SPANS + 1}
    result = client.query(sql, parameters=parameters, column_oriented=True)
    columns = [list(column) for column in result.result_columns]
    if columns and len(columns[0]) > MOST_SPANS:
        raise TraceTooLarge(f"Trace {trace_id} has more than {MOST_SPANS:,} spans")
    return list(result.column_names), columns


class _Typed:
    """Maps of JSON texts as objects; what many spans have in common, as their resource, is read once."""

    def __init__(self) -> None:
        self._known: dict[tuple[tuple[str, str], ...], dict[str, Any]] = {}

    def __call__(self, stored: Mapping[str, str]) -> dict[str, Any]:
        key = tuple(stored.items())
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            found = self._known[key] = typed_map(stored)
        return found


_MOST_KNOWN = 1000


def _fields(
    row: Mapping[str, Any], groups: frozenset[str], logs: Sequence[Record], typed_once: _Typed
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "span_id": row["id"],
        "parent_span_id": row["parent"] or None,
        "name": row["name"],
        "kind": KINDS[row["kind"]] if 0 <= row["kind"] < len(KINDS) else KINDS[0],
        "kind_number": row["kind"],
        "role": row["role"],
        "service": row["service"] or None,
        "status": status_name(row["status_code"]),
        "status_message": row["status_message"],
        "start_time": format_time(row["start_ns"]),
        "end_time": format_time(row["end_ns"]),
        "duration_ms": milliseconds(row["duration_ns"]),
        "conversation_id": row["conversation_id"] or None,
        "user_id": row["user_id"] or None,
        "experiment_id": row["experiment_id"] or None,
    }
    with_content = "content" in groups
    attributes = _attributes(row, with_content=with_content) if "attributes_string" in row else {}
    events = _events(row) if "event_times" in row else []
    read = read_messages(attributes, events, logs) if with_content else None
    more: dict[str, Callable[[], dict[str, Any]]] = {
        "call": lambda: _call(row, read),
        "content": lambda: _messages(read) if read else {},
        "attributes": lambda: {"attributes": attributes, "attributes_cut": row["attributes_cut"]},
        "resource": lambda: {"resource": _resource(row, typed_once)},
        "scope": lambda: {"scope": _scope(row, typed_once)},
        "events": lambda: {"events": events},
        "links": lambda: {"links": _links(row)},
        "otlp": lambda: {name: row[name] for name in _AS_STORED},
    }
    for group, given in more.items():
        if group in groups:
            found |= given()
    return found


_AS_STORED = (
    "trace_state",
    "flags",
    "dropped_attributes_count",
    "dropped_events_count",
    "dropped_links_count",
)


def _attributes(row: Mapping[str, Any], *, with_content: bool) -> dict[str, Any]:
    strings, json_texts = row["attributes_string"], [row["attributes_json"]]
    if with_content:
        strings = {**strings, **row["content_string"]}
        json_texts.append(row["content_json"])
    return merged(
        strings, row["attributes_int"], row["attributes_double"], row["attributes_bool"], *json_texts
    )


def _call(row: Mapping[str, Any], read: Conversation | None) -> dict[str, Any]:
    return {
        **{name: row[name] or None for name in _TEXTS},
        "model": row["response_model"] or row["request_model"] or None,
        "tags": row["tags"],
        "finish_reasons": row["finish_reasons"] or (_finish_reasons(read) if read else []),
        "time_to_first_chunk_s": row["time_to_first_chunk_s"],
        "usage": _usage(row),
        "counted": row["counted"],
        "duplicate_of": _duplicate_of(row["duplicate"]),
        "cost": _cost(row),
    }


def _finish_reasons(read: Conversation) -> list[str]:
    """Those of the answers, for a span that has none: of streams some libraries send them only there."""
    if read.output is None or read.output.as_sent or not isinstance(read.output.value, list):
        return []
    reasons = (answer.get("finish_reason") for answer in read.output.value if isinstance(answer, dict))
    return [reason for reason in reasons if isinstance(reason, str) and reason]


def _messages(read: Conversation) -> dict[str, Any]:
    """What is shown of the messages, where it was found, and what of it could not be read."""
    found = {name: getattr(read, name) for name in _MESSAGES}
    return {
        **{
            name: each and (readable(each.value) if each.as_sent else each.value)
            for name, each in found.items()
        },
        "messages_from": {name: list(each.source) for name, each in found.items() if each},
        "messages_as_sent": [name for name, each in found.items() if each and each.as_sent],
    }


def _duplicate_of(ids: str) -> dict[str, str] | None:
    return {"trace_id": ids[:32], "span_id": ids[32:]} if ids else None


def _usage(row: Mapping[str, Any]) -> dict[str, Any]:
    given = [row[name] for name in ("input_tokens", "output_tokens") if row[name] is not None]
    return {
        "input_tokens": row["input_tokens"],
        "output_tokens": row["output_tokens"],
        "total_tokens": sum(given) if given else None,
        **{name: row[name] for name in _TOKENS},
        "other": {name: _count(name, row["usage"][name]) for name in sorted(row["usage"])},
        "flags": row["usage_flags"],
    }


def _count(unit: str, count: int) -> int | float:
    """Durations are stored in microseconds."""
    return count / 1e6 if unit.endswith("_seconds") else count


def _cost(row: Mapping[str, Any]) -> dict[str, str | None]:
    return {
        "usd": money(row["cost_usd"]),
        "input_usd": money(row["cost_input_usd"]),
        "output_usd": money(row["cost_output_usd"]),
        "source": row["cost_source"] or None,
        "reason": row["cost_reason"] or None,
        "price_model": row["price_model"] or None,
        "price_version": row["price_version"] or None,
        "reported_usd": money(row["cost_reported_usd"]),
        "computed_usd": money(row["cost_computed_usd"]),
        "origin": row["cost_origin"] or None,
    }


def _resource(row: Mapping[str, Any], typed_once: Callable[[Mapping[str, str]], Any]) -> dict[str, Any]:
    return {
        "attributes": typed_once(row["resource_attributes"]),
        "schema_url": row["resource_schema_url"],
        "dropped_attributes_count": row["resource_dropped_attributes_count"],
    }


def _scope(row: Mapping[str, Any], typed_once: Callable[[Mapping[str, str]], Any]) -> dict[str, Any]:
    return {
        "name": row["scope_name"],
        "version": row["scope_version"],
        "attributes": typed_once(row["scope_attributes"]),
        "schema_url": row["scope_schema_url"],
        "dropped_attributes_count": row["scope_dropped_attributes_count"],
    }


def _events(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    columns = (row["event_times"], row["event_names"], row["event_dropped"])
    found = [
        {"time": format_time(time), "name": name, "dropped_attributes_count": dropped}
        for time, name, dropped in zip(*columns, strict=True)
    ]
    for event, attributes in zip(found, row.get("event_attributes", ()), strict=False):
        event["attributes"] = typed_map(attributes)
    return found


def _links(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    names = ("trace_ids", "span_ids", "states", "flags", "attributes", "dropped")
    columns = [row[f"link_{name}"] for name in names]
    return [
        {
            "trace_id": trace_id,
            "span_id": span_id,
            "trace_state": state,
            "flags": flags,
            "attributes": typed_map(attributes),
            "dropped_attributes_count": dropped,
        }
        for trace_id, span_id, state, flags, attributes, dropped in zip(*columns, strict=True)
    ]
