"""The HTTP API: routes, and what stands around every one of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from starlette.concurrency import run_in_threadpool

from spanledger.query_api.access.doors import Access, PlainHeaders
from spanledger.query_api.access.parameters import ALLOWED_IN_KEY_PATHS, ALLOWED_OF_KEYS
from spanledger.query_api.access.routes import access
from spanledger.query_api.metrics import HttpMetrics, Measured, templates_of
from spanledger.query_api.parameters import ALLOWED, ALLOWED_IN_PATH
from spanledger.query_api.prices.books import Books
from spanledger.query_api.prices.parameters import ALLOWED_IN_PRICE_PATHS, ALLOWED_OF_PRICES
from spanledger.query_api.prices.routes import prices
from spanledger.query_api.problems import MEDIA_TYPE, Failures, install_problems
from spanledger.query_api.readers import KeyWriter, Readers, Writer
from spanledger.query_api.search.parameters import ALLOWED_IN_SEARCH
from spanledger.query_api.search.routes import search
from spanledger.query_api.service import service
from spanledger.query_api.sessions.parameters import ALLOWED_IN_SESSION_PATHS, ALLOWED_IN_SESSIONS
from spanledger.query_api.sessions.routes import sessions
from spanledger.query_api.sql.routes import sql
from spanledger.query_api.sql.runs import Sql
from spanledger.query_api.stats.parameters import ALLOWED_IN_STATS
from spanledger.query_api.stats.routes import stats
from spanledger.query_api.storage import StorageGauges
from spanledger.query_api.trees.parameters import ALLOWED_OF_TREES
from spanledger.query_api.trees.routes import trees
from spanledger.query_api.upkeep.export_parameters import ALLOWED_OF_EXPORT
from spanledger.query_api.upkeep.export_routes import export
from spanledger.schemas.api import Problem
from spanledger.schemas.database import Target, parse_target
from spanledger.schemas.keys import Keys
from spanledger.schemas.settings import Settings

_FIRST_READING_S = 5.0
_ROOMS = (trees, search, prices, stats, sessions, export, sql, access)
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
) -> FastAPI:
    """The query API on one database. `registry` is what GET /metrics shows.

    The database need not be there when the application starts. It must not be forked after that.
    Without `queries` only health and metrics are answered, for a collector that runs alone.
    `ready`: whether the process wants work, which GET /readyz asks before it asks the database.
    `keys`: who is let in, where a collector shares that; whoever made it starts and stops it.
    """
    shared, keys = keys is not None, keys or Keys(settings, target)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.readers = Readers(target)
        # One of its own, so that long queries do not make the service look unready.
        app.state.probe = Readers(target, size=1)
        app.state.books = Books(target)
        app.state.writer = Writer(target)
        app.state.key_writer = KeyWriter(target)
        if not shared:
            keys.start()
            await run_in_threadpool(keys.wait, _FIRST_READING_S)
        app.state.sql = sql_of_projects
        try:
            yield
        finally:
            app.state.storage.close()
            app.state.readers.close()
            app.state.probe.close()
            app.state.books.close()
            app.state.writer.close()
            app.state.key_writer.close()
            if not shared:
                await run_in_threadpool(keys.stop)
            app.state.sql.close()

    sql_of_projects = Sql(target, parse_target(settings.sql_database) if settings.sql_database else None)
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
    app.state.registry = registry
    app.state.keys = keys
    app.state.ready = ready
    app.state.storage = StorageGauges(registry)
    app.include_router(service)
    if queries:
        for room in _ROOMS:
            app.include_router(room, prefix="/api/v1")
    app.state.templates = templates_of(app.routes)
    install_problems(
        app,
        ALLOWED_OF_EXPORT
        | ALLOWED_OF_TREES
        | ALLOWED_OF_PRICES
        | ALLOWED_OF_KEYS
        | ALLOWED_IN_SEARCH
        | ALLOWED_IN_STATS
        | ALLOWED_IN_SESSIONS
        | ALLOWED,
        ALLOWED_IN_KEY_PATHS | ALLOWED_IN_PRICE_PATHS | ALLOWED_IN_SESSION_PATHS | ALLOWED_IN_PATH,
    )
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
