"""collector.price_list: the entry of whatever name of a model anybody sends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from processes import running_clickhouse

from spanledger.collector import price_list
from spanledger.collector.price_list import PriceList
from spanledger.schemas.database import connect, migrate, parse_target
from spanledger.schemas.prices import load_prices, rules

KNOWN = "openai/gpt-4o-mini"
HOSTILE = [
    "",
    "/",
    "openai/",
    "\x00",
    "'",
    "\\'",
    "a\tb\nc\rd",
    "{names:String}",
    "\U0001f600/\u202e",
    "%00",
    "[]",
]


@pytest.fixture(scope="module")
def server_target(tmp_path_factory):
    with running_clickhouse(tmp_path_factory.mktemp("server")) as clickhouse:
        target = parse_target(clickhouse.url)
        migrate(target)
        client = connect(target)
        load_prices(client)
        client.close()
        yield target


@pytest.fixture(params=["embedded", "server"])
def prices(request, target, server_target) -> Iterator[PriceList]:
    chosen = target if request.param == "embedded" else server_target
    client = connect(chosen)
    yield PriceList(client, chosen.database)
    client.close()


def named(prices: PriceList, name: str) -> str:
    number = prices.entries([name])[name]
    return prices.names[number] if number >= 0 else ""


def test_a_known_model_has_its_entry_and_others_have_none(prices):
    assert named(prices, KNOWN) == "openai:gpt-4o-mini"
    assert {named(prices, name) for name in HOSTILE} == {""}


@pytest.mark.parametrize("length", [256, 257, 10_000, 2_000_000])
def test_a_name_however_long_is_no_error(prices, length):
    assert named(prices, "openai/" + "x" * length) == ""
    assert named(prices, KNOWN) == "openai:gpt-4o-mini"


def test_names_however_many_at_once_are_no_error(prices):
    names = [f"nobody/{'é' * 200}{n}" for n in range(3_000)]
    found = prices.entries(name for name in [*names, KNOWN])
    assert {found[name] for name in names} == {-1}
    assert prices.names[found[KNOWN]] == "openai:gpt-4o-mini"


def test_what_is_known_is_bounded_and_the_names_that_are_asked_for_are_always_answered(prices, monkeypatch):
    monkeypatch.setattr(price_list, "_MOST_KNOWN", 10)
    for start in range(0, 100, 7):
        names = [f"nobody/{n}" for n in range(start, start + 7)] + [KNOWN]
        found = prices.entries(name for name in names)
        assert [found[name] >= 0 for name in names] == [False] * 7 + [True]
        assert len(found) <= 10


def test_every_name_in_the_price_list_is_short_enough_to_be_asked_for():
    assert max(len(rule.regexp) for rule in rules()) < price_list._LONGEST
