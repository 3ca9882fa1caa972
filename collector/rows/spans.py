"""Requests become cells, entries and references: what stands in which row of which column, and where in
the arena. native.py makes a block of it.

The dialect table (schemas/dialects.py) comes in as numbers (known.py): an attribute's key is looked up once,
giving `slot * 256 + priority`; of all attributes that fill a slot the one with the lowest priority counts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from spanledger.collector.rows import scan
from spanledger.collector.rows.members import next_text, read_members
from spanledger.collector.rows.memory import (
    CHUNK_EVENTS,
    CODE,
    CUT,
    DROPPED_LONG,
    DROPPED_MANY,
    EVENT_CODE,
    EVENTS,
    FIELD_COLUMN,
    FIRST_CHUNK,
    FIRST_PREFIX,
    HINTS,
    JSON,
    JSON_SIZE,
    KEY_AT,
    KEY_COLUMN,
    KEY_OF,
    KEY_SIZE,
    KEYS,
    KIND,
    LAST_CUT,
    LAST_PREFIX,
    LIMIT_ATTRIBUTES,
    LIMIT_KEY,
    LIMIT_VALUE,
    LINKS,
    LIST_COUNTS,
    MAP_COUNTS,
    MAP_KEYS,
    MEMORY,
    NUMBER_IN,
    PLACE,
    PRIORITY,
    ROOT,
    SECOND_CODE,
    SEEN,
    SEEN_HINTS,
    SERIAL,
    SHORT,
    SHORT_ENTRIES,
    SHORT_KEYS,
    SHORT_NESTED,
    USED,
    VALUE,
    VALUE_SIZE,
    WAY,
    WORST,
    equal,
    intern,
    interned,
    offer,
)
from spanledger.collector.rows.scan import (
    ARRAY,
    BOOL,
    DOUBLE,
    INTEGER,
    NONE,
    STRING,
    any_value,
    key_value,
)
from spanledger.collector.rows.text import count_in, fitting, number_in, put_double, put_int, put_value
from spanledger.collector.rows.wire import BYTES, FIXED32, FIXED64, VARINT, field
from spanledger.schemas.compiled import (
    DATA,
    FLAG,
    INT,
    INTS,
    NOTHING,
    as_bits,
    as_double,
    compiled,
)
from spanledger.schemas.compiled import DOUBLE as FLOAT

# The maps of `spans`, then those that hold a resource's and a scope's attributes for its spans.
(
    M_STRING,
    M_INT,
    M_DOUBLE,
    M_BOOL,
    M_JSON,
    M_CONTENT_STRING,
    M_CONTENT_JSON,
    M_RESOURCE,
    M_SCOPE,
    M_EVENT,
    M_LINK,
    M_OF_RESOURCE,
    M_OF_SCOPE,
) = range(13)
# An entry: the key's number in its map; the value, or where it stands; and its size.
E_KEY, E_VALUE, E_SIZE = range(3)

# Columns of distinct strings. Those of the dialect table's fields follow from FIELD_COLUMNS on.
(
    L_KEY,
    L_PROJECT,
    L_NAME,
    L_SERVICE,
    L_SCOPE_NAME,
    L_SCOPE_VERSION,
    L_RESOURCE_SCHEMA,
    L_SCOPE_SCHEMA,
    L_EVENT_NAME,
    L_CUT,
) = range(10)
FIELD_COLUMNS = 10

# Rows of `cells`. Ends are counted over all rows; a string is two cells: where it stands, and its size.
(
    C_PROJECT,
    C_RECEIVED,
    C_TRACE,
    C_SPAN,
    C_PARENT,
    C_STATE,
    C_STATE_SIZE,
    C_FLAGS,
    C_NAME,
    C_KIND,
    C_START,
    C_END,
    C_DURATION,
    C_STATUS,
    C_MESSAGE,
    C_MESSAGE_SIZE,
    C_SERVICE,
    C_SCOPE_NAME,
    C_SCOPE_VERSION,
    C_RESOURCE_SCHEMA,
    C_RESOURCE_DROPPED,
    C_SCOPE_SCHEMA,
    C_SCOPE_DROPPED,
    C_DROPPED,
    C_DROPPED_EVENTS,
    C_DROPPED_LINKS,
    C_EVENTS,
    C_LINKS,
    C_CUT,
    C_FIRST_CHUNK,  # the time of an event that says so; 0: none does
    C_HINTS,
    C_SENT,  # where the span stands as it was sent, and its size
    C_SENT_SIZE,
    C_MAPS,  # one for each map up to M_SCOPE
) = range(34)
FIELD_CELLS = C_MAPS + M_SCOPE + 1  # two for each field of the dialect table

# What becomes of a field's value; dialects.py has the words.
AS_DISTINCT, AS_TEXT, AS_COUNT, AS_NUMBER, AS_MONEY, AS_TEXTS, AS_LIST = range(7)
CONTENT = 200 << 8  # the code of content
CUT_ABOVE = 256  # attributes of a resource and a scope whose cut is noted on their spans

# Columns of `nested`: events, links, and lists of distinct strings.
E_TIME, E_NAME, E_DROPPED, E_MAP_END = range(4)
(K_TRACE, K_TRACE_SIZE, K_SPAN, K_SPAN_SIZE, K_STATE, K_STATE_SIZE, K_FLAGS, K_DROPPED, K_MAP_END) = range(
    4, 13
)
NESTED = 13  # then one for each list: what was cut, and the fields that are lists
L_LISTS = 13


@compiled(INT, DATA, INT, INT, inline=True)
def _characters(arena: Any, at: Any, size: Any) -> Any:
    count = 0
    for n in range(at, at + size):
        count += arena[n] & 0xC0 != 0x80
    return count


@compiled(INT, MEMORY, INT, INT)
def _code_by_beginning(m: Any, key: Any, key_size: Any) -> Any:
    """The code of a key that is not in the table: CONTENT where it begins as content keys do, else 0."""
    for n in range(m.state[FIRST_PREFIX], m.state[LAST_PREFIX]):
        size = m.keys[KEY_SIZE, n]
        if size < key_size and equal(m.arena, m.keys[KEY_AT, n], key, size):
            return np.int64(CONTENT)
    return np.int64(0)


@compiled(types.UniTuple(INT, 2), MEMORY, INT, INT, INT)
def attributes_of(m: Any, at: Any, end: Any, number_of: Any) -> Any:
    """Gather the attributes in field `number_of` of a message in m.pairs; how many, and how many not."""
    count = left_out = 0
    m.state[SERIAL] += 1
    serial = m.state[SERIAL]
    while at < end:
        number, kind, a, b, at = field(m.arena, at, end)
        if number != number_of or kind != BYTES:
            continue
        key, key_size, value, value_end = key_value(m.arena, a, a + b)
        if key_size > m.state[LIMIT_KEY] and _characters(m.arena, key, key_size) > m.state[LIMIT_KEY]:
            m.state[DROPPED_LONG] += 1
            left_out += 1
            continue
        if count >= m.state[LIMIT_ATTRIBUTES]:
            m.state[DROPPED_MANY] += 1
            left_out += 1
            continue
        n = intern(m, KEY_COLUMN, key, key_size)
        if n >= m.keys.shape[1]:
            m.state[SHORT] |= SHORT_KEYS
            n = 0
        if n >= m.state[KEYS]:
            m.state[KEYS] = n + 1
            m.keys[CODE, n] = _code_by_beginning(m, key, key_size)
            m.keys[SEEN, n] = 0
            m.keys[KEY_AT, n], m.keys[KEY_SIZE, n] = key, key_size
        if m.keys[SEEN, n] == serial:
            # Sent again: the last one counts.
            m.pairs[0, m.keys[PLACE, n]] = -1
        m.keys[SEEN, n] = serial
        m.keys[PLACE, n] = count
        m.pairs[0, count] = n
        m.pairs[1, count] = value
        m.pairs[2, count] = value_end
        count += 1
    return count, left_out


@compiled(NOTHING, MEMORY, INT, INT, INT, INT, inline=True)
def _entry(m: Any, into: Any, key: Any, value: Any, size: Any) -> None:
    """Append an entry to a map."""
    n = m.state[MAP_COUNTS + into]
    if n >= m.entries.shape[2]:
        m.state[SHORT] |= SHORT_ENTRIES
        return
    m.state[MAP_COUNTS + into] = n + 1
    number = m.keys[NUMBER_IN + into, key]
    if number == 0:
        number = m.state[MAP_KEYS + into] + 1
        m.state[MAP_KEYS + into] = number
        m.keys[NUMBER_IN + into, key] = number
        m.keys[KEY_OF + into, number - 1] = key
    m.entries[E_KEY, into, n] = number - 1
    m.entries[E_VALUE, into, n] = value
    m.entries[E_SIZE, into, n] = size


@compiled(NOTHING, MEMORY, INT, INT)
def list_item(m: Any, which: Any, value: Any) -> None:
    n = m.state[LIST_COUNTS + which]
    if n >= m.nested.shape[1]:
        m.state[SHORT] |= SHORT_NESTED
        return
    m.state[LIST_COUNTS + which] = n + 1
    m.nested[L_LISTS + which, n] = value


@compiled(NOTHING, MEMORY, INT)
def _was_cut(m: Any, key: Any) -> None:
    m.state[CUT] += 1
    at, size = m.keys[KEY_AT, key], m.keys[KEY_SIZE, key]
    list_item(m, 0, interned(m, L_CUT, at, size))


@compiled(types.UniTuple(INT, 2), MEMORY, INT, INT, INT)
def _json(m: Any, kind: Any, value: Any, size: Any) -> Any:
    """The value as JSON text: where it stands, and its size."""
    at = m.state[USED]
    put_value(m.arena, m.state, kind, value, size, m.stack)
    return at, m.state[USED] - at


@compiled(types.UniTuple(INT, 2), MEMORY, INT, INT, INT, INT)
def _limited_json(m: Any, key: Any, kind: Any, value: Any, size: Any) -> Any:
    """JSON text within the limit: a value above it becomes a string that holds how it begins."""
    limit = m.state[LIMIT_VALUE]
    if kind == STRING:
        kept = fitting(m.arena, value, size, limit)
        if kept < size:
            _was_cut(m, key)
        return _json(m, STRING, value, kept)
    at, json_size = _json(m, kind, value, size)
    if json_size > limit:
        _was_cut(m, key)
        return _json(m, STRING, at, fitting(m.arena, at, json_size, limit))
    return at, json_size


@compiled(INT, MEMORY, INT, INT, INT, INT)
def json_map(m: Any, at: Any, end: Any, number_of: Any, into: Any) -> Any:
    """Append the attributes in field `number_of` of a message to a map of texts; how many were left out."""
    count, left_out = attributes_of(m, at, end, number_of)
    for n in range(count):
        key = m.pairs[0, n]
        if key >= 0:
            kind, value, size = any_value(m.arena, m.pairs[1, n], m.pairs[2, n])
            if into == M_EVENT and m.keys[EVENT_CODE, key] != 0 and kind == STRING and size > 0:
                kept = fitting(m.arena, value, size, m.state[LIMIT_VALUE])
                offer(m, m.keys[EVENT_CODE, key], kind, value, kept, 0, 0)
            if into == M_EVENT and m.keys[CODE, key] >= CONTENT:
                # Older conventions have the prompt and the answer in events of the span.
                where, text_size = _json(m, kind, value, size)
            else:
                where, text_size = _limited_json(m, key, kind, value, size)
            _entry(m, into, key, where, text_size)
    return left_out


@compiled(INT, MEMORY, INT, INT, INT, inline=True)
def own_attributes(m: Any, at: Any, end: Any, number_of: Any) -> Any:
    """The attributes in field `number_of` of a span or log record: into the maps by type, and the best of
    each field into m.slots; how many were left out.
    """
    count, left_out = attributes_of(m, at, end, number_of)
    m.slots[PRIORITY, :] = WORST
    hints = np.int64(0)
    limit = m.state[LIMIT_VALUE]
    for n in range(count):
        key = m.pairs[0, n]
        if key < 0:
            continue
        code = m.keys[CODE, key]
        content = code >= CONTENT
        kind, value, size = any_value(m.arena, m.pairs[1, n], m.pairs[2, n])
        json, json_size = np.int64(0), np.int64(0)
        stored, stored_size = value, size
        if kind == STRING:
            into = M_CONTENT_STRING if content else M_STRING
            if size > limit and not content:
                stored_size = fitting(m.arena, value, size, limit)
                _was_cut(m, key)
        elif kind == INTEGER:
            into = M_INT
        elif kind == DOUBLE:
            into = M_DOUBLE
        elif kind == BOOL:
            into, stored = M_BOOL, np.int64(value != 0)
        else:
            into = M_CONTENT_JSON if content else M_JSON
            if content:
                json, json_size = _json(m, kind, value, size)
            else:
                json, json_size = _limited_json(m, key, kind, value, size)
            stored, stored_size = json, json_size
        _entry(m, into, key, stored, stored_size)
        hints |= m.keys[HINTS, key]
        if m.keys[ROOT, key] != 0:
            if kind == STRING:
                read_members(m, m.keys[ROOT, key], value, value + size)
            elif json_size > 0:
                read_members(m, m.keys[ROOT, key], json, json + json_size)
        if code == 0 or content or kind == NONE or (kind == STRING and size == 0):
            continue
        if kind == STRING:
            size = stored_size
        offer(m, code, kind, value, size, json, json_size)
        if m.keys[SECOND_CODE, key] != 0:
            offer(m, m.keys[SECOND_CODE, key], kind, value, size, json, json_size)
    m.state[SEEN_HINTS] = hints
    return left_out


@compiled(types.UniTuple(INT, 2), MEMORY, INT, inline=True)
def field_text(m: Any, slot: Any) -> Any:
    """What was found for a field, as text: where it stands, and its size."""
    kind, value, size = m.slots[KIND, slot], m.slots[VALUE, slot], m.slots[VALUE_SIZE, slot]
    if m.slots[PRIORITY, slot] == WORST or kind == BOOL:
        return np.int64(0), np.int64(0)
    if kind == STRING:
        # MLflow and Langfuse send texts as JSON.
        if size > 1 and m.arena[value] == 34 and m.arena[value + size - 1] == 34:
            return value + 1, size - 2
        return value, size
    if kind == INTEGER or kind == DOUBLE:
        at = m.state[USED]
        if kind == INTEGER:
            put_int(m.arena, m.state, value)
        elif np.isfinite(as_double(value)):
            put_double(m.arena, m.state, value)
        return at, m.state[USED] - at
    return m.slots[JSON, slot], m.slots[JSON_SIZE, slot]


@compiled(INT, MEMORY, INT, inline=True)
def _count(m: Any, slot: Any) -> Any:
    """What was found for a field, as a non-negative integer; -1 where nothing was, -2 where it is none."""
    kind, value = m.slots[KIND, slot], m.slots[VALUE, slot]
    if m.slots[PRIORITY, slot] == WORST:
        return np.int64(-1)
    if kind == INTEGER:
        return value if value >= 0 else np.int64(-2)
    number = np.nan
    if kind == STRING:
        size = m.slots[VALUE_SIZE, slot]
        count = count_in(m.arena, value, size)
        if count >= 0:
            return count
        number = number_in(m.arena, m.state, value, size)
    elif kind == DOUBLE:
        number = as_double(value)
    if number >= 0 and number < 2.0**63 and number == np.floor(number):
        return np.int64(number)
    return np.int64(-2)


@compiled(FLOAT, MEMORY, INT, inline=True)
def _number(m: Any, slot: Any) -> Any:
    """What was found for a field, as a finite number; NaN where it is none."""
    kind, value = m.slots[KIND, slot], m.slots[VALUE, slot]
    if m.slots[PRIORITY, slot] == WORST:
        return np.nan
    if kind == INTEGER:
        return np.float64(value)
    if kind == DOUBLE:
        return as_double(value)
    if kind == STRING:
        return number_in(m.arena, m.state, value, m.slots[VALUE_SIZE, slot])
    return np.nan


@compiled(NOTHING, MEMORY, INT, INT, INT, INT)
def _split(m: Any, which: Any, column: Any, at: Any, size: Any) -> None:
    """Append the parts of a text that stand between commas, without space around them."""
    end = at + size
    while at < end:
        last = at
        while last < end and m.arena[last] != 44:
            last += 1
        first, behind = at, last
        while first < behind and m.arena[first] <= 32:
            first += 1
        while behind > first and m.arena[behind - 1] <= 32:
            behind -= 1
        if behind > first:
            list_item(m, which, interned(m, column, first, behind - first))
        at = last + 1


@compiled(NOTHING, MEMORY, INT, INT, INT, FLAG)
def _texts(m: Any, slot: Any, which: Any, column: Any, with_commas: Any) -> None:
    """What was found for a field, as a list of strings; a single value is a list of one."""
    kind, value, size = m.slots[KIND, slot], m.slots[VALUE, slot], m.slots[VALUE_SIZE, slot]
    if m.slots[PRIORITY, slot] == WORST or kind == BOOL:
        return
    if kind != ARRAY:
        value, size = field_text(m, slot)
        if kind == STRING and size > 1 and m.arena[value] == 91 and m.arena[value + size - 1] == 93:
            at, end = value + 1, value + size
            while True:
                at = next_text(m, at, end, m.path)
                if at < 0:
                    return
                size = fitting(m.arena, m.path[0], m.path[1], m.state[LIMIT_VALUE])
                list_item(m, which, interned(m, column, m.path[0], size))
        if with_commas and kind == STRING:
            _split(m, which, column, value, size)
        elif size > 0:
            list_item(m, which, interned(m, column, value, size))
        return
    at, end = value, value + size
    while at < end:
        number, wire, a, b, at = field(m.arena, at, end)
        if number != 1 or wire != BYTES:
            continue
        kind, value, size = any_value(m.arena, a, a + b)
        if kind == NONE:
            continue
        if kind != STRING:
            value, size = _json(m, kind, value, size)
        size = fitting(m.arena, value, size, m.state[LIMIT_VALUE])
        list_item(m, which, interned(m, column, value, size))


@compiled(NOTHING, MEMORY, INT, inline=True)
def _fields(m: Any, row: Any) -> None:
    """The canonical columns of a span, from the best of each field."""
    which = 0
    for slot in range(m.slots.shape[1]):
        way, column = m.slots[WAY, slot], m.slots[FIELD_COLUMN, slot]
        cell = FIELD_CELLS + 2 * slot
        if m.slots[PRIORITY, slot] == WORST:
            # Text number 0 of every field is the empty one.
            m.cells[cell, row] = -1 if way == AS_COUNT else 0
            m.cells[cell + 1, row] = 0
            if way >= AS_TEXTS:
                which += 1
                m.cells[cell, row] = m.state[LIST_COUNTS + which]
            continue
        if way == AS_DISTINCT:
            at, size = field_text(m, slot)
            m.cells[cell, row] = intern(m, column, at, size)
        elif way == AS_TEXT or way == AS_MONEY:
            m.cells[cell, row], m.cells[cell + 1, row] = field_text(m, slot)
        elif way == AS_COUNT:
            m.cells[cell, row] = _count(m, slot)
        elif way == AS_NUMBER:
            number = _number(m, slot)
            m.cells[cell, row] = as_bits(number)
            m.cells[cell + 1, row] = np.isfinite(number)
        else:
            which += 1
            _texts(m, slot, which, column, way == AS_LIST)
            m.cells[cell, row] = m.state[LIST_COUNTS + which]


@compiled(NOTHING, MEMORY, INT, INT)
def _event(m: Any, at: Any, end: Any) -> Any:
    n = m.state[EVENTS]
    if n >= m.nested.shape[1]:
        m.state[SHORT] |= SHORT_NESTED
        return
    m.state[EVENTS] = n + 1
    left_out = json_map(m, at, end, 3, M_EVENT)
    time = dropped = np.int64(0)
    name = name_size = np.int64(0)
    while at < end:
        number, kind, a, b, at = field(m.arena, at, end)
        if number == 1 and kind == FIXED64:
            time = a if a >= 0 else np.int64(0x7FFF_FFFF_FFFF_FFFF)
        elif number == 2 and kind == BYTES:
            name, name_size = a, np.int64(b)
        elif number == 4 and kind == VARINT:
            dropped = a & 0xFFFF_FFFF
    m.nested[E_TIME, n] = time
    number = interned(m, L_EVENT_NAME, name, name_size)
    m.nested[E_NAME, n] = number
    if number < m.state[CHUNK_EVENTS] and (m.state[FIRST_CHUNK] == 0 or time < m.state[FIRST_CHUNK]):
        m.state[FIRST_CHUNK] = time
    m.nested[E_DROPPED, n] = dropped + left_out
    m.nested[E_MAP_END, n] = m.state[MAP_COUNTS + M_EVENT]


@compiled(NOTHING, MEMORY, INT, INT)
def _link(m: Any, at: Any, end: Any) -> Any:
    n = m.state[LINKS]
    if n >= m.nested.shape[1]:
        m.state[SHORT] |= SHORT_NESTED
        return
    m.state[LINKS] = n + 1
    left_out = json_map(m, at, end, 4, M_LINK)
    for k in range(K_TRACE, K_MAP_END):
        m.nested[k, n] = 0
    while at < end:
        number, kind, a, b, at = field(m.arena, at, end)
        if kind == BYTES:
            if number == 1:
                m.nested[K_TRACE, n], m.nested[K_TRACE_SIZE, n] = a, b
            elif number == 2:
                m.nested[K_SPAN, n], m.nested[K_SPAN_SIZE, n] = a, b
            elif number == 3:
                m.nested[K_STATE, n], m.nested[K_STATE_SIZE, n] = a, b
        elif number == 5 and kind == VARINT:
            m.nested[K_DROPPED, n] = a & 0xFFFF_FFFF
        elif number == 6 and kind == FIXED32:
            m.nested[K_FLAGS, n] = a
    m.nested[K_DROPPED, n] += left_out
    m.nested[K_MAP_END, n] = m.state[MAP_COUNTS + M_LINK]


@compiled(NOTHING, MEMORY, INT, inline=True)
def close_row(m: Any, row: Any) -> None:
    """Give a row the attributes of its resource and scope, and note where its maps end."""
    for into, source in ((M_RESOURCE, M_OF_RESOURCE), (M_SCOPE, M_OF_SCOPE)):
        many = m.state[MAP_COUNTS + source]
        n = m.state[MAP_COUNTS + into]
        if n + many > m.entries.shape[2]:
            m.state[SHORT] |= SHORT_ENTRIES
            continue
        m.state[MAP_COUNTS + into] = n + many
        for k in range(many):
            m.entries[E_KEY, into, n + k] = m.entries[E_KEY, source, k]
            m.entries[E_VALUE, into, n + k] = m.entries[E_VALUE, source, k]
            m.entries[E_SIZE, into, n + k] = m.entries[E_SIZE, source, k]
    m.cells[C_CUT, row] = m.state[LAST_CUT] = m.state[LIST_COUNTS + 0]
    for k in range(M_SCOPE + 1):
        m.cells[C_MAPS + k, row] = m.state[MAP_COUNTS + k]


@compiled(NOTHING, MEMORY, INT, INT, INT, INTS, inline=True)
def put_span(m: Any, at: Any, end: Any, row: Any, head: Any) -> None:
    """What a span holds, into row `row`; the cells of its resource and scope are there already."""
    c = m.cells
    left_out = own_attributes(m, at, end, 9)
    m.state[FIRST_CHUNK] = 0
    if head[scan.EVENTS] + head[scan.LINKS] > 0:
        p = at
        while p < end:
            number, kind, a, b, p = field(m.arena, p, end)
            if kind == BYTES and number == 11:
                _event(m, a, a + b)
            elif kind == BYTES and number == 13:
                _link(m, a, a + b)
    _fields(m, row)
    c[C_TRACE, row] = head[scan.TRACE_ID]
    c[C_SPAN, row] = head[scan.SPAN_ID]
    c[C_PARENT, row] = head[scan.PARENT_ID] if head[scan.PARENT_ID_SIZE] == 8 else -1
    c[C_STATE, row], c[C_STATE_SIZE, row] = head[scan.STATE], head[scan.STATE_SIZE]
    c[C_FLAGS, row] = head[scan.FLAGS]
    c[C_NAME, row] = interned(m, L_NAME, head[scan.NAME], head[scan.NAME_SIZE])
    c[C_KIND, row] = head[scan.KIND]
    start, finish = head[scan.START], head[scan.END]
    c[C_START, row], c[C_END, row] = start, finish
    c[C_DURATION, row] = finish - start if finish > start else 0
    c[C_STATUS, row] = head[scan.STATUS_CODE]
    c[C_MESSAGE, row], c[C_MESSAGE_SIZE, row] = head[scan.STATUS_MESSAGE], head[scan.STATUS_MESSAGE_SIZE]
    c[C_DROPPED, row] = head[scan.DROPPED_ATTRIBUTES] + left_out
    c[C_DROPPED_EVENTS, row] = head[scan.DROPPED_EVENTS]
    c[C_DROPPED_LINKS, row] = head[scan.DROPPED_LINKS]
    c[C_EVENTS, row], c[C_LINKS, row] = m.state[EVENTS], m.state[LINKS]
    c[C_FIRST_CHUNK, row], c[C_HINTS, row] = m.state[FIRST_CHUNK], m.state[SEEN_HINTS]
    c[C_SENT, row], c[C_SENT_SIZE, row] = at, end - at
    close_row(m, row)
