"""The route of one trace."""

from __future__ import annotations

from typing import Annotated

from clickhouse_connect.driver.client import Client
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from spanledger.query_api.access.callers import Project
from spanledger.query_api.parameters import TraceId
from spanledger.query_api.trees import otlp, spans
from spanledger.query_api.trees.parameters import TreeFormat, TreeParameters
from spanledger.schemas.api import TraceTree
from spanledger.schemas.errors import NotFound

trees = APIRouter(tags=["traces"])

PROTOBUF, JSON = "application/x-protobuf", "application/json"


@trees.get(
    "/traces/{trace_id}",
    summary="A trace as a tree, or as OTLP",
    response_model=TraceTree,
    responses={200: {"content": {PROTOBUF: {}}}},
)
async def trace(
    request: Request, project: Project, trace_id: TraceId, parameters: Annotated[TreeParameters, Query()]
) -> Response:
    """Every span of the trace exactly once, in a tree that does not depend on the order of arrival.

    With `fields` spans have those groups of fields only; `-content` leaves out prompts and answers, which are
    not read then. With `format=otlp` it is what was sent, to be sent again.
    """
    readers, wanted = request.app.state.readers, trace_id.lower()
    if parameters.format == "json":
        groups = parameters.groups()
        body = await readers.run(lambda client: spans.trace_json(client, project, wanted, groups))
        return Response(body, media_type=JSON)
    as_json = not _asks_for_protobuf(request)
    body = await readers.run(
        lambda client: trace_otlp(client, project, wanted, parameters.format, as_json=as_json)
    )
    return Response(body, media_type=JSON if as_json else PROTOBUF, headers={"Vary": "Accept"})


def _asks_for_protobuf(request: Request) -> bool:
    asked = (part.partition(";")[0].strip().lower() for part in request.headers.get("accept", "").split(","))
    return PROTOBUF in asked


def trace_otlp(client: Client, project: str, trace_id: str, what: TreeFormat, *, as_json: bool) -> bytes:
    """The spans or log records of a trace as OTLP. NotFound, or TraceTooLarge beyond what a tree may have."""
    if what == "otlp":
        rows = otlp.read_rows(client, otlp.SPANS_SQL, project, trace_id, spans.MOST_SPANS)
        if not rows:
            raise NotFound(f"No trace {trace_id} is stored")
        return otlp.spans_otlp(rows, as_json=as_json)
    rows = otlp.read_rows(client, otlp.LOGS_SQL, project, trace_id, otlp.MOST_LOGS)
    if not rows:
        raise NotFound(f"No log records of trace {trace_id} are stored")
    return otlp.logs_otlp(rows, as_json=as_json)
