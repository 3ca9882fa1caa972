"""Cases 1 to 11: what a request is, on every transport, and what is none."""

from __future__ import annotations

import json
import math
import random
import secrets
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from otlp_json_printer import otlp_json
from otlp_requests import SECOND, field, fixed64, key_values, llm_span, request, span, varint
from transports import JSON, PROTOBUF, encode, http_client, post, reply

START = 1_790_000_000 * SECOND
LOGS = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
METRICS = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
# Columns that say when and under which trace; all others are what was sent, and what was made of it.
CONTENT = "* EXCEPT (trace_id, span_id, received_at)"


def full_request(trace_id: bytes) -> ExportTraceServiceRequest:
    """A request that uses every field there is."""
    values = {
        "text": "ä",
        "int": -(1 << 62),
        "double": 0.1,
        "bool": True,
        "bytes": b"\x00\xff",
        "nothing": None,
    }
    attributes = values | {
        "list": [1, "a", None],
        "map": {"a": {"b": [1.5]}},
        "gen_ai.operation.name": "chat",
    }
    sent = llm_span(trace_id, tags=["a"])
    sent.start_time_unix_nano, sent.end_time_unix_nano = START, START + 1_234_567_891
    sent.parent_span_id, sent.trace_state, sent.flags, sent.kind = b"p" * 8, "a=b", 257, 3
    sent.attributes.extend(key_values(attributes))
    sent.status.code, sent.status.message = 2, "failed"
    event = sent.events.add(name="first token", time_unix_nano=START + 5, dropped_attributes_count=1)
    event.attributes.extend(key_values(attributes))
    link = sent.links.add(trace_id=b"T" * 16, span_id=b"S" * 8, trace_state="c=d", flags=1)
    link.attributes.extend(key_values(attributes))
    sent.dropped_attributes_count, sent.dropped_events_count, sent.dropped_links_count = 2, 3, 4
    made = request(sent, resource=attributes | {"service.name": "shop"})
    resource_spans = made.resource_spans[0]
    resource_spans.schema_url = "https://opentelemetry.io/schemas/1.38.0"
    resource_spans.resource.dropped_attributes_count = 5
    scope = resource_spans.scope_spans[0].scope
    scope.version, scope.dropped_attributes_count = "1.2", 6
    scope.attributes.extend(key_values(attributes))
    resource_spans.scope_spans[0].schema_url = "https://opentelemetry.io/schemas/1.37.0"
    return made


def json_body(**fields: Any) -> bytes:
    """A request of one span in JSON, valid but for the fields given."""
    one = {"name": "work", "startTimeUnixNano": str(START), "endTimeUnixNano": str(START + SECOND)}
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [one | fields]}]}]}).encode()


def ids() -> tuple[bytes, dict[str, str]]:
    """A trace id of its own, and the ids of a span as they are in JSON."""
    trace_id = secrets.token_bytes(16)
    return trace_id, {"traceId": trace_id.hex(), "spanId": secrets.token_hex(8)}


def test_what_is_stored_is_noticed(world, way):
    """The check that nothing was stored, which most tests of bad requests rest on, can fail."""
    with pytest.raises(AssertionError), world.nothing_stored():
        assert way.send(request(span())).code == "OK"


# --- 1: valid requests


def test_case_01_a_valid_request_is_stored_the_same_through_every_transport(world):
    stored = []
    for way in world.ways.values():
        trace_id = secrets.token_bytes(16)
        assert way.send(full_request(trace_id)) == ("OK", "", 0, ())
        stored += world.rows(trace_id, CONTENT)
        assert world.names(trace_id) == ["chat gpt-4o-mini"]
    assert len(stored) == 3
    assert stored[0] == stored[1] == stored[2]


@pytest.mark.parametrize(("encoding", "answered"), [(JSON, [b"{}"]), (PROTOBUF, [b""])])
def test_case_01_a_full_success_says_nothing(world, encoding, answered):
    way = world.ways["http-json" if encoding == JSON else "http-protobuf"]
    body = json_body(**ids()[1]) if encoding == JSON else request(span()).SerializeToString()
    answer = post(way.client, body, encoding)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, encoding)
    assert answer.content in answered


# --- 2 to 4: types, methods and paths


@pytest.mark.parametrize("written", ["application/json; charset=utf-8", "APPLICATION/JSON"])
def test_case_02_the_content_type_is_read_as_http_writes_it(world, json_way, written):
    trace_id, named = ids()
    assert reply(post(json_way.client, json_body(**named), written)).code == "OK"
    assert world.names(trace_id) == ["work"]


@pytest.mark.parametrize(
    "written", [None, "", "text/plain", "application/octet-stream", "application/jsonp", "*/*"]
)
def test_case_03_another_content_type_is_415_and_stores_nothing(world, http_way, written):
    headers = {} if written is None else {"Content-Type": written}
    sent = request(span())
    body = sent.SerializeToString()
    with world.nothing_stored():
        answer = http_way.client.post("/v1/traces", content=body, headers=headers)
    assert answer.status_code == 415
    assert "application/x-protobuf" in answer.text


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "HEAD"])
def test_case_04_another_method_is_405_and_names_the_one_that_is_allowed(world, http_way, method):
    with world.nothing_stored():
        answer = http_way.client.request(method, "/v1/traces", headers={"Content-Type": http_way.encoding})
    assert answer.status_code == 405
    assert "POST" in [allowed.strip() for allowed in answer.headers["Allow"].split(",")]


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/traces/x", "/v2/traces", "/v1/metrics", "/v1/traces%2f", "//v1/traces"]
)
def test_case_04_another_path_is_404(world, http_way, path):
    with world.nothing_stored():
        answer = http_way.client.post(path, content=b"", headers={"Content-Type": http_way.encoding})
    assert answer.status_code == 404


def test_case_04_a_path_with_a_slash_at_its_end_is_never_redirected(world, http_way):
    """Exporters take a redirect for a success and do not follow it."""
    sent = request(span())
    body = encode(sent, http_way.encoding)
    with world.nothing_stored():
        answer = http_way.client.post(
            "/v1/traces/", content=body, headers={"Content-Type": http_way.encoding}
        )
        assert answer.status_code == 404


def test_case_04_metrics_are_unimplemented(world):
    with world.ledger.sender() as sender:
        assert sender.send(b"", method=METRICS).code == "UNIMPLEMENTED"
    with http_client(world.ledger) as client:
        answer = client.post("/v1/metrics", content=b"", headers={"Content-Type": PROTOBUF})
        assert answer.status_code == 404


@pytest.mark.parametrize("name", ["grpc", "http-protobuf", "http-json"])
def test_case_04_logs_are_received(world, name):
    """The table of cases says 404; since then logs have become a signal that is stored."""
    trace_id = secrets.token_bytes(16)
    logs = ExportLogsServiceRequest()
    record = logs.resource_logs.add().scope_logs.add().log_records.add(trace_id=trace_id, span_id=b"s" * 8)
    record.time_unix_nano, record.body.string_value = START, "a prompt"
    if name == "grpc":
        with world.ledger.sender() as sender:
            assert sender.send(logs.SerializeToString(), method=LOGS).code == "OK"
    else:
        way = world.ways[name]
        body = encode(logs, way.encoding)
        answer = way.client.post("/v1/logs", content=body, headers={"Content-Type": way.encoding})
        assert answer.status_code == 200
    found = world.sql.query(
        "SELECT body FROM logs WHERE hex(trace_id) = {t:String}", parameters={"t": trace_id.hex().upper()}
    )
    assert found.result_rows == [('"a prompt"',)]


# --- 5 and 6: nothing in it, and nothing that can be read


def test_case_05_a_request_without_spans_is_fine(world, way):
    empty = [b"{}", b'{"resourceSpans":[]}'] if way.encoding == JSON else [b""]
    bodies = [*empty, encode(request(), way.encoding), encode(without_scopes(), way.encoding)]
    with world.nothing_stored():
        assert {way.send_body(body) for body in bodies} == {("OK", "", 0, ())}


def without_scopes() -> ExportTraceServiceRequest:
    made = ExportTraceServiceRequest()
    made.resource_spans.add()
    return made


@pytest.mark.parametrize(
    "body", [b"", b"1234", b"[]", b"null", b'"text"', b'{"resourceSpans":[', b"{}{}", b"\x00"]
)
def test_case_06_what_is_no_json_object_is_invalid(world, json_way, body):
    with world.nothing_stored():
        assert json_way.send_body(body).code == "INVALID_ARGUMENT"


def test_case_06_json_that_ends_too_early_is_invalid(world, json_way):
    body = json_body(**ids()[1])
    with world.nothing_stored():
        assert {json_way.send_body(body[:size]).code for size in range(0, len(body), 9)} == {
            "INVALID_ARGUMENT"
        }


def test_case_06_random_bytes_are_invalid(world, protobuf_way):
    chance = random.Random(6)
    whole = request(span()).SerializeToString()
    bodies = [b"\x0a\xff" + chance.randbytes(size) for size in range(1, 400, 20)]
    with world.nothing_stored():
        replies = [protobuf_way.send_body(body) for body in (*bodies, whole[:-3])]
    assert {answered.code for answered in replies} == {"INVALID_ARGUMENT"}
    assert all("ExportTraceServiceRequest" in answered.message for answered in replies)


# --- 7 and 8: fields that nobody knows


def test_case_07_unknown_fields_in_json_are_as_if_absent(world, json_way):
    first, second = secrets.token_bytes(16), secrets.token_bytes(16)
    printed = otlp_json(full_request(second))
    objects = [printed]
    for found in objects:  # grows while it is walked
        inner = [item for value in found.values() for item in (value if isinstance(value, list) else [value])]
        objects += [item for item in inner if isinstance(item, dict)]
    for found in objects:
        found.update({"new": {"deep": [1, {}]}, "newer": None, "Name": 5})
    assert len(objects) > 50
    assert json_way.send(full_request(first)).code == "OK"
    assert json_way.send_body(json.dumps(printed).encode()).code == "OK"
    assert world.rows(first, CONTENT) == world.rows(second, CONTENT)
    assert world.names(second) == ["chat gpt-4o-mini"]


def test_case_07_unknown_fields_in_protobuf_are_as_if_absent(world, protobuf_way):
    first, second = secrets.token_bytes(16), secrets.token_bytes(16)
    unknown = field(1999, b"new") + fixed64(2000, 7) + varint(2001 << 3) + varint(1)
    plain = span(first, {"k": "v"}, start_time_unix_nano=START)
    extended = (
        span(second, start_time_unix_nano=START).SerializeToString()
        + field(9, field(1, b"k") + field(2, field(1, b"v") + unknown) + unknown)
        + unknown
    )
    body = field(1, field(1, unknown) + field(2, field(1, unknown) + field(2, extended) + unknown) + unknown)
    bare = field(1, field(1, b"") + field(2, field(1, b"") + field(2, plain.SerializeToString())))
    assert {protobuf_way.send_body(sent).code for sent in (bare, body + unknown)} == {"OK"}
    assert world.rows(first, CONTENT) == world.rows(second, CONTENT)
    assert world.names(second) == ["work"]


def test_case_08_snake_case_keys_are_unknown_fields(world, json_way):
    trace_id, named = ids()
    snake = {
        "trace_state": "a=b",
        "dropped_links_count": 7,
        "parent_span_id": "00" * 4,
        "end_time_unix_nano": "x",
    }
    assert json_way.send_body(json_body(**named, **snake)).code == "OK"
    node = world.node(trace_id)
    assert (node["trace_state"], node["dropped_links_count"], node["parent_span_id"]) == ("", 0, None)
    with world.nothing_stored():
        whole = json_body(**ids()[1]).replace(b"resourceSpans", b"resource_spans")
        assert json_way.send_body(whole) == ("OK", "", 0, ())


# --- 9 to 11: numbers


@pytest.mark.parametrize("number", [(1 << 63) - 1, -(1 << 63), (1 << 53) + 1, 0])
@pytest.mark.parametrize("written", [int, str])
def test_case_09_an_integer_of_64_bits_is_exact_as_number_and_as_string(world, json_way, number, written):
    trace_id, named = ids()
    start = 1_790_000_000_123_456_789
    sent = [{"key": "n", "value": {"intValue": written(number)}}]
    body = json_body(**named, attributes=sent, startTimeUnixNano=written(start))
    assert json_way.send_body(body).code == "OK"
    columns = "attributes_int['n'], toUnixTimestamp64Nano(start_time)"
    assert world.rows(trace_id, columns) == [(number, start)]
    assert world.node(trace_id)["attributes"] == {"n": number}


@pytest.mark.parametrize("wrong", ["3.f14", True, 1.5, "", str(1 << 63), [1]], ids=repr)
def test_case_09_another_thing_as_an_integer_is_invalid_and_named(world, json_way, wrong):
    body = json_body(**ids()[1], attributes=[{"key": "n", "value": {"intValue": wrong}}])
    with world.nothing_stored():
        answered = json_way.send_body(body)
    assert answered.code == "INVALID_ARGUMENT"
    place = "resourceSpans[0].scopeSpans[0].spans[0].attributes[0].value.intValue"
    assert answered.message.startswith(f"{place} is ")


@pytest.mark.parametrize(
    ("number", "text"), [(math.nan, "NaN"), (math.inf, "Infinity"), (-math.inf, "-Infinity")]
)
def test_case_10_what_is_no_number_is_kept_as_text_and_is_no_token_count_and_no_cost(
    world, way, number, text
):
    sent = llm_span(input_tokens=number, output_tokens=number, odd=number, gen_ai__usage__cost__amount=number)
    sent.events.add(name="e", time_unix_nano=START).attributes.extend(key_values({"odd": number}))
    assert way.send(request(sent, resource={"odd": number, "list": [number]})).code == "OK"
    node = world.node(sent.trace_id)  # strict JSON
    assert node["attributes"]["odd"] == node["events"][0]["attributes"]["odd"] == text
    assert node["resource"]["attributes"] == {"list": [text], "odd": text}
    usage, cost = node["usage"], node["cost"]
    assert (usage["input_tokens"], usage["output_tokens"], cost["usd"], cost["reported_usd"]) == (None,) * 4
    assert world.tree(sent.trace_id)["cost_usd"] is None


def test_case_10_nan_without_quotes_is_read_as_quoted(world, json_way):
    trace_id, named = ids()
    body = json_body(**named, attributes=[{"key": "odd", "value": {"doubleValue": math.nan}}])
    assert b":NaN" in body.replace(b" ", b"")
    assert json_way.send_body(body).code == "OK"
    assert world.node(trace_id)["attributes"] == {"odd": "NaN"}


def test_case_11_a_number_that_no_enum_has_yet_is_kept(world, way):
    sent = span(kind=99)
    sent.status.code = 77
    assert way.send(request(sent)).code == "OK"
    assert world.rows(sent.trace_id, "kind, status_code") == [(99, 77)]
    node = world.node(sent.trace_id)
    assert (node["kind"], node["kind_number"]) == ("unspecified", 99)


def test_case_11_a_name_of_an_enum_is_read_and_another_is_invalid(world, json_way):
    trace_id, named = ids()
    body = json_body(**named, kind="SPAN_KIND_CLIENT", status={"code": "STATUS_CODE_ERROR"})
    assert json_way.send_body(body).code == "OK"
    node = world.node(trace_id)
    assert (node["kind"], node["status"]) == ("client", "error")
    with world.nothing_stored():
        answered = json_way.send_body(json_body(**ids()[1], kind="SPAN_KIND_ELSE"))
    assert answered.code == "INVALID_ARGUMENT"
    assert "spans[0].kind is" in answered.message
    assert "SPAN_KIND_CLIENT" in answered.message
