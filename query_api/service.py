"""The routes of the service itself: is it there, how is it, what does it count."""

from __future__ import annotations

import os
from importlib.metadata import version

from clickhouse_connect.driver.client import Client
from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from spanledger.query_api.parameters import TAKES_NONE
from spanledger.query_api.readers import Readers
from spanledger.query_api.status import read_state
from spanledger.schemas.api import Health, LedgerState
from spanledger.schemas.errors import Busy

_READY_S = 5.0
_STATUS_S = 10.0

service = APIRouter(tags=["service"])


@service.get("/healthz", summary="Is the process alive", response_model=Health)
async def healthz() -> Health:
    """Asks nobody, not even the database."""
    return Health(status="ok")


@service.get("/readyz", summary="Does the database answer", response_model=Health)
async def readyz(request: Request) -> Health:
    """503 where the database does not answer, and while the server starts or stops."""
    if not request.app.state.ready():
        raise Busy("The server starts or stops")
    readers: Readers = request.app.state.probe
    await readers.run(_touch, deadline_s=_READY_S)
    return Health(status="ready")


def _touch(client: Client) -> None:
    client.command("SELECT count() FROM spans WHERE 0")


@service.get("/metrics", summary="Counters in the text format of Prometheus", response_class=Response)
async def metrics(request: Request) -> Response:
    state = request.app.state
    await state.storage.refresh(state.probe)
    text = await run_in_threadpool(generate_latest, state.registry)
    return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})


@service.get(
    "/api/v1/status",
    summary="Versions, migrations, prices, room, and what came last",
    response_model=LedgerState,
    dependencies=TAKES_NONE,
)
async def status(request: Request) -> LedgerState:
    """For who runs the ledger: `spanledger doctor` asks this of one that is running."""
    app = request.app
    database = await app.state.probe.run(read_state, deadline_s=_STATUS_S)
    return LedgerState(
        version=version("spanledger"), pid=os.getpid(), embedded=app.state.embedded, database=database
    )
