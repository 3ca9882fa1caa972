"""The routes of prices: looking up, setting, loading, explaining, and pricing anew."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from decimal import Decimal
from typing import Annotated, Any

from clickhouse_connect.driver.client import Client
from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from spanledger.query_api.access.callers import Project
from spanledger.query_api.parameters import TAKES_NONE, TraceId
from spanledger.query_api.prices.books import Books
from spanledger.query_api.prices.catalogue import Wanted, models_page, published_models
from spanledger.query_api.prices.cost import explain_cost
from spanledger.query_api.prices.fetch import MOST_BYTES, NotFetchedError, fetch_list
from spanledger.query_api.prices.lookup import find_price
from spanledger.query_api.prices.overrides import override_answer, set_override
from spanledger.query_api.prices.parameters import (
    CatalogueParameters,
    ImportParameters,
    MatchParameters,
    ModelParameters,
    OverrideId,
    OverridesParameters,
    RemovalParameters,
    SpanId,
    UnpricedParameters,
    encode_place,
)
from spanledger.query_api.prices.reprice import Plan, Progress, reprice
from spanledger.query_api.prices.runs import reprice_runs
from spanledger.query_api.prices.unpriced import unpriced_models
from spanledger.query_api.prices.words import decimal_text, moment_text
from spanledger.query_api.readers import Readers, Writer
from spanledger.query_api.times import TIME_FORM, parse_time
from spanledger.query_api.values import money
from spanledger.schemas.errors import BadData, SpanledgerError, TooLarge
from spanledger.schemas.price_api import (
    CostExplanation,
    ModelPage,
    NewOverride,
    NewReprice,
    Overrides,
    OverrideState,
    PriceLists,
    PriceListState,
    PriceMatch,
    PricesTaken,
    PublishedModels,
    RepriceProgress,
    RepriceRuns,
    SpanName,
    Unpriced,
)
from spanledger.schemas.prices.book import Key
from spanledger.schemas.prices.lists import load_text, version_of_text
from spanledger.schemas.prices.overrides import list_overrides, remove_override
from spanledger.schemas.prices.tables import GENAI, ListRow, newest_lists, stored_lists

NDJSON = "application/x-ndjson"


prices = APIRouter(tags=["prices"])


@prices.get(
    "/prices", summary="Models of the lists in use, with their prices of today", response_model=ModelPage
)
async def models(request: Request, parameters: Annotated[CatalogueParameters, Query()]) -> ModelPage:
    """Published standard prices, without overrides: `/prices/match` says what a call would cost."""
    wanted = Wanted(parameters.provider, parameters.model, parameters.source)
    found, place = await _books(request).with_lists(
        lambda lists: models_page(lists, wanted, limit=parameters.limit, after=parameters.after())
    )
    return ModelPage(models=found, next_cursor=None if place is None else encode_place(place))


@prices.get(
    "/prices/lists", summary="Every list that was loaded", response_model=PriceLists, dependencies=TAKES_NONE
)
async def lists(request: Request) -> PriceLists:
    """Of each source the list that was loaded last is in use; a span names the one it was priced by."""
    stored, newest = await _readers(request).run(lambda client: (stored_lists(client), newest_lists(client)))
    return PriceLists(lists=[_list_state(row, in_use=row in newest) for row in stored])


@prices.get("/prices/overrides", summary="What was set over the lists", response_model=Overrides)
async def overrides(request: Request, parameters: Annotated[OverridesParameters, Query()]) -> Overrides:
    """The one set last first, which is the order in which they are applied; those of a project come first."""
    found = await _readers(request).run(lambda client: list_overrides(client, removed=parameters.removed))
    return Overrides(overrides=[override_answer(each) for each in found])


@prices.post(
    "/prices/overrides", summary="Set an override", response_model=OverrideState, dependencies=TAKES_NONE
)
async def set_one(request: Request, asked: NewOverride) -> OverrideState:
    """It holds for calls that arrive from about a minute later; those that are stored are priced anew only
    when that is asked for.
    """
    return await _writer(request).write(lambda client: set_override(client, asked))


@prices.delete("/prices/overrides/{override_id}", summary="Remove an override", response_model=OverrideState)
async def remove_one(
    request: Request, override_id: OverrideId, parameters: Annotated[RemovalParameters, Query()]
) -> OverrideState:
    """It is kept, marked as removed, and holds no longer."""
    removed = await _writer(request).write(
        lambda client: remove_override(client, override_id, removed_by=parameters.removed_by)
    )
    return override_answer(removed)


@prices.get("/prices/match", summary="What a call would be priced by", response_model=PriceMatch)
async def match(
    request: Request, project: Project, parameters: Annotated[MatchParameters, Query()]
) -> PriceMatch:
    """The entry that such names mean, the rule and overrides by which, and every price that it may have."""
    key = Key(project, parameters.provider, parameters.model, parameters.tier, parameters.host)
    at_ns = time.time_ns() if parameters.at is None else parameters.at
    return await _books(request).with_book(lambda book, _: find_price(book, key, at_ns))


@prices.get("/prices/model", summary="Everything published of one model", response_model=PublishedModels)
async def model(request: Request, parameters: Annotated[ModelParameters, Query()]) -> PublishedModels:
    """Every condition, date, time of day, variant, tier and unit, of every list in use that has the model."""
    found = await _books(request).with_lists(
        lambda lists: published_models(lists, parameters.provider, parameters.model)
    )
    return PublishedModels(published=found)


@prices.post(
    "/prices/import",
    summary="Load a price list from a file",
    response_model=PricesTaken,
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": f"The JSON file, of at most {MOST_BYTES >> 20} MiB.",
            "content": {"application/json": {"schema": {}}},
        }
    },
)
async def import_list(request: Request, parameters: Annotated[ImportParameters, Query()]) -> PricesTaken:
    """It becomes the list in use of its source. Where anything in it is wrong nothing is stored."""
    text = await _body(request)
    return await _writer(request).write(lambda client: _load(client, text, parameters.source))


@prices.post(
    "/prices/update",
    summary="Fetch the current list of genai-prices",
    response_model=PricesTaken,
    dependencies=TAKES_NONE,
)
async def update(request: Request) -> PricesTaken:
    """From the address in SPANLEDGER_PRICES_URL; stored where it is not the list in use. 502 where it
    cannot be had, or is no price list.
    """
    text = await run_in_threadpool(fetch_list, request.app.state.prices_url)
    try:
        return await _writer(request).write(lambda client: _load(client, text, GENAI))
    except BadData as error:
        raise NotFetchedError(f"What SPANLEDGER_PRICES_URL gives cannot be used: {error}") from None


@prices.get("/prices/unpriced", summary="Models without a price", response_model=Unpriced)
async def unpriced(
    request: Request, project: Project, parameters: Annotated[UnpricedParameters, Query()]
) -> Unpriced:
    """What the calls of unknown cost name, by provider, model and reason, those with the most calls first."""
    return await _readers(request).run(
        lambda client: unpriced_models(
            client, project, parameters.start or 0, parameters.until_ns(), limit=parameters.limit
        )
    )


@prices.get(
    "/spans/{trace_id}/{span_id}/cost",
    summary="Where the cost of a span comes from",
    response_model=CostExplanation,
    dependencies=TAKES_NONE,
)
async def cost(request: Request, project: Project, trace_id: TraceId, span_id: SpanId) -> CostExplanation:
    """The stored cost, what today's prices say and why, what was reported, which of them counts, the usage as
    it was sent and as it was counted, and what repricings changed.
    """
    span = SpanName(trace_id=trace_id.lower(), span_id=span_id.lower())
    state = request.app.state
    return await _books(request).with_book(
        lambda book, client: explain_cost(
            book, client, span, project=project, preference=state.cost_preference
        )
    )


@prices.post(
    "/prices/reprice",
    summary="Price calls anew",
    response_class=StreamingResponse,
    responses={
        200: {
            "model": RepriceProgress,
            "description": "A line of JSON for each step; the last is the result.",
        }
    },
    dependencies=TAKES_NONE,
)
async def reprice_calls(request: Request, project: Project, asked: NewReprice) -> Response:
    """By the lists and overrides of now. `dry_run` only tells what would change. Who hangs up ends it: what
    was changed until then stays, and the same request goes on. A failure under way is a last line with
    `error`.
    """
    plan = _plan(asked, project)
    preference = request.app.state.cost_preference

    def steps(client: Client) -> Iterator[Progress]:
        yield from reprice(client, plan, preference)

    made = _writer(request).stream(steps)
    first = await anext(made, None)  # so that what fails at once is an answer like any other
    return StreamingResponse(_lines(first, made), media_type=NDJSON)


@prices.get(
    "/prices/reprices",
    summary="The repricings there were",
    response_model=RepriceRuns,
    dependencies=TAKES_NONE,
)
async def reprices(request: Request) -> RepriceRuns:
    """Who changed costs when, why, and by how much; the newest thousand."""
    return await _readers(request).run(reprice_runs)


def _readers(request: Request) -> Readers:
    readers: Readers = request.app.state.readers
    return readers


def _writer(request: Request) -> Writer:
    writer: Writer = request.app.state.writer
    return writer


def _books(request: Request) -> Books:
    books: Books = request.app.state.books
    return books


async def _body(request: Request) -> bytes:
    """The body of a request; TooLarge as soon as there is too much of it."""
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > MOST_BYTES:
            raise TooLarge(f"A price list of more than {MOST_BYTES >> 20} MiB is not taken")
        pieces.append(piece)
    return b"".join(pieces)


def _load(client: Client, text: bytes, source: str) -> PricesTaken:
    in_use = {row.source: row for row in newest_lists(client)}.get(source)
    if in_use and in_use.price_version == version_of_text(text, source):
        return PricesTaken(loaded=False, list=_list_state(in_use, in_use=True))
    return PricesTaken(loaded=True, list=_list_state(load_text(client, text, source), in_use=True))


def _list_state(row: ListRow, *, in_use: bool) -> PriceListState:
    return PriceListState(
        price_version=row.price_version,
        source=row.source,
        loaded_at=moment_text(row.loaded_at),
        in_use=in_use,
        providers=row.providers,
        models=row.models,
        rates=row.rates,
        not_understood=row.not_understood,
    )


def _plan(asked: NewReprice, project: str) -> Plan:
    """What is asked for; BadData names what is wrong with it."""
    times = {}
    for name in ("start", "end"):
        try:
            times[name] = parse_time(getattr(asked, name))
        except ValueError as error:
            raise BadData(f"{name}: {error}; allowed: {TIME_FORM}") from None
    if times["start"] >= times["end"]:
        raise BadData("start must be before end")
    if not asked.dry_run and not asked.reason.strip():
        raise BadData("reason: say why, it is kept with the run (only a dry_run needs none)")
    return Plan(
        since_ns=times["start"],
        until_ns=times["end"],
        provider=asked.provider,
        model=asked.model,
        unpriced_only=asked.unpriced_only,
        who=asked.who,
        why=asked.reason,
        dry_run=asked.dry_run,
        project=project,
    )


async def _lines(first: Progress | None, others: AsyncGenerator[Progress, None]) -> AsyncIterator[bytes]:
    try:
        async with aclosing(others):
            if first is not None:
                yield _line(first)
            async for progress in others:
                yield _line(progress)
    except SpanledgerError as error:
        yield json.dumps({"error": str(error)}).encode() + b"\n"


def _line(progress: Progress) -> bytes:
    said = RepriceProgress(
        **progress._asdict()
        | {"difference_usd": decimal_text(progress.difference_usd)}
        | {"by_model": [{name: _plain(value) for name, value in row.items()} for row in progress.by_model]}
    )
    return said.model_dump_json().encode() + b"\n"


def _plain(value: Any) -> Any:
    return money(value) if isinstance(value, Decimal) else value
