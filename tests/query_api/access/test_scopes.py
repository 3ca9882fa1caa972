"""Scopes: every route has one; a key without it is told which is needed; a route without one is closed."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import CollectorRegistry
from routes import filled, routes_of
from starlette.testclient import TestClient

from spanledger.query_api.access.scopes import SCOPE_OF
from spanledger.query_api.access.table import RouteTable
from spanledger.query_api.app import create_app
from spanledger.schemas.access import SCOPES
from spanledger.schemas.settings import Settings

OPEN = {"/healthz", "/readyz"}
OUTWARD = ("POST", "/api/v1/prices/update")  # it would leave this machine


def test_every_route_has_a_scope_and_every_scope_a_route(idle_api):
    routes = {("GET" if method == "HEAD" else method, path) for method, path in routes_of(idle_api.app)}
    assert routes == set(SCOPE_OF)
    assert {path for (_, path), needed in SCOPE_OF.items() if needed is None} == OPEN


def test_what_is_judged_is_what_answers(api):
    """The table finds the same route for a path as the application does, by what it counts."""
    table = RouteTable(api.app)
    for method, template in routes_of(api.app) - {OUTWARD}:
        entry = table.find(method, filled(template))
        assert (entry.method, entry.template) == (method, template)
        status = str(api.request(method, filled(template), content=b"{").status_code)
        labels = {"method": method, "route": template, "status": status}
        assert api.app.state.registry.get_sample_value("spanledger_http_requests_total", labels), labels


def test_a_route_without_a_scope_is_answered_to_nobody(target, root):
    app = create_app(target, Settings(api_key=root), CollectorRegistry())

    @app.get("/api/v1/forgotten")
    def forgotten():
        raise AssertionError("it was called")

    with TestClient(app, base_url="http://localhost") as api:
        for headers in ({}, {"Authorization": f"Bearer {root}"}):
            answer = api.get("/api/v1/forgotten", headers=headers)
            assert answer.status_code == (404 if headers else 401)


@pytest.mark.parametrize("scope", SCOPES)
def test_a_key_opens_the_routes_of_its_scope_and_is_told_what_others_need(guarded, ask, make_key, scope):
    key = make_key("alpha", scope)["key"]
    opened = set()
    for (method, template), needed in SCOPE_OF.items():
        # Not a body that could be read: a request that is let in is refused for that, or for its path.
        answer = ask(key, method, filled(template), content=b"{")
        may = needed in (None, scope) or (scope == "admin" and needed != "root")
        assert (answer.status_code == 403) != may, (method, template, answer.text)
        assert answer.status_code != 401
        if may:
            opened.add(needed)
            continue
        found = answer.json()
        assert found["title"] == "Forbidden"
        assert ("SPANLEDGER_API_KEY" if needed == "root" else f"scope {needed}") in found["detail"]
    assert opened >= {None} | ({scope} & set(SCOPE_OF.values()))


def test_the_root_key_opens_every_route(guarded, ask, root):
    for method, template in SCOPE_OF:
        if (method, template) != OUTWARD:
            answer = ask(root, method, filled(template), content=b"{")
            assert answer.status_code not in {401, 403}, template


def test_the_body_of_a_request_without_the_scope_is_not_read(guarded, make_key):
    key = make_key("alpha", "read")["key"]
    sent = []

    async def receive():
        raise AssertionError("the body was read")

    async def send(message):
        sent.append(message)

    headers = [(b"authorization", b"Bearer " + key.encode()), (b"content-length", b"9")]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/v1/keys",
        "headers": headers,
        "query_string": b"",
    }
    asyncio.run(guarded.app(scope, receive, send))
    assert sent[0]["status"] == 403
