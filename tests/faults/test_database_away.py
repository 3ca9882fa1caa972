"""The database is down or does not answer: senders are told to come again, and nothing hangs."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from otlp_requests import llm_span, request, span
from processes import clean_environment, running_clickhouse, running_ledger, serve_command, wait_until

pytestmark = pytest.mark.slow

# Exporters give up after ten seconds in all, so an answer must come before.
EXPORTER_TIMEOUT = 9


@pytest.fixture
def clickhouse(tmp_path):
    with running_clickhouse(tmp_path) as clickhouse:
        yield clickhouse


class Wire:
    """Carries connections to a port; those there are can be made to carry nothing more."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._silent: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def silence(self) -> None:
        self._silent |= {end for pair in self._pairs for end in pair}

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for pair in self._pairs:
            for end in pair:
                end.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
                self._pairs.append((near, far))
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65_536):
                if one not in self._silent:
                    other.sendall(data)
            other.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def going_silent(port: int):
    wire = Wire(port)
    try:
        yield wire
    finally:
        wire.close()


def test_a_database_that_is_down_is_unavailable_and_later_a_retry_stores_once(tmp_path, clickhouse):
    with running_ledger(tmp_path, clickhouse.url) as ledger, ledger.sender() as sender:
        assert sender.send(request(span())).code == "OK"
        clickhouse.kill()
        sent = llm_span()
        for _ in range(2):
            answer = sender.send(request(sent), timeout=EXPORTER_TIMEOUT)
            assert answer.code == "UNAVAILABLE"
            assert len(answer.delays) == 2
            assert 0 < answer.delays[0] == answer.delays[1] <= 5
        with running_clickhouse(tmp_path, clickhouse.port):
            assert sender.send(request(sent)).code == "OK"
            tree = ledger.get(f"/api/v1/traces/{sent.trace_id.hex()}")
            assert (tree["span_count"], tree["cost_usd"]) == (1, "0.00021")


def test_a_sender_is_not_told_where_the_database_is(tmp_path, clickhouse):
    with running_ledger(tmp_path, clickhouse.url) as ledger, ledger.sender() as sender:
        clickhouse.kill()
        message = sender.send(request(span()), timeout=EXPORTER_TIMEOUT).message
        assert str(clickhouse.port) not in message
        assert "http" not in message.lower()


def test_a_request_with_bad_data_is_invalid_also_while_the_database_is_down(tmp_path, clickhouse):
    with running_ledger(tmp_path, clickhouse.url) as ledger, ledger.sender() as sender:
        clickhouse.kill()
        assert sender.send(b"\xff\xff").code == "INVALID_ARGUMENT"
        assert sender.send(request(span(span_id=b"bad"))).code == "INVALID_ARGUMENT"


def test_a_database_that_hangs_is_unavailable_for_everybody_and_afterwards_all_goes_on(tmp_path, clickhouse):
    with running_ledger(tmp_path, clickhouse.url, store_timeout_s=1, queue_bytes=100_000) as ledger:

        def send(_: int) -> str:
            with ledger.sender() as sender:
                body = request(span(attributes={"text": "x" * 10_000}))
                return sender.send(body, timeout=EXPORTER_TIMEOUT).code

        clickhouse.freeze()
        with ThreadPoolExecutor(40) as pool:
            assert set(pool.map(send, range(40))) == {"UNAVAILABLE"}
            clickhouse.thaw()
            # The inserts that hung end first; until then their bytes fill the budget.
            wait_until(lambda: send(0) == "OK", 20)
            assert set(pool.map(send, range(5))) == {"OK"}


def test_sigterm_ends_a_server_in_time_also_while_the_database_hangs(tmp_path, clickhouse):
    with running_ledger(tmp_path, clickhouse.url, store_timeout_s=1, shutdown_timeout_s=3) as ledger:
        clickhouse.freeze()
        with ledger.sender() as sender:
            assert sender.send(request(span()), timeout=EXPORTER_TIMEOUT).code == "UNAVAILABLE"
        assert ledger.stop(timeout=10) == 0


def test_after_connections_that_went_silent_new_ones_are_used(tmp_path, clickhouse):
    """A firewall that forgot a connection: nothing comes any more, not even its end."""
    with going_silent(clickhouse.port) as wire:
        database = f"clickhouse://default@127.0.0.1:{wire.port}/spanledger"
        with running_ledger(tmp_path, database, store_timeout_s=1) as ledger, ledger.sender() as sender:
            assert sender.send(request(span())).code == "OK"
            wire.silence()
            assert sender.send(request(span()), timeout=EXPORTER_TIMEOUT).code == "UNAVAILABLE"
            wait_until(lambda: sender.send(request(span()), timeout=EXPORTER_TIMEOUT).code == "OK", 15)


def test_the_api_says_that_the_database_is_away_and_answers_again_after_its_return(tmp_path, clickhouse):
    with running_ledger(tmp_path, clickhouse.url, "api") as api:
        assert api.ask("/readyz").status_code == 200
        clickhouse.kill()
        assert api.ask("/readyz").status_code == 503
        assert api.ask("/api/v1/traces").status_code == 503
        with running_clickhouse(tmp_path, clickhouse.port):
            assert api.ask("/readyz").status_code == 200
            assert api.ask("/api/v1/traces").status_code == 200


def test_a_server_whose_database_does_not_answer_says_so_and_does_not_start(tmp_path, clickhouse):
    clickhouse.kill()
    refused = subprocess.run(
        serve_command(clickhouse.url),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=clean_environment(),
    )
    assert refused.returncode == 2
    assert f"127.0.0.1:{clickhouse.port}/spanledger does not answer" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_wrong_password_is_named_and_not_shown(tmp_path):
    with running_clickhouse(tmp_path, 0, "default", "the-password") as guarded:
        refused = subprocess.run(
            serve_command(f"clickhouse://default:guess@127.0.0.1:{guarded.port}/spanledger"),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=clean_environment(),
        )
    assert refused.returncode == 2
    assert "Authentication failed" in refused.stderr
    assert "guess" not in refused.stderr
    assert "Traceback" not in refused.stderr
