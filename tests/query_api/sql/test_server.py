"""The same on a ClickHouse server: views, filters, limits and formats over its HTTP protocol."""

from __future__ import annotations

import secrets
import time

import pytest
from otlp_requests import request, span
from processes import running_clickhouse
from prometheus_client import CollectorRegistry
from sql_attacks import OTHER_STATEMENTS, OUTWARD, PAST_THE_VIEWS
from starlette.testclient import TestClient

from spanledger.collector.gate import check
from spanledger.collector.rows.block import Request
from spanledger.collector.store import Store
from spanledger.query_api.app import create_app
from spanledger.schemas.database import migrate, parse_target
from spanledger.schemas.settings import Settings

CANARY = "zqx-canary-7719"


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    """A server with spans of two projects, and the API of one of them; SQL has a client of its own."""
    with running_clickhouse(tmp_path_factory.mktemp("server")) as clickhouse:
        target = parse_target(clickhouse.url)
        migrate(target)
        store = Store(target, Settings())
        for project, word in (("mine", "mine"), ("others", CANARY)):
            body = request(span(secrets.token_bytes(16), {"n": 7}, name=f"call {word}")).SerializeToString()
            store.insert([Request(body, project, time.time_ns(), check(body, 32).spans, False)])
        store.close()
        settings = Settings(project="mine", database=clickhouse.url, sql_database=clickhouse.url)
        app = create_app(target, settings, CollectorRegistry())
        with TestClient(app, base_url="http://localhost") as api:
            yield api


def asked(api, query, **more):
    return api.post("/api/v1/sql", json={"query": query, **more})


@pytest.mark.slow
def test_views_and_formats_on_a_server(api):
    told = asked(api, "SELECT name, attributes_number['n'] AS n FROM spans").json()
    assert told["rows"] == [{"name": "call mine", "n": 7}]
    query = "SELECT {x:Array(String)} AS x, count() AS c FROM traces"
    assert asked(api, query, parameters={"x": ["it's"]}).json()["rows"] == [{"x": ["it's"], "c": "1"}]
    assert asked(api, "SELECT name FROM spans", format="csv").text == 'name\n"call mine"\n'
    assert asked(api, "SELECT name FROM spans", format="json_arrays").json()["rows"] == [["call mine"]]
    assert asked(api, "SELECT name FROM spans", format="parquet").content[:4] == b"PAR1"
    assert asked(api, "SELECT number FROM numbers(9)", limit=2).json()["row_count"] == 2


@pytest.mark.slow
def test_errors_and_limits_on_a_server(api):
    wrong = asked(api, "SELECT nme FROM spans")
    assert wrong.status_code == 400
    assert "Unknown expression identifier `nme`. Maybe you meant: ['name']" in wrong.json()["detail"]
    assert "http" not in wrong.json()["detail"]
    assert asked(api, "SELECT {x:UInt8}", parameters={"x": "many"}).status_code == 400
    many = asked(api, "SELECT number FROM numbers(2000000)")
    assert many.status_code == 422
    assert "1,000,000 rows" in many.json()["detail"]


@pytest.mark.slow
def test_a_long_query_with_long_values_reaches_a_server(api):
    """Longer than an address may be."""
    text = "x" * 90_000
    told = asked(api, f"SELECT length('{text}') AS a, length({{y:String}}) AS b", parameters={"y": text})
    assert told.status_code == 200, told.text[:300]
    assert told.json()["rows"] == [{"a": "90000", "b": "90000"}]


@pytest.mark.slow
def test_attacks_on_a_server_are_refused(api):
    for attack in [*PAST_THE_VIEWS, *OUTWARD, *OTHER_STATEMENTS]:
        query = attack.replace("{db}", "spanledger").replace("{views}", "spanledger_sql")
        if "\ud83d" in query:
            continue
        answer = asked(api, query)
        assert answer.status_code == 400, (query[:200], answer.text[:300])
        assert CANARY not in answer.text
    assert asked(api, "SELECT count() AS c FROM spans").json()["rows"] == [{"c": "1"}]
