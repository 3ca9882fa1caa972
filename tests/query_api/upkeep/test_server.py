"""Deletion and retention on a ClickHouse server; collector and API know only what the database tells them."""

from __future__ import annotations

import secrets
import subprocess
import time

import pytest
from otlp_logs import logs_request, record
from otlp_requests import llm_span, request
from processes import running_clickhouse, wait_until
from prometheus_client import CollectorRegistry
from starlette.testclient import TestClient

from spanledger.collector.gate import check
from spanledger.collector.rows.block import Request
from spanledger.collector.rows.tables import TABLES
from spanledger.collector.store import Store
from spanledger.query_api.app import create_app
from spanledger.query_api.upkeep import keeper
from spanledger.schemas.database import connect, migrate, parse_target
from spanledger.schemas.prices import load_prices
from spanledger.schemas.removals import DAY_NS, Removals
from spanledger.schemas.settings import Settings

PATH = "/api/v1/deletions"


@pytest.mark.slow
def test_what_is_deleted_or_too_old_is_gone_and_stays_so_on_a_server(tmp_path, monkeypatch):
    monkeypatch.setattr(keeper.Keeper.__init__, "__kwdefaults__", {"settle": keeper.timedelta(0)})
    with running_clickhouse(tmp_path) as clickhouse:
        target = parse_target(clickhouse.url)
        migrate(target)
        client = connect(target)
        load_prices(client)
        client.command("ALTER TABLE spans MODIFY COLUMN user_id CODEC(NONE)")
        removals = Removals(target)
        removals.start()
        store = Store(target, Settings(), removals=removals)

        def put(sent, table="spans"):
            body = sent.SerializeToString()
            good = check(body, 32, TABLES[table]).spans
            return store.insert([Request(body, "default", time.time_ns(), good, table=table)])

        def files_with_canary():
            command = ["grep", "-rlaF", "canary-of-ada", str(tmp_path)]
            return subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()

        trace, other = secrets.token_bytes(16), secrets.token_bytes(16)
        sent = request(llm_span(trace, user__id="canary-of-ada"), llm_span(other))
        put(sent)
        put(logs_request(record(trace)), "logs")
        assert files_with_canary()
        app = create_app(target, Settings(), CollectorRegistry())
        with TestClient(app, base_url="http://localhost") as api:
            told = api.post(PATH, json={"user": "canary-of-ada", "reason": "art. 17"}).json()
            assert (told["state"], told["traces"], told["spans"], told["logs"]) == ("hidden", 1, 1, 1), told
            assert api.get(f"/api/v1/traces/{trace.hex()}").status_code == 404
            assert api.get(f"/api/v1/traces/{other.hex()}").status_code == 200
            # The collector hears of it within a second.
            wait_until(lambda: removals.now().of("default", 0).last == 1, 10)
            again = put(sent)
            assert (again.rows, again.left_out[0].deleted) == (1, 1)
            wait_until(lambda: api.get(f"{PATH}/{told['id']}").json()["state"] == "done", 60)
            assert files_with_canary() == []

            old = llm_span()
            old.start_time_unix_nano = time.time_ns() - 10 * DAY_NS
            put(request(old))
            assert api.put("/api/v1/retention", json={"days": 5}).json()["days"] == 5
            wait_until(lambda: api.get(f"/api/v1/traces/{old.trace_id.hex()}").status_code == 404, 20)
            wait_until(lambda: removals.now().days_of("default") == 5, 10)
            assert put(request(old)).left_out[0].expired == 1
        store.close()
        client.close()
        removals.stop()
