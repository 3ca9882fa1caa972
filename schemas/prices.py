"""Prices: the published list of genai-prices as rows of our price tables.

genai-prices keeps, for each provider, an ordered list of models, each with a match clause and prices
that may depend on the date and on the size of the request. Here that becomes match rules (a regular
expression tree, lowest id first), periods and rates; ClickHouse dictionaries serve them to the ingest
view, where every span is priced. All amounts are USD for one unit: a token, or a request.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any, NamedTuple

import genai_prices
from clickhouse_connect.driver.client import Client
from genai_prices.data import providers
from genai_prices.types import (
    ClauseAnd,
    ClauseContains,
    ClauseEndsWith,
    ClauseEquals,
    ClauseOr,
    ClauseRegex,
    ClauseStartsWith,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    Provider,
    StartDateConstraint,
    TieredPrices,
)

PRICE_VERSION = f"genai-prices {genai_prices.__version__}"

# Column of price_rates <- price key of genai-prices, and for how many units that price is.
RATES: dict[str, tuple[str, int]] = {
    "input": ("input_mtok", 1_000_000),
    "cache_read": ("cache_read_mtok", 1_000_000),
    "cache_write": ("cache_write_mtok", 1_000_000),
    "input_audio": ("input_audio_mtok", 1_000_000),
    "output": ("output_mtok", 1_000_000),
    "reasoning": ("output_reasoning_mtok", 1_000_000),
    "output_audio": ("output_audio_mtok", 1_000_000),
    "request": ("requests_kcount", 1_000),
}
_DIGITS = Decimal("1e-18")  # what the columns hold
_NOT = "^(?!"  # a negative lookahead, which the engine's regular expressions do not have
_BEGIN = datetime(1970, 1, 1, tzinfo=UTC)
_END = datetime(2106, 1, 1, tzinfo=UTC)  # a ClickHouse DateTime ends in February 2106
TIERS = 16


class Rule(NamedTuple):
    """A node of the regexp tree. Where `price_model` is None it only has children; an empty one refuses."""

    id: int
    parent_id: int
    regexp: str
    price_model: str | None


class Period(NamedTuple):
    """A span of time in which a model's prices stay the same; end included, to the second."""

    price_model: str
    valid_from: datetime
    valid_to: datetime
    period: int
    tier_starts: list[int]


class Rate(NamedTuple):
    """Prices for one unit in one tier of one period, in the order of RATES."""

    rate: int
    prices: tuple[Decimal | None, ...]


def rules() -> list[Rule]:
    """The match rules of every provider in the order in which genai-prices tries them.

    A provider's fallbacks (azure sells OpenAI's models) follow its own models, as there.
    """
    tree = _RuleTree()
    by_id = {provider.id: provider for provider in providers}
    for provider in providers:
        sellers = [
            provider,
            *(by_id[name] for name in provider.fallback_model_providers or () if name in by_id),
        ]
        models = [(seller, model) for seller in sellers for model in seller.models]
        for n, (seller, model) in enumerate(models):
            tree.add_model(provider, seller, model, later=models[n + 1 :])
    return tree.rules


class _RuleTree:
    """Collects rules; their ids are their order."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []

    def add_model(
        self,
        provider: Provider,
        seller: Provider,
        model: ModelInfo,
        *,
        later: Sequence[tuple[Provider, ModelInfo]] = (),
        parent: int = 0,
    ) -> None:
        clauses = model.match.or_ if isinstance(model.match, ClauseOr) else [model.match]
        for clause in clauses:
            conditions = clause.and_ if isinstance(clause, ClauseAnd) else [clause]
            refused = [c.regex for c in conditions if isinstance(c, ClauseRegex) and c.regex.startswith(_NOT)]
            wanted = [c for c in conditions if not (isinstance(c, ClauseRegex) and c.regex.startswith(_NOT))]
            node = parent
            for condition in wanted:
                last = condition is wanted[-1]
                node = self._add(
                    node, _pattern(condition, provider), _price_model(seller, model) if last else None
                )
            for regex in refused:
                # A refused text goes on to the models that come later: they are the children of the refusal.
                no = self._add(
                    node, f"^{re.escape(provider.id)}/{regex.removeprefix(_NOT).removesuffix(')')}", ""
                )
                for later_seller, later_model in later:
                    self.add_model(provider, later_seller, later_model, parent=no)

    def _add(self, parent: int, regexp: str, price_model: str | None) -> int:
        self.rules.append(Rule(len(self.rules) + 1, parent, regexp, price_model))
        return len(self.rules)


def _pattern(clause: Any, seller: Provider) -> str:
    """A clause over the model as a pattern over `provider/model`, both in lower case."""
    provider = re.escape(seller.id)
    match clause:
        case ClauseEquals(equals=text):
            return f"^{provider}/{re.escape(text.lower())}$"
        case ClauseStartsWith(starts_with=text):
            return f"^{provider}/{re.escape(text.lower())}"
        case ClauseEndsWith(ends_with=text):
            return f"^{provider}/.*{re.escape(text.lower())}$"
        case ClauseContains(contains=text):
            return f"^{provider}/.*{re.escape(text.lower())}"
        case ClauseRegex(regex=text) if text.startswith("^"):
            return f"^{provider}/{text[1:]}"
        case ClauseRegex(regex=text):
            return f"^{provider}/.*(?:{text})"
    raise TypeError(f"genai-prices has a match clause that is not known here: {clause!r}")


def periods_and_rates() -> tuple[list[Period], list[Rate]]:
    """The prices of every model, cut where they change by date and by tier."""
    periods: list[Period] = []
    rates: list[Rate] = []
    for provider in providers:
        for model in provider.models:
            for start, end, prices in _periods(model):
                number = len(periods) + 1
                tier_starts = _tier_starts(prices)
                periods.append(Period(_price_model(provider, model), start, end, number, tier_starts))
                rates.extend(
                    Rate(
                        number * TIERS + tier,
                        tuple(_for_one(prices, key, per, tier_starts[:tier]) for key, per in RATES.values()),
                    )
                    for tier in range(len(tier_starts) + 1)
                )
    return periods, rates


def _price_model(provider: Provider, model: ModelInfo) -> str:
    return f"{provider.id}:{model.id}"


def _periods(model: ModelInfo) -> Iterator[tuple[datetime, datetime, ModelPrice]]:
    starts = {_BEGIN}
    if not isinstance(model.prices, ModelPrice):
        starts |= {
            datetime.combine(item.constraint.start_date, time(), UTC)
            for item in model.prices
            if isinstance(item, ConditionalPrice) and isinstance(item.constraint, StartDateConstraint)
        }
    ordered = sorted(starts)
    for start, following in zip(ordered, [*ordered[1:], _END], strict=True):
        # Ends are inclusive in a range dictionary.
        end = datetime.fromtimestamp(following.timestamp() - 1, UTC)
        yield start, end, model.get_prices(start)


def _tier_starts(prices: ModelPrice) -> list[int]:
    values = [getattr(prices, key) for key, _ in RATES.values()]
    return sorted({tier.start for value in values if isinstance(value, TieredPrices) for tier in value.tiers})


def _for_one(prices: ModelPrice, key: str, per: int, crossed: list[int]) -> Decimal | None:
    """The price of one unit once the input is past every start in `crossed`: a cliff, for all tokens."""
    value = getattr(prices, key)
    if isinstance(value, TieredPrices):
        price = value.base
        for tier in value.tiers:
            if crossed and tier.start <= crossed[-1]:
                price = tier.price
        value = price
    return None if value is None else (value / per).quantize(_DIGITS)


def load_prices(client: Client) -> bool:
    """Put this release's price list into the tables unless it is there; reload the dictionaries.

    Returns whether it was new. Two processes doing it at once store the same rows.
    """
    versions = client.query("SELECT price_version FROM price_versions").result_rows
    fresh = (PRICE_VERSION,) not in versions
    if fresh:
        _insert(client)
    for dictionary in ("price_match", "price_period", "price_rate"):
        client.command(f"SYSTEM RELOAD DICTIONARY {dictionary}")
    return fresh


def _insert(client: Client) -> None:
    periods, rates = periods_and_rates()
    client.insert(
        "price_rules",
        [
            (PRICE_VERSION, rule.id, rule.parent_id, rule.regexp, *_attribute(rule.price_model))
            for rule in rules()
        ],
        column_names=["price_version", "id", "parent_id", "regexp", "keys", "values"],
    )
    client.insert(
        "price_periods",
        [(PRICE_VERSION, *period) for period in periods],
        column_names=["price_version", *Period._fields],
    )
    client.insert(
        "price_rates",
        [(PRICE_VERSION, rate.rate, *rate.prices) for rate in rates],
        column_names=["price_version", "rate", *RATES],
    )
    client.insert(
        "price_versions", [(PRICE_VERSION, datetime.now(UTC))], column_names=["price_version", "loaded_at"]
    )


def _attribute(price_model: str | None) -> tuple[list[str], list[str]]:
    return ([], []) if price_model is None else (["price_model"], [price_model])
