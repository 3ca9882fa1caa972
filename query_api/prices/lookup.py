"""Which entry a call gets that names such a provider and model, and all that it may cost by it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from spanledger.query_api.prices.words import decimal_text, entry_answer, moment_text, time_of_day
from spanledger.query_api.times import format_time
from spanledger.schemas.price_api import PriceMatch, RatePrice, RateRow
from spanledger.schemas.prices.book import Key, PriceBook, PricedUnit, Rate
from spanledger.schemas.prices.compute import UNKNOWN_MODEL, UNKNOWN_PROVIDER
from spanledger.schemas.prices.plans import BEGIN, DAY_S, END
from spanledger.schemas.prices.units import NUMBERS, UNITS

_REASONS = {UNKNOWN_MODEL: "unknown_model", UNKNOWN_PROVIDER: "unknown_provider"}


def find_price(book: PriceBook, key: Key, at_ns: int) -> PriceMatch:
    """The entry that a call of that time gets, and every row of rates that such calls get at any time."""
    number = book.entries([key])[key]
    at = format_time(at_ns)
    if number < 0:
        return PriceMatch(at=at, entry=None, reason=_REASONS[number], rates=[])
    rates = list(_rates(book, number, at_ns // 10**9))
    now = next((rate for rate in rates if rate.in_force), None)
    return PriceMatch(
        at=at, entry=now.entry if now else None, reason=now.reason if now else "unit_not_priced", rates=rates
    )


def _rates(book: PriceBook, number: int, second: int) -> Iterator[RateRow]:
    prices = book.prices
    found = False
    for period in range(*prices.first[number : number + 2].tolist()):
        begins, ends = int(prices.begins[period]), int(prices.ends[period])
        day_from, day_to = int(prices.day_from[period]), int(prices.day_to[period])
        # Of periods that hold the first counts.
        in_force = not found and begins <= second < ends and _in_day(second % DAY_S, day_from, day_to)
        found = found or in_force
        whole_day = (day_from, day_to) == (0, DAY_S)
        first = int(prices.rates[period])
        tiers = 1 + int(prices.tier_first[period + 1]) - int(prices.tier_first[period])
        described = [None] if first < 0 else [book.rate(first + n) for n in range(tiers)]
        for rate in described:
            yield RateRow(
                in_force=in_force,
                entry=entry_answer(rate.entry) if rate else None,
                reason=_reason(rate, first),
                valid_from=None if begins == BEGIN else moment_text(datetime.fromtimestamp(begins, UTC)),
                valid_to=None if ends == END else moment_text(datetime.fromtimestamp(ends, UTC)),
                daily_from=None if whole_day else time_of_day(day_from),
                daily_to=None if whole_day else time_of_day(day_to),
                tier_start=rate.tier_start if rate else 0,
                prices=[_price(unit) for unit in _in_order(rate)] if rate else [],
            )


def _reason(rate: Rate | None, missing: int) -> str | None:
    if rate is None:
        return _REASONS[missing]
    return None if rate.prices else "unit_not_priced"


def _in_day(second: int, day_from: int, day_to: int) -> bool:
    if day_to < day_from:
        return second >= day_from or second < day_to
    return day_from <= second < day_to


def _in_order(rate: Rate) -> list[PricedUnit]:
    return sorted(rate.prices, key=lambda price: NUMBERS[price.unit])


def _price(price: PricedUnit) -> RatePrice:
    return RatePrice(
        unit=price.unit,
        price=decimal_text(price.price),
        per=price.per,
        tier_start=price.tier_start,
        minimum=price.minimum,
        discount_percent=None if price.discount_percent is None else decimal_text(price.discount_percent),
        words=_words(price),
    )


def _words(price: PricedUnit) -> str:
    seconds = UNITS[NUMBERS[price.unit]].family == "durations"
    what = f"{price.per:,} s of {price.unit}" if seconds else f"{price.per:,} {price.unit}"
    words = f"{decimal_text(price.price)} USD for {what}"
    if price.discount_percent is not None:
        words += f", less {decimal_text(price.discount_percent)} %"
    if price.minimum:
        words += f", at least {price.minimum}{' s' if seconds else ''}"
    return words
