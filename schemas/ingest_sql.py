"""Makes the SQL of the ingest: from the bytes of a request to the rows of `spans`, in three views.

    ingest         Null table: ClickHouse parses requests into it, as schemas/otlp.proto describes them
      unpack       view: one row a span; what is stored as sent; attributes as parallel arrays
    ingest_rows    Null table
      recognise    view: attributes by type, content apart, the canonical columns of schemas/dialects.py
    ingest_fields  Null table
      price        view: what counts, what it costs, or why that is not known
    spans

`python -m spanledger.schemas.ingest_sql` prints it; what it prints is committed as a migration, and a
test holds the two together. What its shape comes from:

* ClickHouse analyses a view anew for every insert, and that time grows faster than the text: three
  views instead of one, each a pile of stages with short names (an expression that refers to another
  of the same SELECT is analysed as if it were written out). It grows with columns times stages too:
  what is only passed on travels as one tuple (`sent`, `found`) and is taken apart in the last view.
* Arrays are unpacked level by level, so that what belongs to a resource is computed once for its spans.
* An attribute's key is looked up once, giving `slot * 256 + priority`. Sorted, the first entry of a slot
  is the value of the canonical column, however many spellings there are. Of equal keys the last counts.
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


def _columns(columns: Mapping[str, str]) -> str:
    """Columns by name and expression; one whose expression is its own name is passed on."""
    return ",\n    ".join(
        f"`{name}`" if expression == name else f"{expression} AS `{name}`"
        for name, expression in columns.items()
    )


def _member(path: str) -> str:
    """`a.b.c` as tupleElement calls: dotted, the analyser would look through all of a's subcolumns first."""
    column, *names = path.split(".")
    for name in names:
        column = f"tupleElement({column}, {_text(name)})"
    return column


def _staged(query: str, *stages: Mapping[str, str]) -> str:
    """Each stage adds columns to those of the one before it."""
    for stage in stages:
        query = f"SELECT *,\n    {_columns(stage)}\nFROM\n({query})"
    return query


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
    "if(isFinite({d}), concat(toString({d}), if({d} = trunc({d}) AND abs({d}) < 1e15, '.0', '')), "
    "concat('{{\"@double\":\"', toString({d}), '\"}}'))"
)


def _scalar_json(v: str, otherwise: str) -> str:
    which, double = _member(f"{v}.value"), _DOUBLE_JSON.format(d=_member(f"{v}.double_value"))
    data = f"base64Encode({_member(f'{v}.bytes_value')})"
    return (
        f"multiIf({which} = 'string', toJSONString({_member(f'{v}.string_value')}), "
        f"{which} = 'int', toString({_member(f'{v}.int_value')}), "
        f"{which} = 'bool', toString({_member(f'{v}.bool_value')}), {which} = 'double', {double}, "
        f"{which} = 'bytes', concat('{{\"@bytes\":\"', {data}, '\"}}'), {otherwise})"
    )


_ARRAY_JSON = (
    f"concat('[', arrayStringConcat(arrayMap(e -> {_scalar_json('e', _text('null'))}, "
    f"{_member('v.array_value.values')}), ','), ']')"
)
# A json_value that the gate did not write is an unknown field of OTLP, and those are ignored.
_VALUE_JSON = _scalar_json(
    "v",
    f"{_member('v.value')} = 'array', {_ARRAY_JSON}, "
    f"{_member('v.value')} = 'json' AND rewritten, {_member('v.json_value')}, 'null'",
)


def _json_maps(attribute_lists: str) -> str:
    """An array of attribute lists as an array of maps. One use of `value_json` costs the analyser 4 ms."""
    values = f"arrayMap(v -> value_json(v), {_member('x.value')})"
    return f"arrayMap(x -> mapFromArrays({_member('x.key')}, {values}), {attribute_lists})"


# --- unpack -------------------------------------------------------------------------------------------

_LAST_NANOSECOND = 2**63 - 1  # where DateTime64(9) ends
_SHARED = {
    "resource_attributes": "attributes_above[1]",
    "resource_schema_url": _member("rs.schema_url"),
    "resource_dropped_attributes_count": _member("rs.resource.dropped_attributes_count"),
    "scope_name": _member("ss.scope.name"),
    "scope_version": _member("ss.scope.version"),
    "scope_attributes": "attributes_above[2]",
    "scope_schema_url": _member("ss.schema_url"),
    "scope_dropped_attributes_count": _member("ss.scope.dropped_attributes_count"),
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


def _unpack() -> tuple[dict[str, str], dict[str, str], str]:
    """The columns stored as sent, the attributes as parallel arrays, and what both are selected from."""
    query = (
        "SELECT project, received_at, rewritten, arrayJoin(tupleElement(request, 'resource_spans')) AS rs\n"
        "FROM ingest"
    )
    query = f"SELECT *, arrayJoin({_member('rs.scope_spans')}) AS ss\nFROM\n({query})"
    both = f"[{_member('rs.resource.attributes')}, {_member('ss.scope.attributes')}]"
    query = _staged(query, {"attributes_above": _json_maps(both)})
    query = (
        f"SELECT project, received_at, rewritten,\n    {_columns(_SHARED)},\n    "
        "JSONExtractString(attributes_above[1]['service.name']) AS service,\n    "
        f"arrayJoin({_member('ss.spans')}) AS s\nFROM\n({query})"
    )
    query = _staged(
        query,
        {"attributes": _member("s.attributes"), "events": _member("s.events"), "links": _member("s.links")},
        {
            "values": _member("attributes.value"),
            "started": _time(_member("s.start_time_unix_nano")),
            "attributes_beside": _json_maps(
                f"arrayConcat({_member('events.attributes')}, {_member('links.attributes')})"
            ),
        },
    )
    return _sent(), _parallel_arrays() | {"started": "started"}, query


def _sent() -> dict[str, str]:
    start, end = _member("s.start_time_unix_nano"), _member("s.end_time_unix_nano")
    times = f"arrayMap(t -> {_time(f'least(t, {_LAST_NANOSECOND})')}, {_member('events.time_unix_nano')})"
    return (
        {"project": "project", "received_at": _time("received_at"), "service": "service"}
        | {name: name for name in _SHARED}
        | {name: _member(f"s.{name}") for name in _PLAIN}
        | {
            "trace_id": f"toFixedString({_member('s.trace_id')}, 16)",
            "span_id": f"toFixedString({_member('s.span_id')}, 8)",
            "parent_span_id": f"toFixedString({_member('s.parent_span_id')}, 8)",
            "start_time": "started",
            "end_time": _time(end),
            "duration_ns": f"if({end} > {start}, {end} - {start}, 0)",
            "status_code": _member("s.status.code"),
            "status_message": _member("s.status.message"),
            "events.time": times,
            "events.attributes": "arraySlice(attributes_beside, 1, length(events))",
            "links.attributes": "arraySlice(attributes_beside, length(events) + 1)",
        }
        | {f"events.{name}": _member(f"events.{name}") for name in ("name", "dropped_attributes_count")}
        | {
            f"links.{name}": _member(f"links.{name}")
            for name in ("trace_id", "span_id", "trace_state", "flags", "dropped_attributes_count")
        }
    )


def _parallel_arrays() -> dict[str, str]:
    structured = f"{_member('v.value')} IN {_STRUCTURED}"
    return {
        "keys": _member("attributes.key"),
        "types": _member("values.value"),
        "strings": _member("values.string_value"),
        "ints": _member("values.int_value"),
        "doubles": _member("values.double_value"),
        "bools": _member("values.bool_value"),
        "jsons": f"arrayMap(v -> if({structured}, value_json(v), ''), values)",
    }


def _time(nanoseconds: str) -> str:
    return f"fromUnixTimestamp64Nano(toInt64({nanoseconds}), 'UTC')"


# --- recognise ----------------------------------------------------------------------------------------

_CONTENT = 200 * 256  # codes from here on are content ...
_SENT_AGAIN = 255 * 256  # ... and this one is of an attribute whose key comes again later on
_RANK = 1 << 32
_CARRIED = ("sent", "started", "keys", "strings", "ints", "doubles", "bools", "jsons", "homes")
# The canonical columns that `price` reads; the last two are for it alone.
_PRICED_FROM = (
    "role",
    "provider",
    "request_model",
    "response_model",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "input_audio_tokens",
    "output_audio_tokens",
    "cost_reported_usd",
    "cost_origin",
    "cost_currency",
)


def _codes() -> dict[str, int]:
    """Attribute key -> slot * 256 + priority; slots count from 1, content follows from 200."""
    codes = {
        key: slot * 256 + priority
        for slot, field in enumerate(FIELDS, start=1)
        for priority, key in enumerate(field.keys)
    }
    return codes | {key: _CONTENT + n for n, key in enumerate(CONTENT_KEYS)}


def _recognise() -> tuple[dict[str, str], dict[str, str], str]:
    """The columns found in the attributes, those of them that `price` needs, and their source."""
    text = (
        f"multiIf(c = 0 OR c >= {_CONTENT}, '', t = 'string', s, t = 'int', toString(i), "
        "t = 'double', toString(d), j)"
    )
    rank = (
        f"if(c = 0 OR c >= {_CONTENT} OR t = 'none' OR (t = 'string' AND empty(s)), 0, "
        f"toUInt64(c) * {_RANK} + i)"
    )
    query = _staged(
        "SELECT * FROM ingest_rows",
        {
            "known": f"arrayMap(k -> {_mapped('k', _codes(), '0')}, keys)",
            # Not computed for a span whose keys are all different.
            "again": "if(arrayUniq(keys) = length(keys), [], "
            "arrayMap((k, i) -> has(arraySlice(keys, i + 1), k), keys, arrayEnumerate(keys)))",
        },
        {"codes": f"if(empty(again), known, arrayMap((c, a) -> if(a, {_SENT_AGAIN}, c), known, again))"},
        {
            "texts": f"arrayMap((c, t, s, i, d, j) -> {text}, codes, types, strings, ints, doubles, jsons)",
            "ranks": f"arraySort(arrayFilter(r -> r > 0, arrayMap((c, t, s, i) -> {rank}, "
            "codes, types, strings, arrayEnumerate(codes))))",
        },
        {
            "slots": f"arrayMap(r -> intDiv(r, {256 * _RANK}), ranks)",
            "places": f"arrayMap(r -> r % {_RANK}, ranks)",
            "homes": f"arrayMap((t, c) -> {_home()}, types, codes)",
        },
    )
    texts = {
        f"t_{field.column}": f"texts[places[indexOf(slots, {slot})]]"
        for slot, field in enumerate(FIELDS, start=1)
    }
    query = f"SELECT\n    {_columns({name: name for name in _CARRIED} | texts)}\nFROM\n({query})"
    fields = {field.column: _converted(field) for field in FIELDS}
    fields["role"] = _mapped("t_operation", ROLES, "'OTHER'")
    found = _attribute_maps() | {n: fields[n] for n in fields if n not in _PRICED_FROM}
    return found, {"started": "started"} | {name: fields[name] for name in _PRICED_FROM}, query


# Column of `spans` -> the array that its values come from; the number of the column is its `home`.
_MAPS = {
    "attributes_string": "strings",
    "attributes_int": "ints",
    "attributes_double": "doubles",
    "attributes_bool": "bools",
    "attributes_json": "jsons",
    "content_string": "strings",
    "content_json": "jsons",
}


def _home() -> str:
    """Which of _MAPS an attribute of type `t` and code `c` belongs to, counted from 1; 0: to none.

    Content is text or structured: a number under one of its keys is an attribute like others.
    """
    return (
        f"multiIf(c = {_SENT_AGAIN}, 0, t = 'string', if(c < {_CONTENT}, 1, 6), t = 'int', 2, "
        f"t = 'double', 3, t = 'bool', 4, if(c < {_CONTENT}, 5, 7))"
    )


def _attribute_maps() -> dict[str, str]:
    return {
        name: f"mapFromArrays(arrayFilter((k, h) -> h = {home}, keys, homes), "
        f"arrayFilter((v, h) -> h = {home}, {values}, homes))"
        for home, (name, values) in enumerate(_MAPS.items(), start=1)
    }


def _converted(field: Field) -> str:
    """The canonical column from the text that was found for it."""
    value = f"t_{field.column}"
    match field.kind:
        case "count":
            return f"toUInt64OrNull({value})"
        case "number":
            return f"if(isFinite(toFloat64OrNull({value})), toFloat64OrNull({value}), NULL)"
        case "money":
            return f"if(toDecimal128OrNull({value}, 18) >= 0, toDecimal128OrNull({value}, 18), NULL)"
        case "texts":
            many = f"JSONExtract({value}, 'Array(String)')"
            return f"if(startsWith({value}, '['), {many}, if({value} = '', [], [{value}]))"
    return value


# --- price --------------------------------------------------------------------------------------------


def _price() -> tuple[dict[str, str], str]:
    """The columns that `price` makes, and what they are selected from."""
    cached = "ifNull(cache_read_tokens, 0) + ifNull(cache_write_tokens, 0)"
    # A kind without a price of its own is paid as the kind that includes it.
    apart = ("cache_read", "cache_write", "input_audio", "reasoning", "output_audio")
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
            # LowCardinality: the rules are tried once for every model in a block, not for every span.
            "matched_model": "dictGet('{database}.price_match', 'price_model', (if(counted AND model != '', "
            "concat(price_provider, '/', model), ''))::LowCardinality(String))"
        },
        {
            "period": "dictGet('{database}.price_period', ('price_version', 'period', 'tier_starts'), "
            "tuple(matched_model), toDateTime(started))"
        },
        {
            "rate": f"dictGet('{{database}}.price_rate', ({', '.join(map(_text, RATES))}), "
            f"period.2 * {TIERS} + arrayCount(start -> start < all_input, period.3))"
        },
        {
            f"n_{name}": f"if({_price_of(name)} IS NULL, 0, toInt64(ifNull({name}_tokens, 0)))"
            for name in apart
        }
        | {
            "priced": " OR ".join(
                f"{_price_of(name)} IS NOT NULL" for name in ("input", "output", "request")
            ),
            "used": "all_input IS NOT NULL OR output_tokens IS NOT NULL",
        },
        {
            "n_input": "toInt64(ifNull(all_input, 0)) - n_cache_read - n_cache_write - n_input_audio",
            "n_output": "toInt64(ifNull(output_tokens, 0)) - n_reasoning - n_output_audio",
            "computable": "counted AND priced AND used AND n_input >= 0 AND n_output >= 0",
            # What the provider billed beats what we compute; what an application computed does not.
            "reported": "counted AND cost_reported_usd IS NOT NULL "
            "AND lower(cost_currency) IN ('', 'usd') AND (NOT computable OR cost_origin = 'provider')",
            "computed": "computable AND NOT reported",
            "computed_input": _sum("input", "cache_read", "cache_write", "input_audio"),
            "computed_output": _sum("output", "reasoning", "output_audio"),
        },
    )
    columns = {name: name for name in _PRICED_FROM[:-2]} | {
        "input_tokens": "all_input",
        "cost_input_usd": "if(computed, computed_input, NULL)",
        "cost_output_usd": "if(computed, computed_output, NULL)",
        "cost_usd": "multiIf(reported, cost_reported_usd, "
        "computed, computed_input + computed_output + "
        f"ifNull({_price_of('request')}, 0), NULL)",
        "cost_source": "multiIf(reported, 'reported', computed, 'computed', '')",
        "cost_reason": "multiIf(reported OR computed, '', NOT counted, if(used, 'not_counted', ''), "
        "NOT used, 'no_usage', model = '', 'no_model', "
        "matched_model = '', 'unknown_model', NOT priced, 'unit_not_priced', 'impossible_usage')",
        "price_model": "if(computed, matched_model, '')",
        "price_version": "if(computed, period.1, '')",
    }
    return columns, query


def _price_of(kind: str) -> str:
    return f"tupleElement(rate, {list(RATES).index(kind) + 1})"


def _sum(*kinds: str) -> str:
    return " + ".join(f"n_{kind} * ifNull({_price_of(kind)}, 0)" for kind in kinds)


# --- the statements -----------------------------------------------------------------------------------


def ingest_sql() -> str:
    """All statements of the ingest, in the order in which they must be run."""
    sent, arrays, requests = _unpack()
    found, fields, rows = _recognise()
    priced, known = _price()
    unpack = _packed("sent", sent, arrays, requests)
    recognise = _packed("found", found, {"sent": "sent"} | fields, rows)
    price = _taken_apart({"sent": sent, "found": found}, priced, known)
    return "\n".join(
        (
            "-- Made by `python -m spanledger.schemas.ingest_sql`; change that, not this.\n",
            _TABLE,
            _null_table("ingest_rows", unpack),
            _null_table("ingest_fields", recognise),
            # The way in is opened last: a row that no view takes up is lost.
            _view("price", "spans", price),
            _view("recognise", "ingest_fields", recognise),
            _view("unpack", "ingest_rows", unpack),
        )
    )


def _packed(name: str, members: Mapping[str, str], beside: Mapping[str, str], source: str) -> str:
    """Select the members as one tuple called `name`, and the columns beside it."""
    values = ",\n    ".join(members.values())
    return (
        f"WITH (v -> {_VALUE_JSON}) AS value_json\n"
        f"SELECT\n    {_columns(beside)},\n    tuple(\n    {values}) AS {name}\nFROM\n({source})"
    )


def _taken_apart(packed: Mapping[str, Iterable[str]], columns: Mapping[str, str], source: str) -> str:
    """Select the members of the tuples by their names, and `columns`.

    No expression of `columns` may refer to a source column that has the name of another of them.
    """
    members = {
        name: f"tupleElement({tuple_name}, {n})"
        for tuple_name, names in packed.items()
        for n, name in enumerate(names, start=1)
    }
    return f"SELECT\n    {_columns(members | dict(columns))}\nFROM\n({source})"


def _null_table(name: str, query: str) -> str:
    return f"CREATE TABLE IF NOT EXISTS {name} ENGINE = Null EMPTY AS\n{query};\n"


def _view(name: str, target: str, query: str) -> str:
    return f"CREATE MATERIALIZED VIEW IF NOT EXISTS {name} TO {target} AS\n{query};\n"


if __name__ == "__main__":
    print(ingest_sql(), end="")
