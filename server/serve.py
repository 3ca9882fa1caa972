"""Wires collector and API into one process, or runs one of them, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import platform
import shutil
import signal
import socket
import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import structlog
import uvicorn
from clickhouse_connect.driver.exceptions import ClickHouseError
from prometheus_client import CollectorRegistry, Info, ProcessCollector

from spanledger.collector.batcher import Batcher
from spanledger.collector.duplicates.resolve import Duplicates
from spanledger.collector.grpc_receiver import GrpcReceiver
from spanledger.collector.http_receiver import HttpReceiver
from spanledger.collector.ingest import Ingest
from spanledger.collector.metrics import Metrics
from spanledger.collector.store import Store
from spanledger.query_api.app import create_app
from spanledger.schemas.database import Target, connect, migrate, parse_target
from spanledger.schemas.errors import Misconfigured
from spanledger.schemas.keys import Keys
from spanledger.schemas.prices import load_prices
from spanledger.schemas.removals import Removals
from spanledger.schemas.settings import Settings, split_listen
from spanledger.schemas.tls import Tls, read_tls
from spanledger.server.log_errors import in_words

Part = Literal["collector", "api"]
log = structlog.get_logger()
_M_ARENA_MAX = -8  # malloc.h


def prepare_database(settings: Settings) -> Target:
    """Bring the tables and the price list up to date; raises Misconfigured or Busy where that fails."""
    target = parse_target(settings.database)
    try:
        for name in migrate(target):
            log.info("migration applied", name=name)
        client = connect(target)
        try:
            if load_prices(client):
                log.info("prices loaded")
        finally:
            client.close()
    except ClickHouseError as error:
        raise Misconfigured(
            f"{target} cannot be brought up to date: {in_words(error)} (`spanledger doctor` tells more)"
        ) from error
    if target.embedded:
        _spool_in(Path(target.path) / "spool")
    return target


def _spool_in(folder: Path) -> None:
    """Keep what is handed to the embedded engine, as files, with the database and not in a shared folder.

    What a process that was killed left there is removed: the folder is held by this one.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    tempfile.tempdir = str(folder)


def registry_of_the_process() -> CollectorRegistry:
    """A registry with what every process shows: its build, and what it uses of the machine."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    build = Info("spanledger_build", "The versions of spanledger and of Python.", registry=registry)
    build.info({"version": version("spanledger"), "python": platform.python_version()})
    return registry


def _share_one_heap() -> None:
    """Where malloc is glibc's: threads' own heaps kept 150 MB of what requests had left there under load."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(_M_ARENA_MAX, 1)


async def serve(settings: Settings, only: Part | None = None) -> None:
    """Serve until SIGTERM or SIGINT.

    Then: not ready any more, no new work, what is waiting is stored and answered, and the process ends
    within the shutdown timeout. Raises Misconfigured where an address, the database or the certificate
    cannot be had.
    """
    if only and parse_target(settings.database).embedded:
        raise Misconfigured(
            f"--only {only} needs a ClickHouse server (SPANLEDGER_DATABASE=clickhouse://...): an embedded "
            "database belongs to one process, so collector and API share it"
        )
    _share_one_heap()
    tls = read_tls(settings)
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    _refuse_open_door(settings, parse_target(settings.database))
    target = await asyncio.to_thread(prepare_database, settings)
    registry = registry_of_the_process()
    phase = _Phase(settings.shutdown_timeout_s)
    async with contextlib.AsyncExitStack() as parts:
        keys = await parts.enter_async_context(_keys(target, settings, phase))
        # What is entered last ends first: health and metrics are answered until the collector is done.
        removals = Removals(target, settings.retention_days)
        await asyncio.to_thread(removals.start)
        parts.callback(lambda: removals.stop(phase.left_s()))
        queries = only != "collector"
        await parts.enter_async_context(
            _http(target, settings, registry, phase, keys=keys, removals=removals, queries=queries)
        )
        if only != "api":
            await parts.enter_async_context(
                _collector(target, settings, registry, tls, phase, keys=keys, removals=removals)
            )
        # Modules and tables stay to the end: looking through them for garbage took 1 % of all processor time.
        gc.collect()
        gc.freeze()
        phase.begin()
        log.info("ready", database=str(target))
        await stop.wait()
        phase.end()
        log.info("stopping")
    log.info("stopped")


class _Phase:
    """Whether the server is ready; and once it is told to stop, how long it may still take."""

    def __init__(self, stop_s: float) -> None:
        self._stop_s = stop_s
        self._end_at = 0.0
        self.ready = False

    def begin(self) -> None:
        self.ready = True

    def end(self) -> None:
        self.ready = False
        self._end_at = time.monotonic() + self._stop_s * 0.9  # the interpreter's own end takes the rest

    def left_s(self) -> float:
        return max(0.1, self._end_at - time.monotonic())


def _refuse_open_door(settings: Settings, target: Target, keys: Keys | None = None) -> None:
    """Raise Misconfigured where other machines could connect and nobody needs a key, as far as is known."""
    wrong = settings.open_door()
    new = target.embedded and not Path(target.path).exists()
    if wrong and (new if keys is None else keys.open_to is not None):
        raise Misconfigured(wrong)


@contextlib.asynccontextmanager
async def _keys(target: Target, settings: Settings, phase: _Phase) -> AsyncIterator[Keys]:
    """Who is let in, for all parts of this process. Raises Misconfigured where that would be everybody."""
    keys = Keys(settings, target)
    await asyncio.to_thread(keys.read)
    _refuse_open_door(settings, target, keys)
    keys.start()
    try:
        yield keys
    finally:
        await asyncio.to_thread(keys.stop, phase.left_s())


@contextlib.asynccontextmanager
async def _collector(
    target: Target,
    settings: Settings,
    registry: CollectorRegistry,
    tls: Tls | None,
    phase: _Phase,
    *,
    keys: Keys,
    removals: Removals,
) -> AsyncIterator[None]:
    metrics = Metrics(registry)
    duplicates = Duplicates(target, settings, metrics)
    stores = [Store(target, settings, duplicates.watch, removals) for _ in range(settings.insert_workers)]
    batcher = Batcher(stores, settings, metrics)
    ingest = Ingest(batcher, settings, metrics, removals)
    over_grpc = GrpcReceiver(ingest, settings, metrics, tls=tls, keys=keys)
    over_http = HttpReceiver(ingest, settings, metrics, tls=tls, keys=keys)
    batcher.start()
    duplicates.start()
    try:
        port = await over_grpc.start()
        log.info("receiving OTLP over gRPC", listen=settings.grpc_listen, port=port)
        port = await over_http.start()
        log.info("receiving OTLP over HTTP", listen=settings.otlp_http_listen, port=port)
        yield
    finally:
        # The receivers refuse new calls at once and wait for those under way, which the batcher answers.
        grace_s = phase.left_s() * 0.9
        await asyncio.gather(over_grpc.stop(grace_s), over_http.stop(grace_s), batcher.stop())
        await asyncio.to_thread(duplicates.stop, phase.left_s())


class _HttpServer(uvicorn.Server):
    """A uvicorn server that leaves the signals to `serve`."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def _http(
    target: Target,
    settings: Settings,
    registry: CollectorRegistry,
    phase: _Phase,
    *,
    keys: Keys,
    removals: Removals,
    queries: bool,
) -> AsyncIterator[None]:
    listener = _bind(settings.api_listen)
    config = uvicorn.Config(
        create_app(
            target,
            settings,
            registry,
            queries=queries,
            ready=lambda: phase.ready,
            keys=keys,
            removals=removals,
        ),
        log_config=None,
        access_log=False,
        server_header=False,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
        ssl_ca_certs=settings.tls_client_ca,
        ssl_cert_reqs=ssl.CERT_REQUIRED if settings.tls_client_ca else ssl.CERT_NONE,
    )
    server = _HttpServer(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    host, port = listener.getsockname()[:2]
    log.info(
        "answering queries" if queries else "answering health checks",
        url=f"{'https' if config.is_ssl else 'http'}://{host}:{port}",
        port=port,
    )
    try:
        yield
    finally:
        config.timeout_graceful_shutdown = phase.left_s()  # type: ignore[assignment]  # it takes parts of a second
        server.should_exit = True
        await task


def _bind(listen: str) -> socket.socket:
    host, port = split_listen(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Of a socket that does not say that it is TCP asyncio leaves Nagle's algorithm on: 40 ms an answer.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
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
