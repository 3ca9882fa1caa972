"""`spanledger projects` and `spanledger keys`: of a ledger that runs through its API, of one that does not
directly; a key is printed once.
"""

from __future__ import annotations

import re
import subprocess
import sys

import httpx
import pytest
from otlp_requests import request, span
from processes import clean_environment, running_ledger

from spanledger.schemas.access import SCOPES
from spanledger.server.access import arguments

ROOT = "the-root-key-of-this-ledger"
KEY = re.compile(r"sl_([0-9a-f]{12})_[0-9a-f]{64}")


@pytest.fixture
def database(tmp_path):
    return f"chdb://{tmp_path / 'database'}"


@pytest.fixture
def run(tmp_path, database):
    """Run `spanledger` in a process of its own; what it prints. With `code` 2: its one line of complaint."""

    def run(*words, code=0, **variables):
        environment = clean_environment() | {"SPANLEDGER_DATABASE": database} | variables
        finished = subprocess.run(
            [sys.executable, "-m", "spanledger.server.cli", *words],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert finished.returncode == code, finished
        if code:
            assert finished.stdout == ""
            assert len(finished.stderr.splitlines()) == 1
        return finished.stderr if code else finished.stdout

    return run


def test_the_scopes_are_those_of_the_server():
    assert arguments.SCOPES == SCOPES


@pytest.mark.slow
def test_keys_of_a_ledger_that_does_not_run_open_it_when_it_does(tmp_path, database, run):
    assert "there is no ledger at" in run("keys", "list", code=2)
    run("projects", "create", "alpha", "--description", "of the [first] team")
    assert "of the [first] team" in run("projects", "list")
    assert "there is a project alpha already" in run("projects", "create", "alpha", code=2)
    assert "there is no project tpyo" in run(
        "keys", "create", "ci", "--scope", "ingest", "--project", "tpyo", code=2
    )
    assert run("keys", "list").startswith("No keys.")
    shown = run("keys", "create", "ci", "--scope", "ingest", "--project", "alpha")
    sending = KEY.search(shown)[0]
    assert f"OTEL_EXPORTER_OTLP_HEADERS=x-api-key={sending}\n" in shown
    assert "SPANLEDGER_API_KEY" not in shown
    reading = KEY.search(run("keys", "create", "page", "--scope", "read", "--project", "alpha"))[0]
    gone = KEY.search(run("keys", "create", "old", "--scope", "admin"))
    assert "revoked" in run("keys", "revoke", gone[1])
    assert "there is no key" in run("keys", "revoke", "nothing", code=2)
    with running_ledger(tmp_path, database) as ledger:
        api = f"http://127.0.0.1:{ledger.ports['api']}"
        with ledger.sender(metadata=(("x-api-key", sending),)) as sender:
            sent = span()
            assert sender.send(request(sent)).code == "OK"
        for key, status in ((None, 401), (gone[0], 401), (sending, 403), (reading, 200)):
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            answer = httpx.get(f"{api}/api/v1/traces/{sent.trace_id.hex()}", headers=headers, trust_env=False)
            assert answer.status_code == status
    listed = run("keys", "list", "--project", "alpha")
    assert [line.split()[1] for line in listed.splitlines()[1:]] == ["page", "ci"]
    assert not KEY.search(listed)


@pytest.mark.slow
def test_projects_and_keys_of_a_ledger_that_runs_go_through_its_api(tmp_path, database, run):
    with running_ledger(tmp_path, database, api_key=ROOT) as ledger:
        where = {"SPANLEDGER_API_LISTEN": f"127.0.0.1:{ledger.ports['api']}"}
        assert "with the right key" in run("keys", "list", code=2, **where)
        by_root = where | {"SPANLEDGER_API_KEY": ROOT}
        assert "alpha" in run("projects", "create", "alpha", **by_root)
        made = run("keys", "create", "chief", "--scope", "admin", "--project", "alpha", **by_root)
        by_admin = where | {"SPANLEDGER_API_KEY": KEY.search(made)[0]}
        assert f"Authorization: Bearer {by_admin['SPANLEDGER_API_KEY']}\n" in made
        expires = ("--expires", "2100-01-31T00:00:00Z")
        made = run("keys", "create", "ci", "--scope", "ingest", "--scope", "read", *expires, **by_admin)
        assert "until 2100-01-31" in made
        assert "ingest, read" in run("keys", "list", **by_admin)
        assert "revoked" in run(
            "keys", "revoke", KEY.search(made)[1], "--api", ledger_url(ledger), **by_admin
        )
        assert "it needs the key of the setting" in run("projects", "create", "beta", code=2, **by_admin)
        assert [line.split()[0] for line in run("projects", "list", **by_admin).splitlines()] == [
            "project",
            "alpha",
        ]


def ledger_url(ledger):
    return f"http://127.0.0.1:{ledger.ports['api']}"


def test_what_is_wrong_with_an_argument_is_named(run):
    assert "not the name of a project" in run("projects", "create", "a/b", code=2)
    assert "expires_at: not a time" in run(
        "keys", "create", "n", "--scope", "read", "--expires", "soon", code=2
    )
    assert "name: " in run("keys", "create", "x" * 201, "--scope", "read", code=2)
