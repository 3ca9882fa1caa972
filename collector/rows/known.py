"""The dialect table as the compiled functions get it: what every known key is, as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from spanledger.collector.rows import memory, spans
from spanledger.collector.rows.memory import MEMORY, intern
from spanledger.schemas.compiled import INTS, NOTHING, compiled
from spanledger.schemas.dialects import (
    CONTENT_KEYS,
    CONTENT_PREFIXES,
    DIALECTS,
    FIRST_CHUNK_EVENTS,
    PLAIN_KEYS,
    Field,
)

_EVENT = "event:"
SERVICE_KEY = "service.name"  # the first of the keys
_WAYS = {
    "text": spans.AS_DISTINCT,
    "id": spans.AS_TEXT,
    "count": spans.AS_COUNT,
    "number": spans.AS_NUMBER,
    "money": spans.AS_MONEY,
    "texts": spans.AS_TEXTS,
    "list": spans.AS_LIST,
}


class Known(NamedTuple):
    """What stands in the arena and in the tables before the first request does.

    preamble: the texts. keys: sizes of the known keys, in the order in which they stand there; behind them
    come the names of events and of members. codes: rows CODE to HINTS of `keys`. prefixes: which of the keys
    are beginnings of others. ways, members: of the memory. distinct: the columns of texts that have an empty
    one.
    """

    preamble: bytes
    keys: Any
    codes: Any
    prefixes: tuple[int, int]
    events: Any
    ways: Any
    members: Any
    distinct: Any


def known(fields: Sequence[Field]) -> Known:
    """Everything about these fields that does not change from batch to batch."""
    places = [
        (key, slot * 256 + priority)
        for slot, field in enumerate(fields, start=1)
        for priority, key in enumerate(field.keys)
    ]
    attributes = [key.partition("#")[0] for key, _ in places if not key.startswith(_EVENT)]
    of_events = [key.removeprefix(_EVENT) for key, _ in places if key.startswith(_EVENT)]
    keys = list(dict.fromkeys((SERVICE_KEY, *attributes, *of_events, *CONTENT_KEYS, *PLAIN_KEYS)))
    prefixes = (len(keys), len(keys) + len(CONTENT_PREFIXES))
    keys += CONTENT_PREFIXES
    codes = np.zeros((memory.HINTS + 1, len(keys)), np.int64)
    for key in CONTENT_KEYS:
        codes[memory.CODE, keys.index(key)] = spans.CONTENT
    for n, key in enumerate(keys):
        hinted = [d for d, dialect in enumerate(DIALECTS) if key.startswith(dialect.keys or ("\0",))]
        codes[memory.HINTS, n] = sum(1 << d for d in hinted)
    tree = _Members(codes, keys)
    for key, code in places:
        attribute, opened, path = key.partition("#")
        if opened:
            tree.add(attribute, path, code)
        elif key.startswith(_EVENT):
            codes[memory.EVENT_CODE, keys.index(key.removeprefix(_EVENT))] = code
        else:
            _put(codes[memory.CODE : memory.SECOND_CODE + 1, keys.index(key)], code, key)
    head = "".join((*keys, *FIRST_CHUNK_EVENTS)).encode()
    return Known(
        head + tree.names(),
        _sizes(keys),
        codes,
        prefixes,
        _sizes(FIRST_CHUNK_EVENTS),
        np.array(
            [
                [_WAYS[field.kind] for field in fields],
                range(spans.FIELD_COLUMNS, spans.FIELD_COLUMNS + len(fields)),
            ],
            np.int64,
        ),
        tree.table(len(head)),
        np.array(
            [spans.FIELD_COLUMNS + n for n, field in enumerate(fields) if field.kind == "text"], np.int64
        ),
    )


def _sizes(texts: Sequence[str]) -> Any:
    return np.array([len(text.encode()) for text in texts], np.int64)


def _put(codes: Any, code: int, key: str) -> None:
    """Put a code where the first is free: a key fills two fields at most."""
    free = np.flatnonzero(codes == 0)
    if not len(free):
        raise ValueError(f"the dialect table has {key!r} more than twice")
    codes[free[0]] = code


class _Members:
    """The tree of members; node 0 is nobody's."""

    def __init__(self, codes: Any, keys: list[str]) -> None:
        self._codes = codes
        self._keys = keys
        self._children: list[dict[bytes, int]] = [{}]
        self._name_of: list[bytes] = [b""]
        self._fields: list[Any] = [np.zeros(2, np.int64)]

    def add(self, attribute: str, path: str, code: int) -> None:
        n = self._keys.index(attribute)
        if not self._codes[memory.ROOT, n]:
            self._codes[memory.ROOT, n] = self._node(b"")
        node = int(self._codes[memory.ROOT, n])
        for part in path.split("."):
            name = b"" if part == "[]" else part.encode()
            if name not in self._children[node]:
                self._children[node][name] = self._node(name)
            node = self._children[node][name]
        _put(self._fields[node], code, f"{attribute}#{path}")

    def _node(self, name: bytes) -> int:
        self._children.append({})
        self._name_of.append(name)
        self._fields.append(np.zeros(2, np.int64))
        return len(self._children) - 1

    def names(self) -> bytes:
        return b"".join(self._name_of)

    def table(self, start: int) -> Any:
        """The tree as the compiled functions read it; its names stand from `start` on."""
        table = np.zeros((memory.MEMBER_SECOND_CODE + 1, len(self._children)), np.int64)
        for node, children in enumerate(self._children):
            table[memory.MEMBER_AT, node] = start
            table[memory.MEMBER_SIZE, node] = len(self._name_of[node])
            start += len(self._name_of[node])
            table[memory.MEMBER_CODE : memory.MEMBER_SECOND_CODE + 1, node] = self._fields[node]
            following = 0
            for child in children.values():
                table[memory.MEMBER_NEXT, child] = following
                following = child
            table[memory.MEMBER_FIRST, node] = following
        return table


@compiled(NOTHING, MEMORY, INTS, INTS, INTS)
def put_known(m: Any, keys: Any, events: Any, distinct: Any) -> None:
    """Put the texts of a preamble, which begins the arena, into the table of distinct strings."""
    at = np.int64(0)
    for n in range(len(keys)):
        intern(m, memory.KEY_COLUMN, at, keys[n])
        m.keys[memory.KEY_AT, n], m.keys[memory.KEY_SIZE, n] = at, keys[n]
        at += keys[n]
    for n in range(len(events)):
        intern(m, spans.L_EVENT_NAME, at, events[n])
        at += events[n]
    for n in range(len(distinct)):
        intern(m, distinct[n], 0, 0)
