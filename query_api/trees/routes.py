"""The route of one trace."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from spanledger.query_api.access.callers import Project
from spanledger.query_api.parameters import TAKES_NONE, TraceId
from spanledger.query_api.trees.spans import trace_json
from spanledger.schemas.api import TraceTree

trees = APIRouter(tags=["traces"])


@trees.get(
    "/traces/{trace_id}",
    summary="A trace as a tree",
    response_model=TraceTree,
    dependencies=TAKES_NONE,
)
async def trace(request: Request, project: Project, trace_id: TraceId) -> Response:
    """Every span of the trace exactly once, in a tree that does not depend on the order of arrival."""
    app = request.app
    body = await app.state.readers.run(lambda client: trace_json(client, project, trace_id.lower()))
    return Response(body, media_type="application/json")
