"""collector.http_protocol: no client holds a connection or memory by being slow, silent, endless or odd."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from google.rpc.status_pb2 import Status
from otlp_requests import request, span
from stores import Kept
from wire import chunk


@pytest.fixture
def stored() -> Kept:
    return Kept()


@pytest.fixture
def hasty(collect, stored):
    """A collector that waits for nobody for long and has a place for one connection."""
    with collect(
        [stored],
        otlp_http_connections=1,
        otlp_http_header_timeout_s=0.4,
        otlp_http_body_timeout_s=0.4,
        otlp_http_idle_timeout_s=1,
    ) as collector:
        yield collector


@pytest.fixture
def calm(collect, stored):
    """A collector with the timeouts as they are by default, which does not know a request again."""
    with collect([stored], replay_window_s=0) as collector:
        yield collector


POST = b"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-protobuf\r\n"
BODY = request(span()).SerializeToString()


def trickle(raw, data: bytes) -> None:
    """Send byte by byte until the server has enough of it."""
    try:
        for byte in data:
            raw.send(bytes([byte]))
            time.sleep(0.05)
    except (BrokenPipeError, ConnectionResetError):
        return
    pytest.fail("the server took all of it")


@pytest.mark.parametrize(
    ("begin", "then"),
    [
        (b"", b"POST /v1/traces HTTP/1.1\r\nX-Header: " + b"a" * 1000),
        (b"", b"\r\n" * 500),
        (b"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\n", b"X-Header: a\r\n" * 500),
        (POST + b"Content-Length: 1000\r\n\r\n", b"\0" * 1000),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n", chunk(b"\0") * 500),
        # Refused already, and still sending.
        (b"POST /v1/metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n", b"\0" * 1000),
        # Answered already.
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\r\n" * 500),
    ],
    ids=["header", "nothing", "headers", "body", "chunks", "refused-body", "between-requests"],
)
def test_a_client_that_sends_a_byte_now_and_then_loses_its_connection_and_its_place(
    hasty, stored, wire, begin, then
):
    with wire(hasty) as slow:
        slow.send(begin)
        trickle(slow, then)
        with wire(hasty) as next_one:
            next_one.head(f"Content-Length: {len(BODY)}")
            next_one.send(BODY)
            assert next_one.answer().status == 200
    assert len(stored.kept) == 1


@pytest.mark.parametrize("begin", [b"", b"POST /v1/traces HTTP/1.1\r\n"], ids=["at-once", "in-the-headers"])
def test_a_silent_client_loses_its_connection(hasty, wire, begin):
    with wire(hasty) as raw:
        raw.send(begin)
        assert raw.rest() == b""


def test_an_idle_connection_is_closed(hasty, wire):
    with wire(hasty) as raw:
        raw.head("Content-Length: 0")
        assert raw.answer().status == 200
        assert raw.rest() == b""


def test_a_client_that_does_not_read_its_answers_loses_its_connection(hasty):
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.settimeout(60)
        deaf.connect(("127.0.0.1", hasty.http_port))
        one = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Header: " + b"a" * 10_000 + b"\r\n\r\n"
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            deaf.sendall(one * 50_000)


def test_far_more_requests_at_once_than_answers_are_waited_for_end_the_connection(calm, stored, wire):
    with wire(calm) as raw, pytest.raises((BrokenPipeError, ConnectionResetError)):
        raw.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1_000_000)


def test_a_body_may_take_longer_than_headers(collect, stored, wire):
    with collect([stored], otlp_http_header_timeout_s=0.3) as collector, wire(collector) as raw:
        raw.head(f"Content-Length: {len(BODY)}")
        time.sleep(0.6)
        raw.send(BODY)
        assert raw.answer().status == 200


def test_a_request_that_is_here_may_take_as_long_as_it_takes_to_store(collect, wire):
    timeouts = {"otlp_http_header_timeout_s": 0.3, "otlp_http_body_timeout_s": 0.3}
    with collect([Kept(lambda: time.sleep(0.8))], **timeouts) as collector, wire(collector) as raw:
        raw.head(f"Content-Length: {len(BODY)}")
        raw.send(BODY)
        assert raw.answer().status == 200


def test_a_client_that_goes_away_in_the_middle_of_its_body_frees_its_place_and_stores_nothing(
    collect, stored, wire
):
    with collect([stored], otlp_http_connections=1) as collector:
        with wire(collector) as gone:
            gone.head(f"Content-Length: {len(BODY) + 1}")
            gone.send(BODY)
        deadline = time.monotonic() + 20
        status = 503
        while status == 503 and time.monotonic() < deadline:
            with wire(collector) as raw:
                raw.head("Content-Length: 0")
                status = raw.answer().status
        assert status == 200
    assert stored.kept == []


def test_far_more_connections_than_the_setting_says_are_closed_unread(collect, wire):
    with (
        collect([Kept()], otlp_http_connections=1) as collector,
        wire(collector),
        wire(collector),
        wire(collector) as third,
    ):
        assert third.rest() == b""


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"POST /", b"a"),
        (b"POST /v1/traces HTTP/1.1\r\nX-Header: ", b"a"),
        (b"POST /v1/traces HTTP/1.1\r\n", b"X-Header: a\r\n"),
    ],
    ids=["path", "header", "headers"],
)
def test_headers_without_end_are_refused(calm, wire, begin, more):
    limit = 65_536
    with wire(calm) as raw:
        # Not a byte more: one that is not read could take the answer away.
        raw.send((begin + more * limit)[: limit + 1])
        answer = raw.answer()
    assert answer.status == 431
    assert f"{limit}" in Status.FromString(answer.body).message


def test_trailers_without_end_end_the_connection(calm, stored, wire):
    with wire(calm) as raw:
        raw.head("Transfer-Encoding: chunked")
        raw.send(chunk(BODY) + b"0\r\n")
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            raw.send(b"X-Trailer: a\r\n" * 1_000_000)
    assert stored.kept == []


def test_trailers_are_no_headers(calm, stored, wire):
    with wire(calm) as raw:
        raw.head("Transfer-Encoding: chunked")
        raw.send(chunk(BODY) + b"0\r\nContent-Encoding: gzip\r\n\r\n")
        assert raw.answer().status == 200
    assert len(stored.kept) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32),  # a TLS handshake
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /v1/traces HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /v1/traces HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /v1/traces HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    ],
)
def test_what_is_no_request_is_refused_and_the_connection_closed(calm, wire, data):
    with wire(calm) as raw:
        raw.send(data)
        answer = raw.answer()
        assert 400 <= answer.status < 500
        assert Status.FromString(answer.body).message
        if answer.status == 400:
            assert raw.rest() == b""


def test_requests_sent_without_waiting_for_answers_are_all_answered_in_turn(calm, stored, wire):
    with wire(calm) as raw:
        for path in ("/v1/traces", "/v1/metrics", "/v1/traces"):
            raw.head(f"Content-Length: {len(BODY)}", path=path)
            raw.send(BODY)
        assert [raw.answer().status for _ in range(3)] == [200, 404, 200]
    assert len(stored.kept) == 2


def test_any_number_of_requests_may_be_sent_without_waiting_where_they_do_not_come_all_at_once(
    calm, stored, wire
):
    one = POST + b"X-Header: " + b"a" * 10_000 + b"\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
    with wire(calm) as raw, ThreadPoolExecutor(1) as pool:
        sending = pool.submit(raw.send, one * 500)
        assert {raw.answer().status for _ in range(500)} == {200}
        sending.result(20)
    assert len(stored.kept) == 500


def test_a_client_that_asks_for_leave_to_send_its_body_gets_it(calm, stored, wire):
    with wire(calm) as raw:
        raw.head(f"Content-Length: {len(BODY)}", "Expect: 100-continue")
        assert raw.answer().status == 100
        raw.send(BODY)
        assert raw.answer().status == 200
    assert len(stored.kept) == 1


def test_a_client_that_asks_for_leave_in_vain_is_not_waited_for(calm, wire):
    with wire(calm) as raw:
        raw.head("Content-Length: 1000", "Expect: 100-continue", path="/v1/metrics")
        answer = raw.answer()
        assert (answer.status, answer.headers["connection"]) == (404, "close")
        assert raw.rest() == b""


@pytest.mark.parametrize("pieces", [1, 3])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_an_offer_to_speak_http_2_is_ignored_and_the_body_is_not(calm, stored, wire, chunked, pieces):
    """The HTTP client of Java's standard library offers it with every first request."""
    upgrade = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAAB")
    how = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(BODY)}"
    body = chunk(BODY) + chunk(b"") if chunked else BODY
    with wire(calm) as raw:
        for expected in range(1, 4):
            raw.head(*upgrade, how)
            for n in range(pieces):
                raw.send(body[n * len(body) // pieces : (n + 1) * len(body) // pieces])
                time.sleep(0.01)
            answer = raw.answer()
            assert (answer.status, answer.body) == (200, b"")
            assert len(stored.kept) == expected
