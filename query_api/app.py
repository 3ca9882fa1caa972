"""The HTTP API: routes, and what stands around every one of them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Annotated, Any

from clickhouse_connect.driver.client import Client
from fastapi import APIRouter, Depends, FastAPI, Query, Request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from spanledger.query_api.access import Access, PlainHeaders
from spanledger.query_api.cursors import encode_cursor
from spanledger.query_api.metrics import HttpMetrics, Measured, templates_of
from spanledger.query_api.parameters import ALLOWED, ALLOWED_IN_PATH, NoParameters, TraceId, TraceParameters
from spanledger.query_api.prices.books import Books
from spanledger.query_api.prices.parameters import ALLOWED_IN_PRICE_PATHS, ALLOWED_OF_PRICES
from spanledger.query_api.prices.routes import prices
from spanledger.query_api.problems import MEDIA_TYPE, Failures, install_problems
from spanledger.query_api.readers import Readers, Writer
from spanledger.query_api.spans import trace_json
from spanledger.query_api.status import read_state
from spanledger.query_api.storage import StorageGauges
from spanledger.query_api.traces import list_traces
from spanledger.schemas.api import Health, LedgerState, Problem, TracePage, TraceSummary, TraceTree
from spanledger.schemas.database import Target
from spanledger.schemas.errors import Busy
from spanledger.schemas.settings import Settings

_READY_S = 5.0
_STATUS_S = 10.0
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
) -> FastAPI:
    """The query API on one database. `registry` is what GET /metrics shows.

    The database need not be there when the application starts. It must not be forked after that.
    Without `queries` only health and metrics are answered, for a collector that runs alone.
    `ready`: whether the process wants work, which GET /readyz asks before it asks the database.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.readers = Readers(target)
        # One of its own, so that long queries do not make the service look unready.
        app.state.probe = Readers(target, size=1)
        app.state.books = Books(target)
        app.state.writer = Writer(target)
        try:
            yield
        finally:
            app.state.storage.close()
            app.state.readers.close()
            app.state.probe.close()
            app.state.books.close()
            app.state.writer.close()

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
    app.include_router(_service)
    if queries:
        app.include_router(_traces, prefix="/api/v1")
        app.include_router(prices, prefix="/api/v1")
    app.state.templates = templates_of(app.routes)
    install_problems(app, ALLOWED_OF_PRICES | ALLOWED, ALLOWED_IN_PRICE_PATHS | ALLOWED_IN_PATH)
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


def _no_parameters(parameters: Annotated[NoParameters, Query()]) -> None:
    """Refuse parameters instead of ignoring them."""


_service = APIRouter(tags=["service"])
_traces = APIRouter(tags=["traces"])


@_service.get("/healthz", summary="Is the process alive", response_model=Health)
async def healthz() -> Health:
    """Asks nobody, not even the database."""
    return Health(status="ok")


@_service.get("/readyz", summary="Does the database answer", response_model=Health)
async def readyz(request: Request) -> Health:
    """503 where the database does not answer, and while the server starts or stops."""
    if not request.app.state.ready():
        raise Busy("The server starts or stops")
    readers: Readers = request.app.state.probe
    await readers.run(_touch, deadline_s=_READY_S)
    return Health(status="ready")


def _touch(client: Client) -> None:
    client.command("SELECT count() FROM spans WHERE 0")


@_service.get("/metrics", summary="Counters in the text format of Prometheus", response_class=Response)
async def metrics(request: Request) -> Response:
    state = request.app.state
    await state.storage.refresh(state.probe)
    text = await run_in_threadpool(generate_latest, state.registry)
    return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})


@_service.get(
    "/api/v1/status",
    summary="Versions, migrations, prices, room, and what came last",
    response_model=LedgerState,
    dependencies=[Depends(_no_parameters)],
)
async def status(request: Request) -> LedgerState:
    """For who runs the ledger: `spanledger doctor` asks this of one that is running."""
    app = request.app
    database = await app.state.probe.run(read_state, deadline_s=_STATUS_S)
    return LedgerState(
        version=version("spanledger"), pid=os.getpid(), embedded=app.state.embedded, database=database
    )


@_traces.get("/traces", summary="List traces, newest first", response_model=TracePage)
async def traces(request: Request, parameters: Annotated[TraceParameters, Query()]) -> TracePage:
    """Conditions choose traces; a summary covers the whole trace, not only the spans that match.

    Pages stay right while spans arrive: a cursor names a place in the list. (A trace to which an earlier
    span arrives in between moves to where it then belongs.)
    """
    app = request.app
    shown, position = await app.state.readers.run(
        lambda client: list_traces(
            client, app.state.project, parameters.search(), limit=parameters.limit, after=parameters.after()
        )
    )
    return TracePage(
        traces=[TraceSummary.model_validate(summary) for summary in shown],
        next_cursor=None if position is None else encode_cursor(position),
    )


@_traces.get(
    "/traces/{trace_id}",
    summary="A trace as a tree",
    response_model=TraceTree,
    dependencies=[Depends(_no_parameters)],
)
async def trace(request: Request, trace_id: TraceId) -> Response:
    """Every span of the trace exactly once, in a tree that does not depend on the order of arrival."""
    app = request.app
    body = await app.state.readers.run(lambda client: trace_json(client, app.state.project, trace_id.lower()))
    return Response(body, media_type="application/json")
