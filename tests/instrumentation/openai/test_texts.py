"""Embeddings, legacy completions and moderations: one span each, by the conventions."""

import json
from decimal import Decimal
from typing import Any

import genai_prices
import openai
import pytest

from tests.instrumentation.conventions import check

pytestmark = pytest.mark.usefixtures("by_the_conventions")

EMBED: dict[str, Any] = {"model": "text-embedding-3-small", "input": ["hello there", "Lisbon"]}
COMPLETE: dict[str, Any] = {"model": "gpt-3.5-turbo-instruct", "prompt": "hello there Lisbon"}
WITH_USAGE: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}


def embed(client: Any, **more: Any) -> Any:
    return client.embeddings.create(**EMBED, **more)


def complete(client: Any, **more: Any) -> Any:
    return client.completions.create(**COMPLETE, **more)


@pytest.mark.parametrize("encoding", [None, "float", "base64"])
def test_embeddings_are_one_span_with_their_tokens_and_cost(spans, call, api, encoding):
    given = {"encoding_format": encoding} if encoding else {}
    answer = call(lambda client: embed(client, dimensions=8, user="ada", **given))
    span = spans.one()
    check(span, "embeddings")
    assert span.name == "embeddings text-embedding-3-small"
    assert span.attributes["gen_ai.usage.input_tokens"] == answer.usage.prompt_tokens == 3
    assert "gen_ai.usage.output_tokens" not in span.attributes
    assert span.attributes["gen_ai.embeddings.dimension.count"] == 8
    # What the user leaves open the SDK asks for as base64.
    assert span.attributes["gen_ai.request.encoding_formats"] == (encoding or "base64",)
    assert span.attributes["user.id"] == "ada"
    price = genai_prices.calc_price(
        genai_prices.Usage(input_tokens=3), "text-embedding-3-small", provider_id="openai"
    )
    assert Decimal(span.attributes["spanledger.cost.total"]) == price.total_price
    if encoding != "base64":
        assert answer.data[1].embedding == [0.25] * 8


def test_case_29_vectors_are_never_recorded(spans_with_content, call):
    """Case 29: vectors blow the size of spans elsewhere."""
    call(lambda client: embed(client, encoding_format="float"))
    span = spans_with_content.one()
    assert "0.25" not in span.to_json()
    assert json.loads(span.attributes["gen_ai.input.messages"]) == [
        {"role": "user", "parts": [{"type": "text", "content": text}]} for text in EMBED["input"]
    ]


def test_embeddings_of_token_numbers_have_no_text(spans_with_content, client):
    client.embeddings.create(model="text-embedding-3-small", input=[1, 2, 3])
    assert "gen_ai.input.messages" not in spans_with_content.one().attributes


def test_case_1_raw_embeddings(spans, call):
    """Case 1 and 2: raw and streaming forms, whose vectors the user decodes as without us."""
    raw = call.parse(lambda client: client.embeddings.with_raw_response.create(**EMBED))
    assert raw.data[0].embedding == [0.25] * 4
    parsed = call.within(
        lambda client: client.embeddings.with_streaming_response.create(**EMBED),
        lambda response: response.parse(),
    )
    assert parsed.data[0].embedding == [0.25] * 4
    assert [span.attributes["gen_ai.usage.input_tokens"] for span in spans.all()] == [3, 3]


def test_refused_embeddings_are_one_error_span(spans, call):
    with pytest.raises(openai.AuthenticationError):
        call(lambda client: embed(client, extra_headers={"x-stub-status": "401"}))
    check(spans.one(), "embeddings")


def test_a_legacy_completion_is_a_text_completion(spans, call, api):
    answer = call(lambda client: complete(client, temperature=0, max_tokens=10, stop="END", n=1))
    span = spans.one()
    check(span, "text_completion")
    assert span.name == "text_completion gpt-3.5-turbo-instruct"
    assert span.attributes["gen_ai.response.id"] == answer.id
    assert span.attributes["gen_ai.usage.input_tokens"] == api.last()["usage"]["prompt_tokens"]
    assert span.attributes["gen_ai.usage.output_tokens"] == api.last()["usage"]["completion_tokens"]
    assert span.attributes["gen_ai.request.max_tokens"] == 10
    assert span.attributes["gen_ai.request.stop_sequences"] == ("END",)
    assert Decimal(span.attributes["spanledger.cost.total"]) > 0


def test_a_streamed_completion_is_put_together(spans_with_content, call, api):
    chunks = call.read(lambda client: complete(client, **WITH_USAGE))
    text = "".join(chunk.choices[0].text for chunk in chunks if chunk.choices)
    assert text == "You said: hello there Lisbon"
    span = spans_with_content.one()
    check(span, "text_completion")
    assert span.attributes["gen_ai.usage.output_tokens"] == api.last()["usage"]["completion_tokens"]
    assert json.loads(span.attributes["gen_ai.output.messages"]) == [
        {
            "role": "assistant",
            "parts": [{"type": "text", "content": "You said: hello there Lisbon"}],
            "finish_reason": "stop",
        }
    ]
    (asked,) = json.loads(span.attributes["gen_ai.input.messages"])
    assert asked["parts"] == [{"type": "text", "content": COMPLETE["prompt"]}]


def test_raw_completions(spans, call):
    assert call.parse(lambda client: client.completions.with_raw_response.create(**COMPLETE)).choices
    assert call.parse(lambda client: client.completions.with_raw_response.create(**COMPLETE, **WITH_USAGE))
    usages = [span.attributes["gen_ai.usage.input_tokens"] for span in spans.all()]
    assert usages == [3, 3]


def test_a_moderation_has_a_span_and_neither_tokens_nor_cost(spans_with_content, call):
    parts = [
        {"type": "text", "text": "hello"},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
    ]
    answer = call(lambda client: client.moderations.create(model="omni-moderation-latest", input=parts))
    span = spans_with_content.one()
    check(span, "moderation")
    assert answer.results[0].flagged is False
    assert span.attributes["gen_ai.response.model"] == "omni-moderation-latest"
    assert not [key for key in span.attributes if ".usage." in key or ".cost." in key]
    (message,) = json.loads(span.attributes["gen_ai.input.messages"])
    assert [part["type"] for part in message["parts"]] == ["text", "uri"]


def test_a_raw_moderation_without_a_model(spans, call):
    assert call.parse(lambda client: client.moderations.with_raw_response.create(input="hello")).results
    check(spans.one(), "moderation", without={"gen_ai.request.model"})
