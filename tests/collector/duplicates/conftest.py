"""A database of its own with what stores calls and looks for duplicates, as `serve` puts it together."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from otlp_requests import SECOND, request, span

from spanledger.collector.duplicates.resolve import Resolver
from spanledger.collector.duplicates.watch import Watch
from spanledger.collector.gate import check
from spanledger.collector.rows.block import Request
from spanledger.collector.store import Store
from spanledger.schemas.database import Target, connect, migrate
from spanledger.schemas.prices import load_prices
from spanledger.schemas.settings import Settings

T0 = time.time_ns() - 60 * SECOND
MS = 1_000_000


def call(name: str, start: int = 0, end: int = 1000, *, parent: str = "", **more: Any) -> Span:
    """A call of gpt-4o-mini that is named after its span's id, its times in milliseconds; `.` for `__`."""
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 100,
    } | {key.replace("__", "."): value for key, value in more.items()}
    return span(
        b"t" * 16,
        {key: value for key, value in attributes.items() if value is not None},
        span_id=span_id(name),
        name=name,
        parent_span_id=span_id(parent) if parent else b"",
        start_time_unix_nano=T0 + start * MS,
        end_time_unix_nano=T0 + end * MS,
    )


def span_id(name: str) -> bytes:
    return name.encode().ljust(8, b".")


class Ledger:
    """Stores spans of one project and looks for duplicates when it is told to."""

    def __init__(self, store: Store, watch: Watch, resolver: Resolver, reader: Client, project: str) -> None:
        self.watch = watch
        self.resolver = resolver
        self.project = project
        self._store = store
        self._reader = reader

    def put(self, *spans: Span, scope: str = "one", service: str = "app") -> None:
        """One insert."""
        body = request(*spans, scope=scope, resource={"service.name": service}).SerializeToString()
        spans_in = check(body, 32).spans
        self._store.insert([Request(body, self.project, time.time_ns(), spans_in)])

    def resolve(self) -> int:
        """Look at every place that is suspect; how many rows have changed."""
        return sum(self.resolver.resolve(place, seen) for place, seen in self.watch.take().items())

    def rows(self, *columns: str) -> dict[str, Any]:
        """Columns of every span, by its name."""
        found = self._reader.query(
            f"SELECT name, {', '.join(columns)} FROM spans FINAL WHERE project = {{p:String}} ORDER BY name",
            parameters={"p": self.project},
        ).result_rows
        return {name: values[0] if len(columns) == 1 else tuple(values) for name, *values in found}

    def counted(self) -> dict[str, str]:
        """Of every span: `counts`, the name of the one that counts in its place, or `` for neither."""
        shown: Mapping[str, tuple[bool, str]] = self.rows("counted", "hex(duplicate_of)")
        return {
            name: "counts" if counted else bytes.fromhex(of)[16:].rstrip(b".").decode()
            for name, (counted, of) in shown.items()
        }


@pytest.fixture(scope="session")
def own_target(target: Target) -> Target:
    there = replace(target, database="duplicates_of_tests")
    migrate(there)
    client = connect(there)
    load_prices(client)
    client.close()
    return there


@pytest.fixture(scope="session")
def own_client(own_target: Target) -> Iterator[Client]:
    client = connect(own_target)
    yield client
    client.close()


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def ledger(own_target: Target, own_client: Client, watch: Watch, project: str) -> Iterator[Ledger]:
    store, resolver = Store(own_target, Settings(), watch), Resolver(connect(own_target))
    yield Ledger(store, watch, resolver, own_client, project)
    store.close()
    resolver.close()
