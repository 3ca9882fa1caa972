"""Walks requests, resource by resource and scope by scope: to scan them, and to make rows of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from spanledger.collector.rows import scan
from spanledger.collector.rows.logs import (
    C_RESOURCE,
    C_RESOURCE_SIZE,
    C_SCOPE,
    C_SCOPE_SIZE,
    TIME,
    TRACE_ID,
    TRACE_ID_SIZE,
    log_content,
    log_head,
    put_record,
)
from spanledger.collector.rows.memory import (
    DROPPED_LONG,
    DROPPED_MANY,
    LAST_CUT,
    LIMIT_VALUE,
    LIST_COUNTS,
    MAP_COUNTS,
    MEMORY,
    SHORT,
    USED,
    copy,
    interned,
    room,
)
from spanledger.collector.rows.removed import is_deleted
from spanledger.collector.rows.scan import (
    GOOD,
    MALFORMED,
    NOT_UTF8,
    STRING,
    any_value,
    holder,
    span_content,
    span_head,
)
from spanledger.collector.rows.spans import (
    C_PROJECT,
    C_RECEIVED,
    C_RESOURCE_DROPPED,
    C_RESOURCE_SCHEMA,
    C_SCOPE_DROPPED,
    C_SCOPE_NAME,
    C_SCOPE_SCHEMA,
    C_SCOPE_VERSION,
    C_SERVICE,
    CUT_ABOVE,
    L_LISTS,
    L_RESOURCE_SCHEMA,
    L_SCOPE_NAME,
    L_SCOPE_SCHEMA,
    L_SCOPE_VERSION,
    L_SERVICE,
    M_OF_RESOURCE,
    M_OF_SCOPE,
    attributes_of,
    json_map,
    list_item,
    put_span,
)
from spanledger.collector.rows.text import fitting
from spanledger.collector.rows.wire import BYTES, VARINT, field, is_utf8
from spanledger.schemas.compiled import DATA, FLAG, INT, INTS, TABLE, compiled

# What a request holds. Those of both are alike down to the scope.
SPANS, LOGS = range(2)

# Columns of the table of requests that `transcode` gets: where each begins and ends in the arena, the number
# of its project, when it came, whether the gate found values in it that nest too deep; of its project the
# deleted traces, from and to, and the first moment that is kept. It fills in how many were left out for each.
AT, END, PROJECT, RECEIVED, DEEP, FIRST_DELETED, LAST_DELETED, KEPT_FROM, DELETED, EXPIRED = range(10)
REQUEST = 10


@compiled(INT, DATA, INT, INTS, INTS, INTS)
def scan_request(data: Any, what: Any, counts: Any, head: Any, stack: Any) -> Any:
    """Scan an export request of SPANS or LOGS: GOOD, MALFORMED or NOT_UTF8.

    `counts[0]` becomes the number of spans, `counts[n]` that of spans with fault n of the FAULTS, whose last
    one is that of values nested too deep. A resource or scope with such values is a fault of all its spans.
    `head` and `stack` are scratch: HEAD numbers, and STACK for each level that values may nest.
    """
    at, end = np.int64(0), np.int64(len(data))
    while at < end:
        number, kind, rs, rs_size, at = field(data, at, end)
        if at < 0:
            return MALFORMED
        if number != 1 or kind != BYTES:
            continue
        above = GOOD
        p = rs
        while p < rs + rs_size:
            number, kind, a, b, p = field(data, p, rs + rs_size)
            if p < 0:
                return MALFORMED
            if kind == BYTES and number == 1:
                result = holder(data, a, a + b, 1, 0, 0, stack)
                if result < 0:
                    return result
                above |= result
            elif kind == BYTES and number == 3 and not is_utf8(data, a, b):
                return NOT_UTF8
        p = rs
        while p < rs + rs_size:
            number, kind, ss, ss_size, p = field(data, p, rs + rs_size)
            if number != 2 or kind != BYTES:
                continue
            beside = above
            q = ss
            while q < ss + ss_size:
                number, kind, a, b, q = field(data, q, ss + ss_size)
                if q < 0:
                    return MALFORMED
                if kind == BYTES and number == 1:
                    result = holder(data, a, a + b, 3, 1, 2, stack)
                    if result < 0:
                        return result
                    beside |= result
                elif kind == BYTES and number == 3 and not is_utf8(data, a, b):
                    return NOT_UTF8
            q = ss
            while q < ss + ss_size:
                number, kind, a, b, q = field(data, q, ss + ss_size)
                if number != 2 or kind != BYTES:
                    continue
                if what == SPANS:
                    fault = span_head(data, a, a + b, head)
                    result = span_content(data, a, a + b, stack)
                else:
                    fault = log_head(data, a, a + b, head)
                    result = log_content(data, a, a + b, stack)
                if fault < 0:
                    return fault
                if result < 0:
                    return result
                counts[0] += 1
                if fault == GOOD and beside | result != GOOD:
                    fault = len(counts) - 1
                if fault != GOOD:
                    counts[fault] += 1
    return GOOD


@compiled(INT, MEMORY, INT, INT, INT, INT)
def _text_field(m: Any, at: Any, end: Any, number_of: Any, column: Any) -> Any:
    """The number of the text in field `number_of` of a message, in a column of distinct strings."""
    where = size = np.int64(0)
    while at < end:
        number, kind, a, b, at = field(m.arena, at, end)
        if number == number_of and kind == BYTES:
            where, size = a, np.int64(b)
    return interned(m, column, where, size)


@compiled(INT, MEMORY, INT, INT, INT, INT, INT)
def _above(m: Any, at: Any, end: Any, dropped_of: Any, inner: Any, into: Any) -> Any:
    """The attributes of the resource or scope in field 1 of a message; how many were dropped.

    Of several the last one counts. (Protobuf would merge them, for which no sender has a use.)
    """
    dropped = np.int64(0)
    m.state[MAP_COUNTS + into] = 0
    while at < end:
        number, kind, a, b, at = field(m.arena, at, end)
        if number != 1 or kind != BYTES:
            continue
        m.state[MAP_COUNTS + into] = 0
        left_out = json_map(m, a, a + b, inner, into)
        dropped = np.int64(0)
        p = a
        while p < a + b:
            n, k, x, _, p = field(m.arena, p, a + b)
            if n == dropped_of and k == VARINT:
                dropped = x & 0xFFFF_FFFF
        dropped += left_out
    return dropped


@compiled(INT, MEMORY, INT, INT)
def _service(m: Any, at: Any, end: Any) -> Any:
    """The number of `service.name` (the key interned first) where the resource has it as a string."""
    where = size = np.int64(0)
    # What is left out has been counted before.
    dropped_long, dropped_many = m.state[DROPPED_LONG], m.state[DROPPED_MANY]
    while at < end:
        number, kind, a, b, at = field(m.arena, at, end)
        if number != 1 or kind != BYTES:
            continue
        where = size = np.int64(0)
        count, _ = attributes_of(m, a, a + b, 1)
        for n in range(count):
            if m.pairs[0, n] == 0:
                kind, value, value_size = any_value(m.arena, m.pairs[1, n], m.pairs[2, n])
                if kind == STRING:
                    where, size = value, fitting(m.arena, value, value_size, m.state[LIMIT_VALUE])
    m.state[DROPPED_LONG], m.state[DROPPED_MANY] = dropped_long, dropped_many
    return interned(m, L_SERVICE, where, size)


@compiled(INT, MEMORY, INT, INT, INT, INT)
def _scope_field(m: Any, at: Any, end: Any, inner: Any, column: Any) -> Any:
    where = size = np.int64(0)
    while at < end:
        number, kind, a, b, at = field(m.arena, at, end)
        if number == 1 and kind == BYTES:
            p = a
            while p < a + b:
                n, k, x, y, p = field(m.arena, p, a + b)
                if n == inner and k == BYTES:
                    where, size = x, np.int64(y)
    return interned(m, column, where, size)


@compiled(FLAG, MEMORY, INT, INT, INT)
def _too_deep(m: Any, at: Any, end: Any, inner: Any) -> Any:
    """Whether attributes of the resource or scope in field 1 of a message nest too deep."""
    while at < end:
        number, kind, a, b, at = field(m.arena, at, end)
        if number == 1 and kind == BYTES and holder(m.arena, a, a + b, inner, 0, 0, m.stack) != GOOD:
            return True
    return False


@compiled(INT, MEMORY, INTS, INT)
def _taken(m: Any, cut: Any, count: Any) -> Any:
    """Move what was cut since the last span to `cut`, behind `count` others; how many there are then."""
    before = m.state[LIST_COUNTS + 0]
    first = m.state[LAST_CUT]
    for n in range(first, before):
        if count < CUT_ABOVE:
            cut[count] = m.nested[L_LISTS, n]
            count += 1
    m.state[LIST_COUNTS + 0] = first
    return count


@compiled(types.UniTuple(INT, 2), MEMORY, INT, INT)
def _written_down(m: Any, at: Any, end: Any) -> Any:
    """Append to the arena what a message says of its resource or scope, as sent; where, and its size."""
    start = m.state[USED]
    while at < end:
        before = at
        number, kind, _, size, at = field(m.arena, at, end)
        if (number == 2 and kind == BYTES) or (kind == BYTES and size == 0):
            continue
        if room(m.arena, m.state, at - before):
            copy(m.arena, before, at - before, m.arena, m.state[USED])
            m.state[USED] += at - before
    return start, m.state[USED] - start


@compiled(FLAG, MEMORY, INT, INT, INT, FLAG)
def _is_good(m: Any, what: Any, at: Any, end: Any, deep: Any) -> Any:
    """Whether a span or record has no fault; m.head is filled then."""
    if what == SPANS:
        return span_head(m.arena, at, end, m.head) == GOOD and not (
            deep and span_content(m.arena, at, end, m.stack) != GOOD
        )
    return log_head(m.arena, at, end, m.head) == GOOD and not (
        deep and log_content(m.arena, at, end, m.stack) != GOOD
    )


@compiled(INT, MEMORY, INT, TABLE, INT)
def _removed(m: Any, what: Any, requests: Any, r: Any) -> Any:
    """DELETED or EXPIRED where what m.head is of must not be stored, else 0."""
    if what == SPANS:
        at, size, time = m.head[scan.TRACE_ID], np.int64(16), m.head[scan.START]
    else:
        at, size, time = m.head[TRACE_ID], m.head[TRACE_ID_SIZE], m.head[TIME]
    if size == 16 and is_deleted(
        m.arena, at, m.deleted, requests[r, FIRST_DELETED], requests[r, LAST_DELETED]
    ):
        return DELETED
    return EXPIRED if time < requests[r, KEPT_FROM] else 0


@compiled(INT, MEMORY, INT, TABLE)
def transcode(m: Any, what: Any, requests: Any) -> Any:
    """Fill the memory `m` from requests of SPANS or LOGS that were found good; how many rows there are.

    `requests`: a row of REQUEST columns for each, see there. What has a fault is left out, and what must not
    be stored.
    """
    head, cut = m.head, m.cut
    resource = resource_size = scope = scope_size = np.int64(0)
    row = 0
    for r in range(requests.shape[0]):
        at, end, deep = requests[r, AT], requests[r, END], requests[r, DEEP] != 0
        removing = requests[r, FIRST_DELETED] < requests[r, LAST_DELETED] or requests[r, KEPT_FROM] > 0
        while at < end:
            number, kind, rs, rs_size, at = field(m.arena, at, end)
            if number != 1 or kind != BYTES:
                continue
            rs_end = rs + rs_size
            if deep and _too_deep(m, rs, rs_end, 1):
                continue
            resource_dropped = _above(m, rs, rs_end, 2, 1, M_OF_RESOURCE)
            resource_cut = _taken(m, cut, 0)
            service = _service(m, rs, rs_end)
            resource_schema = _text_field(m, rs, rs_end, 3, L_RESOURCE_SCHEMA)
            if what == LOGS:
                resource, resource_size = _written_down(m, rs, rs_end)
            p = rs
            while p < rs_end:
                number, kind, ss, ss_size, p = field(m.arena, p, rs_end)
                if number != 2 or kind != BYTES:
                    continue
                ss_end = ss + ss_size
                if deep and _too_deep(m, ss, ss_end, 3):
                    continue
                scope_dropped = _above(m, ss, ss_end, 4, 3, M_OF_SCOPE)
                cuts = _taken(m, cut, resource_cut)
                scope_name = _scope_field(m, ss, ss_end, 1, L_SCOPE_NAME)
                scope_version = _scope_field(m, ss, ss_end, 2, L_SCOPE_VERSION)
                scope_schema = _text_field(m, ss, ss_end, 3, L_SCOPE_SCHEMA)
                if what == LOGS:
                    scope, scope_size = _written_down(m, ss, ss_end)
                q = ss
                while q < ss_end:
                    number, kind, a, b, q = field(m.arena, q, ss_end)
                    if number != 2 or kind != BYTES:
                        continue
                    if not _is_good(m, what, a, a + b, deep):
                        continue
                    if removing:
                        why = _removed(m, what, requests, r)
                        if why != 0:
                            requests[r, why] += 1
                            continue
                    c = m.cells
                    c[C_PROJECT, row], c[C_RECEIVED, row] = requests[r, PROJECT], requests[r, RECEIVED]
                    c[C_SERVICE, row] = service
                    c[C_RESOURCE_SCHEMA, row], c[C_RESOURCE_DROPPED, row] = resource_schema, resource_dropped
                    c[C_SCOPE_NAME, row], c[C_SCOPE_VERSION, row] = scope_name, scope_version
                    c[C_SCOPE_SCHEMA, row], c[C_SCOPE_DROPPED, row] = scope_schema, scope_dropped
                    for n in range(cuts):
                        list_item(m, 0, cut[n])
                    if what == SPANS:
                        put_span(m, a, a + b, row, head)
                    else:
                        c[C_RESOURCE, row], c[C_RESOURCE_SIZE, row] = resource, resource_size
                        c[C_SCOPE, row], c[C_SCOPE_SIZE, row] = scope, scope_size
                        put_record(m, a, a + b, row, head)
                    row += 1
                    if m.state[SHORT] != 0:
                        return row
    return row
