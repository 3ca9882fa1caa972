"""Deleting on the engine that the tests share, step by step."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from spanledger.collector.gate import check
from spanledger.collector.rows.block import Block, Request
from spanledger.collector.rows.tables import TABLES
from spanledger.collector.store import Store
from spanledger.query_api.upkeep import journal
from spanledger.query_api.upkeep.deletion import Wanted, delete, new_deletion
from spanledger.query_api.upkeep.journal import Deletion
from spanledger.query_api.upkeep.keeper import Keeper
from spanledger.query_api.upkeep.tables import tables_of_spans
from spanledger.schemas.database import Target
from spanledger.schemas.removals import Removals
from spanledger.schemas.settings import Settings


@pytest.fixture
def removals(target: Target) -> Removals:
    """What must not be stored, as a process knows it that refreshes it when the test says so."""
    return Removals(target)


@pytest.fixture
def keeper(target: Target, removals: Removals) -> Keeper:
    """A keeper whose steps the test makes, and that waits for nothing under way."""
    return Keeper(target, removals, settle=timedelta(0))


@pytest.fixture
def put(target: Target, project: str, removals: Removals) -> Iterator[Callable[..., Block]]:
    """Store an OTLP request as a collector does that knows `removals`."""
    store = Store(target, Settings(), removals=removals)

    def put(request: Any, table: str = "spans", under: str = project) -> Block:
        body = request.SerializeToString()
        good = check(body, 32, TABLES[table]).spans
        return store.insert([Request(body, under, time.time_ns(), good, table=table)])

    yield put
    store.close()


@pytest.fixture
def erase(writer: Client, project: str, removals: Removals) -> Callable[..., Deletion]:
    """Delete in the project of the test."""

    def erase(kind: str, *what: str, under: str = project) -> Deletion:
        wanted = Wanted("trace", what) if kind == "trace" else Wanted(kind, subject=what[0])
        return delete(writer, removals, new_deletion(under, wanted, reason="a test", who="ann"), wanted)

    return erase


@pytest.fixture
def finish(writer: Client, keeper: Keeper) -> Callable[[Deletion], Deletion]:
    """Let the keeper look until a deletion is done."""

    def finish(row: Deletion) -> Deletion:
        for _ in range(200):
            keeper.look(writer)
            now = journal.one(writer, row.project, row.deletion)
            assert now is not None
            if now.state == "done":
                return now
            time.sleep(0.05)
        raise AssertionError(f"not done: {now}")

    return finish


@pytest.fixture
def stored(writer: Client, project: str) -> Callable[..., dict[str, int]]:
    """How many rows of a trace every table has that holds rows of spans."""

    def stored(trace_id: bytes, under: str = project) -> dict[str, int]:
        return {
            table.name: writer.query(
                f"SELECT count() FROM {table.quoted} WHERE project = {{project:String}} "
                "AND trace_id = toFixedString(unhex({trace:String}), 16)",
                parameters={"project": under, "trace": trace_id.hex()},
            ).result_rows[0][0]
            for table in tables_of_spans(writer)
        }

    return stored


TEXTS = {
    "spans": ("user_id", "attributes_string", "content_string"),
    "logs": ("body", "attributes_string", "content_string"),
}


@pytest.fixture
def files_with(target: Target, writer: Client) -> Iterator[Callable[[str], list[str]]]:
    """The files of the database in which a text stands, as what is stored from here on is not compressed."""

    def files_with(text: str) -> list[str]:
        found = subprocess.run(
            ["grep", "-rlaF", text, str(Path(target.path))], capture_output=True, text=True, check=False
        )
        return found.stdout.split()

    store_texts_by(writer, "NONE")
    yield files_with
    store_texts_by(writer, "ZSTD(1)")


def store_texts_by(client: Client, codec: str) -> None:
    for table, columns in TEXTS.items():
        for column in columns:
            client.command(f"ALTER TABLE {table} MODIFY COLUMN {column} CODEC({codec})")
