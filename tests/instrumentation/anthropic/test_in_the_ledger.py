"""The ledger reads our spans as they were meant: what it works out by itself is what the call cost."""

from typing import Any

import anthropic
import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

from tests.instrumentation.anthropic.asking import ASK, STREAM, plan
from tests.instrumentation.anthropic.prices import price_of

AWS: dict[str, Any] = {"aws_access_key": "a", "aws_secret_key": "b", "aws_region": "us-east-1"}
GOOGLE: dict[str, Any] = {"region": "us-east5", "project_id": "p", "access_token": "t"}
KEPT = {"ephemeral_5m_input_tokens": 4000, "ephemeral_1h_input_tokens": 6000}
USAGE: dict[str, Any] = {
    "input_tokens": 500,
    "cache_read_input_tokens": 90_000,
    "cache_creation_input_tokens": 10_000,
    "cache_creation": KEPT,
    "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 0},
}


@pytest.fixture
def stored(ingest: Any, reader: Any, project: str) -> Any:
    """What the ledger holds of some spans, by response id."""

    def store(spans: Any) -> dict[str, Any]:
        ingest(encode_spans(spans))
        rows = reader.query(
            "SELECT response_id, input_tokens, output_tokens, cost_computed_usd, cost_usd FROM spans"
            " WHERE project = {project:String}",
            parameters={"project": project},
        ).result_rows
        return {row[0]: row[1:] for row in rows}

    return store


def test_the_ledger_works_out_the_same_cost(spans, client, url, stub, stored):
    """Cache writes of both kinds, searches, batches, speed, and the regions of Bedrock."""
    providers = []
    client.messages.create(**ASK, extra_headers=plan(usage=USAGE))
    list(client.messages.create(**STREAM, extra_headers=plan(usage=USAGE)))
    client.messages.create(**{**ASK, "model": "claude-opus-4-8"}, extra_headers=plan(usage={"speed": "fast"}))
    batch = client.messages.batches.create(requests=[{"custom_id": "a", "params": ASK}])
    list(client.messages.batches.results(batch.id))
    providers += ["anthropic"] * 4
    with anthropic.AnthropicVertex(base_url=url, **GOOGLE) as vertex:
        vertex.messages.create(**{**ASK, "model": "claude-sonnet-4-5@20250929"})
    providers.append("anthropic")
    with anthropic.AnthropicBedrock(base_url=url, **AWS) as bedrock:
        for region in ("us", "global"):
            model = f"{region}.anthropic.claude-sonnet-4-5-20250929-v1:0"
            bedrock.messages.create(**{**ASK, "model": model})
            providers.append("aws")
    found = stored(spans.all())
    assert len(found) == len(stub.bills) == len(providers) == 7
    for billed, provider in zip(stub.bills, providers, strict=True):
        usage = billed["usage"]
        cached = usage["cache_read_input_tokens"] + usage["cache_creation_input_tokens"]
        expected = price_of(billed, provider)
        assert found[billed["id"]] == (
            usage["input_tokens"] + cached,
            usage["output_tokens"],
            expected,
            expected,
        ), billed
