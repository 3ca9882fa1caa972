"""Writes blocks in ClickHouse's Native format (clickhouse.com/docs/interfaces/formats/Native).

A block is the number of columns and of rows, then for each column its name, its type and its values.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from spanledger.collector.rows.memory import copy
from spanledger.schemas.compiled import BYTES, DATA, INT, INTS, NOTHING, compiled
from spanledger.schemas.errors import BadData

LOW_CARDINALITY_PREFIX = np.int64(1).tobytes()  # the version of its dictionary
Pieces = list[Any]  # bytes, Strings, and arrays that are contiguous
# A resource's attributes stand on each of its spans, so that a small request can become any size.
LARGEST_BLOCK = 1 << 30
_HAS_KEYS = 0x600  # the keys follow, and replace those of the block before
_INDEX_TYPES = ((0, np.uint8), (1, np.uint16), (2, np.uint32))


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


@compiled(INT, INTS)
def _strings_size(sizes: Any) -> Any:
    total = 0
    for size in sizes:
        total += size + 1
        while size > 127:
            size >>= 7
            total += 1
    return total


@compiled(NOTHING, DATA, INTS, INTS, BYTES)
def _write_strings(arena: Any, places: Any, sizes: Any, out: Any) -> None:
    to = 0
    for n in range(len(places)):
        size = sizes[n]
        rest = size
        while rest > 127:
            out[to] = rest & 127 | 128
            rest >>= 7
            to += 1
        out[to] = rest
        to += 1
        copy(arena, places[n], size, out, to)
        to += size


@compiled(NOTHING, DATA, INTS, INT, BYTES)
def _write_fixed(arena: Any, places: Any, width: Any, out: Any) -> None:
    for n in range(len(places)):
        if places[n] < 0:
            for k in range(n * width, (n + 1) * width):
                out[k] = 0
        else:
            copy(arena, places[n], width, out, n * width)


class Strings(NamedTuple):
    """Values of a String column that stand in the arena; written where the block is made."""

    arena: Any
    places: Any
    sizes: Any


def fixed(arena: Any, places: Any, width: int) -> Any:
    """Values of a FixedString column that stand in the arena; a place of -1 is all zero."""
    out = np.empty(len(places) * width, np.uint8)
    _write_fixed(arena, places, width, out)
    return out


def texts(values: Iterable[bytes]) -> bytes:
    """Values of a String column."""
    return b"".join(varint(len(value)) + value for value in values)


def low_cardinality(keys: Any, count: int, numbers: Any, *, prefixed: bool = True) -> Pieces:
    """Values of a LowCardinality(String) column: `count` distinct ones, as String values, and their numbers.

    Where the column is the inner one of an array or map its prefix comes before that: not `prefixed`.
    """
    prefix = [LOW_CARDINALITY_PREFIX] if prefixed else []
    if not len(numbers):
        return prefix
    code, kind = next((code, kind) for code, kind in _INDEX_TYPES if count <= np.iinfo(kind).max + 1)
    return [
        *prefix,
        np.int64(_HAS_KEYS | code).tobytes(),
        np.int64(count).tobytes(),
        keys,
        np.int64(len(numbers)).tobytes(),
        numbers.astype(kind),
    ]


def nullable(missing: Any, values: Any) -> Pieces:
    """Values of a Nullable column; what stands where one is missing does not matter."""
    return [missing.astype(np.uint8), values]


class Buffer:
    """Where a block is made, kept from one to the next: memory that is new must be cleared first."""

    def __init__(self) -> None:
        self._bytes = np.empty(0, np.uint8)

    def block(self, rows: int, columns: Iterable[tuple[str, str, Pieces]]) -> memoryview:
        """A block out of columns: name, type, values in pieces. It lasts until the next one."""
        pieces: Pieces = []
        count = 0
        for name, kind, values in columns:
            pieces += [texts((name.encode(), kind.encode())), *values]
            count += 1
        pieces = [varint(count), varint(rows), *pieces]
        sizes = [_size(piece) for piece in pieces]
        if sum(sizes) > LARGEST_BLOCK:
            raise BadData(f"requests that become a block of {sum(sizes)} bytes; the most is {LARGEST_BLOCK}")
        if sum(sizes) > len(self._bytes):
            self._bytes = np.empty(sum(sizes) * 5 // 4, np.uint8)
        at = 0
        for piece, size in zip(pieces, sizes, strict=True):
            out = self._bytes[at : at + size]
            if isinstance(piece, Strings):
                _write_strings(*piece, out)
            elif isinstance(piece, bytes):
                out[:] = np.frombuffer(piece, np.uint8)
            else:
                out[:] = piece.reshape(-1).view(np.uint8)
            at += size
        return self._bytes.data[:at]


def _size(piece: Any) -> int:
    if isinstance(piece, Strings):
        return int(_strings_size(piece.sizes))
    return len(piece) if isinstance(piece, bytes) else int(piece.nbytes)
