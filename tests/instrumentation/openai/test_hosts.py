"""Who answers: told by the client's class, then by the host, then by the port (case 26)."""

import json
from decimal import Decimal
from typing import Any

import genai_prices
import httpx2
import openai
import pytest

from tests.instrumentation.conventions import check
from tests.instrumentation.openai.conftest import KEY

HELLO: list[Any] = [{"role": "user", "content": "hello"}]
USAGE = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}


def answering(base_url: str, model: str) -> openai.OpenAI:
    """A client of this address, whose connection ends here."""

    def answer(_request: httpx2.Request) -> httpx2.Response:
        choice = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}
        head = {"id": "c-1", "object": "chat.completion", "created": 1, "model": model}
        body = {**head, "choices": [choice], "usage": USAGE}
        return httpx2.Response(200, json=body)

    client = httpx2.Client(transport=httpx2.MockTransport(answer))
    return openai.OpenAI(base_url=base_url, api_key="k", max_retries=0, http_client=client)


@pytest.mark.parametrize(
    ("base_url", "provider", "model", "price_provider"),
    [
        ("https://api.openai.com/v1", "openai", "gpt-4o-mini", "openai"),
        ("https://eu.api.openai.com/v1", "openai", "gpt-4o-mini", "openai"),
        ("https://our.openai.azure.com/openai/v1", "azure.ai.openai", "gpt-4o-mini", "azure"),
        ("https://api.groq.com/openai/v1", "groq", "llama-3.3-70b-versatile", "groq"),
        ("https://api.deepseek.com", "deepseek", "deepseek-chat", "deepseek"),
        ("https://openrouter.ai/api/v1", "openrouter", "openai/gpt-4o-mini", "openrouter"),
        ("https://api.together.xyz/v1", "together", "meta-llama/Llama-3.3-70B-Instruct-Turbo", "together"),
        ("https://api.x.ai/v1", "x_ai", "grok-4", "x-ai"),
        ("https://api.mistral.ai/v1", "mistral_ai", "mistral-large-latest", "mistral"),
        ("https://api.perplexity.ai", "perplexity", "sonar", "perplexity"),
        ("https://api.fireworks.ai/inference/v1", "fireworks", "deepseek-v3", None),
        ("https://api.cerebras.ai/v1", "cerebras", "llama3.1-8b", "cerebras"),
        ("http://127.0.0.1:11434/v1", "ollama", "llama3.2", None),
        ("http://gpu.example:8000/v1", "openai", "my-own-model", None),
    ],
)
def test_case_26_the_host_names_the_provider_and_so_the_price(
    spans, base_url, provider, model, price_provider
):
    """Case 26: everything behind the SDK is called openai elsewhere."""
    with answering(base_url, model) as client:
        client.chat.completions.create(model=model, messages=HELLO)
    span = spans.one()
    check(span, "chat")
    assert span.attributes["gen_ai.provider.name"] == provider
    assert span.attributes["server.address"] == httpx2.URL(base_url).host
    if price_provider is None:
        assert span.attributes["spanledger.cost.reason"] in {"unknown_model", "unknown_provider"}
        return
    price = genai_prices.calc_price(
        genai_prices.Usage(input_tokens=1000, output_tokens=100), model, provider_id=price_provider
    )
    assert Decimal(span.attributes["spanledger.cost.total"]) == price.total_price


def chunk(usage: Any = None, **more: Any) -> str:
    choice = {"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return json.dumps({**head, "usage": usage, **more})


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (chunk(x_groq={"usage": {"prompt_tokens": 5, "completion_tokens": 7}}), (5, 7, None, None)),
        (
            chunk({"prompt_tokens": 50, "completion_tokens": 7, "prompt_cache_hit_tokens": 40}),
            (50, 7, 40, None),
        ),
        (chunk({"prompt_tokens": 50, "completion_tokens": 7, "cached_tokens": 40}), (50, 7, 40, None)),
        (
            chunk(
                {
                    "prompt_tokens": 32,
                    "completion_tokens": 9,
                    "total_tokens": 135,
                    "completion_tokens_details": {"reasoning_tokens": 94},
                }
            ),
            (32, 103, None, 94),
        ),
        (
            chunk(
                {
                    "prompt_tokens": 32,
                    "completion_tokens": 103,
                    "total_tokens": 135,
                    "completion_tokens_details": {"reasoning_tokens": 94},
                }
            ),
            (32, 103, None, 94),
        ),
    ],
    ids=["groq", "deepseek", "moonshot", "xai", "openai"],
)
def test_usage_is_read_in_the_forms_of_other_providers(spans, canned, event, expected):
    list(canned(events=[event, "[DONE]"]).chat.completions.create(model="m", messages=HELLO, stream=True))
    keys = ("input_tokens", "output_tokens", "cache_read.input_tokens", "reasoning.output_tokens")
    assert tuple(spans.one().attributes.get(f"gen_ai.usage.{key}") for key in keys) == expected


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
@pytest.mark.parametrize("stream", [False, True])
def test_what_a_model_of_another_provider_thought_is_a_part_of_its_answer(
    spans_with_content, canned, name, stream
):
    message = {"role": "assistant", "content": "Lisbon", name: "A harbour."}
    if stream:
        deltas = [{**message, "content": None}, {"content": "Lisbon"}]
        client = canned(events=[chunk(choices=[{"index": 0, "delta": delta}]) for delta in deltas])
        list(client.chat.completions.create(model="m", messages=HELLO, stream=True))
    else:
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        client = canned({"id": "c", "object": "chat.completion", "model": "m", "choices": [choice]})
        client.chat.completions.create(model="m", messages=HELLO)
    (answer,) = json.loads(spans_with_content.one().attributes["gen_ai.output.messages"])
    assert answer["parts"] == [
        {"type": "reasoning", "content": "A harbour."},
        {"type": "text", "content": "Lisbon"},
    ]


@pytest.fixture
def azure(api):
    with openai.AzureOpenAI(
        azure_endpoint=api.root_url, api_key=KEY, api_version="2025-01-01-preview", max_retries=0
    ) as client:
        yield client


def test_case_26_every_endpoint_of_azure_is_azure(spans, azure):
    """Case 26: the class decides, wherever it is pointed to."""
    azure.embeddings.create(model="text-embedding-3-small", input="x")
    azure.images.generate(model="gpt-image-1", prompt="x")
    azure.audio.speech.create(model="tts-1", voice="alloy", input="x")
    azure.audio.transcriptions.create(model="whisper-1", file=("a.wav", b"RIFF"))
    azure.responses.create(model="gpt-4o-mini", input="x")
    list(azure.responses.create(model="gpt-4o-mini", input="x", stream=True))
    assert {span.attributes["gen_ai.provider.name"] for span in spans.all()} == {"azure.ai.openai"}
    assert len(spans.all()) == 6
    priced = [span for span in spans.all() if "spanledger.cost.total" in span.attributes]
    assert len(priced) == 6


def test_case_26_a_deployment_is_priced_by_the_model_that_answered(spans, azure):
    azure.chat.completions.create(
        model="our-own-name", messages=HELLO, extra_headers={"x-stub-model": "gpt-4o-mini-2024-07-18"}
    )
    attributes = spans.one().attributes
    assert attributes["gen_ai.request.model"] == "our-own-name"
    assert Decimal(attributes["spanledger.cost.total"]) > 0
