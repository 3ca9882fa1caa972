"""server.checks.database: folders and servers that cannot be used, without opening any of them."""

from __future__ import annotations

import fcntl
import os
import socket
import time

import pytest

from spanledger.query_api.times import format_time
from spanledger.schemas.api import DatabaseState, LedgerState
from spanledger.schemas.settings import Settings
from spanledger.server.checks import database
from spanledger.server.checks.database import check_database
from spanledger.server.checks.finding import worst
from spanledger.server.checks.ports import Ports


def checked(url: object, ports: Ports | None = None):
    return check_database(Settings(database=str(url)), ports or Ports([]))


def told(found) -> str:
    return "\n".join(f"{each.level}: {each.found} → {each.advice}" for each in found.findings)


def test_a_folder_that_is_not_there_is_not_made_by_looking(tmp_path):
    found = checked(f"chdb://{tmp_path}/a/b")
    assert worst(found.findings) == "ok"
    assert "not there yet; `spanledger serve` makes it" in told(found)
    assert "GiB free" in told(found)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_stays_empty(tmp_path):
    found = checked(f"chdb://{tmp_path}")
    assert worst(found.findings) == "ok"
    assert "empty; `spanledger serve` makes the tables" in told(found)
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("x")
    assert "problem" in told(checked(f"chdb://{tmp_path}/file"))
    assert "not a folder → choose another" in told(checked(f"chdb://{tmp_path}/file"))


def test_a_folder_that_may_not_be_made_or_written_is_a_problem(tmp_path, monkeypatch):
    """By what the system says of access: tests may run as root, who may do anything."""
    (tmp_path / "metadata").mkdir()
    monkeypatch.setattr(os, "access", lambda *_: False)
    for path, words in (("/new", "may not make it in"), ("", "this user may not write there")):
        found = checked(f"chdb://{tmp_path}{path}")
        assert worst(found.findings) == "problem"
        assert words in told(found)


def test_a_folder_of_another_user_is_not_opened(tmp_path, monkeypatch):
    (tmp_path / "metadata").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    found = checked(f"chdb://{tmp_path}")
    assert "warning" in told(found)
    assert "belongs to another user, so it was not opened → run this command as" in told(found)
    assert [path.name for path in tmp_path.iterdir()] == ["metadata"]


@pytest.fixture
def held(tmp_path):
    """A folder that this process has locked, as a ledger does."""
    with (tmp_path / "spanledger.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(f"pid {os.getpid()}\n")
        lock.flush()
        yield tmp_path


def ledger(pid: int) -> LedgerState:
    state = DatabaseState(
        clickhouse_version="26.9.1",
        time=format_time(time.time_ns()),
        migrations=[],
        prices=None,
        parts=None,
        disks=None,
        services=None,
    )
    return LedgerState(version="0.1.0", pid=pid, embedded=True, database=state)


def test_a_folder_in_use_is_known_by_the_ledger_that_answers(held):
    state = ledger(os.getpid())
    found = checked(f"chdb://{held}", Ports([], answers=True, state=state))
    assert worst(found.findings) == "ok"
    assert f"(pid {os.getpid()}), which was asked" in told(found)
    assert found.state is state.database


@pytest.mark.parametrize(
    ("ports", "level", "words"),
    [
        (Ports([]), "problem", "and nothing answers for it at SPANLEDGER_API_LISTEN"),
        (Ports([], answers=True, state=ledger(1)), "problem", "SPANLEDGER_API_LISTEN is another (pid 1)"),
        (Ports([], answers=True), "ok", "in use by"),
    ],
)
def test_a_folder_in_use_that_nobody_tells_of_is_not_opened(held, ports, level, words):
    found = checked(f"chdb://{held}", ports)
    assert worst(found.findings) == level
    assert words in told(found)
    assert found.state is None
    assert [path.name for path in held.iterdir()] == ["spanledger.lock"]


@pytest.mark.parametrize(
    "url",
    [
        "clickhouse://u:hid/den@h/d",
        "clickhouse://u:hid[den@h/d",
        "clickhouse://u:hid#den@h/d",
        "mysql://u:hidden@h",
        "clickhouse://u:hidden@h:99999/d",
    ],
)
def test_a_url_that_is_none_is_a_problem_and_its_password_is_not_told(url):
    found = checked(url)
    assert worst(found.findings) == "problem"
    assert "hid" not in told(found)
    assert "den@" not in told(found)


def test_a_server_that_is_not_there_or_says_nothing_is_a_problem(monkeypatch):
    monkeypatch.setattr(database, "_CONNECT_S", 1)
    monkeypatch.setattr(database, "_ANSWER_S", 1)
    assert "127.0.0.1:9/spanledger: does not answer (OperationalError: [Errno 111]" in told(
        checked("clickhouse://u:hidden@127.0.0.1:9")
    )
    with socket.create_server(("127.0.0.1", 0)) as silent:
        found = checked(f"clickhouse://u:hidden@127.0.0.1:{silent.getsockname()[1]}/spanledger")
    assert worst(found.findings) == "problem"
    assert "does not answer" in told(found)
    assert "hidden" not in told(found)


def test_a_server_whose_clock_is_off_is_told_by_how_much():
    now = time.time_ns()
    state = ledger(1).database.model_copy(update={"time": format_time(now + 100 * 10**9)})
    (finding,) = database._clock(state, now - 10**9, now)
    assert (finding.level, finding.found) == (
        "warning",
        "the database server's clock is 100 s off this machine's",
    )
    (finding,) = database._clock(ledger(1).database, now - 10**10, now + 10**10)
    assert finding.level == "ok"
