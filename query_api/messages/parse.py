"""Reading JSON that may be text, may be a structure, may be neither: with bounds, and never an exception.

An attribute can be megabytes and thousands of levels deep. What is beyond the bounds is not parsed, so
everything behind this module may recurse over what it is given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from spanledger.query_api.values import is_shallow, readable

# How text starts that was meant to be JSON; a prompt may start with "[INST]", too.
_JSON_STARTS = ("{}", "[]", "[{", "[[", '["', '{"', "[null")


class _Unreadable:
    def __repr__(self) -> str:
        return "UNREADABLE"


UNREADABLE = _Unreadable()  # JSON that is broken, too deep or too large


def parse(sent: Any) -> Any:
    """The value that was sent, parsed where it is JSON text; UNREADABLE where that cannot be done.

    Other text stays text. JSON text of a JSON string is what stands in the string, parsed once more.
    """
    if not isinstance(sent, str):
        return sent if is_shallow(sent) else UNREADABLE
    value = readable(sent, strings=True)
    if isinstance(value, str) and value is not sent:
        value = readable(value)
    return UNREADABLE if isinstance(value, str) and looks_like_json(value) else value


def looks_like_json(text: str) -> bool:
    """Whether text was meant to be an object or an array."""
    start = "".join(text[:64].split())
    return start.startswith(_JSON_STARTS)


def is_empty(sent: Any) -> bool:
    """Whether nothing was sent: also where a sender says so with empty JSON."""
    if isinstance(sent, str):
        return len(sent) < 16 and sent.strip() in ("", "{}", "[]", "null", '""', "()")
    return sent is None or (isinstance(sent, list | dict) and not sent)


def mapping(value: Any) -> Mapping[str, Any]:
    """The value where it is an object, parsed if it is JSON text; else an empty one."""
    parsed = parse(value) if isinstance(value, str) else value
    return parsed if isinstance(parsed, Mapping) else {}


def items(value: Any) -> list[Any]:
    """The value where it is an array, parsed if it is JSON text; else an empty one."""
    parsed = parse(value) if isinstance(value, str) else value
    return parsed if isinstance(parsed, list) else []


def first(holder: Mapping[str, Any], *keys: str) -> Any:
    """What stands under the first of the keys that has something."""
    return next((holder[key] for key in keys if not is_empty(holder.get(key))), None)


def numbered(node: Any) -> Iterator[tuple[int, Any]]:
    """The children of a node whose keys are numbers, in the order of the numbers, whatever is missing."""
    node = parse(node) if isinstance(node, str) else node
    if isinstance(node, list):
        yield from enumerate(node)
    elif isinstance(node, Mapping):
        numbers = [key for key in node if len(key) < 10 and key.isascii() and key.isdigit()]
        yield from ((int(key), node[key]) for key in sorted(numbers, key=int))
