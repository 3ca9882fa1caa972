"""query_api.extents: no stored span of a trace lies outside its extent, however its spans arrived."""

from __future__ import annotations

import secrets

from otlp_requests import SECOND, request, span

from spanledger.query_api.extents import WITHIN_EXTENT, Extent, extents

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


def test_a_trace_that_the_table_does_not_know_is_found_all_the_same(ingest, reader, writer, project):
    """By the index of every day, as before there was the table."""
    trace = secrets.token_bytes(16)
    ingest(request(span(trace_id=trace, start_time_unix_nano=T0)))
    parameters = {"trace_id": trace.hex(), "project": project}
    sql = f"SELECT count() FROM spans FINAL WHERE project = {{project:String}} AND {WITHIN_EXTENT}"
    assert reader.query(sql, parameters=parameters).result_rows == [(1,)]
    writer.command(
        "ALTER TABLE trace_times DELETE WHERE trace_id = toFixedString(unhex({trace_id:String}), 16) "
        "SETTINGS mutations_sync = 2",
        parameters=parameters,
    )
    assert reader.query(sql, parameters=parameters).result_rows == [(1,)]


def test_asking_for_none_finds_none(reader):
    assert extents(reader, []) == {}
