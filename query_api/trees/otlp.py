"""OTLP out of stored rows: what was sent, as it was sent, so that any collector can take it again.

Resources and scopes that are equal stand once, with their spans or records below them. A span's attributes
come by type, each type in the order in which it was sent; between the types the order is not stored.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson
from clickhouse_connect.driver.client import Client
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanledger.query_api.extents import OF_TRACE, of_traces
from spanledger.query_api.problems import TraceTooLarge

Row = Mapping[str, Any]
# A value is None, bool, int, float, str, bytes, list, or _Map. A message is a dict by the names of its
# fields, in which `attributes` is a list of keys with their values; what is empty is left out.
_Message = dict[str, Any]


class _Map(list[tuple[str, Any]]):
    """The members of a map in their order; a key may come twice."""


_ABOVE = """
    resource_attributes, resource_schema_url, resource_dropped_attributes_count,
    scope_name, scope_version, scope_attributes, scope_schema_url, scope_dropped_attributes_count"""
_ATTRIBUTES = (
    "attributes_string",
    "attributes_int",
    "attributes_double",
    "attributes_bool",
    "attributes_json",
    "content_string",
    "content_json",
)
# What OTLP is made of. Text columns are text; ids are hex, since links may have any bytes.
SPAN_COLUMNS = f"""
    hex(trace_id) AS trace, hex(span_id) AS span, hex(parent_span_id) AS parent,
    trace_state, flags, name, kind,
    toUnixTimestamp64Nano(start_time) AS start_ns, toUnixTimestamp64Nano(end_time) AS end_ns,
    status_code, status_message, {", ".join(_ATTRIBUTES)}, {_ABOVE},
    dropped_attributes_count, dropped_events_count, dropped_links_count,
    arrayMap(t -> toUnixTimestamp64Nano(t), events.time) AS event_times,
    events.name AS event_names, events.attributes AS event_attributes,
    events.dropped_attributes_count AS event_dropped,
    arrayMap(x -> hex(x), links.trace_id) AS link_trace_ids,
    arrayMap(x -> hex(x), links.span_id) AS link_span_ids,
    links.trace_state AS link_states, links.flags AS link_flags, links.attributes AS link_attributes,
    links.dropped_attributes_count AS link_dropped"""
LOG_COLUMNS = f"""
    hex(trace_id) AS trace, hex(span_id) AS span, flags,
    toUnixTimestamp64Nano(time) AS time_ns, toUnixTimestamp64Nano(observed_time) AS observed_ns,
    severity_number, severity_text, event_name, body, {", ".join(_ATTRIBUTES)}, {_ABOVE},
    dropped_attributes_count"""
MOST_LOGS = 50_000
_TRACE = """
WHERE project = {project:String} AND trace_id = toFixedString(unhex({trace_id:String}), 16)
ORDER BY """
LOGS_SQL = "".join(
    ("SELECT ", LOG_COLUMNS, "\nFROM logs FINAL", _TRACE, "time, span_id, id\nLIMIT {most:UInt32}")
)
SPANS_SQL = "".join(
    (
        "SELECT ",
        SPAN_COLUMNS,
        "\nFROM spans FINAL\nPREWHERE project = {project:String} AND ",
        OF_TRACE,
        "\nORDER BY start_time, span_id\nLIMIT {most:UInt32}",
    )
)


def read_spans(client: Client, project: str, trace_id: str, most: int) -> list[Row]:
    """The rows of `spans` of a trace. Raises TraceTooLarge beyond `most`."""
    return _read(client, SPANS_SQL, of_traces(client, [trace_id]) | {"project": project}, most)


def read_logs(client: Client, project: str, trace_id: str) -> list[Row]:
    """The rows of `logs` of a trace. Raises TraceTooLarge beyond MOST_LOGS."""
    return _read(client, LOGS_SQL, {"project": project, "trace_id": trace_id}, MOST_LOGS)


def _read(client: Client, sql: str, parameters: Mapping[str, Any], most: int) -> list[Row]:
    trace_id = parameters["trace_id"]
    result = client.query(sql, parameters={**parameters, "most": most + 1})
    if result.row_count > most:
        raise TraceTooLarge(f"Trace {trace_id} has more than {most:,} spans or log records")
    return list(result.named_results())


def spans_otlp(rows: Iterable[Row], *, as_json: bool) -> bytes:
    """Rows of `spans` as TracesData, which is an ExportTraceServiceRequest: JSON on a line, or protobuf."""
    whole = _grouped(rows, "resource_spans", "scope_spans", "spans", _span)
    return _written(whole, ExportTraceServiceRequest, as_json=as_json)


def logs_otlp(rows: Iterable[Row], *, as_json: bool) -> bytes:
    """Rows of `logs` as LogsData, which is an ExportLogsServiceRequest, too."""
    whole = _grouped(rows, "resource_logs", "scope_logs", "log_records", _record)
    return _written(whole, ExportLogsServiceRequest, as_json=as_json)


def _written(whole: _Message, kind: Callable[[], Message], *, as_json: bool) -> bytes:
    if as_json:
        return orjson.dumps(_json(whole))
    made = kind()
    _fill(made, whole)
    return made.SerializeToString()


def _grouped(
    rows: Iterable[Row], resources: str, scopes: str, items: str, item: Callable[[Row], _Message]
) -> _Message:
    above: dict[Any, _Message] = {}
    beside: dict[Any, _Message] = {}
    for row in rows:
        resource = (
            tuple(row["resource_attributes"].items()),
            row["resource_schema_url"],
            row["resource_dropped_attributes_count"],
        )
        if resource not in above:
            above[resource] = {
                "resource": {
                    "attributes": _texts(row["resource_attributes"]),
                    "dropped_attributes_count": row["resource_dropped_attributes_count"],
                },
                scopes: [],
                "schema_url": row["resource_schema_url"],
            }
        scope = (
            resource,
            row["scope_name"],
            row["scope_version"],
            tuple(row["scope_attributes"].items()),
            row["scope_schema_url"],
            row["scope_dropped_attributes_count"],
        )
        if scope not in beside:
            beside[scope] = {
                "scope": {
                    "name": row["scope_name"],
                    "version": row["scope_version"],
                    "attributes": _texts(row["scope_attributes"]),
                    "dropped_attributes_count": row["scope_dropped_attributes_count"],
                },
                items: [],
                "schema_url": row["scope_schema_url"],
            }
            above[resource][scopes].append(beside[scope])
        beside[scope][items].append(item(row))
    return {resources: list(above.values())}


def _span(row: Row) -> _Message:
    events = (row[f"event_{name}"] for name in ("times", "names", "attributes", "dropped"))
    links = (
        row[f"link_{name}"] for name in ("trace_ids", "span_ids", "states", "flags", "attributes", "dropped")
    )
    return {
        "trace_id": bytes.fromhex(row["trace"]),
        "span_id": bytes.fromhex(row["span"]),
        "trace_state": row["trace_state"],
        "parent_span_id": _id(row["parent"]),
        "flags": row["flags"],
        "name": row["name"],
        "kind": row["kind"],
        "start_time_unix_nano": row["start_ns"],
        "end_time_unix_nano": row["end_ns"],
        "attributes": _attributes(row),
        "dropped_attributes_count": row["dropped_attributes_count"],
        "events": [
            {
                "time_unix_nano": time,
                "name": name,
                "attributes": _texts(attributes),
                "dropped_attributes_count": dropped,
            }
            for time, name, attributes, dropped in zip(*events, strict=True)
        ],
        "dropped_events_count": row["dropped_events_count"],
        "links": [
            {
                "trace_id": bytes.fromhex(trace_id),
                "span_id": bytes.fromhex(span_id),
                "trace_state": state,
                "attributes": _texts(attributes),
                "dropped_attributes_count": dropped,
                "flags": flags,
            }
            for trace_id, span_id, state, flags, attributes, dropped in zip(*links, strict=True)
        ],
        "dropped_links_count": row["dropped_links_count"],
        "status": {"message": row["status_message"], "code": row["status_code"]},
    }


def _record(row: Row) -> _Message:
    return {
        "time_unix_nano": row["time_ns"],
        "observed_time_unix_nano": row["observed_ns"],
        "severity_number": row["severity_number"],
        "severity_text": row["severity_text"],
        "body": _value(row["body"]) if row["body"] else None,
        "attributes": _attributes(row),
        "dropped_attributes_count": row["dropped_attributes_count"],
        "flags": row["flags"],
        "trace_id": _id(row["trace"]),
        "span_id": _id(row["span"]),
        "event_name": row["event_name"],
    }


def _id(text: str) -> bytes:
    return b"" if not text.strip("0") else bytes.fromhex(text)


def _attributes(row: Row) -> _Map:
    found = _Map()
    for name in _ATTRIBUTES:
        stored = row[name]
        found += _texts(stored) if name.endswith("_json") else stored.items()
    return found


# --- values: from stored JSON text


def _texts(stored: Mapping[str, str]) -> _Map:
    return _Map((key, _value(text)) for key, text in stored.items())


def _value(text: str) -> Any:
    """What stored JSON text means; text that is none is itself."""
    if text[:1] == '"' and "\\" not in text:
        return text[1:-1]  # nearly all are plain strings
    try:
        return _unmarked(_decode(text))
    except (ValueError, RecursionError):
        return text


_decode = json.JSONDecoder(object_pairs_hook=_Map, strict=False).decode


def _unmarked(value: Any) -> Any:
    """With what stands for bytes and odd doubles as these; `values.py` tells of the marks."""
    if type(value) is list:
        return [_unmarked(item) for item in value]
    if not isinstance(value, _Map):
        return value
    if len(value) == 1:
        (key, inner), *_ = value
        if key == "@bytes" and isinstance(inner, str):
            try:
                return base64.b64decode(inner, validate=True)
            except binascii.Error:
                pass
        if key == "@double":
            return float(inner)
        if key == "@map" and isinstance(inner, _Map):
            return _Map((name, _unmarked(item)) for name, item in inner)
    return _Map((name, _unmarked(item)) for name, item in value)


# --- as protobuf


def _fill(message: Any, fields: _Message) -> None:  # noqa: C901 - one branch for each kind of field
    for name, value in fields.items():
        if name == "attributes":
            for key, inner in value:
                _put(message.attributes.add(key=key).value, inner)
        elif name == "body":
            if value is not None:
                _put(message.body, value)
        elif isinstance(value, dict):
            if any(value.values()):
                _fill(getattr(message, name), value)
        elif isinstance(value, list):
            for inner in value:
                _fill(getattr(message, name).add(), inner)
        elif value:
            setattr(message, name, value)


def _put(target: Any, value: Any) -> None:  # noqa: C901 - one branch for each type of value
    match value:
        case None:
            pass
        case bool():
            target.bool_value = value
        case int():
            if -(1 << 63) <= value < 1 << 63:
                target.int_value = value
            else:
                target.double_value = float(value)
        case float():
            target.double_value = value
        case str():
            target.string_value = value
        case bytes():
            target.bytes_value = value
        case _Map():
            target.kvlist_value.SetInParent()
            for key, inner in value:
                _put(target.kvlist_value.values.add(key=key).value, inner)
        case _:
            target.array_value.SetInParent()
            for inner in value:
                _put(target.array_value.values.add(), inner)


# --- as OTLP/JSON: names in camel case, ids in hex, integers of 64 bits as text


def _json(fields: _Message) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in fields.items():
        if name == "body":
            if value is not None:
                found[name] = _json_value(value)
        elif not value:
            continue
        elif name == "attributes":
            found[name] = _json_map(value)
        elif isinstance(value, dict):
            inner = _json(value)
            if inner:
                found[_camel(name)] = inner
        elif isinstance(value, list):
            found[_camel(name)] = [_json(inner) for inner in value]
        elif isinstance(value, bytes):
            found[_camel(name)] = value.hex()
        else:
            found[_camel(name)] = str(value) if name.endswith("_nano") else value
    return found


_CAMEL: dict[str, str] = {}


def _camel(name: str) -> str:
    if name not in _CAMEL:
        first, *more = name.split("_")
        _CAMEL[name] = first + "".join(word.capitalize() for word in more)
    return _CAMEL[name]


def _json_map(pairs: Iterable[tuple[str, Any]]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _json_value(value)} for key, value in pairs]


def _json_value(value: Any) -> dict[str, Any]:  # noqa: PLR0911 - one for each type of value
    match value:
        case None:
            return {}
        case bool():
            return {"boolValue": value}
        case int() if -(1 << 63) <= value < 1 << 63:
            return {"intValue": str(value)}
        case int() | float():
            return {"doubleValue": _json_double(float(value))}
        case str():
            return {"stringValue": value}
        case bytes():
            return {"bytesValue": base64.b64encode(value).decode()}
        case _Map():
            return {"kvlistValue": {"values": _json_map(value)}}
        case _:
            return {"arrayValue": {"values": [_json_value(inner) for inner in value]}}


def _json_double(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
