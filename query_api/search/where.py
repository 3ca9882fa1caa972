"""Where: the tree of conditions in the JSON of a search.

It is read here and not by pydantic: an error of a union of models would name every model that it might have
been. Here it names the place, what is wrong there and what is allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any as Anything
from typing import NoReturn, TypeVar, cast

from fastapi.exceptions import RequestValidationError

from spanledger.query_api.search.conditions import (
    CHOICE_OPS,
    FLAG_OPS,
    LEVELS,
    NUMBER_OPS,
    OPS,
    TEXT_OPS,
    All,
    Any,
    Attribute,
    Compare,
    Condition,
    Level,
    Not,
    Op,
    Text,
)
from spanledger.query_api.search.fields import FIELDS, Field
from spanledger.query_api.search.grammar import (
    LONGEST_TEXT,
    MOST_VALUES,
    checked_attribute,
    checked_number,
    checked_text,
    parse_money,
)
from spanledger.query_api.search.wholes import TRACE_FIELDS, AllOf, AnyOf, AnySpan, NotOf, Where, Whole

DEEPEST = 12
MOST_CONDITIONS = 100

T = TypeVar("T")
_OPS_OF: dict[str, tuple[Op, ...]] = {
    "text": TEXT_OPS,
    "texts": TEXT_OPS,
    "number": NUMBER_OPS,
    "money": NUMBER_OPS,
    "choice": CHOICE_OPS,
    "flag": FLAG_OPS,
}


class _Reader:
    """Reads one tree; counts what it reads."""

    def __init__(self) -> None:
        self._conditions = 0

    def span(self, node: object, place: str, depth: int) -> Condition:
        """A condition on one span."""
        head = self._head(node, place, depth, ("and", "or", "not", "field", "attribute", "text"))
        sent = cast("Mapping[str, Anything]", node)
        if head in ("and", "or"):
            parts = self._list(sent[head], f"{place}.{head}", depth, self.span)
            return All(parts) if head == "and" else Any(parts)
        if head == "not":
            return Not(self.span(sent["not"], f"{place}.not", depth + 1))
        if head == "text":
            _only(sent, place, ("text",))
            return Text(_text(sent["text"], f"{place}.text", least=1))
        if head == "attribute":
            return _attribute(sent, place)
        return Compare(*_comparison(sent, place, FIELDS))

    def trace(self, node: object, place: str, depth: int) -> Where:
        """A condition on a trace."""
        head = self._head(node, place, depth, ("and", "or", "not", "field", "any_span"))
        sent = cast("Mapping[str, Anything]", node)
        if head in ("and", "or"):
            parts = self._list(sent[head], f"{place}.{head}", depth, self.trace)
            return AllOf(parts) if head == "and" else AnyOf(parts)
        if head == "not":
            return NotOf(self.trace(sent["not"], f"{place}.not", depth + 1))
        if head == "any_span":
            return AnySpan(self.span(sent["any_span"], f"{place}.any_span", depth + 1))
        return Whole(*_comparison(sent, place, TRACE_FIELDS))

    def _head(self, node: object, place: str, depth: int, heads: tuple[str, ...]) -> str:
        """What kind of node it is: the one of `heads` that it has."""
        self._conditions += 1
        if self._conditions > MOST_CONDITIONS:
            _refuse(place, "too many conditions", f"up to {MOST_CONDITIONS} in one search")
        if depth > DEEPEST:
            _refuse(place, "nested too deeply", f"up to {DEEPEST} levels")
        if not isinstance(node, Mapping):
            _refuse(place, "not an object", f"an object with one of {', '.join(heads)}")
        found = [head for head in heads if head in node]
        if len(found) != 1:
            said = " and ".join(found) or ", ".join(map(repr, list(node)[:5])) or "nothing"
            _refuse(place, f"it says {said}", f"an object with exactly one of {', '.join(heads)}")
        if found[0] in ("and", "or", "not", "any_span"):
            _only(node, place, (found[0],))
        return found[0]

    @staticmethod
    def _list(nodes: object, place: str, depth: int, read: Callable[[object, str, int], T]) -> list[T]:
        if not isinstance(nodes, list) or not nodes:
            _refuse(place, "not a list of conditions", "a list of at least one condition")
        return [read(node, f"{place}[{n}]", depth + 1) for n, node in enumerate(nodes)]


def read_span_where(node: object, place: str = "body.where") -> Condition:
    """The condition on a span that JSON means; raises a problem which names the place."""
    return All([]) if node is None else _Reader().span(node, place, 1)


def read_trace_where(node: object, place: str = "body.where") -> Where:
    """The condition on a trace that JSON means; raises a problem which names the place."""
    return AllOf([]) if node is None else _Reader().trace(node, place, 1)


def _comparison(
    node: Mapping[str, Anything], place: str, fields: Mapping[str, Field]
) -> tuple[str, Op, Anything]:
    _only(node, place, ("field", "op", "value"))
    name = node["field"]
    if not isinstance(name, str) or name not in fields:
        _refuse(f"{place}.field", f"there is no field {str(name)[:100]!r}", ", ".join(fields))
    field = fields[name]
    op = _op(node, place, _OPS_OF[field.kind])
    value = _value_of(node, place, op)
    if op in ("in", "not_in"):
        if not isinstance(value, list) or not 1 <= len(value) <= MOST_VALUES:
            _refuse(f"{place}.value", "not a list of values", f"a list of 1 to {MOST_VALUES} values")
        return name, op, tuple(_fitting(field, one, f"{place}.value[{n}]") for n, one in enumerate(value))
    return name, op, None if op == "exists" else _fitting(field, value, f"{place}.value")


def _attribute(node: Mapping[str, Anything], place: str) -> Attribute:
    _only(node, place, ("attribute", "op", "value", "level"))
    key = _text(node["attribute"], f"{place}.attribute")
    level = node.get("level")
    if level is not None and level not in LEVELS:
        _refuse(f"{place}.level", f"there is no level {str(level)[:100]!r}", ", ".join(LEVELS))
    op = _op(node, place, OPS)
    value = _value_of(node, place, op)
    try:
        return checked_attribute(Attribute(key, op, value, cast("Level | None", level)))
    except ValueError as error:
        _refuse(
            f"{place}.value", str(error), "text, a number, true or false; for in and not_in a list of them"
        )


def _op(node: Mapping[str, Anything], place: str, ops: tuple[Op, ...]) -> Op:
    op = node.get("op", "eq")
    if op not in ops:
        _refuse(f"{place}.op", f"{str(op)[:100]!r} is no op of it", ", ".join(ops))
    return cast("Op", op)


def _value_of(node: Mapping[str, Anything], place: str, op: Op) -> Anything:
    if op == "exists":
        if node.get("value") is not None:
            _refuse(f"{place}.value", "exists takes no value", "nothing")
        return None
    if "value" not in node:
        _refuse(place, "the value is missing", "a value, or the op exists")
    return node["value"]


def _fitting(field: Field, value: object, place: str) -> Anything:
    """The value, where it is of the field's kind."""
    match field.kind:
        case "choice":
            if value not in field.choices:
                _refuse(place, "no value of this field", ", ".join(field.choices))
        case "flag":
            if not isinstance(value, bool):
                _refuse(place, "not true or false", "true, false")
        case "number":
            if isinstance(value, bool) or not isinstance(value, int | float):
                _refuse(place, "not a number", "a number")
            _checked(place, "a finite number", checked_number, value)
        case "money":
            return _checked(place, "US dollars, as a number or a decimal string", parse_money, value)
        case "text" | "texts":
            return _text(value, place)
    return value


def _text(value: object, place: str, *, least: int = 0) -> str:
    allowed = f"text of {least} to {LONGEST_TEXT} characters"
    if not isinstance(value, str) or len(value) < least:
        _refuse(place, "not text" if not isinstance(value, str) else "empty", allowed)
    return _checked(place, allowed, checked_text, value)


def _checked(place: str, allowed: str, check: Callable[[Anything], T], value: object) -> T:
    try:
        return check(value)
    except ValueError as error:
        _refuse(place, str(error), allowed)


def _only(node: Mapping[str, Anything], place: str, names: tuple[str, ...]) -> None:
    for name in node:
        if name not in names:
            _refuse(f"{place}.{str(name)[:100]}", "no such part of a condition", ", ".join(names))


def _refuse(place: str, what: str, allowed: str) -> NoReturn:
    raise RequestValidationError(
        [{"type": "value_error", "loc": tuple(place.split(".")), "msg": what, "ctx": {"allowed": allowed}}]
    )
