"""The first view of the ingest: one row a span, what is stored as sent, attributes as parallel arrays.

What belongs to a resource is computed once for its spans. See ingest_sql.py for the whole.
"""

from __future__ import annotations

from spanledger.schemas.sql_text import member, quoted, select_list, staged

# --- the Null table: schemas/otlp.proto as columns; the Enum says which member of the oneof was sent ---

_KINDS = "'none' = 0, 'string' = 1, 'bool' = 2, 'int' = 3, 'double' = 4"
_SCALARS = "string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String"
_ELEMENT = f"Tuple(value Enum8({_KINDS}, 'bytes' = 7), {_SCALARS})"
_VALUE = (
    f"Tuple(value Enum8({_KINDS}, 'array' = 5, 'bytes' = 7, 'json' = 100), {_SCALARS}, "
    f"array_value Tuple(values Array({_ELEMENT})), json_value String)"
)
_STRUCTURED = "('none', 'array', 'bytes', 'json')"
_ATTRIBUTES = f"attributes Array(Tuple(key String, value {_VALUE})), dropped_attributes_count UInt32"
_SPAN = (
    "Tuple(trace_id String, span_id String, trace_state String, parent_span_id String, name String, "
    f"kind Int32, start_time_unix_nano UInt64, end_time_unix_nano UInt64, {_ATTRIBUTES}, "
    f"events Array(Tuple(time_unix_nano UInt64, name String, {_ATTRIBUTES})), dropped_events_count UInt32, "
    "links Array(Tuple(trace_id String, span_id String, trace_state String, flags UInt32, "
    f"{_ATTRIBUTES})), dropped_links_count UInt32, status Tuple(message String, code Int32), flags UInt32)"
)
_RESOURCE_SPANS = (
    f"Tuple(resource Tuple({_ATTRIBUTES}), schema_url String, scope_spans Array(Tuple("
    f"scope Tuple(name String, version String, {_ATTRIBUTES}), schema_url String, spans Array({_SPAN}))))"
)
TABLE = f"""\
CREATE TABLE IF NOT EXISTS ingest
(
    project String,
    received_at UInt64,
    request Tuple(resource_spans Array({_RESOURCE_SPANS})),
    rewritten Bool
)
ENGINE = Null;
"""

# --- values as JSON text. A double keeps its point, so that its type can be read back; what JSON lacks
# --- (bytes, NaN, infinities) is an object whose only key starts with @ -------------------------------

_DOUBLE_JSON = (
    "if(isFinite({d}), concat(toString({d}), if({d} = trunc({d}) AND abs({d}) < 1e15, '.0', '')), "
    "concat('{{\"@double\":\"', toString({d}), '\"}}'))"
)


def _scalar_json(v: str, otherwise: str) -> str:
    which, double = member(f"{v}.value"), _DOUBLE_JSON.format(d=member(f"{v}.double_value"))
    data = f"base64Encode({member(f'{v}.bytes_value')})"
    return (
        f"multiIf({which} = 'string', toJSONString({member(f'{v}.string_value')}), "
        f"{which} = 'int', toString({member(f'{v}.int_value')}), "
        f"{which} = 'bool', toString({member(f'{v}.bool_value')}), {which} = 'double', {double}, "
        f"{which} = 'bytes', concat('{{\"@bytes\":\"', {data}, '\"}}'), {otherwise})"
    )


_ARRAY_JSON = (
    f"concat('[', arrayStringConcat(arrayMap(e -> {_scalar_json('e', quoted('null'))}, "
    f"{member('v.array_value.values')}), ','), ']')"
)
# A json_value that the gate did not write is an unknown field of OTLP, and those are ignored.
VALUE_JSON = _scalar_json(
    "v",
    f"{member('v.value')} = 'array', {_ARRAY_JSON}, "
    f"{member('v.value')} = 'json' AND rewritten, {member('v.json_value')}, 'null'",
)


def _json_maps(attribute_lists: str) -> str:
    """An array of attribute lists as an array of maps. One use of `value_json` costs the analyser 4 ms."""
    values = f"arrayMap(v -> value_json(v), {member('x.value')})"
    return f"arrayMap(x -> mapFromArrays({member('x.key')}, {values}), {attribute_lists})"


# --- the view -----------------------------------------------------------------------------------------

_LAST_NANOSECOND = 2**63 - 1  # where DateTime64(9) ends
_SHARED = {
    "resource_attributes": "attributes_above[1]",
    "resource_schema_url": member("rs.schema_url"),
    "resource_dropped_attributes_count": member("rs.resource.dropped_attributes_count"),
    "scope_name": member("ss.scope.name"),
    "scope_version": member("ss.scope.version"),
    "scope_attributes": "attributes_above[2]",
    "scope_schema_url": member("ss.schema_url"),
    "scope_dropped_attributes_count": member("ss.scope.dropped_attributes_count"),
}
_PLAIN = (
    "trace_state",
    "flags",
    "name",
    "kind",
    "dropped_attributes_count",
    "dropped_events_count",
    "dropped_links_count",
)


def unpack_view() -> tuple[dict[str, str], dict[str, str], str]:
    """The columns stored as sent, the attributes as parallel arrays, and what both are selected from."""
    query = (
        "SELECT project, received_at, rewritten, arrayJoin(tupleElement(request, 'resource_spans')) AS rs\n"
        "FROM ingest"
    )
    query = f"SELECT *, arrayJoin({member('rs.scope_spans')}) AS ss\nFROM\n({query})"
    both = f"[{member('rs.resource.attributes')}, {member('ss.scope.attributes')}]"
    query = staged(query, {"attributes_above": _json_maps(both)})
    query = (
        f"SELECT project, received_at, rewritten,\n    {select_list(_SHARED)},\n    "
        "JSONExtractString(attributes_above[1]['service.name']) AS service,\n    "
        f"arrayJoin({member('ss.spans')}) AS s\nFROM\n({query})"
    )
    query = staged(
        query,
        {"attributes": member("s.attributes"), "events": member("s.events"), "links": member("s.links")},
        {
            "values": member("attributes.value"),
            "started": _time(member("s.start_time_unix_nano")),
            "attributes_beside": _json_maps(
                f"arrayConcat({member('events.attributes')}, {member('links.attributes')})"
            ),
        },
    )
    return _sent(), _parallel_arrays() | {"started": "started"}, query


def _sent() -> dict[str, str]:
    start, end = member("s.start_time_unix_nano"), member("s.end_time_unix_nano")
    times = f"arrayMap(t -> {_time(f'least(t, {_LAST_NANOSECOND})')}, {member('events.time_unix_nano')})"
    return (
        {"project": "project", "received_at": _time("received_at"), "service": "service"}
        | {name: name for name in _SHARED}
        | {name: member(f"s.{name}") for name in _PLAIN}
        | {
            "trace_id": f"toFixedString({member('s.trace_id')}, 16)",
            "span_id": f"toFixedString({member('s.span_id')}, 8)",
            "parent_span_id": f"toFixedString({member('s.parent_span_id')}, 8)",
            "start_time": "started",
            "end_time": _time(end),
            "duration_ns": f"if({end} > {start}, {end} - {start}, 0)",
            "status_code": member("s.status.code"),
            "status_message": member("s.status.message"),
            "events.time": times,
            "events.attributes": "arraySlice(attributes_beside, 1, length(events))",
            "links.attributes": "arraySlice(attributes_beside, length(events) + 1)",
        }
        | {f"events.{name}": member(f"events.{name}") for name in ("name", "dropped_attributes_count")}
        | {
            f"links.{name}": member(f"links.{name}")
            for name in ("trace_id", "span_id", "trace_state", "flags", "dropped_attributes_count")
        }
    )


def _parallel_arrays() -> dict[str, str]:
    structured = f"{member('v.value')} IN {_STRUCTURED}"
    return {
        "keys": member("attributes.key"),
        "types": member("values.value"),
        "strings": member("values.string_value"),
        "ints": member("values.int_value"),
        "doubles": member("values.double_value"),
        "bools": member("values.bool_value"),
        "jsons": f"arrayMap(v -> if({structured}, value_json(v), ''), values)",
    }


def _time(nanoseconds: str) -> str:
    return f"fromUnixTimestamp64Nano(toInt64({nanoseconds}), 'UTC')"
