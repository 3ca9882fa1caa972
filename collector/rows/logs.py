"""Log records: which can be stored, and what stands in which row of which column.

What a record has in common with a span (ids, attributes, resource, scope) stands where a span has it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from spanledger.collector.rows import spans
from spanledger.collector.rows.memory import MEMORY, USED, interned
from spanledger.collector.rows.scan import (
    GOOD,
    HEAD,
    MALFORMED,
    MAX_TIME,
    NONE,
    NOT_UTF8,
    any_value,
    scan_attribute,
    scan_value,
)
from spanledger.collector.rows.spans import FIELD_CELLS, FIELD_COLUMNS, close_row, field_text, own_attributes
from spanledger.collector.rows.text import put_value
from spanledger.collector.rows.wire import BYTES, FIXED32, FIXED64, VARINT, field, is_utf8
from spanledger.schemas.compiled import DATA, INT, INTS, NOTHING, compiled
from spanledger.schemas.dialects import Field

# What a record's own fields say, by position in the array that `log_head` fills. TIME is the observed time
# where none is sent.
TIME, OBSERVED, SEVERITY, SEVERITY_TEXT, SEVERITY_TEXT_SIZE, BODY, BODY_SIZE = range(7)
TRACE_ID, TRACE_ID_SIZE, SPAN_ID, SPAN_ID_SIZE, FLAGS = range(7, 12)
EVENT_NAME, EVENT_NAME_SIZE, DROPPED_ATTRIBUTES = range(12, 15)

# Why a record cannot be stored; gate.py has the words.
FAULTS = (
    "time_missing",
    "time_range",
    "observed_time_range",
    "trace_id_length",
    "span_id_length",
    "value_depth",
)

# The field event_name came with OTLP 1.5; before that the name was an attribute.
FIELDS = (Field("event_name", "text", ("event.name",)),)
_EVENT_NAME_SLOT = 0

L_EVENT_NAME, L_SEVERITY_TEXT = FIELD_COLUMNS, FIELD_COLUMNS + 1
COLUMNS = FIELD_COLUMNS + 2

# Cells behind those of a span. The last three are what a record is known by: where it stands, and where
# its resource and its scope were written down.
(
    C_TIME,
    C_OBSERVED,
    C_SEVERITY,
    C_SEVERITY_TEXT,
    C_EVENT_NAME,
    C_BODY,
    C_BODY_SIZE,
    C_RECORD,
    C_RECORD_SIZE,
    C_RESOURCE,
    C_RESOURCE_SIZE,
    C_SCOPE,
    C_SCOPE_SIZE,
) = range(FIELD_CELLS, FIELD_CELLS + 13)
CELLS = FIELD_CELLS + 13


@compiled(INT, DATA, INT, INT, INTS)
def log_head(data: Any, at: Any, end: Any, head: Any) -> Any:
    """Fill `head` from a record's own fields; GOOD, MALFORMED, or the number of its fault, from 1."""
    for n in range(HEAD):
        head[n] = 0
    while at < end:
        number, kind, a, b, at = field(data, at, end)
        if at < 0:
            return MALFORMED
        if kind == BYTES:
            if number == 3:
                head[SEVERITY_TEXT], head[SEVERITY_TEXT_SIZE] = a, b
            elif number == 5:
                head[BODY], head[BODY_SIZE] = a, b
            elif number == 9:
                head[TRACE_ID], head[TRACE_ID_SIZE] = a, b
            elif number == 10:
                head[SPAN_ID], head[SPAN_ID_SIZE] = a, b
            elif number == 12:
                head[EVENT_NAME], head[EVENT_NAME_SIZE] = a, b
        elif kind == FIXED64:
            if number == 1:
                head[TIME] = a
            elif number == 11:
                head[OBSERVED] = a
        elif kind == VARINT:
            if number == 2:
                head[SEVERITY] = np.int32(a)
            elif number == 7:
                head[DROPPED_ATTRIBUTES] = a & 0xFFFF_FFFF
        elif kind == FIXED32 and number == 8:
            head[FLAGS] = a
    if head[TIME] == 0:
        head[TIME] = head[OBSERVED]
    # The order of FAULTS. A time above 2^63 has turned negative here.
    if head[TIME] == 0:
        return 1
    if head[TIME] < 0 or head[TIME] > MAX_TIME:
        return 2
    if head[OBSERVED] < 0:
        return 3
    if head[TRACE_ID_SIZE] != 0 and head[TRACE_ID_SIZE] != 16:
        return 4
    if head[SPAN_ID_SIZE] != 0 and head[SPAN_ID_SIZE] != 8:
        return 5
    return GOOD


@compiled(INT, DATA, INT, INT, INTS)
def log_content(data: Any, at: Any, end: Any, stack: Any) -> Any:
    """Scan what a record holds: GOOD, what is wrong with the bytes, or above 0 where values nest too deep."""
    deep = GOOD
    while at < end:
        number, kind, a, b, at = field(data, at, end)
        if at < 0:
            return MALFORMED
        if kind != BYTES:
            continue
        result = GOOD
        if number == 6:
            result = scan_attribute(data, a, a + b, stack)
        elif number == 5:
            result = scan_value(data, a, a + b, stack)
        elif (number == 3 or number == 12) and not is_utf8(data, a, b):
            return NOT_UTF8
        if result < 0:
            return result
        deep |= result
    return deep


@compiled(NOTHING, MEMORY, INT, INT, INT, INTS)
def put_record(m: Any, at: Any, end: Any, row: Any, head: Any) -> None:
    """What a record holds, into row `row`; the cells of its resource and scope are there already."""
    c = m.cells
    left_out = own_attributes(m, at, end, 6)
    name, name_size = head[EVENT_NAME], head[EVENT_NAME_SIZE]
    if name_size == 0:
        name, name_size = field_text(m, _EVENT_NAME_SLOT)
    c[C_EVENT_NAME, row] = interned(m, L_EVENT_NAME, name, name_size)
    c[C_BODY, row] = m.state[USED]
    kind, value, size = any_value(m.arena, head[BODY], head[BODY] + head[BODY_SIZE])
    if kind != NONE:
        put_value(m.arena, m.state, kind, value, size, m.stack)
    c[C_BODY_SIZE, row] = m.state[USED] - c[C_BODY, row]
    c[C_TIME, row], c[C_OBSERVED, row] = head[TIME], head[OBSERVED]
    c[C_SEVERITY, row] = head[SEVERITY]
    c[C_SEVERITY_TEXT, row] = interned(m, L_SEVERITY_TEXT, head[SEVERITY_TEXT], head[SEVERITY_TEXT_SIZE])
    c[spans.C_TRACE, row] = head[TRACE_ID] if head[TRACE_ID_SIZE] != 0 else -1
    c[spans.C_SPAN, row] = head[SPAN_ID] if head[SPAN_ID_SIZE] != 0 else -1
    c[spans.C_FLAGS, row] = head[FLAGS]
    c[spans.C_DROPPED, row] = head[DROPPED_ATTRIBUTES] + left_out
    c[C_RECORD, row], c[C_RECORD_SIZE, row] = at, end - at
    close_row(m, row)
