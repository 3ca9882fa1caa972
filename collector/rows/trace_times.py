"""When the spans of a block's traces start: what the table `trace_times` is told of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from spanledger.collector.rows.columns import Column

_TIME = "DateTime64(9, 'UTC')"


def trace_times(trace_ids: Any, starts_ns: Any) -> tuple[int, list[Column]]:
    """How many rows, and their columns: one for each run of neighbours of one trace, which most traces are.

    trace_ids: 16 bytes for each span, one after the other.
    """
    if not len(starts_ns):
        return 0, []
    ids = trace_ids.reshape(-1, 16)
    halves = np.ascontiguousarray(ids).view(np.uint64)
    changes = (halves[1:] != halves[:-1]).any(axis=1)
    firsts = np.concatenate([[0], np.flatnonzero(changes) + 1])
    columns: list[Column] = [
        ("trace_id", "FixedString(16)", [np.ascontiguousarray(ids[firsts])]),
        ("first", f"SimpleAggregateFunction(min, {_TIME})", [np.minimum.reduceat(starts_ns, firsts)]),
        ("last", f"SimpleAggregateFunction(max, {_TIME})", [np.maximum.reduceat(starts_ns, firsts)]),
    ]
    return len(firsts), columns
