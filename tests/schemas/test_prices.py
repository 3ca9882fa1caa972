"""schemas.prices: the price list in ClickHouse says what genai-prices itself says."""

from __future__ import annotations

import random
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import genai_prices
import pytest
from genai_prices.data import providers
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import (
    ClauseContains,
    ClauseEndsWith,
    ClauseEquals,
    ClauseOr,
    ClauseStartsWith,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    Provider,
    TieredPrices,
    TimeOfDateConstraint,
)
from otlp_requests import request, span

from spanledger.schemas.dialects import PRICE_PROVIDERS
from spanledger.schemas.prices import PRICE_VERSION, RATES, TIERS, load_prices, periods_and_rates, rules

# What our costs do not follow yet. A test holds each list to what the price list has, so it cannot grow
# silently.
BY_TIME_OF_DAY = {
    "deepseek:deepseek-chat",
    "deepseek:deepseek-flash",
    "deepseek:deepseek-reasoner",
    "deepseek:deepseek-v4-flash",
    "deepseek:deepseek-v4-pro",
}

KEYS = {
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "cache_read_tokens": "gen_ai.usage.cache_read.input_tokens",
    "cache_write_tokens": "gen_ai.usage.cache_write.input_tokens",
    "input_audio_tokens": "gen_ai.usage.audio.input_tokens",
    "output_audio_tokens": "gen_ai.usage.audio.output_tokens",
    "output_reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
}
# One token of the last digit that a rate has.
LAST_DIGIT = Decimal(1).scaleb(-18)


def every_model() -> Iterator[tuple[Provider, ModelInfo]]:
    for provider in providers:
        for model in provider.models:
            yield provider, model


def all_prices(model: ModelInfo) -> list[ModelPrice]:
    listed = model.prices if isinstance(model.prices, list) else [model.prices]
    return [item.prices if isinstance(item, ConditionalPrice) else item for item in listed]


def amounts(price: Any) -> list[Decimal]:
    if isinstance(price, TieredPrices):
        return [price.base, *(tier.price for tier in price.tiers)]
    return [] if price is None else [price]


def name(provider: Provider, model: ModelInfo) -> str:
    return f"{provider.id}:{model.id}"


OWNER = {id(model): provider for provider, model in every_model()}


def found_by_python(provider: Provider, text: str) -> str:
    """The entry that genai-prices finds, as our dictionary names it; empty where there is none."""
    try:
        _, model = get_snapshot().find_provider_model(text, provider, None, None)
    except LookupError:
        return ""
    return name(OWNER[id(model)], model)


# Models are found


def spellings(model: ModelInfo) -> Iterator[str]:
    """The model's id, and texts around each of its match clauses."""
    yield model.id
    yield f"{model.id}-latest"
    yield f"x{model.id}"
    for clause in model.match.or_ if isinstance(model.match, ClauseOr) else [model.match]:
        match clause:
            case ClauseEquals(equals=text):
                yield from (text, text.upper(), f"{text}-2")
            case ClauseStartsWith(starts_with=text):
                yield from (text, f"{text}-2025-01-01", f"a-{text}")
            case ClauseEndsWith(ends_with=text):
                yield from (text, f"a-{text}", f"{text}-b")
            case ClauseContains(contains=text):
                yield from (text, f"a-{text}-b")


def found_in_clickhouse(reader, keys: list[str]) -> list[str]:
    rows = reader.query(
        "SELECT dictGet('price_match', 'price_model', arrayJoin({keys:Array(String)}))",
        parameters={"keys": keys},
    ).result_rows
    return [found for (found,) in rows]


def test_every_model_is_found_as_genai_prices_finds_it(reader):
    """Its id and texts around its match clauses: the dictionary answers what the Python code answers."""
    asked = sorted({(p.id, text.lower()) for p, model in every_model() for text in spellings(model)})
    by_id = {provider.id: provider for provider in providers}
    found = found_in_clickhouse(reader, [f"{provider}/{text}" for provider, text in asked])
    expected = [found_by_python(by_id[provider], text) for provider, text in asked]
    wrong = [(*key, want, got) for key, want, got in zip(asked, expected, found, strict=True) if want != got]
    assert len(asked) > 5_000
    assert wrong == []


@pytest.mark.parametrize(
    "text", ["", "openai", "openai/", "/gpt-4o", "nobody/gpt-4o", "openai/no-such-model", "\x00"]
)
def test_what_is_no_model_is_not_found(reader, text):
    assert found_in_clickhouse(reader, [text]) == [""]


def test_hostile_models_are_no_error(reader):
    texts = ["gpt-" * 10_000, "'; DROP TABLE spans --", ".*", "(", "\\", "é/ü"]
    known = {name(provider, model) for provider, model in every_model()}
    assert set(found_in_clickhouse(reader, [f"openai/{text}" for text in texts])) <= {"", *known}


# Costs


@dataclass
class Case:
    """A call of a model at a time, with the usage that was reported."""

    provider: Provider
    model: ModelInfo
    usage: dict[str, int]
    at: datetime
    span_id: bytes = field(default_factory=lambda: secrets.token_bytes(8))

    def span(self) -> Any:
        canonical = {price_id: sent for sent, price_id in reversed(PRICE_PROVIDERS.items())}
        attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": canonical.get(self.provider.id, self.provider.id),
            "gen_ai.request.model": "never-looked-at",
            "gen_ai.response.model": self.model.id,
        }
        attributes |= {KEYS[kind]: count for kind, count in self.usage.items()}
        start = int(self.at.timestamp()) * 1_000_000_000
        return span(b"p" * 16, attributes, span_id=self.span_id, start_time_unix_nano=start)

    def reason(self) -> str:
        """Why there is no price: the list does not match the model's own id, or has no price we use."""
        try:
            get_snapshot().find_provider_model(self.model.id, None, self.provider.id, None)
        except LookupError:
            return "unknown_model"
        return "unit_not_priced"

    def expected(self) -> tuple[Decimal, Decimal, Decimal] | None:
        """Total, input and output cost; None where the price list has no price for tokens."""
        try:
            found = genai_prices.calc_price(
                genai_prices.Usage(**self.usage),
                self.model.id,
                provider_id=self.provider.id,
                genai_request_timestamp=self.at,
            )
        except LookupError:
            return None
        if found.model_price.input_mtok is None and found.model_price.output_mtok is None:
            return None
        return found.total_price, found.input_price, found.output_price

    def slack(self) -> Decimal:
        """How far a cost may be off: not at all, but where a price for one token has over 18 digits."""
        exact = all(
            (amount / 1_000_000).as_tuple().exponent >= -18
            for price in all_prices(self.model)
            for key, _ in RATES.values()
            for amount in amounts(getattr(price, key))
        )
        return Decimal(0) if exact else sum(self.usage.values()) * LAST_DIGIT


def cases(seed: int) -> Iterator[Case]:
    """A call of every model, with sizes around the tiers' starts, on a day of three years."""
    chance = random.Random(seed)
    for provider, model in every_model():
        at = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=chance.randrange(3 * 365 * 86_400))
        yield Case(provider, model, random_usage(chance, model), at)


def random_usage(chance: random.Random, model: ModelInfo) -> dict[str, int]:
    starts = [
        tier.start
        for price in all_prices(model)
        for key, _ in RATES.values()
        if isinstance(value := getattr(price, key), TieredPrices)
        for tier in value.tiers
    ]
    around = [start + more for start in starts for more in (-1, 0, 1)]
    total = chance.choice([0, 1, 17, 1_000, 123_457, 1_000_001, *around])
    output = chance.choice([0, 1, 333, 10_007])
    usage = {"input_tokens": total, "output_tokens": output}
    if chance.random() < 0.6:
        usage["cache_read_tokens"] = chance.randint(0, total)
        usage["cache_write_tokens"] = chance.randint(0, total - usage["cache_read_tokens"])
    elif chance.random() < 0.5:
        # Cached audio has a price of its own in places, and no attribute yet: so not both at once.
        usage["input_audio_tokens"] = chance.randint(0, total)
    extra = chance.choice(["output_audio_tokens", "output_reasoning_tokens", None])
    if extra:
        usage[extra] = chance.randint(0, output)
    return usage


@pytest.mark.slow
@pytest.mark.parametrize("seed", [20260725, 20261120])
def test_costs_of_every_model_are_those_of_genai_prices_to_the_last_digit(ingest, reader, project, seed):
    sample = list(cases(seed))
    ingest(request(*(case.span() for case in sample)))
    rows = reader.query(
        "SELECT span_id, cost_usd, cost_input_usd, cost_output_usd, cost_reason, price_version "
        "FROM spans FINAL WHERE project = {p:String}",
        parameters={"p": project},
        column_formats={"span_id": "bytes"},
    ).result_rows
    stored = {bytes(row[0]): row[1:] for row in rows}
    wrong = []
    for case in sample:
        *costs, reason, version = stored[case.span_id]
        expected = case.expected()
        if expected is None:
            right = costs == [None] * 3 and reason == case.reason() and version == ""
        elif name(case.provider, case.model) in BY_TIME_OF_DAY:
            continue
        else:
            right = version == PRICE_VERSION and all(
                abs(cost - want) <= case.slack() for cost, want in zip(costs, expected, strict=True)
            )
        if not right:
            wrong.append((name(case.provider, case.model), case.usage, case.at, expected, costs, reason))
    assert wrong == []


def test_the_prices_of_a_model_change_on_the_day_that_the_list_says(ingest, reader, project):
    """Every start date of every model: the second before it and the second itself."""
    sample = []
    for provider, model in every_model():
        if name(provider, model) in BY_TIME_OF_DAY or isinstance(model.prices, ModelPrice):
            continue
        for item in model.prices:
            constraint = getattr(item, "constraint", None)
            if constraint is None:
                continue
            start = datetime.combine(constraint.start_date, datetime.min.time(), UTC)
            usage = {"input_tokens": 1000, "output_tokens": 100}
            sample += [Case(provider, model, usage, start + timedelta(seconds=n)) for n in (-1, 0)]
    ingest(request(*(case.span() for case in sample)))
    rows = reader.query(
        "SELECT span_id, cost_usd FROM spans FINAL WHERE project = {p:String}",
        parameters={"p": project},
        column_formats={"span_id": "bytes"},
    ).result_rows
    stored = {bytes(span_id): cost for span_id, cost in rows}
    for case in sample:
        expected, cost = case.expected(), stored[case.span_id]
        assert (cost is None) == (expected is None), name(case.provider, case.model)
        assert cost is None or abs(cost - expected[0]) <= case.slack(), name(case.provider, case.model)


# What is known not to be followed


def test_the_models_with_prices_by_time_of_day_are_the_known_ones():
    found = {
        name(provider, model)
        for provider, model in every_model()
        if not isinstance(model.prices, ModelPrice)
        and any(isinstance(item.constraint, TimeOfDateConstraint) for item in model.prices)
    }
    assert found == BY_TIME_OF_DAY


# The tables


def test_loading_the_same_list_again_changes_nothing(writer, reader):
    counts = "SELECT (SELECT count() FROM price_rules FINAL), (SELECT count() FROM price_rates FINAL)"
    before = reader.query(counts).result_rows
    assert load_prices(writer) is False
    assert reader.query(counts).result_rows == before


def test_rules_are_numbered_in_order_and_parents_come_before_their_children():
    listed = rules()
    assert [rule.id for rule in listed] == list(range(1, len(listed) + 1))
    assert all(rule.parent_id < rule.id for rule in listed)


def test_periods_of_a_model_follow_each_other_without_a_gap():
    listed, rates = periods_and_rates()
    by_model: dict[str, list] = {}
    for period in listed:
        by_model.setdefault(period.price_model, []).append(period)
    for periods in by_model.values():
        for one, following in pairwise(periods):
            assert following.valid_from - one.valid_to == timedelta(seconds=1)
    assert len({rate.rate for rate in rates}) == len(rates)
    assert max(len(period.tier_starts) for period in listed) < TIERS
