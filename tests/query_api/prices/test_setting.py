"""Overrides: set, applied at once, listed, removed; and what is wrong is said."""

from __future__ import annotations

import time

import pytest

from spanledger.schemas.price_api import Overrides, OverrideState

PATH = "/api/v1/prices/overrides"
OWN_PRICES = [
    {"unit": "input_tokens", "price": "0.3", "tiers": [{"start": 1000, "price": "0.6"}]},
    {"unit": "output_tokens", "price": "1.25"},
]


@pytest.fixture
def put(api, project):
    """Set an override for the test's project."""
    made = []

    def put(**fields):
        answer = api.post(PATH, json={"project": project, "provider": "openai", **fields})
        assert answer.status_code == 200, answer.text
        made.append(answer.json()["id"])
        return answer.json()

    yield put
    for each in made:
        api.delete(f"{PATH}/{each}")


def match(api, **names):
    return api.get("/api/v1/prices/match", params={"provider": "openai", **names}).json()


def in_force(api, **names):
    return next(rate for rate in match(api, **names)["rates"] if rate["in_force"])


def test_an_override_is_stored_as_it_was_asked_for(api, project, put):
    made = put(
        match_value="house-model",
        match_kind="starts_with",
        prices=OWN_PRICES,
        valid_from="2026-01-01T00:00:00Z",
        valid_to="2027-01-01T01:00:00+01:00",
        set_by="ada",
        note="contract 7",
    )
    OverrideState.model_validate(made)
    assert made["prices"] == [
        {
            "unit": "input_tokens",
            "price": "0.3",
            "per": 1_000_000,
            "tiers": [{"start": 1000, "price": "0.6"}],
            "variant": None,
        },
        {"unit": "output_tokens", "price": "1.25", "per": 1_000_000, "tiers": [], "variant": None},
    ]
    assert (made["valid_from"], made["valid_to"]) == (
        "2026-01-01T00:00:00.000000000Z",
        "2027-01-01T00:00:00.000000000Z",
    )
    assert (made["project"], made["match_kind"], made["set_by"], made["note"]) == (
        project,
        "starts_with",
        "ada",
        "contract 7",
    )
    listed = api.get(PATH).json()
    Overrides.model_validate(listed)
    assert made in listed["overrides"]


def test_its_prices_count_at_once_and_only_for_its_project_and_time(api, put):
    assert match(api, model="house-model")["reason"] == "unknown_model"
    made = put(match_value="house-model", prices=OWN_PRICES, valid_from="2026-01-01T00:00:00Z")
    found = match(api, model="house-model", at="2026-02-01T00:00:00Z")
    assert found["entry"]["overrides"] == [made["id"]]
    assert (found["entry"]["source"], found["entry"]["price_version"]) == ("override", None)
    rates = [rate for rate in found["rates"] if rate["in_force"]]
    assert [(rate["tier_start"], rate["prices"][0]["price"]) for rate in rates] == [(0, "0.3"), (1000, "0.6")]
    assert match(api, model="house-model", at="2025-12-31T23:59:59Z")["reason"] == "unknown_model"
    assert match(api, model="house-model", project="other")["reason"] == "unknown_model"


def test_it_begins_at_its_time_whatever_zone_the_server_is_in(api, put, monkeypatch):
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        put(match_value="house-model", prices=OWN_PRICES, valid_from="2026-01-01T00:00:00Z")
        assert match(api, model="house-model", at="2026-01-01T00:00:00Z")["entry"]["source"] == "override"
        assert match(api, model="house-model", at="2025-12-31T23:59:59Z")["entry"] is None
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_discount_is_taken_off_what_the_list_says(api, put):
    put(match_value="gpt-4o-mini", discount_percent="12.5")
    [price] = [
        price for price in in_force(api, model="gpt-4o-mini")["prices"] if price["unit"] == "input_tokens"
    ]
    assert (price["price"], price["discount_percent"]) == ("0.15", "12.5")
    assert price["words"] == "0.15 USD for 1,000,000 input_tokens, less 12.5 %"


def test_a_discount_for_a_time_gives_no_price_to_what_no_list_has(api, put):
    put(match_value="house-model", discount_percent="10", valid_from="2026-01-01T00:00:00Z")
    found = match(api, model="house-model")
    assert (found["entry"], found["reason"]) == (None, "unknown_model")


def test_an_alias_is_priced_as_what_it_names(api, put):
    put(match_value="our-mini", alias="openai:gpt-4o-mini")
    entry = match(api, model="our-mini")["entry"]
    assert entry["name"] == "openai:gpt-4o-mini"
    assert entry["rule"].startswith("alias openai:gpt-4o-mini")


def test_one_that_is_removed_holds_no_longer_and_is_kept(api, put):
    made = put(match_value="house-model", prices=OWN_PRICES)
    removed = api.delete(f"{PATH}/{made['id']}", params={"removed_by": "ada"}).json()
    assert removed["removed_by"] == "ada"
    assert removed["removed_at"].startswith("20")
    assert match(api, model="house-model")["entry"] is None
    ids = [each["id"] for each in api.get(PATH).json()["overrides"]]
    assert made["id"] not in ids
    assert removed in api.get(PATH, params={"removed": "true"}).json()["overrides"]
    again = api.delete(f"{PATH}/{made['id']}")
    assert again.status_code == 404
    assert again.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "an override has one of prices, discount_percent and alias"),
        ({"discount_percent": "101"}, "a decimal above 0 and up to 100"),
        ({"discount_percent": 10}, "a decimal string above 0 and up to 100"),
        ({"alias": "gpt-4o"}, "provider:model is needed"),
        ({"prices": [{"unit": "input_tokens", "price": 0.15}]}, "a float is not exact"),
        (
            {"prices": [{"unit": "tokens", "price": "1"}]},
            "there is no unit 'tokens'; allowed are input_tokens",
        ),
        ({"prices": [{"unit": "cache_read_tokens", "price": "1"}]}, "of which it is part, none"),
        ({"discount_percent": "5", "match_kind": "like"}, "allowed are equals, starts_with"),
        ({"discount_percent": "5", "match_value": ""}, "a text of 1 to 256 characters"),
        ({"discount_percent": "5", "valid_from": "2026-01-01"}, "valid_from: not a time"),
        ({"discount_percent": "5", "valid_from": "2026-01-01T00:00:00.5Z"}, "whole seconds"),
        ({"discount_percent": "5", "modle": "x"}, "no such parameter; allowed: match_value, match_kind"),
    ],
)
def test_a_wrong_override_is_refused_with_what_is_allowed(api, project, fields, words):
    answer = api.post(PATH, json={"project": project, "match_value": "house-model", **fields})
    assert answer.status_code == 400
    assert words in answer.json()["detail"]
    assert all(each["project"] != project for each in api.get(PATH).json()["overrides"])


def test_a_body_that_is_no_json_is_refused(api):
    answer = api.post(PATH, content=b"{", headers={"content-type": "application/json"})
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 200),
        ("http://localhost:8000", 200),
        ("http://localhost:3000", 403),
        ("https://evil.example", 403),
        ("null", 403),
    ],
)
def test_pages_of_other_origins_cannot_write(api, project, origin, status):
    """Without a key whoever can reach the port may write; a page in a browser can, and must not."""
    headers = {} if origin is None else {"origin": origin}
    body = {"project": project, "match_value": "x", "discount_percent": "1"}
    answer = api.post(PATH, json=body, headers=headers)
    assert answer.status_code == status
    if status == 200:
        api.delete(f"{PATH}/{answer.json()['id']}")
    assert api.get(PATH, headers=headers).status_code == 200


def test_with_a_key_nobody_without_it_reads_or_writes(make_api):
    closed = make_api(api_key="secret")
    assert closed.get(PATH).status_code == 401
    assert closed.post(PATH, json={"match_value": "x", "discount_percent": "1"}).status_code == 401
    assert closed.get(PATH, headers={"authorization": "Bearer secret"}).status_code == 200
