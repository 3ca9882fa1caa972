"""Why a call costs what it costs: its counts, prices and amounts one by one, or why it has no cost."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Context, Decimal
from typing import NamedTuple

import numpy as np

from spanledger.schemas.prices.book import Entry, Key, PriceBook
from spanledger.schemas.prices.compute import (
    MICROSECONDS,
    NO_MODEL,
    NOT_SENT,
    REASONS,
    REST,
    compute,
    make_costs,
)
from spanledger.schemas.prices.plans import BEGIN, DAY_S, END, Period
from spanledger.schemas.prices.units import NUMBERS, UNITS

_DIGITS = 18
_EXACT = Context(prec=60)


class Line(NamedTuple):
    """One unit of a call. Counts of durations are in seconds; None: not sent, and no price.

    `billed` is what is left of `sent` when the parts with a price of their own are taken off. `price` is USD
    for `per` units, as published for calls above `tier_start` input tokens; `amount` is what was billed for
    it, in USD, after the discount.
    """

    unit: str
    direction: str
    sent: Decimal | None
    billed: Decimal | None
    price: Decimal | None
    per: int | None
    tier_start: int | None
    discount_percent: Decimal | None
    amount: Decimal | None


class Explanation(NamedTuple):
    """A call's cost in full, in USD; the amounts of the lines are `total` when added up.

    `reason` (of REASONS) says why there is none; then the amounts are None. `valid_from` and `valid_to` are
    the times between which these prices hold (None: for ever), `daily_from` and `daily_to` the time of day,
    UTC.
    """

    total: Decimal | None
    input: Decimal | None
    output: Decimal | None
    reason: str
    entry: Entry | None
    valid_from: datetime | None
    valid_to: datetime | None
    daily_from: str
    daily_to: str
    lines: tuple[Line, ...]


def explain(book: PriceBook, key: Key, usage: Mapping[str, int], start_ns: int) -> Explanation:
    """The cost of one call that began then.

    usage: counts by the names of UNITS, durations in microseconds; -2 for one that was sent and is none.
    Raises what the book raises where the database does not answer.
    """
    counts = np.full((len(UNITS), 1), NOT_SENT, np.int64)
    for name, count in usage.items():
        counts[NUMBERS[name], 0] = count
    number = book.entries([key])[key] if key.model else NO_MODEL
    costs = make_costs(1)
    compute(counts, np.array([number], np.int64), np.array([start_ns], np.int64), book.prices, costs)
    row = int(costs.rate[0])
    sent = {
        unit.name: _count(unit.name, int(counts[n, 0])) for n, unit in enumerate(UNITS) if counts[n, 0] >= 0
    }
    if row < 0:
        lines = tuple(_unpriced(name, count) for name, count in sent.items())
        entry = book.entry(number) if number >= 0 else None
        return Explanation(None, None, None, REASONS[costs.reason[0]], entry, None, None, "", "", lines)
    rate = book.rate(row)
    priced = []
    for priced_unit in rate.prices:
        unit = NUMBERS[priced_unit.unit]
        alone = _alone(book, row, unit, int(costs.billed[unit]))
        priced.append(
            Line(
                priced_unit.unit,
                UNITS[unit].direction,
                sent.pop(priced_unit.unit, None),
                _count(priced_unit.unit, int(costs.billed[unit])),
                priced_unit.price,
                priced_unit.per,
                priced_unit.tier_start,
                priced_unit.discount_percent,
                alone,
            )
        )
    lines = (*priced, *(_unpriced(name, count) for name, count in sent.items()))
    period = rate.period
    return Explanation(
        _usd(costs.total[0]),
        _usd(costs.input[0]),
        _usd(costs.output[0]),
        "",
        rate.entry,
        _moment(period.begins),
        _moment(period.ends),
        _time_of_day(period.day_from, period),
        _time_of_day(period.day_to, period),
        lines,
    )


def _unpriced(name: str, count: Decimal | None) -> Line:
    return Line(name, UNITS[NUMBERS[name]].direction, count, None, None, None, None, None, None)


def _alone(book: PriceBook, row: int, unit: int, billed: int) -> Decimal:
    """The amount of one unit of a row of rates, by the numbers that compute multiplies with."""
    prices = book.prices
    first, last = prices.price_first[row : row + 2].tolist()
    [at] = [k for k in range(first, last) if prices.units[k] == unit]
    per_unit = MICROSECONDS if UNITS[unit].family == "durations" else 1
    amount = billed * int(prices.amounts[at]) // per_unit
    amount += billed * int(prices.rests[at]) // (REST * per_unit)
    return Decimal(amount).scaleb(-_DIGITS, _EXACT)


def _usd(pair: np.ndarray[tuple[int], np.dtype[np.uint64]]) -> Decimal:
    return Decimal(int(pair[0]) | int(pair[1]) << 64).scaleb(-_DIGITS, _EXACT)


def _count(name: str, count: int) -> Decimal:
    if UNITS[NUMBERS[name]].family == "durations":
        return Decimal(count) / MICROSECONDS
    return Decimal(count)


def _moment(second: int) -> datetime | None:
    return None if second in (BEGIN, END) else datetime.fromtimestamp(second, UTC)


def _time_of_day(second: int, period: Period) -> str:
    """As 16:30:00; '' where prices hold all day."""
    if (period.day_from, period.day_to) == (0, DAY_S):
        return ""
    return f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
