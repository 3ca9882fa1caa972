"""schemas.prices.explain: an explanation adds up to the cost to the last digit, or says why there is none."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from spanledger.schemas.prices import PRICE_VERSION
from spanledger.schemas.prices.book import Key
from spanledger.schemas.prices.explain import explain
from spanledger.schemas.prices.genai import installed
from spanledger.schemas.prices.units import UNITS

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def told(book, key: Key, usage: dict[str, int], at: datetime = NOON):
    return explain(book, key, usage, int(at.timestamp()) * 10**9)


def test_a_call_is_explained_unit_by_unit(book):
    usage = {
        "input_tokens": 1000,
        "cache_read_tokens": 600,
        "output_tokens": 10,
        "output_reasoning_tokens": 4,
        "web_searches": 2,
    }
    found = told(book, Key("p", "openai", "gpt-4o-mini"), usage)
    assert (found.total, found.input, found.output) == (
        Decimal("0.020111"),
        Decimal("0.000105"),
        Decimal("0.000006"),
    )
    assert (found.reason, found.entry.price_version, found.entry.rule) == (
        "",
        PRICE_VERSION,
        "equals gpt-4o-mini",
    )
    lines = {line.unit: line for line in found.lines}
    plain = lines["input_tokens"]
    assert (plain.sent, plain.billed, plain.price, plain.per) == (1000, 400, Decimal("0.15"), 10**6)
    assert (plain.tier_start, plain.amount, plain.direction) == (0, Decimal("0.00006"), "input")
    reasoning = lines["output_reasoning_tokens"]
    assert (reasoning.sent, reasoning.billed, reasoning.price, reasoning.amount) == (4, None, None, None)
    assert (lines["web_searches"].amount, lines["web_searches"].direction) == (Decimal("0.02"), "")
    assert lines["storage_searches"].sent is None
    assert lines["storage_searches"].billed == 0


def test_the_amounts_of_every_model_add_up_to_its_cost(book):
    """Whatever was sent: in total, of input, and of output; durations are told in seconds."""
    chance = random.Random(20261121)
    priced = 0
    for provider in installed():
        for model in chance.sample(provider["models"], min(12, len(provider["models"]))):
            usage = {
                unit.name: chance.choice([7, 1_234_567, 300_001]) for unit in UNITS if chance.random() < 0.3
            }
            usage |= {"input_tokens": 10**7, "output_tokens": 10**7}
            variant = chance.choice(["", "batch", "priority", "fast"])
            found = told(book, Key("p", provider["id"], model["id"], variant), usage)
            if found.total is None:
                assert found.reason in {
                    "usage_incomplete",
                    "unit_not_priced",
                    "unknown_model",
                    "impossible_usage",
                }
                continue
            priced += 1
            amounts = [line for line in found.lines if line.amount is not None]
            assert sum(line.amount for line in amounts) == found.total
            assert sum(line.amount for line in amounts if line.direction == "input") == found.input
            assert sum(line.amount for line in amounts if line.direction == "output") == found.output
            assert {line.unit for line in found.lines if line.sent is not None} == usage.keys()
    assert priced > 150


def test_a_period_a_tier_and_a_variant_are_told(book):
    key = Key("p", "deepseek", "deepseek-chat")
    day = told(book, key, {"input_tokens": 5}, datetime(2025, 5, 1, 12, tzinfo=UTC))
    night = told(book, key, {"input_tokens": 5}, datetime(2025, 5, 1, 20, tzinfo=UTC))
    assert (day.daily_from, day.daily_to) == ("00:30:00", "16:30:00")
    assert night.daily_from == "16:30:00"
    assert day.total > night.total
    o3 = told(book, Key("p", "openai", "o3"), {"input_tokens": 5}, datetime(2025, 6, 1, tzinfo=UTC))
    assert (o3.valid_from, o3.valid_to, o3.daily_from) == (None, datetime(2025, 6, 10, tzinfo=UTC), "")
    usage = {"input_tokens": 200_001, "output_tokens": 1}
    [line, *_] = [
        line
        for line in told(book, Key("p", "google", "gemini-2.5-pro"), usage).lines
        if line.unit == "input_tokens"
    ]
    assert (line.tier_start, line.price) == (200_000, Decimal("2.5"))
    batch = told(book, Key("p", "openai", "gpt-4o-mini", "batch"), {"input_tokens": 10**6})
    assert (batch.entry.variant, batch.total) == ('{"processing": "batch"}', Decimal("0.075"))
    before = told(
        book,
        Key("p", "openai", "gpt-4o-mini", "batch"),
        {"input_tokens": 10**6},
        datetime(2026, 1, 1, tzinfo=UTC),
    )
    assert (before.entry.variant, before.total) == ("", Decimal("0.15"))


def test_what_is_billed_at_least_is_told(book):
    found = told(book, Key("p", "groq", "whisper-large-v3"), {"audio_seconds": 1_500_000})
    lines = {line.unit: line for line in found.lines}
    assert (lines["audio_seconds"].sent, lines["input_audio_seconds"].billed) == (Decimal("1.5"), 10)
    assert abs(found.total - Decimal("0.111") / 360) < Decimal("1e-17")


@pytest.mark.parametrize(
    ("key", "usage", "reason"),
    [
        (Key("p", "openai", ""), {"input_tokens": 1}, "no_model"),
        (Key("p", "openai", "nothing"), {"input_tokens": 1}, "unknown_model"),
        (Key("p", "nobody", "gpt-4o"), {"input_tokens": 1}, "unknown_provider"),
        (Key("p", "openai", "gpt-4o"), {}, "no_usage"),
        (Key("p", "openai", "gpt-4o"), {"input_tokens": 1, "cache_read_tokens": 2}, "impossible_usage"),
        (Key("p", "openai", "whisper-1"), {"input_tokens": 1}, "unit_not_priced"),
    ],
)
def test_why_there_is_no_cost_is_told_with_what_was_sent(book, key, usage, reason):
    found = told(book, key, usage)
    assert (found.total, found.input, found.output, found.reason) == (None, None, None, reason)
    assert {line.unit: line.sent for line in found.lines} == usage
    assert (found.entry is None) == (reason in {"no_model", "unknown_model", "unknown_provider"})
