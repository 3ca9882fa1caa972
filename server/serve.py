"""Wires collector and API into one process, or runs one of them, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Literal

import structlog
import uvicorn
from prometheus_client import CollectorRegistry, ProcessCollector

from spanledger.collector.batcher import Batcher
from spanledger.collector.grpc_receiver import GrpcReceiver
from spanledger.collector.ingest import Ingest
from spanledger.collector.metrics import Metrics
from spanledger.collector.store import Store
from spanledger.query_api.app import create_app
from spanledger.schemas.database import Target, connect, migrate, parse_target
from spanledger.schemas.errors import Misconfigured
from spanledger.schemas.prices import load_prices
from spanledger.schemas.settings import Settings, split_listen

Part = Literal["collector", "api"]
log = structlog.get_logger()


def prepare_database(settings: Settings) -> Target:
    """Bring the tables and the price list up to date; raises Misconfigured or Busy where that fails."""
    target = parse_target(settings.database)
    for name in migrate(target):
        log.info("migration applied", name=name)
    client = connect(target)
    try:
        if load_prices(client):
            log.info("prices loaded")
    finally:
        client.close()
    return target


async def serve(settings: Settings, only: Part | None = None) -> None:
    """Serve until SIGTERM or SIGINT.

    Then: no new work, what is waiting is stored and answered, and the process ends within the shutdown
    timeout. Raises Misconfigured where an address or the database cannot be had.
    """
    if only and parse_target(settings.database).embedded:
        raise Misconfigured(
            f"--only {only} needs a ClickHouse server (SPANLEDGER_DATABASE=clickhouse://...): an embedded "
            "database belongs to one process, so collector and API share it"
        )
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    target = await asyncio.to_thread(prepare_database, settings)
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    async with contextlib.AsyncExitStack() as parts:
        if only != "api":
            await parts.enter_async_context(_collector(target, settings, registry))
        queries = only != "collector"
        await parts.enter_async_context(_http(target, settings, registry, queries=queries))
        log.info("ready", database=str(target))
        await stop.wait()
        log.info("stopping")
    log.info("stopped")


@contextlib.asynccontextmanager
async def _collector(target: Target, settings: Settings, registry: CollectorRegistry) -> AsyncIterator[None]:
    metrics = Metrics(registry)
    stores = [Store(target, timeout_s=settings.store_timeout_s) for _ in range(settings.insert_workers)]
    batcher = Batcher(stores, settings, metrics)
    receiver = GrpcReceiver(Ingest(batcher, metrics), settings)
    batcher.start()
    try:
        port = await receiver.start()
        log.info("receiving OTLP over gRPC", listen=settings.grpc_listen, port=port)
        yield
    finally:
        # The receiver refuses new calls at once and waits for those under way, which the batcher answers.
        await asyncio.gather(receiver.stop(settings.shutdown_timeout_s), batcher.stop())


class _HttpServer(uvicorn.Server):
    """A uvicorn server that leaves the signals to `serve`."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def _http(
    target: Target, settings: Settings, registry: CollectorRegistry, *, queries: bool
) -> AsyncIterator[None]:
    listener = _bind(settings.api_listen)
    config = uvicorn.Config(
        create_app(target, settings, registry, queries=queries),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(settings.shutdown_timeout_s),
    )
    server = _HttpServer(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    host, port = listener.getsockname()[:2]
    log.info(
        "answering queries" if queries else "answering health checks", url=f"http://{host}:{port}", port=port
    )
    try:
        yield
    finally:
        server.should_exit = True
        await task


def _bind(listen: str) -> socket.socket:
    host, port = split_listen(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        # From here on a connection waits for the server to start; without it, it would be refused.
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise Misconfigured(
            f"SPANLEDGER_API_LISTEN={listen}: cannot listen there ({error.strerror})"
        ) from error
    return listener
