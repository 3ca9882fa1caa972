"""Keys at the OTLP doors: a sender's key decides where its spans are stored, and whether they are at all."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from otlp_logs import EXPORT_LOGS, logs_request, record
from otlp_requests import request, span
from otlp_sender import EXPORT
from processes import wait_until

from spanledger.collector.signals import SIGNALS
from spanledger.collector.store import Store
from spanledger.schemas.database import connect, parse_target
from spanledger.schemas.key_table import create_key, revoke_key
from spanledger.schemas.keys import Keys
from spanledger.schemas.settings import Settings

ROOT = "the-root-key-of-this-ledger"
PROTOBUF = "application/x-protobuf"
METHODS = (
    EXPORT,
    EXPORT_LOGS,
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    "/any.Service/Call",
)


@pytest.fixture
def client(own_target):
    with closing(connect(own_target)) as client:
        yield client


@pytest.fixture
def keys(own_target):
    keys = Keys(Settings(api_key=ROOT, project="of-the-settings"), own_target)
    yield keys
    keys.stop()


@pytest.fixture
def make_key(client, keys):
    def make(project, *scopes, **more):
        key, row = create_key(client, project, "a key", scopes, **more)
        keys.read()
        return key, row.id

    return make


@pytest.fixture
def collector(collect, own_target, keys):
    with collect([Store(own_target, Settings())], keys) as running:
        yield running


@pytest.fixture
def projects(client):
    """The projects that a trace is stored in: `projects(trace_id)`, of spans or of log records."""

    def read(trace_id, table="spans"):
        rows = client.query(
            f"SELECT DISTINCT project FROM {table} WHERE hex(trace_id) = {{t:String}} ORDER BY project",
            parameters={"t": trace_id.hex().upper()},
        ).result_rows
        return [project for (project,) in rows]

    return read


def over_grpc(collector, header, value):
    return collector.sender(metadata=((header, value),))


def test_each_key_stores_in_its_own_project_by_every_way(collector, make_key, projects):
    shown = {name: make_key(name, "ingest")[0] for name in ("alpha", "beta")} | {"of-the-settings": ROOT}
    for project, key in shown.items():
        for header, value in (("authorization", f"bearer {key}"), ("x-api-key", key)):
            spans, logs = [span(), span()], [record(), record()]
            with over_grpc(collector, header, value) as sender, collector.client() as http:
                assert sender.send(request(spans[0])).code == "OK"
                assert sender.send(logs_request(logs[0]).SerializeToString(), method=EXPORT_LOGS).code == "OK"
                for path, sent in (("traces", request(spans[1])), ("logs", logs_request(logs[1]))):
                    answer = http.post(
                        f"/v1/{path}",
                        content=sent.SerializeToString(),
                        headers={header: value, "content-type": PROTOBUF},
                    )
                    assert answer.status_code == 200
            assert [projects(sent.trace_id) for sent in spans] == [[project]] * 2
            assert [projects(sent.trace_id, "logs") for sent in logs] == [[project]] * 2


def test_the_same_span_from_two_projects_is_two_spans(collector, make_key, projects):
    sent = span()
    for project in ("alpha", "beta"):
        with collector.sender(key=make_key(project, "ingest")[0]) as sender:
            assert sender.send(request(sent)).code == "OK"
    assert projects(sent.trace_id) == ["alpha", "beta"]


@pytest.mark.parametrize("scopes", [["read"], ["write"], ["read", "write"]])
def test_a_key_that_may_not_send_is_told_so_and_stores_nothing(collector, make_key, projects, scopes):
    key, _ = make_key("alpha", *scopes)
    sent = span()
    with collector.sender(key=key) as sender, collector.client(key=key) as http:
        for method in METHODS:
            answer = sender.send(request(sent), method=method)
            assert (answer.code, "scope ingest" in answer.message) == ("PERMISSION_DENIED", True)
        for path in [*(signal.http_path for signal in SIGNALS), "/nothing"]:
            found = http.post(
                path, content=request(sent).SerializeToString(), headers={"content-type": PROTOBUF}
            )
            assert found.status_code == 403
            assert b"scope ingest" in found.content
    assert projects(sent.trace_id) == []
    assert (
        collector.counted("spanledger_otlp_requests_total", transport="grpc", outcome="permission_denied")
        == 4
    )


def test_an_admin_may_send(collector, make_key, projects):
    sent = span()
    with collector.sender(key=make_key("alpha", "admin")[0]) as sender:
        assert sender.send(request(sent)).code == "OK"
    assert projects(sent.trace_id) == ["alpha"]


@pytest.fixture(params=["revoked", "expired", "wrong", "none", "twice"])
def not_valid(request, client, keys, make_key):
    """A key of a project, and headers by which it is not, or no longer, a valid one."""
    soon = datetime.now(UTC) + timedelta(seconds=0.2 if request.param == "expired" else 600)
    key, key_id = make_key("alpha", "ingest", expires_at=soon)
    headers = {"authorization": f"Bearer {key}"}
    match request.param:
        case "revoked":
            revoke_key(client, key_id)
            keys.read()
        case "expired":
            wait_until(lambda: datetime.now(UTC) > soon, 5)
        case "wrong":
            headers["authorization"] = headers["authorization"][:-1]
        case "none":
            headers = {}
        case "twice":
            headers["x-api-key"] = key
    return key, headers


def test_whoever_has_no_valid_key_is_unauthenticated_by_every_method(collector, projects, not_valid):
    key, headers = not_valid
    sent = span()
    with collector.sender(metadata=tuple(headers.items())) as sender, collector.client() as http:
        for method in METHODS:
            answer = sender.send(request(sent), method=method)
            assert answer.code == "UNAUTHENTICATED"
            assert key not in answer.message
        for path in [*(signal.http_path for signal in SIGNALS), "/nothing"]:
            body = request(sent).SerializeToString()
            found = http.post(path, content=body, headers={"content-type": PROTOBUF, **headers})
            assert found.status_code == 401
            assert found.headers["www-authenticate"].startswith("Bearer")
            assert key.encode() not in found.content
    assert projects(sent.trace_id) == []


def test_with_keys_that_cannot_be_read_senders_are_told_to_come_again(collect, own_target):
    """401 would have them drop what they have."""
    keys = Keys(Settings(), parse_target("clickhouse://127.0.0.1:9/spanledger"))
    with (
        collect([Store(own_target, Settings())], keys) as collector,
        collector.sender(key="any") as sender,
        collector.client(key="any") as http,
    ):
        answer = sender.send(request(span()))
        assert answer.code == "UNAVAILABLE"
        assert answer.delays == [1.0, 1.0]
        found = http.post("/v1/traces", content=b"", headers={"content-type": PROTOBUF})
        assert (found.status_code, found.headers["retry-after"]) == (503, "1")


def test_the_first_key_closes_a_collector_that_runs(collect, own_target, client, projects):
    keys = Keys(Settings(project="of-the-settings"), own_target)
    keys.read()
    with collect([Store(own_target, Settings())], keys) as collector, collector.sender() as sender:
        first, second = span(), span()
        assert sender.send(request(first)).code == "OK"
        create_key(client, "alpha", "a key", ["read"])
        keys.read()
        assert sender.send(request(second)).code == "UNAUTHENTICATED"
    assert (projects(first.trace_id), projects(second.trace_id)) == (["of-the-settings"], [])
    keys.stop()
