"""collector.otlp_json: OTLP/JSON means what the same request in protobuf does, or its mistake is located."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from otlp_json_printer import otlp_json
from otlp_requests import field as wire_field
from otlp_requests import nested_arrays, request, span

from spanledger.collector.gate import check
from spanledger.collector.otlp_json import logs, traces
from spanledger.schemas.errors import BadData
from spanledger.schemas.settings import Settings

IDS = {"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174"}
BIG = (1 << 63) - 1
(DEEPEST,) = (
    limit.le for limit in Settings.model_fields["max_attribute_depth"].metadata if hasattr(limit, "le")
)


def one_span(**fields: Any) -> bytes:
    """The body of a request of one span."""
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [IDS | fields]}]}]}).encode()


def read_span(body: bytes) -> Span:
    return ExportTraceServiceRequest.FromString(traces(body)).resource_spans[0].scope_spans[0].spans[0]


def read_value(value: Any) -> AnyValue:
    """The value of an attribute, sent as this JSON."""
    return read_span(one_span(attributes=[{"key": "k", "value": value}])).attributes[0].value


def refused(body: bytes) -> str:
    with pytest.raises(BadData) as error:
        traces(body)
    return str(error.value)


def refused_in_a_span(**fields: Any) -> str:
    place, _, rest = refused(one_span(**fields)).partition(" is ")
    assert place.startswith("resourceSpans[0].scopeSpans[0].spans[0].")
    return f"{place.removeprefix('resourceSpans[0].scopeSpans[0].spans[0].')} is {rest}"


# --- the same as protobuf

_TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=5)
_INTEGERS = {
    FieldDescriptor.TYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    FieldDescriptor.TYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    FieldDescriptor.TYPE_UINT32: (0, (1 << 32) - 1),
    FieldDescriptor.TYPE_FIXED32: (0, (1 << 32) - 1),
    FieldDescriptor.TYPE_FIXED64: (0, (1 << 64) - 1),
    FieldDescriptor.TYPE_ENUM: (-(1 << 31), (1 << 31) - 1),
}
_SCALARS = {
    FieldDescriptor.TYPE_STRING: _TEXT,
    FieldDescriptor.TYPE_BYTES: st.binary(max_size=20),
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_DOUBLE: st.floats(),
} | {kind: st.integers(*limits) for kind, limits in _INTEGERS.items()}


@st.composite
def requests(draw: st.DrawFn, kind: type[Message]) -> Message:
    """A request with any of its fields set to anything that their types allow."""
    made = kind()
    _draw_into(draw, made, made.DESCRIPTOR, 0)
    return made


def _draw_into(draw: st.DrawFn, message: Any, descriptor: Descriptor, depth: int) -> None:
    for field in descriptor.fields:
        # Down to the attributes always, sometimes into them: half of all requests would be empty otherwise.
        if depth > 8 or not draw(st.booleans() if depth > 2 else st.just(value=True)):
            continue
        count = draw(st.integers(1, 2)) if field.is_repeated else 1
        for _ in range(count):
            if field.message_type is None:
                value = draw(_SCALARS[field.type])
                if field.is_repeated:
                    getattr(message, field.name).append(value)
                else:
                    setattr(message, field.name, value)
            elif field.is_repeated:
                _draw_into(draw, getattr(message, field.name).add(), field.message_type, depth + 1)
            else:
                inner = getattr(message, field.name)
                inner.SetInParent()
                _draw_into(draw, inner, field.message_type, depth + 1)


def decoded(message: Message, text: str) -> bytes:
    read = traces if isinstance(message, ExportTraceServiceRequest) else logs
    return type(message).FromString(read(text.encode())).SerializeToString(deterministic=True)


ANY_REQUEST = st.one_of(requests(ExportTraceServiceRequest), requests(ExportLogsServiceRequest))


@given(ANY_REQUEST, st.booleans())
@settings(max_examples=150, deadline=None)
def test_a_request_printed_as_json_is_the_same_request(message, escaped):
    text = json.dumps(otlp_json(message), ensure_ascii=escaped)
    # Compared as bytes, since NaN equals nothing.
    assert decoded(message, text) == message.SerializeToString(deterministic=True)


@given(st.binary(max_size=20), st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_the_case_of_hex_digits_does_not_matter(raw, chance):
    mixed = "".join(chance.choice((digit.upper(), digit)) for digit in raw.hex())
    read = read_span(one_span(traceId=mixed, spanId=mixed, parentSpanId=mixed, links=[{"traceId": mixed}]))
    assert [read.trace_id, read.span_id, read.parent_span_id, read.links[0].trace_id] == [raw] * 4


_KEYS = [
    *(
        "resourceSpans",
        "scopeSpans",
        "spans",
        "attributes",
        "key",
        "value",
        "values",
        "arrayValue",
        "intValue",
    ),
    *("stringValue", "doubleValue", "bytesValue", "boolValue", "kvlistValue", "traceId", "startTimeUnixNano"),
    *("kind", "status", "code", "events", "links", "resource", "flags", "resourceLogs", "logRecords", "body"),
]
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYS) | _TEXT, inner, max_size=4)
    ),
)


def assert_decoded_or_refused(body: bytes) -> None:
    for read, kind in ((traces, ExportTraceServiceRequest), (logs, ExportLogsServiceRequest)):
        try:
            kind.FromString(read(body))
        except BadData as error:
            assert 10 < len(str(error)) < 1500  # noqa: PT017 - what is no error is as good


@given(ANY_JSON)
@settings(max_examples=300, deadline=None)
def test_any_json_is_decoded_or_bad_data(value):
    assert_decoded_or_refused(json.dumps(value).encode())


@given(st.binary(max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_decoded_or_bad_data(body):
    assert_decoded_or_refused(body)


@given(ANY_REQUEST, ANY_JSON, st.data())
@settings(max_examples=60, deadline=None)
def test_a_request_with_anything_at_a_random_place_is_decoded_or_bad_data(message, strange, data):
    printed = otlp_json(message)
    place: Any = printed
    while True:
        index = data.draw(st.sampled_from(list(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[index], dict | list) or not place[index] or data.draw(st.booleans()):
            break
        place = place[index]
    place[index] = strange
    assert_decoded_or_refused(json.dumps(printed).encode())


# --- ids

NO_IDS = [
    "5b8efff798038103d269b633813fc60",
    "xyz",
    "not hex 16 bytes",
    "not hex!",
    "W47/95gDgQPSabYzgT/GDA==",
    "7uGbfsPBsXQ=",
    "5b8eff f798038103d269b633813fc60",
    "\ud800",
    "é" * 8,
    5,
    True,
    1.5,
    ["5b"],
    {"a": 1},
]


@pytest.mark.parametrize("wrong", NO_IDS, ids=repr)
def test_an_id_that_is_no_hex_becomes_one_that_is_refused_wherever_ids_are_checked(wrong):
    """Base64, whole words of the right length, other types: never bytes of the length of an id, nor none."""
    read = read_span(one_span(traceId=wrong, spanId=wrong, parentSpanId=wrong, name="kept"))
    assert read.name == "kept"
    for made in (read.trace_id, read.span_id, read.parent_span_id):
        assert len(made) not in (0, 8, 16)


def test_an_empty_parent_id_is_no_parent():
    assert read_span(one_span(parentSpanId="")).parent_span_id == b""


def test_ids_of_log_records_are_hex():
    body = {"resourceLogs": [{"scopeLogs": [{"logRecords": [IDS | {"severityNumber": 9}]}]}]}
    request = ExportLogsServiceRequest.FromString(logs(json.dumps(body).encode()))
    (record,) = request.resource_logs[0].scope_logs[0].log_records
    assert (record.trace_id.hex(), record.span_id.hex(), record.severity_number) == (*IDS.values(), 9)


# --- numbers


@pytest.mark.parametrize(
    ("sent", "number"),
    [
        ("5", 5),
        (5, 5),
        (-5, -5),
        ("-5", -5),
        (str(BIG), BIG),
        (BIG, BIG),
        (-BIG - 1, -BIG - 1),
        (1e3, 1000),
        (2.0, 2),
    ],
)
def test_an_integer_comes_as_number_or_string_and_is_exact(sent, number):
    assert read_value({"intValue": sent}).int_value == number


@pytest.mark.parametrize("exponent", ["1e3", "1E3", "1000.0", "0.1e4"])
def test_a_number_written_as_a_float_is_an_integer_where_it_is_whole(exponent):
    body = one_span(flags=77).replace(b"77", exponent.encode())
    assert read_span(body).flags == 1000


@pytest.mark.parametrize(
    "wrong",
    [
        "3.f14",
        "",
        " 5",
        "5 ",
        "+5",
        "1_000",
        "0x10",
        "٣",
        "1e3",
        "9" * 30,
        True,
        1.5,
        math.nan,
        math.inf,
        1 << 63,
        [5],
        {},
    ],
    ids=repr,
)
def test_what_is_no_integer_of_64_bits_is_refused(wrong):
    message = refused_in_a_span(attributes=[{"key": "k", "value": {"intValue": wrong}}])
    assert message.startswith("attributes[0].value.intValue is ")
    assert f"allowed: an integer from {-BIG - 1} to {BIG}" in message


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("startTimeUnixNano", -1),
        ("startTimeUnixNano", 1 << 64),
        ("flags", 1 << 32),
        ("droppedLinksCount", -1),
    ],
)
def test_a_number_outside_of_its_type_is_refused(field, wrong):
    assert refused_in_a_span(**{field: wrong}).startswith(
        f"{field} is {wrong}; allowed: an integer from 0 to"
    )


@pytest.mark.parametrize(
    ("sent", "number"),
    [
        *((1.5, 1.5), (7, 7.0), ("1.5", 1.5), ("-1e3", -1000.0), (1e400, math.inf), (10**400, math.inf)),
        *(("Infinity", math.inf), ("-Infinity", -math.inf), (math.inf, math.inf), (-math.inf, -math.inf)),
    ],
)
def test_a_double_comes_as_number_or_string(sent, number):
    assert read_value({"doubleValue": sent}).double_value == number


@pytest.mark.parametrize("nan", ["NaN", math.nan])
def test_nan_comes_quoted_or_bare(nan):
    assert math.isnan(read_value({"doubleValue": nan}).double_value)


@pytest.mark.parametrize("wrong", ["nan", "inf", "", "1_0", " 1", "1.", "abc", True, [], {}], ids=repr)
def test_what_is_no_double_is_refused(wrong):
    message = refused_in_a_span(attributes=[{"key": "k", "value": {"doubleValue": wrong}}])
    assert message.startswith("attributes[0].value.doubleValue is ")


@pytest.mark.parametrize(
    ("sent", "kind"), [(3, 3), (99, 99), (-1, -1), ("SPAN_KIND_CLIENT", 3), ("3", 3), (3.0, 3)]
)
def test_an_enum_is_a_number_known_or_not_or_a_known_name(sent, kind):
    assert read_span(one_span(kind=sent)).kind == kind


@pytest.mark.parametrize("wrong", ["CLIENT", "span_kind_client", "", 1.5, True, 1 << 31, []], ids=repr)
def test_another_enum_is_refused_with_the_names_that_are_allowed(wrong):
    message = refused_in_a_span(kind=wrong)
    assert message.startswith("kind is ")
    assert message.endswith("SPAN_KIND_SERVER, SPAN_KIND_CLIENT, SPAN_KIND_PRODUCER, SPAN_KIND_CONSUMER")


# --- other values


@pytest.mark.parametrize("base64", ["+/+/AA==", "-_-_AA==", "+/+/AA", "-_-_AA"])
def test_bytes_are_base64_of_either_alphabet_padded_or_not(base64):
    assert read_value({"bytesValue": base64}).bytes_value == b"\xfb\xff\xbf\x00"


@pytest.mark.parametrize(
    ("value", "allowed"),
    [
        ({"bytesValue": "a"}, "base64"),
        ({"bytesValue": "a b="}, "base64"),
        ({"bytesValue": "é"}, "base64"),
        ({"bytesValue": 5}, "base64"),
        ({"boolValue": "true"}, "true or false"),
        ({"boolValue": 1}, "true or false"),
        ({"stringValue": 5}, "a string"),
        ({"stringValue": {"a": 1}}, "a string"),
        ({"arrayValue": []}, "an object"),
        ({"arrayValue": {"values": {}}}, "a list"),
        ({"arrayValue": {"values": [None]}}, "an object"),
        ({"kvlistValue": {"values": ["a"]}}, "an object"),
        ("text", "an object"),
    ],
)
def test_a_value_of_another_type_is_refused(value, allowed):
    assert refused_in_a_span(attributes=[{"key": "k", "value": value}]).endswith(f"; allowed: {allowed}")


def test_a_lone_surrogate_becomes_the_replacement_character():
    read = read_span(
        one_span(name="a\ud800b", traceState="\udfff", attributes=[{"key": "\ud83d\ude00\ud83d"}])
    )
    assert (read.name, read.trace_state, read.attributes[0].key) == ("a\ufffdb", "\ufffd", "\U0001f600\ufffd")


def test_null_is_as_if_absent():
    value = {"stringValue": "a", "intValue": None}
    body = one_span(name=None, kind=None, events=None, status=None, attributes=[{"key": "k", "value": value}])
    assert read_span(body) == read_span(one_span(attributes=[{"key": "k", "value": {"stringValue": "a"}}]))
    assert traces(b'{"resourceSpans":null}') == b""


def test_a_value_without_a_type_and_no_value_are_told_apart():
    read = read_span(
        one_span(attributes=[{"key": "a", "value": {}}, {"key": "b"}, {"key": "c", "value": None}])
    )
    assert [pair.HasField("value") for pair in read.attributes] == [True, False, False]


def test_of_several_members_the_last_known_one_counts():
    assert read_value({"stringValue": "a", "intValue": 5, "newValue": 7}) == AnyValue(int_value=5)


def test_of_equal_keys_the_last_one_counts():
    assert read_span(one_span(name="first").replace(b'"first"', b'"first","name":"last"')).name == "last"


def test_unknown_fields_and_snake_case_keys_are_ignored_at_every_level():
    made = request(span(attributes={"a": [1, {"b": 2}]}), resource={"r": 1})
    made.resource_spans[0].scope_spans[0].spans[0].events.add(name="e")
    made.resource_spans[0].scope_spans[0].spans[0].status.code = 2
    printed = otlp_json(made)
    objects = [printed]
    for found in objects:  # grows while it is walked
        inner = [item for value in found.values() for item in (value if isinstance(value, list) else [value])]
        objects += [item for item in inner if isinstance(item, dict)]
    unknown = {"start_time_unix_nano": 5, "resource_spans": [1], "new": {"deep": [{}]}, "ＮＡＭＥ": 1}  # noqa: RUF001
    for found in objects:
        found.update(unknown)
    assert len(objects) > 10
    assert ExportTraceServiceRequest.FromString(traces(json.dumps(printed).encode())) == made


# --- depth


def one_attribute(value: Any) -> bytes:
    """The body of a request of one span with one attribute and nothing else."""
    return json.dumps(
        {"resourceSpans": [{"scopeSpans": [{"spans": [{"attributes": [{"value": value}]}]}]}]}
    ).encode()


def lists(depth: int, core: Any) -> Any:
    for _ in range(depth):
        core = {"arrayValue": {"values": [core]}}
    return core


def maps(depth: int, core: Any) -> Any:
    for _ in range(depth):
        core = {"kvlistValue": {"values": [{"value": core}]}}
    return core


def levels(body: bytes) -> int:
    """How many fields are within each other, where each holds the next one and nothing else."""
    found = 0
    while body:
        start = next(n for n in range(1, 10) if body[n] < 0x80) + 1
        body, found = body[start:], found + 1
    return found


def test_nesting_goes_as_deep_as_any_setting_allows():
    value = nested_arrays(DEEPEST)
    for number in (2, 9, 2, 2, 1):
        value = wire_field(number, value)
    assert traces(one_attribute(lists(DEEPEST, {"stringValue": "core"}))) == value
    assert levels(traces(one_attribute(maps(DEEPEST, {})))) == 5 + 3 * DEEPEST


@pytest.mark.parametrize(("nest", "fields", "depth"), [(lists, 2, 220), (maps, 3, 150)])
def test_what_is_deeper_is_cut_and_still_too_deep_for_every_setting(nest, fields, depth):
    cut = levels(traces(one_attribute(nest(depth, {}))))
    assert 5 + fields * (DEEPEST + 1) <= cut < 5 + fields * depth


def test_of_a_request_with_a_value_that_is_too_deep_the_gate_rejects_that_span_only():
    good = IDS | {"startTimeUnixNano": "1"}
    bad = good | {"attributes": [{"key": "deep", "value": lists(220, {})}, {"key": "after"}]}
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [good, bad, good]}]}]}
    checked = check(traces(json.dumps(body).encode()), DEEPEST)
    assert (checked.spans, checked.rejected) == (2, {"attribute_depth": 1})


@pytest.mark.parametrize("brackets", [b"[", b'{"a":', b'{"resourceSpans":['])
@pytest.mark.parametrize("depth", [1_000, 100_000])
def test_deep_json_is_bad_data(brackets, depth):
    refused(brackets * depth)
    closing = {b"[": b"]", b'{"a":': b"1}", b'{"resourceSpans":[': b"]}"}[brackets]
    refused(brackets * depth + closing * depth)


# --- bodies


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"1234",
        b"[]",
        b'"text"',
        b"null",
        b"true",
        b'{"resourceSpans":[',
        b"{}{}",
        b"{'a':1}",
        b"\xff{}",
        '{"a":1}'.encode("utf-16"),
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\n"}',
        b"1" * 5_000,
    ],
)
def test_what_is_no_json_object_in_utf8_is_refused(body):
    assert refused(body).startswith("the body is ")


@pytest.mark.parametrize(
    "body", [b"{}", b' {"resourceSpans":[]}\n', b'{"resource_spans":[{"scopeSpans":5}]}']
)
def test_an_empty_request_is_an_empty_request(body):
    assert traces(body) == b""


def test_the_place_of_what_is_wrong_is_named_and_what_is_long_is_not_repeated():
    spans = [IDS, IDS, IDS, IDS | {"startTimeUnixNano": "a secret of a kilobyte" * 50}]
    body = {"resourceSpans": [{}, {"scopeSpans": [{"spans": spans}]}]}
    assert refused(json.dumps(body).encode()) == (
        "resourceSpans[1].scopeSpans[0].spans[3].startTimeUnixNano is a string of 1100 characters; "
        f"allowed: an integer from 0 to {(1 << 64) - 1}, as a number or a string of its digits"
    )


def test_a_place_that_is_deep_inside_is_named_by_its_ends():
    message = refused(one_attribute(lists(60, {"boolValue": 5})))
    assert message.startswith(
        "resourceSpans[0].scopeSpans[0].spans[0].attributes[0].value.arrayValue.values[0]."
    )
    assert message.endswith(".arrayValue.values[0].boolValue is 5; allowed: true or false")
    assert len(message) < 300
