"""`spanledger doctor` beside real ledgers: running, stopped, frozen, closed, and on a server."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from typing import Any, NamedTuple

import httpx
import pytest
from otlp_requests import SECOND, request, span
from processes import clean_environment, running_clickhouse, running_ledger

pytestmark = pytest.mark.slow

KEY = "the-key-of-the-ledger-81c2"
HOURS = 3600 * SECOND


class Told(NamedTuple):
    """What the doctor printed, and its exit code."""

    code: int
    document: dict[str, Any]

    def of(self, check: str) -> list[dict[str, str]]:
        return [each for each in self.document["checks"] if each["check"] == check]

    def level(self, check: str) -> str:
        levels = {each["level"] for each in self.of(check)}
        return next(level for level in ("problem", "warning", "ok") if level in levels)

    def text(self, check: str) -> str:
        return "\n".join(f"{each['found']} → {each['advice']}" for each in self.of(check))


def run(folder, *arguments: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "spanledger.server.cli", "doctor", *arguments]
    for name, value in settings.items():
        command += ["--" + name.replace("_", "-"), str(value)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env=clean_environment(), cwd=folder
    )


def ask(folder, **settings: Any) -> Told:
    finished = run(folder, "--json", **settings)
    assert not finished.stderr
    told = Told(finished.returncode, json.loads(finished.stdout))
    assert (told.code == 1) == (told.document["level"] == "problem")
    assert all(each["advice"] for each in told.document["checks"] if each["level"] != "ok")
    return told


def where(ledger) -> dict[str, str]:
    """The settings by which a ledger on free ports is found."""
    return {
        "grpc_listen": f"127.0.0.1:{ledger.ports['grpc']}",
        "api_listen": f"127.0.0.1:{ledger.ports['api']}",
    }


@pytest.fixture
def database(tmp_path) -> str:
    return f"chdb://{tmp_path / 'database'}"


ANY_PORTS = {"grpc_listen": "127.0.0.1:0", "api_listen": "127.0.0.1:0"}


def test_a_ledger_that_runs_is_asked_and_goes_on_and_one_that_stopped_is_read_and_given_back(
    tmp_path, database
):
    with running_ledger(tmp_path, database) as ledger, ledger.sender() as sender:
        assert sender.send(request(span(), resource={"service.name": "travel"})).code == "OK"
        told = ask(tmp_path, database=database, **where(ledger))
        assert told.code == 0, told
        assert f"spanledger (pid {ledger.process.pid}) is ready" in told.text("ports")
        assert f"spanledger (pid {ledger.process.pid}) receives OTLP" in told.text("ports")
        assert f"in use by spanledger (pid {ledger.process.pid}), which was asked" in told.text("database")
        assert "from service 'travel'" in told.text("spans")
        assert "nobody was refused" in told.text("senders")
        running = [(each["check"], each["level"]) for each in told.document["checks"]]
        assert sender.send(request(span())).code == "OK"
        assert ledger.stop() == 0
    told = ask(tmp_path, database=database, **where(ledger))
    assert told.code == 0, told
    assert "used by no process now" in told.text("database")
    assert "from service 'tests'" in told.text("spans")
    assert {each for each, _ in running} - {"senders"} == {each["check"] for each in told.document["checks"]}
    with running_ledger(tmp_path, database) as again, again.sender() as sender:
        assert sender.send(request(span())).code == "OK"


def test_after_kill_9_nobody_holds_the_folder(tmp_path, database):
    with running_ledger(tmp_path, database) as ledger:
        ledger.kill()
    told = ask(tmp_path, database=database, **ANY_PORTS)
    assert told.code == 0, told
    assert "used by no process now" in told.text("database")
    assert "none has ever arrived" in told.text("spans")


def test_a_ledger_at_another_address_is_named_and_its_folder_left_alone(tmp_path, database):
    with running_ledger(tmp_path, database) as ledger, ledger.sender() as sender:
        told = ask(tmp_path, database=database, **ANY_PORTS)
        assert (told.code, told.level("database")) == (1, "problem")
        assert f"in use by spanledger (pid {ledger.process.pid}), and nothing answers" in told.text(
            "database"
        )
        with running_ledger(tmp_path, f"chdb://{tmp_path / 'other'}") as other:
            told = ask(tmp_path, database=database, **where(other))
        assert told.code == 1
        assert f"SPANLEDGER_API_LISTEN is another (pid {other.process.pid})" in told.text("database")
        assert sender.send(request(span())).code == "OK"


def test_a_ledger_with_a_key_tells_only_with_the_key_and_no_key_is_printed(tmp_path, database):
    with running_ledger(tmp_path, database, api_key=KEY) as ledger:
        known = {"database": database, **where(ledger)}
        reading = httpx.post(
            f"http://127.0.0.1:{ledger.ports['api']}/api/v1/keys",
            json={"name": "of one project", "scopes": ["read"]},
            headers={"X-API-KEY": KEY},
            trust_env=False,
        ).json()["key"]
        for wrong in ({"api_key": "another-key-55aa-77bb"}, {}, {"api_key": reading}):
            told = ask(tmp_path, **known, **wrong)
            assert told.code == 1
            assert told.text("ports").count("another key") == 2
            assert told.level("database") == "ok"
            assert not told.of("prices")
        told = ask(tmp_path, **known, api_key=KEY)
        assert told.code == 0, told
        assert told.of("prices")
        # The four calls above, of which two came without a key of the ledger.
        assert "2 requests over grpc were answered unauthenticated" in told.text("senders")
        assert "authorization: Bearer KEY" in told.text("senders")
        for arguments in ((), ("--json",)):
            finished = run(tmp_path, *arguments, **known, api_key=KEY)
            assert KEY not in finished.stdout + finished.stderr


def test_a_ledger_that_hangs_is_a_problem_and_the_doctor_does_not_hang_with_it(tmp_path, database):
    with running_ledger(tmp_path, database) as ledger:
        ledger.process.send_signal(signal.SIGSTOP)
        told = ask(tmp_path, database=database, **where(ledger))
        ledger.process.send_signal(signal.SIGCONT)
    assert told.code == 1
    assert (
        told.text("ports").count(f"spanledger (pid {ledger.process.pid}) does not answer as it should") == 2
    )
    assert "no answer within" in told.text("ports")
    assert f"in use by spanledger (pid {ledger.process.pid})" in told.text("database")


@pytest.mark.parametrize("running", [True, False])
def test_services_whose_clocks_are_wrong_are_named(tmp_path, database, running):
    with running_ledger(tmp_path, database) as ledger, ledger.sender() as sender:
        for service, shift in (("ahead", 3 * HOURS), ("behind", -5 * HOURS), ("right", 0)):
            end = time.time_ns() + shift
            sent = span(start_time_unix_nano=end - SECOND, end_time_unix_nano=end)
            assert sender.send(request(sent, resource={"service.name": service})).code == "OK"
        if not running:
            ledger.stop()
        told = ask(tmp_path, database=database, **where(ledger))
    assert told.code == 1
    assert "service 'ahead': spans ended 3 h after they arrived" in told.text("clock")
    assert "service 'behind': the newest spans arrived 5 h after they ended" in told.text("clock")
    assert "right" not in told.text("clock")


def test_spans_that_were_rejected_and_requests_that_were_wrong_are_told(tmp_path, database):
    with running_ledger(tmp_path, database) as ledger, ledger.sender() as sender:
        assert sender.send(request(span(), span(span_id=b"bad"))).rejected == 1
        assert sender.send(b"\xff").code == "INVALID_ARGUMENT"
        told = ask(tmp_path, database=database, **where(ledger))
    assert told.code == 0
    assert "1 requests over grpc were answered invalid_argument" in told.text("senders")
    assert "1 spans were rejected since the start: span_id_length" in told.text("senders")


def test_a_server_is_asked_directly_whether_a_ledger_runs_or_not(tmp_path):
    with running_clickhouse(tmp_path) as clickhouse:
        told = ask(tmp_path, database=clickhouse.url, **ANY_PORTS)
        assert (told.code, told.level("database")) == (0, "warning")
        assert "has no database spanledger yet" in told.text("database")
        with running_ledger(tmp_path, clickhouse.url, "api") as api:
            told = ask(tmp_path, database=clickhouse.url, api_listen=where_api(api), grpc_listen=unused())
            assert told.code == 0, told
            assert "answers, ClickHouse 26." in told.text("database")
            assert "nothing listens there, though a ledger is running → right where it runs with --only" in (
                told.text("ports")
            )
            assert told.level("migrations") == told.level("prices") == told.level("parts") == "ok"
            assert "agrees with this machine's" in told.text("clock")
        told = ask(tmp_path, database=clickhouse.url, **ANY_PORTS)
        assert told.code == 0, told
        clickhouse.freeze()
        told = ask(tmp_path, database=clickhouse.url, **ANY_PORTS)
        assert told.code == 1
        assert "does not answer" in told.text("database")
        clickhouse.kill()
        told = ask(tmp_path, database=clickhouse.url, **ANY_PORTS)
        assert told.code == 1
        assert "Connection refused) → start it" in told.text("database")


def where_api(ledger) -> str:
    return f"127.0.0.1:{ledger.ports['api']}"


def unused() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def test_a_wrong_password_is_named_as_that_and_not_printed(tmp_path):
    with running_clickhouse(tmp_path, 0, "default", "the-password") as guarded:
        url = f"clickhouse://default:a-wrong-guess@127.0.0.1:{guarded.port}/spanledger"
        finished = run(tmp_path, database=url, **ANY_PORTS)
    assert finished.returncode == 1
    assert "refuses the user or the password → correct them in SPANLEDGER_DATABASE" in finished.stdout
    assert "guess" not in finished.stdout + finished.stderr


def test_for_a_person_it_is_one_line_a_finding_and_a_sum(tmp_path, database):
    finished = run(tmp_path, database=database, batch_bytes=2048, queue_bytes=1024, **ANY_PORTS)
    assert finished.returncode == 0
    *lines, summary = finished.stdout.splitlines()
    assert all(line.split()[0] in {"ok", "warning", "problem"} for line in lines)
    (limit,) = [line for line in lines if "BATCH_BYTES=2048" in line]
    assert limit.startswith("warning limits")
    assert limit.endswith("→ set SPANLEDGER_QUEUE_BYTES to at least 2048")
    warnings = sum(line.startswith("warning") for line in lines)
    assert summary == f"{len(lines) - warnings} ok, {warnings} warning, 0 problem"


def test_a_wrong_value_ends_with_a_problem_and_checks_what_it_still_can(tmp_path):
    told = ask(tmp_path, grpc_listen="4317")
    assert told.code == 1
    assert "is not host:port" in told.text("settings")
    assert {each["check"] for each in told.document["checks"]} == {"python", "packages", "settings"}
