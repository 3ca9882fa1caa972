"""Clients that are many, slow, gone or hostile: everybody else is served, and memory is bounded."""

from __future__ import annotations

import contextlib
import gzip
import secrets
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice

import httpx
import pytest
from faults.load import TRANSPORTS, Sent, sent
from faults.memory import PeakMemory
from faults.relay import Relay, relay_to
from otlp_requests import request, span
from otlp_sender import Sender
from processes import Ledger, running_ledger, wait_until

from spanledger.schemas.settings import MIB, Settings

pytestmark = pytest.mark.slow

LIMIT = Settings().max_request_bytes


@pytest.fixture(scope="module")
def ledger(tmp_path_factory) -> Iterator[Ledger]:
    folder = tmp_path_factory.mktemp("clients")
    with running_ledger(folder, f"chdb://{folder / 'database'}") as ledger:
        yield ledger


def test_32_threads_of_100_requests_each_are_all_acknowledged_and_counted_exactly(ledger):
    traces = [secrets.token_bytes(16) for _ in range(32)]

    def send(trace_id, connect) -> list[str]:
        with connect(ledger) as sender:
            return [sender.send(sent(trace_id, 1).body).code for _ in range(100)]

    with ThreadPoolExecutor(32) as threads:
        codes = threads.map(send, traces, islice(cycle(TRANSPORTS.values()), 32))
        assert Counter(code for answers in codes for code in answers) == {"OK": 3200}
    for trace_id in traces:
        stored = ledger.span_ids(trace_id)
        assert len(stored) == len(set(stored)) == 100


def test_a_gzip_bomb_is_refused_for_good_and_not_unpacked_beyond_the_limit(ledger):
    with ledger.sender(gzip=True) as sender:
        assert sender.send(request(span())).code == "OK"
        memory = PeakMemory(ledger.process.pid)
        answer = sender.send(bytes(200 * MIB))
        assert answer.code == "RESOURCE_EXHAUSTED"
        assert answer.delays == []
        assert memory.growth() < 2 * LIMIT
        assert sender.send(request(span())).code == "OK"


def test_a_gzip_bomb_over_http_is_too_large_and_not_unpacked_beyond_the_limit(ledger):
    bomb = gzip.compress(bytes(200 * MIB))
    headers = {"content-type": "application/x-protobuf", "content-encoding": "gzip"}
    memory = PeakMemory(ledger.process.pid)
    answer = httpx.post(
        f"{ledger.otlp_http}/v1/traces", content=bomb, headers=headers, trust_env=False, timeout=30
    )
    assert answer.status_code == 413
    assert memory.growth() < 2 * LIMIT


HALF_WAY = 100
BODY = 200_000


@contextlib.contextmanager
def half_way(ledger: Ledger) -> Iterator[tuple[Relay, bytes]]:
    """Clients that sent the first half of a request and then nothing more; and the trace they send of."""
    trace_id = secrets.token_bytes(16)
    bodies = [sent(trace_id, 1, text_bytes=BODY).body for _ in range(HALF_WAY)]
    with ThreadPoolExecutor(HALF_WAY) as threads, relay_to(ledger.ports["grpc"], first=BODY // 2) as relay:

        def send(body: bytes) -> None:
            with Sender(relay.port) as sender:
                sender.send(body)

        for body in bodies:
            threads.submit(send, body)
        wait_until(lambda: relay.stalled() == HALF_WAY, 30)
        yield relay, trace_id


def test_clients_that_stop_half_way_or_vanish_there_keep_nobody_waiting_and_leave_nothing(ledger):
    memory = PeakMemory(ledger.process.pid)
    with ledger.sender() as sender:
        with half_way(ledger) as (relay, trace_id):
            assert sender.send(request(span())).code == "OK"
            assert ledger.ask("/healthz").status_code == 200
            relay.cut()
            assert sender.send(request(span())).code == "OK"
        assert ledger.span_ids(trace_id) == []
    assert memory.growth() < 4 * HALF_WAY * BODY


def test_clients_that_stop_half_way_do_not_keep_it_from_its_end(tmp_path, database):
    with (
        running_ledger(tmp_path, database, shutdown_timeout_s=2) as ledger,
        half_way(ledger),
    ):
        assert ledger.stop(timeout=10) == 0


def test_clients_that_hang_up_before_their_answer_cost_nobody_else_theirs(ledger):
    """Their spans may be stored; sent again they are stored once."""
    made = [sent(secrets.token_bytes(16), 1) for _ in range(100)]

    def send(one: Sent, **how) -> str:
        with ledger.sender() as sender:
            return sender.send(one.body, **how).code

    with ThreadPoolExecutor(20) as threads:
        gone = [threads.submit(send, one, timeout=0.02) for one in made]
        stays = [threads.submit(send, sent(secrets.token_bytes(16), 1)) for _ in range(20)]
        assert {answer.result() for answer in stays} == {"OK"}
        assert "DEADLINE_EXCEEDED" in {answer.result() for answer in gone}
        assert set(threads.map(send, made)) == {"OK"}
    for one in made:
        assert set(ledger.span_ids(one.trace_id)) == one.span_ids
