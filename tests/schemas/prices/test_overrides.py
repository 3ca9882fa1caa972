"""schemas.prices.overrides: what is set over the lists counts where it should, and nothing wrong is set."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from spanledger.schemas.errors import BadData, NotFound
from spanledger.schemas.prices import PRICE_VERSION
from spanledger.schemas.prices.book import Key, PriceBook
from spanledger.schemas.prices.explain import explain
from spanledger.schemas.prices.overrides import add_override, list_overrides, remove_override

DAY = datetime(2026, 11, 1, tzinfo=UTC)
USAGE = {"input_tokens": 1_000_000, "output_tokens": 0}
LISTED = Decimal("0.15")  # gpt-4o-mini, USD for a million tokens of input
DEPLOYMENT = ("azure.ai.openai", "our-deployment")
OURS = [{"unit": "input_tokens", "price": "9"}, {"unit": "output_tokens", "price": "18"}]


@pytest.fixture
def costs(own):
    """Adds overrides, and tells what a call of a million input tokens costs, or why nothing."""

    book = PriceBook(own)

    class Costs:
        def add(self, model: str = "gpt-4o-mini", **fields: Any) -> str:
            return add_override(own, match_value=model, **fields).id

        def remove(self, override_id: str) -> None:
            remove_override(own, override_id)

        def of(
            self, provider: str = "openai", model: str = "gpt-4o-mini", project: str = "p", **more: Any
        ) -> Any:
            told = self.told(Key(project, provider, model, more.get("variant", "")), more.get("at", DAY))
            return told.reason if told.total is None else told.total

        def told(self, key: Key, at: datetime = DAY) -> Any:
            book.refresh()
            return explain(book, key, USAGE, int(at.timestamp()) * 10**9)

    return Costs()


def test_prices_of_a_project_count_before_those_of_every_project_and_these_before_the_list(costs):
    assert costs.of() == LISTED
    mine = costs.add(project="p", prices=OURS)
    everybody = costs.add(prices=[{"unit": "input_tokens", "price": "4"}])
    assert (costs.of(), costs.of(project="q")) == (9, 4)
    costs.remove(mine)
    assert costs.of() == 4
    costs.remove(everybody)
    assert costs.of() == LISTED


def test_of_two_for_the_same_the_one_set_last_counts(costs):
    costs.add(prices=OURS)
    last = costs.add(provider="OpenAI", prices=[{"unit": "input_tokens", "price": "4"}])
    assert costs.of() == 4
    costs.remove(last)
    assert costs.of() == 9


def test_a_discount_is_on_what_the_list_says_with_its_variants_and_tiers(costs):
    costs.add(discount_percent="12.5", provider="openai")
    assert costs.of() == LISTED * Decimal("0.875")
    assert costs.of(variant="batch") == LISTED / 2 * Decimal("0.875")
    told = costs.told(Key("p", "openai", "gpt-4o-mini"))
    [line] = [line for line in told.lines if line.unit == "input_tokens"]
    assert (line.price, line.discount_percent, line.amount) == (LISTED, Decimal("12.5"), told.total)


def test_an_alias_prices_a_deployment_as_the_model_behind_it(costs):
    assert costs.of(*DEPLOYMENT) == "unknown_model"
    alias = costs.add(DEPLOYMENT[1], provider="azure", alias="openai:gpt-4o-mini")
    assert costs.of(*DEPLOYMENT) == LISTED
    assert costs.of("azure", "OUR-Deployment") == LISTED
    assert costs.of("openai", DEPLOYMENT[1]) == "unknown_model"
    entry = costs.told(Key("p", *DEPLOYMENT)).entry
    assert (entry.name, entry.override) == ("openai:gpt-4o-mini", alias)
    assert entry.applied == f"{PRICE_VERSION} + override {alias}"
    assert entry.rule == "alias openai:gpt-4o-mini: equals gpt-4o-mini"


@pytest.mark.parametrize("alias_first", [True, False])
def test_a_discount_and_an_alias_compose_in_whatever_order_they_were_set(costs, alias_first):
    def alias():
        return costs.add(DEPLOYMENT[1], project="p", alias="openai:gpt-4o-mini")

    def discount():
        return costs.add(DEPLOYMENT[1], match_kind="contains", discount_percent=50)

    made = [alias(), discount()] if alias_first else [discount(), alias()][::-1]
    assert costs.of(*DEPLOYMENT) == LISTED / 2
    assert costs.told(Key("p", *DEPLOYMENT)).entry.override == " ".join(made)


def test_a_discount_of_a_project_is_on_the_list_not_on_prices_of_every_project(costs):
    costs.add(prices=OURS)
    costs.add(project="p", discount_percent=10)
    assert (costs.of(), costs.of(project="q")) == (LISTED * Decimal("0.9"), 9)


def test_an_override_holds_from_its_first_second_to_just_before_its_last(costs):
    costs.add(prices=OURS, valid_from=DAY, valid_to=DAY + timedelta(days=1))
    costs.add(discount_percent=50, valid_from=DAY + timedelta(days=2))
    found = [
        costs.of(at=DAY + moment)
        for moment in (
            timedelta(seconds=-1),
            timedelta(),
            timedelta(days=1, seconds=-1),
            timedelta(days=1),
            timedelta(days=2),
        )
    ]
    assert found == [LISTED, 9, 9, LISTED, LISTED / 2]


def test_a_model_that_no_list_has_is_known_by_its_own_prices_in_their_time_only(costs):
    costs.add("house-", match_kind="starts_with", provider="house", prices=OURS, valid_from=DAY)
    assert costs.of("house", "House-7b") == 9
    entry = costs.told(Key("p", "house", "House-7b")).entry
    assert (entry.name, entry.applied) == ("house:house-7b", f"override {entry.override}")
    assert costs.of("house", "house-7b", at=DAY - timedelta(seconds=1)) == "unknown_provider"
    assert costs.of("house", "other") == "unknown_provider"


def test_a_discount_on_a_model_that_nobody_knows_leaves_it_unknown(costs):
    costs.add("nothing", discount_percent=5, valid_from=DAY, valid_to=DAY + timedelta(days=1))
    assert costs.of("openai", "nothing") == "unknown_model"
    assert costs.of("nobody", "nothing") == "unknown_provider"


def test_an_override_of_a_provider_is_not_for_who_sells_its_models(costs):
    """Nor for a call that names nobody, unless its model says who is meant."""
    costs.add("gpt-4o-mini", provider="openai", discount_percent=50)
    assert costs.of() == costs.of("openai.chat") == costs.of("") == LISTED / 2
    assert costs.of("azure") == LISTED


def test_an_override_that_was_broken_by_hand_is_left_out_and_the_rest_goes_on(costs, own, caplog):
    good = costs.add(prices=OURS)
    broken = list_overrides(own)[0]
    for number, wrong in enumerate(({"prices": "[{}]"}, {"prices": "{"}, {"match_kind": "like"})):
        row = broken._replace(id=f"broken-{number}", project="p", **wrong)
        own.insert("price_overrides", [row], column_names=row._fields)
    assert costs.of() == 9
    assert costs.told(Key("p", "openai", "gpt-4o-mini")).entry.override == good
    assert all(f"override broken-{number} cannot be read" in caplog.text for number in range(3))


def test_prices_for_a_variant_and_by_tier_count_for_such_calls_only(costs):
    tiers = [{"start": 500_000, "price": Decimal(3)}]
    costs.add(
        prices=[{"unit": "input_tokens", "price": 2, "tiers": tiers, "variant": {"processing": "batch"}}]
    )
    assert (costs.of(), costs.of(variant="batch")) == (LISTED, 3)


def test_prices_may_be_for_any_number_of_units(costs):
    costs.add(prices=[{"unit": "input_tokens", "price": "0.001", "per": 1000}])
    assert costs.of() == 1


def test_what_is_removed_is_kept_and_marked(own):
    override = add_override(
        own, match_value="m", alias="openai:gpt-4o", project="p", set_by="ada", note="our contract"
    )
    assert list_overrides(own) == [override]
    removed = remove_override(own, override.id, removed_by="bob")
    assert list_overrides(own) == []
    assert list_overrides(own, removed=True) == [removed]
    assert removed == override._replace(removed=True, removed_at=removed.removed_at, removed_by="bob")
    with pytest.raises(NotFound, match="no override"):
        remove_override(own, override.id)


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({}, "one of prices, discount_percent and alias; this one has none"),
        ({"alias": "a:b", "discount_percent": 5}, "this one has discount_percent and alias"),
        ({"alias": "gpt-4o"}, "alias 'gpt-4o': provider:model is needed"),
        ({"alias": ":gpt-4o"}, "provider:model is needed"),
        ({"alias": "openai:no-such-model"}, "'openai:no-such-model': no list that is loaded has"),
        ({"discount_percent": 0}, "above 0 and up to 100"),
        ({"discount_percent": "101"}, "above 0 and up to 100"),
        ({"discount_percent": 12.5}, "a decimal"),
        ({"discount_percent": "ten"}, "a decimal"),
        ({"discount_percent": "1.1234567"}, "six digits"),
        ({"discount_percent": 5, "match_kind": "like"}, "match_kind 'like': allowed are equals, starts_with"),
        ({"discount_percent": 5, "match_value": ""}, "match_value: a text of 1 to 256"),
        ({"discount_percent": 5, "match_kind": "regex", "match_value": "("}, "not a regular expression"),
        ({"discount_percent": 5, "project": "p" * 257}, "project: at most 256"),
        ({"discount_percent": 5, "note": "n" * 5000}, "note: at most 4000"),
        ({"discount_percent": 5, "valid_from": datetime(2026, 1, 1)}, "valid_from: .*time zone"),  # noqa: DTZ001
        ({"discount_percent": 5, "valid_to": datetime(2200, 1, 1, tzinfo=UTC)}, "valid_to: .* to 2106-01-01"),
        ({"discount_percent": 5, "valid_from": DAY, "valid_to": DAY}, "valid_to must be later"),
        (
            {"prices": [{"unit": "tokens", "price": 1}]},
            r"prices\[0\]: there is no unit 'tokens'; allowed are input",
        ),
        ({"prices": [{"unit": "input_tokens", "price": 0.1}]}, "a float is not exact"),
        ({"prices": [{"unit": "input_tokens"}]}, "price: a price is a number that is not negative"),
        ({"prices": [{"unit": "input_tokens", "price": "-1"}]}, "not negative"),
        ({"prices": [{"unit": "input_tokens", "price": "Infinity"}]}, "not negative"),
        ({"prices": [{"unit": "input_tokens", "price": 10, "per": 1}]}, "more than 9.22 USD for one"),
        ({"prices": [{"unit": "input_tokens", "price": 1, "per": 0}]}, "per is a whole number from 1"),
        ({"prices": [{"unit": "input_tokens", "price": 1, "eur": 1}]}, "there is no eur; allowed are unit"),
        ({"prices": [*OURS, OURS[0]]}, r"prices\[2\]: input_tokens has a price already"),
        (
            {"prices": [{"unit": "cache_read_tokens", "price": 1}]},
            "cache_read_tokens has a price and input_tokens",
        ),
        (
            {"prices": [{**OURS[0], "tiers": [{"start": 0, "price": 1}]}]},
            "a tier starts at a whole number from 1",
        ),
        ({"prices": [{**OURS[0], "tiers": [{"begin": 5}]}]}, "a tier is an object with start and price"),
        ({"prices": [{**OURS[0], "variant": {"a": 1}}]}, "variant is an object of texts"),
    ],
)
def test_what_is_wrong_is_named_and_not_stored(own, fields, wrong):
    with pytest.raises(BadData, match=wrong):
        add_override(own, **({"match_value": "m"} | fields))
    assert list_overrides(own, removed=True) == []
