"""Golden files stored as the collector stores them, with duplicates looked for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import pytest
from google.protobuf.message import Message

from spanledger.collector.duplicates.resolve import Resolver
from spanledger.collector.duplicates.watch import Watch
from spanledger.collector.gate import check
from spanledger.collector.rows.block import Request
from spanledger.collector.rows.tables import LOGS
from spanledger.collector.store import Store
from spanledger.schemas.database import Target, connect
from spanledger.schemas.settings import Settings


@pytest.fixture(scope="session")
def watch() -> Watch:
    return Watch()


@pytest.fixture(scope="session")
def watched_store(target: Target, watch: Watch) -> Iterator[Store]:
    store = Store(target, Settings(), watch)
    yield store
    store.close()


@pytest.fixture(scope="session")
def resolver(target: Target) -> Iterator[Resolver]:
    resolver = Resolver(connect(target))
    yield resolver
    resolver.close()


@pytest.fixture
def put(watched_store: Store, watch: Watch, resolver: Resolver, project: str) -> Callable[..., None]:
    """Store requests, each by an insert of its own, and look for duplicates after each."""
    default = project

    def put(requests: Sequence[Message], *, project: str = default) -> None:
        for request in requests:
            body = request.SerializeToString()
            checked = check(body, Settings().max_attribute_depth)
            watched_store.insert([Request(body, project, time.time_ns(), checked.spans)])
            for place, seen in watch.take().items():
                resolver.resolve(place, seen)

    return put


@pytest.fixture
def put_logs(watched_store: Store, project: str) -> Callable[..., None]:
    """Store requests of log records."""

    def put_logs(requests: Sequence[Message]) -> None:
        for request in requests:
            body = request.SerializeToString()
            checked = check(body, Settings().max_attribute_depth, LOGS)
            watched_store.insert([Request(body, project, time.time_ns(), checked.spans, table=LOGS.name)])

    return put_logs
