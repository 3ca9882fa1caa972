"""The collector's way from requests to rows taken apart, so that each step can be run alone."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from clickhouse_connect.driver.client import Client

from spanledger.collector.gate import Checked, check
from spanledger.collector.rows.block import Block, Blocks, Request
from spanledger.collector.rows.money import Pricing
from spanledger.collector.rows.tables import SPANS
from spanledger.collector.store import limits_of
from spanledger.schemas.database import Target, connect, migrate, parse_target
from spanledger.schemas.prices import load_prices
from spanledger.schemas.prices.book import PriceBook
from spanledger.schemas.rewriting import INSERT_SETTINGS
from spanledger.schemas.settings import Settings

TABLE = "spans"
_SETTINGS = Settings.model_construct()  # the defaults, whatever the environment says


class Database(NamedTuple):
    """An embedded database as the server has it, opened by this process."""

    target: Target
    client: Client
    folder: Path


@contextlib.contextmanager
def fresh_database() -> Iterator[Database]:
    """An empty one, in a folder that goes with it."""
    with tempfile.TemporaryDirectory(prefix="spanledger-bench-") as place:
        folder = Path(place) / "database"
        target = parse_target(f"chdb://{folder}")
        migrate(target)
        with contextlib.closing(connect(target)) as client:
            load_prices(client)
            yield Database(target, client, folder)


def gate(body: bytes) -> Checked:
    return check(body, _SETTINGS.max_attribute_depth)


def checked(bodies: Iterable[bytes]) -> list[Request]:
    """Requests as the gate lets them through to a store."""
    return [Request(body, _SETTINGS.project, time.time_ns(), gate(body).spans) for body in bodies]


class Rows:
    """Makes blocks of rows as a store does, and inserts them."""

    def __init__(self, database: Database) -> None:
        self._client = database.client
        pricing = Pricing(PriceBook(database.client), _SETTINGS.cost_preference)
        self._blocks = Blocks(SPANS, limits_of(_SETTINGS), pricing)

    def make(self, requests: list[Request]) -> Block:
        return self._blocks.make(requests)

    def insert(self, block: Block, table: str = TABLE) -> None:
        if block.times and table == TABLE:
            self._client.raw_insert(
                "trace_times", insert_block=block.times, settings=INSERT_SETTINGS, fmt="Native"
            )
        self._client.raw_insert(table, insert_block=block.data, settings=INSERT_SETTINGS, fmt="Native")
