"""The models of the lists in use: found by name, with the prices of today or with all that is published."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from spanledger.query_api.prices.books import InUse
from spanledger.query_api.prices.words import decimal_text
from spanledger.schemas.errors import NotFound
from spanledger.schemas.price_api import (
    ModelPrices,
    PublishedCondition,
    PublishedModel,
    UnitPrice,
)
from spanledger.schemas.prices.clauses import read_clause, told
from spanledger.schemas.prices.plans import (
    BEGIN,
    DAY_S,
    Condition,
    Plan,
    Price,
    periods,
    read_plan,
    read_plans,
)
from spanledger.schemas.prices.tables import SOURCES, ModelRow, RateRow
from spanledger.schemas.prices.units import UNITS


class Place(NamedTuple):
    """Where a model stands in the list of models, which runs from smaller ones to greater."""

    source: int
    provider: str
    model: str


class Wanted(NamedTuple):
    """Which models: of this provider, with this in their id, of this source; None: any."""

    provider: str | None = None
    model: str | None = None
    source: str | None = None


def models_page(
    lists: Sequence[InUse], wanted: Wanted, *, limit: int, after: Place | None
) -> tuple[list[ModelPrices], Place | None]:
    """Up to `limit` models behind `after`, and the place to go on from."""
    behind = after or Place(-1, "", "")
    found = sorted(
        (
            (place, each, row)
            for each in lists
            for row in each.listed.models
            if _fits(each, row, wanted)
            and (place := Place(SOURCES.index(each.row.source), row.provider, row.model)) > behind
        ),
        key=lambda item: item[0],
    )
    page = found[:limit]
    rates: dict[str, dict[tuple[str, str], Plan]] = {}
    for each in lists:
        here = {(row.provider, row.model) for _, of, row in page if of is each}
        rates[each.row.price_version] = read_plans(
            rate for rate in each.listed.rates if (rate.provider, rate.model) in here
        )
    models = [_model(each, row, rates[each.row.price_version]) for _, each, row in page]
    return models, page[-1][0] if len(found) > limit else None


def published_models(lists: Sequence[InUse], provider: str, model: str) -> list[PublishedModel]:
    """What each list publishes of a model; NotFound where none has it. Both are ids of lists, in any case."""
    found = [
        _published(each, row)
        for each in lists
        for row in each.listed.models
        if (row.provider.lower(), row.model.lower()) == (provider.lower(), model.lower())
    ]
    if not found:
        raise NotFound(
            f"No list has a model {model!r} of a provider {provider!r}; GET /api/v1/prices lists them, and "
            "GET /api/v1/prices/match finds the one that a call's names mean"
        )
    return found


def _fits(each: InUse, row: ModelRow, wanted: Wanted) -> bool:
    return (
        (wanted.source is None or wanted.source == each.row.source)
        and (wanted.provider is None or wanted.provider.lower() == row.provider.lower())
        and (wanted.model is None or wanted.model.lower() in row.model.lower())
    )


def _model(each: InUse, row: ModelRow, plans: dict[tuple[str, str], Plan]) -> ModelPrices:
    plan = plans.get((row.provider, row.model), Plan((), ()))
    conditions = [*plan.standard, *plan.variants]
    return ModelPrices(
        source=each.row.source,
        price_version=each.row.price_version,
        provider=row.provider,
        model=row.model,
        name=row.name,
        prices=_in_force(plan, int(time.time())),
        has_tiers=any(len(tiers) > 1 for each in conditions for tiers in each.prices.values()),
        has_dates=any(each.valid_from != BEGIN for each in conditions),
        has_times_of_day=any(_is_part_of_day(each) for each in conditions),
        has_variants=bool(plan.variants),
    )


def _is_part_of_day(condition: Condition) -> bool:
    return (condition.time_from, condition.time_to) != (0, DAY_S)


def _in_force(plan: Plan, second: int) -> list[UnitPrice]:
    for period in periods(plan, ()):
        if period.begins <= second < period.ends and period.day_from <= second % DAY_S < period.day_to:
            return [
                _unit_price(UNITS[unit].name, price)
                for unit, tiers in sorted(period.prices.items())
                for price in tiers
            ]
    return []


def _unit_price(unit: str, price: Price) -> UnitPrice:
    return UnitPrice(
        unit=unit,
        price=decimal_text(price.price),
        per=price.per,
        tier_start=price.tier_start,
        minimum=price.minimum,
    )


def _published(each: InUse, row: ModelRow) -> PublishedModel:
    rates = [rate for rate in each.listed.rates if (rate.provider, rate.model) == (row.provider, row.model)]
    return PublishedModel(
        source=each.row.source,
        price_version=each.row.price_version,
        provider=row.provider,
        model=row.model,
        name=row.name,
        match=told(read_clause(row.match)),
        conditions=list(_conditions(rates)),
    )


def _conditions(rates: Sequence[RateRow]) -> Iterator[PublishedCondition]:
    rows: defaultdict[tuple[str, int], list[RateRow]] = defaultdict(list)
    for rate in rates:
        rows[rate.variant, rate.condition].append(rate)
    for (variant, number), group in sorted(rows.items(), key=lambda item: item[0]):
        plan = read_plan({(number, variant): group})
        [condition] = (*plan.standard, *plan.variants)
        first = group[0]
        yield PublishedCondition(
            variant=dict(condition.when) or None,
            valid_from=None if condition.valid_from == BEGIN else first.valid_from.isoformat(),
            daily_from=first.time_from or None,
            daily_to=first.time_to or None,
            prices=[
                _unit_price(UNITS[unit].name, price)
                for unit, tiers in sorted(condition.prices.items())
                for price in tiers
            ],
        )
