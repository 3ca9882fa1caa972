"""Two projects with spans and logs; what the other one has is full of a word that nobody else may see."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from clickhouse_connect.driver.client import Client
from otlp_logs import logs_request, record
from otlp_requests import SECOND, llm_span, request, span
from prometheus_client import CollectorRegistry
from starlette.testclient import TestClient

from spanledger.collector.gate import check
from spanledger.collector.rows.block import Request
from spanledger.collector.rows.tables import LOGS
from spanledger.collector.store import Store
from spanledger.query_api.app import create_app
from spanledger.query_api.sql.clients import Bounds, connect_for_sql
from spanledger.query_api.sql.views import make_views
from spanledger.schemas.database import Target
from spanledger.schemas.settings import Settings

CANARY = "zqx-canary-7719"
MINE, OTHERS = "sql-mine", f"sql-{CANARY}"
T0 = time.time_ns() // (86_400 * SECOND) * 86_400 * SECOND


class Stored(NamedTuple):
    """What both projects have: the trace of the one that asks, and the ids of the other's."""

    trace_id: str
    canaries: tuple[str, ...]


@pytest.fixture(scope="session")
def stored(store: Store) -> Stored:
    trace_id, others_id = secrets.token_bytes(16), secrets.token_bytes(16)

    def put(project: str, trace: bytes, word: str) -> None:
        root = span(trace, {"user.id": f"ann {word}", "n": 7}, name=f"answer {word}", start_time_unix_nano=T0)
        root.events.add(name=f"event {word}", time_unix_nano=T0 + 1)
        root.links.add(trace_id=trace, span_id=root.span_id)
        call = llm_span(
            trace,
            model="gpt-4o-mini",
            gen_ai__input__messages=f'[{{"role":"user","parts":[{{"type":"text","content":"{word}"}}]}}]',
            gen_ai__conversation__id=f"talk {word}",
        )
        call.parent_span_id, call.start_time_unix_nano = root.span_id, T0 + SECOND
        call.end_time_unix_nano = T0 + 2 * SECOND
        body = request(root, call, resource={"service.name": f"shop {word}"}).SerializeToString()
        store.insert([Request(body, project, time.time_ns(), check(body, 32).spans, False)])
        said = logs_request(record(trace, f"said {word}"), resource={"service.name": f"shop {word}"})
        body = said.SerializeToString()
        checked = check(body, 32, LOGS)
        store.insert([Request(body, project, time.time_ns(), checked.spans, False, "logs")])

    put(MINE, trace_id, "mine")
    put(OTHERS, others_id, CANARY)
    return Stored(trace_id.hex(), (CANARY, others_id.hex(), others_id.hex().upper()))


@pytest.fixture(scope="session")
def sql_api(target: Target, stored: Stored) -> Iterator[TestClient]:
    """The API of the project that asks."""
    app = create_app(target, Settings(project=MINE), CollectorRegistry())
    with TestClient(app, base_url="http://localhost:8000", raise_server_exceptions=False) as api:
        yield api


@pytest.fixture(scope="session")
def ask(sql_api: TestClient) -> Callable[..., Any]:
    """Ask; give the answer."""

    def asked(query: str, **more: Any) -> Any:
        body = json.dumps({"query": query, **more})
        return sql_api.post("/api/v1/sql", content=body, headers={"Content-Type": "application/json"})

    return asked


@pytest.fixture(scope="session")
def rows(ask: Callable[..., Any]) -> Callable[..., list[dict[str, Any]]]:
    """Ask what has to work; give the rows."""

    def asked(query: str, **more: Any) -> list[dict[str, Any]]:
        answer = ask(query, **more)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["rows"]
        return found

    return asked


@pytest.fixture(scope="session")
def tables(target: Target, writer: Client) -> dict[str, str]:
    """The tables as a client for SQL is told of them; the views are there."""
    make_views(writer, target.database)
    names = writer.query("SELECT name FROM system.tables WHERE database = currentDatabase()").result_rows
    return {str(name): target.database for (name,) in names}


@pytest.fixture
def sql_client(target: Target, tables: dict[str, str], stored: Stored) -> Iterator[Client]:
    """A client as the API opens it, without the analysis before it."""
    client = connect_for_sql(target, MINE, tables, Bounds())
    yield client
    client.close()
