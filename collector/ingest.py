"""The one way into the ledger: check a request, store it, say what became of it.

Every transport, and every part of the server that writes spans of its own, goes through `Ingest`.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import NamedTuple

from spanledger.collector.batcher import Batcher
from spanledger.collector.gate import AllRejected, check, explain
from spanledger.collector.metrics import Metrics
from spanledger.collector.replays import Replays
from spanledger.collector.rows.block import Request
from spanledger.collector.rows.tables import SPANS, Table
from spanledger.schemas.errors import SpanledgerError
from spanledger.schemas.removals import Removals
from spanledger.schemas.settings import Settings

_LARGE = 1 << 20  # bytes that take a millisecond to check: others must not wait for that


class Written(NamedTuple):
    """How many spans or log records are stored now, how many were refused, and why in words (or empty)."""

    stored: int
    rejected: int
    message: str


class Ingest:
    """Writes OTLP requests, given as their serialised bytes."""

    def __init__(
        self, batcher: Batcher, settings: Settings, metrics: Metrics, removals: Removals | None = None
    ) -> None:
        self._batcher = batcher
        self._removals = removals
        self._metrics = metrics
        self._depth = settings.max_attribute_depth
        self._replays: Replays[Written] = Replays(settings.replay_window_s)

    async def write(self, body: bytes, *, project: str, table: Table = SPANS) -> Written:
        """Store an export request for a table under a project; return when it is committed and visible.

        Raises BadData where nothing of it can be stored, Busy where a later try may succeed.
        """
        try:
            written, again = await self._replays.once(
                self._key(project, table), body, lambda: self._write(body, project, table)
            )
        except SpanledgerError as error:
            self._metrics.requests.labels(error.grpc_code.lower()).inc()
            raise
        if again:
            self._metrics.of[table.name].replayed.inc(written.stored)
        self._metrics.requests.labels("ok" if not written.rejected else "partial").inc()
        return written

    def _key(self, project: str, table: Table) -> str:
        """What was stored before a deletion is looked at again behind it: it is not stored any more."""
        version = 0 if self._removals is None else self._removals.now().version
        return f"{table.name} {version} {project}"

    async def _write(self, body: bytes, project: str, table: Table) -> Written:
        try:
            if len(body) > _LARGE:
                checked = await asyncio.to_thread(check, body, self._depth, table)
            else:
                checked = check(body, self._depth, table)
        except AllRejected as error:
            self._count(table, 0, error.rejected)
            raise
        self._count(table, checked.spans, checked.rejected)
        rejected = checked.rejected
        stored = checked.spans
        if checked.spans:
            deep = table.faults[-1] in checked.rejected
            left_out = await self._batcher.submit(
                Request(body, project, time.time_ns(), checked.spans, deep, table.name)
            )
            stored -= sum(left_out)
            for reason, count in left_out._asdict().items():
                if count:
                    self._metrics.of[table.name].rejected.labels(reason).inc(count)
                    rejected[reason] += count
        many = rejected.total()
        message = f"{many} {table.items} rejected: {explain(rejected)}" if many else ""
        return Written(stored, many, message)

    def _count(self, table: Table, good: int, rejected: Counter[str]) -> None:
        counts = self._metrics.of[table.name]
        counts.received.inc(good + rejected.total())
        for reason, count in rejected.items():
            counts.rejected.labels(reason).inc(count)
