"""Values as JSON text, and numbers out of text.

The JSON tells every type apart: a double has a point or an exponent; what JSON lacks is an object with a
single key, `{"@bytes": base64}` and `{"@double": "nan"}`; a map of the sender's whose only key starts with
@ is put into `{"@map": ...}`. query_api/values.py reads it back.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from spanledger.collector.rows.memory import USED, put_byte, room
from spanledger.collector.rows.scan import (
    ARRAY,
    BLOB,
    BOOL,
    DOUBLE,
    INTEGER,
    MAP,
    STRING,
    any_value,
    key_value,
)
from spanledger.collector.rows.wire import BYTES as DELIMITED
from spanledger.collector.rows.wire import field
from spanledger.schemas.compiled import (
    BYTES,
    DATA,
    FLAG,
    INT,
    INTS,
    NOTHING,
    as_double,
    compiled,
    copy_bytes,
    double_text,
    load64,
    text_double,
)
from spanledger.schemas.compiled import DOUBLE as FLOAT

_WRAPPED_MAP = BLOB + 1
_ALL_COMPARED = 256  # of a map with more keys than this, equal ones are left to the reader of the JSON
_LONGEST_NUMBER = 32


_WORDS = b'true false null {"@bytes":" {"@double":" {"@map": "} nan inf -inf'
_LETTERS = np.frombuffer(_WORDS, np.uint8)


def _word(text: bytes) -> tuple[int, int]:
    """Where a constant stands in _WORDS, and its size."""
    return _WORDS.index(text), len(text)


_TRUE, _FALSE, _NULL = _word(b"true"), _word(b"false"), _word(b"null")
_OPEN_BYTES, _OPEN_DOUBLE, _OPEN_MAP = _word(b'{"@bytes":"'), _word(b'{"@double":"'), _word(b'{"@map":')
_CLOSE, _NAN, _INF, _MINUS_INF = _word(b'"}'), _word(b"nan"), _word(b"inf"), _word(b"-inf")


@compiled(NOTHING, BYTES, INTS, types.UniTuple(INT, 2))
def _put_word(arena: Any, state: Any, word: Any) -> None:
    at, size = word
    if room(arena, state, size):
        for n in range(at, at + size):
            put_byte(arena, state, _LETTERS[n])


@compiled(NOTHING, BYTES, INTS, INT, INT)
def put_string(arena: Any, state: Any, at: Any, size: Any) -> None:
    """Append a string of the arena in quotes."""
    if not room(arena, state, 6 * size + 2):
        return
    put_byte(arena, state, 34)
    for n in range(at, at + size):
        byte = arena[n]
        if byte >= 32 and byte != 34 and byte != 92:
            put_byte(arena, state, byte)
            continue
        put_byte(arena, state, 92)
        if byte == 34 or byte == 92:
            put_byte(arena, state, byte)
        elif byte == 10:
            put_byte(arena, state, 110)
        elif byte == 13:
            put_byte(arena, state, 114)
        elif byte == 9:
            put_byte(arena, state, 116)
        else:
            put_byte(arena, state, 117)
            put_byte(arena, state, 48)
            put_byte(arena, state, 48)
            put_byte(arena, state, 48 + (byte >> 4))
            low = byte & 15
            put_byte(arena, state, 48 + low if low < 10 else 87 + low)
    put_byte(arena, state, 34)


@compiled(NOTHING, BYTES, INTS, INT)
def put_int(arena: Any, state: Any, value: Any) -> None:
    if not room(arena, state, _LONGEST_NUMBER):
        return
    rest = np.uint64(value)
    if value < 0:
        put_byte(arena, state, 45)
        rest = np.uint64(0) - rest
    start = state[USED]
    while True:
        put_byte(arena, state, 48 + np.int64(rest % np.uint64(10)))
        rest //= np.uint64(10)
        if rest == 0:
            break
    low, high = start, state[USED] - 1
    while low < high:
        arena[low], arena[high] = arena[high], arena[low]
        low += 1
        high -= 1


@compiled(NOTHING, BYTES, INTS, INT)
def put_double(arena: Any, state: Any, bits: Any) -> None:
    """Append the shortest text that is read back as the same finite double, with a point or an exponent."""
    if not room(arena, state, _LONGEST_NUMBER):
        return
    number = as_double(bits)
    address = arena.ctypes.data + state[USED]
    for digits in range(15, 18):
        double_text(number, np.int32(digits), address)
        if text_double(address, np.intp(0)) == number:
            break
    plain = True
    while arena[state[USED]] != 0:
        byte = arena[state[USED]]
        plain = plain and byte != 46 and byte != 101
        state[USED] += 1
    if plain:
        put_byte(arena, state, 46)
        put_byte(arena, state, 48)


@compiled(NOTHING, BYTES, INTS, INT, INT)
def _put_base64(arena: Any, state: Any, at: Any, size: Any) -> None:
    if not room(arena, state, size // 3 * 4 + 4):
        return
    for n in range(at, at + size, 3):
        left = min(size - (n - at), 3)
        group = np.int64(arena[n]) << 16
        if left > 1:
            group |= np.int64(arena[n + 1]) << 8
        if left > 2:
            group |= np.int64(arena[n + 2])
        for k in range(4):
            six: Any = (group >> (18 - 6 * k)) & 63
            byte: Any = 61
            if k > left:
                byte = 61
            elif six < 26:
                byte = 65 + six
            elif six < 52:
                byte = 71 + six
            elif six < 62:
                byte = six - 4
            else:
                byte = 43 if six == 62 else 47
            put_byte(arena, state, byte)


@compiled(NOTHING, BYTES, INTS, INT, INT, INT)
def _put_scalar(arena: Any, state: Any, kind: Any, value: Any, size: Any) -> None:
    if kind == STRING:
        put_string(arena, state, value, size)
    elif kind == INTEGER:
        put_int(arena, state, value)
    elif kind == BOOL:
        if value != 0:
            _put_word(arena, state, _TRUE)
        else:
            _put_word(arena, state, _FALSE)
    elif kind == DOUBLE:
        number = as_double(value)
        if np.isfinite(number):
            put_double(arena, state, value)
            return
        _put_word(arena, state, _OPEN_DOUBLE)
        if np.isnan(number):
            _put_word(arena, state, _NAN)
        elif number > 0:
            _put_word(arena, state, _INF)
        else:
            _put_word(arena, state, _MINUS_INF)
        _put_word(arena, state, _CLOSE)
    elif kind == BLOB:
        _put_word(arena, state, _OPEN_BYTES)
        _put_base64(arena, state, value, size)
        _put_word(arena, state, _CLOSE)
    else:
        _put_word(arena, state, _NULL)


@compiled(FLAG, DATA, INT, INT, INT, INT)
def _comes_again(arena: Any, key: Any, key_size: Any, at: Any, end: Any) -> Any:
    """Whether a key comes again in what is left of a map."""
    while at < end:
        number, kind, a, b, at = field(arena, at, end)
        if number == 1 and kind == DELIMITED:
            other, other_size, _, _ = key_value(arena, a, a + b)
            if other_size == key_size:
                same = True
                for n in range(key_size):
                    if arena[other + n] != arena[key + n]:
                        same = False
                        break
                if same:
                    return True
    return False


@compiled(types.Tuple((INT, FLAG)), BYTES, INTS, INT, INT, INT)
def _opened(arena: Any, state: Any, kind: Any, at: Any, end: Any) -> Any:
    """Write how a list begins; say what it is, and whether its keys must be compared."""
    if kind == ARRAY:
        if room(arena, state, 1):
            put_byte(arena, state, 91)
        return kind, False
    count = distinct = 0
    marked = False
    p = at
    while p < end:
        number, wire, a, b, p = field(arena, p, end)
        if number != 1 or wire != DELIMITED:
            continue
        count += 1
        if count > _ALL_COMPARED:
            break
        key, key_size, _, _ = key_value(arena, a, a + b)
        if not _comes_again(arena, key, key_size, p, end):
            distinct += 1
            marked = key_size > 0 and arena[key] == 64
    if distinct == 1 and marked and count <= _ALL_COMPARED:
        _put_word(arena, state, _OPEN_MAP)
        kind = _WRAPPED_MAP
    if room(arena, state, 1):
        put_byte(arena, state, 123)
    return kind, distinct < count <= _ALL_COMPARED


@compiled(NOTHING, BYTES, INTS, INT, INT, INT, INTS)
def put_value(arena: Any, state: Any, kind: Any, value: Any, size: Any, stack: Any) -> None:
    """Append an AnyValue as JSON text; `stack` is as deep as scan.py has let values be."""
    if kind != ARRAY and kind != MAP:
        _put_scalar(arena, state, kind, value, size)
        return
    at, end = value, value + size
    what, compared = _opened(arena, state, kind, at, end)
    top, first = 0, True
    while True:
        if state[USED] + 8 > len(arena):
            room(arena, state, 8)
            return
        if at >= end:
            put_byte(arena, state, 93 if what == ARRAY else 125)
            if what == _WRAPPED_MAP:
                put_byte(arena, state, 125)
            if top == 0:
                return
            top -= 4
            at, end, what, compared = stack[top], stack[top + 1], stack[top + 2], stack[top + 3] != 0
            first = False
            continue
        number, wire, a, b, at = field(arena, at, end)
        if number != 1 or wire != DELIMITED:
            continue
        inner, inner_end = a, a + b
        if what != ARRAY:
            key, key_size, inner, inner_end = key_value(arena, a, a + b)
            if compared and _comes_again(arena, key, key_size, at, end):
                continue
        if not first:
            put_byte(arena, state, 44)
        first = False
        if what != ARRAY:
            put_string(arena, state, key, key_size)
            if room(arena, state, 1):
                put_byte(arena, state, 58)
        kind, value, size = any_value(arena, inner, inner_end)
        if kind != ARRAY and kind != MAP:
            _put_scalar(arena, state, kind, value, size)
            continue
        if top + 4 > len(stack):
            # Deeper than scan.py lets a span be: of a resource or scope that has no good span.
            _put_word(arena, state, _NULL)
            continue
        stack[top], stack[top + 1], stack[top + 2], stack[top + 3] = at, end, what, compared
        top += 4
        at, end = value, value + size
        what, compared = _opened(arena, state, kind, at, end)
        first = True


@compiled(INT, DATA, INT, INT, INT)
def fitting(arena: Any, at: Any, size: Any, limit: Any) -> Any:
    """The most bytes of a text that are no more than `limit` and end with a whole character."""
    if size <= limit:
        return size
    size = limit
    while size > 0 and arena[at + size] & 0xC0 == 0x80:
        size -= 1
    return size


@compiled(INT, DATA, INT, INT)
def count_in(arena: Any, at: Any, size: Any) -> Any:
    """A non-negative integer out of its digits; -1 where it is none or above 2^63 - 1."""
    if size == 0 or size > 19:
        return np.int64(-1)
    value = np.int64(0)
    for n in range(at, at + size):
        digit = np.int64(arena[n]) - 48
        if digit < 0 or digit > 9 or value > (0x7FFF_FFFF_FFFF_FFFF - digit) // 10:
            return np.int64(-1)
        value = value * 10 + digit
    return value


@compiled(FLOAT, BYTES, INTS, INT, INT)
def number_in(arena: Any, state: Any, at: Any, size: Any) -> Any:
    """A finite number out of its text (digits, point, exponent); NaN where it is none."""
    if size == 0 or size > 64 or not room(arena, state, size + 9):
        return np.nan
    digits = 0
    for n in range(at, at + size):
        byte = arena[n]
        if 48 <= byte <= 57:
            digits += 1
        elif byte != 43 and byte != 45 and byte != 46 and byte != 69 and byte != 101:
            return np.nan
    # What strtod reads must end where the text ends; without a digit behind the exponent it would not.
    last = arena[at + size - 1]
    if digits == 0 or not (48 <= last <= 57 or last == 46):
        return np.nan
    address = arena.ctypes.data + state[USED]
    copy_bytes(address, arena.ctypes.data + at, size)
    arena[state[USED] + size] = 0
    behind = state[USED] + size + 1
    number = text_double(address, arena.ctypes.data + behind)
    if load64(arena, behind) != address + size or not np.isfinite(number):
        return np.nan
    return number
