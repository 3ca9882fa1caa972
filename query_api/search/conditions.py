"""Conditions: what must hold of one span, and the SQL that asks it.

A condition is made of values only; what becomes text of the SQL stands in this file and in fields.py, and
every value goes to the database as a parameter. Each condition is true or false of every span, never NULL:
what was not sent fulfils no comparison, and so fulfils the `Not` of each.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Literal, NamedTuple, get_args

from spanledger.query_api.search.fields import FIELDS, Field

Op = Literal["eq", "in", "lt", "le", "gt", "ge", "contains", "starts_with", "ends_with", "exists"]
Level = Literal["span", "resource", "scope", "event", "link"]
Value = str | bool | int | float | Decimal

OPS: tuple[Op, ...] = get_args(Op)
LEVELS: tuple[Level, ...] = get_args(Level)
TEXT_OPS: tuple[Op, ...] = ("eq", "in", "contains", "starts_with", "ends_with", "exists")
NUMBER_OPS: tuple[Op, ...] = ("eq", "in", "lt", "le", "gt", "ge", "exists")


class Compare(NamedTuple):
    """A field of FIELDS beside a value; of a field with several values one of them must fit.

    `value`: for `in` a sequence, for `exists` nothing.
    """

    field: str
    op: Op
    value: Value | Sequence[Value] | None = None


class Attribute(NamedTuple):
    """An attribute beside a value, at one level of the span or (None) at any.

    Types are kept apart: "5" is no number, and true none either; 5 and 5.0 are one number. Of several events
    (links) one must fit.
    """

    key: str
    op: Op
    value: Value | Sequence[Value] | None = None
    level: Level | None = None


class Text(NamedTuple):
    """Text anywhere in prompts, answers and tool traffic, in any case of letters."""

    text: str


class All(NamedTuple):
    """Every one of them, on the same span."""

    conditions: Sequence[Condition]


class Any(NamedTuple):
    """At least one of them."""

    conditions: Sequence[Condition]


class Not(NamedTuple):
    """Whatever does not fulfil it."""

    condition: Condition


Condition = Compare | Attribute | Text | All | Any | Not


class Sql(NamedTuple):
    """An expression over the columns of `spans`, and its parameters beside `project`."""

    text: str
    parameters: dict[str, object]


def compiled(condition: Condition, *, prefix: str = "c") -> Sql:
    """The condition as an expression that is 0 or 1. Its parameters are called `prefix` and a number.

    The query must have the parameter `project`: what a span inherits is looked up in its trace.
    """
    parameters = _Parameters(prefix)
    return Sql(_text(condition, parameters), parameters.given)


class _Parameters:
    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.given: dict[str, object] = {}

    def add(self, value: object, kind: str) -> str:
        name = f"{self._prefix}{len(self.given)}"
        self.given[name] = value
        return f"{{{name}:{kind}}}"


def _text(condition: Condition, parameters: _Parameters) -> str:
    match condition:
        case All(conditions):
            return _joined(conditions, " AND ", "1", parameters)
        case Any(conditions):
            return _joined(conditions, " OR ", "0", parameters)
        case Not(inner):
            return f"NOT ({_text(inner, parameters)})"
        case Compare(name, op, value):
            return _compare(FIELDS[name], op, value, parameters)
        case Attribute():
            return _attribute(condition, parameters)
        case Text(text):
            return _content(text, parameters)


def _joined(conditions: Sequence[Condition], word: str, empty: str, parameters: _Parameters) -> str:
    return "(" + (word.join(_text(each, parameters) for each in conditions) or empty) + ")"


def _compare(field: Field, op: Op, value: Value | Sequence[Value] | None, parameters: _Parameters) -> str:
    if field.kind == "flag":
        return field.sql if value else f"NOT {field.sql}"
    if field.kind == "texts":
        return _of_texts(field.sql, op, value, parameters)
    if field.kind in ("number", "money"):
        return _of_number(field.sql, op, value, parameters, exact=field.kind == "money")
    own = _of_text(field.sql, op, value, parameters)
    if not field.inherited:
        return own
    of_trace = _of_trace(field.sql, own, _of_text("first", op, value, parameters))
    return f"({own} OR ({field.sql} = '' AND {of_trace}))"


def _of_trace(column: str, own: str, of_first: str) -> str:
    """Whether the first value that a span of the trace has in a column fulfils a condition.

    The condition is given as that of the span's own column and as that of the first value.
    """
    # Whether any span of a trace fulfils it is asked without FINAL, which can only find too many.
    return (
        "trace_id IN (SELECT trace_id FROM (SELECT trace_id, "  # noqa: S608
        f"argMin({column}, (start_time, span_id)) AS first FROM spans FINAL "
        f"WHERE project = {{project:String}} AND {column} != '' AND trace_id IN "
        f"(SELECT trace_id FROM spans WHERE project = {{project:String}} AND {own}) "
        f"GROUP BY trace_id) WHERE {of_first})"
    )


def _of_texts(sql: str, op: Op, value: Value | Sequence[Value] | None, parameters: _Parameters) -> str:
    if op == "exists":
        return f"notEmpty({sql})"
    if op == "eq":
        return f"has({sql}, {parameters.add(value, 'String')})"
    return f"arrayExists(x -> {_of_text('x', op, value, parameters)}, {sql})"


def _of_text(sql: str, op: Op, value: Value | Sequence[Value] | None, parameters: _Parameters) -> str:
    match op:
        case "exists":
            return f"{sql} != ''"
        case "eq":
            return f"{sql} = {parameters.add(value, 'String')}"
        case "in":
            return f"{sql} IN {parameters.add(list(_values(value)), 'Array(String)')}"
        case "contains":
            return f"position({sql}, {parameters.add(value, 'String')}) > 0"
        case "starts_with":
            return f"startsWith({sql}, {parameters.add(value, 'String')})"
        case "ends_with":
            return f"endsWith({sql}, {parameters.add(value, 'String')})"
        case _:
            raise AssertionError(op)


_SIGNS = {"eq": "=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}


def _of_number(
    sql: str, op: Op, value: Value | Sequence[Value] | None, parameters: _Parameters, *, exact: bool = False
) -> str:
    kind = "Decimal(38, 18)" if exact else "Float64"
    if op == "exists":
        return f"{sql} IS NOT NULL"
    if op == "in":
        anyone = " OR ".join(f"{sql} = {parameters.add(one, kind)}" for one in _values(value))
        return f"ifNull({anyone or '0'}, 0)"
    return f"ifNull({sql} {_SIGNS[op]} {parameters.add(value, kind)}, 0)"


def _values(value: Value | Sequence[Value] | None) -> Sequence[Value]:
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()


# --- attributes

_SPAN_MAPS = (
    "attributes_string",
    "attributes_int",
    "attributes_double",
    "attributes_bool",
    "attributes_json",
    "content_string",
    "content_json",
)
_JSON_MAPS: dict[Level, str] = {"resource": "resource_attributes", "scope": "scope_attributes"}
_LISTS: dict[Level, str] = {"event": "events.attributes", "link": "links.attributes"}


def _attribute(condition: Attribute, parameters: _Parameters) -> str:
    levels = LEVELS if condition.level is None else (condition.level,)
    key = parameters.add(condition.key, "String")
    parts = [part for level in levels for part in _at_level(level, key, condition, parameters)]
    return "(" + " OR ".join(parts) + ")"


def _at_level(level: Level, key: str, condition: Attribute, parameters: _Parameters) -> Iterator[str]:
    if level == "span":
        yield from _of_span(key, condition, parameters)
    elif level in _JSON_MAPS:
        yield _of_json_map(_JSON_MAPS[level], key, condition, parameters)
    else:
        yield f"arrayExists(m -> {_of_json_map('m', key, condition, parameters)}, {_LISTS[level]})"


def _of_span(key: str, condition: Attribute, parameters: _Parameters) -> Iterator[str]:
    op, value = condition.op, condition.value
    if op == "exists":
        yield from (f"mapContains({name}, {key})" for name in _SPAN_MAPS)
        return
    values = _values(value) if op == "in" else (value,)
    texts = [one for one in values if isinstance(one, str)]
    flags = [one for one in values if isinstance(one, bool)]
    numbers = [one for one in values if isinstance(one, int | float | Decimal) and not isinstance(one, bool)]
    if texts:
        asked = texts if op == "in" else texts[0]
        for name in ("attributes_string", "content_string"):
            yield f"(mapContains({name}, {key}) AND {_of_text(f'{name}[{key}]', op, asked, parameters)})"
    for flag in flags:
        name = "attributes_bool"
        yield f"(mapContains({name}, {key}) AND {name}[{key}] = {parameters.add(flag, 'Bool')})"
    if numbers:
        asked_numbers = numbers if op == "in" else numbers[0]
        for name in ("attributes_int", "attributes_double"):
            fits = _of_number(f"{name}[{key}]", op, asked_numbers, parameters)
            yield f"(mapContains({name}, {key}) AND {fits})"


def _of_json_map(sql: str, key: str, condition: Attribute, parameters: _Parameters) -> str:
    """On a map of JSON texts, whose types can be read from them (ADR 0005)."""
    op, value = condition.op, condition.value
    if op == "exists":
        return f"mapContains({sql}, {key})"
    found = f"{sql}[{key}]"
    parts = []
    for one in _values(value) if op == "in" else (value,):
        if isinstance(one, bool):
            parts.append(f"{found} = {parameters.add(json.dumps(one), 'String')}")
        elif isinstance(one, str):
            text = f"JSONExtractString({found})"
            fits = _of_text(text, "eq" if op == "in" else op, one, parameters)
            parts.append(f"(startsWith({found}, '\"') AND {fits})")
        elif one is not None:
            number = f"if(match({found}, '^-?[0-9]'), toFloat64OrNull({found}), NULL)"
            parts.append(_of_number(number, "eq" if op == "in" else op, one, parameters))
    return f"(mapContains({sql}, {key}) AND ({' OR '.join(parts) or '0'}))"


# --- content


def _content(text: str, parameters: _Parameters) -> str:
    """Text is looked for as it is and as JSON writes it: most content is JSON text."""
    wanted = parameters.add(spellings(text), "Array(String)")
    maps = "mapValues(content_string), mapValues(content_json)"
    in_maps = f"arrayExists(x -> multiSearchAnyCaseInsensitiveUTF8(x, {wanted}), arrayConcat({maps}))"
    in_events = (
        f"arrayExists(m -> arrayExists(x -> multiSearchAnyCaseInsensitiveUTF8(x, {wanted}), mapValues(m)), "
        "events.attributes)"
    )
    return f"({in_maps} OR {in_events})"


def spellings(text: str) -> list[str]:
    """A text as it may stand in content: plain, in JSON text, and in JSON text within JSON text."""
    found = [text]
    for ascii_only in (False, True):
        inner = text
        for _ in range(2):
            inner = json.dumps(inner, ensure_ascii=ascii_only)[1:-1]
            found.append(inner)
    return list(dict.fromkeys(found))
