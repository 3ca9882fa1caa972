"""Cases 17 to 20, 22 and 35: compression, sizes, depth, and bodies that do not end."""

from __future__ import annotations

import contextlib
import gzip
import secrets
import time
from typing import Any

import pytest
from otlp_requests import field, nested_arrays, request, span, wire_request
from processes import Ledger
from transports import JSON, PROTOBUF, encode, post
from wire import Wire

from spanledger.collector.gate import REASONS

LIMIT = 100_000
MAX_DEPTH = 32


@pytest.fixture(scope="module")
def small_world(own_world_with):
    """A ledger with a low limit for bodies."""
    with own_world_with(max_request_bytes=LIMIT) as world:
        yield world


@pytest.fixture(scope="module")
def hasty_world(own_world_with):
    """A ledger that waits a second for the headers of a request and a second for its body."""
    with own_world_with(otlp_http_header_timeout_s=1, otlp_http_body_timeout_s=1) as world:
        yield world


@pytest.fixture(params=["http-protobuf", "http-json"])
def small_http_way(request, small_world):
    return small_world.ways[request.param]


# --- 17 to 19: compression


@pytest.mark.parametrize("written", ["gzip", "GZIP", "Gzip"])
def test_case_17_gzip_is_read(world, http_way, written):
    sent = request(span(attributes={"text": "a" * 10_000}))
    body = gzip.compress(encode(sent, http_way.encoding))
    assert http_way.send_body(body, Content_Encoding=written) == ("OK", "", 0, ())
    assert world.node(trace_of(sent))["attributes"] == {"text": "a" * 10_000}


def test_case_17_gzip_is_read_over_grpc(world):
    sent = request(span(attributes={"text": "a" * 10_000}))
    with world.ledger.sender(gzip=True) as sender:
        assert sender.send(sent).code == "OK"
    assert world.names(trace_of(sent)) == ["work"]


def test_case_17_all_members_of_a_gzip_body_are_read(world, http_way):
    sent = request(*(span(secrets.token_bytes(16)) for _ in range(3)))
    body = encode(sent, http_way.encoding)
    parts = [body[at : at + 30] for at in range(0, len(body), 30)]
    assert len(parts) > 3
    joined = b"".join(gzip.compress(part) for part in parts)
    assert http_way.send_body(joined, Content_Encoding="gzip") == ("OK", "", 0, ())
    for one in sent.resource_spans[0].scope_spans[0].spans:
        assert world.names(one.trace_id) == ["work"]


def test_case_17_a_body_that_says_identity_is_read_as_it_is(world, http_way):
    sent = request(span())
    body = encode(sent, http_way.encoding)
    assert http_way.send_body(body, Content_Encoding="identity").code == "OK"
    assert world.names(trace_of(sent)) == ["work"]


def test_case_18_what_is_no_whole_gzip_is_invalid(world, http_way):
    body = encode(request(span()), http_way.encoding)
    packed = gzip.compress(body)
    wrong = [
        body,
        packed[:-1],
        packed[: len(packed) // 2],
        packed[:5],
        b"",
        packed[:-8] + b"\0" * 8,
        packed + b"x",
    ]
    with world.nothing_stored():
        for sent in wrong:
            assert http_way.send_body(sent, Content_Encoding="gzip").code == "INVALID_ARGUMENT"


@pytest.mark.parametrize("encoding", ["br", "zstd", "deflate", "x-unknown", "gzip, br"])
def test_case_19_another_compression_is_415_and_gzip_is_offered(world, http_way, encoding):
    body = encode(request(span()), http_way.encoding)
    with world.nothing_stored():
        answer = post(http_way.client, body, http_way.encoding, **{"Content-Encoding": encoding})
    assert answer.status_code == 415
    assert answer.headers["Accept-Encoding"] == "gzip"


# --- 20: sizes


def test_case_20_a_body_of_the_limit_is_read_and_a_byte_more_is_too_large(small_world, small_http_way):
    """Told before a byte of the body was sent."""
    fits, over = of_size(LIMIT, small_http_way.encoding), of_size(LIMIT + 1, small_http_way.encoding)
    assert small_http_way.send_body(fits).code == "OK"
    with small_world.nothing_stored():
        answered = small_http_way.send_body(over)
        assert (answered.code, answered.delays) == ("RESOURCE_EXHAUSTED", ())
        assert str(LIMIT) in answered.message
        with wire_to(small_world.ledger) as wire:
            wire.head(f"Content-Type: {small_http_way.encoding}", f"Content-Length: {LIMIT + 1}")
            assert wire.answer().status == 413


def test_case_20_a_body_of_unknown_length_is_refused_where_it_passes_the_limit(small_world, small_http_way):
    """Told before the body ends."""
    chunk = b"%x\r\n" % 10_000 + b" " * 10_000 + b"\r\n"
    with small_world.nothing_stored(), wire_to(small_world.ledger) as wire:
        wire.head(f"Content-Type: {small_http_way.encoding}", "Transfer-Encoding: chunked")
        wire.send(chunk * (LIMIT // 10_000 + 1))
        assert wire.answer().status == 413


def test_case_20_a_grpc_message_over_the_limit_is_exhausted_for_good(small_world):
    with small_world.nothing_stored(), small_world.ledger.sender() as sender:
        answer = sender.send(of_size(LIMIT + 1, PROTOBUF))
        assert (answer.code, answer.delays) == ("RESOURCE_EXHAUSTED", [])
    with small_world.ledger.sender() as sender:
        assert sender.send(of_size(LIMIT, PROTOBUF)).code == "OK"


# --- 22: depth


@pytest.mark.parametrize("brackets", ["[", '{"a":', '{"resourceSpans":['])
@pytest.mark.parametrize("closed", [True, False])
def test_case_22_json_100000_levels_deep_is_invalid(world, json_way, brackets, closed):
    closing = {"[": "]", '{"a":': "1}", '{"resourceSpans":[': "]}"}[brackets] if closed else ""
    with world.nothing_stored():
        body = brackets * 100_000 + closing * 100_000
        assert json_way.send_body(body.encode()).code == "INVALID_ARGUMENT"


def test_case_22_a_value_10000_levels_deep_is_invalid_in_protobuf(world, protobuf_way):
    deep = field(9, field(1, b"deep") + field(2, nested_arrays(10_000)))
    with world.nothing_stored():
        body = wire_request(span().SerializeToString() + deep)
        assert protobuf_way.send_body(body).code == "INVALID_ARGUMENT"


@pytest.mark.parametrize("depth", [100, 10_000])
def test_case_22_a_value_10000_levels_deep_is_invalid_in_json(world, json_way, depth):
    deep = '{"arrayValue":{"values":[' * depth + '{"stringValue":"core"}' + "]}}" * depth
    attributes = f'[{{"key":"deep","value":{deep}}}]'
    whole = encode(request(span(attributes={"deep": "here"})), JSON)
    shallow = b'[{"key": "deep", "value": {"stringValue": "here"}}]'
    assert shallow in whole
    with world.nothing_stored():
        answered = json_way.send_body(whole.replace(shallow, attributes.encode()))
    assert answered.code == "INVALID_ARGUMENT"


def nested(depth: int) -> Any:
    value: Any = "core"
    for _ in range(depth):
        value = [value]
    return value


def test_case_22_a_value_as_deep_as_the_limit_is_stored_whole(world, way):
    sent = span(attributes={"deep": nested(MAX_DEPTH)})
    assert way.send(request(sent)) == ("OK", "", 0, ())
    assert world.node(sent.trace_id)["attributes"] == {"deep": nested(MAX_DEPTH)}


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 47])
def test_case_22_a_span_with_a_deeper_value_is_refused_alone(world, way, depth):
    good, bad = span(), span(attributes={"deep": nested(depth)})
    answered = way.send(request(good, bad, span(good.trace_id)))
    assert answered == ("OK", f"1 spans rejected: 1 with {REASONS['attribute_depth']}", 1, ())
    assert (world.names(good.trace_id), world.names(bad.trace_id)) == (["work", "work"], [])


# --- 35: bodies and headers that do not end


@pytest.mark.parametrize("how", ["Content-Length: 5000", "Transfer-Encoding: chunked"])
def test_case_35_a_client_that_goes_away_in_the_middle_stores_nothing(world, http_way, how):
    body = encode(request(*(span() for _ in range(20))), http_way.encoding)
    with world.nothing_stored():
        for _ in range(20):
            with wire_to(world.ledger) as wire:
                wire.head(f"Content-Type: {http_way.encoding}", how)
                wire.send(body[:1000] if "Length" in how else b"3e8\r\n" + body[:1000] + b"\r\n")
        assert http_way.send(request()).code == "OK"


SLOW = {
    "in the headers": (b"POST /v1/traces HTTP/1.1\r\nHost: 127.0.0.1\r\nX-More: ", b"a"),
    "in the body": (b"Content-Length: 5000\r\n\r\n", b"a"),
    "in a chunked body": (b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
    "in nothing at all": (b"", b""),
}
HEAD = b"POST /v1/traces HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-protobuf\r\n"


@pytest.mark.slow
@pytest.mark.parametrize("where", SLOW)
def test_case_35_a_client_that_sends_a_byte_now_and_then_is_hung_up_on_and_harms_nobody(hasty_world, where):
    """However many there are: others are answered meanwhile, and the places are free again afterwards."""
    start, more = SLOW[where]
    with hasty_world.nothing_stored(), contextlib.ExitStack() as open_ones:
        wires = [open_ones.enter_context(wire_to(hasty_world.ledger)) for _ in range(50)]
        for wire in wires:
            wire.send(HEAD + start if "body" in where else start)
        for name, way in hasty_world.ways.items():
            assert way.send(request()).code == "OK", name
        if more:
            assert is_hung_up_while_it_drips(wires[0], more)
        for wire in wires[1:]:
            wire.rest()  # fails where the connection stays open
    assert hasty_world.ways["http-json"].send(request(span())).code == "OK"


@pytest.mark.slow
def test_case_35_a_client_that_says_nothing_on_the_grpc_port_harms_nobody(world):
    with contextlib.ExitStack() as open_ones:
        for start in (b"", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTTP/1.1\r\n"):
            for _ in range(50):
                open_ones.enter_context(Wire(world.ledger.ports["grpc"])).send(start)
        sent = span()
        with world.ledger.sender() as sender:
            assert sender.send(request(sent)).code == "OK"
        assert world.names(sent.trace_id) == ["work"]


def is_hung_up_while_it_drips(wire: Wire, more: bytes) -> bool:
    """Send a few bytes every tenth of a second, for twenty seconds or until the connection ends."""
    for _ in range(200):
        try:
            wire.send(more)
        except ConnectionError:
            return True
        time.sleep(0.1)
    return False


def wire_to(ledger: Ledger) -> Wire:
    return Wire(ledger.ports["otlp_http"])


def of_size(size: int, encoding: str) -> bytes:
    """A valid request of exactly so many bytes."""
    sent = span(attributes={"text": ""})
    sent.attributes[0].value.string_value = "a" * (size - 1000)
    missing = size - len(encode(request(sent), encoding))
    sent.attributes[0].value.string_value += "a" * missing
    body = encode(request(sent), encoding)
    assert len(body) == size
    return body


def trace_of(sent) -> bytes:
    return sent.resource_spans[0].scope_spans[0].spans[0].trace_id
