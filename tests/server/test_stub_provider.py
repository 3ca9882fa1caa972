"""The stub answers an unmodified OpenAI client by rules that can be computed by hand."""

from collections.abc import Iterator
from typing import Any

import openai
import pydantic
import pytest

from spanledger.server import stub_provider

HELLO: list[Any] = [{"role": "user", "content": "hello there, Lisbon"}]
TOOL: Any = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"properties": {"city": {"type": "string"}}}},
}


@pytest.fixture(scope="module")
def stub() -> Iterator[stub_provider.StubProvider]:
    with stub_provider.running() as running:
        yield running


@pytest.fixture
def client(stub: stub_provider.StubProvider) -> Iterator[openai.OpenAI]:
    stub.forget()
    with openai.OpenAI(base_url=stub.base_url, api_key="k", max_retries=0) as made:
        yield made


def test_tokens_are_words_and_punctuation_plus_three_a_message(client, stub):
    completion = client.chat.completions.create(model="gpt-4o-mini", messages=HELLO)
    assert completion.choices[0].message.content == "You said: hello there, Lisbon"
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (4 + 3, 7)
    (call,) = stub.calls()
    assert call == {
        "id": completion.id,
        "model": "gpt-4o-mini-2024-07-18",
        "request_model": "gpt-4o-mini",
        "stream": False,
        "usage": completion.usage.model_dump(exclude_none=True),
    }


def test_a_long_first_message_is_cached_the_second_time(client):
    messages = [{"role": "system", "content": "word " * 40}, *HELLO]
    cached = [
        client.chat.completions.create(
            model="gpt-4.1", messages=messages
        ).usage.prompt_tokens_details.cached_tokens
        for _round in range(2)
    ]
    assert cached == [0, 43]


def test_models_that_reason_use_reasoning_tokens(client):
    usage = client.chat.completions.create(model="gpt-5-mini", messages=HELLO).usage
    assert usage.completion_tokens_details.reasoning_tokens == 16
    assert usage.completion_tokens == 7 + 16


@pytest.mark.parametrize("include_usage", [True, False])
def test_a_stream_has_the_same_text_and_usage_only_when_asked(client, stub, include_usage):
    options = {"include_usage": True} if include_usage else openai.omit
    chunks = list(
        client.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True, stream_options=options)
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "You said: hello there, Lisbon"
    assert (chunks[-1].usage is not None) == include_usage
    assert (chunks[-1].choices == []) == include_usage
    assert stub.calls()[-1]["usage"]["completion_tokens"] == 7


def test_tools_are_called_first_and_answered_with_text_afterwards(client):
    first = client.chat.completions.create(
        model="gpt-4o", messages=HELLO, tools=[TOOL], extra_headers={"x-stub-parallel-tools": "2"}
    ).choices[0]
    assert first.finish_reason == "tool_calls"
    assert [call.function.arguments for call in first.message.tool_calls] == ['{"city": "Lisbon"}'] * 2
    answer = {"role": "tool", "tool_call_id": "call_stub_0", "content": "sunny"}
    history = [*HELLO, first.message.model_dump(exclude_none=True), answer]
    second = client.chat.completions.create(model="gpt-4o", messages=history, tools=[TOOL]).choices[0]
    assert (second.finish_reason, second.message.content) == ("stop", "The tool says: sunny")


def test_structured_output_fits_its_schema(client):
    class Leg(pydantic.BaseModel):
        to: str
        hours: float

    class Trip(pydantic.BaseModel):
        legs: list[Leg]
        paid: bool

    parsed = client.chat.completions.parse(model="gpt-4o", messages=HELLO, response_format=Trip)
    assert parsed.choices[0].message.parsed == Trip(legs=[Leg(to="Lisbon", hours=1.0)], paid=True)


def test_a_failure_can_be_limited_to_the_first_calls_of_a_key(client, stub):
    headers = {"x-stub-status": "429", "x-stub-times": "1", "x-stub-key": "k1"}
    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(model="gpt-4o", messages=HELLO, extra_headers=headers)
    assert client.chat.completions.create(model="gpt-4o", messages=HELLO, extra_headers=headers).id
    assert len(stub.calls()) == 1


def test_streams_break_when_asked_to(client):
    for header, error in (
        ("x-stub-break-after", openai.APIConnectionError),
        ("x-stub-error-after", openai.APIError),
    ):
        stream = client.chat.completions.create(
            model="gpt-4o", messages=HELLO, stream=True, extra_headers={header: "2"}
        )
        with pytest.raises(error):
            list(stream)


def test_models_are_listed(client):
    assert {"gpt-4o", "gpt-5-mini"} <= {model.id for model in client.models.list()}
