"""Ids that are computed from a counter: no two alike, and each can be computed again to look for its span."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from bench.workload import SPANS_IN_TRACE

Counters = NDArray[np.uint64]
Bytes = NDArray[np.uint8]


class Ids:
    """The ids of a seed's spans; span n belongs to trace n // 8.

    Within a seed all are different, for every step from the counter to the id can be undone.
    """

    def __init__(self, seed: int) -> None:
        self._span_key, self._upper_key, self._lower_key = (
            np.uint64(int.from_bytes(blake2b(f"{seed} {what}".encode(), digest_size=8).digest()))
            for what in ("span", "trace, upper half", "trace, lower half")
        )

    def spans(self, counters: Counters) -> Bytes:
        """The span ids, 8 bytes a row."""
        return _bytes(_mixed(counters, self._span_key)).reshape(-1, 8)

    def traces(self, span_counters: Counters) -> Bytes:
        """The ids of the traces that the spans belong to, 16 bytes a row."""
        traces = span_counters // np.uint64(SPANS_IN_TRACE)
        halves = (_mixed(traces, self._upper_key), _mixed(traces, self._lower_key))
        return np.concatenate([_bytes(half).reshape(-1, 8) for half in halves], axis=1)


def _mixed(counters: Counters, key: np.uint64) -> Counters:
    """SplitMix64 from `key` on (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators)."""
    mixed = counters * np.uint64(0x9E3779B97F4A7C15) + key
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _bytes(numbers: Counters) -> Bytes:
    return numbers.astype("<u8").view(np.uint8)
