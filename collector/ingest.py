"""The one way into the ledger: check a request, store it, say what became of it.

Every transport, and every part of the server that writes spans of its own, goes through `Ingest`.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from spanledger.collector.batcher import Batcher
from spanledger.collector.gate import check, explain
from spanledger.collector.metrics import Metrics
from spanledger.collector.store import envelope
from spanledger.schemas.errors import SpanledgerError


class Written(NamedTuple):
    """How many spans are stored now, how many were refused, and why in words (empty: none was)."""

    stored: int
    rejected: int
    message: str


class Ingest:
    """Writes OTLP requests, given as their serialised bytes."""

    def __init__(self, batcher: Batcher, metrics: Metrics) -> None:
        self._batcher = batcher
        self._metrics = metrics

    async def write(self, body: bytes, *, project: str) -> Written:
        """Store an ExportTraceServiceRequest under a project; return when it is committed and visible.

        Raises BadData where nothing of it can be stored, Busy where a later try may succeed.
        """
        try:
            written = await self._write(body, project)
        except SpanledgerError as error:
            self._metrics.requests.labels(error.grpc_code.lower()).inc()
            raise
        self._metrics.requests.labels("ok" if not written.rejected else "partial").inc()
        return written

    async def _write(self, body: bytes, project: str) -> Written:
        checked = check(body)
        rejected = checked.rejected.total()
        self._metrics.received.inc(checked.spans + rejected)
        for reason, count in checked.rejected.items():
            self._metrics.rejected.labels(reason).inc(count)
        if checked.spans:
            received_at = time.time_ns()
            await self._batcher.submit(
                envelope(
                    checked.body, project=project, received_at_ns=received_at, rewritten=checked.rewritten
                ),
                checked.spans,
            )
        message = f"{rejected} spans rejected: {explain(checked.rejected)}" if rejected else ""
        return Written(checked.spans, rejected, message)
