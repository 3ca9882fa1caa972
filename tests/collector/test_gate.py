"""collector.gate: what of a request can be stored, and why the rest cannot."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from otlp_requests import (
    any_value,
    field,
    fixed64,
    key_values,
    nested_arrays,
    request,
    span,
    wire_request,
    with_invalid_utf8,
)

from spanledger.collector.gate import REASONS, check, explain
from spanledger.collector.rows.scan import FAULTS
from spanledger.collector.rows.tables import LOGS, SPANS
from spanledger.schemas.errors import BadData

FEBRUARY_2106 = ((1 << 32) - 1) * 1_000_000_000
BAD_SPANS = {
    "no trace id": ("trace_id_length", {"trace_id": b""}),
    "a trace id too short": ("trace_id_length", {"trace_id": b"t" * 15}),
    "a trace id in base64": ("trace_id_length", {"trace_id": b"t" * 24}),
    "a trace id of zeros": ("trace_id_zero", {"trace_id": bytes(16)}),
    "a span id too long": ("span_id_length", {"span_id": b"s" * 12}),
    "a span id of zeros": ("span_id_zero", {"span_id": bytes(8)}),
    "a parent id too short": ("parent_span_id_length", {"parent_span_id": b"p" * 7}),
    "no start": ("start_time_missing", {"start_time_unix_nano": 0}),
    "a start too late": ("start_time_range", {"start_time_unix_nano": FEBRUARY_2106 + 1_000_000_000}),
    "an end too late": ("end_time_range", {"end_time_unix_nano": (1 << 64) - 1}),
    "a value too deep": ("attribute_depth", {"attributes": {"deep": [[[[[1]]]]]}}),
}


DEPTH = 4


@pytest.mark.parametrize(
    "value",
    ["text", "", True, -5, 1 << 62, 1.5, math.nan, b"\xff", None, ["a", 1], [], {}, {"a": {"b": [{}]}}],
)
def test_a_span_with_a_value_of_any_kind_can_be_stored(value):
    assert check(request(span(attributes={"key": value}), span()).SerializeToString(), DEPTH) == (2, {})


@pytest.mark.parametrize("empty", [b"", wire_request(), field(1, b"")])
def test_a_request_without_spans_is_fine_and_has_nothing_to_store(empty):
    assert check(empty, DEPTH) == (0, {})


@pytest.mark.parametrize("wrong", BAD_SPANS)
def test_one_bad_span_among_ten_is_taken_out_and_its_reason_said(wrong):
    reason, fields = BAD_SPANS[wrong]
    spans = [span(name=f"good {n}") for n in range(9)]
    spans.insert(4, span(**({"name": "bad"} | fields)))
    checked = check(request(*spans).SerializeToString(), DEPTH)
    assert checked.spans == 9
    assert checked.rejected == {reason: 1}
    assert explain(checked.rejected) == f"1 with {REASONS[reason]}"


@pytest.mark.parametrize("wrong", BAD_SPANS)
def test_a_request_of_bad_spans_only_is_refused_with_the_reasons(wrong):
    reason, fields = BAD_SPANS[wrong]
    bad = [span(**fields) for _ in range(2)]
    with pytest.raises(BadData, match="none of the 2 spans can be stored") as refused:
        check(request(*bad).SerializeToString(), DEPTH)
    assert f"2 with {REASONS[reason]}" in str(refused.value)


def test_there_is_a_case_for_every_reason():
    assert {reason for reason, _ in BAD_SPANS.values()} == set(FAULTS)
    assert REASONS.keys() == {*SPANS.faults, *LOGS.faults}


def test_the_ends_of_what_is_allowed_are_allowed():
    edge = {"start_time_unix_nano": FEBRUARY_2106, "end_time_unix_nano": (1 << 63) - 1}
    first = {"start_time_unix_nano": 1, "end_time_unix_nano": 0}
    checked = check(
        request(span(**edge), span(**first), span(parent_span_id=b"p" * 8)).SerializeToString(), DEPTH
    )
    assert checked.spans == 3
    assert not checked.rejected


def test_reasons_are_counted_and_the_most_frequent_is_named_first():
    spans = [span(), span(trace_id=b"x"), span(trace_id=b"y"), span(span_id=b"z")]
    checked = check(request(*spans).SerializeToString(), DEPTH)
    expected = f"2 with {REASONS['trace_id_length']}; 1 with {REASONS['span_id_length']}"
    assert explain(checked.rejected) == expected


def test_bad_spans_are_found_in_every_scope_and_resource():
    joined = ExportTraceServiceRequest()
    for n in range(3):
        joined.MergeFrom(request(span(name=f"good {n}"), span(span_id=b"bad"), scope=f"scope {n}"))
    assert check(joined.SerializeToString(), DEPTH) == (3, {"span_id_length": 3})


def test_unknown_fields_are_no_error():
    extended = span(name="from the future").SerializeToString() + field(999, b"new") + fixed64(1000, 7)
    assert check(wire_request(extended) + field(500, b"new too"), DEPTH) == (1, {})


def test_random_bytes_are_bad_data_or_no_spans_and_never_another_error():
    chance = random.Random(20260725)
    for size in (1, 7, 64, 500, 5000):
        for _ in range(200):
            try:
                check(chance.randbytes(size), DEPTH)
            except BadData as error:
                assert str(error)  # noqa: PT017 - most are refused, some are a valid message of unknown fields


def test_a_request_that_ends_too_early_is_bad_data():
    body = request(*(span() for _ in range(5))).SerializeToString()
    with pytest.raises(BadData, match="not an OTLP ExportTraceServiceRequest"):
        check(body[:-3], DEPTH)


def test_logs_and_metrics_sent_as_traces_are_refused_by_their_ids():
    logs = ExportLogsServiceRequest()
    record = logs.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=5, severity_text="INFO")
    record.body.string_value = "a log line"
    metrics = ExportMetricsServiceRequest()
    metric = metrics.resource_metrics.add().scope_metrics.add().metrics.add(name="requests")
    metric.gauge.data_points.add(as_int=5, time_unix_nano=5)
    for other in (logs, metrics):
        with pytest.raises(BadData):
            check(other.SerializeToString(), DEPTH)


@pytest.mark.parametrize("place", with_invalid_utf8())
def test_invalid_utf8_anywhere_is_bad_data(place):
    with pytest.raises(BadData):
        check(wire_request(with_invalid_utf8()[place]), DEPTH)


def deep_in(place: str, depth: int) -> bytes:
    """Two resources with a scope and a span each; in one of them a value nests so deep."""
    made = request(span(name="deep"))
    made.MergeFrom(request(span(name="flat")))
    (rs, _) = made.resource_spans
    sent = rs.scope_spans[0].spans[0]
    holder = {
        "resource": rs.resource,
        "scope": rs.scope_spans[0].scope,
        "span": sent,
        "event": sent.events.add(),
        "link": sent.links.add(),
    }[place]
    value: Any = "core"
    for _ in range(depth):
        value = [value]
    holder.attributes.extend(key_values({"deep": value}))
    return made.SerializeToString()


@pytest.mark.parametrize("place", ["resource", "scope", "span", "event", "link"])
def test_a_value_too_deep_anywhere_takes_its_spans_out_and_no_others(place):
    assert check(deep_in(place, DEPTH), DEPTH) == (2, {})
    assert check(deep_in(place, DEPTH + 1), DEPTH) == (1, {"attribute_depth": 1})


@pytest.mark.parametrize("innermost", ["", [], {}, None, b"x"], ids=repr)
@pytest.mark.parametrize("depth", [1, 2, 32, 128])
def test_levels_are_counted_by_lists_whatever_is_in_the_innermost(innermost, depth):
    levels = depth - isinstance(innermost, list | dict)
    allowed, too_deep = (attributed(innermost, levels + more) for more in (0, 1))
    good = span().SerializeToString()
    assert check(wire_request(good, allowed), depth) == (2, {})
    assert check(wire_request(good, too_deep), depth) == (1, {"attribute_depth": 1})


def attributed(innermost: Any, levels: int) -> bytes:
    """A span with a value within so many arrays."""
    value = any_value(innermost).SerializeToString()
    for _ in range(levels):
        value = field(5, field(1, value))
    return span().SerializeToString() + field(9, field(1, b"k") + field(2, value))


@pytest.mark.parametrize("depth", [60, 1_000, 100_000])
def test_nesting_deeper_than_the_limit_is_bad_data_however_deep(depth):
    body = span().SerializeToString() + field(9, field(1, b"deep") + field(2, nested_arrays(depth)))
    with pytest.raises(BadData, match="nests too deep"):
        check(wire_request(body), 32)
