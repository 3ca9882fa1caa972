"""The ids of the load: computed from a counter, never the same twice."""

from __future__ import annotations

import numpy as np

from bench.ids import Ids


def counters(count: int, first: int = 0) -> np.ndarray:
    return np.arange(first, first + count, dtype=np.uint64)


def test_no_two_spans_have_an_id_in_common():
    ids = Ids(1).spans(counters(1_000_000)).view("<u8").ravel()
    assert len(np.unique(ids)) == len(ids)
    assert ids.all()  # none is zero, which OTLP forbids


def test_eight_spans_share_a_trace_and_no_two_traces_an_id():
    ids = Ids(1).traces(counters(80_000)).view("S16").ravel()
    assert (ids.reshape(-1, 8) == ids[::8, None]).all()
    assert len(np.unique(ids)) == 10_000


def test_an_id_depends_on_seed_and_counter_only():
    assert (Ids(1).spans(counters(10, 500)) == Ids(1).spans(counters(1000))[500:510]).all()
    assert not (Ids(1).spans(counters(10)) == Ids(2).spans(counters(10))).all(axis=1).any()
