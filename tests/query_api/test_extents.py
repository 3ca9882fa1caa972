"""query_api.extents: no stored span of a trace lies outside its extent, however its spans arrived."""

from __future__ import annotations

import secrets

from otlp_requests import SECOND, request, span

from spanledger.query_api.extents import Extent, extents

T0 = 1_760_000_000 * SECOND


def test_an_extent_covers_spans_of_several_inserts_and_days(ingest, reader):
    trace, other = secrets.token_bytes(16), secrets.token_bytes(16)
    starts = [T0 + 5 * SECOND, T0, T0 + 90_000 * SECOND, T0 + 7 * SECOND]
    for start in starts:
        ingest(
            request(
                span(trace_id=trace, start_time_unix_nano=start),
                span(trace_id=other, start_time_unix_nano=T0),
                span(trace_id=trace, start_time_unix_nano=start + 3),
            )
        )
    found = extents(reader, [trace.hex(), other.hex(), secrets.token_hex(16)])
    assert found == {trace.hex(): Extent(T0, T0 + 90_000 * SECOND + 3), other.hex(): Extent(T0, T0)}


def test_asking_for_none_finds_none(reader):
    assert extents(reader, []) == {}
