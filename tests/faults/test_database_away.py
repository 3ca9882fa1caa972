"""The database is down, fails or does not answer: senders are told to come again, and nothing hangs."""

from __future__ import annotations

import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from faults.load import TRANSPORTS, Load, sent
from faults.memory import PeakMemory
from faults.relay import relay_to
from faults.watch import watching
from otlp_requests import llm_span, request, span
from processes import running_clickhouse, running_ledger, wait_until

from spanledger.schemas.settings import MIB

pytestmark = pytest.mark.slow

# Exporters give up after ten seconds in all, so an answer must come before.
EXPORTER_TIMEOUT = 9
WAITING_BYTES = 11 * MIB


@pytest.fixture(scope="module")
def failing(tmp_path_factory):
    """A database that will fail and recover."""
    with running_clickhouse(tmp_path_factory.mktemp("failing")) as clickhouse:
        yield clickhouse


@pytest.fixture(scope="module")
def ledger(tmp_path_factory, failing):
    """A ledger on it, with little room for requests that wait."""
    folder = tmp_path_factory.mktemp("ledger")
    with running_ledger(folder, failing.url, queue_bytes=WAITING_BYTES) as ledger:
        yield ledger


def test_a_database_that_is_down_is_unavailable_and_later_a_retry_stores_once(tmp_path, clickhouse):
    with running_ledger(tmp_path, clickhouse.url) as ledger, ExitStack() as opened:
        senders = [opened.enter_context(connect(ledger)) for connect in TRANSPORTS.values()]
        made = [llm_span() for _ in senders]
        clickhouse.kill()
        for sender, sent_again in zip(senders, made, strict=True):
            for _ in range(2):
                answer = sender.send(request(sent_again), timeout=EXPORTER_TIMEOUT)
                assert answer.code == "UNAVAILABLE"
                assert answer.delays
                assert all(0 < delay <= 5 for delay in answer.delays)
                # Whoever sends is not told where the database is.
                assert str(clickhouse.port) not in answer.message
                assert "http" not in answer.message.lower()
            # What can never be stored is not to be sent again, whatever the database does.
            assert sender.send(request(span(span_id=b"bad"))).code == "INVALID_ARGUMENT"
        assert ledger.ask("/readyz").status_code == 503
        assert ledger.ask("/api/v1/traces").status_code == 503
        assert ledger.ask("/healthz").status_code == 200
        with running_clickhouse(tmp_path, clickhouse.port):
            for sender, sent_again in zip(senders, made, strict=True):
                assert sender.send(request(sent_again)).code == "OK"
                tree = ledger.get(f"/api/v1/traces/{sent_again.trace_id.hex()}")
                assert (tree["span_count"], tree["cost_usd"]) == (1, "0.00021")
            assert ledger.ask("/readyz").status_code == 200


# Status and code of ClickHouse, by what is the matter; the last is a proxy in front of it.
ERRORS = {
    "it takes no more memory": (500, 241),
    "its disk is full": (500, 243),
    "it has too many parts": (500, 252),
    "it took too long": (408, 159),
    "its table is read-only": (500, 242),
    "it does not know us any more": (403, 516),
    "a proxy cannot reach it": (502, None),
}


def test_whatever_error_it_answers_senders_come_again_and_then_it_is_stored_once(ledger, failing):
    load = Load(clients=4)
    load.start(ledger)
    with ledger.sender() as sender:
        for status, code in ERRORS.values():
            failing.fail(status, code)
            answer = sender.send(request(span()), timeout=EXPORTER_TIMEOUT)
            assert answer.code == "UNAVAILABLE"
            assert answer.delays
            failing.recover()
            load.wait_for_everyone()
    load.stop()
    load.check(ledger)
    assert set(load.codes) == {"OK", "UNAVAILABLE"}


def test_what_it_stored_and_then_called_an_error_is_stored_once_after_the_retry(ledger, failing):
    with ledger.sender() as sender:
        made = llm_span()
        failing.fail(500, 210, done=True, into="spans")
        assert sender.send(request(made), timeout=EXPORTER_TIMEOUT).code == "UNAVAILABLE"
        assert ledger.span_ids(made.trace_id) == [made.span_id.hex()]
        failing.recover()
        assert sender.send(request(made)).code == "OK"
        tree = ledger.get(f"/api/v1/traces/{made.trace_id.hex()}")
        assert (tree["span_count"], tree["cost_usd"]) == (1, "0.00021")


HANGS_S = 30
EXPORTERS = 500
PROBE_TIMEOUT = 3


def test_it_hangs_for_30_s_with_500_exporters_waiting(ledger, failing):
    """New requests are refused while the others wait; memory is bounded, and health and metrics answer all
    the time. After it everybody's request is stored once."""
    traces = [secrets.token_bytes(16) for _ in range(5)]
    waiting = [sent(traces[n % 5], 1, text_bytes=20_000).body for n in range(EXPORTERS)]
    one_more = sent(secrets.token_bytes(16), 1, text_bytes=4 * MIB).body
    assert WAITING_BYTES - 2 * MIB < sum(map(len, waiting)) < WAITING_BYTES
    codes: set[str] = set()
    stop = threading.Event()
    with ThreadPoolExecutor(EXPORTERS) as threads, ExitStack() as opened:
        senders = [opened.enter_context(connect(ledger)) for connect in TRANSPORTS.values()]
        opened.callback(stop.set)

        def send_until_stored(n: int) -> None:
            while not stop.is_set():
                answer = senders[n % len(senders)].send(waiting[n])
                codes.add(answer.code)
                if answer.code == "OK":
                    return
                stop.wait(1)

        assert senders[0].send(request(span())).code == "OK"
        memory = PeakMemory(ledger.process.pid)
        failing.freeze()
        opened.callback(failing.thaw)
        thaws_at = time.monotonic() + HANGS_S
        with watching(ledger, "/healthz", "/metrics") as watched:
            exporters = [threads.submit(send_until_stored, n) for n in range(EXPORTERS)]
            wait_until(lambda: ledger.metric("spanledger_waiting_bytes") >= sum(map(len, waiting)), 4)
            for sender in senders:
                refused = sender.send(one_more)
                assert refused.code == "UNAVAILABLE"
                assert refused.delays
            # Nobody who waits has an answer yet, so these did not wait with them.
            assert not codes
            while time.monotonic() < thaws_at:
                for sender in senders:
                    assert sender.send(one_more).code == "UNAVAILABLE"
                time.sleep(0.1)
            failing.thaw()
            for exporter in exporters:
                exporter.result(30)
        # On a machine with other work one of 500 threads may give up first; it comes again like the others.
        assert {"OK", "UNAVAILABLE"} <= codes <= {"OK", "UNAVAILABLE", "DEADLINE_EXCEEDED"}
        assert watched.statuses() == {200}
        assert watched.slowest().seconds < PROBE_TIMEOUT
        # Much more was offered: 500 requests again and again, and hundreds of MiB that were refused.
        assert memory.growth() < 256 * MIB
        listed = ledger.get("/api/v1/traces", limit=500)["traces"]
        counts = {trace["trace_id"]: trace["span_count"] for trace in listed}
        assert [counts[trace.hex()] for trace in traces] == [EXPORTERS / 5] * 5


def test_after_connections_that_went_silent_new_ones_are_used(tmp_path, clickhouse):
    """A firewall that forgot a connection: nothing comes any more, not even its end."""
    with relay_to(clickhouse.port) as relay:
        database = f"clickhouse://default@127.0.0.1:{relay.port}/spanledger"
        with running_ledger(tmp_path, database, store_timeout_s=1) as ledger, ledger.sender() as sender:
            assert sender.send(request(span())).code == "OK"
            relay.silence()
            assert sender.send(request(span()), timeout=EXPORTER_TIMEOUT).code == "UNAVAILABLE"
            wait_until(lambda: sender.send(request(span()), timeout=EXPORTER_TIMEOUT).code == "OK", 15)
