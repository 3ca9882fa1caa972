"""Cases 39 to 41: who is let in, that nobody is where nothing says who, and that projects are kept apart."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from otlp_logs import EXPORT_LOGS, logs_request, record
from otlp_requests import llm_span, request, span
from processes import clean_environment, serve_command, wait_until
from prometheus_client import CollectorRegistry
from routes import filled, routes_of

from spanledger.collector.signals import SIGNALS
from spanledger.query_api.access.scopes import SCOPE_OF
from spanledger.query_api.app import create_app
from spanledger.schemas.database import parse_target
from spanledger.schemas.key_table import create_key, revoke_key
from spanledger.schemas.projects import create_project
from spanledger.schemas.settings import Settings

ROOT = "the-root-key-of-this-ledger"
OPEN = {"/healthz", "/readyz"}
PROTOBUF = "application/x-protobuf"
METHODS = [f"/{signal.grpc_service}/Export" for signal in SIGNALS]
METHODS += ["/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", "/any.Service/Call"]
NOT_KEYS = {
    "none": {},
    "empty": {"authorization": ""},
    "no word behind Bearer": {"authorization": "Bearer"},
    "a wrong one": {"authorization": "Bearer sl_000000000000_" + "0" * 64},
    "Basic": {"authorization": "Basic {alpha}"},
    "no scheme": {"authorization": "{alpha}"},
    "one that is cut": {"authorization": "Bearer {alpha:.90}x"},
    "two spaces": {"authorization": "Bearer  {alpha}"},
    "a space in it": {"authorization": "Bearer {alpha} x"},
    "one that is revoked": {"authorization": "Bearer {revoked}"},
    "one that is expired": {"authorization": "Bearer {expired}"},
    "its hash": {"authorization": "Bearer {hash}"},
    "an empty header of its own": {"x-api-key": ""},
    "a wrong one in a header of its own": {"x-api-key": "Bearer {alpha}"},
    "two": {"authorization": "Bearer {alpha}", "x-api-key": "{alpha}"},
}


@pytest.fixture(scope="module")
def guarded(own_world_with):
    """A ledger with a root key, on a ClickHouse double: this process makes keys in its table."""
    with own_world_with(api_key=ROOT) as world:
        yield world


@pytest.fixture(scope="module")
def keys(guarded):
    """Keys by what they are for; the ledger knows all of them."""
    for project in ("alpha", "beta"):
        create_project(guarded.sql, project)

    def make(project, *scopes, **more):
        return create_key(guarded.sql, project, "a key of a test", scopes, **more)

    soon = datetime.now(UTC) + timedelta(seconds=1)
    alpha, row = make("alpha", "ingest", "read")
    revoked, gone = make("alpha", "admin")
    made = {
        "alpha": alpha,
        "hash": row.hash,
        "beta": make("beta", "ingest", "read")[0],
        "admin": make("beta", "admin")[0],
        "ingest": make("alpha", "ingest")[0],
        "read": make("alpha", "read")[0],
        "expired": make("alpha", "admin", expires_at=soon)[0],
        "revoked": revoked,
    }
    wait_until(lambda: asked(guarded, made["revoked"], "/api/v1/keys").status_code == 200, 10)
    revoke_key(guarded.sql, gone.id)
    wait_until(lambda: asked(guarded, made["revoked"], "/api/v1/keys").status_code == 401, 10)
    wait_until(lambda: datetime.now(UTC) > soon, 5)
    return made


def asked(world, key, path, method="GET", **sent):
    return world.api.request(method, path, headers={"Authorization": f"Bearer {key}"}, **sent)


@pytest.fixture(params=NOT_KEYS)
def not_key(request, keys):
    return {name: value.format(**keys) for name, value in NOT_KEYS[request.param].items()}


@pytest.fixture(scope="module")
def routes():
    return sorted(routes_of(create_app(parse_target("chdb://unused"), Settings(), CollectorRegistry())))


def test_case_39_without_a_valid_key_every_route_but_health_is_401(guarded, keys, routes, not_key):
    assert len(routes) > 25
    for method, template in [*routes, ("GET", "/nothing/here"), ("POST", "/api/v1/traces"), ("OPTIONS", "/")]:
        if template in OPEN:
            continue
        answer = guarded.api.request(method, filled(template), headers=not_key, content=b"{")
        assert answer.status_code == 401, (method, template)
        assert answer.headers["www-authenticate"] == 'Bearer realm="spanledger"'
        assert not [key for key in (ROOT, *keys.values()) if key in answer.text + str(answer.headers)]
    for path in OPEN:
        assert guarded.api.get(path, headers=not_key).status_code == 200


def test_case_39_without_a_valid_key_every_grpc_method_is_unauthenticated(guarded, keys, not_key):
    sent = request(span())
    with guarded.nothing_stored(), guarded.ledger.sender(metadata=tuple(not_key.items())) as sender:
        for method in METHODS:
            answer = sender.send(sent, method=method)
            assert answer.code == "UNAUTHENTICATED", method
            assert not [key for key in (ROOT, *keys.values()) if key in f"{answer.message}{answer.trailers}"]


def test_case_39_without_a_valid_key_every_path_of_otlp_is_401(guarded, keys, not_key):
    with guarded.nothing_stored(), httpx.Client(base_url=guarded.ledger.otlp_http, trust_env=False) as http:
        for method in ("POST", "GET", "OPTIONS"):
            for path in [*(signal.http_path for signal in SIGNALS), "/", "/healthz", "/v1/metrics"]:
                body = request(span()).SerializeToString()
                headers = {"content-type": PROTOBUF, **not_key}
                answer = http.request(method, path, content=body, headers=headers)
                assert answer.status_code == 401, (method, path)
                assert answer.headers["www-authenticate"] == 'Bearer realm="spanledger"'
                assert not [key for key in (ROOT, *keys.values()) if key in answer.text]


@pytest.mark.parametrize(
    "shown",
    [
        {"authorization": "Bearer {alpha}"},
        {"authorization": "bearer {alpha}"},
        {"authorization": "BEARER {alpha}"},
        {"x-api-key": "{alpha}"},
    ],
)
def test_case_39_with_a_key_under_any_spelling_of_bearer_one_is_let_in(guarded, keys, shown):
    headers = {name: value.format(**keys) for name, value in shown.items()}
    assert guarded.api.get("/api/v1/traces", headers=headers).status_code == 200
    with guarded.ledger.sender(metadata=tuple(headers.items())) as sender:
        assert sender.send(request(span())).code == "OK"
    body, headers = request(span()).SerializeToString(), {"content-type": PROTOBUF, **headers}
    url = f"{guarded.ledger.otlp_http}/v1/traces"
    assert httpx.post(url, content=body, headers=headers, trust_env=False).status_code == 200


def test_case_39_a_space_behind_the_key_makes_it_another_one(guarded, keys):
    head = f"GET /api/v1/traces HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {keys['alpha']} \r\n"
    assert b" 401 " in said(guarded.ledger.ports["api"], head)
    head = f"POST /v1/traces HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {keys['alpha']} \r\n"
    head += f"Content-Type: {PROTOBUF}\r\nContent-Length: 0\r\n"
    assert b" 401 " in said(guarded.ledger.ports["otlp_http"], head)
    with guarded.ledger.sender(key=keys["alpha"] + " ") as sender:
        assert sender.send(request(span())).code == "UNAUTHENTICATED"


def test_case_39_the_body_of_who_is_refused_is_not_waited_for(guarded, keys):
    for key, status in (("wrong", b" 401 "), (keys["read"], b" 403 ")):
        for port, path in (("api", "/api/v1/keys"), ("otlp_http", "/v1/traces")):
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
            head += "Content-Type: application/json\r\nContent-Length: 1000\r\n"
            assert status in said(guarded.ledger.ports[port], head)


def said(port, head):
    """The beginning of what is answered to the head of a request, of which no body follows."""
    with contextlib.closing(socket.create_connection(("127.0.0.1", port), 30)) as connection:
        connection.sendall(head.encode() + b"\r\n")
        return connection.recv(200)


def test_case_39_a_key_without_the_scope_is_told_which_is_needed(guarded, keys):
    with guarded.nothing_stored(), guarded.ledger.sender(key=keys["read"]) as sender:
        for method in METHODS:
            answer = sender.send(request(span()), method=method)
            assert (answer.code, "scope ingest" in answer.message) == ("PERMISSION_DENIED", True)
        url, headers = f"{guarded.ledger.otlp_http}/v1/traces", {"X-API-KEY": keys["read"]}
        refused = httpx.post(url, content=b"", headers=headers, trust_env=False)
        assert (refused.status_code, b"scope ingest" in refused.content) == (403, True)
    for (method, template), needed in SCOPE_OF.items():
        if needed is not None:
            answer = asked(guarded, keys["ingest"], filled(template), method, content=b"{")
            assert answer.status_code == 403
            what = "SPANLEDGER_API_KEY" if needed == "root" else f"scope {needed}"
            assert what in answer.json()["detail"]
            assert asked(guarded, keys["admin"], filled(template), method, content=b"{").status_code != 401


def test_case_39_no_key_is_in_the_log(guarded, keys):
    asked(guarded, keys["alpha"], "/api/v1/traces")
    asked(guarded, keys["revoked"], "/api/v1/traces")
    log = guarded.ledger.log.read_text()
    assert '"event": "ready"' in log
    assert not [name for name, key in {"root": ROOT, **keys}.items() if key in log]


# --- 40


@pytest.mark.parametrize("name", ["grpc_listen", "otlp_http_listen", "api_listen"])
def test_case_40_beyond_loopback_it_does_not_start_without_a_key(tmp_path, name):
    """Nor does it make a database on the way."""
    command = serve_command(f"chdb://{tmp_path / 'database'}", **{name: "0.0.0.0:0"})
    finished = subprocess.run(command, env=clean_environment(), capture_output=True, check=False, timeout=60)
    assert finished.returncode == 2
    said = finished.stderr.decode()
    assert f"SPANLEDGER_{name.upper()} is 0.0.0.0:0, beyond loopback: set SPANLEDGER_API_KEY" in said
    assert not (tmp_path / "database").exists()


def test_case_40_a_database_without_keys_does_not_make_it_start(world, tmp_path):
    command = serve_command(world.clickhouse.url, api_listen="0.0.0.0:0")
    finished = subprocess.run(command, env=clean_environment(), capture_output=True, check=False, timeout=60)
    assert finished.returncode == 2
    assert "beyond loopback: set SPANLEDGER_API_KEY, or make a key" in finished.stderr.decode()
    assert "answering queries" not in finished.stderr.decode()


# --- 41


@pytest.fixture(scope="module")
def traces(guarded, keys):
    """A trace of each of two projects, sent by each one's own key; one over gRPC and one over HTTP."""
    sent = {"alpha": llm_span(), "beta": llm_span()}
    with guarded.ledger.sender(key=keys["alpha"]) as sender:
        assert sender.send(request(sent["alpha"])).code == "OK"
        logs = logs_request(record(sent["alpha"].trace_id, span_id=sent["alpha"].span_id))
        assert sender.send(logs.SerializeToString(), method=EXPORT_LOGS).code == "OK"
    headers = {"Content-Type": PROTOBUF, "X-API-KEY": keys["beta"]}
    body = request(sent["beta"]).SerializeToString()
    url = f"{guarded.ledger.otlp_http}/v1/traces"
    assert httpx.post(url, content=body, headers=headers, trust_env=False).status_code == 200
    return {project: (each.trace_id.hex(), each.span_id.hex()) for project, each in sent.items()}


@pytest.mark.parametrize(("own", "other"), [("alpha", "beta"), ("beta", "alpha")])
def test_case_41_another_projects_trace_is_as_one_that_is_not_there(guarded, keys, traces, own, other):
    trace, span_id = traces[own]
    assert asked(guarded, keys[own], f"/api/v1/traces/{trace}").status_code == 200
    assert asked(guarded, keys[own], f"/api/v1/spans/{trace}/{span_id}/cost").status_code == 200
    listed = [found["trace_id"] for found in asked(guarded, keys[own], "/api/v1/traces").json()["traces"]]
    assert (trace in listed, traces[other][0] in listed) == (True, False)
    for path in ("/api/v1/traces/{}", "/api/v1/spans/{}/" + traces[other][1] + "/cost"):
        there = asked(guarded, keys[own], path.format(traces[other][0]))
        not_there = asked(guarded, keys[own], path.format("1" * 32))
        assert there.status_code == not_there.status_code == 404
        assert there.json()["detail"].replace(traces[other][0], "1" * 32) == not_there.json()["detail"]


@pytest.mark.parametrize("own", ["alpha", "beta"])
def test_case_41_another_project_is_as_one_that_is_not_there(guarded, keys, traces, own):
    other = {"alpha": "beta", "beta": "alpha"}[own]
    for path in ("/api/v1/traces", f"/api/v1/traces/{traces[own][0]}", f"/api/v1/traces/{traces[other][0]}"):
        there, not_there = (
            asked(guarded, keys[own], path, params={"project": name}) for name in (other, "gamma")
        )
        assert there.status_code == not_there.status_code == 404
        assert there.json()["detail"].replace(other, "gamma") == not_there.json()["detail"]
    assert asked(guarded, ROOT, f"/api/v1/traces/{traces[own][0]}").status_code == 404
    chosen = asked(guarded, ROOT, f"/api/v1/traces/{traces[own][0]}", params={"project": own})
    assert chosen.status_code == 200


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "x" * 200, "a b", "' OR 1=1 --", "{x:String}", "\0"])
def test_case_41_what_is_no_name_of_a_project_is_400(guarded, keys, name):
    for key in (ROOT, keys["alpha"]):
        answer = asked(guarded, key, "/api/v1/traces", params={"project": name})
        assert answer.status_code == 400
        assert "allowed: 1 to 100 letters" in answer.json()["detail"]
    made = asked(guarded, ROOT, "/api/v1/projects", "POST", json={"name": name})
    assert made.status_code == 400


def test_case_41_two_keys_count_what_is_their_own(guarded, keys, traces):
    """The same calls without a price are there once for each."""
    for project, calls in (("alpha", 2), ("beta", 1)):
        with guarded.ledger.sender(key=keys[project]) as sender:
            for _ in range(calls):
                assert sender.send(request(llm_span(model="no-such-model-41"))).code == "OK"
        found = asked(guarded, keys[project], "/api/v1/prices/unpriced").json()["models"]
        assert [each["calls"] for each in found if each["model"] == "no-such-model-41"] == [calls]
