"""Whether a trace was deleted: its id is looked for among those that were."""

from __future__ import annotations

from typing import Any

from spanledger.schemas.compiled import DATA, FLAG, INT, TABLE, compiled, load64


@compiled(FLAG, DATA, INT, TABLE, INT, INT)
def is_deleted(arena: Any, at: Any, traces: Any, first: Any, last: Any) -> Any:
    """Whether the 16 bytes at a position are an id of `traces` from `first` to before `last`, which are in
    order (schemas/removals.py).

    By halves, not by a hash: who may delete chooses the ids, and could choose such as share one.
    """
    low, high = load64(arena, at), load64(arena, at + 8)
    end = last
    while first < end:
        middle = (first + end) >> 1
        if traces[0, middle] < low or (traces[0, middle] == low and traces[1, middle] < high):
            first = middle + 1
        else:
            end = middle
    return first < last and traces[0, first] == low and traces[1, first] == high
