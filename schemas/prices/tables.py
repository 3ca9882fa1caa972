"""The rows of the price tables (migration 0006_price_book.sql), and how they are written and read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from clickhouse_connect.driver.client import Client

ALWAYS = date(1970, 1, 1)
GENAI, LITELLM = "genai-prices", "litellm"
SOURCES = (GENAI, LITELLM)  # the first that has a price counts


class ProviderRow(NamedTuple):
    """Who sells: clauses as JSON text, empty where there is none."""

    position: int
    provider: str
    name: str
    api_pattern: str
    provider_match: str
    model_match: str
    fallbacks: list[str]


class ModelRow(NamedTuple):
    """What is sold, and the clause by which it is known."""

    provider: str
    position: int
    model: str
    name: str
    match: str


class RateRow(NamedTuple):
    """One price as it is published. `variant`: JSON of what selects it, empty for the standard price."""

    provider: str
    model: str
    variant: str
    condition: int
    valid_from: date
    time_from: str
    time_to: str
    unit: str
    tier_start: int
    price: Decimal
    per: int
    minimum: int


class Listed(NamedTuple):
    """A price list: its rows, and the keys of its source that no price was taken from."""

    providers: list[ProviderRow]
    models: list[ModelRow]
    rates: list[RateRow]
    not_understood: list[str]


class ListRow(NamedTuple):
    """That a list is complete in the tables."""

    price_version: str
    source: str
    loaded_at: datetime
    providers: int
    models: int
    rates: int
    not_understood: list[str]


def insert_list(client: Client, version: str, source: str, listed: Listed) -> ListRow:
    """Store a list; seen by nobody before its last row is in. Storing the same list twice changes nothing."""
    for table, rows in (
        ("price_list_providers", listed.providers),
        ("price_list_models", listed.models),
        ("price_list_rates", listed.rates),
    ):
        _insert(client, table, rows, version)
    row = ListRow(
        version,
        source,
        datetime.now(UTC),
        len(listed.providers),
        len(listed.models),
        len(listed.rates),
        listed.not_understood,
    )
    client.insert("price_lists", [row], column_names=ListRow._fields)
    return row


def _insert(client: Client, table: str, rows: Sequence[Any], version: str) -> None:
    if rows:
        client.insert(
            table, [(version, *row) for row in rows], column_names=["price_version", *rows[0]._fields]
        )


def stored_lists(client: Client) -> list[ListRow]:
    """Every list that is complete in the tables, the one loaded last first."""
    rows = client.query(
        f"SELECT {', '.join(ListRow._fields)} FROM price_lists FINAL ORDER BY loaded_at DESC, price_version"  # noqa: S608
    ).result_rows
    return [ListRow(*in_utc(row)) for row in rows]


def newest_lists(client: Client) -> list[ListRow]:
    """Of each source the list that counts, in the order in which they are asked."""
    stored = stored_lists(client)
    newest = (next((row for row in stored if row.source == source), None) for source in SOURCES)
    return [row for row in newest if row is not None]


def in_utc(row: Sequence[Any]) -> Sequence[Any]:
    """A row with its times in UTC: the client gives those without a time zone."""
    return [
        value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value
        for value in row
    ]


def read_list(client: Client, version: str) -> Listed:
    """The rows of a list in the order in which they are tried."""

    def read(table: str, fields: Sequence[str], order: str) -> Sequence[Sequence[Any]]:
        return client.query(
            f"SELECT {', '.join(fields)} FROM {table} FINAL "  # noqa: S608
            f"WHERE price_version = {{version:String}} ORDER BY {order}",
            parameters={"version": version},
        ).result_rows

    providers = read("price_list_providers", ProviderRow._fields, "position")
    models = read("price_list_models", ModelRow._fields, "provider, position")
    rates = read("price_list_rates", RateRow._fields, "provider, model, variant, condition, unit, tier_start")
    return Listed(
        [ProviderRow(*row) for row in providers],
        [ModelRow(*row) for row in models],
        [RateRow(*row) for row in rates],
        [],
    )
