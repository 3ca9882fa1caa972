"""The routes of the search."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request

from spanledger.query_api.access.callers import Project
from spanledger.query_api.search.cursors import encode_cursor
from spanledger.query_api.search.parameters import TraceParameters
from spanledger.query_api.search.traces import list_traces
from spanledger.schemas.api import TracePage, TraceSummary

search = APIRouter(tags=["search"])


@search.get("/traces", summary="List traces, newest first", response_model=TracePage)
async def traces(
    request: Request, project: Project, parameters: Annotated[TraceParameters, Query()]
) -> TracePage:
    """Conditions choose traces; a summary covers the whole trace, not only the spans that match.

    Pages stay right while spans arrive: a cursor names a place in the list. (A trace to which an earlier
    span arrives in between moves to where it then belongs.)
    """
    app = request.app
    shown, position = await app.state.readers.run(
        lambda client: list_traces(
            client, project, parameters.search(), limit=parameters.limit, after=parameters.after()
        )
    )
    return TracePage(
        traces=[TraceSummary.model_validate(summary) for summary in shown],
        next_cursor=None if position is None else encode_cursor(position),
    )
