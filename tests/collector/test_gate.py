"""collector.gate: what of a request can be stored, and in which bytes."""

from __future__ import annotations

import json
import math
import random

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from otlp_requests import any_value, field, fixed64, key_values, nested_arrays, request, span, wire_request

from spanledger.collector.gate import REASONS, check, explain, json_text
from spanledger.schemas.errors import BadData
from spanledger.schemas.otlp_pb2 import Request

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
}


def names(body: bytes) -> list[str]:
    read = ExportTraceServiceRequest.FromString(body)
    return [s.name for rs in read.resource_spans for ss in rs.scope_spans for s in ss.spans]


def attributes_of(body: bytes) -> list:
    """The attributes of the first span, in the collector's own message."""
    return list(Request.FromString(body).resource_spans[0].scope_spans[0].spans[0].attributes)


@pytest.mark.parametrize("plain", ["text", "", True, -5, 1 << 62, 1.5, math.nan, b"\xff", None, ["a", 1], []])
def test_a_request_of_flat_values_leaves_as_it_came(plain):
    body = request(span(attributes={"key": plain}), span()).SerializeToString()
    assert check(body) == (body, 2, {}, False)


@pytest.mark.parametrize("empty", [b"", wire_request(), field(1, b"")])
def test_a_request_without_spans_is_fine_and_has_nothing_to_store(empty):
    assert check(empty) == (empty, 0, {}, False)


@pytest.mark.parametrize("wrong", BAD_SPANS)
def test_one_bad_span_among_ten_is_taken_out_and_its_reason_said(wrong):
    reason, fields = BAD_SPANS[wrong]
    spans = [span(name=f"good {n}") for n in range(9)]
    spans.insert(4, span(**({"name": "bad"} | fields)))
    checked = check(request(*spans).SerializeToString())
    assert names(checked.body) == [f"good {n}" for n in range(9)]
    assert checked.spans == 9
    assert checked.rejected == {reason: 1}
    assert explain(checked.rejected) == f"1 with {REASONS[reason]}"


@pytest.mark.parametrize("wrong", BAD_SPANS)
def test_a_request_of_bad_spans_only_is_refused_with_the_reasons(wrong):
    reason, fields = BAD_SPANS[wrong]
    bad = [span(**fields) for _ in range(2)]
    with pytest.raises(BadData, match="none of the 2 spans can be stored") as refused:
        check(request(*bad).SerializeToString())
    assert f"2 with {REASONS[reason]}" in str(refused.value)


def test_there_is_a_case_for_every_reason():
    assert {reason for reason, _ in BAD_SPANS.values()} == REASONS.keys()


def test_the_ends_of_what_is_allowed_are_allowed():
    edge = {"start_time_unix_nano": FEBRUARY_2106, "end_time_unix_nano": (1 << 63) - 1}
    first = {"start_time_unix_nano": 1, "end_time_unix_nano": 0}
    checked = check(request(span(**edge), span(**first), span(parent_span_id=b"p" * 8)).SerializeToString())
    assert checked.spans == 3
    assert not checked.rejected


def test_reasons_are_counted_and_the_most_frequent_is_named_first():
    spans = [span(), span(trace_id=b"x"), span(trace_id=b"y"), span(span_id=b"z")]
    checked = check(request(*spans).SerializeToString())
    expected = f"2 with {REASONS['trace_id_length']}; 1 with {REASONS['span_id_length']}"
    assert explain(checked.rejected) == expected


def test_bad_spans_are_found_in_every_scope_and_resource():
    joined = ExportTraceServiceRequest()
    for n in range(3):
        joined.MergeFrom(request(span(name=f"good {n}"), span(span_id=b"bad"), scope=f"scope {n}"))
    checked = check(joined.SerializeToString())
    assert names(checked.body) == ["good 0", "good 1", "good 2"]
    assert checked.rejected.total() == 3


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": 1, "b": {"c": [True, 1.0, "x"]}}, '{"a":1,"b":{"c":[true,1.0,"x"]}}'),
        ([[1, 2], []], "[[1,2],[]]"),
        ([{"role": "user"}], '[{"role":"user"}]'),
        ({}, "{}"),
        ({"a": None}, '{"a":null}'),
        ({"a": math.inf, "b": math.nan}, '{"a":{"@double":"inf"},"b":{"@double":"nan"}}'),
        ({"a": b"\x00\xff"}, '{"a":{"@bytes":"AP8="}}'),
        ({"@bytes": "text"}, '{"@map":{"@bytes":"text"}}'),
        ({"@map": {"@map": 1}}, '{"@map":{"@map":{"@map":{"@map":1}}}}'),
        ({"@a": 1, "b": 2}, '{"@a":1,"b":2}'),
        ({"big": (1 << 63) - 1}, '{"big":9223372036854775807}'),
        ({"quote": '"\\\n\u2028\U0001f600'}, '{"quote":"\\"\\\\\\n\u2028\U0001f600"}'),
    ],
)
def test_nested_values_become_json_text_that_tells_every_type_apart(value, text):
    assert json_text(any_value(value)) == text
    checked = check(
        request(span(attributes={"before": 1, "nested": value, "after": "z"})).SerializeToString()
    )
    assert checked.rewritten
    before, nested, after = attributes_of(checked.body)
    assert (before.value.int_value, after.value.string_value) == (1, "z")
    assert nested.value.json_value == text


def test_nested_values_are_found_on_resource_scope_event_and_link():
    made = request(span(), resource={"deep": {"a": 1}})
    made.resource_spans[0].scope_spans[0].scope.attributes.extend(key_values({"deep": {"a": 1}}))
    sent = made.resource_spans[0].scope_spans[0].spans[0]
    sent.events.add().attributes.extend(key_values({"deep": {"a": 1}}))
    sent.links.add().attributes.extend(key_values({"deep": {"a": 1}}))
    read = Request.FromString(check(made.SerializeToString()).body).resource_spans[0]
    stored = read.scope_spans[0].spans[0]
    for holder in (read.resource, read.scope_spans[0].scope, stored.events[0], stored.links[0]):
        assert [pair.value.json_value for pair in holder.attributes] == ['{"a":1}']


def test_of_two_equal_keys_in_a_map_the_last_one_counts():
    value = any_value({"k": 1})
    value.kvlist_value.values.extend(key_values({"k": 2}))
    assert json_text(value) == '{"k":2}'


def test_a_json_value_of_the_senders_is_an_unknown_field_and_dropped_where_a_request_is_rewritten():
    forged = field(9, field(1, b"forged") + field(2, field(100, b'{"evil":1}')))
    nested = field(9, key_values({"real": {"a": 1}})[0].SerializeToString())
    whole = span().SerializeToString() + forged + nested
    checked = check(wire_request(whole))
    assert [(pair.key, pair.value.json_value) for pair in attributes_of(checked.body)] == [
        ("forged", ""),
        ("real", '{"a":1}'),
    ]


def test_unknown_fields_are_no_error():
    extended = span(name="from the future").SerializeToString() + field(999, b"new") + fixed64(1000, 7)
    checked = check(wire_request(extended) + field(500, b"new too"))
    assert names(checked.body) == ["from the future"]


def test_random_bytes_are_bad_data_or_no_spans_and_never_another_error():
    chance = random.Random(20260725)
    for size in (1, 7, 64, 500, 5000):
        for _ in range(200):
            try:
                check(chance.randbytes(size))
            except BadData as error:
                assert str(error)  # noqa: PT017 - most are refused, some are a valid message of unknown fields


def test_a_request_that_ends_too_early_is_bad_data():
    body = request(*(span() for _ in range(5))).SerializeToString()
    with pytest.raises(BadData, match="not an OTLP ExportTraceServiceRequest"):
        check(body[:-3])


def test_logs_and_metrics_sent_as_traces_are_refused_by_their_ids():
    logs = ExportLogsServiceRequest()
    record = logs.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=5, severity_text="INFO")
    record.body.string_value = "a log line"
    metrics = ExportMetricsServiceRequest()
    metric = metrics.resource_metrics.add().scope_metrics.add().metrics.add(name="requests")
    metric.gauge.data_points.add(as_int=5, time_unix_nano=5)
    for other in (logs, metrics):
        with pytest.raises(BadData):
            check(other.SerializeToString())


@pytest.mark.parametrize("place", ["name", "status", "key", "value"])
def test_invalid_utf8_anywhere_is_bad_data(place):
    bad = b"\xff\xfe"
    broken = {
        "name": field(5, bad),
        "status": field(15, field(2, bad)),
        "key": field(9, field(1, bad)),
        "value": field(9, field(1, b"k") + field(2, field(1, bad))),
    }[place]
    with pytest.raises(BadData):
        check(wire_request(span().SerializeToString() + broken))


def test_nesting_of_thirty_levels_is_kept():
    body = span().SerializeToString() + field(9, field(1, b"deep") + field(2, nested_arrays(30)))
    (deep,) = attributes_of(check(wire_request(body)).body)
    assert json.loads(deep.value.json_value) == json.loads("[" * 30 + '"core"' + "]" * 30)


@pytest.mark.parametrize("depth", [60, 1_000, 100_000])
def test_nesting_deeper_than_the_parser_goes_is_bad_data(depth):
    body = span().SerializeToString() + field(9, field(1, b"deep") + field(2, nested_arrays(depth)))
    with pytest.raises(BadData):
        check(wire_request(body))
