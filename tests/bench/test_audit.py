"""The count after a run: it finds a span that is missing, one that is there twice, one that nobody sent."""

from __future__ import annotations

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench.audit import audit, size_when_merged
from bench.requests import Requests
from bench.workload import Workload

SENT = Workload(spans=256, spans_per_request=64, distinct=64)


@pytest.fixture
def put(ingest):
    def put(*bodies: bytes) -> None:
        for body in bodies:
            ingest(ExportTraceServiceRequest.FromString(body))

    return put


def counted(writer, project, *sent: Workload) -> dict[str, int]:
    return audit(writer, sent, project=project)


def test_all_that_was_acknowledged_is_there(writer, project, put):
    put(*Requests(SENT))
    assert counted(writer, project, SENT) == {
        "acknowledged": 256,
        "rows": 256,
        "visible": 256,
        "lost": 0,
        "unknown": 0,
        "duplicates": 0,
        "rows_more_than_once": 0,
    }


def test_a_request_that_is_missing_is_lost(writer, project, put):
    put(*list(Requests(SENT))[1:])
    found = counted(writer, project, SENT)
    assert (found["acknowledged"], found["visible"], found["lost"]) == (256, 192, 64)


def test_a_request_that_came_twice_is_visible_once(writer, project, put):
    writer.command("SYSTEM STOP MERGES spans")
    bodies = list(Requests(SENT))
    put(*bodies)
    put(bodies[0])
    found = counted(writer, project, SENT)
    writer.command("SYSTEM START MERGES spans")
    assert (found["rows"], found["rows_more_than_once"]) == (320, 64)
    assert (found["visible"], found["duplicates"], found["lost"]) == (256, 0, 0)


def test_a_span_with_two_start_times_is_a_duplicate(writer, project, put):
    """It is another span to the ledger, and so would be counted twice in answers."""
    put(*Requests(SENT))
    later = Workload(**SENT.to_dict() | {"start_time_ns": SENT.start_time_ns + 1})
    put(Requests(later)[0])
    found = counted(writer, project, SENT)
    assert (found["visible"], found["duplicates"]) == (320, 64)


def test_what_nobody_sent_is_unknown(writer, project, put):
    put(*Requests(SENT))
    other = Workload(seed=SENT.seed + 1, spans=64, spans_per_request=64, distinct=64)
    put(*Requests(other))
    assert counted(writer, project, SENT)["unknown"] == 64
    assert counted(writer, project, SENT, other)["unknown"] == 0


def test_the_size_is_that_of_active_parts_after_merging(writer, put):
    put(*Requests(SENT))
    put(*Requests(SENT))
    found = size_when_merged(writer)
    days = writer.query("SELECT uniqExact(toDate(start_time)) FROM spans").first_row[0]
    assert found["parts_when_merged"] == days
    assert found["bytes_per_span"] > 0
