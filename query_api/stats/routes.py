"""The routes of stats and facets."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from spanledger.query_api.access.callers import Project
from spanledger.query_api.parameters import TAKES_NONE
from spanledger.query_api.stats.facets import attribute_facets, facets
from spanledger.query_api.stats.parameters import (
    AttributeParameters,
    FacetParameters,
    StatsParameters,
    StatsRequest,
)
from spanledger.query_api.stats.stats import stats_json
from spanledger.schemas.stats_api import AttributeFacets, Facets, Stats

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
async def post_stats(request: Request, project: Project, asked: StatsRequest) -> Response:
    """The parameters of the other form as the members of an object, and `where`."""
    return await _stats(request, project, asked)


@stats.get("/facets", summary="Values that spans have", response_model=Facets)
async def get_facets(
    request: Request, project: Project, parameters: Annotated[FacetParameters, Query()]
) -> Facets:
    """The most frequent services, models, users ... of the spans of a time, for building filters. Users,
    conversations and experiments are counted where a span names them itself.
    """
    asked = parameters.asked()
    found = await request.app.state.analysts.run(lambda client: facets(client, project, asked))
    return Facets.model_validate(found)


@stats.get("/facets/attributes", summary="Attributes that spans have", response_model=AttributeFacets)
async def get_attribute_facets(
    request: Request, project: Project, parameters: Annotated[AttributeParameters, Query()]
) -> AttributeFacets:
    """The most frequent attributes at every level with their types and values. Of prompts, answers and
    events the keys are told, and no value is read.
    """
    asked = parameters.asked()
    found = await request.app.state.analysts.run(lambda client: attribute_facets(client, project, asked))
    return AttributeFacets.model_validate(found)


async def _stats(request: Request, project: str, parameters: StatsParameters) -> Response:
    asked = parameters.asked()
    body = await request.app.state.analysts.run(lambda client: stats_json(client, project, asked))
    return Response(body, media_type="application/json")
