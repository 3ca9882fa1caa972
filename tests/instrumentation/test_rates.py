"""Prices that are kept give what genai-prices gives, to the last digit, and only while they hold."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import genai_prices
import pytest
from genai_prices.data_snapshot import DataSnapshot, get_snapshot, set_custom_snapshot

from spanledger.instrumentation import cost, rates
from spanledger.instrumentation.calls import Usage

NOW = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _nothing_kept():
    rates._Kept.rates = {}
    yield
    rates._Kept.rates = {}


def afresh(*asked: Any) -> dict[str, Any]:
    rates._Kept.rates = {}
    return cost.cost_attributes(*asked)


def some_models() -> list[tuple[str, str]]:
    """Some models of each of the large providers, and the usual ones."""
    asked = {"openai", "anthropic", "google", "mistral", "deepseek", "groq", "x-ai", "aws", "cohere"}
    providers = [provider for provider in get_snapshot().providers if provider.id in asked]
    found = [(provider.id, model.id) for provider in providers for model in provider.models]
    return [("openai", "gpt-4o-mini"), ("anthropic", "claude-sonnet-4-5"), *found[::9]]


def test_a_kept_price_is_that_of_genai_prices_text_by_text():
    chance = random.Random(6)
    used_kept = 0
    for provider, model in some_models():
        for tier in (None, "priority", "batch"):
            for _ in range(5):
                whole = chance.randrange(0, 100_000)
                usage = Usage(
                    input=whole,
                    output=chance.choice([None, 0, chance.randrange(50_000)]),
                    cache_read=chance.choice([None, 0, chance.randrange(whole + 1)]),
                    cache_write=chance.choice([None, 0, chance.randrange(whole + 1)]),
                    audio_input=chance.choice([None, None, 5]),
                )
                asked = (provider, (model, None), usage, NOW, tier)
                expected = afresh(*asked)
                before = dict(rates._Kept.rates)
                assert cost.cost_attributes(*asked) == expected, (asked, before)
                used_kept += bool(before)
    assert used_kept > 100


def test_what_is_kept_is_used(monkeypatch):
    asked = ("openai", ("gpt-4o-mini",), Usage(input=10, output=5), NOW)
    first = cost.cost_attributes(*asked)

    def broken(*_args: Any, **_kwargs: Any) -> Any:
        raise AssertionError("asked again")

    monkeypatch.setattr(genai_prices, "calc_price", broken)
    assert cost.cost_attributes(*asked) == first


def test_a_price_that_changes_at_a_date_is_asked_for_again():
    usage = Usage(input=1_000_000, output=0)
    before = cost.cost_attributes("openai", ("o3",), usage, datetime(2025, 6, 1, tzinfo=UTC))
    after = cost.cost_attributes("openai", ("o3",), usage, datetime(2025, 7, 1, tzinfo=UTC))
    assert (float(before["spanledger.cost.total"]), float(after["spanledger.cost.total"])) == (10, 2)


def test_a_tier_of_the_price_list_that_depends_on_the_size_is_not_kept():
    small = cost.cost_attributes("gcp.gemini", ("gemini-2.5-pro",), Usage(input=150_000, output=1_000), NOW)
    large = cost.cost_attributes("gcp.gemini", ("gemini-2.5-pro",), Usage(input=250_000, output=1_000), NOW)
    assert (float(small["spanledger.cost.total"]), float(large["spanledger.cost.total"])) == (0.1975, 0.64)


def test_another_price_list_is_asked_at_once():
    asked = ("openai", ("gpt-4o-mini",), Usage(input=10, output=5), NOW)
    assert "spanledger.cost.total" in cost.cost_attributes(*asked)
    try:
        set_custom_snapshot(DataSnapshot(providers=[], from_auto_update=False))
        assert cost.cost_attributes(*asked) == {"spanledger.cost.reason": "unknown_provider"}
    finally:
        set_custom_snapshot(None)
    assert "spanledger.cost.total" in cost.cost_attributes(*asked)


def test_not_more_is_kept_than_a_bound():
    for minute in range(rates._KEPT + 10):
        when = NOW + timedelta(minutes=minute)
        cost.cost_attributes("openai", ("gpt-4o-mini",), Usage(input=10, output=5), when)
    assert len(rates._Kept.rates) <= rates._KEPT
