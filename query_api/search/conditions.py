"""Conditions: what must hold of one span, and the SQL that asks it.

A condition is made of values only; what becomes text of the SQL stands in this file and in fields.py, and
every value goes to the database as a parameter. Each condition is true or false of every span, never NULL:
what was not sent fulfils no comparison, and so fulfils the `Not` of each. `ne` and `not_in` are the `Not` of
`eq` and `in`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Literal, NamedTuple, get_args

from spanledger.query_api.search.fields import FIELDS, Field
from spanledger.schemas.dialects import is_content

Op = Literal[
    "eq", "ne", "in", "not_in", "lt", "le", "gt", "ge", "contains", "starts_with", "ends_with", "exists"
]
Level = Literal["span", "resource", "scope", "event", "link"]
Value = str | bool | int | float | Decimal

OPS: tuple[Op, ...] = get_args(Op)
LEVELS: tuple[Level, ...] = get_args(Level)
TEXT_OPS: tuple[Op, ...] = ("eq", "ne", "in", "not_in", "contains", "starts_with", "ends_with", "exists")
NUMBER_OPS: tuple[Op, ...] = ("eq", "ne", "in", "not_in", "lt", "le", "gt", "ge", "exists")
CHOICE_OPS: tuple[Op, ...] = ("eq", "ne", "in", "not_in")
FLAG_OPS: tuple[Op, ...] = ("eq", "ne")
_DENIED: dict[Op, Op] = {"ne": "eq", "not_in": "in"}


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
    """Text anywhere in prompts, answers and tool traffic, in any case of letters.

    Of a text of ASCII only, the letters A to Z are found in any case; of another one all letters.
    """

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


class Settled(NamedTuple):
    """A comparison of an inherited field whose traces are known already (see inherited.py).

    `sent_in`: the traces of which any stored span fulfils it; `first_in`: those whose first value does.
    """

    compare: Compare
    sent_in: Sequence[str]
    first_in: Sequence[str]


Condition = Compare | Attribute | Text | All | Any | Not | Settled


class Sql(NamedTuple):
    """An expression over the columns of `spans`, and its parameters beside `project`."""

    text: str
    parameters: dict[str, object]


def reads(condition: Condition) -> Literal["columns", "attributes", "content"]:
    """The most that is read of each span to tell whether it fulfils a condition."""
    match condition:
        case Text():
            return "content"
        case Attribute(key):
            return "content" if is_content(key) else "attributes"
        case Not(inner):
            return reads(inner)
        case All(conditions) | Any(conditions):
            found = {reads(each) for each in conditions}
            return next((most for most in ("content", "attributes") if most in found), "columns")
        case _:
            return "columns"


def compiled(condition: Condition, *, prefix: str = "c") -> Sql:
    """The condition as an expression that is 0 or 1. Its parameters are called `prefix` and a number.

    The query must have the parameter `project`: what a span inherits is looked up in its trace.
    """
    parameters = Parameters(prefix)
    return Sql(_text(condition, parameters), parameters.given)


class Parameters:
    """Values on their way to the database, each under a name of its own."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.given: dict[str, object] = {}

    def add(self, value: object, kind: str) -> str:
        name = f"{self._prefix}{len(self.given)}"
        self.given[name] = value
        return f"{{{name}:{kind}}}"


def _text(condition: Condition, parameters: Parameters) -> str:
    match condition:
        case All(conditions):
            text = _joined(conditions, " AND ", "1", parameters)
        case Any(conditions):
            text = _joined(conditions, " OR ", "0", parameters)
        case Not(inner):
            text = f"NOT ({_text(inner, parameters)})"
        case Compare(_, op, _) | Attribute(_, op, _) if op in _DENIED:
            text = f"NOT ({_text(condition._replace(op=_DENIED[op]), parameters)})"
        case Compare():
            text = _compare(condition, parameters)
        case Settled():
            text = _settled(condition, parameters)
        case Attribute():
            text = _attribute(condition, parameters)
        case Text(wanted):
            text = _content(wanted, parameters)
    return text


def _joined(conditions: Sequence[Condition], word: str, empty: str, parameters: Parameters) -> str:
    return "(" + (word.join(_text(each, parameters) for each in conditions) or empty) + ")"


# What is stored as bytes or as a number is compared as that, which can use the indexes.
_IDS = {"trace_id": ("trace_id", 16), "span_id": ("span_id", 8), "parent_span_id": ("parent_span_id", 8)}
_CODES = {
    "status": ("status_code", {"ok": 1, "error": 2}),
    "kind": ("kind", {"internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5}),
}


def _compare(condition: Compare, parameters: Parameters) -> str:
    name, op, value = condition
    field = FIELDS[name]
    if field.kind == "flag":
        text = field.sql if value else f"NOT {field.sql}"
    elif field.kind == "texts":
        text = _of_texts(field.sql, op, value, parameters)
    elif field.kind in ("number", "money"):
        text = of_number(field.sql, op, value, parameters, exact=field.kind == "money")
    elif name in _IDS and op in ("eq", "in"):
        text = _of_ids(*_IDS[name], _several(value), parameters)
    elif name in _CODES and op in ("eq", "in"):
        text = _of_codes(*_CODES[name], _several(value), parameters)
    else:
        text = _of_sent(field, op, value, parameters)
    return text


def _of_sent(field: Field, op: Op, value: Value | Sequence[Value] | None, parameters: Parameters) -> str:
    own = _own(field, op, value, parameters)
    if not field.inherited:
        return own
    of_trace = _of_trace(field.sql, own, _of_text("first", op, value, parameters))
    return f"({own} OR ({field.sql} = '' AND {of_trace}))"


def _own(field: Field, op: Op, value: Value | Sequence[Value] | None, parameters: Parameters) -> str:
    """An empty text says that nothing was sent: it fits no comparison, and none fits it."""
    guard = "" if op == "exists" or "" not in _several(value) else f"{field.sql} != '' AND "
    return f"({guard}{_of_text(field.sql, op, value, parameters)})"


_MOST_BY_INDEX = 100


def _settled(condition: Settled, parameters: Parameters) -> str:
    """The traces stand first: through their index most of what is stored need not be read."""
    name, op, value = condition.compare
    field = FIELDS[name]
    own = _own(field, op, value, parameters)
    # An index that is asked for hundreds of ids takes longer than it saves; no index knows of identity().
    trace_id = "trace_id" if len(condition.sent_in) <= _MOST_BY_INDEX else "identity(trace_id)"
    sent_in, first_in = (
        f"{trace_id} IN (SELECT toFixedString(unhex(arrayJoin({parameters.add(ids, 'Array(String)')})), 16))"
        for ids in (list(condition.sent_in), list(condition.first_in))
    )
    return f"({sent_in} AND ({own} OR ({field.sql} = '' AND {first_in})))"


def sent_in_sql(compare: Compare, most: int) -> Sql:
    """The query for the traces with any stored span that fulfils a comparison itself, up to `most`."""
    parameters = Parameters("c")
    own = _own(FIELDS[compare.field], compare.op, compare.value, parameters)
    text = f"SELECT DISTINCT lower(hex(trace_id)) FROM spans WHERE project = {{project:String}} AND {own}"  # noqa: S608
    return Sql(f"{text} LIMIT {most:d}", parameters.given)


def first_in_sql(compare: Compare) -> Sql:
    """The query for those of the traces `trace_ids` whose first value fulfils a comparison."""
    parameters, column = Parameters("c"), FIELDS[compare.field].sql
    of_first = _of_text("first", compare.op, compare.value, parameters)
    text = (
        "SELECT lower(hex(trace_id)) FROM (SELECT trace_id, "  # noqa: S608
        f"argMin({column}, (start_time, span_id)) AS first FROM spans FINAL "
        f"WHERE project = {{project:String}} AND {column} != '' AND trace_id IN "
        "(SELECT toFixedString(unhex(arrayJoin({trace_ids:Array(String)})), 16)) "
        f"GROUP BY trace_id) WHERE {of_first}"
    )
    return Sql(text, parameters.given)


def _of_ids(column: str, size: int, values: Sequence[Value], parameters: Parameters) -> str:
    """Ids in hexadecimal, in any case of the digits; what is none, or is zero, is nobody's."""
    pattern = re.compile(f"[0-9a-fA-F]{{{2 * size}}}")
    found = [str(value) for value in values if pattern.fullmatch(str(value)) and int(str(value), 16)]
    each = [f"{column} = toFixedString(unhex({parameters.add(one, 'String')}), {size})" for one in found]
    return "(" + (" OR ".join(each) or "0") + ")"


def _of_codes(column: str, codes: dict[str, int], values: Sequence[Value], parameters: Parameters) -> str:
    """A choice that is stored as a number; the last choice is every number without a name."""
    named = [code for name, code in codes.items() if name in values]
    parts = [f"{column} IN {parameters.add(named, 'Array(Int32)')}"] if named else []
    if any(value not in codes for value in values):
        parts.append(f"{column} NOT IN {parameters.add(list(codes.values()), 'Array(Int32)')}")
    return "(" + (" OR ".join(parts) or "0") + ")"


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


def _of_texts(sql: str, op: Op, value: Value | Sequence[Value] | None, parameters: Parameters) -> str:
    if op == "exists":
        return f"notEmpty({sql})"
    if op == "eq":
        return f"has({sql}, {parameters.add(value, 'String')})"
    if op == "in":
        return f"hasAny({sql}, {parameters.add(list(_values(value)), 'Array(String)')})"
    return f"arrayExists(x -> {_of_text('x', op, value, parameters)}, {sql})"


def _of_text(sql: str, op: Op, value: Value | Sequence[Value] | None, parameters: Parameters) -> str:
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


def of_number(
    sql: str, op: Op, value: Value | Sequence[Value] | None, parameters: Parameters, *, exact: bool = False
) -> str:
    """A number beside a value, never NULL. `exact`: the number is a decimal, and so is the value."""
    if op == "exists":
        return f"{sql} IS NOT NULL"
    if op == "in":
        anyone = " OR ".join(f"{sql} = {_number(one, parameters, exact=exact)}" for one in _values(value))
        return f"ifNull({anyone or '0'}, 0)"
    assert value is not None and not isinstance(value, Sequence)  # noqa: S101, PT018 - of the other ops
    return f"ifNull({sql} {_SIGNS[op]} {_number(value, parameters, exact=exact)}, 0)"


def _number(value: Value, parameters: Parameters, *, exact: bool) -> str:
    """The engine compares integers of every size, and those with doubles, without rounding either."""
    if exact:
        return parameters.add(f"{Decimal(str(value)):f}", "Decimal(38, 18)")
    if isinstance(value, int):
        return parameters.add(value, "Int64" if -(1 << 63) <= value < 1 << 63 else "Int256")
    return parameters.add(float(value), "Float64")


def _values(value: Value | Sequence[Value] | None) -> Sequence[Value]:
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()


def _several(value: Value | Sequence[Value] | None) -> Sequence[Value]:
    """One value or several, as several."""
    if value is None or (isinstance(value, Sequence) and not isinstance(value, str)):
        return value or ()
    return (value,)


# --- attributes

_PLAIN_MAPS = (
    "attributes_string",
    "attributes_int",
    "attributes_double",
    "attributes_bool",
    "attributes_json",
)
_CONTENT_MAPS = ("content_string", "content_json")
_SPAN_MAPS = (*_PLAIN_MAPS, *_CONTENT_MAPS)
_JSON_MAPS: dict[Level, str] = {"resource": "resource_attributes", "scope": "scope_attributes"}
_LISTS: dict[Level, str] = {"event": "events.attributes", "link": "links.attributes"}


def _attribute(condition: Attribute, parameters: Parameters) -> str:
    levels = LEVELS if condition.level is None else (condition.level,)
    key = parameters.add(condition.key, "String")
    parts = [part for level in levels for part in _at_level(level, key, condition, parameters)]
    return "(" + " OR ".join(parts) + ")"


def _at_level(level: Level, key: str, condition: Attribute, parameters: Parameters) -> Iterator[str]:
    if level == "span":
        yield from _of_span(key, condition, parameters)
    elif level in _JSON_MAPS:
        yield _of_json_map(_JSON_MAPS[level], key, condition, parameters)
    else:
        yield f"arrayExists(m -> {_of_json_map('m', key, condition, parameters)}, {_LISTS[level]})"


def _of_span(key: str, condition: Attribute, parameters: Parameters) -> Iterator[str]:
    op, value = condition.op, condition.value
    # What is content now may have been stored among the others before it was known as such.
    maps = _SPAN_MAPS if is_content(condition.key) else _PLAIN_MAPS
    if op == "exists":
        yield from (f"mapContains({name}, {key})" for name in maps)
        return
    values = _values(value) if op == "in" else (value,)
    texts = [one for one in values if isinstance(one, str)]
    flags = [one for one in values if isinstance(one, bool)]
    numbers = [one for one in values if isinstance(one, int | float | Decimal) and not isinstance(one, bool)]
    if texts:
        asked = texts if op == "in" else texts[0]
        for name in ("attributes_string", "content_string"):
            if name in maps:
                fits = _of_text(f"{name}[{key}]", op, asked, parameters)
                yield _if_there(name, key, fits, needless="" not in texts)
    for flag in flags:
        name = "attributes_bool"
        fits = f"{name}[{key}] = {parameters.add(flag, 'Bool')}"
        yield _if_there(name, key, fits, needless=flag)
    if numbers:
        asked_numbers = numbers if op == "in" else numbers[0]
        for name in ("attributes_int", "attributes_double"):
            fits = of_number(f"{name}[{key}]", op, asked_numbers, parameters)
            yield _if_there(name, key, fits, needless=op in ("eq", "in") and 0 not in numbers)


def _if_there(name: str, key: str, fits: str, *, needless: bool) -> str:
    """A map gives an empty value for a key that it lacks. `needless`: which would not fit anyway."""
    return f"({fits})" if needless else f"(mapContains({name}, {key}) AND {fits})"


def _of_json_map(sql: str, key: str, condition: Attribute, parameters: Parameters) -> str:
    """On a map of JSON texts, whose types can be read from them (ADR 0005)."""
    op, value = condition.op, condition.value
    if op == "exists":
        return f"mapContains({sql}, {key})"
    found = f"{sql}[{key}]"
    parts = []
    for one in _several(value):
        if isinstance(one, bool):
            parts.append(f"{found} = {parameters.add(json.dumps(one), 'String')}")
        elif isinstance(one, str):
            text = f"JSONExtractString({found})"
            fits = _of_text(text, "eq" if op == "in" else op, one, parameters)
            parts.append(f"(startsWith({found}, '\"') AND {fits})")
        else:
            parts.append(_of_json_number(found, "eq" if op == "in" else op, one, parameters))
    return f"(mapContains({sql}, {key}) AND ({' OR '.join(parts) or '0'}))"


def _of_json_number(found: str, op: Op, value: Value, parameters: Parameters) -> str:
    """An integer is text of digits only; a double has a point, an exponent, or is said to be endless."""
    whole = f"toInt64OrNull({found})"
    endless = "".join(f'{found} = \'{{"@double":"{word}"}}\', {word}, ' for word in ("inf", "-inf"))
    double = f"multiIf(match({found}, '^-?[0-9]'), JSONExtractFloat({found}), {endless}NULL)"
    of_whole, of_double = (of_number(sql, op, value, parameters) for sql in (whole, double))
    return f"if({whole} IS NULL, {of_double}, {of_whole})"


# --- content


def _content(text: str, parameters: Parameters) -> str:
    """Text is looked for as it is and as JSON writes it: most content is JSON text."""
    found = spellings(text)
    case = "CaseInsensitive" if text.isascii() else "CaseInsensitiveUTF8"
    if len(found) == 1:
        fits = f"position{case}(x, {parameters.add(text, 'String')}) > 0"
    else:
        fits = f"multiSearchAny{case}(x, {parameters.add(found, 'Array(String)')})"
    parts = [f"arrayExists(x -> {fits}, mapValues({name}))" for name in _CONTENT_MAPS]
    parts.append(f"arrayExists(m -> arrayExists(x -> {fits}, mapValues(m)), events.attributes)")
    return "(" + " OR ".join(parts) + ")"


def spellings(text: str) -> list[str]:
    """A text as it may stand in content: plain, in JSON text, and in JSON text within JSON text.

    A letter that JSON escapes is a number in there, of which no engine knows the other case: so such a text
    is looked for in the cases that it may well have.
    """
    found = [text]
    cases = [text] if text.isascii() else [text, text.lower(), text.upper(), text.title()]
    for ascii_only in (False, True):
        for inner in cases if ascii_only else [text]:
            for _ in range(2):
                inner = json.dumps(inner, ensure_ascii=ascii_only)[1:-1]  # noqa: PLW2901
                found.append(inner)
    return list(dict.fromkeys(found))
