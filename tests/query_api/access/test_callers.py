"""Callers: in which project a request is answered, and who may choose it."""

from __future__ import annotations

import pytest
from otlp_requests import llm_span, request
from routes import filled

from spanledger.query_api.access.table import RouteTable

NAMES = ["", ".", "..", "a/b", "../default", "x" * 101, "a b", "é", "' OR 1=1 --", "%2e%2e", "a\n", "\0"]


@pytest.fixture
def in_project(guarded):
    """The routes that are answered for a project: method and path."""
    entries = [entry for _, entry in RouteTable(guarded.app)._entries if entry.in_project]
    return [(entry.method, filled(entry.template)) for entry in entries]


def test_routes_that_are_answered_for_a_project_are_found(in_project):
    assert {
        ("GET", "/api/v1/traces"),
        ("GET", f"/api/v1/traces/{'0' * 32}"),
        ("POST", "/api/v1/keys"),
    } <= set(in_project)
    assert ("GET", "/api/v1/prices/lists") not in in_project
    assert ("GET", "/healthz") not in in_project


def test_without_keys_and_with_the_root_key_any_project_may_be_chosen(api, ingest, project):
    spans = request(llm_span())
    ingest(spans)
    trace = spans.resource_spans[0].scope_spans[0].spans[0].trace_id.hex()
    other = api.get("/api/v1/traces", params={"project": "nothing-is-here"})
    assert other.json()["traces"] == []
    assert api.get(f"/api/v1/traces/{trace}", params={"project": "nothing-is-here"}).status_code == 404
    for query in ({}, {"project": project}):
        assert [found["trace_id"] for found in api.get("/api/v1/traces", params=query).json()["traces"]] == [
            trace
        ]
        assert api.get(f"/api/v1/traces/{trace}", params=query).status_code == 200


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_name_of_a_project_is_400_and_says_what_is_one(guarded, ask, root, make_key, name):
    key = make_key("alpha", "read")["key"]
    for shown in (root, key):
        answer = ask(shown, "GET", "/api/v1/traces", params={"project": name})
        assert answer.status_code == 400
        assert (
            "query.project: not the name of a project; allowed: 1 to 100 letters" in answer.json()["detail"]
        )


def test_a_project_that_is_given_twice_is_400(ask, root):
    answer = ask(root, "GET", "/api/v1/traces?project=a&project=b")
    assert answer.json()["detail"] == "query.project: given more than once"


def test_a_key_of_a_project_names_its_own_and_learns_nothing_of_others(ask, make_key, in_project):
    """One that is there is refused in the same words as one that is not."""
    key = make_key("alpha", "admin")["key"]
    make_key("beta", "admin")
    assert ask(key, "GET", "/api/v1/traces", params={"project": "alpha"}).status_code == 200
    for method, path in in_project:
        if "reprice" in path:
            continue  # of the root key alone
        answers = [
            ask(key, method, path, params={"project": other}, json={"name": "n", "scopes": ["read"]})
            for other in ("beta", "gamma")
        ]
        assert [answer.status_code for answer in answers] == [404, 404], path
        there, not_there = (answer.json() for answer in answers)
        assert there["detail"].replace("beta", "gamma") == not_there["detail"]


@pytest.mark.parametrize(
    "query", ["project=beta&limit=5", "limit=5&project=beta", "%70roject=beta", "project=beta"]
)
def test_however_it_is_written_it_chooses(ask, make_key, query):
    key = make_key("alpha", "read")["key"]
    assert ask(key, "GET", f"/api/v1/traces?{query}").json()["detail"] == "there is no project beta"


def test_a_route_without_a_project_refuses_the_parameter(ask, root):
    answer = ask(root, "GET", "/api/v1/prices/lists", params={"project": "alpha"})
    assert answer.status_code == 400


def test_the_document_tells_of_the_parameter_where_it_is_taken(idle_api):
    paths = idle_api.get("/openapi.json").json()["paths"]
    takes = {
        path
        for path, methods in paths.items()
        for operation in methods.values()
        for parameter in operation.get("parameters", ())
        if parameter["name"] == "project"
    }
    assert {"/api/v1/traces", "/api/v1/traces/{trace_id}", "/api/v1/keys", "/api/v1/prices/match"} <= takes
    assert not takes & {"/api/v1/prices/lists", "/healthz", "/api/v1/projects"}
