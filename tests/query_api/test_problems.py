"""Errors: one form for all of them, and nothing in it that is not for whoever asked."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from otlp_requests import request, span
from starlette.testclient import TestClient

from spanledger.query_api.search import routes as search_routes
from spanledger.schemas.api import Problem
from spanledger.schemas.errors import Misconfigured

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
INJECTIONS = [
    "x' OR 1=1 --",
    "\\'",
    "; DROP TABLE spans",
    "{x:String}",
    "%27",
    "\0",
    "é",
    "..",
    "system.tables",
]


def problem_of(answer, status):
    """The problem in an answer, which must be well-formed and say where it was asked for."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    found = Problem.model_validate(answer.json())
    assert found.status == status
    assert found.detail
    return found


@pytest.mark.parametrize(
    ("parameters", "where", "allowed"),
    [
        ({"limit": "0"}, "query.limit", "1 to 500"),
        ({"limit": "-1"}, "query.limit", "1 to 500"),
        ({"limit": "501"}, "query.limit", "1 to 500"),
        ({"limit": "1000000000"}, "query.limit", "1 to 500"),
        ({"limit": "9" * 5000}, "query.limit", "1 to 500"),
        ({"limit": "abc"}, "query.limit", "1 to 500"),
        ({"limit": ""}, "query.limit", "1 to 500"),
        ({"limit": "1.5"}, "query.limit", "1 to 500"),
        ({"cursor": "abc"}, "query.cursor", "next_cursor"),
        ({"cursor": ""}, "query.cursor", "next_cursor"),
        ({"start": "NaN"}, "query.start", "RFC 3339"),
        ({"start": "2026-01-01"}, "query.start", "RFC 3339"),
        ({"start": "2026-01-01T00:00:00"}, "query.start", "RFC 3339"),
        ({"end": "1767225600"}, "query.end", "RFC 3339"),
        ({"start": "2026-01-02T00:00:00Z", "end": "2026-01-01T00:00:00Z"}, "query", None),
        ({"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T01:00:00+01:00"}, "query", None),
        ({"status": "failed"}, "query.status[0]", "ok, error, unset"),
        ({"service": "x" * 1001}, "query.service[0]", "1000"),
        ({"model": "x" * 1001}, "query.model[0]", "1000"),
        ({"sort": "system.tables"}, "query.sort", "time, duration, cost, tokens"),
        ({"order": "asc, sleep(3)"}, "query.order", "desc, asc"),
        ({"group_by": "file('/etc/hostname')"}, "query.group_by", "limit"),
    ],
)
def test_a_wrong_parameter_is_named_with_what_is_allowed(idle_api, parameters, where, allowed):
    found = problem_of(idle_api.get("/api/v1/traces", params=parameters), 400)
    [error] = found.errors
    assert error.where == where
    assert (error.allowed is None) if allowed is None else (allowed in error.allowed)
    assert where in found.detail


def test_every_wrong_parameter_is_named(idle_api):
    found = problem_of(idle_api.get("/api/v1/traces?limit=0&status=x&start=y&foo=1"), 400)
    assert {error.where for error in found.errors} == {
        "query.limit",
        "query.status[0]",
        "query.start",
        "query.foo",
    }


@pytest.mark.parametrize("text", INJECTIONS)
def test_sql_in_a_parameter_changes_nothing(idle_api, writer, text):
    rows = writer.command("SELECT count() FROM spans")
    for name in ("limit", "cursor", "start", "end", "status", "sort"):
        problem_of(idle_api.get("/api/v1/traces", params={name: text}), 400)
    for name in ("service", "model"):
        found = idle_api.get("/api/v1/traces", params={name: text}).json()
        assert found == {"traces": [], "next_cursor": None}
    assert writer.command("SELECT count() FROM spans") == rows


@pytest.mark.parametrize(
    "trace_id", ["x", TRACE[:-1], TRACE + "0", "g" * 32, TRACE + "\n", "x' OR 1=1 --", "é" * 32]
)
def test_a_trace_id_is_32_digits(idle_api, trace_id):
    answer = idle_api.get("/api/v1/traces/" + trace_id.replace("\n", "%0A"))
    [error] = problem_of(answer, 400).errors
    assert (error.where, error.allowed) == ("path.trace_id", "32 hexadecimal digits")


def test_a_trace_takes_no_other_parameters(idle_api):
    found = problem_of(idle_api.get(f"/api/v1/traces/{TRACE}?depth=3"), 400)
    assert found.errors[0].where == "query.depth"
    assert found.errors[0].what == "no such parameter"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api",
        "/api/v1",
        "/api/v1/traces/",
        f"/api/v1/traces/{TRACE}/",
        "/healthz/",
        "/api/v1/trace",
        "/%00",
    ],
)
def test_what_is_not_there_is_404_and_never_a_redirect(idle_api, path):
    found = problem_of(idle_api.get(path, follow_redirects=False), 404)
    assert found.instance == path.replace("%00", "\0") or found.instance == path


def test_an_unknown_trace_has_the_same_form(idle_api):
    found = problem_of(idle_api.get(f"/api/v1/traces/{TRACE}"), 404)
    assert (found.title, found.instance) == ("Not found", f"/api/v1/traces/{TRACE}")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/api/v1/traces", f"/api/v1/traces/{TRACE}"])
def test_other_methods_are_405_with_what_is_allowed(idle_api, method, path):
    answer = idle_api.request(method, path)
    problem_of(answer, 405)
    assert answer.headers["allow"] == "GET"
    answer = idle_api.request(method, path, headers={"Origin": "https://evil.example"})
    problem_of(answer, 405 if method == "OPTIONS" else 403)
    assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize(
    "error", [RuntimeError("SELECT secret FROM /srv/data"), Misconfigured("at /srv/data"), KeyError("x")]
)
def test_an_error_of_ours_tells_only_the_id_it_was_logged_under(idle_api, monkeypatch, caplog, error):
    def broken(*_, **__):
        raise error

    monkeypatch.setattr(search_routes, "list_traces", broken)
    with caplog.at_level(logging.WARNING):
        answer = idle_api.get("/api/v1/traces")
    found = problem_of(answer, 500)
    assert "secret" not in answer.text
    assert "/srv" not in answer.text
    assert "Error" not in answer.text
    [record] = [record for record in caplog.records if found.error_id in record.getMessage()]
    assert record.exc_info[1] is error


def test_after_an_error_of_ours_the_next_request_is_served(idle_api, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(search_routes, "list_traces", lambda *_, **__: 1 / 0)
        for _ in range(8):
            problem_of(idle_api.get("/api/v1/traces"), 500)
    assert idle_api.get("/api/v1/traces").status_code == 200


def test_no_outbound_connection_and_no_foreign_file(api: TestClient, ingest, monkeypatch, target):
    """Whatever is asked for, nothing but the database is opened."""
    sent = span(attributes={"url.full": "http://169.254.169.254/", "file": "file('/etc/hostname')"})
    ingest(request(sent))
    api.get("/api/v1/traces")

    def trapped(*arguments, **_):
        raise AssertionError(f"opened {arguments}")

    monkeypatch.setattr("socket.socket.connect", trapped)
    monkeypatch.setattr(Path, "open", trapped)
    assert api.get("/api/v1/traces").status_code == 200
    assert api.get(f"/api/v1/traces/{sent.trace_id.hex()}").status_code == 200
