"""Cases 12 to 16: spans that cannot be stored are refused with a reason, and harm no other."""

from __future__ import annotations

import json
import secrets
import time
from datetime import UTC, datetime

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from otlp_json_printer import otlp_json
from otlp_requests import SECOND, request, span
from transports import JSON, encode

from spanledger.collector.gate import REASONS

REJECTED = "spanledger_spans_rejected_total"
BAD_IDS = {
    "trace id too short": ("trace_id_length", {"trace_id": b"t" * 15}),
    "trace id of zeros": ("trace_id_zero", {"trace_id": bytes(16)}),
    "no trace id": ("trace_id_length", {"trace_id": b""}),
    "span id too long": ("span_id_length", {"span_id": b"s" * 9}),
    "span id of zeros": ("span_id_zero", {"span_id": bytes(8)}),
    "parent id too short": ("parent_span_id_length", {"parent_span_id": b"p"}),
}
JSON_IDS = {
    "no hex": ("trace_id_length", {"traceId": "x" * 32}),
    "no hex of 16 characters": ("trace_id_length", {"traceId": "x" * 16}),
    "base64": ("trace_id_length", {"traceId": "W47/95gDgQPSabYzgT/GDA=="}),
    "empty": ("trace_id_length", {"traceId": ""}),
    "null": ("trace_id_length", {"traceId": None}),
    "a number": ("trace_id_length", {"traceId": 5}),
    "base64 of a span id": ("span_id_length", {"spanId": "7uGbfsPBsXQ="}),
    "no hex of 8 characters": ("span_id_length", {"spanId": "x" * 8}),
    "no hex in a parent": ("parent_span_id_length", {"parentSpanId": "x" * 8}),
}
BAD_STARTS = {"start_time_missing": 0, "start_time_range": (1 << 63) + 1}


def utc(year: int) -> int:
    """The first of July of a year, in nanoseconds."""
    return int(datetime(year, 7, 1, tzinfo=UTC).timestamp()) * SECOND


# --- 12 and 13: bad ids


def test_case_12_a_span_with_a_bad_id_is_refused_alone(world, way):
    trace_id = secrets.token_bytes(16)
    for number, (reason, fields) in enumerate(BAD_IDS.values()):
        before = world.counted(REJECTED, reason=reason)
        good = [span(trace_id, name=f"good {number} {n}") for n in range(9)]
        answered = way.send(request(*good[:4], span(name="bad", **fields), *good[4:]))
        assert answered == ("OK", f"1 spans rejected: 1 with {REASONS[reason]}", 1, ())
        assert world.counted(REJECTED, reason=reason) == before + 1
    assert world.names(trace_id) == [f"good {number} {n}" for number in range(len(BAD_IDS)) for n in range(9)]


def test_case_12_a_span_whose_id_is_no_hex_is_refused_alone(world, json_way):
    """Also where a decoder of base64 would have made 16 bytes of it."""
    trace_id = secrets.token_bytes(16)
    for number, (reason, fields) in enumerate(JSON_IDS.values()):
        printed = otlp_json(request(*(span(trace_id, name=f"good {number} {n}") for n in range(9))))
        spans = printed["resourceSpans"][0]["scopeSpans"][0]["spans"]
        spans.insert(4, spans[4] | {"name": "bad"} | fields)
        answered = json_way.send_body(json.dumps(printed).encode())
        assert answered == ("OK", f"1 spans rejected: 1 with {REASONS[reason]}", 1, ())
    assert world.names(trace_id) == [
        f"good {number} {n}" for number in range(len(JSON_IDS)) for n in range(9)
    ]


def test_case_13_a_request_of_bad_spans_only_is_invalid(world, way):
    with world.nothing_stored():
        for reason, fields in BAD_IDS.values():
            answered = way.send(request(*(span(**fields) for _ in range(3))))
            assert answered.code == "INVALID_ARGUMENT"
            assert f"3 with {REASONS[reason]}" in answered.message


def test_case_13_logs_sent_as_traces_are_invalid(world, protobuf_way):
    logs = ExportLogsServiceRequest()
    record = logs.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=5, severity_text="INFO")
    record.body.string_value = "a log line"
    with world.nothing_stored():
        assert protobuf_way.send_body(logs.SerializeToString()).code == "INVALID_ARGUMENT"


def test_case_13_logs_sent_as_traces_in_json_are_a_request_of_unknown_fields(world, json_way):
    logs = ExportLogsServiceRequest()
    logs.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=5)
    with world.nothing_stored():
        assert json_way.send_body(encode(logs, JSON)) == ("OK", "", 0, ())


# --- 14 to 16: times


@pytest.mark.parametrize("reason", BAD_STARTS)
def test_case_14_a_start_that_is_no_time_is_refused_alone(world, way, reason):
    trace_id = secrets.token_bytes(16)
    good = [span(trace_id, name=f"good {n}") for n in range(9)]
    bad = span(trace_id, name="bad", start_time_unix_nano=BAD_STARTS[reason], end_time_unix_nano=1)
    answered = way.send(request(*good[:4], bad, *good[4:]))
    assert answered == ("OK", f"1 spans rejected: 1 with {REASONS[reason]}", 1, ())
    assert world.names(trace_id) == [f"good {n}" for n in range(9)]


@pytest.mark.parametrize("end", [0, 1_790_000_000 * SECOND - 1])
def test_case_15_an_end_before_the_start_is_kept_and_the_duration_is_zero(world, way, end):
    start = 1_790_000_000 * SECOND
    sent = span(start_time_unix_nano=start, end_time_unix_nano=end)
    assert way.send(request(sent)) == ("OK", "", 0, ())
    times = "toUnixTimestamp64Nano(start_time), toUnixTimestamp64Nano(end_time), duration_ns"
    assert world.rows(sent.trace_id, times) == [(start, end, 0)]
    assert world.node(sent.trace_id)["duration_ms"] == 0
    assert world.tree(sent.trace_id)["duration_ms"] == 0


@pytest.mark.parametrize("year", [datetime.now(UTC).year - 10, 2100])
def test_case_16_a_start_far_away_is_stored_and_found(world, way, year):
    service = f"far-{secrets.token_hex(4)}"
    sent = span(start_time_unix_nano=utc(year))
    assert way.send(request(sent, resource={"service.name": service})) == ("OK", "", 0, ())
    assert world.node(sent.trace_id)["start_time"] == f"{year}-07-01T00:00:00.000000000Z"
    found = [{}, {"start": f"{year}-06-30T00:00:00Z", "end": f"{year}-07-02T00:00:00Z"}]
    for times in found:
        (trace,) = world.listed(service=service, **times)
        assert trace["trace_id"] == sent.trace_id.hex()
    assert world.listed(service=service, start=f"{year}-07-02T00:00:00Z") == []


@pytest.mark.parametrize("year", [2107, 2300])
def test_case_16_a_start_after_what_can_be_stored_is_refused_with_the_reason(world, way, year):
    good, bad = span(), span(start_time_unix_nano=utc(year), end_time_unix_nano=time.time_ns())
    answered = way.send(request(good, bad))
    assert answered == ("OK", f"1 spans rejected: 1 with {REASONS['start_time_range']}", 1, ())
    assert (world.names(good.trace_id), world.names(bad.trace_id)) == (["work"], [])
