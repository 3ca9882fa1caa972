"""The second view of the ingest: attributes by type, content apart, and the canonical columns.

An attribute's key is looked up once, giving `slot * 256 + priority`. Sorted, the first entry of a slot is
the value of the canonical column, however many spellings there are. Of equal keys the last counts.
"""

from __future__ import annotations

from spanledger.schemas.dialects import CONTENT_KEYS, FIELDS, ROLES, Field
from spanledger.schemas.sql_text import mapped, select_list, staged

_CONTENT = 200 * 256  # codes from here on are content ...
_SENT_AGAIN = 255 * 256  # ... and this one is of an attribute whose key comes again later on
_RANK = 1 << 32
_CARRIED = ("sent", "started", "keys", "strings", "ints", "doubles", "bools", "jsons", "homes")
# The canonical columns that `price` reads; the last two are for it alone.
PRICED_FROM = (
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


def recognise_view() -> tuple[dict[str, str], dict[str, str], str]:
    """The columns found in the attributes, those of them that `price` needs, and their source."""
    text = (
        f"multiIf(c = 0 OR c >= {_CONTENT}, '', t = 'string', s, t = 'int', toString(i), "
        "t = 'double', toString(d), j)"
    )
    rank = (
        f"if(c = 0 OR c >= {_CONTENT} OR t = 'none' OR (t = 'string' AND empty(s)), 0, "
        f"toUInt64(c) * {_RANK} + i)"
    )
    query = staged(
        "SELECT * FROM ingest_rows",
        {
            "known": f"arrayMap(k -> {mapped('k', _codes(), '0')}, keys)",
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
    query = f"SELECT\n    {select_list({name: name for name in _CARRIED} | texts)}\nFROM\n({query})"
    fields = {field.column: _converted(field) for field in FIELDS}
    fields["role"] = mapped("t_operation", ROLES, "'OTHER'")
    found = _attribute_maps() | {n: fields[n] for n in fields if n not in PRICED_FROM}
    return found, {"started": "started"} | {name: fields[name] for name in PRICED_FROM}, query


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
