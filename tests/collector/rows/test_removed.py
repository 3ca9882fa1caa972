"""collector.rows.removed: what must not be stored is left out of a block, and nothing else."""

from __future__ import annotations

import secrets
import time
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from otlp_requests import llm_span, request

from spanledger.collector.rows.block import LeftOut, Request
from spanledger.collector.rows.removed import is_deleted
from spanledger.schemas.removals import DAY_NS, Removed, kept_from_ns, nothing_removed

# Ids of few values, so that halves are equal and neighbours are close.
IDS = st.binary(min_size=16, max_size=16) | st.tuples(
    st.sampled_from([b"\0" * 8, b"\0" * 7 + b"\x80", b"\xff" * 8, b"\1" * 8]),
    st.sampled_from([b"\0" * 8, b"\0" * 7 + b"\x80", b"\xff" * 8, b"\1" * 8]),
).map(b"".join)


def in_order(ids: set[bytes]) -> np.ndarray:
    halves = np.frombuffer(b"".join(sorted(ids)), "<i8").reshape(-1, 2)
    return np.ascontiguousarray(halves[np.lexsort((halves[:, 1], halves[:, 0]))].T)


def removed(ids: set[bytes], project: str = "default", **of_retention: object) -> Removed:
    places = MappingProxyType({project: (0, len(ids))})
    return Removed(1, in_order(ids), places, MappingProxyType(of_retention), None)  # type: ignore[arg-type]


@settings(deadline=None, max_examples=200)
@given(ids=st.sets(IDS, max_size=40), asked=st.lists(IDS, max_size=20))
def test_an_id_is_found_where_it_is_among_them_and_only_there(ids, asked):
    traces = in_order(ids)
    for one in [*ids, *asked]:
        arena = np.frombuffer(b"xyz" + one, np.uint8)
        assert is_deleted(arena, 3, traces, 0, len(ids)) == (one in ids)


@settings(deadline=None, max_examples=50)
@given(ids=st.sets(IDS, min_size=3, max_size=20))
def test_only_the_ids_of_the_project_count(ids):
    traces = in_order(ids)
    some = np.frombuffer(b"".join(ids), np.uint8)
    found = [is_deleted(some, 16 * n, traces, 1, len(ids) - 1) for n in range(len(ids))]
    assert sum(found) == len(ids) - 2


def made_of(*spans, project="default"):
    body = request(*spans).SerializeToString()
    return Request(body, project, time.time_ns(), len(spans))


def test_every_request_is_told_what_of_it_is_left_out(make_blocks):
    """By its own count, in its own project; requests that lose nothing keep all."""
    gone, kept = secrets.token_bytes(16), secrets.token_bytes(16)
    requests = [
        made_of(llm_span(gone), llm_span(kept), llm_span(gone)),
        made_of(llm_span(kept)),
        made_of(llm_span(gone), project="another"),
        made_of(llm_span(gone)),
    ]
    block = make_blocks().make(requests, removed({gone}))
    assert block.rows == 3
    assert block.left_out == [LeftOut(2, 0), LeftOut(0, 0), LeftOut(0, 0), LeftOut(1, 0)]
    assert gone not in bytes(make_blocks().make(requests[:2], removed({gone})).data)
    assert make_blocks().make(requests, nothing_removed()).left_out == ()


def test_an_array_that_is_too_short_does_not_count_twice(make_blocks):
    """A batch that is done again with longer arrays tells of each span once."""
    gone = secrets.token_bytes(16)
    spans = [llm_span(**{f"key_{n}": str(n) for n in range(40)}) for _ in range(200)]
    block = make_blocks().make([made_of(llm_span(gone), *spans)], removed({gone}))
    assert (block.rows, block.left_out) == (200, [LeftOut(1, 0)])


@pytest.mark.parametrize(("days_ago", "left_out"), [(0, 0), (2, 0), (3, 0), (4, 1), (300, 1)])
def test_whole_days_before_today_are_kept(make_blocks, days_ago, left_out):
    """Of a project that keeps three days: from midnight three days ago on."""
    midnight = time.time_ns() // DAY_NS * DAY_NS - days_ago * DAY_NS
    block = make_blocks().make([made_of(llm_span(), llm_span(), *[_at(midnight)])], removed(set(), default=3))
    assert (block.rows, sum(of.expired for of in block.left_out)) == (3 - left_out, left_out)


def _at(start_ns: int):
    sent = llm_span()
    sent.start_time_unix_nano = start_ns
    return sent


def test_kept_from_is_midnight_of_utc():
    now = 1_769_850_000 * 10**9  # 2026-01-31T09:00:00Z
    assert kept_from_ns(1, now) == 1_769_731_200 * 10**9  # 2026-01-30T00:00:00Z
    assert kept_from_ns(None, now) == 0
    assert kept_from_ns(100_000, now) == 0
