"""query_api.extents: no stored span of a trace lies outside what is looked through, however they arrived."""

from __future__ import annotations

import secrets

import pytest
from otlp_requests import SECOND, request, span

from spanledger.query_api.extents import OF_TRACES, of_traces

T0 = 1_760_000_000 * SECOND
STARTS_SQL = (
    "SELECT toUnixTimestamp64Nano(start_time) AS ns FROM spans FINAL "
    f"WHERE project = {{project:String}} AND {OF_TRACES} ORDER BY ns"
)
EVER = (0, (1 << 63) - 1)


@pytest.fixture
def ask(reader, project):
    def asked(sql, *trace_ids):
        given = of_traces(reader, [trace_id.hex() for trace_id in trace_ids])
        return reader.query(sql, parameters=given | {"project": project}).result_rows

    return asked


@pytest.fixture
def times(reader):
    def looked_through(*trace_ids):
        given = of_traces(reader, [trace_id.hex() for trace_id in trace_ids])
        return given["first"], given["last"]

    return looked_through


@pytest.fixture
def scattered(ingest):
    """A trace of spans in several inserts and days, between those of another one."""
    trace, other = secrets.token_bytes(16), secrets.token_bytes(16)
    for start in (T0 + 5 * SECOND, T0, T0 + 90_000 * SECOND, T0 + 7 * SECOND):
        ingest(
            request(
                span(trace_id=trace, start_time_unix_nano=start),
                span(trace_id=other, start_time_unix_nano=T0),
                span(trace_id=trace, start_time_unix_nano=start + 3),
            )
        )
    return trace, other


def test_the_times_cover_spans_of_several_inserts_and_days(ask, times, scattered):
    trace, other = scattered
    assert times(trace) == (T0, T0 + 90_000 * SECOND + 3)
    assert times(other) == (T0, T0)
    assert times(trace, other, trace) == (T0, T0 + 90_000 * SECOND + 3)
    assert len(ask(STARTS_SQL, trace)) == 8


def test_where_a_trace_is_not_known_all_times_are_looked_through(ask, times, scattered, writer):
    trace, other = scattered
    assert times(secrets.token_bytes(16)) == EVER
    assert times(trace, secrets.token_bytes(16)) == EVER
    writer.command(
        "ALTER TABLE trace_times DELETE WHERE trace_id = unhex({t:String}) SETTINGS mutations_sync = 2",
        parameters={"t": trace.hex()},
    )
    assert len(ask(STARTS_SQL, trace)) == 8
    assert len(ask(STARTS_SQL, trace, other)) == 12


def test_days_outside_of_the_times_are_not_read(ask, scattered):
    _, other = scattered
    plan = "\n".join(row[0] for row in ask(f"EXPLAIN indexes = 1 {STARTS_SQL}", other))
    day = T0 // (86_400 * SECOND)
    assert f"toDate(start_time) in [{day}, +Inf)" in plan
    assert f"toDate(start_time) in (-Inf, {day}]" in plan
