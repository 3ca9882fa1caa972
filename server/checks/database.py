"""The database: whether it is there, may be used, and by whom it is used already."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from clickhouse_connect.driver.exceptions import ClickHouseError

from spanledger.query_api.status import read_state
from spanledger.query_api.times import parse_time
from spanledger.schemas.api import DatabaseState
from spanledger.schemas.database import MINIMUM_VERSION, Target, connect_reader, held_by, parse_target
from spanledger.schemas.errors import Misconfigured, SpanledgerError
from spanledger.schemas.settings import Settings
from spanledger.server.checks.contents import room
from spanledger.server.checks.finding import Finding, ok, problem, warning
from spanledger.server.checks.holders import process
from spanledger.server.checks.ports import Ports
from spanledger.server.log_errors import in_words

_CONNECT_S = 3
_ANSWER_S = 15
_SKEW_S = 2.0
_AUTHENTICATION_FAILED = 516


@dataclass
class Database:
    """What was found, and what the database says of itself where it could be asked."""

    findings: list[Finding]
    state: DatabaseState | None = None

    def saying(self, first: Finding) -> Database:
        """The same, with this said first."""
        self.findings.insert(0, first)
        return self


def check_database(settings: Settings, ports: Ports) -> Database:
    """Look at the database of the settings; `ports` has what a ledger that answers says of its own."""
    try:
        target = parse_target(settings.database)
    except Misconfigured as error:
        return Database([problem("database", str(error), "`spanledger settings` says what is allowed")])
    return _embedded(target, ports) if target.embedded else _server(target)


def _embedded(target: Target, ports: Ports) -> Database:
    path = Path(target.path)
    if not path.exists():
        return Database([*_to_be_made(target, path)])
    if not path.is_dir():
        return Database(
            [problem("database", f"{target}: not a folder", "choose another in SPANLEDGER_DATABASE")]
        )
    found = Database([_writable(path)])
    try:
        holder = held_by(target)
    except OSError as error:
        advice = "let this user read the folder"
        return Database([problem("database", f"{target}: cannot be read ({error.strerror})", advice)])
    if holder is not None:
        return _held(target, holder, ports, found)
    if not (path / "metadata").is_dir():
        found.findings += [
            ok("database", f"{target}: empty; `spanledger serve` makes the tables"),
            *_disk(path),
        ]
    elif found.findings[0].level == "ok":
        _open(target, found)
        found.saying(ok("database", f"{target}: used by no process now"))
    else:
        found.findings += _disk(path)
    return found


def _to_be_made(target: Target, path: Path) -> Iterator[Finding]:
    above = next(parent for parent in path.parents if parent.exists())
    if os.access(above, os.W_OK | os.X_OK):
        yield ok("database", f"{target}: not there yet; `spanledger serve` makes it")
        yield from _disk(above)
    else:
        yield problem(
            "database",
            f"{target}: not there, and this user may not make it in {above}",
            "choose another folder in SPANLEDGER_DATABASE, or make it for this user",
        )


def _writable(path: Path) -> Finding:
    if path.stat().st_uid != os.geteuid():
        # What the engine writes when it opens a folder would then be ours, and closed to the owner.
        advice = "run this command as the user that runs `spanledger serve`"
        return warning("database", f"{path}: belongs to another user, so it was not opened", advice)
    if os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return ok("database", "this user may read and write the folder")
    return problem("database", f"{path}: this user may not write there", "make it the user's own (chown)")


def _disk(path: Path) -> Iterator[Finding]:
    usage = shutil.disk_usage(path)
    yield room(f"the disk of {path}", usage.free, usage.total)


def _held(target: Target, pid: int, ports: Ports, found: Database) -> Database:
    """In use: only the process that has it can be asked."""
    holder = process(pid) or (f"pid {pid}" if pid else "a process that cannot be told")
    running = ports.state
    if running and running.embedded and pid in (running.pid, 0):
        found.state = running.database
        return found.saying(ok("database", f"{target}: in use by {holder}, which was asked"))
    found.findings += _disk(Path(target.path))
    if ports.answers and running is None:  # why it does not tell is said of its port
        return found.saying(ok("database", f"{target}: in use by {holder}"))
    if running:
        why = f"the ledger that answers at SPANLEDGER_API_LISTEN is another (pid {running.pid})"
    else:
        why = "nothing answers for it at SPANLEDGER_API_LISTEN"
    advice = "give this command the settings or flags of that process, or stop it"
    return found.saying(problem("database", f"{target}: in use by {holder}, and {why}", advice))


def _server(target: Target) -> Database:
    found = Database([])
    _open(target.with_timeouts(connect_s=_CONNECT_S, answer_s=_ANSWER_S), found)
    if found.state:
        found.saying(ok("database", f"{target}: answers, ClickHouse {found.state.clickhouse_version}"))
    return found


def _open(target: Target, found: Database) -> None:
    """Read what the database says with a client that cannot write; close it."""
    try:
        # Where ours is not there yet, only this one can be connected to.
        client = connect_reader(replace(target, database="default"))
        try:
            before = time.time_ns()
            version = str(client.command("SELECT version()"))
            exists = client.query(
                "SELECT name FROM system.databases WHERE name = {name:String}",
                parameters={"name": target.database},
            ).result_rows
        finally:
            client.close()
        if tuple(int(part) for part in version.split(".")[:2]) < MINIMUM_VERSION:
            needed = ".".join(map(str, MINIMUM_VERSION))
            found.findings.append(
                problem("database", f"{target} is ClickHouse {version}", f"upgrade it to {needed} or newer")
            )
        elif not exists:
            advice = "start `spanledger serve`, which makes it"
            found.findings.append(
                warning("database", f"{target}: has no database {target.database} yet", advice)
            )
        else:
            client = connect_reader(target)
            try:
                found.state = read_state(client)
            finally:
                client.close()
            if not target.embedded:
                found.findings += _clock(found.state, before, time.time_ns())
    except (SpanledgerError, ClickHouseError) as error:
        found.findings.append(_unusable(target, error))


def _clock(state: DatabaseState, before_ns: int, after_ns: int) -> Iterator[Finding]:
    """The database's clock beside ours, as far as the time that it took to ask allows to tell."""
    theirs = parse_time(state.time)
    off_s = max(theirs - after_ns, before_ns - theirs, 0) / 1e9
    if off_s > _SKEW_S:
        yield warning(
            "clock", f"the database server's clock is {off_s:.0f} s off this machine's", "set both by NTP"
        )
    else:
        yield ok("clock", "the database server's agrees with this machine's")


def _unusable(target: Target, error: Exception) -> Finding:
    cause = error.__cause__ if isinstance(error.__cause__, ClickHouseError) else error
    if getattr(cause, "code", None) == _AUTHENTICATION_FAILED:
        found, advice = "refuses the user or the password", "correct them in SPANLEDGER_DATABASE"
    elif target.embedded:
        found, advice = (
            f"cannot be opened ({in_words(cause)})",
            "see the file system's errors; restore a backup",
        )
    elif getattr(cause, "code", None) is not None:
        found, advice = f"refuses ({in_words(cause)})", "see docs/how-to/clickhouse-server.md for the grants"
    else:
        found = f"does not answer ({in_words(cause)})"
        advice = "start it, or correct host and port (HTTP: 8123, TLS: 8443) in SPANLEDGER_DATABASE"
    return problem("database", f"{target}: {found}", advice)
