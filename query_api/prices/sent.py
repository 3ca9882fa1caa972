"""Usage and cost as a span has them: from which attributes the dialect table reads them, and what these say.

The collector reads them with compiled functions (collector/rows); here the same table is asked for one span,
for a person who wants to see what became of what was sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from spanledger.query_api.values import readable
from spanledger.schemas.dialects import FIELDS, UNIT_FIELDS, Field

_COUNTS = tuple(
    field for field in (*FIELDS, *UNIT_FIELDS) if field.kind == "count" or field.column.endswith("_seconds")
)
_BY_COLUMN = {field.column: field for field in FIELDS}
_COUNT = re.compile(r"\d{1,19}", flags=re.ASCII)


class Sent(NamedTuple):
    """What was sent for a fact: the key of the dialect table, and the value."""

    column: str
    key: str
    value: Any


def sent_counts(attributes: Mapping[str, Any]) -> list[Sent]:
    """Everything that was sent for a count, each by the first key that is there."""
    return [sent for field in _COUNTS if (sent := _first(field, attributes)) is not None]


def sent_for(column: str, attributes: Mapping[str, Any]) -> Sent | None:
    """What was sent for a fact of the table."""
    return _first(_BY_COLUMN[column], attributes)


def is_count(value: Any) -> bool:
    """Whether a value can be read as a count: not negative and whole, as a number or as text."""
    match value:
        case bool():
            return False
        case int() | float():
            return value >= 0 and value == int(value)
        case str():
            return _COUNT.fullmatch(value) is not None
    return False


def _first(field: Field, attributes: Mapping[str, Any]) -> Sent | None:
    for key in field.keys:
        for value in _values(key, attributes):
            if value is not None and value != "":
                return Sent(field.column, key, value)
    return None


def _values(key: str, attributes: Mapping[str, Any]) -> Iterator[Any]:
    attribute, inside, path = key.partition("#")
    if key.startswith("event:") or attribute not in attributes:
        return
    value = attributes[attribute]
    if inside:
        yield from _members([readable(value)], path.split("."))
    else:
        yield value


def _members(holders: Iterable[Any], path: list[str]) -> Iterator[Any]:
    for name in path:
        if name == "[]":
            holders = [item for holder in holders if isinstance(holder, list) for item in holder]
        else:
            holders = [holder[name] for holder in holders if isinstance(holder, dict) and name in holder]
    yield from (value for value in holders if not isinstance(value, dict | list))
