"""Values: from what is stored to what JSON can say, with no type and no digit lost.

The ingest stores as JSON text what is not a plain string, integer, double or boolean. An object whose only
key starts with @ stands there for what JSON lacks: `{"@bytes": base64}`, `{"@double": "nan"}`; a real map
of that form is wrapped in `{"@map": ...}`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from math import isfinite
from typing import Any

_DOUBLES = {"nan": "NaN", "-nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_DEEPEST = 100  # levels of prompts and results that are given parsed; deeper ones stay text


def typed(text: str) -> Any:
    """The value that stored JSON text means; text that is no JSON is given as it is."""
    try:
        box = [json.loads(text, parse_float=_float)]
    except (ValueError, RecursionError):
        return text
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
    found.update((key, double(value)) for key, value in doubles.items())
    found.update(booleans)
    for texts in json_texts:
        found.update((key, typed(text)) for key, text in texts.items())
    return {key: found[key] for key in sorted(found)}


def readable(value: Any) -> Any:
    """Content for people: an object or array that was sent as JSON text is parsed, other text is as sent."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("{", "["):
        return value
    try:
        parsed = json.loads(value, parse_float=_float, parse_constant=str)
    except (ValueError, RecursionError):
        return value
    return parsed if _is_shallow(parsed) else value


def _is_shallow(value: Any) -> bool:
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


def money(amount: Decimal | None) -> str | None:
    """Plain notation with every significant digit and no trailing zeros."""
    if amount is None:
        return None
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
