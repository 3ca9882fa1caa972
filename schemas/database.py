"""The database: where it is, how to connect, and the migrations that make its tables.

The same ClickHouse SQL runs in two placements. `chdb://folder` is the engine inside this process: any
number of clients, one process. `clickhouse://user:password@host:8123/database` is a server;
`clickhouses://` the same over TLS (port 8443 where none is given).
"""

from __future__ import annotations

import fcntl
import os
import re
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from spanledger.schemas.errors import Busy, Misconfigured

# What is tested is 26.9. Nothing in use is known to be newer than this, and nothing older was looked at.
MINIMUM_VERSION = (25, 9)
DATABASE_NAME = "spanledger"

_ENCODE = " (in a password, what means something in a URL must be percent-encoded)"

READER_SETTINGS: dict[str, Any] = {
    "max_execution_time": 30,
    "max_memory_usage": 1024**3,
    "max_result_rows": 1_000_000,
}


@dataclass(frozen=True)
class Target:
    """A parsed SPANLEDGER_DATABASE."""

    embedded: bool
    database: str = DATABASE_NAME
    path: str = ""
    host: str = ""
    port: int = 8123
    secure: bool = False
    username: str = "default"
    password: str = field(default="", repr=False)
    options: tuple[tuple[str, str], ...] = ()

    def with_timeouts(self, *, connect_s: float, answer_s: float) -> Target:
        """The same target, whose clients wait so long and no longer, unless its URL says otherwise."""
        if self.embedded:
            return self
        # The client takes whole seconds.
        whole = {"connect_timeout": connect_s, "send_receive_timeout": answer_s}
        ours = {name: str(max(1, round(seconds))) for name, seconds in whole.items()}
        return replace(self, options=tuple((ours | dict(self.options)).items()))

    def __str__(self) -> str:
        if self.embedded:
            return f"chdb://{self.path}"
        scheme = "clickhouses" if self.secure else "clickhouse"
        return f"{scheme}://{self.username}@{self.host}:{self.port}/{self.database}"


def parse_target(url: str) -> Target:
    """SPANLEDGER_DATABASE as a Target; raises Misconfigured where it is none of the three forms.

    Options after `?` go to clickhouse_connect.get_client (`ca_cert`, `verify`, ...).
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise Misconfigured(f"SPANLEDGER_DATABASE is not a URL{_ENCODE}") from None
    if parts.scheme == "chdb":
        path = unquote(parts.netloc + parts.path)
        if not path:
            raise Misconfigured(f"SPANLEDGER_DATABASE={url}: a folder must follow chdb://")
        return Target(embedded=True, path=str(Path(path).expanduser().absolute()))
    if parts.scheme in ("clickhouse", "clickhouses"):
        secure = parts.scheme == "clickhouses"
        try:
            port = parts.port
        except ValueError:
            # Python's own words quote what stands there, which may be half of a password.
            raise Misconfigured(
                f"SPANLEDGER_DATABASE: the port is not a number up to 65535{_ENCODE}"
            ) from None
        database = parts.path.strip("/") or DATABASE_NAME
        if not parts.hostname or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", database):
            raise Misconfigured(
                "SPANLEDGER_DATABASE: need clickhouse://USER:PASSWORD@HOST:PORT/DATABASE with a plain "
                "database name (letters, digits, _)"
            )
        return Target(
            embedded=False,
            database=database,
            host=parts.hostname,
            port=port or (8443 if secure else 8123),
            secure=secure,
            username=unquote(parts.username or "default"),
            password=unquote(parts.password or ""),
            options=tuple(parse_qsl(parts.query)),
        )
    raise Misconfigured(
        f"SPANLEDGER_DATABASE={parts.scheme}://...: the scheme must be chdb, clickhouse or clickhouses"
    )


def connect(target: Target, *, database: str | None = None) -> Client:
    """A client that may write. Not for use by two threads at once: one client, one call at a time.

    Raises Misconfigured where the folder is held by another process, Busy where no server answers.
    """
    if target.embedded:
        return _connect_embedded(target, database)
    options: dict[str, Any] = dict(target.options)
    try:
        return clickhouse_connect.get_client(
            host=target.host,
            port=target.port,
            username=target.username,
            password=target.password,
            secure=target.secure,
            database=database or target.database,
            autogenerate_session_id=False,
            compress=False,
            **options,
        )
    except ClickHouseError as error:
        raise Busy(f"{target} does not answer: {_first_line(error)}") from error


_LOCK = "spanledger.lock"
# The folders that this process holds, each by the descriptor of a locked file. The engine refuses a second
# process too, but its error does not say why. The lock goes with the process, however that ends.
_held: dict[str, int] = {}


def _hold(target: Target) -> None:
    if target.path in _held:
        return
    Path(target.path).mkdir(parents=True, exist_ok=True)
    lock = os.open(Path(target.path) / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.read(lock, 100).decode(errors="replace").strip()
        os.close(lock)
        raise Misconfigured(
            f"{target} is in use by another process ({holder or 'unknown'}). An embedded database belongs "
            "to one process: stop that one, choose another folder, or use a ClickHouse server"
        ) from None
    os.ftruncate(lock, 0)
    os.write(lock, f"pid {os.getpid()}\n".encode())
    _held[target.path] = lock


def held_by(target: Target) -> int | None:
    """The process that has an embedded database open, 0 where it cannot be told which; None: nobody has."""
    try:
        with (Path(target.path) / _LOCK).open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = lock.read().split()
                return int(holder[1]) if len(holder) == 2 and holder[1].isdigit() else 0
    except FileNotFoundError:
        pass
    return None


def _connect_embedded(target: Target, database: str | None) -> Client:
    _hold(target)
    try:
        return clickhouse_connect.get_client(
            interface="chdb",
            path=target.path,
            database=database or target.database,
            chdb_options={
                "tmp_path": str(Path(target.path) / "tmp") + "/",
                # The engine has two threads for merges and by default four merges under way, each with
                # memory of its own; they end no sooner for that.
                "background_merges_mutations_concurrency_ratio": "1",
                # While both are busy the engine waits so long, and up to so much longer, before it looks for
                # more to do. A deletion gives every part a turn: with the defaults, 0.1 and 1 s, that was
                # a third of a second for each.
                "background_processing_pool_thread_sleep_seconds_if_nothing_to_do": "0.02",
                "background_processing_pool_task_sleep_seconds_when_no_work_random_part": "0.02",
            },
        )
    except ClickHouseError as error:
        raise Misconfigured(f"cannot open {target}: {_first_line(error)}") from error


def connect_reader(target: Target) -> Client:
    """A client that cannot write, read files or open connections, bounded in time and memory."""
    client = connect(target)
    if target.embedded:
        # Once readonly is 1 no setting can be changed any more, so the limits come first.
        for name, value in READER_SETTINGS.items():
            client.command(f"SET {name} = {value}")
        client.command("SET readonly = 1")
    else:
        for name, value in READER_SETTINGS.items():
            client.set_client_setting(name, value)
        client.set_client_setting("readonly", 1)
    return client


def migrate(target: Target) -> list[str]:
    """Apply the migrations that this database has not seen; return their names.

    Safe to run twice and from several processes at once: every statement in a migration can be
    repeated (IF NOT EXISTS), and a migration is recorded when all of its statements have run.
    """
    client = connect(target, database="default")
    try:
        _check_version(client, target)
        client.command(f"CREATE DATABASE IF NOT EXISTS {target.database}")
    finally:
        client.close()
    client = connect(target)
    try:
        return _apply(client)
    finally:
        client.close()


def _check_version(client: Client, target: Target) -> None:
    found = str(client.command("SELECT version()"))
    if tuple(int(part) for part in found.split(".")[:2]) < MINIMUM_VERSION:
        needed = ".".join(map(str, MINIMUM_VERSION))
        raise Misconfigured(f"{target} is ClickHouse {found}; spanledger needs {needed} or newer")


def _apply(client: Client) -> list[str]:
    client.command(
        "CREATE TABLE IF NOT EXISTS migrations (name String, applied_at DateTime64(6, 'UTC') "
        "DEFAULT now64(6)) ENGINE = ReplacingMergeTree ORDER BY name"
    )
    seen = {row[0] for row in client.query("SELECT name FROM migrations").result_rows}
    applied = []
    for name, sql in migrations():
        if name in seen:
            continue
        for statement in statements(sql):
            client.command(statement)
        client.insert("migrations", [[name]], column_names=["name"])
        applied.append(name)
    return applied


def migrations() -> list[tuple[str, str]]:
    """The migrations in their order: name and SQL text."""
    folder = files("spanledger.schemas.migrations")
    return sorted((item.name, item.read_text()) for item in folder.iterdir() if item.name.endswith(".sql"))


def statements(sql: str) -> list[str]:
    """The statements of a migration, without its comments."""
    text = re.sub(r"^\s*--.*\n", "", sql, flags=re.MULTILINE)
    return [part.strip() for part in re.split(r";\s*(?:\n|$)", text) if part.strip()]


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:300]
