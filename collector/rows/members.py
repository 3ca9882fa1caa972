"""Members of JSON attributes: several dialects put a usage object, or a whole answer, into one attribute.

Which members are asked for is a tree (known.py): from the attribute, member by member. A document is read
once, from its first byte to its last, and what nobody asks for is jumped over. Nothing of it is believed:
where it is no JSON the reading ends, and what was found until then stands.

LiteLLM sends some objects as Python prints them; so quotes may be single, words plain, and `Name(key=value)`
is an object.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from spanledger.collector.rows.memory import (
    DEEPEST_MEMBER,
    LIMIT_VALUE,
    MEMBER_AT,
    MEMBER_CODE,
    MEMBER_FIRST,
    MEMBER_NEXT,
    MEMBER_SECOND_CODE,
    MEMBER_SIZE,
    MEMORY,
    USED,
    equal,
    offer,
    put_byte,
    room,
)
from spanledger.collector.rows.scan import STRING
from spanledger.collector.rows.text import fitting
from spanledger.schemas.compiled import BYTES, DATA, FLAG, INT, INTS, NOTHING, compiled

_VALUE, _MEMBER, _BEHIND = range(3)  # what comes next
_SPACE, _QUOTE, _OPEN, _COMMA, _EQUALS, _APOSTROPHE = 32, 34, 40, 44, 61, 39
_COLON, _BRACKET, _BACKSLASH, _CLOSE_BRACKET, _BRACE, _CLOSE_BRACE, _CLOSE = 58, 91, 92, 93, 123, 125, 41


@compiled(INT, DATA, INT, INT)
def _string_end(arena: Any, at: Any, end: Any) -> Any:
    """The position of the quote that ends the string which begins at `at`; -1 where none does."""
    quote = arena[at]
    at += 1
    while at < end:
        byte = arena[at]
        if byte == quote:
            return at
        at += 2 if byte == _BACKSLASH else 1
    return np.int64(-1)


@compiled(INT, DATA, INT, INT)
def _word_end(arena: Any, at: Any, end: Any) -> Any:
    while at < end:
        byte = arena[at]
        if byte <= _SPACE or byte == _COMMA or byte == _COLON or byte == _EQUALS:
            break
        if byte == _CLOSE_BRACE or byte == _CLOSE_BRACKET or byte == _CLOSE or byte == _OPEN:
            break
        if byte == _QUOTE or byte == _APOSTROPHE or byte == _BRACE or byte == _BRACKET:
            break
        at += 1
    return at


@compiled(INT, DATA, INT, INT)
def _container_end(arena: Any, at: Any, end: Any) -> Any:
    """The position behind an object or array; -1 where it does not end."""
    depth = 0
    while at < end:
        byte = arena[at]
        if byte == _QUOTE or byte == _APOSTROPHE:
            at = _string_end(arena, at, end)
            if at < 0:
                return at
        elif byte == _BRACE or byte == _BRACKET or byte == _OPEN:
            depth += 1
        elif byte == _CLOSE_BRACE or byte == _CLOSE_BRACKET or byte == _CLOSE:
            depth -= 1
            if depth == 0:
                return at + 1
        at += 1
    return np.int64(-1)


@compiled(INT, MEMORY, INT, INT, INT)
def _member(m: Any, node: Any, at: Any, size: Any) -> Any:
    """The node of a member of a node; 0 where nobody asks for it."""
    child = m.members[MEMBER_FIRST, node]
    while child != 0:
        if m.members[MEMBER_SIZE, child] == size and equal(m.arena, m.members[MEMBER_AT, child], at, size):
            return child
        child = m.members[MEMBER_NEXT, child]
    return np.int64(0)


@compiled(INT, DATA, INT, INT)
def _hex(arena: Any, at: Any, end: Any) -> Any:
    """Four hexadecimal digits; -1 where they are none."""
    if at + 4 > end:
        return np.int64(-1)
    code = np.int64(0)
    for n in range(at, at + 4):
        byte = np.int64(arena[n])
        low = byte | 32
        if 48 <= byte <= 57:
            code = code * 16 + byte - 48
        elif 97 <= low <= 102:
            code = code * 16 + low - 87
        else:
            return np.int64(-1)
    return code


@compiled(NOTHING, BYTES, INTS, INT)
def _put_character(arena: Any, state: Any, code: Any) -> None:
    """Append a character as UTF-8."""
    if code < 0x80:
        put_byte(arena, state, code)
    elif code < 0x800:
        put_byte(arena, state, 0xC0 | code >> 6)
        put_byte(arena, state, 0x80 | code & 0x3F)
    elif code < 0x1_0000:
        put_byte(arena, state, 0xE0 | code >> 12)
        put_byte(arena, state, 0x80 | code >> 6 & 0x3F)
        put_byte(arena, state, 0x80 | code & 0x3F)
    else:
        put_byte(arena, state, 0xF0 | code >> 18)
        put_byte(arena, state, 0x80 | code >> 12 & 0x3F)
        put_byte(arena, state, 0x80 | code >> 6 & 0x3F)
        put_byte(arena, state, 0x80 | code & 0x3F)


@compiled(INT, MEMORY, INT, INT)
def unescaped(m: Any, at: Any, end: Any) -> Any:
    """Append the text that stands between the quotes of a JSON string; where it begins, -1: it is no text.

    Half of a surrogate pair is a replacement character: the text stays UTF-8.
    """
    arena, state = m.arena, m.state
    start = state[USED]
    # No escape is shorter than what it means.
    if not room(arena, state, end - at):
        return np.int64(-1)
    while at < end:
        byte = arena[at]
        at += 1
        if byte != _BACKSLASH:
            put_byte(arena, state, byte)
            continue
        if at >= end:
            break
        byte = arena[at]
        at += 1
        if byte == 117:  # u
            code = _hex(arena, at, end)
            if code < 0:
                state[USED] = start
                return np.int64(-1)
            at += 4
            if 0xD800 <= code < 0xDC00 and at + 6 <= end and arena[at] == _BACKSLASH and arena[at + 1] == 117:
                low = _hex(arena, at + 2, end)
                if 0xDC00 <= low < 0xE000:
                    code = 0x1_0000 + ((code - 0xD800) << 10) + (low - 0xDC00)
                    at += 6
            if 0xD800 <= code < 0xE000:
                code = np.int64(0xFFFD)
            _put_character(arena, state, code)
        elif byte == 110:
            put_byte(arena, state, 10)
        elif byte == 116:
            put_byte(arena, state, 9)
        elif byte == 114:
            put_byte(arena, state, 13)
        elif byte == 98:
            put_byte(arena, state, 8)
        elif byte == 102:
            put_byte(arena, state, 12)
        else:
            put_byte(arena, state, byte)
    return start


@compiled(NOTHING, MEMORY, INT, INT, INT)
def _found(m: Any, node: Any, at: Any, end: Any) -> None:
    """Offer what stands between the quotes of a string, or a plain word, for the fields that ask for it."""
    if node == 0 or end <= at:
        return
    code, second = m.members[MEMBER_CODE, node], m.members[MEMBER_SECOND_CODE, node]
    if code == 0:
        return
    size = end - at
    for n in range(at, end):
        if m.arena[n] == _BACKSLASH:
            start = unescaped(m, at, end)
            if start < 0:
                return
            at, size = start, m.state[USED] - start
            break
    size = fitting(m.arena, at, size, m.state[LIMIT_VALUE])
    offer(m, code, STRING, at, size, 0, 0)
    if second != 0:
        offer(m, second, STRING, at, size, 0, 0)


@compiled(FLAG, DATA, INT, INT)
def _is_nothing(arena: Any, at: Any, end: Any) -> Any:
    """Whether a word is `null` or `None`."""
    if end - at != 4 or arena[at] | 32 != 110:
        return False
    null = arena[at + 1] == 117 and arena[at + 2] == 108 and arena[at + 3] == 108
    none = arena[at + 1] == 111 and arena[at + 2] == 110 and arena[at + 3] == 101
    return null or none


@compiled(NOTHING, MEMORY, INT, INT, INT)
def read_members(m: Any, root: Any, at: Any, end: Any) -> None:
    """Offer the members of a document that somebody asks for below the node `root`."""
    arena = m.arena
    depth = 0
    node = root  # of the value that comes next
    next_is = _VALUE
    while at < end:
        byte = arena[at]
        if byte <= _SPACE:
            at += 1
            continue
        if next_is == _VALUE:
            next_is = _BEHIND
            word_end = at
            if byte == _QUOTE or byte == _APOSTROPHE:
                last = _string_end(arena, at, end)
                if last < 0:
                    return
                _found(m, node, at + 1, last)
                at = last + 1
                continue
            if byte != _BRACE and byte != _BRACKET:
                word_end = _word_end(arena, at, end)
                if word_end == at:
                    return
                if word_end >= end:
                    return  # cut off, maybe within a number
                if arena[word_end] != _OPEN:
                    if not _is_nothing(arena, at, word_end):
                        _found(m, node, at, word_end)
                    at = word_end
                    continue
            # An object or an array.
            if node == 0 or m.members[MEMBER_FIRST, node] == 0 or depth == DEEPEST_MEMBER:
                at = _container_end(arena, word_end, end)
                if at < 0:
                    return
                continue
            m.path[2 * depth], m.path[2 * depth + 1] = node, np.int64(arena[word_end])
            depth += 1
            at = word_end + 1
            next_is = _MEMBER
        elif next_is == _MEMBER:
            if byte == _CLOSE_BRACE or byte == _CLOSE_BRACKET or byte == _CLOSE:
                depth -= 1
                at += 1
                next_is = _BEHIND
                continue
            parent = m.path[2 * depth - 2]
            if m.path[2 * depth - 1] == _BRACKET:
                node = _member(m, parent, 0, 0)  # an item has no name
                next_is = _VALUE
                continue
            if byte == _QUOTE or byte == _APOSTROPHE:
                last = _string_end(arena, at, end)
                if last < 0:
                    return
                node = _member(m, parent, at + 1, last - at - 1)
                at = last + 1
            else:
                last = _word_end(arena, at, end)
                if last == at:
                    return
                node = _member(m, parent, at, last - at)
                at = last
            while at < end and arena[at] <= _SPACE:
                at += 1
            if at >= end or (arena[at] != _COLON and arena[at] != _EQUALS):
                return
            at += 1
            next_is = _VALUE
        else:
            if depth == 0:
                return
            at += 1
            if byte == _COMMA:
                next_is = _MEMBER
            elif byte == _CLOSE_BRACE or byte == _CLOSE_BRACKET or byte == _CLOSE:
                depth -= 1
            else:
                return


@compiled(INT, MEMORY, INT, INT, INTS)
def next_text(m: Any, at: Any, end: Any, found: Any) -> Any:
    """Read the next text of a JSON array, from behind its bracket or the item before.

    The position behind it, -1 where there is none; `found`: where it stands, and its size.
    """
    arena = m.arena
    while at < end and (arena[at] <= _SPACE or arena[at] == _COMMA or arena[at] == _BRACKET):
        at += 1
    if at >= end or arena[at] != _QUOTE:
        return np.int64(-1)
    last = _string_end(arena, at, end)
    if last < 0:
        return np.int64(-1)
    found[0], found[1] = at + 1, last - at - 1
    for n in range(at + 1, last):
        if arena[n] == _BACKSLASH:
            start = unescaped(m, at + 1, last)
            if start < 0:
                return np.int64(-1)
            found[0], found[1] = start, m.state[USED] - start
            break
    return last + 1
