"""SIGTERM: not ready, no new work, what is under way is answered, out in time, and nothing is lost."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
from faults.load import Load
from otlp_requests import request, span
from processes import running_ledger, wait_until

pytestmark = pytest.mark.slow

EXIT_WITHIN_S = 10


def test_told_to_stop_under_load_it_ends_in_time_and_every_acknowledged_span_is_stored(tmp_path, database):
    load = Load()
    with running_ledger(tmp_path, database) as ledger:
        load.start(ledger)
        load.wait_for(200)
        assert ledger.stop(EXIT_WITHIN_S) == 0
        load.stop()
        # The last answer may be of a connection that is being closed.
        assert set(load.codes) <= {"OK", "UNAVAILABLE", "CANCELLED"}
    with running_ledger(tmp_path, database) as again:
        load.check(again)
        # SIGINT is the same.
        again.process.send_signal(signal.SIGINT)
        assert again.process.wait(EXIT_WITHIN_S) == 0
        assert '"event": "stopped"' in again.log.read_text()


def test_it_is_not_ready_first_then_answers_what_is_under_way_and_takes_nothing_new(tmp_path, clickhouse):
    """The database is halted, so that what is under way stays so until all of this was looked at."""
    with (
        running_ledger(tmp_path, clickhouse.url) as ledger,
        ledger.sender() as sender,
        ledger.sender() as late,
        ThreadPoolExecutor(1) as thread,
    ):
        assert late.send(request(span())).code == "OK"
        assert ledger.ask("/readyz").status_code == 200
        clickhouse.freeze()
        body = request(span())
        under_way = thread.submit(sender.send, body)
        wait_until(lambda: ledger.metric("spanledger_waiting_bytes") > 0, 10)
        ledger.process.terminate()
        wait_until(lambda: ledger.ask("/readyz").status_code == 503, 3)
        assert late.send(request(span())).code == "UNAVAILABLE"
        assert ledger.ask("/healthz").status_code == 200
        assert not under_way.done()
        clickhouse.thaw()
        assert under_way.result().code == "OK"
        assert ledger.process.wait(EXIT_WITHIN_S) == 0


def test_a_collector_that_was_told_to_stop_stores_nothing_after_its_end(tmp_path, clickhouse):
    """On a server, where another process can look: no insert is left running behind."""
    load = Load()
    with running_ledger(tmp_path, clickhouse.url, "api") as api:
        with running_ledger(tmp_path, clickhouse.url, "collector") as collector:
            load.start(collector)
            load.wait_for(100)
            assert collector.stop(EXIT_WITHIN_S) == 0
        counts = [load.stored(api) for _ in range(3)]
        load.stop()
        load.check(api)
        assert len(set(counts)) == 1


def test_it_ends_in_its_time_also_while_the_database_hangs(tmp_path, clickhouse):
    """With a query under way and an insert; the sender is told to come again, not left without an answer."""
    with (
        running_ledger(tmp_path, clickhouse.url, shutdown_timeout_s=5) as ledger,
        ledger.sender() as sender,
        ThreadPoolExecutor(2) as threads,
    ):
        clickhouse.freeze()
        threads.submit(ledger.ask, "/api/v1/traces")
        insert = threads.submit(sender.send, request(span()))
        wait_until(lambda: ledger.metric("spanledger_waiting_bytes") > 0, 10)
        assert ledger.stop(EXIT_WITHIN_S) == 0
        assert insert.result().code == "UNAVAILABLE"
