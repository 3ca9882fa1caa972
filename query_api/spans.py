"""Spans: the rows of one trace as the nodes of its tree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clickhouse_connect.driver.client import Client

from spanledger.query_api.problems import TraceTooLarge
from spanledger.query_api.times import format_time, milliseconds
from spanledger.query_api.traces import Extent, status_name, summaries
from spanledger.query_api.tree import Span, build_tree, tree_text
from spanledger.query_api.values import merged, money, readable, typed_map
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
    role, operation, provider, request_model, response_model, response_id, conversation_id, user_id,
    tool_name, agent_name, experiment_id, error_type, tags, finish_reasons, time_to_first_chunk_s,
    input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens,
    input_audio_tokens, output_audio_tokens,
    cost_usd, cost_input_usd, cost_output_usd, cost_source, cost_reason, cost_reported_usd,
    price_model, price_version
FROM spans FINAL
WHERE project = {project:String} AND trace_id = toFixedString(unhex({trace_id:String}), 16)
LIMIT {most:UInt32}
"""

KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
# Which attribute shows what went in and what came out: the first that was sent.
INPUT_KEYS = ("gen_ai.input.messages", "gen_ai.tool.call.arguments", "gen_ai.prompt")
OUTPUT_KEYS = (
    "gen_ai.output.messages",
    "gen_ai.tool.call.result",
    "gen_ai.retrieval.documents",
    "gen_ai.completion",
)
# Columns that are given under their own name; empty means that it was not sent.
_TEXTS = (
    "operation",
    "error_type",
    "service",
    "provider",
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
    return tree_text(trace.summary, build_tree(spans))


def read_spans(client: Client, project: str, trace_id: str) -> list[Span]:
    """The spans of a trace, each once, in no order."""
    parameters = {"project": project, "trace_id": trace_id, "most": MOST_SPANS + 1}
    result = client.query(SPANS_SQL, parameters=parameters)
    if result.row_count > MOST_SPANS:
        raise TraceTooLarge(f"Trace {trace_id} has more than {MOST_SPANS:,} spans")
    return [_span(row) for row in result.named_results()]


def _span(row: Mapping[str, Any]) -> Span:
    return Span(row["start_ns"], row["id"], row["parent"] or None, _fields(row))


def _fields(row: Mapping[str, Any]) -> dict[str, Any]:
    attributes = merged(
        {**row["attributes_string"], **row["content_string"]},
        row["attributes_int"],
        row["attributes_double"],
        row["attributes_bool"],
        row["attributes_json"],
        row["content_json"],
    )
    kind = row["kind"]
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
        "cost": _cost(row),
        "input": _first(attributes, INPUT_KEYS),
        "output": _first(attributes, OUTPUT_KEYS),
        "attributes": attributes,
        "resource": _resource(row),
        "scope": _scope(row),
        "events": _events(row),
        "links": _links(row),
        **{name: row[name] for name in _AS_STORED},
    }


def _first(attributes: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    return next((readable(attributes[key]) for key in keys if key in attributes), None)


def _usage(row: Mapping[str, Any]) -> dict[str, int | None]:
    given = [row[name] for name in ("input_tokens", "output_tokens") if row[name] is not None]
    return {
        "input_tokens": row["input_tokens"],
        "output_tokens": row["output_tokens"],
        "total_tokens": sum(given) if given else None,
        **{name: row[name] for name in _TOKENS},
    }


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
