"""Asks the API over HTTP, on one connection that stays open, and takes the time."""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench.query.questions import Question

_TIMEOUT_S = 120.0


class Asker:
    """One connection to the API at `host:port`."""

    def __init__(self, address: str) -> None:
        self._connection = http.client.HTTPConnection(address, timeout=_TIMEOUT_S)

    def ask(self, path: str) -> tuple[float, bytes]:
        """Seconds until the whole answer is here, and the answer; RuntimeError where it is an error."""
        started = time.perf_counter()
        self._connection.request("GET", path)
        answer = self._connection.getresponse()
        body = answer.read()
        took = time.perf_counter() - started
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {body[:500]!r}")
        return took, body

    def drain(self, path: str, is_over: Callable[[], bool]) -> None:
        """Read an answer of any size and keep nothing of it; leave it where it is over."""
        self._connection.request("GET", path)
        answer = self._connection.getresponse()
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {answer.read(500)!r}")
        while answer.read(1 << 20):
            if is_over():
                self._connection.close()
                return

    def close(self) -> None:
        self._connection.close()


def timed(address: str, question: Question, seed: int) -> list[float]:
    """Seconds of each request but the first."""
    asker, chance = Asker(address), random.Random(seed)
    try:
        return [asker.ask(question.ask(chance).path)[0] for _ in range(question.times)][1:]
    finally:
        asker.close()


@dataclass
class Crowd:
    """Clients that ask at once, each one thing after another, until they are stopped."""

    address: str
    clients: Sequence[Question | str]
    answers: int = 0
    refused: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self, seconds: float) -> None:
        threads = [threading.Thread(target=self._ask, args=(n, one)) for n, one in enumerate(self.clients)]
        for thread in threads:
            thread.start()
        self._stop.wait(seconds)
        self._stop.set()
        for thread in threads:
            thread.join()

    def _ask(self, number: int, what: Question | str) -> None:
        asker, chance = Asker(self.address), random.Random(number)
        while not self._stop.is_set():
            path = what if isinstance(what, str) else what.ask(chance).path
            try:
                asker.drain(path, self._stop.is_set)
                self.answers += 1
            except RuntimeError as refused:
                self.refused.append(str(refused)[:200])
        asker.close()
