"""What the engine can do at all: the same rows, made beforehand, inserted as Arrow by two writers."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from clickhouse_connect.driver.client import Client

from bench.requests import SPANS, fresh_requests
from spanledger.collector.store import Store, envelope
from spanledger.schemas.database import connect, migrate, parse_target
from spanledger.schemas.prices import load_prices

WRITERS = 2
_ROWS = 32_768  # a block this large was the fastest of 8k, 16k, 32k and 64k
_SETTINGS = {"async_insert": 0, "max_partitions_per_insert_block": 0}


def arrow_rate(spans: int, optimize_on_insert: int) -> float:
    """Rows a second into an empty copy of `spans`, on a database of its own."""
    # The engine may still be merging when the folder goes.
    with tempfile.TemporaryDirectory(prefix="spanledger-bench-", ignore_cleanup_errors=True) as folder:
        target = parse_target(f"chdb://{folder}")
        migrate(target)
        clients = [connect(target) for _ in range(WRITERS)]
        load_prices(clients[0])
        blocks = _prepare(Store(target), clients[0], spans)
        clients[0].command("TRUNCATE TABLE spans")
        clients[0].command("SYSTEM START MERGES spans")
        started = time.perf_counter()
        with ThreadPoolExecutor(WRITERS) as threads:
            writers = [
                threads.submit(_insert, client, blocks[n::WRITERS], optimize_on_insert)
                for n, client in enumerate(clients)
            ]
            for writer in writers:
                writer.result()
        took = time.perf_counter() - started
        stored = int(clients[0].query("SELECT count() FROM spans").first_row[0])
        if stored != spans:
            raise RuntimeError(f"{stored} rows are stored, {spans} were inserted")
        return spans / took


def batched(items: Iterator[bytes], size: int) -> Iterator[list[bytes]]:
    """itertools.batched, which Python 3.11 does not have."""
    while batch := list(islice(items, size)):
        yield batch


def _prepare(store: Store, client: Client, spans: int) -> list[bytes]:
    # Parts must not change while they are read piece by piece.
    client.command("SYSTEM STOP MERGES spans")
    for requests in batched(fresh_requests(spans // SPANS), _ROWS // SPANS):
        store.insert([envelope(body, project="bench", received_at_ns=time.time_ns()) for body in requests])
    parts = client.query("SELECT DISTINCT _part FROM spans ORDER BY _part").result_rows
    return [
        client.raw_query("SELECT * FROM spans WHERE _part = {part:String}", {"part": part}, fmt="ArrowStream")
        for (part,) in parts
    ]


def _insert(client: Client, blocks: list[bytes], optimize_on_insert: int) -> None:
    settings = _SETTINGS | {"optimize_on_insert": optimize_on_insert}
    for block in blocks:
        client.raw_insert("spans", insert_block=block, settings=settings, fmt="ArrowStream")


if __name__ == "__main__":
    print(arrow_rate(int(sys.argv[1]), int(sys.argv[2])))
