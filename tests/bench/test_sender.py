"""The sender: every span is acknowledged once, what is refused is sent again, and the figures add up."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from bench.requests import Requests
from bench.sender import Load, percentiles, report, send, tenths
from bench.transports import EXPORT, Refused, Rejected, connection
from bench.workload import Workload

REQUESTS = Requests(Workload(spans=640, spans_per_request=16, distinct=64))


class Server:
    """A gRPC server that answers the first requests with `answers`, the others with success."""

    def __init__(self, *answers) -> None:
        self._answers = list(answers)
        self.bodies: Counter[bytes] = Counter()

    async def send(self, load: Load):
        server = grpc.aio.server()
        service, method = EXPORT.strip("/").split("/")
        handlers = {method: grpc.unary_unary_rpc_method_handler(self._export)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            return await send(f"127.0.0.1:{port}", REQUESTS, load)
        finally:
            await server.stop(None)

    async def _export(self, body: bytes, context) -> bytes:
        answer = self._answers.pop() if self._answers else b""
        if isinstance(answer, grpc.StatusCode):
            await context.abort(answer, "not now")
        self.bodies[body] += 1
        return answer


@pytest.mark.parametrize("load", [Load(), Load(connections=1, in_flight=1), Load(connections=3, in_flight=5)])
def test_every_request_is_sent_once(load):
    server = Server()
    seen = asyncio.run(server.send(load))
    assert server.bodies == Counter(REQUESTS)
    assert len(seen.acknowledged_at) == len(seen.answered_in) == 40
    assert (seen.refused, seen.replays) == (Counter(), 0)


def test_what_is_refused_is_sent_again_until_it_is_acknowledged():
    server = Server(grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAVAILABLE)
    seen = asyncio.run(server.send(Load(connections=1, in_flight=4)))
    assert server.bodies == Counter(REQUESTS)
    assert seen.refused == {"unavailable": 2}
    assert len(seen.acknowledged_at) == 40


@pytest.mark.parametrize("share", [0.1, 0.25, 1.0])
def test_replays_are_the_share_asked_for_and_count_apart(share):
    server = Server()
    seen = asyncio.run(server.send(Load(replays=share)))
    assert seen.replays == round(40 * share)
    assert Counter(server.bodies.values()) == Counter({2: seen.replays, 1: 40 - seen.replays}) - Counter()
    assert len(seen.acknowledged_at) == 40


def test_at_a_rate_requests_are_sent_when_they_are_due_and_answers_count_from_then():
    server = Server(grpc.StatusCode.UNAVAILABLE)
    seen = asyncio.run(server.send(Load(connections=2, in_flight=2, rate=1600.0)))
    assert server.bodies == Counter(REQUESTS)
    # 40 requests, a hundredth of a second apart; the refused one waits a tenth.
    assert max(seen.acknowledged_at) - min(seen.acknowledged_at) > 0.28
    assert max(seen.answered_in) >= 0.1


def test_requests_that_wait_for_a_busy_connection_are_late_not_quick():
    server = Server(grpc.StatusCode.UNAVAILABLE)
    seen = asyncio.run(server.send(Load(connections=1, in_flight=1, rate=160_000.0)))
    # All were due within the first four milliseconds, and the first one took a tenth of a second.
    assert sorted(seen.answered_in)[1] > 0.09


@pytest.mark.parametrize("answer", ["partial", grpc.StatusCode.INVALID_ARGUMENT])
def test_a_rejected_span_ends_the_run(answer):
    partial = ExportTraceServiceResponse()
    partial.partial_success.rejected_spans = 3
    server = Server(partial.SerializeToString() if answer == "partial" else answer)
    with pytest.raises(ExceptionGroup) as raised:
        asyncio.run(server.send(Load()))
    assert raised.group_contains(Rejected)


@pytest.mark.parametrize("protocol", ["grpc", "http-protobuf", "http-json"])
def test_where_nobody_listens_is_a_refusal(protocol):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    async def sent() -> None:
        async with connection(protocol, f"127.0.0.1:{port}", 5.0) as one:
            await one.send(b"")

    with pytest.raises(Refused):
        asyncio.run(sent())


def test_tenths_of_a_steady_run_are_alike():
    ends = [n / 10 for n in range(1, 101)]
    assert tenths(ends, 512) == pytest.approx([5120.0] * 10)


def test_tenths_show_a_run_that_sinks():
    fast = [n / 100 for n in range(1, 51)]
    slow = [0.5 + n / 10 for n in range(1, 51)]
    rates = tenths(fast + slow, 1)
    assert rates[:5] == pytest.approx([100.0] * 5)
    assert rates[5:] == pytest.approx([10.0] * 5)


def test_percentiles_are_in_milliseconds():
    answers = [n / 1000 for n in range(1, 101)]
    assert percentiles(answers) == {"p50": 50.5, "p95": 95.05, "p99": 99.01, "most": 100.0}
    assert percentiles([0.25]) == {"p50": 250.0, "p95": 250.0, "p99": 250.0, "most": 250.0}


def test_a_report_counts_acknowledged_spans_from_the_start_of_the_run():
    seen = asyncio.run(Server().send(Load(connections=1, in_flight=1)))
    seen.acknowledged_at = [100.5 + n / 10 for n in range(40)]
    figures = report(seen, spans_per_request=16, started=100.0, cpu_s=0.5)
    assert (figures["spans"], figures["seconds"]) == (640, 4.4)
    assert figures["spans_per_second"] == pytest.approx(640 / 4.4, abs=0.1)
    assert [second for second, _ in figures["over_time"]] == [1, 2, 3, 4, 5]
    assert sum(spans for _, spans in figures["over_time"]) == 640


def test_a_report_has_the_answers_of_each_ten_seconds():
    seen = asyncio.run(Server().send(Load(connections=1, in_flight=1)))
    seen.acknowledged_at = [100.5 + n for n in range(40)]
    seen.answered_in = [0.1] * 20 + [0.2] * 20
    figures = report(seen, spans_per_request=16, started=100.0, cpu_s=0.5)
    tens = [[10, 100.0], [20, 100.0], [30, 200.0], [40, 200.0]]
    assert figures["answer_ms_over_time"] == [[end, took, took] for end, took in tens]
