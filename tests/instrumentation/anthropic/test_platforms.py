"""Bedrock, Vertex AI and Foundry through the clients of Anthropic's SDK (cases 17 and 26)."""

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import anthropic
import pytest
from opentelemetry.trace import StatusCode

from spanledger.instrumentation.providers.bedrock_models import model_of
from tests.instrumentation.anthropic.asking import ASK, plan
from tests.instrumentation.anthropic.prices import price_of

pytestmark = pytest.mark.usefixtures("by_the_conventions")

AWS: dict[str, Any] = {"aws_access_key": "a", "aws_secret_key": "b", "aws_region": "us-east-1"}
GOOGLE: dict[str, Any] = {"region": "us-east5", "project_id": "p", "access_token": "t"}
GLOBAL = "global.anthropic.claude-sonnet-4-5-20250929-v1:0"
REGIONAL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"


@pytest.fixture
def bedrock(url: str) -> Iterator[anthropic.AnthropicBedrock]:
    with anthropic.AnthropicBedrock(base_url=url, max_retries=0, **AWS) as made:
        yield made


def asking(model: str) -> dict[str, Any]:
    return {**ASK, "model": model}


@pytest.mark.parametrize("model", [GLOBAL, REGIONAL])
def test_bedrock_is_named_and_priced_by_the_id_that_was_asked_for(spans, bedrock, stub, model):
    """The answer names the model without its region, and regions differ in price."""
    message = bedrock.messages.create(**asking(model))
    attributes = spans.one().attributes
    assert message.model == "claude-sonnet-4-5-20250929"
    assert attributes["gen_ai.provider.name"] == "aws.bedrock"
    assert attributes["gen_ai.request.model"] == attributes["gen_ai.response.model"] == model
    assert Decimal(attributes["spanledger.cost.total"]) == price_of(stub.bills[-1], "aws")


def test_the_same_tokens_cost_more_in_a_region(spans, bedrock):
    costs = []
    for model in (GLOBAL, REGIONAL):
        bedrock.messages.create(**asking(model))
        costs.append(Decimal(spans.one().attributes["spanledger.cost.total"]))
        spans.clear()
    assert costs[1] == costs[0] * Decimal("1.1")


@pytest.mark.parametrize("form", ["stream", "raw stream", "helper"])
def test_streams_of_bedrock_are_one_span_with_usage(spans, bedrock, stub, form):
    ask = asking(GLOBAL)
    if form == "stream":
        assert list(bedrock.messages.create(**ask, stream=True))
    elif form == "raw stream":
        assert list(bedrock.messages.with_raw_response.create(**ask, stream=True).parse())
    else:
        with bedrock.messages.stream(**ask) as stream:
            assert stream.get_final_message().model == "claude-sonnet-4-5-20250929"
    attributes = spans.one().attributes
    assert attributes["gen_ai.usage.output_tokens"] == stub.bills[-1]["usage"]["output_tokens"]
    assert Decimal(attributes["spanledger.cost.total"]) == price_of(stub.bills[-1], "aws")


def test_an_error_in_a_raw_stream_of_bedrock_is_named(spans, bedrock):
    raw = bedrock.messages.with_raw_response.create(
        **asking(GLOBAL), stream=True, extra_headers=plan(error_after=3)
    )
    with pytest.raises(anthropic.APIError):
        list(raw.parse())
    span = spans.one()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == "modelStreamErrorException"


def test_async_bedrock(spans, url, stub):
    async def run() -> None:
        async with anthropic.AsyncAnthropicBedrock(base_url=url, max_retries=0, **AWS) as client:
            await client.messages.create(**asking(GLOBAL))
            async for _event in await client.messages.create(**asking(GLOBAL), stream=True):
                pass

    asyncio.run(run())
    assert [span.attributes["gen_ai.usage.output_tokens"] for span in spans.all()] == [
        billed["usage"]["output_tokens"] for billed in stub.bills
    ]
    assert {span.attributes["gen_ai.provider.name"] for span in spans.all()} == {"aws.bedrock"}


def test_vertex_is_named_and_priced(spans, url, stub):
    with anthropic.AnthropicVertex(base_url=url, max_retries=0, **GOOGLE) as client:
        client.messages.create(**asking("claude-sonnet-4-5@20250929"))
        list(client.messages.create(**asking("claude-sonnet-4-5@20250929"), stream=True))
    for span, billed in zip(spans.all(), stub.bills, strict=True):
        assert span.attributes["gen_ai.provider.name"] == "gcp.vertex_ai"
        assert span.attributes["gen_ai.usage.output_tokens"] == billed["usage"]["output_tokens"]
        assert Decimal(span.attributes["spanledger.cost.total"]) == price_of(billed)


def test_foundry_is_named_and_priced(spans, url, stub):
    with anthropic.AnthropicFoundry(base_url=url, api_key="k", max_retries=0) as client:
        client.messages.create(**ASK)
    attributes = spans.one().attributes
    assert attributes["gen_ai.provider.name"] == "azure.ai.inference"
    assert Decimal(attributes["spanledger.cost.total"]) == price_of(stub.bills[-1])


@pytest.mark.parametrize(
    ("identifier", "model"),
    [
        (GLOBAL, GLOBAL),
        ("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0", "amazon.nova-pro-v1:0"),
        (f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/{REGIONAL}", REGIONAL),
        ("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3", None),
        ("arn:aws:bedrock:us-east-1:123456789012:provisioned-model/a1b2c3", None),
        ("arn:aws:sagemaker:us-east-1:123456789012:endpoint/mine", None),
        ("arn:", None),
        ("", None),
        (None, None),
    ],
)
def test_the_model_that_an_identifier_of_bedrock_names(identifier, model):
    assert model_of(identifier) == model
