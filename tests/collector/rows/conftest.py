"""Blocks made with any limits, and stored in the engine that the tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest
from clickhouse_connect.driver.client import Client
from ledger_rows import Sent

from spanledger.collector.gate import check
from spanledger.collector.rows.block import Block, Blocks, Limits, Request
from spanledger.collector.rows.money import Pricing
from spanledger.collector.rows.tables import SPANS
from spanledger.schemas.database import Target, connect
from spanledger.schemas.prices.book import PriceBook
from spanledger.schemas.rewriting import INSERT_SETTINGS

# A table with the columns of `spans` that keeps them in memory: spans of a thousand days are a thousand
# partitions, which is nothing that is tested here.
TABLE = "rows_of_tests.spans"
LIMITS = Limits(value_bytes=1 << 20, attributes=1024, key_characters=256, depth=32)


@pytest.fixture(scope="session")
def prices(target: Target) -> Iterator[Pricing]:
    client = connect(target)
    yield Pricing(PriceBook(client), "provider")
    client.close()


@pytest.fixture
def make_blocks(prices: Pricing) -> Callable[..., Blocks]:
    """Blocks with the default limits but for those that are given."""
    return lambda **limits: Blocks(SPANS, LIMITS._replace(**limits), prices)


@pytest.fixture(scope="session")
def memory_table(writer: Client) -> None:
    writer.command("CREATE DATABASE rows_of_tests")
    writer.command(f"CREATE TABLE {TABLE} AS spans ENGINE = Memory")


@pytest.fixture
def put_spans(make_blocks: Callable[..., Blocks], writer: Client, memory_table: None) -> Callable[..., Block]:
    """Store requests by one block, as the collector does; the bytes may be given instead of the message."""

    def put_spans(sent: Sequence[Sent], *, blocks: Blocks | None = None, **limits: int) -> Block:
        depth = limits.get("depth", LIMITS.depth)
        requests = [as_request(one, depth) for one in sent]
        block = (blocks or make_blocks(**limits)).make(requests)
        writer.raw_insert(TABLE, insert_block=bytes(block.data), settings=INSERT_SETTINGS, fmt="Native")
        return block

    return put_spans


def as_request(sent: Sent, depth: int) -> Request:
    body = sent.request if isinstance(sent.request, bytes) else sent.request.SerializeToString()
    checked = check(body, depth)
    deep = "attribute_depth" in checked.rejected
    return Request(body, sent.project, sent.received_at_ns, checked.spans, deep)
