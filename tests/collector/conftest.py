"""A collector inside the test's process, on the engine that the tests share."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from otlp_sender import Sender
from prometheus_client import CollectorRegistry
from wire import Wire

from spanledger.collector.batcher import Batcher, Inserts
from spanledger.collector.grpc_receiver import GrpcReceiver
from spanledger.collector.http_receiver import HttpReceiver
from spanledger.collector.ingest import Ingest
from spanledger.collector.metrics import Metrics
from spanledger.collector.store import Store
from spanledger.schemas.keys import Keys
from spanledger.schemas.removals import Removals
from spanledger.schemas.settings import Settings
from spanledger.schemas.tls import read_tls

ANY_PORTS = {"grpc_listen": "127.0.0.1:0", "otlp_http_listen": "127.0.0.1:0"}


@dataclass
class Collector:
    """A collector that is running: where it listens, and what it counts."""

    port: int
    http_port: int
    batcher: Batcher
    registry: CollectorRegistry

    def sender(self, **options: Any) -> Sender:
        return Sender(self.port, **options)

    def client(self, *, key: str | None = None) -> httpx.Client:
        """A client of OTLP over HTTP, on a connection of its own."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx.Client(
            base_url=f"http://127.0.0.1:{self.http_port}", headers=headers, trust_env=False, timeout=30
        )

    def counted(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


@contextlib.contextmanager
def running_collector(
    stores: Sequence[Inserts],
    settings: Settings,
    keys: Keys | None = None,
    removals: Removals | None = None,
) -> Iterator[Collector]:
    """The receivers and what is behind them in an event loop of their own; stopped at the end."""
    with running_loop() as run:
        registry = CollectorRegistry()
        metrics = Metrics(registry)
        batcher = run(_made(lambda: Batcher(stores, settings, metrics)))
        ingest, tls = Ingest(batcher, settings, metrics, removals), read_tls(settings)
        over_grpc = run(_made(lambda: GrpcReceiver(ingest, settings, metrics, tls=tls, keys=keys)))
        over_http = run(_made(lambda: HttpReceiver(ingest, settings, metrics, tls=tls, keys=keys)))
        run(_made(batcher.start))
        yield Collector(run(over_grpc.start()), run(over_http.start()), batcher, registry)
        run(_stopped(over_grpc, over_http, batcher, min(5, settings.shutdown_timeout_s)))


async def _made(make: Callable[[], Any]) -> Any:
    # All belong to the loop in which they are made.
    return make()


async def _stopped(
    over_grpc: GrpcReceiver, over_http: HttpReceiver, batcher: Batcher, grace_s: float
) -> None:
    await asyncio.gather(over_grpc.stop(grace_s), over_http.stop(grace_s), batcher.stop())


@contextlib.contextmanager
def running_loop() -> Iterator[Callable[[Coroutine[Any, Any, Any]], Any]]:
    """An event loop in a thread; yields what runs a coroutine there and gives its result."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="collector", daemon=True)
    thread.start()
    try:
        yield lambda work: asyncio.run_coroutine_threadsafe(work, loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@pytest.fixture(scope="module")
def collector(target) -> Iterator[Collector]:
    """A collector with the default limits on the real engine."""
    settings = Settings(**ANY_PORTS, project="over-grpc")
    with running_collector([Store(target, settings), Store(target, settings)], settings) as running:
        yield running


@pytest.fixture
def collect() -> Callable[..., contextlib.AbstractContextManager[Collector]]:
    """Starts a collector on the given stores, with the given keys, removals and settings."""
    return lambda stores, keys=None, removals=None, **settings: running_collector(
        stores, Settings(**(ANY_PORTS | settings)), keys, removals
    )


@pytest.fixture
def rows(reader) -> Callable[..., list[tuple]]:
    """The rows of a trace: `rows(trace_id, "name", "cost_usd")`, as every answer of the API reads them."""

    def read(trace_id: bytes, *columns: str) -> list[tuple]:
        return reader.query(
            f"SELECT {', '.join(columns or ('name',))} FROM spans FINAL WHERE project = 'over-grpc' "
            "AND hex(trace_id) = {t:String} ORDER BY name",
            parameters={"t": trace_id.hex().upper()},
        ).result_rows

    return read


@pytest.fixture
def wire() -> Callable[[Collector], Wire]:
    """Opens a connection to a collector's HTTP port, for bytes."""
    return lambda collector: Wire(collector.http_port)
