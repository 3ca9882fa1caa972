"""Spans: the rows of one trace as the nodes of its tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clickhouse_connect.driver.client import Client

from spanledger.query_api.messages.read import Conversation, read_messages
from spanledger.query_api.problems import TraceTooLarge
from spanledger.query_api.search.traces import Extent, status_name, summaries
from spanledger.query_api.times import format_time, milliseconds
from spanledger.query_api.trees.logs import Record, read_logs
from spanledger.query_api.trees.tree import Node, Span, build_tree, tree_text, walk
from spanledger.query_api.values import attributes_of, money, readable, typed_map
from spanledger.schemas.errors import NotFound

MOST_SPANS = 50_000
_ATTEMPTS = 3

# Links may name ids of any length, in raw bytes.
SPANS_SQL = """
SELECT
    lower(hex(span_id)) AS id,
    if(parent_span_id = toFixedString('', 8), '', lower(hex(parent_span_id))) AS parent,
    trace_state, flags, name, kind,
    toUnixTimestamp64Nano(start_time) AS start_ns,
    toUnixTimestamp64Nano(end_time) AS end_ns,
    duration_ns, status_code, status_message, service, scope_name, scope_version,
    attributes_string, attributes_int, attributes_double, attributes_bool, attributes_json,
    content_string, content_json,
    resource_attributes, resource_schema_url, resource_dropped_attributes_count,
    scope_attributes, scope_schema_url, scope_dropped_attributes_count,
    dropped_attributes_count, dropped_events_count, dropped_links_count, attributes_cut,
    arrayMap(t -> toUnixTimestamp64Nano(t), events.time) AS event_times,
    events.name AS event_names,
    events.attributes AS event_attributes,
    events.dropped_attributes_count AS event_dropped,
    arrayMap(x -> lower(hex(x)), links.trace_id) AS link_trace_ids,
    arrayMap(x -> lower(hex(x)), links.span_id) AS link_span_ids,
    links.trace_state AS link_states,
    links.flags AS link_flags,
    links.attributes AS link_attributes,
    links.dropped_attributes_count AS link_dropped,
    dialect, role, operation, provider, provider_claimed, service_tier, request_model, response_model,
    response_id, conversation_id, user_id,
    tool_name, agent_name, experiment_id, error_type, tags, finish_reasons, time_to_first_chunk_s,
    input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens,
    input_audio_tokens, output_audio_tokens, usage, usage_flags,
    counted, lower(hex(duplicate_of)) AS duplicate,
    cost_usd, cost_input_usd, cost_output_usd, cost_source, cost_reason,
    cost_reported_usd, cost_computed_usd, cost_origin,
    price_model, price_version
FROM spans FINAL
WHERE project = {project:String} AND trace_id = toFixedString(unhex({trace_id:String}), 16)
LIMIT {most:UInt32}
"""

KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
# Columns that are given under their own name; empty means that it was not sent.
_TEXTS = (
    "dialect",
    "operation",
    "error_type",
    "service",
    "provider",
    "provider_claimed",
    "service_tier",
    "request_model",
    "response_model",
    "response_id",
    "conversation_id",
    "user_id",
    "experiment_id",
    "tool_name",
    "agent_name",
)
_AS_STORED = (
    "tags",
    "finish_reasons",
    "time_to_first_chunk_s",
    "trace_state",
    "flags",
    "dropped_attributes_count",
    "dropped_events_count",
    "dropped_links_count",
    "attributes_cut",
)
_MESSAGES = ("input", "output", "system_instructions", "tool_definitions")
_TOKENS = (
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "input_audio_tokens",
    "output_audio_tokens",
)


def trace_json(client: Client, project: str, trace_id: str) -> bytes:
    """The whole trace as the API answers it. NotFound, or TraceTooLarge beyond MOST_SPANS spans.

    While spans of the trace still arrive, the totals may come a moment after the tree: it is read again
    then, a few times.
    """
    for _ in range(_ATTEMPTS):
        spans = read_spans(client, project, trace_id)
        if not spans:
            raise NotFound(f"No trace {trace_id} is stored")
        starts = [span.start_ns for span in spans]
        trace = summaries(client, project, [Extent(trace_id, min(starts), max(starts))])[trace_id]
        if trace.summary["span_count"] == len(spans):
            break
    roots = build_tree(spans)
    _hand_down(roots)
    return tree_text(trace.summary, roots)


def _hand_down(roots: Sequence[Node]) -> None:
    """Who names no conversation or user has those of the span above: many libraries name them at the top."""
    for _, node in walk(roots):
        for child in node["children"]:
            for name in ("conversation_id", "user_id"):
                child[name] = child[name] or node[name]


def read_spans(client: Client, project: str, trace_id: str) -> list[Span]:
    """The spans of a trace, each once, in no order."""
    parameters = {"project": project, "trace_id": trace_id, "most": MOST_SPANS + 1}
    result = client.query(SPANS_SQL, parameters=parameters)
    if result.row_count > MOST_SPANS:
        raise TraceTooLarge(f"Trace {trace_id} has more than {MOST_SPANS:,} spans")
    logs = read_logs(client, project, trace_id)
    return [_span(row, logs.get(row["id"], ())) for row in result.named_results()]


def _span(row: Mapping[str, Any], logs: Sequence[Record]) -> Span:
    return Span(row["start_ns"], row["id"], row["parent"] or None, _fields(row, logs))


def _fields(row: Mapping[str, Any], logs: Sequence[Record]) -> dict[str, Any]:
    attributes = attributes_of(row)
    kind, events = row["kind"], _events(row)
    read = read_messages(attributes, events, logs)
    return {
        "span_id": row["id"],
        "parent_span_id": row["parent"] or None,
        "name": row["name"],
        "kind": KINDS[kind] if 0 <= kind < len(KINDS) else KINDS[0],
        "kind_number": kind,
        "role": row["role"],
        "status": status_name(row["status_code"]),
        "status_message": row["status_message"],
        "start_time": format_time(row["start_ns"]),
        "end_time": format_time(row["end_ns"]),
        "duration_ms": milliseconds(row["duration_ns"]),
        **{name: row[name] or None for name in _TEXTS},
        "model": row["response_model"] or row["request_model"] or None,
        "usage": _usage(row),
        "counted": row["counted"],
        "duplicate_of": _duplicate_of(row["duplicate"]),
        "cost": _cost(row),
        **_messages(read),
        "attributes": attributes,
        "resource": _resource(row),
        "scope": _scope(row),
        "events": events,
        "links": _links(row),
        **{name: row[name] for name in _AS_STORED},
        "finish_reasons": row["finish_reasons"] or _finish_reasons(read),
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


def _resource(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "attributes": typed_map(row["resource_attributes"]),
        "schema_url": row["resource_schema_url"],
        "dropped_attributes_count": row["resource_dropped_attributes_count"],
    }


def _scope(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": row["scope_name"],
        "version": row["scope_version"],
        "attributes": typed_map(row["scope_attributes"]),
        "schema_url": row["scope_schema_url"],
        "dropped_attributes_count": row["scope_dropped_attributes_count"],
    }


def _events(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    columns = (row["event_times"], row["event_names"], row["event_attributes"], row["event_dropped"])
    return [
        {
            "time": format_time(time),
            "name": name,
            "attributes": typed_map(attributes),
            "dropped_attributes_count": dropped,
        }
        for time, name, attributes, dropped in zip(*columns, strict=True)
    ]


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
