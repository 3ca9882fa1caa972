"""Access: closed on every route, unless it is opened."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import CollectorRegistry
from routes import filled, routes_of
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from spanledger.query_api.access.doors import MOST_BODY_BYTES
from spanledger.query_api.access.scopes import OF_FILES, SCOPE_OF
from spanledger.query_api.app import create_app
from spanledger.schemas.settings import Settings

KEY = "s3cret-key-é"
BEARER = f"Bearer {KEY}".encode()
OPEN = {"/healthz", "/readyz"}


@pytest.fixture(scope="module")
def locked(target):
    app = create_app(target, Settings(project="nothing-here", api_key=KEY), CollectorRegistry())
    with TestClient(app, base_url="http://localhost:8000") as api:
        yield api


def paths(api: TestClient) -> set[str]:
    """The path of every route there is, documented or not, with something in place of its parameters."""
    return {filled(template) for _, template in routes_of(api.app)}


def test_the_walk_below_finds_the_routes(idle_api):
    assert {"/healthz", "/readyz", "/metrics", "/docs", "/openapi.json", "/api/v1/traces"} <= paths(idle_api)


@pytest.mark.parametrize(
    "header",
    [
        None,
        b"",
        KEY.encode(),
        b"Bearer",
        b"Bearer ",
        b"Bearer wrong",
        b"Bearer s3cret-key",
        BEARER + b"x",
        BEARER + b" x",
        b"Basic " + KEY.encode(),
        b"Bearer  " + KEY.encode(),
    ],
)
def test_without_the_key_every_route_but_health_is_closed(locked, header):
    headers = {} if header is None else {"Authorization": header}
    for path in paths(locked) | {"/nothing/here"}:
        for method in ("GET", "POST", "OPTIONS"):
            answer = locked.request(method, path, headers=headers)
            if path in OPEN:
                assert answer.status_code in {200, 405}
                continue
            assert answer.status_code == 401, (method, path)
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["title"] == "Unauthenticated"
            assert "s3cret" not in answer.text


@pytest.mark.parametrize("scheme", [b"Bearer", b"bearer", b"BEARER"])
def test_with_the_key_every_route_is_open(locked, scheme):
    for path in paths(locked):
        answer = locked.get(path, headers={"Authorization": scheme + b" " + KEY.encode()})
        # 400 and 405: it was asked without its parameters, or by another method than its own.
        assert answer.status_code in {200, 400, 404, 405}, path
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_key_may_stand_in_a_header_of_its_own(locked):
    assert locked.get("/api/v1/traces", headers={"X-API-KEY": KEY.encode()}).status_code == 200
    for wrong in ("", "wrong", f"Bearer {KEY}"):
        answer = locked.get("/api/v1/traces", headers={"X-API-KEY": wrong.encode()})
        assert answer.status_code == 401, wrong


def test_two_keys_are_no_key(locked):
    answer = locked.get("/api/v1/traces", headers=[("Authorization", BEARER), ("Authorization", BEARER)])
    assert answer.status_code == 401


def test_an_empty_credential_opens_nothing(make_api):
    for header in (b"Bearer ", b"Bearer", b" "):
        assert make_api(api_key=KEY).get("/metrics", headers={"Authorization": header}).status_code == 401


def test_the_body_of_a_refused_request_is_not_read(target):
    app = create_app(target, Settings(api_key=KEY), CollectorRegistry())
    sent = []

    async def receive():
        raise AssertionError("the body was read")

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/v1/traces",
        "headers": [(b"content-length", b"9")],
        "query_string": b"",
    }
    asyncio.run(app(scope, receive, send))
    assert sent[0]["status"] == 401


def test_a_websocket_is_closed_too(locked):
    with pytest.raises(WebSocketDisconnect), locked.websocket_connect("/api/v1/traces"):
        pass


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:1", "127.8.8.8", "[::1]", "[::1]:8000"]
)
def test_without_a_key_this_machine_is_served(idle_api, host):
    assert idle_api.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.nip.io", "10.0.0.1", "", "["],
)
def test_without_a_key_a_foreign_host_is_refused_everywhere(idle_api, host):
    for path in paths(idle_api):
        answer = idle_api.get(path, headers={"Host": host, "Origin": "http://evil.example"})
        assert answer.status_code == 403, path
        assert answer.json()["status"] == 403
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_host_that_is_listened_on_is_served(make_api):
    api = make_api(api_listen="localhost:9000")
    assert api.get("/healthz", headers={"Host": "localhost:9000"}).status_code == 200


def test_insecure_serves_every_host(make_api):
    api = make_api(insecure=True, api_listen="0.0.0.0:8000")
    assert api.get("/healthz", headers={"Host": "traces.internal"}).status_code == 200


def test_with_a_key_every_host_is_served(locked):
    answer = locked.get("/api/v1/traces", headers={"Host": "traces.internal", "Authorization": BEARER})
    assert answer.status_code == 200


def test_no_body_but_a_files_is_read_further_than_a_mebibyte(guarded, ask, make_key, root):
    """Said or not how long it is; every route that writes, as nobody can tell which of them reads a body."""
    taken = []

    def endless():
        for _ in range(64):
            taken.append(1)
            yield b"[" * (MOST_BODY_BYTES // 8)

    for (method, template), needed in SCOPE_OF.items():
        if needed is None or method == "GET" or (method, template) in OF_FILES:
            continue
        answer = ask(root, method, filled(template), content=b" " * (MOST_BODY_BYTES + 1))
        assert (answer.status_code, answer.json()["title"]) == (413, "Too large"), (method, template)
    key = make_key("alpha", "read")["key"]
    answer = ask(key, "POST", "/api/v1/spans/search", content=endless())
    assert answer.status_code == 413
    assert "1 MiB" in answer.json()["detail"]
    taken.clear()
    assert ask("no-key", "POST", "/api/v1/spans/search", content=endless()).status_code == 401
    within = b"{}" + b" " * (MOST_BODY_BYTES - 2)
    headers = {"Content-Type": "application/json", "X-API-KEY": key}
    assert guarded.post("/api/v1/spans/search", content=within, headers=headers).status_code == 200
    file = ask(root, "POST", "/api/v1/import?format=jsonl", content=b" " * (MOST_BODY_BYTES * 2))
    assert file.status_code == 400
