"""The HTTP API: routes, and what stands around every one of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from spanledger.query_api.access.doors import Access, PlainHeaders
from spanledger.query_api.metrics import HttpMetrics, Measured, templates_of
from spanledger.query_api.parameters import ALLOWED, ALLOWED_IN_PATH
from spanledger.query_api.prices.books import Books
from spanledger.query_api.prices.parameters import ALLOWED_IN_PRICE_PATHS, ALLOWED_OF_PRICES
from spanledger.query_api.prices.routes import prices
from spanledger.query_api.problems import MEDIA_TYPE, Failures, install_problems
from spanledger.query_api.readers import Readers, Writer
from spanledger.query_api.search.routes import search
from spanledger.query_api.service import service
from spanledger.query_api.storage import StorageGauges
from spanledger.query_api.trees.routes import trees
from spanledger.query_api.upkeep.deletion import DeletionWriter
from spanledger.query_api.upkeep.deletion_parameters import ALLOWED_IN_DELETION_PATHS, ALLOWED_OF_DELETION
from spanledger.query_api.upkeep.deletion_routes import deletion
from spanledger.query_api.upkeep.keeper import Keeper
from spanledger.schemas.api import Problem
from spanledger.schemas.database import Target
from spanledger.schemas.removals import Removals
from spanledger.schemas.settings import Settings

_ROOMS = (trees, search, prices, deletion)
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
    removals: Removals | None = None,
) -> FastAPI:
    """The query API on one database. `registry` is what GET /metrics shows.

    The database need not be there when the application starts. It must not be forked after that.
    Without `queries` only health and metrics are answered, for a collector that runs alone.
    `ready`: whether the process wants work, which GET /readyz asks before it asks the database.
    `removals`: what must not be stored, where a collector in the same process shares it.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.readers = Readers(target)
        # One of its own, so that long queries do not make the service look unready.
        app.state.probe = Readers(target, size=1)
        app.state.books = Books(target)
        app.state.writer = Writer(target)
        app.state.deletion_writer = DeletionWriter(target)
        app.state.removals = removals or Removals(target, settings.retention_days)
        app.state.keeper = Keeper(target, app.state.removals)
        if queries:
            app.state.keeper.start()
        try:
            yield
        finally:
            app.state.storage.close()
            app.state.readers.close()
            app.state.probe.close()
            app.state.books.close()
            app.state.writer.close()
            app.state.deletion_writer.close()
            await asyncio.to_thread(app.state.keeper.stop)

    app = FastAPI(
        title="spanledger",
        summary="Traces, span trees and what they cost.",
        version=version("spanledger"),
        lifespan=lifespan,
        redirect_slashes=False,
        redoc_url=None,
        responses=_PROBLEMS,
    )
    app.state.project = settings.project
    app.state.cost_preference = settings.cost_preference
    app.state.prices_url = settings.prices_url
    app.state.embedded = target.embedded
    app.state.registry = registry
    app.state.ready = ready
    app.state.storage = StorageGauges(registry)
    app.include_router(service)
    if queries:
        for room in _ROOMS:
            app.include_router(room, prefix="/api/v1")
    app.state.templates = templates_of(app.routes)
    install_problems(
        app,
        ALLOWED_OF_DELETION | ALLOWED_OF_PRICES | ALLOWED,
        ALLOWED_IN_DELETION_PATHS | ALLOWED_IN_PRICE_PATHS | ALLOWED_IN_PATH,
    )
    _document_problems(app)
    # The last one added stands outermost.
    app.add_middleware(Access, settings=settings)
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
