"""Fixtures that more than one room needs: the real engine, with our tables and prices in it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from uuid import uuid4

import pytest
from clickhouse_connect.driver.client import Client
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanledger.collector.gate import check
from spanledger.collector.rows.block import Request
from spanledger.collector.rows.tables import LOGS
from spanledger.collector.store import Store
from spanledger.schemas.database import Target, connect, connect_reader, migrate, parse_target
from spanledger.schemas.prices import load_prices
from spanledger.schemas.prices.tables import stored_lists
from spanledger.schemas.settings import Settings


@pytest.fixture(autouse=True)
def _logs_are_heard() -> Iterator[None]:
    """A command that ran in this process may have set a level: what fails later shall say why in the log."""
    yield
    logging.getLogger("spanledger").setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Target:
    """An embedded database for the whole run (the engine has one folder in a process)."""
    target = parse_target(f"chdb://{tmp_path_factory.mktemp('database')}")
    migrate(target)
    client = connect(target)
    load_prices(client)
    client.close()
    return target


@pytest.fixture(scope="session")
def _target_with_keys(target: Target) -> Target:
    own = replace(target, database=f"{target.database}_with_keys")
    migrate(own)
    return own


@pytest.fixture
def own_target(_target_with_keys: Target, writer: Client) -> Target:
    """Another database of the engine, without keys: one that is made closes every door of its database."""
    for table in ("projects", "api_keys"):
        writer.command(f"TRUNCATE TABLE {_target_with_keys.database}.{table}")
    return _target_with_keys


@pytest.fixture(scope="session")
def writer(target: Target) -> Iterator[Client]:
    client = connect(target)
    yield client
    client.close()


@pytest.fixture(scope="session")
def reader(target: Target) -> Iterator[Client]:
    client = connect_reader(target)
    yield client
    client.close()


@pytest.fixture(scope="session")
def store(target: Target) -> Iterator[Store]:
    store = Store(target, Settings())
    yield store
    store.close()


@pytest.fixture
def project() -> str:
    """A project of its own for each test, so that tests share the tables and not the spans."""
    return f"test-{uuid4().hex[:12]}"


@pytest.fixture
def ingest(store: Store, project: str) -> Callable[[ExportTraceServiceRequest], None]:
    """Store an OTLP request as the collector does, under the test's project."""

    def put(request: ExportTraceServiceRequest) -> None:
        body = request.SerializeToString()
        checked = check(body, Settings().max_attribute_depth)
        store.insert([Request(body, project, time.time_ns(), checked.spans, bool(checked.rejected))])

    return put


@pytest.fixture
def ingest_logs(store: Store, project: str) -> Callable[..., None]:
    """Store an OTLP request of log records as the collector does, under the test's project or another one."""

    def put(request: ExportLogsServiceRequest, under: str = project) -> None:
        body = request.SerializeToString()
        checked = check(body, Settings().max_attribute_depth, LOGS)
        store.insert([Request(body, under, time.time_ns(), checked.spans, bool(checked.rejected), "logs")])

    return put


@pytest.fixture
def own_lists(writer: Client) -> Iterator[None]:
    """Price lists that the test loads are gone behind it: all tests share the tables."""
    before = {(row.price_version, row.loaded_at) for row in stored_lists(writer)}
    yield
    for row in stored_lists(writer):
        if (row.price_version, row.loaded_at) not in before:
            for table in ("price_lists", "price_list_providers", "price_list_models", "price_list_rates"):
                writer.command(
                    f"ALTER TABLE {table} DELETE WHERE price_version = {{version:String}} "
                    "SETTINGS mutations_sync = 2",
                    parameters={"version": row.price_version},
                )
