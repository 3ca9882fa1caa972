"""Makes the SQL of the ingest: from the bytes of a request to the rows of `spans`, in three views.

    ingest         Null table: ClickHouse parses requests into it, as schemas/otlp.proto describes them
      unpack       view: one row a span; its attributes as parallel arrays
    ingest_rows    Null table
      recognise    view: attributes by type, content apart, the canonical columns of schemas/dialects.py
    ingest_fields  Null table with the columns of `spans`
      price        view: what counts, what it costs, or why that is not known
    spans

`python -m spanledger.schemas.ingest_sql` prints it; what it prints is committed as a migration, and a
test holds the two together. What its shape comes from:

* ClickHouse analyses a view anew for every insert, and that time grows faster than the text: three
  views instead of one, each a pile of stages with short names. (An expression that refers to another
  of the same SELECT is analysed as if it were written out.)
* Arrays are unpacked level by level, so that what belongs to a resource is computed once for its spans.
* An attribute's key is looked up once, giving `slot * 256 + priority`. Sorted, the first entry of a slot
  is the value of the canonical column, however many spellings there are.
* No lambda refers to an array from outside itself: that array would be copied for every element.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from spanledger.schemas.dialects import (
    CONTENT_KEYS,
    COUNTED_ROLES,
    FIELDS,
    PRICE_PROVIDERS,
    ROLES,
    Field,
)
from spanledger.schemas.prices import RATES, TIERS


def _text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _list(values: Iterable[object]) -> str:
    return "[" + ", ".join(_text(v) if isinstance(v, str) else str(v) for v in values) + "]"


def _mapped(expression: str, mapping: Mapping[str, str | int], default: str) -> str:
    return f"transform({expression}, {_list(mapping)}, {_list(mapping.values())}, {default})"


# --- the Null table: schemas/otlp.proto as columns; the Enum says which member of the oneof was sent ---

_SCALARS = "string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String"
_ELEMENT = (
    "Tuple(value Enum8('none' = 0, 'string' = 1, 'bool' = 2, 'int' = 3, 'double' = 4, 'bytes' = 7), "
    f"{_SCALARS})"
)
_WHICH = "Enum8('none' = 0, 'string' = 1, 'bool' = 2, 'int' = 3, 'double' = 4, 'array' = 5, 'bytes' = 7, 'json' = 100)"
_STRUCTURED = "('none', 'array', 'bytes', 'json')"
_VALUE = f"Tuple(value {_WHICH}, {_SCALARS}, array_value Tuple(values Array({_ELEMENT})), json_value String)"
_ATTRIBUTES = f"attributes Array(Tuple(key String, value {_VALUE})), dropped_attributes_count UInt32"
_SPAN = (
    "Tuple(trace_id String, span_id String, trace_state String, parent_span_id String, name String, kind Int32, "
    f"start_time_unix_nano UInt64, end_time_unix_nano UInt64, {_ATTRIBUTES}, "
    f"events Array(Tuple(time_unix_nano UInt64, name String, {_ATTRIBUTES})), dropped_events_count UInt32, "
    f"links Array(Tuple(trace_id String, span_id String, trace_state String, flags UInt32, {_ATTRIBUTES})), "
    "dropped_links_count UInt32, status Tuple(message String, code Int32), flags UInt32)"
)
_RESOURCE_SPANS = (
    f"Tuple(resource Tuple({_ATTRIBUTES}), schema_url String, scope_spans Array(Tuple("
    f"scope Tuple(name String, version String, {_ATTRIBUTES}), schema_url String, spans Array({_SPAN}))))"
)
_TABLE = f"""\
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
    "multiIf(NOT isFinite({d}), concat('{{\"@double\":\"', toString({d}), '\"}}'), "
    "{d} = trunc({d}) AND abs({d}) < 1e15, concat(toString({d}), '.0'), toString({d}))"
)


def _scalar_json(value: str, otherwise: str) -> str:
    double = _DOUBLE_JSON.format(d=f"{value}.double_value")
    return (
        f"multiIf({value}.value = 'string', toJSONString({value}.string_value), "
        f"{value}.value = 'int', toString({value}.int_value), "
        f"{value}.value = 'bool', if({value}.bool_value, 'true', 'false'), {value}.value = 'double', {double}, "
        f"{value}.value = 'bytes', concat('{{\"@bytes\":\"', base64Encode({value}.bytes_value), '\"}}'), {otherwise})"
    )


_ARRAY_JSON = (
    "concat('[', arrayStringConcat(arrayMap(e -> "
    + _scalar_json("e", "'null'")
    + ", v.array_value.values), ','), ']')"
)
# A json_value that the gate did not write is an unknown field of OTLP, and those are ignored.
_VALUE_JSON = _scalar_json(
    "v", f"v.value = 'array', {_ARRAY_JSON}, v.value = 'json' AND rewritten, v.json_value, 'null'"
)


def _json_map(attributes: str) -> str:
    values = f"arrayMap(v -> value_json(v), {attributes}.value)"
    return f"mapFromArrays({attributes}.key, {values})::Map(LowCardinality(String), String)"


# --- unpack -------------------------------------------------------------------------------------------

_RESOURCE = {
    "resource_attributes": _json_map("rs.resource.attributes"),
    "resource_schema_url": "rs.schema_url",
    "resource_dropped_attributes_count": "rs.resource.dropped_attributes_count",
}
_SCOPE = {
    "scope_name": "ss.scope.name",
    "scope_version": "ss.scope.version",
    "scope_attributes": _json_map("ss.scope.attributes"),
    "scope_schema_url": "ss.schema_url",
    "scope_dropped_attributes_count": "ss.scope.dropped_attributes_count",
}
_ABOVE = ("service", *_RESOURCE, *_SCOPE)
_AS_SENT = (
    "trace_state",
    "flags",
    "name",
    "kind",
    "dropped_attributes_count",
    "dropped_events_count",
    "dropped_links_count",
)


def _unpack() -> tuple[dict[str, str], str]:
    """The columns of `ingest_rows` and what they are selected from."""
    rs = "SELECT project, received_at, rewritten, arrayJoin(request.resource_spans) AS rs FROM ingest"
    ss = (
        f"SELECT project, received_at, rewritten,\n    {_columns(_RESOURCE)},\n    "
        f"JSONExtractString(resource_attributes['service.name']) AS service,\n    arrayJoin(rs.scope_spans) AS ss\nFROM\n({rs})"
    )
    s = (
        f"SELECT project, received_at, rewritten, service, {', '.join(_RESOURCE)},\n    {_columns(_SCOPE)},\n    "
        f"arrayJoin(ss.spans) AS s\nFROM\n({ss})"
    )
    columns = (
        {"project": "project", "received_at": _time("received_at")}
        | {name: name for name in _ABOVE}
        | {name: f"s.{name}" for name in _AS_SENT}
        | {
            "trace_id": "toFixedString(s.trace_id, 16)",
            "span_id": "toFixedString(s.span_id, 8)",
            "parent_span_id": "toFixedString(s.parent_span_id, 8)",
            "start_time": _time("s.start_time_unix_nano"),
            "end_time": _time("s.end_time_unix_nano"),
            "duration_ns": "if(s.end_time_unix_nano > s.start_time_unix_nano, "
            "s.end_time_unix_nano - s.start_time_unix_nano, 0)",
            "status_code": "s.status.code",
            "status_message": "s.status.message",
            "keys": "s.attributes.key",
            "types": "s.attributes.value.value",
            "strings": "s.attributes.value.string_value",
            "ints": "s.attributes.value.int_value",
            "doubles": "s.attributes.value.double_value",
            "bools": "s.attributes.value.bool_value",
            "jsons": f"arrayMap(v -> if(v.value IN {_STRUCTURED}, value_json(v), ''), s.attributes.value)",
            "events.time": f"arrayMap(t -> {_time('least(t, 9223372036854775807)')}, s.events.time_unix_nano)",
        }
        | _nested("events", ("name",))
        | _nested("links", ("trace_id", "span_id", "trace_state", "flags"))
    )
    return columns, s


def _time(nanoseconds: str) -> str:
    return f"fromUnixTimestamp64Nano(toInt64({nanoseconds}), 'UTC')"


def _nested(array: str, plain: Iterable[str]) -> dict[str, str]:
    maps = f"arrayMap(x -> mapFromArrays(x.attributes.key, arrayMap(v -> value_json(v), x.attributes.value)), s.{array})"
    columns = {f"{array}.{name}": f"s.{array}.{name}" for name in (*plain, "dropped_attributes_count")}
    return columns | {f"{array}.attributes": maps}


# Canonical fields that only `price` looks at.
_HELPERS = ("cost_origin", "cost_currency")
# What `ingest_rows` has beside columns of `spans`: the attributes as parallel arrays.
_ATTRIBUTE_ARRAYS = {
    "keys": "Array(String)",
    "types": f"Array({_WHICH})",
    "strings": "Array(String)",
    "ints": "Array(Int64)",
    "doubles": "Array(Float64)",
    "bools": "Array(Bool)",
    "jsons": "Array(String)",
}

# --- recognise ----------------------------------------------------------------------------------------

_CONTENT = 200 * 256  # codes from here on are content
_RANK = 1 << 32


def _codes() -> dict[str, int]:
    """Attribute key -> slot * 256 + priority; slots count from 1, content follows from 200."""
    codes = {
        key: slot * 256 + priority
        for slot, field in enumerate(FIELDS, start=1)
        for priority, key in enumerate(field.keys)
    }
    return codes | {key: _CONTENT + n for n, key in enumerate(CONTENT_KEYS)}


def _recognise() -> tuple[dict[str, str], str]:
    """The columns that `recognise` makes and what they are selected from."""
    text = f"multiIf(c = 0 OR c >= {_CONTENT}, '', t = 'string', s, t = 'int', toString(i), t = 'double', toString(d), j)"
    # The rank is the code, then the position counted from the end: of two equal keys the later comes first.
    rank = (
        f"if(c = 0 OR c >= {_CONTENT} OR t = 'none' OR (t = 'string' AND empty(s)), 0, "
        f"toUInt64(c) * {_RANK} + {_RANK - 1} - i)"
    )
    query = _staged(
        "SELECT * FROM ingest_rows",
        {"codes": f"arrayMap(k -> {_mapped('k', _codes(), '0')}, keys)"},
        {
            "texts": f"arrayMap((c, t, s, i, d, j) -> {text}, codes, types, strings, ints, doubles, jsons)",
            "ranks": f"arraySort(arrayFilter(r -> r > 0, arrayMap((c, t, s, i) -> {rank}, codes, types, strings, "
            "arrayEnumerate(codes))))",
        },
        {
            "slots": f"arrayMap(r -> intDiv(r, {256 * _RANK}), ranks)",
            "places": f"arrayMap(r -> {_RANK - 1} - r % {_RANK}, ranks)",
        },
        {f"t_{f.column}": f"texts[places[indexOf(slots, {slot})]]" for slot, f in enumerate(FIELDS, start=1)},
    )
    attributes, content = f"c < {_CONTENT}", f"c >= {_CONTENT}"
    columns = (
        {
            "attributes_string": _typed_map("String", "= 'string'", "strings", attributes),
            "attributes_int": _typed_map("Int64", "= 'int'", "ints", attributes),
            "attributes_double": _typed_map("Float64", "= 'double'", "doubles", attributes),
            "attributes_bool": _typed_map("Bool", "= 'bool'", "bools", attributes),
            "attributes_json": _typed_map("String", f"IN {_STRUCTURED}", "jsons", attributes),
            "content_string": _typed_map("String", "= 'string'", "strings", content),
            "content_json": _typed_map("String", f"IN {_STRUCTURED}", "jsons", content),
        }
        | {field.column: _converted(field) for field in FIELDS}
        | {"role": _mapped("t_operation", ROLES, "'OTHER'")}
    )
    return columns, query


def _converted(field: Field) -> str:
    """The canonical column from the text that was found for it."""
    value = f"t_{field.column}"
    match field.kind:
        case "count":
            return f"toUInt64OrNull({value})"
        case "number":
            return f"if(isFinite(toFloat64OrNull({value})), toFloat64OrNull({value}), NULL)"
        case "money":
            return f"toDecimal128OrNull({value}, 18)"
        case "texts":
            many = f"JSONExtract({value}, 'Array(String)')"
            return f"if(startsWith({value}, '['), {many}, if({value} = '', [], [{value}]))"
    return value


def _typed_map(sql_type: str, which: str, values: str, side: str) -> str:
    keep = f"t {which} AND {side}"
    return (
        f"mapFromArrays(arrayFilter((k, t, c) -> {keep}, keys, types, codes), "
        f"arrayFilter((v, t, c) -> {keep}, {values}, types, codes))::Map(LowCardinality(String), {sql_type})"
    )


# --- price --------------------------------------------------------------------------------------------


def _price() -> tuple[dict[str, str], str]:
    """The columns that `price` makes and what they are selected from."""
    cached = "ifNull(cache_read_tokens, 0) + ifNull(cache_write_tokens, 0)"
    query = _staged(
        "SELECT * FROM ingest_fields",
        {
            "counted": f"has({_list(COUNTED_ROLES)}, role)",
            "model": "lower(if(response_model = '', request_model, response_model))",
            # An emitter that counts cached tokens beside the input, not within it, shows by this sum.
            "all_input": f"if({cached} > input_tokens, input_tokens + {cached}, input_tokens)",
            "price_provider": _mapped("lower(provider)", PRICE_PROVIDERS, "lower(provider)"),
        },
        {
            "matched_model": "dictGet('{database}.price_match', 'price_model', "
            "(if(counted AND model != '', concat(price_provider, '/', model), ''))::LowCardinality(String))"
        },
        {
            "period": "dictGet('{database}.price_period', ('price_version', 'period', 'tier_starts'), "
            "tuple(matched_model), toDateTime(start_time))"
        },
        {
            "rate": f"dictGet('{{database}}.price_rate', ({', '.join(map(_text, RATES))}), period.2 * {TIERS} + "
            "arrayCount(start -> start < all_input, period.3))"
        },
        {f"p_{name}": f"rate.{n}" for n, name in enumerate(RATES, start=1)},
        {
            # A kind without a price of its own is paid as the kind that includes it.
            "n_cache_read": _paid_apart("cache_read_tokens", "p_cache_read"),
            "n_cache_write": _paid_apart("cache_write_tokens", "p_cache_write"),
            "n_input_audio": _paid_apart("input_audio_tokens", "p_input_audio"),
            "n_reasoning": _paid_apart("reasoning_tokens", "p_reasoning"),
            "n_output_audio": _paid_apart("output_audio_tokens", "p_output_audio"),
            "priced": "p_input IS NOT NULL OR p_output IS NOT NULL",
            "used": "all_input IS NOT NULL OR output_tokens IS NOT NULL",
        },
        {
            "n_input": "toInt64(ifNull(all_input, 0)) - n_cache_read - n_cache_write - n_input_audio",
            "n_output": "toInt64(ifNull(output_tokens, 0)) - n_reasoning - n_output_audio",
        },
        {"computable": "counted AND priced AND used AND n_input >= 0 AND n_output >= 0"},
        {
            # What the provider billed beats what we compute; what an application computed does not.
            "reported": "counted AND cost_reported_usd IS NOT NULL AND lower(cost_currency) IN ('', 'usd') "
            "AND (NOT computable OR cost_origin = 'provider')"
        },
        {
            "computed": "computable AND NOT reported",
            "computed_input": _sum(
                ("n_input", "p_input"),
                ("n_cache_read", "p_cache_read"),
                ("n_cache_write", "p_cache_write"),
                ("n_input_audio", "p_input_audio"),
            ),
            "computed_output": _sum(
                ("n_output", "p_output"), ("n_reasoning", "p_reasoning"), ("n_output_audio", "p_output_audio")
            ),
        },
    )
    columns = {
        "input_tokens": "all_input",
        "cost_input_usd": "if(computed, computed_input, NULL)",
        "cost_output_usd": "if(computed, computed_output, NULL)",
        "cost_usd": "multiIf(reported, cost_reported_usd, computed, computed_input + computed_output, NULL)",
        "cost_source": "multiIf(reported, 'reported', computed, 'computed', '')",
        "cost_reason": "multiIf(reported OR computed, '', NOT counted, if(used, 'not_counted', ''), "
        "NOT used, 'no_usage', model = '', 'no_model', NOT priced, 'unknown_model', 'impossible_usage')",
        "price_model": "if(computed, matched_model, '')",
        "price_version": "if(computed, period.1, '')",
    }
    return columns, query


def _paid_apart(tokens: str, price: str) -> str:
    return f"if({price} IS NULL, 0, toInt64(ifNull({tokens}, 0)))"


def _sum(*parts: tuple[str, str]) -> str:
    return " + ".join(f"{count} * ifNull({price}, 0)" for count, price in parts)


# --- the statements -----------------------------------------------------------------------------------


def _staged(query: str, *stages: Mapping[str, str]) -> str:
    """Each stage adds columns to those of the one before it."""
    for stage in stages:
        query = f"SELECT *,\n    {_columns(stage)}\nFROM\n({query})"
    return query


def _columns(columns: Mapping[str, str]) -> str:
    return ",\n    ".join(
        f"`{name}`" if expression == name else f"{expression} AS `{name}`"
        for name, expression in columns.items()
    )


def _view(
    name: str, target: str, columns: Mapping[str, str], source: str, *, passed: Iterable[str] = ()
) -> str:
    """A view whose columns get their final names one level up: an alias that is also a column of the
    source would be taken for the source's.
    """
    inner = {f"x{n}": expression for n, expression in enumerate(columns.values())}
    outer = {column: f"x{n}" for n, column in enumerate(columns)}
    kept = "".join(f"`{column}`, " for column in passed)
    return (
        f"CREATE MATERIALIZED VIEW IF NOT EXISTS {name} TO {target} AS\n"
        f"WITH (v -> {_VALUE_JSON}) AS value_json\n"
        f"SELECT\n    {kept}{_columns(outer)}\nFROM\n(SELECT\n    {kept}{_columns(inner)}\nFROM\n({source}));\n"
    )


def ingest_sql() -> str:
    """All statements of the ingest, in the order in which they must be run."""
    unpacked, requests = _unpack()
    recognised, rows = _recognise()
    priced, fields = _price()
    as_spans = [name for name in unpacked if name not in _ATTRIBUTE_ARRAYS]
    arrays = ",\n    ".join(
        f"ADD COLUMN IF NOT EXISTS {name} {kind}" for name, kind in _ATTRIBUTE_ARRAYS.items()
    )
    helpers = [field.column for field in FIELDS if field.column in _HELPERS]
    more = ",\n    ".join(f"ADD COLUMN IF NOT EXISTS {name} LowCardinality(String)" for name in helpers)
    known = [*as_spans, *(name for name in recognised if name not in (*helpers, *priced))]
    return "\n".join(
        (
            "-- Made by `python -m spanledger.schemas.ingest_sql`; change that, not this.\n",
            _TABLE,
            f"CREATE TABLE IF NOT EXISTS ingest_rows AS spans ENGINE = Null;\n\nALTER TABLE ingest_rows\n    {arrays};\n",
            f"CREATE TABLE IF NOT EXISTS ingest_fields AS spans ENGINE = Null;\n\nALTER TABLE ingest_fields\n    {more};\n",
            # From the last to the first: a request that comes in between waits in no table, it would be lost.
            _view("price", "spans", priced, fields, passed=known),
            _view("recognise", "ingest_fields", recognised, rows, passed=as_spans),
            _view("unpack", "ingest_rows", unpacked, requests),
        )
    )


if __name__ == "__main__":
    print(ingest_sql(), end="")
