"""Looking prices up: what the lists in use publish, and what a call would be priced by."""

from __future__ import annotations

from decimal import Decimal

import pytest

from spanledger.schemas.price_api import ModelPage, PriceLists, PriceMatch, PublishedModels
from spanledger.schemas.prices import PRICE_VERSION


def get(api, path, expected=200, **query):
    answer = api.get(f"/api/v1/prices{path}", params=query)
    assert answer.status_code == expected, answer.text
    return answer.json()


def prices_of(rate):
    return {price["unit"]: price["price"] for price in rate["prices"]}


def test_a_model_is_listed_with_its_prices_of_today(idle_api):
    page = get(idle_api, "", provider="openai", model="GPT-4o-mini", source="genai-prices")
    ModelPage.model_validate(page)
    shown = {model["model"]: model for model in page["models"]}
    mini = shown["gpt-4o-mini"]
    assert (mini["source"], mini["price_version"]) == ("genai-prices", PRICE_VERSION)
    prices = {price["unit"]: (price["price"], price["per"]) for price in mini["prices"]}
    assert prices["input_tokens"] == ("0.15", 1_000_000)
    assert prices["output_tokens"] == ("0.6", 1_000_000)
    assert all("gpt-4o-mini" in name for name in shown)


def test_what_is_looked_for_is_taken_literally(idle_api):
    assert get(idle_api, "", model="gpt.4o")["models"] == []
    assert get(idle_api, "", model="%")["models"] == []


def test_pages_together_are_the_whole_list_in_its_order(idle_api):
    whole = get(idle_api, "", source="genai-prices", provider="openai", limit=500)
    assert whole["next_cursor"] is None
    found, cursor = [], {}
    while cursor is not None:
        page = get(idle_api, "", source="genai-prices", provider="openai", limit=7, **cursor)
        assert len(page["models"]) <= 7
        found += page["models"]
        cursor = {"cursor": page["next_cursor"]} if page["next_cursor"] else None
    assert found == whole["models"]
    names = [(model["provider"], model["model"]) for model in found]
    assert names == sorted(set(names))
    assert len(names) > 20


def test_what_else_a_price_depends_on_is_told(idle_api):
    models = []
    cursor = {}
    while cursor is not None:
        page = get(idle_api, "", source="genai-prices", limit=500, **cursor)
        models += page["models"]
        cursor = {"cursor": page["next_cursor"]} if page["next_cursor"] else None
    for what in ("tiers", "dates", "times_of_day", "variants"):
        some = {model[f"has_{what}"] for model in models}
        assert some == {True, False}, what


def test_the_lists_that_are_stored_are_told(idle_api):
    lists = get(idle_api, "/lists")
    PriceLists.model_validate(lists)
    [ours] = [row for row in lists["lists"] if row["price_version"] == PRICE_VERSION]
    assert ours["models"] > 500
    assert ours["rates"] > ours["models"]
    assert ours["loaded_at"].endswith("Z")


def test_a_call_is_matched_by_its_rule_with_all_of_its_rates(idle_api):
    match = get(idle_api, "/match", provider="openai", model="gpt-4o-mini-2024-07-18")
    PriceMatch.model_validate(match)
    entry = match["entry"]
    assert (entry["name"], entry["source"], entry["price_version"]) == (
        "openai:gpt-4o-mini",
        "genai-prices",
        PRICE_VERSION,
    )
    assert "gpt-4o-mini-2024-07-18" in entry["rule"]
    assert (entry["overrides"], entry["variant"], match["reason"]) == ([], None, None)
    rate = next(rate for rate in match["rates"] if rate["in_force"])
    assert prices_of(rate)["input_tokens"] == "0.15"
    assert rate["prices"][0]["words"] == "0.15 USD for 1,000,000 input_tokens"


def test_a_tier_of_service_selects_its_variant(idle_api):
    def rate(**tier):
        match = get(idle_api, "/match", provider="openai", model="gpt-4o-mini", **tier)
        found = next(rate for rate in match["rates"] if rate["in_force"])
        return match["entry"]["variant"], Decimal(prices_of(found)["input_tokens"])

    variant, price = rate(tier="batch")
    assert variant is not None
    assert price < rate()[1]
    assert rate()[0] is None


def test_prices_of_another_time_are_those_of_that_time(idle_api):
    page = get(idle_api, "", source="genai-prices", limit=500)
    dated = [model for model in page["models"] if model["has_dates"] and not model["has_times_of_day"]]
    asked = [{"provider": model["provider"], "model": model["model"]} for model in dated]
    starts: list[str] = []
    while not starts:  # where only prices of variants change there are none
        names = asked.pop(0)
        rates = get(idle_api, "/match", **names)["rates"]
        starts = [rate["valid_from"] for rate in rates if rate["valid_from"]]
    before = get(idle_api, "/match", **names, at="2000-01-01T00:00:00Z")
    first = next(rate for rate in before["rates"] if rate["in_force"])
    assert (first["valid_from"], first["valid_to"]) == (None, min(starts))


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ({"provider": "openai", "model": "house-model"}, "unknown_model"),
        ({"provider": "house", "model": "house-model"}, "unknown_provider"),
    ],
)
def test_a_call_without_a_price_is_answered_with_the_reason(idle_api, names, reason):
    match = get(idle_api, "/match", **names)
    assert (match["entry"], match["reason"], match["rates"]) == (None, reason, [])


def test_who_sells_is_found_by_the_address_where_nobody_is_named(idle_api):
    match = get(idle_api, "/match", model="gpt-4o-mini", host="api.openai.com")
    assert match["entry"]["name"] == "openai:gpt-4o-mini"


def test_everything_that_is_published_of_a_model(idle_api):
    found = get(idle_api, "/model", provider="OpenAI", model="gpt-4o-mini")
    PublishedModels.model_validate(found)
    published = found["published"][0]
    assert published["source"] == "genai-prices"
    assert "gpt-4o-mini" in published["match"]
    standard = [condition for condition in published["conditions"] if condition["variant"] is None]
    assert prices_of(standard[-1])["output_tokens"] == "0.6"
    variants = [condition["variant"] for condition in published["conditions"] if condition["variant"]]
    assert {"processing": "batch"} in variants


def test_a_model_that_no_list_has_is_not_found(idle_api):
    problem = get(idle_api, "/model", 404, provider="openai", model="house-model")
    assert "house-model" in problem["detail"]


@pytest.mark.parametrize(
    ("path", "query", "words"),
    [
        ("", {"limit": "0"}, "query.limit"),
        ("", {"source": "openrouter"}, "allowed: genai-prices, litellm"),
        ("", {"cursor": "x"}, "the next_cursor of an earlier answer"),
        ("", {"modle": "x"}, "no such parameter; allowed: provider, model, source, limit, cursor"),
        ("/lists", {"x": "1"}, "no parameters are taken here"),
        ("/match", {}, "query.model"),
        ("/match", {"model": "x", "at": "today"}, "an RFC 3339 time"),
        ("/match", {"model": "x" * 1001}, "text of up to 1000 characters"),
        ("/model", {"model": "x"}, "query.provider"),
    ],
)
def test_a_wrong_parameter_is_named_with_what_is_allowed(idle_api, path, query, words):
    problem = get(idle_api, path, 400, **query)
    assert words in problem["detail"]
