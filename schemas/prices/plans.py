"""What a model costs when: its published prices cut into periods, each with the prices of its tiers.

Of the standard conditions the last that holds counts, and the first where none does; a variant (batch,
priority, ...) then replaces each price that it has, the first variant that holds before the others.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, time
from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple

from spanledger.schemas.prices.tables import ALWAYS, RateRow
from spanledger.schemas.prices.units import NUMBERS

DAY_S = 86_400
BEGIN, END = -(2**62), 2**62  # seconds, before and after everything


class Price(NamedTuple):
    """USD for `per` units, of calls with more input tokens than `tier_start`; `minimum` units are billed."""

    tier_start: int
    price: Decimal
    per: int
    minimum: int


class Condition(NamedTuple):
    """Prices, and when and for what they hold. `prices`: by number of the unit, lowest tier first."""

    variant: str
    when: Mapping[str, str]
    valid_from: int
    time_from: int
    time_to: int
    prices: Mapping[int, tuple[Price, ...]]

    def holds(self, second: int, time_of_day: int) -> bool:
        """In a second since 1970 that is so many seconds into its day."""
        if second < self.valid_from:
            return False
        if self.time_to < self.time_from:
            return time_of_day >= self.time_from or time_of_day < self.time_to
        return self.time_from <= time_of_day < self.time_to


class Plan(NamedTuple):
    """All prices of a model, in the order in which they are tried."""

    standard: tuple[Condition, ...]
    variants: tuple[Condition, ...]


class Period(NamedTuple):
    """Prices that hold from second `begins` up to `ends`, within a part of the day.

    `variant`: what of the request changed them, as JSON; '' for standard prices.
    """

    begins: int
    ends: int
    day_from: int
    day_to: int
    prices: Mapping[int, tuple[Price, ...]]
    variant: str


NO_PLAN = Plan((), ())


def read_plans(rates: Iterable[RateRow]) -> dict[tuple[str, str], Plan]:
    """The plans of all models of a list, by provider and model."""
    rows: defaultdict[tuple[str, str], defaultdict[tuple[int, str], list[RateRow]]]
    rows = defaultdict(lambda: defaultdict(list))
    for rate in rates:
        rows[rate.provider, rate.model][rate.condition, rate.variant].append(rate)
    return {model: read_plan(by_condition) for model, by_condition in rows.items()}


def read_plan(by_condition: Mapping[tuple[int, str], list[RateRow]]) -> Plan:
    """The plan of one model, from its rates by condition and variant."""
    standard: list[Condition] = []
    variants: list[Condition] = []
    for (_, variant), rates in sorted(by_condition.items()):
        prices: defaultdict[int, list[Price]] = defaultdict(list)
        for rate in sorted(rates, key=lambda rate: rate.tier_start):
            if rate.unit:
                price = Price(rate.tier_start, _short(rate.price), rate.per, rate.minimum)
                prices[NUMBERS[rate.unit]].append(price)
        first = rates[0]
        condition = Condition(
            variant,
            json.loads(variant) if variant else {},
            BEGIN
            if first.valid_from == ALWAYS
            else _seconds(datetime.combine(first.valid_from, time(), UTC)),
            _time_of_day(first.time_from) if first.time_from else 0,
            _time_of_day(first.time_to) if first.time_from else DAY_S,
            {unit: tuple(tiers) for unit, tiers in prices.items()},
        )
        (variants if variant else standard).append(condition)
    return Plan(tuple(standard), tuple(variants))


def chosen(plan: Plan, context: Mapping[str, str]) -> tuple[int, ...]:
    """The numbers of the variants that a request selects by its context, whenever it is made."""
    return tuple(
        number
        for number, variant in enumerate(plan.variants)
        if all(context.get(key) == value for key, value in variant.when.items())
    )


def periods(plan: Plan, variants: Iterable[int]) -> list[Period]:
    """The periods of a plan with some of its variants, without a gap."""
    selected = [plan.variants[number] for number in variants]
    conditions = [*plan.standard, *selected]
    starts = sorted({BEGIN, *(condition.valid_from for condition in conditions)})
    of_day = {0, DAY_S}
    for condition in conditions:
        of_day |= {condition.time_from, condition.time_to}
    bounds = sorted(of_day)
    made: list[Period] = []
    for begins, ends in zip(starts, [*starts[1:], END], strict=True):
        for day_from, day_to in pairwise(bounds):
            prices, variant = _prices(plan, selected, begins, day_from)
            last = made[-1] if made else None
            if last and (last.begins, last.prices, last.variant) == (begins, prices, variant):
                made[-1] = last._replace(day_to=day_to)
            else:
                made.append(Period(begins, ends, day_from, day_to, prices, variant))
    return made


def _prices(
    plan: Plan, variants: Iterable[Condition], second: int, time_of_day: int
) -> tuple[dict[int, tuple[Price, ...]], str]:
    holding = [condition for condition in plan.standard if condition.holds(second, time_of_day)]
    standard = holding[-1:] or plan.standard[:1]
    prices = dict(standard[0].prices) if standard else {}
    replaced: dict[int, tuple[Price, ...]] = {}
    taken = []
    for variant in variants:
        if variant.holds(second, time_of_day):
            replaced = {**variant.prices, **replaced}
            taken.append(variant.variant)
    return prices | replaced, " ".join(dict.fromkeys(taken))


def _short(price: Decimal) -> Decimal:
    """Without the zeros behind it that its column adds: 0.15, 600."""
    return price.quantize(Decimal(1)) if price == price.to_integral() else price.normalize()


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def _time_of_day(text: str) -> int:
    at = time.fromisoformat(text)
    return at.hour * 3600 + at.minute * 60 + at.second
