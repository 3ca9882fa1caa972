"""Copies of one span that were received at the same time: in one request, say.

Of copies the one that was received last counts. Where that is the same moment the database would take the
one that was inserted last, which depends on how they arrived. Here the one whose bytes are greatest keeps its
time, and the others get one a nanosecond earlier: the same copies give the same answer in any order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from spanledger.collector.rows import memory, native, spans
from spanledger.collector.rows.columns import Columns
from spanledger.collector.rows.memory import Memory

_NAMES = (
    (spans.L_RESOURCE_SCHEMA, spans.C_RESOURCE_SCHEMA),
    (spans.L_SCOPE_NAME, spans.C_SCOPE_NAME),
    (spans.L_SCOPE_VERSION, spans.C_SCOPE_VERSION),
    (spans.L_SCOPE_SCHEMA, spans.C_SCOPE_SCHEMA),
)
_COUNTS = (spans.C_RESOURCE_DROPPED, spans.C_SCOPE_DROPPED)
_MAPS = ((spans.M_RESOURCE, spans.M_OF_RESOURCE), (spans.M_SCOPE, spans.M_OF_SCOPE))


def received_times(columns: Columns, rows: int) -> Any:
    """The times of receipt of the spans of a block."""
    m = columns.m
    received = m.cells[spans.C_RECEIVED, :rows]
    ids = native.fixed(m.arena, m.cells[spans.C_SPAN, :rows], 8).view(np.uint64)
    order = np.argsort(ids, kind="stable")
    again = ids[order[1:]] == ids[order[:-1]]
    if not again.any():
        return received
    changed = received.copy()
    names = [(columns.values(column), cell) for column, cell in _NAMES]
    for copies in _same(m, order, again):
        said = {row: _content(m, row, names) for row in copies}
        best = max(said.values())
        for row in copies:
            changed[row] -= said[row] != best
    return changed


def _same(m: Memory, order: Any, again: Any) -> list[list[int]]:
    """Rows of one span that were received at one time, where there are several."""
    found: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    one_of_several = np.concatenate([again, [False]]) | np.concatenate([[False], again])
    for row in order[one_of_several].tolist():
        at = m.cells[:, row]
        key = (
            int(at[spans.C_PROJECT]),
            _bytes(m, at[spans.C_TRACE], 16),
            _bytes(m, at[spans.C_SPAN], 8),
            int(at[spans.C_START]),
            int(at[spans.C_RECEIVED]),
        )
        found[key].append(row)
    return [rows for rows in found.values() if len(rows) > 1]


def _content(m: Memory, row: int, names: Sequence[tuple[list[str], int]]) -> tuple[Any, ...]:
    """What a span says, and what its resource and its scope say."""
    cells = m.cells[:, row]
    said: list[Any] = [_bytes(m, cells[spans.C_SENT], cells[spans.C_SENT_SIZE])]
    said += [texts[cells[cell]] for texts, cell in names]
    said += [int(cells[cell]) for cell in _COUNTS]
    for which, source in _MAPS:
        pairs = []
        first = int(m.cells[spans.C_MAPS + which, row - 1]) if row else 0
        for n in range(first, int(cells[spans.C_MAPS + which])):
            number, at, size = m.entries[:, which, n]
            # Its keys are numbered as those of the attributes that it copies.
            key = m.keys[memory.KEY_OF + source, number]
            pairs.append((_bytes(m, *m.keys[[memory.KEY_AT, memory.KEY_SIZE], key]), _bytes(m, at, size)))
        said.append(pairs)
    return tuple(said)


def _bytes(m: Memory, at: Any, size: Any) -> bytes:
    found: bytes = m.arena[int(at) : int(at) + int(size)].tobytes()
    return found
