"""Senders that write down what was acknowledged, to hold the ledger to it."""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass, field

import pytest
from otlp_requests import request, span
from processes import Ledger


@dataclass
class Load:
    """Threads that send without a pause, each a trace of its own, until told to stop or refused."""

    ledger: Ledger
    acknowledged: dict[bytes, set[str]] = field(default_factory=dict)
    sent: dict[bytes, set[str]] = field(default_factory=dict)
    codes: set[str] = field(default_factory=set)

    def start(self, threads: int = 6) -> None:
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._send, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def _send(self) -> None:
        trace_id = secrets.token_bytes(16)
        acknowledged = self.acknowledged.setdefault(trace_id, set())
        sent = self.sent.setdefault(trace_id, set())
        with self.ledger.sender() as sender:
            while not self._stopped.is_set():
                spans = [span(trace_id) for _ in range(5)]
                ids = {made.span_id.hex() for made in spans}
                sent |= ids
                answer = sender.send(request(*spans), timeout=15)
                self.codes.add(answer.code)
                if answer.code != "OK":
                    return
                acknowledged |= ids

    def acknowledgements(self) -> int:
        return sum(map(len, self.acknowledged.values()))

    def stop(self) -> None:
        """Wait until every thread has its last answer."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive(), "a call was never answered"

    def check(self, ledger: Ledger) -> None:
        """Every acknowledged span is there once, and nothing that nobody sent."""
        for trace_id, ids in self.acknowledged.items():
            stored = ledger.span_ids(trace_id)
            assert len(stored) == len(set(stored))
            assert ids <= set(stored) <= self.sent[trace_id]


@pytest.fixture
def load():
    """Starts a load on a ledger: `load(ledger)`."""
    return Load
