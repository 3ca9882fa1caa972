"""The routes of the search."""

from __future__ import annotations

import time
from typing import Annotated, Any

from clickhouse_connect.driver.client import Client
from fastapi import APIRouter, Query, Request
from fastapi.exceptions import RequestValidationError

from spanledger.query_api.access.callers import Project
from spanledger.query_api.parameters import ALLOWED, TAKES_NONE
from spanledger.query_api.search.conditions import Condition
from spanledger.query_api.search.counts import count_spans, count_traces
from spanledger.query_api.search.cursors import Cursor, encode_cursor, hash_of
from spanledger.query_api.search.parameters import (
    Paging,
    Range,
    SpanPaging,
    SpanParameters,
    SpanSearchRequest,
    TraceParameters,
    TraceSearchRequest,
)
from spanledger.query_api.search.spans import SpanSearch, list_spans
from spanledger.query_api.search.traces import Search, list_traces, newest_received
from spanledger.query_api.search.where import read_span_where, read_trace_where
from spanledger.query_api.search.wholes import Where
from spanledger.schemas.api import TraceSummary
from spanledger.schemas.search_api import Count, CountedTracePage, SpanPage, SpanSummary

# Sorted by totals, every trace of the time is summed up.
MOST_SUMMED_DAYS = 31
_DAY_NS = 86_400 * 10**9

search = APIRouter(tags=["search"])


@search.get(
    "/traces",
    summary="List traces, newest first",
    response_model=CountedTracePage,
    response_model_exclude_unset=True,
)
async def traces(
    request: Request, project: Project, parameters: Annotated[TraceParameters, Query()]
) -> CountedTracePage:
    """Conditions choose traces: one and the same span fulfils those on spans, the trace as a whole those on
    status, duration, tokens and cost. A summary covers the whole trace, not only the spans that match.

    Pages stay right while spans arrive: a cursor names a place in the list. (A trace to which an earlier
    span arrives in between moves to where it then belongs.)
    """
    return await _traces(request, project, parameters.where(), parameters, "query")


@search.post(
    "/traces/search",
    summary="Search traces with and, or, not",
    response_model=CountedTracePage,
    response_model_exclude_unset=True,
    dependencies=TAKES_NONE,
)
async def search_traces(request: Request, project: Project, asked: TraceSearchRequest) -> CountedTracePage:
    """As the list, with conditions as a tree: `any_span` says that the trace has a span which fulfils what
    is in it; the other conditions are about the trace as a whole.
    """
    return await _traces(request, project, read_trace_where(asked.where), asked, "body")


@search.get(
    "/spans",
    summary="List spans, newest first",
    response_model=SpanPage,
    response_model_exclude_unset=True,
)
async def spans(
    request: Request, project: Project, parameters: Annotated[SpanParameters, Query()]
) -> SpanPage:
    """Every condition holds of the span itself; its user, conversation and experiment may be its trace's."""
    return await _spans(request, project, parameters.condition(), parameters, "query")


@search.post(
    "/spans/search",
    summary="Search spans with and, or, not",
    response_model=SpanPage,
    response_model_exclude_unset=True,
    dependencies=TAKES_NONE,
)
async def search_spans(request: Request, project: Project, asked: SpanSearchRequest) -> SpanPage:
    """As the list, with conditions as a tree."""
    return await _spans(request, project, read_span_where(asked.where), asked, "body")


async def _spans(
    request: Request,
    project: str,
    condition: Condition,
    paging: SpanPaging,
    part: str,
) -> SpanPage:
    asked = SpanSearch(condition, paging.since_ns, paging.until_ns, paging.sort, paging.order)
    name = hash_of("spans", project, asked)
    cursor = _own_cursor(paging, name, part)

    def work(client: Client) -> SpanPage:
        shown, position = list_spans(
            client,
            project,
            asked,
            limit=paging.limit,
            after=cursor and cursor.position,
            attributes="attributes" in paging.fields,
        )
        page: dict[str, Any] = {
            "spans": [SpanSummary.model_validate(row) for row in shown],
            "next_cursor": None if position is None else encode_cursor(Cursor(name, position)),
        }
        if paging.count:
            whole = cursor is None and position is None
            counted = (len(shown), True) if whole else count_spans(client, project, asked)
            page["count"] = Count(count=counted[0], exact=counted[1])
        return SpanPage(**page)

    found: SpanPage = await request.app.state.readers.run(work)
    return found


async def _traces(
    request: Request, project: str, where: Where, paging: Paging, part: str
) -> CountedTracePage:
    asked = Search(where, paging.since_ns, paging.until_ns, paging.sort, paging.order)
    name = hash_of("traces", project, asked)
    cursor = _own_cursor(paging, name, part)
    if paging.sort != "time":
        asked = asked._replace(since_ns=_summed_since(paging, cursor, part))

    def work(client: Client) -> CountedTracePage:
        as_of_ns = cursor.as_of_ns if cursor is not None else 0
        if paging.sort != "time" and cursor is None:
            as_of_ns = newest_received(client, project, asked.since_ns)
        shown, position = list_traces(
            client,
            project,
            asked,
            limit=paging.limit,
            after=cursor and cursor.position,
            as_of_ns=as_of_ns,
        )
        following = None if position is None else Cursor(name, position, asked.since_ns, as_of_ns)
        page: dict[str, Any] = {
            "traces": [TraceSummary.model_validate(summary) for summary in shown],
            "next_cursor": None if following is None else encode_cursor(following),
        }
        if paging.count:
            whole = cursor is None and position is None
            counted = (len(shown), True) if whole else count_traces(client, project, asked)
            page["count"] = Count(count=counted[0], exact=counted[1])
        return CountedTracePage(**page)

    found: CountedTracePage = await request.app.state.readers.run(work)
    return found


def _own_cursor(paging: Paging, name: str, part: str) -> Cursor | None:
    """The cursor, where it belongs to this search."""
    cursor = paging.decoded()
    if cursor is not None and cursor.search != name:
        raise _refused(part, "cursor", "it belongs to another search", ALLOWED["cursor"])
    return cursor


def _summed_since(time_asked: Range, cursor: Cursor | None, part: str) -> int:
    """From when on traces are summed up."""
    if cursor is not None:
        return cursor.since_ns
    until_ns = time.time_ns() if time_asked.end is None else time_asked.end
    earliest_ns = max(0, until_ns - MOST_SUMMED_DAYS * _DAY_NS)
    if time_asked.start is not None and time_asked.start < earliest_ns:
        allowed = f"up to {MOST_SUMMED_DAYS} days before end where traces are not sorted by time"
        raise _refused(part, "start", "every trace of the time would be summed up", allowed)
    return max(earliest_ns, time_asked.since_ns)


def _refused(part: str, name: str, what: str, allowed: str) -> RequestValidationError:
    return RequestValidationError(
        [{"type": "value_error", "loc": (part, name), "msg": what, "ctx": {"allowed": allowed}}]
    )
