"""The routes of stats and facets."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from spanledger.query_api.access.callers import Project
from spanledger.query_api.parameters import TAKES_NONE
from spanledger.query_api.stats.parameters import StatsParameters
from spanledger.query_api.stats.stats import stats_json
from spanledger.schemas.stats_api import Stats

stats = APIRouter(tags=["stats"])


@stats.get("/stats", summary="What calls amount to, by group and by time", response_model=Stats)
async def get_stats(
    request: Request, project: Project, parameters: Annotated[StatsParameters, Query()]
) -> Response:
    """Calls, errors, tokens, cost and times of the calls that began in a time and fulfil the conditions, in
    all and for each group and bucket. A second record of a call is never counted.
    """
    return await _stats(request, project, parameters)


@stats.post("/stats", summary="The same, asked in JSON", response_model=Stats, dependencies=TAKES_NONE)
async def post_stats(request: Request, project: Project, asked: StatsParameters) -> Response:
    """The parameters of the other form as the members of an object."""
    return await _stats(request, project, asked)


async def _stats(request: Request, project: str, parameters: StatsParameters) -> Response:
    asked = parameters.asked()
    body = await request.app.state.readers.run(lambda client: stats_json(client, project, asked))
    return Response(body, media_type="application/json")
