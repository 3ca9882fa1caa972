"""Which process holds a port or a folder, as far as the system tells us."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import psutil


class Holder(NamedTuple):
    """A process. Its arguments are not here: they may hold keys."""

    pid: int
    name: str
    is_ledger: bool

    def __str__(self) -> str:
        return f"{'spanledger' if self.is_ledger else self.name} (pid {self.pid})"


def process(pid: int) -> Holder | None:
    """The process of this id; None where there is none or it may not be looked at."""
    try:
        found = psutil.Process(pid)
        return Holder(pid, found.name(), _is_ledger(found.cmdline()))
    except psutil.Error:
        return None


def _is_ledger(command: list[str]) -> bool:
    """`spanledger serve`, or `python -m spanledger.server.cli serve`."""
    names = [Path(part).name for part in command[:3]]
    return "serve" in command and ("spanledger" in names or "spanledger.server.cli" in names)


def listener(host: str, port: int) -> Holder | None:
    """The process that listens on a port; None where it is another user's or cannot be told."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.Error:  # some systems tell this to root only
        return None
    found = [
        (not connection.laddr.ip.endswith(host), connection.pid)
        for connection in connections
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid
    ]
    return process(min(found)[1]) if found else None
