"""collector.http_receiver: OTLP over HTTP as the specification has it, into the real engine."""

from __future__ import annotations

import gc
import gzip
import json
import logging
import re
import secrets
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from otlp_json_printer import otlp_json
from otlp_requests import llm_span, request, span
from stores import Kept
from wire import chunk

from spanledger.collector.batcher import Batcher
from spanledger.collector.rows.block import Request
from spanledger.schemas.errors import Busy

PROTOBUF, JSON = "application/x-protobuf", "application/json"
ENCODINGS = (PROTOBUF, JSON)

every_encoding = pytest.mark.parametrize("encoding", ENCODINGS, ids=["protobuf", "json"])


def encoded(message: Message, encoding: str) -> bytes:
    return json.dumps(otlp_json(message)).encode() if encoding == JSON else message.SerializeToString()


def post(client: httpx.Client, sent: Message | bytes, encoding: str = PROTOBUF, **headers: str) -> Any:
    body = encoded(sent, encoding) if isinstance(sent, Message) else sent
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post("/v1/traces", content=body, headers={"content-type": encoding} | named)


def decoded(answer: httpx.Response, message: Any, encoding: str = PROTOBUF) -> Any:
    """The answer's message, which must be in the encoding of the request."""
    assert answer.headers["content-type"] == encoding
    if encoding == JSON:
        return json_format.Parse(answer.content, message)
    message.ParseFromString(answer.content)
    return message


def refused(answer: httpx.Response, status: int, encoding: str = PROTOBUF) -> Status:
    """The Status in the body of an answer that refuses."""
    assert answer.status_code == status
    found = decoded(answer, Status(), encoding)
    assert found.code
    assert found.message
    return found


@pytest.fixture(scope="module")
def client(collector):
    with collector.client() as client:
        yield client


# --- OK means stored


@pytest.mark.parametrize(
    ("encoding", "sent_as", "body"),
    [
        (PROTOBUF, PROTOBUF, b""),
        (JSON, JSON, b"{}"),
        (JSON, "application/json; charset=utf-8", b"{}"),
        (JSON, "APPLICATION/JSON", b"{}"),
        (PROTOBUF, "Application/X-Protobuf", b""),
    ],
)
def test_what_is_answered_200_is_visible_at_once_and_the_answer_holds_nothing_else(
    client, rows, encoding, sent_as, body
):
    sent = span()
    answer = post(client, encoded(request(sent), encoding), sent_as)
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, encoding, body)
    assert rows(sent.trace_id) == [("work",)]


@every_encoding
def test_spans_that_are_refused_are_counted_in_the_answer_and_the_others_are_stored(client, rows, encoding):
    good, bad = span(), span(bytes(16))
    answer = post(client, request(good, bad), encoding)
    assert answer.status_code == 200
    partial = decoded(answer, ExportTraceServiceResponse(), encoding).partial_success
    assert (partial.rejected_spans, partial.error_message) == (
        1,
        "1 spans rejected: 1 with a trace_id that is all zero",
    )
    assert rows(good.trace_id) == [("work",)]


@every_encoding
def test_a_request_of_nothing_but_bad_spans_is_bad(client, encoding):
    status = refused(post(client, request(span(bytes(16))), encoding), 400, encoding)
    assert "all zero" in status.message


@pytest.mark.parametrize(("encoding", "body"), [(PROTOBUF, b""), (JSON, b"{}")])
def test_an_empty_request_is_ok(client, encoding, body):
    assert post(client, body, encoding).status_code == 200


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        (PROTOBUF, b"\xff\xff\xff"),
        (PROTOBUF, b"{}"),
        (JSON, b""),
        (JSON, b"[]"),
        (JSON, b'{"resourceSpans":[{'),
    ],
)
def test_what_cannot_be_decoded_is_bad_in_the_encoding_of_the_request(client, encoding, body):
    assert refused(post(client, body, encoding), 400, encoding).code == 3


def test_all_transports_store_the_same(collector, client, rows):
    stored = []
    for send in (
        lambda sent: post(client, sent, PROTOBUF).status_code == 200,
        lambda sent: post(client, sent, JSON).status_code == 200,
        lambda sent: collector.sender().send(sent).code == "OK",
    ):
        sent = llm_span(text="ä\U0001f600", deep={"a": [1, {"b": True}]}, big=1 << 60, real=0.1)
        sent.span_id, sent.start_time_unix_nano, sent.end_time_unix_nano = b"12345678", 10**18, 2 * 10**18
        sent.events.add(name="e", time_unix_nano=10**18).attributes.extend(sent.attributes[:3])
        sent.links.add(trace_id=b"T" * 16, span_id=b"S" * 8)
        assert send(request(sent))
        (row,) = rows(sent.trace_id, "* EXCEPT (trace_id, received_at)")
        stored.append(row)
    assert stored[0] == stored[1] == stored[2]


def test_requests_of_many_connections_in_both_encodings_are_counted_exactly(collector, rows):
    trace_id = secrets.token_bytes(16)

    def work(thread: int) -> set[int]:
        encoding = ENCODINGS[thread % 2]
        with collector.client() as client:
            spans = [[span(trace_id) for _ in range(7)] for _ in range(5)]
            return {post(client, request(*some), encoding).status_code for some in spans}

    with ThreadPoolExecutor(16) as pool:
        assert set().union(*pool.map(work, range(16))) == {200}
    assert len(rows(trace_id)) == 16 * 5 * 7


# --- what is no export request


@pytest.mark.parametrize(
    ("sent", "headers", "status", "told"),
    [
        ("GET /v1/traces", {}, 405, {"allow": "POST"}),
        ("PUT /v1/traces", {}, 405, {"allow": "POST"}),
        ("PATCH /v1/traces", {}, 405, {"allow": "POST"}),
        ("OPTIONS /v1/traces", {"origin": "https://a.example"}, 405, {"allow": "POST"}),
        ("POST /v1/traces/", {}, 404, {}),
        ("POST /v1/metrics", {}, 404, {}),
        ("GET /", {}, 404, {}),
        ("POST //v1/traces", {}, 404, {}),
        ("POST /v1/traces", {"content-type": "text/plain"}, 415, {}),
        ("POST /v1/traces", {"content-type": "application/protobuf"}, 415, {}),
        ("POST /v1/traces", {"content-encoding": "br"}, 415, {"accept-encoding": "gzip"}),
        ("POST /v1/traces", {"content-encoding": "gzip, gzip"}, 415, {"accept-encoding": "gzip"}),
    ],
)
def test_what_is_refused_by_its_headers(client, sent, headers, status, told):
    method, path = sent.split()
    body = encoded(request(span()), PROTOBUF)
    answer = client.request(method, path, content=body, headers={"content-type": PROTOBUF} | headers)
    refused(answer, status)
    assert told.items() <= answer.headers.items()
    assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_a_request_without_a_content_type_is_refused(client):
    refused(client.post("/v1/traces", content=b""), 415)


def test_a_refusal_of_a_json_request_is_json(client):
    answer = client.get("/v1/traces", headers={"content-type": JSON})
    assert refused(answer, 405, JSON).message == "GET is not allowed here, only POST"


def test_the_head_of_a_path_has_no_body(client):
    answer = client.head("/v1/traces")
    assert (answer.status_code, answer.content) == (405, b"")
    assert client.get("/v1/traces").status_code == 405


# --- gzip


@every_encoding
@pytest.mark.parametrize("name", ["gzip", "GZIP", "identity"])
def test_gzip_in_any_spelling_and_none_are_read(client, rows, encoding, name):
    sent = span()
    body = encoded(request(sent), encoding)
    packed = body if name == "identity" else gzip.compress(body)
    assert post(client, packed, encoding, content_encoding=name).status_code == 200
    assert rows(sent.trace_id) == [("work",)]


def test_all_members_of_a_gzip_body_are_read(client, rows):
    trace_id = secrets.token_bytes(16)
    members = b"".join(gzip.compress(encoded(request(span(trace_id)), PROTOBUF)) for _ in range(3))
    assert post(client, members, content_encoding="gzip").status_code == 200
    assert len(rows(trace_id)) == 3


@every_encoding
def test_a_body_that_is_not_the_gzip_it_is_called_is_bad(client, encoding):
    body = encoded(request(span()), encoding)
    for wrong in (body, gzip.compress(body)[:-1], b""):
        assert (
            "gzip" in refused(post(client, wrong, encoding, content_encoding="gzip"), 400, encoding).message
        )


# --- sizes

LIMIT = 10_000


@pytest.fixture
def small(collect):
    """A collector that takes requests of at most LIMIT bytes."""
    with collect([Kept()], max_request_bytes=LIMIT) as collector:
        yield collector


def sized(size: int) -> bytes:
    """A request of exactly so many bytes."""
    made = request(span(attributes={"text": "a" * size}))
    text = made.resource_spans[0].scope_spans[0].spans[0].attributes[0].value
    while made.ByteSize() > size:
        text.string_value = text.string_value[: size - made.ByteSize()]
    assert made.ByteSize() == size
    return made.SerializeToString()


def test_a_body_at_the_limit_is_taken_and_one_byte_more_is_not(small):
    with small.client() as client:
        assert post(client, sized(LIMIT)).status_code == 200
        assert refused(post(client, sized(LIMIT + 1)), 413).code == 8
        assert post(client, gzip.compress(sized(LIMIT)), content_encoding="gzip").status_code == 200
        refused(post(client, gzip.compress(sized(LIMIT + 1)), content_encoding="gzip"), 413)
        assert post(client, sized(LIMIT)).status_code == 200


def test_a_large_content_length_is_refused_before_any_of_the_body_is_sent(small, wire):
    with wire(small) as raw:
        raw.head(f"Content-Length: {LIMIT + 1}")
        answer = raw.answer()
        assert (answer.status, answer.headers["content-type"]) == (413, PROTOBUF)
        assert str(LIMIT) in Status.FromString(answer.body).message
        # Who sends it nevertheless is read to its end and can go on.
        raw.send(sized(LIMIT + 1))
        raw.head("Content-Length: 0")
        assert raw.answer().status == 200


def test_a_chunked_body_is_refused_where_it_passes_the_limit_and_not_at_its_end(small, wire):
    with wire(small) as raw:
        raw.head("Transfer-Encoding: chunked")
        raw.send(chunk(sized(LIMIT)))
        raw.send(chunk(b"\0"))
        assert raw.answer().status == 413


# --- keys and hosts


@pytest.fixture
def guarded(collect, store):
    with collect([Kept()], api_key="the-key") as collector:
        yield collector


@pytest.mark.parametrize(
    "shown", [None, "", "Bearer", "Bearer wrong", "Basic the-key", "the-key", "Bearer the-key2"]
)
@pytest.mark.parametrize("path", ["/v1/traces", "/v1/logs", "/", "/healthz"])
def test_without_the_key_nothing_is_told_but_that_one_is_needed(guarded, path, shown):
    headers = {"content-type": PROTOBUF} | ({} if shown is None else {"authorization": shown})
    with guarded.client() as client:
        answer = client.post(path, headers=headers, content=encoded(request(span()), PROTOBUF))
    assert refused(answer, 401).code == 16
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert b"the-key" not in answer.content


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_with_the_key_requests_are_taken(guarded, scheme):
    with guarded.client() as client:
        assert post(client, request(span()), authorization=f"{scheme} the-key").status_code == 200


def test_the_key_is_asked_for_before_the_body_is_read(guarded, wire):
    with wire(guarded) as raw:
        raw.head("Content-Length: 1000")
        assert raw.answer().status == 401


@pytest.mark.parametrize("host", ["evil.example", "evil.example:4318", "127.0.0.1.evil.example", "[::2]"])
def test_without_a_key_requests_to_another_name_than_this_machines_are_refused(client, rows, host):
    """A web page can point its own name at 127.0.0.1."""
    sent = span()
    assert refused(post(client, request(sent), host=host), 403).code == 7
    assert rows(sent.trace_id) == []


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:4318", "127.0.0.1:1", "[::1]:4318"])
def test_names_of_this_machine_are_served(client, host):
    assert post(client, b"", host=host).status_code == 200


def test_with_a_key_any_name_is_served(guarded):
    with guarded.client(key="the-key") as client:
        assert post(client, b"", host="ledger.example.org").status_code == 200


# --- web pages

ORIGIN = "https://app.example.org"
PREFLIGHT = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-encoding,content-type",
}


@pytest.fixture
def for_pages(collect):
    origins = f"{ORIGIN}, http://localhost:3000"
    with collect([Kept()], api_key="the-key", otlp_http_origins=origins) as collector:
        yield collector


def test_a_page_of_an_allowed_origin_may_send_and_read_the_answer(for_pages):
    with for_pages.client() as client:
        leave = client.options("/v1/traces", headers=PREFLIGHT | {"origin": ORIGIN})
        assert leave.status_code == 200
        assert leave.headers["access-control-allow-origin"] == ORIGIN
        assert leave.headers["access-control-allow-methods"] == "POST"
        allowed = leave.headers["access-control-allow-headers"].lower().split(", ")
        assert {"authorization", "content-encoding", "content-type"} <= set(allowed)
        for key, status in (("the-key", 200), ("wrong", 401)):
            answer = post(client, b"", origin=ORIGIN, authorization=f"Bearer {key}")
            assert answer.status_code == status
            assert answer.headers["access-control-allow-origin"] == ORIGIN
            assert "Origin" in answer.headers["vary"]


def test_a_page_of_another_origin_may_not(for_pages):
    with for_pages.client(key="the-key") as client:
        leave = client.options("/v1/traces", headers=PREFLIGHT | {"origin": "https://evil.example"})
        assert leave.status_code >= 400
        answer = post(client, b"", origin="https://evil.example")
        for some in (leave, answer):
            assert "access-control-allow-origin" not in some.headers


def test_by_default_no_page_may(client):
    answer = client.options("/v1/traces", headers=PREFLIGHT | {"origin": ORIGIN})
    assert answer.status_code == 405
    assert not [name for name in answer.headers if name.startswith("access-control-")]


# --- failures


def test_a_store_that_is_away_is_busy_with_the_delay_in_header_and_body(collect):
    def away() -> None:
        raise Busy("the database is away", retry_after_s=1.5)

    with collect([Kept(away)]) as collector, collector.client() as client:
        for encoding in ENCODINGS:
            answer = post(client, request(span()), encoding)
            status = refused(answer, 503, encoding)
            assert (status.code, status.message) == (14, "the database is away")
            assert answer.headers["retry-after"] == "2"
            info = RetryInfo()
            assert status.details[0].Unpack(info)
            assert info.retry_delay.ToMilliseconds() == 1500


@pytest.fixture
def broken(collect, monkeypatch):
    """A collector with a bug in it, whose error quotes what was sent."""

    hidden = b"/".join([b"", b"secret", b"path SELECT 1"])

    async def submit(self: Batcher, sent: Request) -> None:
        raise KeyError(sent.body + hidden)

    monkeypatch.setattr(Batcher, "submit", submit)
    with collect([Kept()]) as collector:
        yield collector


def test_what_nobody_expected_is_told_to_nobody_and_logged_once_under_an_id(broken, caplog):
    prompt = span(attributes={"prompt": "private words"})
    told = []
    with caplog.at_level(logging.DEBUG), broken.client() as client, broken.sender() as sender:
        for encoding in ENCODINGS:
            status = refused(post(client, request(prompt), encoding), 500, encoding)
            assert status.code == 13
            told.append(status.message)
        answer = sender.send(request(prompt))
        assert (answer.code, answer.delays) == ("INTERNAL", [])
        told.append(answer.message)
    for message in told:
        (error_id,) = re.findall(r"[0-9a-f]{32}", message)
        assert not re.search("KeyError|secret|SELECT|private|Traceback", message)
        (record,) = [record for record in caplog.records if error_id in record.getMessage()]
        assert "KeyError" in record.getMessage()
        assert "in submit" in record.getMessage()
    assert "private words" not in caplog.text
    assert "/secret/path" not in caplog.text


# --- memory and threads


def test_bodies_beyond_the_budget_are_busy_and_memory_is_given_back(collect, wire):
    with collect([Kept()], otlp_http_body_bytes=LIMIT) as collector, collector.client() as client:
        with wire(collector) as half:
            half.head(f"Content-Length: {LIMIT}")
            half.send(sized(LIMIT)[: LIMIT // 2 + 1])
            wait_for(lambda: post(client, sized(LIMIT // 2)).status_code == 503)
            status = refused(post(client, sized(LIMIT // 2)), 503)
            assert f"the limit is {LIMIT}" in status.message
            # Small ones find room, and unpacking counts.
            assert post(client, request(span())).status_code == 200
            packed = gzip.compress(sized(LIMIT // 2))
            refused(post(client, packed, content_encoding="gzip"), 503)
        # It is gone in the middle of its body.
        wait_for(lambda: post(client, sized(LIMIT // 2)).status_code == 200)


@every_encoding
def test_a_body_that_was_refused_does_not_wait_for_the_garbage_collector(collect, encoding):
    body = encoded(request(span(bytes(16), attributes={"text": "a" * 1_500_000})), encoding)
    with collect([Kept()]) as collector, collector.client() as client:
        refused(post(client, body, encoding), 400, encoding)
        gc.collect()
        gc.disable()
        tracemalloc.start()
        try:
            for _ in range(10):
                refused(post(client, body, encoding), 400, encoding)
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            gc.enable()
    assert held < 2 * len(body)


def test_one_body_may_be_larger_than_the_budget_of_all(collect):
    with collect([Kept()], otlp_http_body_bytes=1024) as collector, collector.client() as client:
        assert post(client, sized(LIMIT)).status_code == 200


def test_no_more_bodies_are_unpacked_at_once_than_the_setting_says(collect):
    def decoders() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name.startswith("spanledger-decode")]

    packed = gzip.compress(sized(500_000))
    others = len(decoders())
    with collect([Kept()], otlp_http_decoders=2) as collector, ThreadPoolExecutor(8) as pool:

        def work(_: int) -> tuple[int, int]:
            with collector.client() as client:
                return post(client, packed, content_encoding="gzip").status_code, len(decoders()) - others

        seen = list(pool.map(work, range(24)))
    assert {status for status, _ in seen} == {200}
    assert {threads for _, threads in seen} <= {1, 2}


def test_large_json_is_read_in_a_process_of_its_own_and_stored(client, rows):
    sent = span(attributes={"gen_ai.input.messages": "ä" * 3_000_000})
    assert post(client, request(sent), JSON).status_code == 200
    assert rows(sent.trace_id, "length(content_string['gen_ai.input.messages'])") == [(6_000_000,)]
    bad = request(span(bytes(16), attributes={"gen_ai.input.messages": "a" * 3_000_000}))
    assert "all zero" in refused(post(client, bad, JSON), 400, JSON).message
    refused(post(client, encoded(bad, JSON)[:-1], JSON), 400, JSON)


def test_large_json_that_cannot_be_read_in_time_is_busy(collect):
    with collect([Kept()], store_timeout_s=0.01) as collector, collector.client() as client:
        large = request(span(attributes={"text": "a" * 3_000_000}))
        assert "takes longer" in refused(post(client, large, JSON), 503, JSON).message


def test_more_connections_than_the_setting_says_are_told_to_come_again(collect, wire):
    with collect([Kept()], otlp_http_connections=2) as collector, ExitStack() as held:
        for _ in range(2):
            held.enter_context(wire(collector)).head("Content-Length: 10")
        with wire(collector) as third:
            body = sized(5_000_000)  # more than fits between the two, so that it must be read
            third.head(f"Content-Length: {len(body)}")
            third.send(body)
            answer = third.answer()
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
            assert answer.headers["connection"] == "close"
            assert third.rest() == b""
        held.close()
        with collector.client() as client:
            wait_for(lambda: post(client, body).status_code == 200)


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


# --- the end


def test_at_the_end_requests_under_way_are_answered_and_new_ones_are_not_taken(collect):
    entered, go = threading.Event(), threading.Event()

    def slowly() -> None:
        entered.set()
        assert go.wait(20)

    store = Kept(slowly)
    with ExitStack() as running, ThreadPoolExecutor(2) as pool:
        collector = running.enter_context(collect([store]))
        with collector.client() as client, collector.client() as late:
            under_way = pool.submit(post, client, request(span()))
            assert entered.wait(20)
            ended = pool.submit(running.close)
            wait_for(lambda: not takes_connections(late))
            go.set()
            ended.result(20)
            answer = under_way.result(20)
            assert (answer.status_code, answer.headers["connection"]) == (200, "close")
    assert len(store.kept) == 1


def test_at_the_end_nobody_is_waited_for_beyond_the_grace(collect, wire):
    store = Kept()
    with ExitStack() as running:
        collector = running.enter_context(collect([store], shutdown_timeout_s=0.5))
        with wire(collector) as idle, wire(collector) as half:
            idle.head("Content-Length: 0")
            assert idle.answer().status == 200
            half.head("Content-Length: 10")
            half.send(b"\0")
            running.close()
            assert idle.rest() == b""
            assert half.rest() == b""
    assert store.kept == []


def takes_connections(client: httpx.Client) -> bool:
    try:
        client.get("/", headers={"connection": "close"}, timeout=1)
    except httpx.ConnectError:
        return False
    except httpx.TransportError:
        # Python 3.11 forgets a connection that is accepted in the very moment of closing.
        return True
    return True


# --- the official exporter of Python


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
def test_the_official_exporter_sends_what_is_stored(collector, rows, compression):
    exporter = OTLPSpanExporter(
        f"http://127.0.0.1:{collector.http_port}/v1/traces", compression=compression, timeout=20
    )
    made = finished_spans()
    try:
        assert exporter.export(made) is SpanExportResult.SUCCESS
    finally:
        exporter.shutdown()
    trace_id = made[0].context.trace_id.to_bytes(16)
    assert rows(trace_id, "name", "attributes_int['n']") == [("child", 2), ("root", 1)]


def finished_spans() -> Any:
    memory = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"service.name": "tests"}))
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("tests")
    with tracer.start_as_current_span("root", attributes={"n": 1}):
        tracer.start_span("child", attributes={"n": 2}).end()
    provider.shutdown()
    return memory.get_finished_spans()
