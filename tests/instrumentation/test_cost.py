"""Money is exact or absent with a reason."""

import re
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal

import genai_prices
import pytest

from spanledger.instrumentation import cost, quiet, rates
from spanledger.instrumentation.calls import Usage
from spanledger.instrumentation.cost import cost_attributes
from spanledger.schemas import attributes as names

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
USAGE = Usage(input=1000, output=100, cache_read=200)


@pytest.mark.parametrize(
    ("provider", "model", "price_provider"),
    [
        ("openai", "gpt-4o", "openai"),
        ("azure.ai.openai", "gpt-4o", "azure"),
        ("anthropic", "claude-sonnet-4-5", "anthropic"),
        ("x_ai", "grok-4", "x-ai"),
        ("mistral_ai", "mistral-large-latest", "mistral"),
        ("moonshot_ai", "kimi-k2-0711-preview", "moonshotai"),
        ("gcp.gemini", "gemini-2.5-pro", "google"),
        ("groq", "llama-3.3-70b-versatile", "groq"),
        ("perplexity", "sonar", "perplexity"),
    ],
)
def test_each_provider_of_the_conventions_is_priced_by_its_own_list(provider, model, price_provider):
    usage = genai_prices.Usage(input_tokens=1000, output_tokens=100, cache_read_tokens=200)
    price = genai_prices.calc_price(usage, model, provider_id=price_provider, genai_request_timestamp=NOW)
    found = cost_attributes(provider, (model,), USAGE, NOW)
    assert Decimal(found[names.COST_TOTAL]) == price.total_price


def test_the_model_that_answered_is_priced_before_the_model_that_was_asked_for():
    answered = cost_attributes("openai", ("gpt-4o-mini",), USAGE, NOW)
    assert cost_attributes("openai", ("gpt-4o-mini", "gpt-4o"), USAGE, NOW) == answered
    assert cost_attributes("openai", ("not-in-any-list", "gpt-4o-mini"), USAGE, NOW) == answered
    assert cost_attributes("openai", (None, "gpt-4o-mini"), USAGE, NOW) == answered


def test_the_price_is_that_of_the_day_of_the_call():
    before = cost_attributes(
        "openai", ("o3",), Usage(input=1_000_000, output=0), datetime(2025, 6, 1, tzinfo=UTC)
    )
    after = cost_attributes(
        "openai", ("o3",), Usage(input=1_000_000, output=0), datetime(2025, 7, 1, tzinfo=UTC)
    )
    assert (Decimal(before[names.COST_TOTAL]), Decimal(after[names.COST_TOTAL])) == (10, 2)


@pytest.mark.parametrize(
    ("provider", "models", "usage", "reason"),
    [
        ("openai", ("gpt-4o",), None, names.REASON_NO_USAGE),
        ("openai", ("gpt-4o",), Usage(), names.REASON_NO_USAGE),
        ("openai", (None, None), USAGE, names.REASON_NO_MODEL),
        ("openai", ("nobody-1",), USAGE, names.REASON_UNKNOWN_MODEL),
        ("somebody", ("gpt-4o",), USAGE, names.REASON_UNKNOWN_PROVIDER),
    ],
)
def test_without_a_price_there_is_only_a_reason_from_the_closed_list(provider, models, usage, reason):
    assert cost_attributes(provider, models, usage, NOW) == {names.COST_REASON: reason}
    assert reason in names.COST_REASONS


def test_usage_that_the_price_list_refuses_is_a_reason_not_an_exception(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise ValueError("no")

    monkeypatch.setattr(genai_prices, "calc_price", refuse)
    monkeypatch.setattr(rates._Kept, "rates", {})
    quiet._said.clear()
    found = cost_attributes("openai", ("gpt-4o",), USAGE, NOW)
    assert found == {names.COST_REASON: names.REASON_INVALID_USAGE}


def test_a_missing_price_list_is_a_reason_not_an_exception(monkeypatch):
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    quiet._said.clear()
    assert cost_attributes("openai", ("gpt-4o",), USAGE, NOW) == {names.COST_REASON: names.REASON_NO_PRICES}


@pytest.mark.parametrize("amount", ["8E-7", "0.0000008", "0", "1E+3", "12.50"])
def test_money_is_written_without_an_exponent(amount):
    written = cost.plain(Decimal(amount))
    assert re.fullmatch(r"\d+(\.\d+)?", written)
    assert Decimal(written) == Decimal(amount)


def test_the_price_list_is_not_loaded_by_importing_the_instrumentation():
    code = "import sys, spanledger.instrumentation; sys.exit('genai_prices' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=20).returncode == 0


@pytest.mark.parametrize(
    ("model", "usage", "total"),
    [
        ("whisper-1", Usage(units={"audio_seconds": 1800}), "0.18"),
        ("tts-1", Usage(units={"input_characters": 1000}), "0.015"),
        ("gpt-4o", Usage(input=0, output=0, units={"web_searches": 3}), "0.03"),
        (
            "gpt-image-1.5",
            Usage(input=1000, output=500, image_input=300, image_output=400),
            "0.0197",  # 700 x 5, 300 x 8, 100 x 10 and 400 x 32 dollars a million
        ),
        ("omni-moderation-latest", Usage(input=100), "0"),
    ],
)
def test_pictures_seconds_characters_and_searches_have_prices_of_their_own(model, usage, total):
    assert Decimal(cost_attributes("openai", (model,), usage, NOW)[names.COST_TOTAL]) == Decimal(total)


@pytest.mark.parametrize(
    ("model", "usage"),
    [
        ("gpt-4o-mini-tts", Usage(units={"input_characters": 1000})),
        ("tts-1", Usage(input=10, output=0)),
        ("gpt-4o", Usage(units={"audio_seconds": 10})),
    ],
)
def test_a_model_is_not_free_because_something_else_was_counted_than_it_is_billed_by(model, usage):
    assert cost_attributes("openai", (model,), usage, NOW) == {names.COST_REASON: names.REASON_NO_USAGE}


def test_a_batch_has_the_price_of_batches():
    whole = cost_attributes("openai", ("gpt-4o-mini",), Usage(input=1_000_000, output=0), NOW)
    batch = cost_attributes("openai", ("gpt-4o-mini",), Usage(input=1_000_000, output=0), NOW, "batch")
    assert Decimal(batch[names.COST_TOTAL]) * 2 == Decimal(whole[names.COST_TOTAL])
