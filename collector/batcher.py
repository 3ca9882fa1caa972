"""Group commit: requests that come at the same time are stored by one insert, and each gets its answer
when that insert is committed.

A lone request does not wait: an idle worker takes it at once. While inserts run, requests gather, and
the busier it is the larger the next insert becomes. Where requests come side by side inserts keep a distance,
for many small ones cost the engine, and its merges later on, twice as much. Memory is bounded in bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from spanledger.collector.metrics import Metrics
from spanledger.collector.rows.block import Block, LeftOut, Request
from spanledger.schemas.errors import BadData, Busy, SpanledgerError
from spanledger.schemas.settings import Settings

_log = logging.getLogger("spanledger.collector")

# Of the time to wait for company: when nothing came for so long, all who would come are here, as of exporters
# that each wait for their answer.
_QUIET = 0.25


class Inserts(Protocol):
    """What the batcher needs of a store: commit all requests or none, else BadData or Busy."""

    def insert(self, requests: Sequence[Request]) -> Block: ...

    def close(self) -> None: ...


@dataclass(eq=False, slots=True)
class _Waiting:
    request: Request
    size: int
    answer: asyncio.Future[LeftOut]


class Batcher:
    """Takes requests, inserts them together, answers each. Lives in one event loop.

    One worker a store, each with a thread of its own, as a store is not for two threads at once.
    """

    def __init__(self, stores: Sequence[Inserts], settings: Settings, metrics: Metrics) -> None:
        self._stores = stores
        self._settings = settings
        self._metrics = metrics
        self._queue: deque[_Waiting] = deque()
        self._held_bytes = 0  # in the queue and in inserts that run
        self._inserting = 0
        self._last_began = self._last_arrival = 0.0  # of an insert, of a request; monotonic
        self._last_requests = 0  # in that insert
        self._change = asyncio.Event()  # something arrived, an insert ended, or the end is near
        self._stopping = False
        self._threads = ThreadPoolExecutor(len(stores), thread_name_prefix="spanledger-insert")
        self._workers: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._workers = [asyncio.create_task(self._work(store)) for store in self._stores]

    async def submit(self, request: Request) -> LeftOut:
        """Return when the request is committed; what of it is not, because it must not be stored.

        Raises BadData where the database refuses these very bytes, Busy where the byte budget is full,
        the database fails, or no answer came within the store timeout (it may still be stored then; a
        retry changes nothing).
        """
        size = len(request.body)
        if self._stopping:
            raise self._refusal("stopping", request, "the collector is stopping")
        if self._held_bytes + size > self._settings.queue_bytes and self._held_bytes:
            raise self._refusal(
                "queue_full",
                request,
                f"{self._held_bytes} bytes are waiting to be stored, "
                f"the limit is {self._settings.queue_bytes}",
            )
        waiting = _Waiting(request, size, asyncio.get_running_loop().create_future())
        self._hold(size)
        self._queue.append(waiting)
        self._last_arrival = time.monotonic()
        self._change.set()
        try:
            async with asyncio.timeout(self._settings.store_timeout_s):
                return await waiting.answer
        except TimeoutError:
            seconds = f"{self._settings.store_timeout_s:g} s"
            raise self._refusal("timeout", request, f"not stored within {seconds}") from None
        except Busy:
            self._metrics.of[request.table].refused.labels("database").inc(request.spans)
            raise

    def _refusal(self, reason: str, request: Request, text: str) -> Busy:
        self._metrics.of[request.table].refused.labels(reason).inc(request.spans)
        return Busy(text)

    async def stop(self) -> None:
        """Take no more, store what is waiting, answer everybody; bounded by the shutdown timeout."""
        self._stopping = True
        self._change.set()
        if self._workers:
            await asyncio.wait(self._workers, timeout=self._settings.shutdown_timeout_s * 0.8)
        while self._queue:
            self._settle(self._queue.popleft(), Busy("the collector stopped before this was stored"))
        self._threads.shutdown(wait=False)
        for worker, store in zip(self._workers, self._stores, strict=False):
            # To close a store whose insert hangs would be to wait for it.
            if worker.done():
                store.close()
            worker.cancel()

    async def _work(self, store: Inserts) -> None:
        while self._queue or not self._stopping:
            if not self._queue:
                self._change.clear()
                await self._change.wait()
                continue
            if not self._stopping:
                await self._gather()
            batch = self._take()
            if batch:
                self._inserting += 1
                self._last_began, self._last_requests = time.monotonic(), len(batch)
                try:
                    await self._insert(store, batch)
                finally:
                    self._inserting -= 1
                    self._change.set()

    async def _gather(self) -> None:
        """Wait for company where that costs nobody much: while another insert keeps the engine busy anyway,
        and, where the last insert had company, until the engine has had its pause or nothing more comes.
        """
        wait_s = self._settings.batch_wait_ms / 1000
        deadline = time.monotonic() + wait_s
        paused_at = self._last_began + wait_s if self._last_requests > 1 else 0.0
        while not self._stopping and self._waiting_spans() < self._settings.batch_spans:
            until = deadline
            if not self._inserting:
                until = min(paused_at, self._last_arrival + wait_s * _QUIET)
            left = until - time.monotonic()
            if left <= 0:
                return
            self._change.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._change.wait(), left)

    def _waiting_spans(self) -> int:
        """How many spans wait for the table whose turn it is."""
        table = self._queue[0].request.table if self._queue else ""
        return sum(one.request.spans for one in self._queue if one.request.table == table)

    def _take(self) -> list[_Waiting]:
        """Take what waits longest, and more for the same table; what is for another keeps its place."""
        batch: list[_Waiting] = []
        others: list[_Waiting] = []
        size = spans = 0
        while self._queue:
            waiting = self._queue[0]
            if waiting.answer.done():  # its caller has given up; it was never sent
                self._settle(self._queue.popleft(), LeftOut())
                continue
            if batch and waiting.request.table != batch[0].request.table:
                others.append(self._queue.popleft())
                continue
            full = size + waiting.size > self._settings.batch_bytes
            if batch and (full or spans + waiting.request.spans > self._settings.batch_spans):
                break
            batch.append(self._queue.popleft())
            size += waiting.size
            spans += waiting.request.spans
        self._queue.extendleft(reversed(others))
        return batch

    async def _insert(self, store: Inserts, batch: list[_Waiting]) -> None:
        """Insert the batch; halve it where its data is refused, until the culprit is alone."""
        halves = [batch]
        while halves:
            part = halves.pop()
            result = await self._try(store, part)
            if isinstance(result, BadData) and len(part) > 1:
                middle = len(part) // 2
                halves += [part[middle:], part[:middle]]
                continue
            left_out = result.left_out if isinstance(result, Block) else ()
            for waiting, of_it in zip(part, left_out or [LeftOut()] * len(part), strict=True):
                self._settle(waiting, of_it if isinstance(result, Block) else result)

    async def _try(self, store: Inserts, part: list[_Waiting]) -> SpanledgerError | Block:
        requests = [waiting.request for waiting in part]
        block: Block | None = None
        started = time.perf_counter()
        error: SpanledgerError | None = None
        try:
            block = await asyncio.get_running_loop().run_in_executor(self._threads, store.insert, requests)
        except SpanledgerError as raised:
            error = raised
        except Exception as raised:  # noqa: BLE001  (a worker that dies would leave its callers without an answer)
            _log.exception("an insert failed in a way that no store should")
            error = Busy(f"the insert failed: {type(raised).__name__}")
        self._metrics.insert_seconds.observe(time.perf_counter() - started)
        self._metrics.batches.labels("failed" if error else "stored").inc()
        spans = sum(waiting.request.spans for waiting in part)
        counts = self._metrics.of[part[0].request.table]
        counts.in_batch.observe(spans)
        if block:
            counts.stored.inc(spans - sum(map(sum, block.left_out)))
            self._metrics.cut_attributes.inc(block.cut)
            self._metrics.discarded_attributes.labels("key_length").inc(block.dropped_key_length)
            self._metrics.discarded_attributes.labels("count").inc(block.dropped_count)
            return block
        assert error is not None  # noqa: S101 - one of the two there is
        return error

    def _settle(self, waiting: _Waiting, result: SpanledgerError | LeftOut) -> None:
        self._hold(-waiting.size)
        if waiting.answer.done():
            return
        if isinstance(result, LeftOut):
            waiting.answer.set_result(result)
        else:
            waiting.answer.set_exception(result)

    def _hold(self, size: int) -> None:
        self._held_bytes += size
        self._metrics.waiting_bytes.set(self._held_bytes)
