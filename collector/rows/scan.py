"""What of a request can be stored, and why the rest cannot.

The same functions tell the gate how many spans are good and the transcoder which ones to leave out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from spanledger.collector.rows.wire import BYTES, FIXED32, FIXED64, VARINT, field, is_utf8, varint
from spanledger.schemas.compiled import DATA, FLAG, INT, INTS, compiled

# What a span's own fields say, by position in the array that `span_head` fills.
TRACE_ID, TRACE_ID_SIZE, SPAN_ID, SPAN_ID_SIZE, PARENT_ID, PARENT_ID_SIZE = range(6)
STATE, STATE_SIZE, NAME, NAME_SIZE, KIND, START, END, FLAGS = range(6, 14)
DROPPED_ATTRIBUTES, DROPPED_EVENTS, DROPPED_LINKS = range(14, 17)
STATUS_CODE, STATUS_MESSAGE, STATUS_MESSAGE_SIZE = range(17, 20)
ATTRIBUTES, EVENTS, LINKS = range(20, 23)  # how many there are
HEAD = 23
STACK = 6  # a value and the list in it are two levels of messages, of three numbers each

# The kinds of an AnyValue: the numbers of its members.
NONE, STRING, BOOL, INTEGER, DOUBLE, ARRAY, MAP, BLOB = range(8)

# Why a span cannot be stored; gate.py has the words.
FAULTS = (
    "trace_id_length",
    "trace_id_zero",
    "span_id_length",
    "span_id_zero",
    "parent_span_id_length",
    "start_time_missing",
    "start_time_range",
    "end_time_range",
    "attribute_depth",
)
DEPTH_FAULT = len(FAULTS)

GOOD, MALFORMED, NOT_UTF8 = 0, -1, -2

# The first bytes of members, as their number and wire type make them.
_KEY_MEMBER, _VALUE_MEMBER, _TEXT_MEMBER = 1 << 3 | BYTES, 2 << 3 | BYTES, STRING << 3 | BYTES
MAX_TIME = 0xFFFF_FFFF * 10**9  # February 2106, where the DateTime of the sorting key's hours ends


@compiled(FLAG, DATA, INT, INT)
def _all_zero(data: Any, at: Any, size: Any) -> Any:
    seen = 0
    for n in range(at, at + size):
        seen |= data[n]
    return seen == 0


@compiled(types.UniTuple(INT, 3), DATA, INT, INT)
def any_value(data: Any, at: Any, end: Any) -> Any:
    """The kind of an AnyValue, its value, and its size; of several members the last counts."""
    # Nearly all are a text and nothing else, which needs no loop.
    if end - at >= 2 and data[at] == _TEXT_MEMBER:
        size, first = varint(data, at + 1, end)
        if first >= 0 and size == end - first:
            return STRING, np.int64(first), np.int64(size)
    found, value, size = NONE, np.int64(0), np.int64(0)
    while at < end:
        number, kind, a, b, at = field(data, at, end)
        if at < 0:
            return MALFORMED, np.int64(0), np.int64(0)
        if number > BLOB:
            continue
        if number == BOOL or number == INTEGER:
            fits = kind == VARINT
        elif number == DOUBLE:
            fits = kind == FIXED64
        else:
            fits = kind == BYTES
        if fits:
            found, value, size = number, np.int64(a), np.int64(b)
    return found, value, size


@compiled(types.UniTuple(INT, 4), DATA, INT, INT)
def key_value(data: Any, at: Any, end: Any) -> Any:
    """Position and size of the key, and position and end of the value, of a KeyValue."""
    # Nearly all are a short key, then a value, and nothing else, which needs no loop.
    if end - at >= 4 and data[at] == _KEY_MEMBER and data[at + 1] < 128 and data[at + 1] < end - at - 3:
        key, key_size = np.int64(at + 2), np.int64(data[at + 1])
        if data[key + key_size] == _VALUE_MEMBER:
            size, value = varint(data, key + key_size + 1, end)
            if value >= 0 and size == end - value:
                return key, key_size, np.int64(value), np.int64(end)
    key, key_size, value, value_end = np.int64(at), np.int64(0), np.int64(at), np.int64(at)
    while at < end:
        number, kind, a, b, at = field(data, at, end)
        if at < 0:
            return np.int64(0), np.int64(0), np.int64(0), np.int64(-1)
        if kind == BYTES:
            if number == 1:
                key, key_size = a, np.int64(b)
            elif number == 2:
                value, value_end = a, a + b
    return key, key_size, value, value_end


@compiled(INT, DATA, INT, INT, INTS)
def scan_value(data: Any, at: Any, end: Any, stack: Any) -> Any:
    """GOOD, what is wrong with the bytes, or DEPTH_FAULT where values nest more than `stack` has levels.

    `stack`: three numbers a level: where to go on, where it ends, and what it is (0: a value, otherwise
    the kind of list). A loop, for a compiled function that calls itself cannot be kept on disk.
    """
    deep = GOOD
    if end - at >= 2 and data[at] == _TEXT_MEMBER:
        size, first = varint(data, at + 1, end)
        if first >= 0 and size == end - first:
            return GOOD if is_utf8(data, first, size) else NOT_UTF8
    top, what = 0, NONE
    while True:
        if at >= end:
            if top == 0:
                return deep
            top -= 3
            at, end, what = stack[top], stack[top + 1], stack[top + 2]
            continue
        number, kind, a, b, at = field(data, at, end)
        if at < 0:
            return MALFORMED
        if kind != BYTES:
            continue
        inside = NONE
        if what == NONE:
            if number == STRING:
                if not is_utf8(data, a, b):
                    return NOT_UTF8
                continue
            if number != ARRAY and number != MAP:
                continue
            inside = number
        elif number != 1:
            continue
        elif what == MAP:
            key, key_size, value, value_end = key_value(data, a, a + b)
            if value_end < 0:
                return MALFORMED
            if not is_utf8(data, key, key_size):
                return NOT_UTF8
            a, b = value, value_end - value
        if top + 3 > len(stack):
            deep = DEPTH_FAULT
            continue
        stack[top], stack[top + 1], stack[top + 2] = at, end, what
        top += 3
        at, end, what = a, a + b, inside


@compiled(INT, DATA, INT, INT, INTS)
def scan_attribute(data: Any, at: Any, end: Any, stack: Any) -> Any:
    key, key_size, value, value_end = key_value(data, at, end)
    if value_end < 0:
        return MALFORMED
    if not is_utf8(data, key, key_size):
        return NOT_UTF8
    return scan_value(data, value, value_end, stack)


@compiled(INT, DATA, INT, INT, INT, INT, INT, INTS)
def holder(data: Any, at: Any, end: Any, attributes: Any, first: Any, second: Any, stack: Any) -> Any:
    """Scan a message with attributes in field `attributes` and text in fields `first` and `second`."""
    deep = GOOD
    while at < end:
        number, kind, a, b, at = field(data, at, end)
        if at < 0:
            return MALFORMED
        if kind != BYTES:
            continue
        if number == attributes:
            result = scan_attribute(data, a, a + b, stack)
            if result < 0:
                return result
            deep |= result
        elif (number == first or number == second) and not is_utf8(data, a, b):
            return NOT_UTF8
    return deep


@compiled(INT, DATA, INT, INT, INTS)
def span_head(data: Any, at: Any, end: Any, head: Any) -> Any:
    """Fill `head` from a span's own fields; GOOD, MALFORMED, or the number of its fault, from 1."""
    for n in range(HEAD):
        head[n] = 0
    while at < end:
        number, kind, a, b, at = field(data, at, end)
        if at < 0:
            return MALFORMED
        if kind == BYTES:
            if number == 9:
                head[ATTRIBUTES] += 1
            elif number == 1:
                head[TRACE_ID], head[TRACE_ID_SIZE] = a, b
            elif number == 2:
                head[SPAN_ID], head[SPAN_ID_SIZE] = a, b
            elif number == 4:
                head[PARENT_ID], head[PARENT_ID_SIZE] = a, b
            elif number == 5:
                head[NAME], head[NAME_SIZE] = a, b
            elif number == 3:
                head[STATE], head[STATE_SIZE] = a, b
            elif number == 11:
                head[EVENTS] += 1
            elif number == 13:
                head[LINKS] += 1
            elif number == 15:
                inner, inner_end = a, a + b
                while inner < inner_end:
                    n, k, x, y, inner = field(data, inner, inner_end)
                    if inner < 0:
                        return MALFORMED
                    if n == 2 and k == BYTES:
                        head[STATUS_MESSAGE], head[STATUS_MESSAGE_SIZE] = x, y
                    elif n == 3 and k == VARINT:
                        head[STATUS_CODE] = np.int32(x)
        elif kind == FIXED64:
            if number == 7:
                head[START] = a
            elif number == 8:
                head[END] = a
        elif kind == VARINT:
            if number == 6:
                head[KIND] = np.int32(a)
            elif number == 10:
                head[DROPPED_ATTRIBUTES] = a & 0xFFFF_FFFF
            elif number == 12:
                head[DROPPED_EVENTS] = a & 0xFFFF_FFFF
            elif number == 14:
                head[DROPPED_LINKS] = a & 0xFFFF_FFFF
        elif kind == FIXED32 and number == 16:
            head[FLAGS] = a
    # The order of FAULTS. A time above 2^63 has turned negative here.
    if head[TRACE_ID_SIZE] != 16:
        return 1
    if _all_zero(data, head[TRACE_ID], 16):
        return 2
    if head[SPAN_ID_SIZE] != 8:
        return 3
    if _all_zero(data, head[SPAN_ID], 8):
        return 4
    if head[PARENT_ID_SIZE] != 0 and head[PARENT_ID_SIZE] != 8:
        return 5
    if head[START] == 0:
        return 6
    if head[START] < 0 or head[START] > MAX_TIME:
        return 7
    if head[END] < 0:
        return 8
    return GOOD


@compiled(INT, DATA, INT, INT, INTS)
def span_content(data: Any, at: Any, end: Any, stack: Any) -> Any:
    """Scan what a span holds: GOOD, what is wrong with the bytes, or the fault of values nested too deep."""
    deep = GOOD
    while at < end:
        number, kind, a, b, at = field(data, at, end)
        if at < 0:
            return MALFORMED
        if kind != BYTES:
            continue
        result = GOOD
        if number == 9:
            result = scan_attribute(data, a, a + b, stack)
        elif number == 3 or number == 5:
            if not is_utf8(data, a, b):
                return NOT_UTF8
        elif number == 11:
            result = holder(data, a, a + b, 3, 2, 0, stack)
        elif number == 13:
            result = holder(data, a, a + b, 4, 3, 0, stack)
        elif number == 15:
            result = holder(data, a, a + b, 0, 2, 0, stack)
        if result < 0:
            return result
        deep |= result
    return deep
