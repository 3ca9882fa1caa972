"""Real processes for tests: `spanledger serve` and the ClickHouse double, on free ports of loopback.

Each is started, waited for until it is ready, and stopped by its process id.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from otlp_sender import Sender

_TESTS = Path(__file__).parent
_LISTENING = {
    "receiving OTLP over gRPC": "grpc",
    "receiving OTLP over HTTP": "otlp_http",
    "answering queries": "api",
    "answering health checks": "api",
}


class NotStartedError(Exception):
    """A process ended before it was ready; the text is what it said."""


@dataclass
class Ledger:
    """A `spanledger serve` that is running."""

    process: subprocess.Popen[bytes]
    log: Path
    ports: dict[str, int]

    def sender(self, **options: Any) -> Sender:
        return Sender(self.ports["grpc"], **options)

    @property
    def otlp(self) -> str:
        return f"http://127.0.0.1:{self.ports['grpc']}"

    @property
    def otlp_http(self) -> str:
        return f"http://127.0.0.1:{self.ports['otlp_http']}"

    def ask(self, path: str, **query: Any) -> httpx.Response:
        """The API's answer."""
        url = f"http://127.0.0.1:{self.ports['api']}{path}"
        return httpx.get(url, params=query, trust_env=False, timeout=30)

    def get(self, path: str, **query: Any) -> Any:
        """The JSON of an API's answer that is 200."""
        answer = self.ask(path, **query)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    def metric(self, name: str) -> float:
        """The value of a metric that has no labels."""
        found = re.search(rf"^{name} (\S+)$", self.ask("/metrics").text, re.MULTILINE)
        assert found, f"no metric {name}"
        return float(found.group(1))

    def span_ids(self, trace_id: bytes) -> list[str]:
        """The ids of all spans in the tree of a trace; none where it is not stored."""
        answer = self.ask(f"/api/v1/traces/{trace_id.hex()}")
        if answer.status_code == 404:
            return []
        return [node["span_id"] for node in walk(answer.json())]

    def kill(self) -> None:
        """As `kill -9` does: no chance to finish anything."""
        self.process.kill()
        self.process.wait(10)

    def stop(self, timeout: float = 20) -> int:
        """SIGTERM; the exit code. Raises TimeoutExpired where the process goes on for longer."""
        self.process.terminate()
        return self.process.wait(timeout)


def walk(tree: Any) -> list[Any]:
    """The nodes of a tree, each before its children."""
    found, left = [], list(reversed(tree["roots"]))
    while left:
        found.append(left.pop())
        left += reversed(found[-1]["children"])
    return found


def serve_command(database: str, only: str | None = None, **settings: Any) -> list[str]:
    command = [sys.executable, "-m", "spanledger.server.cli", "serve", "--database", database]
    command += ["--only", only] if only else []
    flags = dict.fromkeys(("grpc_listen", "otlp_http_listen", "api_listen"), "127.0.0.1:0") | settings
    for name, value in flags.items():
        command += ["--" + name.replace("_", "-"), str(value)]
    return command


def clean_environment() -> dict[str, str]:
    """Ours, without the settings of whoever runs the tests."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("SPANLEDGER_", "OTEL_", "OPENAI_"))}


@contextlib.contextmanager
def running_ledger(
    folder: Path, database: str, only: str | None = None, *, within: Sequence[str] = (), **settings: Any
) -> Iterator[Ledger]:
    """`spanledger serve` from its readiness on, its log in `folder`. `within`: a command that starts it."""
    log = folder / f"serve-{only or 'all'}-{time.monotonic_ns()}.log"
    with log.open("wb") as stderr:
        command = [*within, *serve_command(database, only, **settings)]
        process = subprocess.Popen(command, stderr=stderr, env=clean_environment(), cwd=folder)
    with _ended(process):
        wait_until(lambda: '"event": "ready"' in log.read_text() or process.poll() is not None, 60)
        if process.poll() is not None:
            raise NotStartedError(log.read_text())
        found = re.findall(r'"port": (\d+), "event": "([^"]*)"', log.read_text())
        yield Ledger(process, log, {_LISTENING[event]: int(port) for port, event in found})


@dataclass
class ClickHouse:
    """A ClickHouse double that is running."""

    process: subprocess.Popen[bytes]
    port: int

    @property
    def url(self) -> str:
        return f"clickhouse://default@127.0.0.1:{self.port}/spanledger"

    def fail(self, status: int, code: int | None = None, *, done: bool = False, into: str = "") -> None:
        """From now on every insert, or every one into a table, is answered with an error, of ClickHouse where
        it has a code; `done`: and done all the same."""
        trouble = {"status": status, "done": done, "into": into} | ({} if code is None else {"code": code})
        self._make_trouble(trouble)

    def recover(self) -> None:
        """The end of `fail`."""
        self._make_trouble({})

    def _make_trouble(self, trouble: dict[str, Any]) -> None:
        url = f"http://127.0.0.1:{self.port}/trouble"
        httpx.put(url, json=trouble, trust_env=False, timeout=10).raise_for_status()

    def freeze(self) -> None:
        """From now on it takes connections and answers nobody."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)


@contextlib.contextmanager
def running_clickhouse(folder: Path, port: int = 0, *login: str) -> Iterator[ClickHouse]:
    """The ClickHouse double on a folder; `login`: user and password that it asks for."""
    command = [sys.executable, str(_TESTS / "clickhouse_server.py"), "--path", str(folder / "clickhouse")]
    command += ["--port", str(port)]
    for flag, value in zip(("--user", "--password"), login, strict=False):
        command += [flag, value]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=clean_environment(), cwd=folder)
    with _ended(process):
        line = process.stdout.readline().split()
        if line[:1] != [b"listening"]:
            raise NotStartedError("the ClickHouse double did not start")
        double = ClickHouse(process, int(line[-1]))
        wait_until(lambda: _pings(double.port), 20)
        yield double
        process.stdout.close()


def _pings(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/ping", trust_env=False, timeout=5).text == "Ok.\n"
    except httpx.TransportError:
        return False


@contextlib.contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
        process.wait(10)
        if process.stdout:
            process.stdout.close()


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    """Until it is true; fails after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain"
        time.sleep(0.02)
