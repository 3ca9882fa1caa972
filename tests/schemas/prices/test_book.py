"""schemas.prices.book: the entry of whatever anybody sends, fresh, bounded, and the same on a server."""

from __future__ import annotations

import pytest
from processes import running_clickhouse

from spanledger.schemas.database import connect, migrate, parse_target
from spanledger.schemas.prices import PRICE_VERSION, book, load_prices
from spanledger.schemas.prices.book import Key, PriceBook, read_context
from spanledger.schemas.prices.compute import UNKNOWN_MODEL, UNKNOWN_PROVIDER
from spanledger.schemas.prices.overrides import add_override

KNOWN = Key("p", "openai", "gpt-4o-mini")
HOSTILE = [
    "",
    "/",
    "\x00",
    "'",
    "\\'",
    "a\tb\nc\rd",
    "{names:String}",
    "\U0001f600/\u202e",
    "%00",
    "[]",
    "(",
    "é",
]


def named(prices: PriceBook, key: Key) -> str | int:
    number = prices.entries([key])[key]
    return prices.entry(number).name if number >= 0 else number


def test_a_known_model_has_its_entry_with_list_rule_and_version_and_others_have_none(writer):
    prices = PriceBook(writer)
    entry = prices.entry(prices.entries([KNOWN])[KNOWN])
    assert entry == ("openai:gpt-4o-mini", PRICE_VERSION, "genai-prices", "equals gpt-4o-mini", "", "")
    assert {named(prices, Key("p", "openai", name)) for name in HOSTILE} == {UNKNOWN_MODEL}
    assert {named(prices, Key("p", name, "gpt-4o")) for name in HOSTILE if name} == {UNKNOWN_PROVIDER}


@pytest.mark.parametrize("length", [257, 10_000, 2_000_000])
def test_a_name_too_long_is_unknown(writer, length):
    prices = PriceBook(writer)
    long = "x" * length
    assert named(prices, Key("p", "openai", long)) == UNKNOWN_MODEL
    assert named(prices, Key("p", long, "gpt-4o")) == UNKNOWN_PROVIDER
    assert named(prices, Key("p", "nobody", long)) == UNKNOWN_PROVIDER
    assert named(prices, KNOWN) == "openai:gpt-4o-mini"


def test_however_many_names_are_sent_only_so_many_are_kept(writer, monkeypatch):
    monkeypatch.setattr(book, "_MOST_KNOWN", 10)
    prices = PriceBook(writer)
    for round_ in range(5):
        keys = [*(Key("p", "openai", f"nothing-{round_}-{n}") for n in range(7)), KNOWN]
        found = prices.entries(keys)
        assert [found[key] >= 0 for key in keys] == [False] * 7 + [True]
        assert len(found) <= 10
        assert prices.entry(found[KNOWN]).name == "openai:gpt-4o-mini"


def test_whatever_variants_are_sent_make_no_more_entries_than_the_list_has(writer):
    prices = PriceBook(writer)
    words = ["", "default", "auto", "nonsense", "a=b", "batch=x", "+", "BATCH", "speed=slow", "standard"]
    found = prices.entries([KNOWN._replace(variant=word) for word in words])
    assert {found[KNOWN._replace(variant=word)] for word in words if word != "default"} == {found[KNOWN]}
    assert len(prices.prices.first) - 1 == len({*found.values()}) <= 2


@pytest.mark.parametrize(
    ("variant", "context"),
    [
        ("", {}),
        ("batch", {"processing": "batch"}),
        ("fast", {"service_tier": "fast", "speed": "fast"}),
        ("priority", {"service_tier": "priority"}),
        ("batch+flex", {"processing": "batch", "service_tier": "flex"}),
        ("route=mistral/eu+batch", {"route": "mistral/eu", "processing": "batch"}),
        ("search_type=web", {"search_type": "web"}),
    ],
)
def test_the_words_of_a_variant_say_what_genai_prices_calls_its_context(variant, context):
    assert read_context(variant) == context


def test_a_variant_selects_its_prices_and_says_which(writer):
    prices = PriceBook(writer)
    keys = {word: KNOWN._replace(variant=word) for word in ("", "batch", "priority", "batch+priority")}
    found = prices.entries(keys.values())
    told = {word: prices.entry(found[key]).variant for word, key in keys.items()}
    assert told == {
        "": "",
        "batch": '{"processing": "batch"}',
        "priority": '{"service_tier": "priority"}',
        "batch+priority": '{"service_tier": "priority"} {"processing": "batch"}',
    }


def test_a_provider_that_sells_anothers_model_has_no_variants_of_it(writer):
    prices = PriceBook(writer)
    sold, batch = Key("p", "azure", "gpt-4o"), Key("p", "azure", "gpt-4o", "batch")
    found = prices.entries([sold, batch])
    assert prices.entry(found[sold]).rule.startswith("azure sells openai: ")
    assert found[sold] == found[batch]


def test_a_change_is_seen_after_a_minute_or_when_asked_and_not_before(own, monkeypatch):
    prices = PriceBook(own)
    key = Key("p", "house", "m")
    assert named(prices, key) == UNKNOWN_PROVIDER
    add_override(own, match_value="m", alias="openai:gpt-4o-mini")
    assert named(prices, key) == UNKNOWN_PROVIDER
    prices.refresh()
    assert named(prices, key) == "openai:gpt-4o-mini"
    add_override(own, match_value="m", alias="openai:gpt-4o")
    monkeypatch.setattr(book, "_FRESH_S", 0.0)
    assert named(prices, key) == "openai:gpt-4o"


def test_reading_again_what_did_not_change_keeps_the_entries(own):
    prices = PriceBook(own)
    before = prices.entries([KNOWN])[KNOWN]
    arrays = prices.prices
    prices.refresh()
    assert prices.prices is arrays
    assert prices.entries([KNOWN])[KNOWN] == before


def test_a_database_without_a_list_knows_no_model(own):
    own.command("TRUNCATE TABLE price_lists")
    prices = PriceBook(own)
    assert named(prices, KNOWN) == UNKNOWN_PROVIDER
    assert prices.prices.begins.size == 0


def test_a_server_gives_the_same_prices(writer, tmp_path):
    here = PriceBook(writer)
    keys = [Key("p", "openai", name, word) for name in ("gpt-4o", "o3", "gpt-5") for word in ("", "batch")]
    with running_clickhouse(tmp_path) as clickhouse:
        target = parse_target(clickhouse.url)
        migrate(target)
        client = connect(target)
        assert load_prices(client) is True
        assert load_prices(client) is False
        there = PriceBook(client)
        assert there.entries(keys) == here.entries(keys)
        for one, other in zip(there.prices, here.prices, strict=True):
            assert one.tolist() == other.tolist()
        client.close()
