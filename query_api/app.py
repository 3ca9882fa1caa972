"""The HTTP API: routes, and what stands around every one of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from starlette.concurrency import run_in_threadpool

from spanledger.query_api.access.doors import Access, PlainHeaders
from spanledger.query_api.metrics import HttpMetrics, Measured, templates_of
from spanledger.query_api.prices.books import Books
from spanledger.query_api.problems import MEDIA_TYPE, Failures, install_problems
from spanledger.query_api.readers import KeyWriter, Readers, Writer
from spanledger.query_api.rooms import ROOMS, allowed_for
from spanledger.query_api.service import service
from spanledger.query_api.sql.runs import Sql
from spanledger.query_api.storage import StorageGauges
from spanledger.query_api.upkeep.deletion import DeletionWriter
from spanledger.query_api.upkeep.importing import MOST_LINE_BYTES
from spanledger.query_api.upkeep.keeper import Keeper
from spanledger.schemas.api import Problem
from spanledger.schemas.database import Target, parse_target
from spanledger.schemas.keys import Keys
from spanledger.schemas.memory import Memory
from spanledger.schemas.removals import Removals
from spanledger.schemas.settings import Settings

_FIRST_READING_S = 5.0
_PATIENCE_OF_ANALYSTS_S = 30.0
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    "default": {"model": Problem, "description": "Any error: a problem (RFC 9457)."}
}


def create_app(
    target: Target,
    settings: Settings,
    registry: CollectorRegistry,
    *,
    queries: bool = True,
    ready: Callable[[], bool] = lambda: True,
    keys: Keys | None = None,
    removals: Removals | None = None,
) -> FastAPI:
    """The query API on one database. `registry` is what GET /metrics shows.

    The database need not be there when the application starts. It must not be forked after that.
    Without `queries` only health and metrics are answered, for a collector that runs alone.
    `ready`: whether the process wants work, which GET /readyz asks before it asks the database.
    `keys`: who is let in, where a collector shares that; whoever made it starts and stops it.
    `removals`: what must not be stored, where a collector in the same process shares it.
    """
    shared, keys = keys is not None, keys or Keys(settings, target)

    sql_target = parse_target(settings.sql_database) if settings.sql_database else None

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        made: dict[str, Any] = {
            "readers": Readers(target),
            # Sums over millions of spans, and files, take both cores and hundreds of megabytes: one at a
            # time, and pages do not wait for them.
            "analysts": Readers(target, size=1, patience_s=_PATIENCE_OF_ANALYSTS_S),
            # One of its own, so that long queries do not make the service look unready.
            "probe": Readers(target, size=1),
            "books": Books(target),
            "writer": Writer(target),
            "key_writer": KeyWriter(target),
            "deletion_writer": DeletionWriter(target),
            "sql": Sql(target, sql_target),
        }
        app.state.removals = removals or Removals(target, settings.retention_days)
        app.state.keeper = keeper = Keeper(target, app.state.removals)
        async with AsyncExitStack() as opened:
            for name, one in made.items():
                setattr(app.state, name, opened.enter_context(closing(one)))
            opened.enter_context(closing(app.state.storage))
            opened.push_async_callback(run_in_threadpool, keeper.stop)
            if queries:
                keeper.start()
            if not shared:
                opened.push_async_callback(run_in_threadpool, keys.stop)
                keys.start()
                await run_in_threadpool(keys.wait, _FIRST_READING_S)
            yield

    app = FastAPI(
        title="spanledger",
        summary="Traces, span trees and what they cost.",
        version=version("spanledger"),
        lifespan=lifespan,
        redirect_slashes=False,
        redoc_url=None,
        responses=_PROBLEMS,
    )
    app.state.cost_preference = settings.cost_preference
    app.state.prices_url = settings.prices_url
    app.state.embedded = target.embedded
    app.state.import_memory = Memory(MOST_LINE_BYTES)
    app.state.registry = registry
    app.state.keys = keys
    app.state.ready = ready
    app.state.storage = StorageGauges(registry)
    app.include_router(service)
    if queries:
        for room in ROOMS:
            app.include_router(room.routes, prefix="/api/v1")
    app.state.templates = templates_of(app.routes)
    install_problems(app, allowed_for)
    _document_problems(app)
    # The last one added stands outermost.
    app.add_middleware(Access, settings=settings, keys=keys, of=app)
    app.add_middleware(Failures)
    app.add_middleware(Measured, metrics=HttpMetrics(registry))
    app.add_middleware(PlainHeaders)
    return app


def _document_problems(app: FastAPI) -> None:
    """FastAPI would document problems as application/json."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        for operations in document["paths"].values():
            for operation in operations.values():
                content = operation["responses"]["default"]["content"]
                if MEDIA_TYPE not in content:
                    content[MEDIA_TYPE] = content.popitem()[1]
        return document

    app.openapi = openapi  # type: ignore[method-assign]
