"""The end of a server, asked for or not: what it acknowledged is stored."""

from __future__ import annotations

import subprocess

import pytest
from otlp_requests import llm_span, request, span
from processes import clean_environment, running_clickhouse, running_ledger, serve_command, wait_until

pytestmark = pytest.mark.slow


def database(folder) -> str:
    return f"chdb://{folder / 'database'}"


def test_after_kill_9_under_load_every_acknowledged_span_is_there_and_nothing_needs_repair(tmp_path, load):
    loads = []
    for _ in range(2):
        with running_ledger(tmp_path, database(tmp_path)) as ledger:
            for before in loads:
                before.check(ledger)
            under_load = load(ledger)
            loads.append(under_load)
            under_load.start()
            wait_until(lambda load=under_load: load.acknowledgements() > 200, 30)
            ledger.kill()
            under_load.stop()
            assert under_load.codes == {"OK", "UNAVAILABLE"}
    with running_ledger(tmp_path, database(tmp_path)) as ledger:
        for before in loads:
            before.check(ledger)
        with ledger.sender() as sender:
            assert sender.send(request(span())).code == "OK"


def test_sigterm_under_load_ends_the_server_in_time_with_every_acknowledged_span_stored(tmp_path, load):
    with running_ledger(tmp_path, database(tmp_path)) as ledger:
        under_load = load(ledger)
        under_load.start()
        wait_until(lambda: under_load.acknowledgements() > 200, 30)
        assert ledger.stop(timeout=10) == 0
        under_load.stop()
        # The last answers may be of a connection that is being closed.
        assert under_load.codes <= {"OK", "UNAVAILABLE", "CANCELLED"}
    with running_ledger(tmp_path, database(tmp_path)) as again:
        under_load.check(again)


def test_a_collector_that_was_told_to_stop_stores_nothing_after_its_end(tmp_path, load):
    """On a server, where another process can look: no insert is left running behind."""
    with running_clickhouse(tmp_path) as clickhouse, running_ledger(tmp_path, clickhouse.url, "api") as api:
        with running_ledger(tmp_path, clickhouse.url, "collector") as collector:
            under_load = load(collector)
            under_load.start()
            wait_until(lambda: under_load.acknowledgements() > 100, 30)
            assert collector.stop(timeout=10) == 0
        counts = [sum(len(api.span_ids(trace)) for trace in under_load.sent) for _ in range(3)]
        under_load.stop()
        under_load.check(api)
        assert len(set(counts)) == 1


def test_kill_9_of_the_database_server_under_load_loses_nothing_that_was_acknowledged(tmp_path, load):
    with running_clickhouse(tmp_path) as clickhouse:
        port = clickhouse.port
        with running_ledger(tmp_path, clickhouse.url) as ledger:
            under_load = load(ledger)
            under_load.start()
            wait_until(lambda: under_load.acknowledgements() > 100, 30)
            clickhouse.kill()
            under_load.stop()
            assert under_load.codes == {"OK", "UNAVAILABLE"}
            with running_clickhouse(tmp_path, port):
                under_load.check(ledger)


def test_a_request_sent_again_after_a_restart_is_still_one_span_with_one_cost(tmp_path):
    sent = llm_span()
    for _ in range(2):
        with running_ledger(tmp_path, database(tmp_path)) as ledger, ledger.sender() as sender:
            assert sender.send(request(sent)).code == "OK"
            tree = ledger.get(f"/api/v1/traces/{sent.trace_id.hex()}")
            assert (tree["span_count"], tree["input_tokens"], tree["cost_usd"]) == (1, 1000, "0.00021")


def test_sigint_ends_the_server_as_sigterm_does(tmp_path):
    with running_ledger(tmp_path, database(tmp_path)) as ledger:
        ledger.process.send_signal(2)
        assert ledger.process.wait(10) == 0
        assert '"event": "stopped"' in ledger.log.read_text()


def test_a_second_process_on_the_folder_says_so_and_leaves_the_first_alone(tmp_path):
    with running_ledger(tmp_path, database(tmp_path)) as ledger, ledger.sender() as sender:
        sent = span()
        assert sender.send(request(sent)).code == "OK"
        second = run(tmp_path, serve_command(database(tmp_path)))
        assert second.returncode == 2
        assert "is in use by another process" in second.stderr
        assert "Traceback" not in second.stderr
        again = span(sent.trace_id)
        assert sender.send(request(again)).code == "OK"
        assert set(ledger.span_ids(sent.trace_id)) == {sent.span_id.hex(), again.span_id.hex()}


def test_half_of_an_embedded_server_is_refused(tmp_path):
    refused = run(tmp_path, serve_command(database(tmp_path), "collector"))
    assert refused.returncode == 2
    assert "--only collector needs a ClickHouse server" in refused.stderr


def test_a_port_that_is_taken_is_named(tmp_path):
    with running_ledger(tmp_path, database(tmp_path)) as ledger:
        for flag, part in (("grpc_listen", "grpc"), ("api_listen", "api")):
            taken = f"127.0.0.1:{ledger.ports[part]}"
            second = run(tmp_path, serve_command(f"chdb://{tmp_path / 'other'}", **{flag: taken}))
            assert second.returncode == 2
            assert f"SPANLEDGER_{flag.upper()}={taken}" in second.stderr
            assert "Traceback" not in second.stderr


def run(folder, command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=clean_environment(), cwd=folder
    )
