"""The same on a ClickHouse server: what is set, loaded and explained goes over its HTTP protocol."""

from __future__ import annotations

import json
import time

import pytest
from otlp_requests import llm_span, request
from processes import running_clickhouse
from prometheus_client import CollectorRegistry
from starlette.testclient import TestClient

from spanledger.collector.gate import check
from spanledger.collector.rows.block import Request
from spanledger.collector.store import Store
from spanledger.query_api.app import create_app
from spanledger.schemas.database import connect, migrate, parse_target
from spanledger.schemas.prices import load_prices
from spanledger.schemas.settings import Settings

LITELLM = {
    "house/house-model": {
        "litellm_provider": "house",
        "input_cost_per_token": 1e-06,
        "output_cost_per_token": 0,
    }
}


@pytest.mark.slow
def test_prices_are_set_loaded_and_explained_on_a_server(tmp_path):
    with running_clickhouse(tmp_path) as clickhouse:
        target = parse_target(clickhouse.url)
        migrate(target)
        client = connect(target)
        load_prices(client)
        client.close()
        sent = llm_span(model="house-model", provider="house")
        body = request(sent).SerializeToString()
        store = Store(target, Settings())
        store.insert([Request(body, "default", time.time_ns(), check(body, 32).spans, False)])
        store.close()
        with TestClient(
            create_app(target, Settings(), CollectorRegistry()), base_url="http://localhost"
        ) as api:
            cost = f"/api/v1/spans/{sent.trace_id.hex()}/{sent.span_id.hex()}/cost"
            assert api.get(cost).json()["today"]["reason"] == "unknown_provider"
            [row] = api.get("/api/v1/prices/unpriced").json()["models"]
            assert (row["model"], row["calls"], row["input_tokens"]) == ("house-model", 1, 1000)
            taken = api.post(
                "/api/v1/prices/import", params={"source": "litellm"}, content=json.dumps(LITELLM)
            )
            assert taken.json()["loaded"] is True, taken.text
            assert api.get(cost).json()["would_be_usd"] == "0.001"
            override = {
                "match_value": "house-model",
                "discount_percent": "50",
                "valid_from": "2026-01-01T00:00:00Z",
            }
            made = api.post("/api/v1/prices/overrides", json=override).json()
            found = api.get(cost).json()
            assert (found["would_be_usd"], found["today"]["entry"]["overrides"]) == ("0.0005", [made["id"]])
            assert api.delete(f"/api/v1/prices/overrides/{made['id']}").status_code == 200
            assert api.get(cost).json()["would_be_usd"] == "0.001"
            assert (
                api.get("/api/v1/prices", params={"provider": "house"}).json()["models"][0]["model"]
                == "house/house-model"
            )
            assert api.get("/api/v1/prices/reprices").json() == {"runs": []}
