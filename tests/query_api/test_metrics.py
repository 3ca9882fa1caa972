"""query_api.metrics: every request is counted by the template of its route, and never by what was sent."""

from __future__ import annotations

import pytest
from fastapi.routing import iter_route_contexts
from prometheus_client.parser import text_string_to_metric_families

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def samples(api, name: str, **headers: str) -> dict[tuple[str, ...], float]:
    """The samples of a metric by the values of its labels, in the order of their names."""
    text = api.get("/metrics", headers=headers).text
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


def test_requests_are_counted_and_timed_by_route_and_status(api):
    for path in (
        "/api/v1/traces",
        "/api/v1/traces?limit=0",
        f"/api/v1/traces/{TRACE}",
        "/nothing",
        "/healthz",
    ):
        api.get(path)
    api.post("/api/v1/traces")
    api.get("/docs")
    assert samples(api, "spanledger_http_requests_total") == {
        ("GET", "/api/v1/traces", "200"): 1,
        ("GET", "/api/v1/traces", "400"): 1,
        ("GET", "/api/v1/traces/{trace_id}", "404"): 1,
        ("GET", "none", "404"): 1,
        ("GET", "/healthz", "200"): 1,
        ("POST", "/api/v1/traces", "405"): 1,
        ("GET", "/docs", "200"): 1,
    }
    assert samples(api, "spanledger_http_request_seconds_count")[("/api/v1/traces",)] == 3


def test_who_is_refused_is_counted_under_no_route(make_api):
    api = make_api(api_key="a-long-secret-key")
    assert api.get("/api/v1/traces").status_code == 401
    counted = samples(api, "spanledger_http_requests_total", Authorization="Bearer a-long-secret-key")
    assert counted == {("GET", "none", "401"): 1}


def test_an_error_of_ours_is_counted_as_500(api, monkeypatch):
    monkeypatch.setattr("spanledger.query_api.search.routes.list_traces", lambda *_, **__: 1 / 0)
    assert api.get("/api/v1/traces").status_code == 500
    assert samples(api, "spanledger_http_requests_total") == {("GET", "/api/v1/traces", "500"): 1}


@pytest.mark.parametrize("method", ["BREW", "X" * 200])
def test_what_a_client_makes_up_makes_no_series(api, method):
    api.request(method, "/api/v1/traces/" + "x" * 50)
    assert samples(api, "spanledger_http_requests_total") == {
        ("other", "/api/v1/traces/{trace_id}", "405"): 1
    }


def test_every_route_has_a_template_of_its_own(api):
    """None is counted as `none`, whichever router it came with."""
    contexts = list(iter_route_contexts(api.app.routes))
    assert len(contexts) > 6
    assert {context.path for context in contexts} == set(api.app.state.templates.values())
