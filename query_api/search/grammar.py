"""The grammar of `attribute`: a condition on an attribute as one line of text.

    [LEVEL:]KEY OP VALUE        LEVEL: span, resource, scope, event or link; without one, any of them

KEY is bare, or a JSON string where it has spaces, quotes, `=`, `!`, `<` or `>`, or begins like a level. OP is
=, !=, <, <=, >, >=, or a word between spaces. VALUE is JSON (5, 0.5, true, "5"); what is no JSON, or stands
behind contains, starts_with or ends_with, is text as it stands.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from math import isfinite
from typing import Any, cast

from spanledger.query_api.search.conditions import LEVELS, OPS, TEXT_OPS, Attribute, Level, Op, Value

LONGEST_TEXT = 1000
MOST_VALUES = 100
_LARGEST = 10**38  # of integers, in both directions
ATTRIBUTE_FORM = (
    "[level:]key op value, like http.status_code >= 500, resource:host.name = web-1 or "
    '"a key" in ["a", "b"]; levels: ' + ", ".join(LEVELS) + "; ops: =, !=, <, <=, >, >=, contains, "
    "starts_with, ends_with, in, not_in, exists; values: JSON, or text as it stands"
)

_SIGNS: dict[str, Op] = {"=": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}
_WORDS = ("contains", "starts_with", "ends_with", "in", "not_in", "exists")
_LEVEL = re.compile(rf"\s*({'|'.join(LEVELS)}):")
_KEY = re.compile(r'\s*(?:("(?:[^"\\]|\\.)*")|([^\s"=!<>]+))', flags=re.DOTALL)
_OP = re.compile(rf"\s*(=|!=|<=|>=|<|>)\s*|\s+({'|'.join(_WORDS)})(?:\s+|$)")


def parse_attribute(text: object) -> Attribute:
    """The condition that a line means; raises ValueError, which says what is wrong with it."""
    if not isinstance(text, str) or len(text) > 4 * LONGEST_TEXT:
        raise ValueError(f"not a text of up to {4 * LONGEST_TEXT} characters")
    level = _LEVEL.match(text)
    key = _KEY.match(text, level.end() if level else 0)
    if key is None:
        raise ValueError("the key is missing, or not closed by a quote")
    op = _OP.match(text, key.end())
    if op is None:
        raise ValueError(f"no op stands behind the key {key.group().strip()[:100]}")
    name: Op = _SIGNS[op.group(1)] if op.group(1) else cast("Op", op.group(2))
    found = Attribute(
        _json_string(key.group(1)) if key.group(1) else key.group(2),
        name,
        _value(text[op.end() :].strip(), name),
        cast("Level", level.group(1)) if level else None,
    )
    return checked_attribute(found)


def _json_string(text: str) -> str:
    try:
        return str(json.loads(text, strict=False))
    except ValueError:
        raise ValueError("a key or text in quotes must be a JSON string") from None


def _value(text: str, op: Op) -> Any:
    if op == "exists":
        if text:
            raise ValueError("exists takes no value")
        return None
    if not text:
        raise ValueError('the value is missing (empty text is "")')
    if text.startswith('"'):
        return _json_string(text)
    if op in ("contains", "starts_with", "ends_with"):
        return text
    if text == "null":
        raise ValueError('null is no value ("null" in quotes is text)')
    try:
        found = json.loads(text, parse_constant=_bare)
    except (ValueError, RecursionError):
        found = text
    return text if isinstance(found, dict | list) and op not in ("in", "not_in") else found


def _bare(word: str) -> float:
    raise ValueError(word)  # NaN and Infinity are no JSON


def checked_attribute(found: Attribute) -> Attribute:
    """The condition, where its op fits its value; raises ValueError, which says what is allowed."""
    checked_text(found.key)
    if found.op in ("in", "not_in"):
        return found._replace(value=checked_values(found.op, found.value))
    if found.op != "exists":
        checked_value(found.op, found.value)
    return found


def checked_values(op: Op, values: object) -> tuple[Value, ...]:
    if not isinstance(values, list | tuple) or not 1 <= len(values) <= MOST_VALUES:
        raise ValueError(f"{op} takes a list of 1 to {MOST_VALUES} values")
    for value in values:
        checked_value("eq", value)
    return tuple(values)


def checked_value(op: Op, value: object) -> None:
    """Whether an op can compare such a value of an attribute."""
    if isinstance(value, str):
        checked_text(value)
        allowed: tuple[Op, ...] = TEXT_OPS
    elif isinstance(value, bool):
        allowed = ("eq", "ne")
    elif isinstance(value, int | float | Decimal):
        checked_number(value)
        allowed = ("eq", "ne", "lt", "le", "gt", "ge")
    else:
        raise ValueError("a value is text, a number, true or false")  # noqa: TRY004 - of what was sent
    if op not in allowed:
        kind = (
            "text" if isinstance(value, str) else "true and false" if isinstance(value, bool) else "numbers"
        )
        raise ValueError(
            f"{op} does not compare {kind}; {kind}: {', '.join(one for one in OPS if one in allowed)}"
        )


def checked_text(value: str) -> str:
    if len(value) > LONGEST_TEXT:
        raise ValueError(f"a text has up to {LONGEST_TEXT} characters")
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        raise ValueError("a text has no half of a surrogate pair")
    return value


def checked_number(value: float | Decimal) -> None:
    # An integer may be too large to be asked whether it is finite.
    if abs(value) >= _LARGEST if isinstance(value, int) else not isfinite(value):
        raise ValueError("a number is finite, and an integer has up to 38 digits")


def parse_money(value: object) -> Decimal:
    """An amount; raises ValueError where it is none that can be stored."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise ValueError("not an amount")  # noqa: TRY004 - of what was sent
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        raise ValueError("not a decimal") from None
    if not amount.is_finite() or not 0 <= amount < 10**18 or amount != round(amount, 18):
        raise ValueError("not an amount that can be stored")
    return amount
