"""schemas.prices.lists, genai, litellm: lists come in whole, or not at all, with what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from genai_prices.types import Usage, _providers_from_raw

from spanledger.schemas.errors import BadData
from spanledger.schemas.prices import PRICE_VERSION, load_prices
from spanledger.schemas.prices.book import Key, PriceBook
from spanledger.schemas.prices.explain import explain
from spanledger.schemas.prices.genai import installed, read_genai
from spanledger.schemas.prices.lists import load_file
from spanledger.schemas.prices.tables import read_list, stored_lists

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
NEWER: list[dict[str, Any]] = [
    {
        "id": "openai",
        "name": "OpenAI",
        "api_pattern": "https://api\\.openai\\.com",
        "model_match": {"starts_with": "gpt-"},
        "provider_match": {"contains": "openai"},
        "pricing_urls": ["https://openai.com"],
        "models": [
            {
                "id": "gpt-7",
                "match": {
                    "or": [{"equals": "gpt-7"}, {"and": [{"starts_with": "gpt-7-"}, {"regex": "[0-9]$"}]}]
                },
                "context_window": 1000,
                "prices": [
                    {
                        "prices": {
                            "input_mtok": 3,
                            "output_mtok": {"base": 12.5, "tiers": [{"start": 1000, "price": "25"}]},
                        }
                    },
                    {
                        "constraint": {"start_date": "2026-11-01"},
                        "prices": {"input_mtok": 2.000000000000000001},
                    },
                    {
                        "constraint": {"start_time": "13:30:00+02:00", "end_time": "14:30:00+02:00"},
                        "prices": {"input_mtok": "0.1", "output_mtok": None},
                    },
                ],
                "price_variants": [{"when": {"processing": "batch"}, "prices": {"input_mtok": 1.5}}],
            }
        ],
    },
    {
        "id": "azure",
        "name": "Azure",
        "api_pattern": "a",
        "fallback_model_providers": ["openai"],
        "models": [],
    },
]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Any], Path]:
    def write(data: Any) -> Path:
        path = tmp_path / "prices.json"
        path.write_text(data if isinstance(data, str) else json.dumps(data))
        return path

    return write


def cost(client: Any, key: Key, usage: dict[str, int], at: datetime = NOW) -> Any:
    told = explain(PriceBook(client), key, usage, int(at.timestamp()) * 10**9)
    return told.reason if told.total is None else told.total


def counts(client: Any) -> list[Any]:
    tables = ("price_lists", "price_list_providers", "price_list_models", "price_list_rates")
    return [client.query(f"SELECT count() FROM {table} FINAL").result_rows[0][0] for table in tables]


# The installed list


def test_the_tables_hold_the_installed_list_as_it_is_published(own):
    stored = read_list(own, PRICE_VERSION)
    listed = read_genai(installed())
    assert stored.providers == listed.providers
    assert sorted(stored.models) == sorted(listed.models)
    assert sorted(stored.rates) == sorted(listed.rates)
    assert any(rate.variant and rate.tier_start and rate.price for rate in stored.rates)


def test_loading_the_same_list_again_changes_nothing(own):
    before = counts(own)
    assert load_prices(own) is False
    assert counts(own) == before


def test_a_load_that_was_cut_short_is_seen_by_nobody_and_done_again(own):
    before = counts(own)
    own.command("TRUNCATE TABLE price_lists")
    assert PriceBook(own).entries([Key("", "openai", "gpt-4o")])[Key("", "openai", "gpt-4o")] < 0
    assert load_prices(own) is True
    assert counts(own) == before


def test_two_that_load_at_once_store_one_list(own, target):
    from dataclasses import replace

    from spanledger.schemas.database import connect

    before = counts(own)
    own.command("TRUNCATE TABLE price_lists")

    def load(_: int) -> bool:
        client = connect(replace(target, database="prices_of_tests"))
        try:
            return load_prices(client)
        finally:
            client.close()

    with ThreadPoolExecutor(4) as pool:
        assert True in list(pool.map(load, range(4)))
    assert counts(own) == before


# A file of genai-prices


def test_a_newer_file_counts_from_then_on_and_costs_what_genai_prices_would_say(own, write):
    row = load_file(own, write(NEWER))
    assert (row.source, row.providers, row.models) == ("genai-prices", 2, 1)
    assert stored_lists(own)[0].price_version == row.price_version
    assert row.price_version.startswith("genai-prices file ")
    [theirs, _] = _providers_from_raw(json.loads(json.dumps(NEWER), parse_float=Decimal))
    usage = {"input_tokens": 1001, "output_tokens": 500}
    for at in (datetime(2026, 10, 1, tzinfo=UTC), NOW, NOW.replace(hour=11, minute=30)):
        for context, variant in ((None, ""), ({"processing": "batch"}, "batch")):
            wanted = theirs.models[0].calc_price(
                Usage(**usage), theirs, genai_request_timestamp=at, price_context=context
            )
            found = cost(own, Key("", "openai", "GPT-7-turbo-1", variant), usage, at)
            assert found == wanted.total_price, (at, variant)
    assert cost(own, Key("", "azure", "gpt-7"), usage) == cost(own, Key("", "openai", "gpt-7"), usage)
    assert cost(own, Key("", "openai", "gpt-4o"), usage) == "unknown_model"


def test_the_same_file_is_the_same_list_and_another_one_is_newer(own, write):
    first = load_file(own, write(NEWER))
    before = counts(own)
    assert load_file(own, write(NEWER)).price_version == first.price_version
    assert counts(own) == before
    other = deepcopy(NEWER)
    other[0]["models"][0]["prices"] = {"input_mtok": 5, "new_unit_mtok": 1}
    second = load_file(own, write(other))
    assert second.price_version != first.price_version
    assert second.not_understood == ["new_unit_mtok"]
    assert cost(own, Key("", "openai", "gpt-7"), {"input_tokens": 10}) == Decimal("0.00005")


def model(**fields: Any) -> list[dict[str, Any]]:
    made = deepcopy(NEWER)
    made[0]["models"][0] |= fields
    return made


def provider(**fields: Any) -> list[dict[str, Any]]:
    made = deepcopy(NEWER)
    made[0] |= fields
    return made


OF_MODEL = "provider 'openai', model 'gpt-7'"


@pytest.mark.parametrize(
    ("data", "wrong"),
    [
        ("", "is not JSON"),
        ("[", "is not JSON"),
        ({}, "not a list of providers"),
        ([5], "provider 0 is not an object"),
        ([{"name": "x"}], "provider 0: id is not a text"),
        ([], "has no model with a price"),
        (provider(api_pattern="("), "provider 'openai': api_pattern is not a regular expression"),
        (
            provider(provider_match={"like": "x"}),
            "provider 'openai': provider_match: there is no clause 'like'",
        ),
        (provider(fallback_model_providers=[5]), "provider 'openai': fallback_model_providers is not a text"),
        (provider(models={}), "provider 'openai': models is not a list"),
        (provider(models=[{}]), "provider 'openai', model 0: id is not a text"),
        (provider(models=NEWER[0]["models"] * 2), "provider 'openai': model 'gpt-7' is listed twice"),
        (NEWER * 2, "provider 'openai' is listed twice"),
        (model(match=None), f"{OF_MODEL}: match"),
        (model(match={"regex": "["}), f"{OF_MODEL}: match: .* is not a regular expression"),
        (model(prices=None), f"{OF_MODEL}: prices is neither"),
        (model(prices=[]), f"{OF_MODEL}: prices is neither"),
        (model(prices=[5]), rf"{OF_MODEL}: prices\[0\]: prices is not an object"),
        (model(prices={"input_mtok": -1}), rf"{OF_MODEL}: prices\[0\].input_mtok: a price is a number"),
        (model(prices={"input_mtok": "x"}), "input_mtok: a price is a number"),
        (model(prices={"input_mtok": True}), "input_mtok: a price is a number"),
        (model(prices={"input_mtok": 1e9}), "input_mtok: .* is more than 9.22 USD for one"),
        (model(prices={"input_mtok": {"tiers": []}}), "input_mtok.base: a price is a number"),
        (
            model(prices={"input_mtok": {"base": 1, "tiers": [{"price": 1}]}}),
            "input_mtok.tiers: start: a tier starts",
        ),
        (model(prices={"input_mtok": {"base": 1, "tiers": [5]}}), "input_mtok.tiers: a tier is an object"),
        (model(prices=[{"constraint": {"from": 1}, "prices": {}}]), "constraint: allowed are start_date"),
        (model(prices=[{"constraint": {"start_date": "soon"}, "prices": {}}]), "start_date is not a date"),
        (
            model(prices=[{"constraint": {"start_time": "1", "end_time": "25:00"}, "prices": {}}]),
            "is not a time of day",
        ),
        (
            model(price_variants=[{"when": {}, "prices": {}}]),
            r"price_variants\[0\]: when is not an object of texts",
        ),
        (model(price_variants=[{"when": {"a": "b"}}]), r"price_variants\[0\]: prices is not an object"),
    ],
)
def test_a_broken_file_is_refused_with_entry_and_key_and_nothing_of_it_is_stored(own, write, data, wrong):
    before = counts(own)
    with pytest.raises(BadData, match=wrong) as refused:
        load_file(own, write(data))
    assert "prices.json: " in str(refused.value) or "prices.json has" in str(refused.value)
    assert counts(own) == before


def test_a_file_that_is_not_there_or_of_no_known_source_is_named(own, tmp_path):
    with pytest.raises(BadData, match=r"nothing\.json cannot be read: No such file"):
        load_file(own, tmp_path / "nothing.json")
    (tmp_path / "list.json").write_text("{}")
    with pytest.raises(BadData, match="no source 'tokencost' of prices; allowed are genai-prices, litellm"):
        load_file(own, tmp_path / "list.json", "tokencost")


# LiteLLM

LITELLM = {
    "sample_spec": {"input_cost_per_token": 0, "litellm_provider": "one of ..."},
    "gpt-4o-mini": {"litellm_provider": "openai", "input_cost_per_token": 5, "output_cost_per_token": 5},
    "house-gpt": {
        "litellm_provider": "openai",
        "mode": "chat",
        "max_tokens": 128000,
        "input_cost_per_token": 1.1e-06,
        "input_cost_per_token_above_200k_tokens": 2.2e-06,
        "input_cost_per_token_batches": 5.5e-07,
        "input_cost_per_token_above_200k_tokens_batches": 1.1e-06,
        "input_cost_per_token_priority": 3e-06,
        "output_cost_per_token": 4.4e-06,
        "output_cost_per_token_flex": 2.2e-06,
        "output_cost_per_reasoning_token": 5e-06,
        "cache_read_input_token_cost": 2.75e-07,
        "cache_creation_input_token_cost": 1.375e-06,
        "cache_creation_input_token_cost_above_1hr": 2.2e-06,
        "search_context_cost_per_query": {"search_context_size_low": 0.03},
        "input_cost_per_galaxy": 3,
    },
    "hearing": {
        "litellm_provider": "openai",
        "input_cost_per_token": 2.0833333333333336e-07,
        "output_cost_per_token": 1e-6,
        "input_cost_per_audio_token": 4e-06,
        "output_cost_per_audio_token": 8e-06,
        "cache_read_input_token_cost": 1e-07,
    },
    "watsonx/granite-4": {
        "litellm_provider": "watsonx",
        "input_cost_per_token": 1e-07,
        "output_cost_per_token": 1e-7,
    },
    "xai/grok-99": {"litellm_provider": "xai", "input_cost_per_token": 1e-06, "output_cost_per_token": 1e-06},
    "drawing": {
        "litellm_provider": "openai",
        "input_cost_per_token": 1e-6,
        "output_cost_per_image_token": 1e-5,
    },
    "free-form": {"litellm_provider": "openai", "mode": "image_generation", "output_cost_per_image": 0.04},
}
MILLION = 10**6


@pytest.fixture
def litellm(own, write):
    return load_file(own, write(LITELLM), "litellm")


@pytest.mark.parametrize(
    ("model", "variant", "usage", "expected"),
    [
        ("house-gpt", "", {"input_tokens": 200_000}, "0.22"),
        ("house-gpt", "", {"input_tokens": 200_001}, "0.4400022"),
        ("house-gpt", "batch", {"input_tokens": 200_000}, "0.11"),
        ("house-gpt", "batch", {"input_tokens": 200_001}, "0.2200011"),
        ("house-gpt", "priority", {"input_tokens": 100_000}, "0.3"),
        ("house-gpt", "flex", {"input_tokens": 0, "output_tokens": MILLION}, "2.2"),
        ("house-gpt", "", {"output_tokens": MILLION, "output_reasoning_tokens": 500_000}, "4.7"),
        (
            "house-gpt",
            "",
            {
                "input_tokens": 100_000,
                "cache_read_tokens": 10_000,
                "cache_write_tokens": 20_000,
                "cache_write_1h_tokens": 5_000,
            },
            "0.111375",
        ),
        ("hearing", "", {"input_tokens": MILLION}, "0.20833333333333336"),
        ("hearing", "", {"input_tokens": MILLION, "input_audio_tokens": 500_000}, "2.10416666666666668"),
        ("hearing", "", {"output_tokens": MILLION, "output_audio_tokens": MILLION}, "8"),
        ("openai/house-gpt", "", {"input_tokens": 100}, "unknown_model"),
        ("drawing", "", {"input_tokens": 100}, "unknown_model"),
        ("free-form", "", {"input_tokens": 100}, "unknown_model"),
    ],
)
def test_what_only_litellm_lists_costs_what_litellm_says(own, litellm, model, variant, usage, expected):  # noqa: PLR0917
    found = cost(own, Key("", "openai", model, variant), usage)
    assert found == (expected if expected.startswith("unknown") else Decimal(expected))


def test_litellm_is_asked_where_genai_prices_has_no_price_and_nowhere_else(own, litellm):
    book = PriceBook(own)
    keys = [
        Key("", "openai", "gpt-4o-mini"),
        Key("", "openai", "house-gpt"),
        Key("", "ibm.watsonx.ai", "granite-4"),
        Key("", "x_ai", "grok-99"),
        Key("", "", "House-GPT"),
        Key("", "anthropic", "house-gpt"),
        Key("", "nobody", "house-gpt"),
    ]
    found = book.entries(keys)
    told = [found[key] if found[key] < 0 else book.entry(found[key])[:3] for key in keys]
    version = litellm.price_version
    assert told == [
        ("openai:gpt-4o-mini", PRICE_VERSION, "genai-prices"),
        ("openai:house-gpt", version, "litellm"),
        ("watsonx:watsonx/granite-4", version, "litellm"),
        ("x-ai:xai/grok-99", version, "litellm"),
        ("openai:house-gpt", version, "litellm"),
        -1,
        -2,
    ]


def test_loading_litellms_list_tells_what_was_taken_and_what_was_not_understood(litellm):
    assert (litellm.providers, litellm.models) == (3, 5)
    assert litellm.not_understood == [
        "drawing: output_image_tokens has a price and output_tokens, of which it is part, none",
        "input_cost_per_galaxy",
        "output_cost_per_image",
        "search_context_cost_per_query",
    ]


@pytest.mark.parametrize(
    ("data", "wrong"),
    [
        ([], "not an object of models"),
        ({"m": 5}, "model 'm' is not an object"),
        ({"m": {"litellm_provider": 5}}, "model 'm': litellm_provider is not a text"),
        (
            {"m": {"litellm_provider": "p", "input_cost_per_token": "x"}},
            "model 'm': input_cost_per_token: a price",
        ),
        (
            {"m": {"litellm_provider": "p", "input_cost_per_token": -1e-6}},
            "model 'm': input_cost_per_token: a price",
        ),
        ({"m": {"litellm_provider": "p", "input_cost_per_token": 10}}, "more than 9.22 USD for one"),
        ({"m": {"litellm_provider": "p", "max_tokens": 10}}, "has no model with a price"),
    ],
)
def test_a_broken_list_of_litellm_is_refused_with_entry_and_key(own, write, data, wrong):
    before = counts(own)
    with pytest.raises(BadData, match=wrong):
        load_file(own, write(data), "litellm")
    assert counts(own) == before
