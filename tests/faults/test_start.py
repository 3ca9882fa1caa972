"""A server that cannot start says why, in one message, with exit code 2; one that runs is left alone."""

from __future__ import annotations

import os
import socket
import subprocess

import pytest
from otlp_requests import request, span
from processes import clean_environment, running_clickhouse, running_ledger, serve_command

from spanledger.server.cli import main

pytestmark = pytest.mark.slow


@pytest.fixture
def refused(monkeypatch, capsys):
    """Runs `spanledger serve` in this process; gives what it says where it does not start."""

    def serve(*arguments, **settings) -> str:
        command = serve_command(*arguments, **settings)
        assert main(command[command.index("serve") :]) == 2
        return capsys.readouterr().err

    for variable in set(os.environ) - set(clean_environment()):
        monkeypatch.delenv(variable)
    return serve


def test_a_second_process_on_the_folder_says_so_and_leaves_the_first_alone(tmp_path, database):
    with running_ledger(tmp_path, database) as ledger, ledger.sender() as sender:
        sent = span()
        assert sender.send(request(sent)).code == "OK"
        second = subprocess.run(
            serve_command(database),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=clean_environment(),
            cwd=tmp_path,
        )
        assert second.returncode == 2
        assert f"is in use by another process (pid {ledger.process.pid})" in second.stderr
        assert "Traceback" not in second.stderr
        again = span(sent.trace_id)
        assert sender.send(request(again)).code == "OK"
        assert set(ledger.span_ids(sent.trace_id)) == {sent.span_id.hex(), again.span_id.hex()}


@pytest.mark.parametrize("part", ["grpc", "otlp_http", "api"])
def test_a_port_that_is_taken_is_named(clickhouse, refused, part):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        said = refused(clickhouse.url, **{f"{part}_listen": listen})
    assert f"SPANLEDGER_{part.upper()}_LISTEN={listen}: cannot listen there" in said


def test_half_of_an_embedded_server_is_refused(database, refused):
    assert "--only collector needs a ClickHouse server" in refused(database, "collector")


def test_a_database_that_does_not_answer_is_named(clickhouse, refused):
    clickhouse.kill()
    assert f"127.0.0.1:{clickhouse.port}/spanledger does not answer" in refused(clickhouse.url)


def test_a_wrong_password_is_named_and_not_shown(tmp_path, refused):
    with running_clickhouse(tmp_path, 0, "default", "the-password") as guarded:
        said = refused(f"clickhouse://default:guess@127.0.0.1:{guarded.port}/spanledger")
    assert "Authentication failed" in said
    assert "guess" not in said
