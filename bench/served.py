"""A server process of its own for each measurement, on a fresh embedded database."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.transports import ProtocolName
from spanledger.schemas.settings import Settings

_READY_WITHIN_S = 60
_STOPPED_WITHIN_S = 60
_EVENTS = {"grpc": "otlp over grpc", "http": "otlp over http", "api": "answering queries"}


@dataclass(frozen=True)
class Served:
    """A server that is ready: its process, its database, and its addresses (`host:port`)."""

    pid: int
    database: Path
    addresses: Mapping[str, str]

    @property
    def api(self) -> str:
        return self.addresses["api"]

    def address(self, protocol: ProtocolName) -> str:
        """Raises ValueError where the server does not speak it."""
        transport = protocol.partition("-")[0]
        if transport not in self.addresses:
            raise ValueError(f"the server does not receive OTLP over {transport}")
        return self.addresses[transport]


@contextlib.contextmanager
def running_server(folder: Path, settings: Mapping[str, str]) -> Iterator[Served]:
    """`spanledger serve` with `settings` beside the defaults, on free ports; stopped at the end."""
    listens = {name: "127.0.0.1:0" for name in Settings.model_fields if name.endswith("_listen")}
    log = folder / "server.log"
    database = folder / "database"
    command = [sys.executable, "-m", "spanledger.server.cli", "serve", "--database", f"chdb://{database}"]
    for name, value in (listens | dict(settings)).items():
        command += [f"--{name.replace('_', '-')}", value]
    with log.open("w") as stderr:
        server = subprocess.Popen(command, stderr=stderr, env=_without_settings(), cwd=folder)
    try:
        addresses = _wait_until_ready(server, log)
        yield Served(server.pid, database, addresses)
    finally:
        server.terminate()
        try:
            server.wait(_STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _without_settings() -> dict[str, str]:
    """Our environment; settings of the caller's must not reach the server."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SPANLEDGER_")}


def _wait_until_ready(server: subprocess.Popen[bytes], log: Path) -> dict[str, str]:
    deadline = time.monotonic() + _READY_WITHIN_S
    while time.monotonic() < deadline:
        lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
        if any(line.get("event") == "ready" for line in lines):
            return {
                name: f"127.0.0.1:{line['port']}"
                for line in lines
                for name, event in _EVENTS.items()
                if "port" in line and event in line["event"].lower()
            }
        if server.poll() is not None:
            break
        time.sleep(0.05)
    raise RuntimeError(f"the server is not ready:\n{log.read_text()}")
