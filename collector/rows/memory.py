"""The arrays that the compiled functions share while a batch becomes a block.

The arena begins with the requests and grows by the text made of them, so that a piece of text is always
a position and a size in it. Where an array is too short the functions say so and go on without writing;
the batch is then done again with a longer one (spans.py).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import types

from spanledger.schemas.compiled import (
    BYTES,
    CUBE,
    DATA,
    FLAG,
    INT,
    INTS,
    NOTHING,
    TABLE,
    compiled,
    copy_bytes,
    load64,
)

# Positions in `state`. SHORT: which arrays were too short, as flags. CUT: values that were cut;
# DROPPED_*: attributes left out for the length of their key, for their number.
USED, STRINGS, KEYS, SERIAL, SHORT, CUT, DROPPED_LONG, DROPPED_MANY = range(8)
LIMIT_VALUE, LIMIT_ATTRIBUTES, LIMIT_KEY, SEED, EVENTS, LINKS, LAST_CUT, FIRST_CHUNK = range(8, 16)
MAP_COUNTS, MAP_KEYS, LIST_COUNTS, COUNTS = 16, 32, 48, 64  # one for each map, map, list and column
# SEEN_HINTS: which dialects the attributes of the span hint at.
SEEN_HINTS = 45
# Of the known keys, the first that is the beginning of content keys and the one behind the last of them; and
# how many names of events say that the first piece of an answer is there.
FIRST_PREFIX, LAST_PREFIX, CHUNK_EVENTS = 29, 30, 31
MAPS = 13
SHORT_ARENA, SHORT_STRINGS, SHORT_KEYS, SHORT_ENTRIES, SHORT_NESTED = 1, 2, 4, 8, 16

# Rows of `strings`, the table of distinct strings by column.
HASH, COLUMN, AT, SIZE, NUMBER = range(5)
# Rows of `keys`, the attribute keys: their codes in the dialect table (a key may fill two fields; on an event
# it may fill another), the node of its members in `members`, which dialects it hints at; in which holder and
# where in it they were seen last, where they stand and their size; the number of a key in each map, from 1;
# and for each map the key of each number.
CODE, SECOND_CODE, EVENT_CODE, ROOT, HINTS, SEEN, PLACE, KEY_AT, KEY_SIZE = range(9)
NUMBER_IN = 9
KEY_OF = NUMBER_IN + MAPS
KEY_ROWS = KEY_OF + MAPS
# Rows of `slots`, the fields of the dialect table: the best value found for a span, by priority, with its
# kind, its value, its size, and where it stands as JSON text, with its size; then what becomes of it.
PRIORITY, KIND, VALUE, VALUE_SIZE, JSON, JSON_SIZE, WAY, FIELD_COLUMN = range(8)

# Rows of `members`, the tree of members that are looked for in JSON: name, first child, next sibling, codes.
MEMBER_AT, MEMBER_SIZE, MEMBER_FIRST, MEMBER_NEXT, MEMBER_CODE, MEMBER_SECOND_CODE = range(6)
DEEPEST_MEMBER = 16
WORST = 1 << 30  # the priority of nothing

KEY_COLUMN = 0


class Memory(NamedTuple):
    """All of it, as the compiled functions get it."""

    arena: Any  # text
    state: Any
    strings: Any  # distinct strings ...
    heads: Any  # ... and where in it a hash is looked for
    keys: Any
    pairs: Any  # the attributes that are looked at: key, where the value begins and ends
    slots: Any
    members: Any  # that are looked for in JSON
    path: Any  # where in a JSON document the reading is
    stack: Any  # for values within values
    head: Any  # of the span that is looked at
    cut: Any  # keys of the attributes of its resource and scope that were cut
    entries: Any  # of the maps
    nested: Any  # events, links, lists
    cells: Any
    deleted: Any  # ids of traces, as schemas/removals.py has them


MEMORY = types.NamedTuple(
    (BYTES, INTS, TABLE, INTS, TABLE, TABLE, TABLE, TABLE, INTS, INTS, INTS, INTS, CUBE, TABLE, TABLE, TABLE),
    Memory,
)


@compiled(FLAG, BYTES, INTS, INT, inline=True)
def room(arena: Any, state: Any, size: Any) -> Any:
    """Whether the arena has room for so many bytes more."""
    if state[USED] + size > len(arena):
        state[SHORT] |= SHORT_ARENA
        return False
    return True


@compiled(NOTHING, BYTES, INTS, INT, inline=True)
def put_byte(arena: Any, state: Any, byte: Any) -> None:
    """Append a byte; the caller has asked for room."""
    arena[state[USED]] = byte
    state[USED] += 1


@compiled(NOTHING, DATA, INT, INT, BYTES, INT, inline=True)
def copy(source: Any, at: Any, size: Any, target: Any, to: Any) -> None:
    if size <= 16:
        for n in range(size):
            target[to + n] = source[at + n]
    else:
        copy_bytes(target.ctypes.data + to, source.ctypes.data + at, size)


@compiled(INT, DATA, INT, INT, INT, INT, inline=True)
def _hash(arena: Any, column: Any, at: Any, size: Any, seed: Any) -> Any:
    mixed = (seed + column) * np.int64(0x9E3779B97F4A7C1) + size
    while size >= 8:
        mixed = (mixed ^ load64(arena, at)) * np.int64(0x2545F4914F6CDD1D)
        mixed ^= (mixed >> 29) & np.int64(0x7FFFFFFFF)
        at += 8
        size -= 8
    rest = np.int64(0)
    for n in range(size):
        rest = rest << 8 | np.int64(arena[at + n])
    mixed = (mixed ^ rest) * np.int64(0x2545F4914F6CDD1D)
    return mixed ^ ((mixed >> 32) & np.int64(0xFFFFFFFF))


@compiled(FLAG, DATA, INT, INT, INT, inline=True)
def equal(arena: Any, one: Any, other: Any, size: Any) -> Any:
    while size >= 8:
        if load64(arena, one) != load64(arena, other):
            return False
        one += 8
        other += 8
        size -= 8
    for n in range(size):
        if arena[one + n] != arena[other + n]:
            return False
    return True


@compiled(INT, MEMORY, INT, INT, INT, inline=True)
def intern(m: Any, column: Any, at: Any, size: Any) -> Any:
    """The number of a string among the distinct strings of its column, in the order of their coming."""
    strings, heads = m.strings, m.heads
    mixed = _hash(m.arena, column, at, size, m.state[SEED])
    mask = len(heads) - 1
    slot = mixed & mask
    while heads[slot] != 0:
        n = heads[slot] - 1
        if (
            strings[HASH, n] == mixed
            and strings[COLUMN, n] == column
            and strings[SIZE, n] == size
            and equal(m.arena, strings[AT, n], at, size)
        ):
            return strings[NUMBER, n]
        slot = (slot + 1) & mask
    n = m.state[STRINGS]
    if n >= strings.shape[1]:
        m.state[SHORT] |= SHORT_STRINGS
        return np.int64(0)
    m.state[STRINGS] = n + 1
    heads[slot] = n + 1
    number = m.state[COUNTS + column]
    m.state[COUNTS + column] = number + 1
    strings[HASH, n] = mixed
    strings[COLUMN, n] = column
    strings[AT, n] = at
    strings[SIZE, n] = size
    strings[NUMBER, n] = number
    return number


@compiled(INT, MEMORY, INT, INT, INT)
def interned(m: Any, column: Any, at: Any, size: Any) -> Any:
    """`intern` where it is not needed for every attribute or field of a span."""
    return intern(m, column, at, size)


@compiled(NOTHING, MEMORY, INT, INT, INT, INT, INT, INT, inline=True)
def offer(m: Any, code: Any, kind: Any, value: Any, size: Any, json: Any, json_size: Any) -> None:
    """Take a value for the field that `code` (slot and priority) names, unless a better one is there."""
    slot, priority = (code >> 8) - 1, code & 255
    if priority < m.slots[PRIORITY, slot]:
        m.slots[PRIORITY, slot] = priority
        m.slots[KIND, slot] = kind
        m.slots[VALUE, slot] = value
        m.slots[VALUE_SIZE, slot] = size
        m.slots[JSON, slot] = json
        m.slots[JSON_SIZE, slot] = json_size
