"""Prices that were found, kept for the minute: finding them takes longer than all else that a call adds.

Only the plain ones, of tokens in and out and of the cache: those are four multiplications. Tiers, audio and
other units are left to genai-prices every time. Prices may begin at some minute of a day, and an application
may put another price list in the place of the one that is loaded: both are asked for.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

_TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
_PRICES = ("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok")
_PER = Decimal(1_000_000)
_NOTHING = Decimal(0)
_MEDIA = re.compile("audio|image|video")
# More than an application has models; then all are forgotten.
_KEPT = 512


class Price(NamedTuple):
    """The sums of a calculation, under the names that genai-prices has for them."""

    input_price: Decimal
    output_price: Decimal
    total_price: Decimal


class Rates(NamedTuple):
    """In USD for a million tokens; None where these tokens cost what other input does."""

    input: Decimal
    output: Decimal
    cache_read: Decimal | None
    cache_write: Decimal | None

    def price(self, counts: Mapping[str, int]) -> Price:
        """The cost of these counts, digit by digit that of genai-prices."""
        plain = counts.get("input_tokens", 0)
        cost = _NOTHING
        for rate, part in ((self.cache_read, _TOKENS[2]), (self.cache_write, _TOKENS[3])):
            if rate is not None:
                count = counts.get(part, 0)
                plain -= count
                cost += rate * count / _PER
        cost += self.input * plain / _PER
        output = _NOTHING + self.output * counts.get("output_tokens", 0) / _PER
        return Price(cost, output, cost + output)


class _Kept:
    snapshot: Any = None
    rates: dict[Any, Rates] = {}  # noqa: RUF012 - one for the process


def _key(provider: str, models: list[str], tier: str | None, when: datetime) -> Any:
    return provider, tuple(models), tier, int(when.timestamp()) // 60


def priced(
    provider: str, models: list[str], tier: str | None, when: datetime, counts: Mapping[str, int]
) -> Price | None:
    """The cost, if these are plain counts of a model whose plain prices were found in this minute."""
    from genai_prices.data_snapshot import get_snapshot

    snapshot = get_snapshot()
    if _Kept.snapshot is not snapshot:
        _Kept.snapshot, _Kept.rates = snapshot, {}
    rates = _Kept.rates.get(_key(provider, models, tier, when))
    if rates is None or any(name not in _TOKENS for name in counts):
        return None
    return rates.price(counts)


def keep(
    provider: str,
    models: list[str],
    tier: str | None,
    when: datetime,
    *,
    counts: Mapping[str, int],
    calculation: Any,
) -> None:
    """Remember what a calculation of genai-prices went by, if plain counts need no more than that."""
    found = {name: value for name, value in vars(calculation.model_price).items() if value is not None}
    of_tokens = {name: found.pop(name, None) for name in _PRICES}
    is_plain = all(value is None or isinstance(value, Decimal) for value in of_tokens.values())
    if not is_plain or of_tokens["input_mtok"] is None or of_tokens["output_mtok"] is None:
        return
    # Searches and media cost nothing where none are counted. Any other price of tokens could.
    if any(name.endswith("_mtok") and not _MEDIA.search(name) for name in found):
        return
    rates = Rates(*of_tokens.values())
    if set(counts) <= set(_TOKENS) and rates.price(counts).total_price == calculation.total_price:
        if len(_Kept.rates) >= _KEPT:
            _Kept.rates = {}
        _Kept.rates[_key(provider, models, tier, when)] = rates
