"""A price book on the engine that the tests share, and figures for the closing lines of the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from clickhouse_connect.driver.client import Client

from spanledger.schemas.database import Target, connect, migrate
from spanledger.schemas.prices import PRICE_VERSION, load_prices
from spanledger.schemas.prices.book import PriceBook
from spanledger.schemas.prices.tables import stored_lists

_FIGURES: pytest.StashKey[list[str]] = pytest.StashKey()


@pytest.fixture
def book(writer: Client) -> PriceBook:
    return PriceBook(writer)


@pytest.fixture(scope="session")
def own_database(target: Target) -> Iterator[Client]:
    there = replace(target, database="prices_of_tests")
    migrate(there)
    client = connect(there)
    load_prices(client)
    yield client
    client.close()


@pytest.fixture
def own(own_database: Client) -> Iterator[Client]:
    """A database with the installed list and nothing set: what a test does to it holds for that test."""
    yield own_database
    own_database.command("TRUNCATE TABLE price_overrides")
    if [row.price_version for row in stored_lists(own_database)] != [PRICE_VERSION]:
        for table in ("price_lists", "price_list_providers", "price_list_models", "price_list_rates"):
            own_database.command(f"TRUNCATE TABLE {table}")
        load_prices(own_database)


@pytest.fixture
def tell(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Say something at the end of the run, which passing tests have no other place for."""
    return pytestconfig.stash.setdefault(_FIGURES, []).append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash.get(_FIGURES, []):
        terminalreporter.write_line(line)
