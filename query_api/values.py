"""Values: from what is stored to what JSON can say, with no type and no digit lost.

The ingest stores as JSON text what is not a plain string, integer, double or boolean. An object whose only
key starts with @ stands there for what JSON lacks: `{"@bytes": base64}`, `{"@double": "nan"}`; a real map
of that form is wrapped in `{"@map": ...}`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from math import isfinite
from typing import Any

import orjson

from spanledger.schemas.api import Status

_DOUBLES = {"nan": "NaN", "-nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
# Prompts and results are given parsed up to these bounds; what is beyond them stays as it was sent.
_DEEPEST = 100  # levels
_LONGEST = 32 * 1024 * 1024  # characters
_MOST = 2_000_000  # objects, arrays and their members, by the signs that part them


def typed(text: str) -> Any:
    """The value that stored JSON text means; text that is no JSON is given as it is."""
    try:
        # The two readers give up at different depths.
        may_be_deep = text.count("[") + text.count("{") > _DEEPEST
        box = [_decode_stored(text) if may_be_deep else _decoded(text, _decode_stored)]
    except (ValueError, RecursionError):
        return text
    if not any(sign in text for sign in _MARKED):
        return box[0]
    todo: list[tuple[Any, Any]] = [(box, 0)]
    while todo:
        holder, key = todo.pop()
        value = holder[key] = _unmarked(holder[key])
        todo.extend((value, inner) for inner in _keys(value))
    return box[0]


def _unmarked(value: Any) -> Any:
    if isinstance(value, dict) and len(value) == 1:
        if "@map" in value:
            return value["@map"]
        if "@double" in value:
            return _DOUBLES.get(str(value["@double"]), str(value["@double"]))
    return value


def _keys(value: Any) -> Any:
    if isinstance(value, dict):
        return value.keys()
    return range(len(value)) if isinstance(value, list) else ()


def typed_map(stored: Mapping[str, str]) -> dict[str, Any]:
    """A map of JSON texts as an object, its keys sorted and otherwise untouched."""
    return {key: typed(stored[key]) for key in sorted(stored)}


def double(value: float) -> float | str:
    """A double as JSON can say it: NaN and the infinities are strings."""
    return value if isfinite(value) else _DOUBLES[str(value)]


def _float(text: str) -> float | str:
    return double(float(text))


# Made once: a decoder costs more than a short text.
_decode_stored = json.JSONDecoder(parse_float=_float).decode
_decode = json.JSONDecoder(parse_float=_float, parse_constant=str).decode

_MARKED = ('"@', "\\u")  # without these no key starts with @
_NO_DIGITS = bytes(set(range(256)) - set(b"0123456789"))
_FEWEST_DIGITS = 19  # of an integer beyond 64 bits, of which orjson makes a double
_long_number = re.compile(rb"[0-9]{%d}" % _FEWEST_DIGITS).search


def _decoded(text: str, decode: Callable[[str], Any]) -> Any:
    """What `decode` would say, by a faster reader where that says the same.

    What orjson refuses `decode` may take: halves of surrogate pairs, doubles beyond their range, NaN.
    """
    try:
        encoded = text.encode()
        if len(encoded.translate(None, _NO_DIGITS)) < _FEWEST_DIGITS or not _long_number(encoded):
            return orjson.loads(encoded)
    except ValueError:
        pass
    return decode(text)


def merged(
    strings: Mapping[str, str],
    integers: Mapping[str, int],
    doubles: Mapping[str, float],
    booleans: Mapping[str, bool],
    *json_texts: Mapping[str, str],
) -> dict[str, Any]:
    """The attributes of a span as one object, sorted by key; the last maps hold JSON text.

    Of a key that was sent twice with one type the last stands (as the maps arrive here); with two types,
    whose order is not stored, the later in the order of the parameters.
    """
    found: dict[str, Any] = {**strings, **integers}
    for key, value in doubles.items():
        found[key] = double(value)
    found.update(booleans)
    for texts in json_texts:
        for key, text in texts.items():
            found[key] = typed(text)
    return {key: found[key] for key in sorted(found)}


def attributes_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of a row of `spans`, from its columns."""
    return merged(
        {**row["attributes_string"], **row["content_string"]},
        row["attributes_int"],
        row["attributes_double"],
        row["attributes_bool"],
        row["attributes_json"],
        row["content_json"],
    )


def readable(value: Any, *, strings: bool = False) -> Any:
    """Content for people: an object or array that was sent as JSON text is parsed, other text is as sent.

    With `strings` a JSON string is, too.
    """
    if not isinstance(value, str) or value[:64].lstrip()[:1] not in (
        {"{", "[", '"'} if strings else {"{", "["}
    ):
        return value
    opened = value.count("[") + value.count("{")
    if len(value) > _MOST and (len(value) > _LONGEST or opened + value.count(",") > _MOST):
        return value
    try:
        parsed = _decoded(value, _decode)
    except (ValueError, RecursionError):
        return value
    # Nearly all text opens fewer than would be too deep, and need not be walked.
    return parsed if opened < _DEEPEST or is_shallow(parsed) else value


def is_shallow(value: Any) -> bool:
    """Whether a value has at most as many levels as are given parsed."""
    level = [value]
    for _ in range(_DEEPEST):
        level = [inner for item in level for inner in _inner(item)]
        if not level:
            return True
    return False


def _inner(item: Any) -> Any:
    if isinstance(item, dict):
        return item.values()
    return item if isinstance(item, list) else ()


def status_name(code: int) -> Status:
    """OTLP's status codes by name; an unknown one says nothing, like 0."""
    return "ok" if code == 1 else "error" if code == 2 else "unset"


def money(amount: Decimal | None) -> str | None:
    """Plain notation with every significant digit and no trailing zeros."""
    if amount is None:
        return None
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
