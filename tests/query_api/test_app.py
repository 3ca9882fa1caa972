"""The application: its document, its health, its metrics."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client import CollectorRegistry, Counter
from starlette.testclient import TestClient

from spanledger.query_api.app import create_app
from spanledger.schemas.settings import Settings


@pytest.fixture
def document(idle_api):
    return idle_api.get("/openapi.json").json()


def test_every_operation_says_what_it_is_and_what_an_error_is(document):
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert operations
    for operation in operations:
        assert operation["summary"]
        assert set(operation["responses"]) - {"202"} == {"200", "default"}
        assert operation["responses"]["default"]["content"] == {
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
        }


def test_every_parameter_says_what_it_means(document):
    for path in document["paths"].values():
        for operation in path.values():
            for parameter in operation.get("parameters", ()):
                assert parameter["description"], parameter["name"]


def test_answers_are_documented_by_their_models(document):
    def model(path):
        return document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]

    assert model("/api/v1/traces") == {"$ref": "#/components/schemas/CountedTracePage"}
    assert model("/api/v1/traces/{trace_id}") == {"$ref": "#/components/schemas/TraceTree"}
    node = document["components"]["schemas"]["SpanNode"]["properties"]
    assert node["children"]["items"] == {"$ref": "#/components/schemas/SpanNode"}


def test_metrics_shows_the_registry_that_was_given(target):
    registry = CollectorRegistry()
    Counter("spanledger_test", "A counter of this test.", registry=registry).inc(3)
    with TestClient(create_app(target, Settings(), registry), base_url="http://localhost") as api:
        answer = api.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "spanledger_test_total 3.0" in answer.text


def test_health_asks_nobody_and_readiness_the_database(idle_api):
    assert idle_api.get("/healthz").json() == {"status": "ok"}
    assert idle_api.get("/readyz").json() == {"status": "ready"}


def test_a_server_that_starts_or_stops_is_alive_and_not_ready(target):
    app = create_app(target, Settings(), CollectorRegistry(), ready=lambda: False)
    with TestClient(app, base_url="http://localhost") as api:
        assert api.get("/healthz").status_code == 200
        assert api.get("/readyz").status_code == 503


def test_pages_do_not_wait_for_sums_and_sums_wait_for_each_other(api):
    go_on, busy = threading.Event(), threading.Event()

    def long_sum(_client):
        busy.set()
        go_on.wait(10)

    running = api.portal.start_task_soon(api.app.state.analysts.run, long_sum)
    assert busy.wait(10)
    assert api.get("/api/v1/traces").status_code == 200
    with ThreadPoolExecutor() as pool:
        other = pool.submit(api.get, "/api/v1/stats")
        assert not other.done()
        go_on.set()
        assert other.result(10).status_code == 200
    running.result(10)
