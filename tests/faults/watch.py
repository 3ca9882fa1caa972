"""Whether a server goes on answering some of its pages while something is the matter with it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

from processes import Ledger

_EVERY_S = 0.25


class Seen(NamedTuple):
    """An answer: its page, its status, how long it took."""

    path: str
    status: int
    seconds: float


class Watch:
    """Asks for pages again and again."""

    def __init__(self, ledger: Ledger, paths: tuple[str, ...]) -> None:
        self._ledger = ledger
        self._paths = paths
        self._seen: list[Seen] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def statuses(self) -> set[int]:
        return {seen.status for seen in self._seen}

    def slowest(self) -> Seen:
        return max(self._seen, key=lambda seen: seen.seconds)

    def _run(self) -> None:
        while not self._stopped.wait(_EVERY_S):
            for path in self._paths:
                started = time.monotonic()
                status = self._ledger.ask(path).status_code
                self._seen.append(Seen(path, status, time.monotonic() - started))


@contextlib.contextmanager
def watching(ledger: Ledger, *paths: str) -> Iterator[Watch]:
    watch = Watch(ledger, paths)
    watch._thread.start()
    try:
        yield watch
    finally:
        watch._stopped.set()
        watch._thread.join(30)
