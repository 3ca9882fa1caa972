"""Reads protobuf's wire format (protobuf.dev/programming-guides/encoding).

A position of -1 says that the bytes are not what they should be.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import int64, types

from spanledger.schemas.compiled import DATA, FLAG, INT, compiled, load64

VARINT, FIXED64, BYTES, GROUP, END_GROUP, FIXED32 = 0, 1, 2, 3, 4, 5
_LARGEST_FIELD = (1 << 29) - 1
_GROUPS_DEEP = 100
_FIELD = types.UniTuple(types.int64, 5)


@compiled(types.UniTuple(INT, 2), DATA, INT, INT, inline=True)
def varint(data: Any, at: Any, end: Any) -> Any:
    """The value and the position behind it."""
    if at < end and data[at] < 128:
        return int64(data[at]), at + 1
    value = int64(0)
    shift = 0
    while at < end and shift < 64:
        byte = int64(data[at])
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 128:
            return value, at
        shift += 7
    return int64(0), -1


@compiled(INT, DATA, INT, inline=True)
def little32(data: Any, at: Any) -> Any:
    return int64(data[at]) | int64(data[at + 1]) << 8 | int64(data[at + 2]) << 16 | int64(data[at + 3]) << 24


@compiled(_FIELD, DATA, INT, INT, inline=True)
def _raw(data: Any, at: Any, end: Any) -> Any:
    """Like `field`, but a group is left at its start."""
    tag, at = varint(data, at, end)
    if at < 0:
        return 0, 0, int64(0), 0, -1
    number, kind = tag >> 3, tag & 7
    if number < 1 or number > _LARGEST_FIELD:
        return 0, 0, int64(0), 0, -1
    if kind == BYTES:
        size, at = varint(data, at, end)
        if at < 0 or size < 0 or size > end - at:
            return 0, 0, int64(0), 0, -1
        return number, kind, at, size, at + size
    if kind == VARINT:
        value, at = varint(data, at, end)
        return number, kind, value, 0, at
    if kind == FIXED64 and end - at >= 8:
        return number, kind, load64(data, at), 8, at + 8
    if kind == FIXED32 and end - at >= 4:
        return number, kind, little32(data, at), 4, at + 4
    if kind == GROUP or kind == END_GROUP:
        return number, kind, int64(0), 0, at
    return 0, 0, int64(0), 0, -1


@compiled(INT, DATA, INT, INT)
def _behind_group(data: Any, at: Any, end: Any) -> Any:
    depth = 1
    while depth > 0:
        if depth > _GROUPS_DEEP:
            return np.int64(-1)
        _, kind, _, _, at = _raw(data, at, end)
        if at < 0:
            return np.int64(-1)
        if kind == GROUP:
            depth += 1
        elif kind == END_GROUP:
            depth -= 1
    return np.int64(at)


@compiled(_FIELD, DATA, INT, INT, inline=True)
def field(data: Any, at: Any, end: Any) -> Any:
    """The next field: its number, its wire type, its value, its size, and the position behind it.

    The value of a BYTES field is the position of its bytes. A group, which OTLP does not have, is passed.
    """
    number, kind, value, size, at = _raw(data, at, end)
    if kind == GROUP:
        at = _behind_group(data, at, end)
    elif kind == END_GROUP:
        at = np.int64(-1)
    return number, kind, value, size, at


@compiled(FLAG, DATA, INT, INT)
def is_utf8(data: Any, at: Any, size: Any) -> Any:
    """Whether the bytes are valid UTF-8 (Unicode 3.9, table 3-7)."""
    end = at + size
    # Nearly all text is ASCII, and eight bytes of it are told at once.
    high_bits = np.int64(np.uint64(0x8080808080808080))
    seen = int64(0)
    while end - at >= 8:
        seen |= load64(data, at)
        at += 8
    if size >= 8:
        seen |= load64(data, end - 8)
    else:
        for n in range(at, end):
            seen |= int64(data[n])
    if seen & high_bits == 0:
        return True
    at = end - size
    while at < end:
        first = data[at]
        if first < 0x80:
            at += 1
            continue
        if first < 0xC2 or first > 0xF4:
            return False
        more = 1 if first < 0xE0 else 2 if first < 0xF0 else 3
        if end - at <= more:
            return False
        second = data[at + 1]
        low, high = 0x80, 0xBF
        if first == 0xE0:
            low = 0xA0
        elif first == 0xED:
            high = 0x9F
        elif first == 0xF0:
            low = 0x90
        elif first == 0xF4:
            high = 0x8F
        if second < low or second > high:
            return False
        for n in range(at + 2, at + 1 + more):
            if data[n] & 0xC0 != 0x80:
                return False
        at += 1 + more
    return True
