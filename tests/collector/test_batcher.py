"""collector.batcher: group commit over stores that are slow, down, or refuse one request."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence

import pytest
from prometheus_client import CollectorRegistry

from spanledger.collector.batcher import Batcher
from spanledger.collector.metrics import Metrics
from spanledger.collector.rows.block import Block, LeftOut, Request
from spanledger.schemas.errors import BadData, Busy
from spanledger.schemas.settings import Settings

STORED = LeftOut()  # nothing was


class Sink:
    """A store that keeps what it is given; calls of one store never overlap."""

    def __init__(self) -> None:
        self.inserts: list[list[bytes]] = []
        self.closed = False
        self.running = threading.Lock()

    def insert(self, requests: Sequence[Request]) -> Block:
        assert self.running.acquire(blocking=False), "one store was used by two threads at once"
        try:
            self.take([request.body for request in requests])
        finally:
            self.running.release()
        return Block(b"", sum(request.spans for request in requests), 0, 0, 0)

    def take(self, bodies: list[bytes]) -> None:
        self.inserts.append(bodies)

    def close(self) -> None:
        self.closed = True

    @property
    def kept(self) -> list[bytes]:
        return [body for insert in self.inserts for body in insert]


class Failing(Sink):
    """Raises for every insert that holds one of the given bodies; all or nothing, as a database is."""

    def __init__(self, error: Exception, *culprits: bytes) -> None:
        super().__init__()
        self.error, self.culprits = error, set(culprits)
        self.tries = 0

    def take(self, bodies: list[bytes]) -> None:
        self.tries += 1
        if not self.culprits or self.culprits & set(bodies):
            raise self.error
        super().take(bodies)


class Gated(Sink):
    """Holds every insert until the gate is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.gate = threading.Event()

    def take(self, bodies: list[bytes]) -> None:
        self.entered.set()
        assert self.gate.wait(20)
        super().take(bodies)


def running(work: Callable, *stores: Sink, **settings) -> list:
    """What `work(batcher)` returns, with a batcher that runs meanwhile."""

    async def main():
        batcher = Batcher(stores, Settings(**settings), Metrics(CollectorRegistry()))
        batcher.start()
        try:
            async with asyncio.timeout(30):
                return await work(batcher)
        finally:
            for store in stores:
                getattr(store, "gate", threading.Event()).set()
            await batcher.stop()

    return asyncio.run(main())


def sent(body: bytes, spans: int = 1) -> Request:
    """A request as the gate lets it through; a batcher looks at nothing but its sizes."""
    return Request(body, "tests", 1, spans)


async def outcomes(batcher: Batcher, *bodies: bytes, spans: int = 1) -> list[BaseException | LeftOut]:
    """Submit all at once: STORED where it was, else the error."""
    submitted = (batcher.submit(sent(body, spans)) for body in bodies)
    return await asyncio.gather(*submitted, return_exceptions=True)


async def entered(store: Gated) -> None:
    assert await asyncio.to_thread(store.entered.wait, 10)


# --- group commit


def test_a_request_is_stored_when_its_answer_comes():
    sink = Sink()

    async def work(batcher):
        await batcher.submit(sent(b"one"))
        return list(sink.kept)

    assert running(work, sink) == [b"one"]


def test_requests_that_come_while_an_insert_runs_are_stored_by_one_insert_in_their_order():
    sink = Gated()

    async def work(batcher):
        first = asyncio.create_task(batcher.submit(sent(b"0")))
        await entered(sink)
        others = asyncio.create_task(outcomes(batcher, *(b"%d" % n for n in range(1, 50))))
        await asyncio.sleep(0)
        sink.gate.set()
        await first
        assert await others == [STORED] * 49

    running(work, sink)
    assert sink.inserts == [[b"0"], [b"%d" % n for n in range(1, 50)]]


def test_requests_that_come_side_by_side_are_stored_by_few_inserts_though_the_engine_is_idle():
    sink = Sink()

    async def work(batcher):
        await outcomes(batcher, b"a", b"b")
        coming = []
        for n in range(10):
            coming.append(asyncio.create_task(batcher.submit(sent(b"%d" % n))))
            await asyncio.sleep(0.01)
        return await asyncio.gather(*coming)

    assert running(work, sink, batch_wait_ms=1000) == [STORED] * 10
    assert sink.inserts[-1] == [b"%d" % n for n in range(10)]


def test_a_sender_that_is_alone_waits_for_nobody():
    """Were it to wait for company, that would be a quarter of a second each time."""
    sink = Sink()

    async def work(batcher):
        async with asyncio.timeout(10):
            for n in range(100):
                await batcher.submit(sent(b"%d" % n))

    running(work, sink, batch_wait_ms=1000)
    assert sink.inserts == [[b"%d" % n] for n in range(100)]


@pytest.mark.parametrize(
    ("limits", "spans"), [({"batch_spans": 10}, 3), ({"batch_bytes": 1024, "batch_spans": 99}, 1)]
)
def test_an_insert_is_bounded_in_spans_and_bytes(limits, spans):
    sink = Sink()
    requests = [b"%02d" % n + b"x" * 298 for n in range(20)]
    assert running(lambda batcher: outcomes(batcher, *requests, spans=spans), sink, **limits) == [STORED] * 20
    assert max(map(len, sink.inserts)) == 3
    assert sorted(sink.kept) == requests


def test_a_request_over_the_limits_of_an_insert_is_inserted_alone():
    sink = Sink()
    big = b"x" * 5000
    limits = {"batch_bytes": 1024, "queue_bytes": 1024}
    assert running(lambda batcher: outcomes(batcher, big), sink, **limits) == [STORED]
    assert sink.inserts == [[big]]


def test_every_store_has_its_share_and_none_is_used_twice_at_once():
    sinks = [Gated(), Gated()]

    async def work(batcher):
        tasks = [asyncio.create_task(batcher.submit(sent(b"%d" % n))) for n in range(2)]
        for sink in sinks:
            await entered(sink)
            sink.gate.set()
        await asyncio.gather(*tasks)

    running(work, *sinks, batch_spans=1)
    assert [len(sink.inserts) for sink in sinks] == [1, 1]


# --- one bad request


@pytest.mark.parametrize("size", [1, 2, 3, 8, 33])
@pytest.mark.parametrize("culprits", [[0], [-1], [0, -1]])
def test_only_the_requests_that_the_database_refuses_are_refused(size, culprits):
    requests = [b"%d" % n for n in range(size)]
    bad = {requests[n] for n in culprits}
    store = Failing(BadData("corrupt"), *bad)
    found = running(lambda batcher: outcomes(batcher, *requests), store)
    assert [isinstance(outcome, BadData) for outcome in found] == [request in bad for request in requests]
    assert sorted(store.kept) == sorted(set(requests) - bad)


def test_one_culprit_is_found_in_few_inserts():
    requests = [b"%d" % n for n in range(64)]
    store = Failing(BadData("corrupt"), requests[40])
    running(lambda batcher: outcomes(batcher, *requests), store)
    assert store.tries <= 1 + 2 * 6 + 1  # the first insert may be of fewer requests


# --- a store that fails


@pytest.mark.parametrize("error", [Busy("down"), RuntimeError("a bug"), OSError("disk full"), MemoryError()])
def test_any_failure_of_the_store_is_busy_for_every_sender_and_the_next_request_is_tried(error):
    store = Failing(error)

    async def work(batcher):
        found = await outcomes(batcher, *(b"%d" % n for n in range(10)))
        store.culprits = {b"none of them"}
        return found, await outcomes(batcher, b"later")

    found, later = running(work, store)
    assert {type(outcome) for outcome in found} == {Busy}
    assert later == [STORED]
    assert store.kept == [b"later"]


def test_a_failure_of_the_database_does_not_halve_the_batch():
    store = Failing(Busy("down"))
    running(lambda batcher: outcomes(batcher, *(b"%d" % n for n in range(100))), store)
    assert store.tries <= 2


# --- a store that is slow


def test_where_the_byte_budget_is_full_new_requests_are_busy_at_once_and_the_others_are_stored():
    sink = Gated()

    async def work(batcher):
        held = [asyncio.create_task(batcher.submit(sent(b"%d" % n + b"x" * 511))) for n in range(4)]
        await entered(sink)
        refused = await outcomes(batcher, *(b"x" * 512 for _ in range(100)))
        sink.gate.set()
        stored = await asyncio.gather(*held, return_exceptions=True)
        return stored, refused, await outcomes(batcher, b"again")

    stored, refused, again = running(work, sink, queue_bytes=2048)
    assert stored == [STORED] * 4
    assert {str(error) for error in refused} == {"2048 bytes are waiting to be stored, the limit is 2048"}
    assert {type(error) for error in refused} == {Busy}
    assert again == [STORED]
    assert len(sink.kept) == 5


def test_who_waits_longer_than_the_store_timeout_is_told_to_come_again_and_nobody_hangs():
    sink = Gated()

    async def work(batcher):
        found = await outcomes(batcher, *(b"%d" % n for n in range(50)))
        sink.gate.set()
        return found, await outcomes(batcher, b"after")

    found, after = running(work, sink, store_timeout_s=0.2)
    assert {str(error) for error in found} == {"not stored within 0.2 s"}
    assert after == [STORED]


def test_what_was_given_up_before_its_insert_is_never_inserted_and_frees_its_bytes():
    sink = Gated()

    async def work(batcher):
        first = asyncio.create_task(batcher.submit(sent(b"first")))
        await entered(sink)
        given_up = asyncio.create_task(batcher.submit(sent(b"x" * 1500)))
        await asyncio.sleep(0.05)
        given_up.cancel()
        sink.gate.set()
        await first
        return await outcomes(batcher, b"y" * 1500)

    assert running(work, sink, queue_bytes=2048) == [STORED]
    assert sink.kept == [b"first", b"y" * 1500]


def test_the_byte_gauge_returns_to_zero():
    registry = CollectorRegistry()

    async def main():
        batcher = Batcher([Failing(Busy("down"))], Settings(), Metrics(registry))
        batcher.start()
        await outcomes(batcher, *(b"%d" % n for n in range(20)))
        await batcher.stop()

    asyncio.run(main())
    assert registry.get_sample_value("spanledger_waiting_bytes") == 0


# --- stopping


def test_a_stop_stores_what_is_waiting_answers_everybody_and_closes_the_stores():
    sink = Gated()

    async def work(batcher):
        waiting = [asyncio.create_task(batcher.submit(sent(b"%d" % n))) for n in range(10)]
        await entered(sink)
        stopping = asyncio.create_task(batcher.stop())
        await asyncio.sleep(0.05)
        late = await outcomes(batcher, b"late")
        sink.gate.set()
        await stopping
        return await asyncio.gather(*waiting, return_exceptions=True), late

    found, late = running(work, sink)
    assert found == [STORED] * 10
    assert [str(error) for error in late] == ["the collector is stopping"]
    assert len(sink.kept) == 10
    assert sink.closed


def test_a_stop_does_not_wait_for_ever_for_a_store_that_hangs():
    sink = Gated()

    async def work(batcher):
        waiting = [asyncio.create_task(batcher.submit(sent(b"%d" % n))) for n in range(10)]
        await entered(sink)
        await batcher.stop()
        async with asyncio.timeout(5):
            return await asyncio.gather(*waiting, return_exceptions=True)

    found = running(work, sink, shutdown_timeout_s=0.5, store_timeout_s=1)
    assert {type(error) for error in found} == {Busy}
