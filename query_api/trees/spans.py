"""Spans: the rows of one trace as the nodes of its tree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise, repeat
from typing import Any

from clickhouse_connect.driver.client import Client

from spanledger.query_api.extents import OF_TRACE, of_traces
from spanledger.query_api.garbage import held_off
from spanledger.query_api.messages.read import Conversation, Known, read_messages
from spanledger.query_api.problems import TraceTooLarge
from spanledger.query_api.times import format_time, milliseconds
from spanledger.query_api.trees.fields import EVERYTHING
from spanledger.query_api.trees.logs import Record, read_logs
from spanledger.query_api.trees.summary import summary_of
from spanledger.query_api.trees.tree import Node, Span, Text, build_tree, encode, tree_text, walk
from spanledger.query_api.values import merged, money, readable, status_name, typed_map
from spanledger.schemas.errors import NotFound

MOST_SPANS = 50_000

_Columns = Mapping[str, Sequence[Any]]  # of the rows of a trace, by name

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
PREWHERE project = {{project:String}} AND {OF_TRACE}
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
_MESSAGES = Conversation._fields[:4]  # input, output, system_instructions, tool_definitions
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


def trace_json(
    client: Client, project: str, trace_id: str, groups: frozenset[str] = EVERYTHING
) -> list[Text]:
    """The whole trace as the API answers it, with these groups of fields, in parts.

    Raises NotFound; TraceTooLarge beyond MOST_SPANS spans.
    """
    with held_off():
        return _trace_json(client, project, trace_id, groups)


def _trace_json(client: Client, project: str, trace_id: str, groups: frozenset[str]) -> list[Text]:
    columns = read_columns(client, project, trace_id, spans_sql(groups))
    if not columns or not columns["id"]:
        raise NotFound(f"No trace {trace_id} is stored")
    logs = read_logs(client, project, trace_id) if "content" in groups else {}
    summary = summary_of(trace_id, columns)
    spans = [
        Span(start, span_id, parent or None, number)
        for number, (start, span_id, parent) in enumerate(
            zip(columns["start_ns"], columns["id"], columns["parent"], strict=True)
        )
    ]
    roots = build_tree(spans)
    _hand_down(roots, columns)
    columns |= _marks(roots, len(spans))
    texts = _in_one(_texts(columns, groups, logs))
    return tree_text(summary, roots, lambda node: texts[node["span"].fields])


def _in_one(texts: Iterable[bytes]) -> list[memoryview]:
    """The texts, in one piece of memory: thousands of small ones leave holes behind that nothing fits in."""
    written, ends = bytearray(), [0]
    for text in texts:
        written += text
        ends.append(len(written))
    whole = memoryview(written)
    return [whole[start:end] for start, end in pairwise(ends)]


def _marks(roots: Iterable[Node], count: int) -> dict[str, list[Any]]:
    """What the tree says of each span. Only roots have marks, and what stands below placeholders."""
    marks: dict[str, list[Any]] = {
        "orphan": [False] * count,
        "missing_parent_id": [None] * count,
        "cycle": [False] * count,
    }
    for root in roots:
        for node in root["children"] if root["span"] is None else (root,):
            for name, column in marks.items():
                column[node["span"].fields] = node[name]
    return marks


def _hand_down(roots: Sequence[Node], columns: Mapping[str, list[Any]]) -> None:
    """Who names no conversation or user has those of the span above: many libraries name them at the top."""
    named = [columns[name] for name in ("conversation_id", "user_id")]
    unlike = [column for column in named if any(column) and not all(column)]
    if not unlike:
        return
    for _, node in walk(roots):
        if node["span"] is None or not node["children"]:
            continue
        for column in unlike:
            said = column[node["span"].fields]
            if said:
                for child in node["children"]:
                    column[child["span"].fields] = column[child["span"].fields] or said


def read_columns(client: Client, project: str, trace_id: str, sql: str) -> dict[str, list[Any]]:
    """The spans of a trace, each once, in no order: columns by name; none of them where there is no span."""
    parameters = of_traces(client, [trace_id]) | {"project": project, "most": MOST_SPANS + 1}
    result = client.query(sql, parameters=parameters, column_oriented=True)
    columns = dict(zip(result.column_names, map(list, result.result_columns), strict=False))
    if columns and len(columns["id"]) > MOST_SPANS:
        raise TraceTooLarge(f"Trace {trace_id} has more than {MOST_SPANS:,} spans")
    return columns


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


def _texts(
    columns: _Columns, groups: frozenset[str], logs: Mapping[str, Sequence[Record]]
) -> Iterator[bytes]:
    """The node of each span as JSON without its children, in the order of the rows.

    Whole columns are made ready first, which is cheap. What is large is made and written span by span, so
    that few objects are alive.
    """
    fields = _fields(columns, groups)
    names = tuple(fields)
    with_call, with_content = "call" in groups, "content" in groups
    with_attributes, with_events = "attributes" in groups, "events" in groups
    known: Known = {}
    attributes = _attributes(columns, with_content=with_content)
    events = _events(columns)
    for row, sent, happened in zip(zip(*fields.values(), strict=False), attributes, events, strict=False):
        found = dict(zip(names, row, strict=True))
        if with_content:
            read = read_messages(sent, happened, logs.get(found["span_id"], ()), known)
            if with_call and not found["finish_reasons"]:
                found["finish_reasons"] = _finish_reasons(read)
            _add_messages(found, read)
        if with_attributes:
            found["attributes"] = sent
        if with_events:
            found["events"] = happened
        yield encode(found)


def _fields(columns: _Columns, groups: frozenset[str]) -> dict[str, Iterable[Any]]:
    """The columns of the answer by name, in its order; of what is made span by span only the place."""
    found: dict[str, Iterable[Any]] = {
        "placeholder": repeat(False),
        "span_id": columns["id"],
        "parent_span_id": _or_none(columns["parent"]),
        "name": columns["name"],
        "kind": [KINDS[kind] if 0 <= kind < len(KINDS) else KINDS[0] for kind in columns["kind"]],
        "kind_number": columns["kind"],
        "role": columns["role"],
        "service": _or_none(columns["service"]),
        "status": map(status_name, columns["status_code"]),
        "status_message": columns["status_message"],
        "start_time": map(format_time, columns["start_ns"]),
        "end_time": map(format_time, columns["end_ns"]),
        "duration_ms": map(milliseconds, columns["duration_ns"]),
        "conversation_id": _or_none(columns["conversation_id"]),
        "user_id": _or_none(columns["user_id"]),
        "experiment_id": _or_none(columns["experiment_id"]),
    }
    if "call" in groups:
        found |= _call(columns)
    if "content" in groups:
        found |= dict.fromkeys((*_MESSAGES, "messages_from", "messages_as_sent"), repeat(None))
    if "attributes" in groups:
        found |= {"attributes": repeat(None), "attributes_cut": columns["attributes_cut"]}
    typed_once = _Typed()
    if "resource" in groups:
        found["resource"] = _objects(
            {
                "attributes": map(typed_once, columns["resource_attributes"]),
                "schema_url": columns["resource_schema_url"],
                "dropped_attributes_count": columns["resource_dropped_attributes_count"],
            }
        )
    if "scope" in groups:
        found["scope"] = _objects(
            {
                "name": columns["scope_name"],
                "version": columns["scope_version"],
                "attributes": map(typed_once, columns["scope_attributes"]),
                "schema_url": columns["scope_schema_url"],
                "dropped_attributes_count": columns["scope_dropped_attributes_count"],
            }
        )
    if "events" in groups:
        found["events"] = repeat(None)
    if "links" in groups:
        found["links"] = _links(columns)
    if "otlp" in groups:
        found |= {name: columns[name] for name in _AS_STORED}
    found |= {name: columns[name] for name in ("orphan", "missing_parent_id", "cycle")}
    return found | {"children": repeat(())}


def _or_none(column: Iterable[str]) -> list[str | None]:
    return [text or None for text in column]


def _objects(members: Mapping[str, Iterable[Any]]) -> Iterator[dict[str, Any]]:
    """An object for each row."""
    names = tuple(members)
    return (dict(zip(names, row, strict=True)) for row in zip(*members.values(), strict=True))


_AS_STORED = (
    "trace_state",
    "flags",
    "dropped_attributes_count",
    "dropped_events_count",
    "dropped_links_count",
)


def _attributes(columns: _Columns, *, with_content: bool) -> Iterator[dict[str, Any]]:
    """The attributes of each span, where they are read."""
    if "attributes_string" not in columns:
        return repeat({})
    kinds = ["attributes_string", "attributes_int", "attributes_double", "attributes_bool", "attributes_json"]
    if not with_content:
        return map(merged, *(columns[name] for name in kinds))
    strings = (
        {**plain, **content}
        for plain, content in zip(columns["attributes_string"], columns["content_string"], strict=True)
    )
    return map(merged, strings, *(columns[name] for name in (*kinds[1:], "content_json")))


def _call(columns: _Columns) -> dict[str, Iterable[Any]]:
    models = zip(columns["response_model"], columns["request_model"], strict=True)
    return {
        **{name: _or_none(columns[name]) for name in _TEXTS},
        "model": [answered or asked or None for answered, asked in models],
        "tags": columns["tags"],
        "finish_reasons": columns["finish_reasons"],
        "time_to_first_chunk_s": columns["time_to_first_chunk_s"],
        "usage": _usage(columns),
        "counted": columns["counted"],
        "duplicate_of": map(_duplicate_of, columns["duplicate"]),
        "cost": _cost(columns),
    }


def _finish_reasons(read: Conversation) -> list[str]:
    """Those of the answers, for a span that has none: of streams some libraries send them only there."""
    if read.output is None or read.output.as_sent or not isinstance(read.output.value, list):
        return []
    reasons = (answer.get("finish_reason") for answer in read.output.value if isinstance(answer, dict))
    return [reason for reason in reasons if isinstance(reason, str) and reason]


def _add_messages(found: dict[str, Any], read: Conversation) -> None:
    """What is shown of the messages, where it was found, and what of it could not be read."""
    sources: dict[str, tuple[str, ...]] = {}
    as_sent: list[str] = []
    for name, each in zip(_MESSAGES, read, strict=False):
        if each is None:
            continue
        sources[name] = each.source
        found[name] = each.value
        if each.as_sent:
            found[name] = readable(each.value)
            as_sent.append(name)
    found["messages_from"], found["messages_as_sent"] = sources, as_sent


def _duplicate_of(ids: str) -> dict[str, str] | None:
    return {"trace_id": ids[:32], "span_id": ids[32:]} if ids else None


def _usage(columns: _Columns) -> Iterator[dict[str, Any]]:
    asked, answered = columns["input_tokens"], columns["output_tokens"]
    return _objects(
        {
            "input_tokens": asked,
            "output_tokens": answered,
            "total_tokens": map(_total, asked, answered),
            **{name: columns[name] for name in _TOKENS},
            "other": map(_other, columns["usage"]),
            "flags": columns["usage_flags"],
        }
    )


def _total(asked: int | None, answered: int | None) -> int | None:
    return answered if asked is None else asked if answered is None else asked + answered


def _other(usage: Mapping[str, int]) -> dict[str, int | float]:
    return {name: _count(name, usage[name]) for name in sorted(usage)} if usage else {}


def _count(unit: str, count: int) -> int | float:
    """Durations are stored in microseconds."""
    return count / 1e6 if unit.endswith("_seconds") else count


def _cost(columns: _Columns) -> Iterator[dict[str, str | None]]:
    return _objects(
        {
            "usd": map(money, columns["cost_usd"]),
            "input_usd": map(money, columns["cost_input_usd"]),
            "output_usd": map(money, columns["cost_output_usd"]),
            "source": _or_none(columns["cost_source"]),
            "reason": _or_none(columns["cost_reason"]),
            "price_model": _or_none(columns["price_model"]),
            "price_version": _or_none(columns["price_version"]),
            "reported_usd": map(money, columns["cost_reported_usd"]),
            "computed_usd": map(money, columns["cost_computed_usd"]),
            "origin": _or_none(columns["cost_origin"]),
        }
    )


def _events(columns: _Columns) -> Iterator[list[dict[str, Any]]]:
    """The events of each span, where they are read, and with their attributes where those are."""
    if not any(columns.get("event_times", ())):
        return repeat([])
    attributes: Iterable[Sequence[Mapping[str, str]]] = columns.get("event_attributes", repeat(()))
    return map(
        _events_of, columns["event_times"], columns["event_names"], columns["event_dropped"], attributes
    )


def _events_of(
    times: Sequence[int],
    names: Sequence[str],
    dropped: Sequence[int],
    attributes: Sequence[Mapping[str, str]],
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"time": format_time(time), "name": name, "dropped_attributes_count": count}
        for time, name, count in zip(times, names, dropped, strict=True)
    ]
    for event, stored in zip(found, attributes, strict=False):
        event["attributes"] = typed_map(stored)
    return found


def _links(columns: _Columns) -> Iterator[list[dict[str, Any]]]:
    if not any(columns["link_trace_ids"]):
        return repeat([])
    names = ("trace_ids", "span_ids", "states", "flags", "attributes", "dropped")
    return map(_links_of, *(columns[f"link_{name}"] for name in names))


def _links_of(*columns: Sequence[Any]) -> list[dict[str, Any]]:
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
