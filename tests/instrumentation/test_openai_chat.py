"""What one chat completion leaves behind, when it succeeds and when it fails."""

import asyncio
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import genai_prices
import openai
import pydantic
import pytest
from opentelemetry.trace import SpanKind, StatusCode

from spanledger.instrumentation import session, user
from spanledger.instrumentation.invocation import error_message
from spanledger.server import stub_provider
from tests.instrumentation.conventions import check

pytestmark = pytest.mark.usefixtures("by_the_conventions")

HELLO: list[Any] = [{"role": "user", "content": "hello there Lisbon"}]


def test_a_completion_is_one_client_span_by_the_conventions(spans, client, stub):
    client.chat.completions.create(
        model="gpt-4o-mini",
        messages=HELLO,
        temperature=0,
        top_p=1,
        max_completion_tokens=50,
        seed=7,
        n=2,
        stop="END",
        frequency_penalty=0.5,
        presence_penalty=0,
        service_tier="priority",
        response_format={"type": "text"},
    )
    span = spans.one()
    check(span, "chat")
    answered = stub.calls()[-1]
    assert (span.name, span.kind, span.status.status_code) == (
        "chat gpt-4o-mini",
        SpanKind.CLIENT,
        StatusCode.UNSET,
    )
    assert span.instrumentation_scope.name == "spanledger.instrumentation.providers.openai"
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.request.temperature": 0.0,
        "gen_ai.request.top_p": 1.0,
        "gen_ai.request.max_tokens": 50,
        "gen_ai.request.seed": 7,
        "gen_ai.request.choice.count": 2,
        "gen_ai.request.stop_sequences": ("END",),
        "gen_ai.request.frequency_penalty": 0.5,
        "gen_ai.request.presence_penalty": 0.0,
        "gen_ai.output.type": "text",
        "gen_ai.response.id": answered["id"],
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
        "gen_ai.response.finish_reasons": ("stop", "stop"),
        "openai.api.type": "chat_completions",
        "openai.request.service_tier": "priority",
        "openai.response.service_tier": "priority",
        "openai.response.system_fingerprint": "fp_stub",
        "server.address": "127.0.0.1",
    }
    assert expected.items() <= dict(span.attributes).items()
    assert isinstance(span.attributes["server.port"], int)
    assert isinstance(span.attributes["gen_ai.request.temperature"], float)
    assert "gen_ai.request.stream" not in span.attributes
    assert "gen_ai.response.time_to_first_chunk" not in span.attributes


def test_tokens_are_those_the_provider_reported_details_included(spans, client, stub):
    client.chat.completions.create(
        model="o3-mini",
        messages=HELLO,
        extra_headers={"x-stub-cached-tokens": "4", "x-stub-audio-tokens": "2"},
    )
    usage, attributes = stub.calls()[-1]["usage"], spans.one().attributes
    assert attributes["gen_ai.usage.input_tokens"] == usage["prompt_tokens"]
    assert attributes["gen_ai.usage.output_tokens"] == usage["completion_tokens"]
    assert attributes["gen_ai.usage.cache_read.input_tokens"] == 4
    assert attributes["gen_ai.usage.reasoning.output_tokens"] == 16
    assert attributes["gen_ai.usage.audio.input_tokens"] == 2


@pytest.mark.parametrize("tier", [None, "priority", "flex"])
@pytest.mark.parametrize("model", ["gpt-4o-mini", "o3-mini"])
def test_cost_is_what_genai_prices_calculates_to_the_last_digit(spans, client, stub, model, tier):
    client.chat.completions.create(
        model=model,
        messages=HELLO,
        extra_headers={"x-stub-cached-tokens": "4"},
        **({"service_tier": tier} if tier else {}),
    )
    usage, attributes = stub.calls()[-1]["usage"], spans.one().attributes
    price = genai_prices.calc_price(
        genai_prices.Usage(
            input_tokens=usage["prompt_tokens"], output_tokens=usage["completion_tokens"], cache_read_tokens=4
        ),
        stub_provider.MODELS[model],
        provider_id="openai",
        genai_request_timestamp=datetime.now(UTC),
        price_context={"service_tier": tier} if tier else None,
    )
    assert Decimal(attributes["spanledger.cost.total"]) == price.total_price
    assert Decimal(attributes["spanledger.cost.input"]) == price.input_price
    assert Decimal(attributes["spanledger.cost.output"]) == price.output_price
    assert attributes["gen_ai.usage.cost.amount"] == float(price.total_price)
    assert attributes["gen_ai.usage.cost.currency"] == "USD"
    assert attributes["gen_ai.usage.cost.source"] == "local"
    assert attributes["spanledger.cost.price_version"].startswith("genai-prices/")
    assert "E" not in attributes["spanledger.cost.total"].upper()
    assert "spanledger.cost.reason" not in attributes


@pytest.mark.parametrize(
    ("model", "headers", "reason"),
    [
        ("gpt-4o-mini", {"x-stub-no-usage": "1"}, "no_usage"),
        ("a-model-of-nobody", {}, "unknown_model"),
    ],
)
def test_a_call_without_a_price_says_why_and_never_claims_zero(spans, client, model, headers, reason):
    client.chat.completions.create(model=model, messages=HELLO, extra_headers=headers)
    attributes = spans.one().attributes
    assert attributes["spanledger.cost.reason"] == reason
    assert not [
        key for key in attributes if key.startswith("gen_ai.usage.cost") or key == "spanledger.cost.total"
    ]
    assert ("gen_ai.usage.input_tokens" in attributes) == (reason != "no_usage")


def test_more_cached_tokens_than_input_tokens_neither_fails_nor_costs_less_than_nothing(spans, client):
    client.chat.completions.create(
        model="gpt-4o-mini", messages=HELLO, extra_headers={"x-stub-cached-tokens": "900"}
    )
    attributes = spans.one().attributes
    assert attributes["gen_ai.usage.cache_read.input_tokens"] == 900
    assert Decimal(attributes["spanledger.cost.total"]) > 0
    spans.clear()  # what this provider claims is against the conventions, and recorded as it claims it


def test_an_async_completion_records_the_same(spans, make_async_client):
    async def run() -> Any:
        async with make_async_client() as client:
            return await client.chat.completions.create(model="gpt-4o-mini", messages=HELLO)

    completion = asyncio.run(run())
    attributes = spans.one().attributes
    assert attributes["gen_ai.response.id"] == completion.id
    assert attributes["gen_ai.usage.input_tokens"] == completion.usage.prompt_tokens


@pytest.mark.parametrize(
    ("status", "error", "named"),
    [
        (401, openai.AuthenticationError, "openai.AuthenticationError"),
        (429, openai.RateLimitError, "openai.RateLimitError"),
        (500, openai.InternalServerError, "openai.InternalServerError"),
        (418, openai.APIStatusError, "418"),
    ],
)
def test_a_refused_call_is_an_error_span_with_its_request_and_the_users_own_exception(
    spans, client, status, error, named
):
    with pytest.raises(error) as raised:
        client.chat.completions.create(
            model="gpt-4o-mini", messages=HELLO, temperature=0.5, extra_headers={"x-stub-status": str(status)}
        )
    span = spans.one()
    assert raised.value.status_code == status
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == named
    assert span.attributes["server.address"] == "127.0.0.1"
    assert span.attributes["gen_ai.request.temperature"] == 0.5
    assert span.attributes["spanledger.cost.reason"] == "no_usage"
    # The exception's traceback ends where it does without us: in the SDK.
    assert raised.traceback[-1].path.parts[-2] == "openai"


def test_a_provider_that_cannot_be_reached_is_an_error_span(spans):
    with (
        openai.OpenAI(base_url="http://127.0.0.1:1/v1", api_key="k", max_retries=0) as client,
        pytest.raises(openai.APIConnectionError),
    ):
        client.chat.completions.create(model="gpt-4o-mini", messages=HELLO)
    span = spans.one()
    assert span.attributes["error.type"] == "openai.APIConnectionError"
    assert span.attributes["server.port"] == 1


def test_a_timeout_is_an_error_span(spans, client):
    with pytest.raises(openai.APITimeoutError):
        client.chat.completions.create(
            model="gpt-4o-mini", messages=HELLO, timeout=0.05, extra_headers={"x-stub-delay-ms": "1000"}
        )
    assert spans.one().attributes["error.type"] == "openai.APITimeoutError"


def test_a_cancelled_await_is_one_error_span_and_stays_cancelled(spans, make_async_client):
    async def run() -> None:
        async with make_async_client() as client:
            task = asyncio.create_task(
                client.chat.completions.create(
                    model="gpt-4o-mini", messages=HELLO, extra_headers={"x-stub-delay-ms": "2000"}
                )
            )
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert task.cancelled()

    asyncio.run(run())
    span = spans.one()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == "asyncio.exceptions.CancelledError"


def test_the_retries_of_the_sdk_are_one_call(spans, stub):
    headers = {"x-stub-status": "500", "x-stub-times": "1", "x-stub-key": "sdk-retry"}
    with openai.OpenAI(base_url=stub.base_url, api_key="k", max_retries=1) as client:
        client.chat.completions.create(model="gpt-4o-mini", messages=HELLO, extra_headers=headers)
    assert spans.one().status.status_code is StatusCode.UNSET


class Trip(pydantic.BaseModel):
    city: str
    days: int


class Impossible(pydantic.BaseModel):
    city: int


def test_parse_returns_the_users_model_and_records_json_output(spans, client):
    completion = client.chat.completions.parse(model="gpt-4o-mini", messages=HELLO, response_format=Trip)
    assert completion.choices[0].message.parsed == Trip(city="Lisbon", days=1)
    attributes = spans.one().attributes
    assert attributes["gen_ai.output.type"] == "json"
    assert attributes["gen_ai.usage.output_tokens"] == completion.usage.completion_tokens


def test_an_answer_that_does_not_parse_still_has_its_tokens_and_cost_and_leaks_no_content(
    spans, client, stub
):
    with pytest.raises(pydantic.ValidationError):
        client.chat.completions.parse(
            model="gpt-4o-mini",
            messages=HELLO,
            response_format=Impossible,
            extra_headers={"x-stub-text": '{"city": "a secret place"}'},
        )
    span = spans.one()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["gen_ai.usage.output_tokens"] == stub.calls()[-1]["usage"]["completion_tokens"]
    assert Decimal(span.attributes["spanledger.cost.total"]) > 0
    assert "secret" not in span.to_json()


def test_azure_is_azure_and_a_deployment_is_priced_by_the_model_that_answered(spans, stub):
    with openai.AzureOpenAI(
        azure_endpoint=stub.root_url, api_key="k", api_version="2025-01-01-preview", max_retries=0
    ) as client:
        client.chat.completions.create(
            model="our-deployment", messages=HELLO, extra_headers={"x-stub-model": "gpt-4o-2024-08-06"}
        )
    attributes = spans.one().attributes
    assert attributes["gen_ai.provider.name"] == "azure.ai.openai"
    assert attributes["gen_ai.request.model"] == "our-deployment"
    assert attributes["gen_ai.response.model"] == "gpt-4o-2024-08-06"
    assert Decimal(attributes["spanledger.cost.total"]) > 0


def test_another_provider_behind_the_same_client_is_named_and_priced_as_itself(spans, canned):
    body = {
        "id": "c1",
        "model": "deepseek-chat",
        "object": "chat.completion",
        "created": 1,
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 10, "total_tokens": 1010},
    }
    canned(body, base_url="https://api.deepseek.com/v1").chat.completions.create(
        model="deepseek-chat", messages=HELLO
    )
    attributes = spans.one().attributes
    assert attributes["gen_ai.provider.name"] == "deepseek"
    assert attributes["server.address"] == "api.deepseek.com"
    assert attributes["server.port"] == 443
    assert Decimal(attributes["spanledger.cost.total"]) > 0


def test_parameters_that_were_not_given_leave_no_attribute_and_no_warning(spans, client, warnings_logged):
    client.chat.completions.create(
        model="gpt-4o-mini", messages=HELLO, temperature=openai.NOT_GIVEN, user=openai.omit, tools=openai.omit
    )
    attributes = spans.one().attributes
    assert not {"gen_ai.request.temperature", "user.id", "gen_ai.request.seed"} & set(attributes)
    assert warnings_logged() == []


def test_the_user_of_the_request_is_the_user_unless_the_context_names_one(spans, client):
    client.chat.completions.create(model="gpt-4o-mini", messages=HELLO, user="from-request")
    with user("from-context"), session("s-1"):
        client.chat.completions.create(model="gpt-4o-mini", messages=HELLO, user="from-request")
    first, second = spans.all()
    assert first.attributes["user.id"] == "from-request"
    assert "gen_ai.conversation.id" not in first.attributes
    assert second.attributes["user.id"] == "from-context"
    assert second.attributes["gen_ai.conversation.id"] == second.attributes["session.id"] == "s-1"


def test_by_default_no_prompt_no_answer_and_no_key_is_recorded(spans, client):
    client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "my secret wish"}]
    )
    with pytest.raises(openai.AuthenticationError):
        client.chat.completions.create(
            model="gpt-4o-mini", messages=HELLO, extra_headers={"x-stub-status": "401"}
        )
    everything = "".join(span.to_json() for span in spans.all())
    assert "secret" not in everything
    assert "sk-test" not in everything
    assert "messages" not in everything


def test_a_key_that_the_provider_echoes_in_its_refusal_is_masked():
    error = ValueError("Incorrect API key provided: sk-live-0123456789. Sent: Bearer abcdefghijkl")
    message = error_message(error)
    assert "0123456789" not in message
    assert "abcdefghijkl" not in message
    assert message.startswith("Incorrect API key provided: sk-***")


def test_messages_from_a_generator_reach_the_provider_whole(spans, client):
    completion = client.chat.completions.create(model="gpt-4o-mini", messages=(message for message in HELLO))
    assert completion.choices[0].message.content == "You said: hello there Lisbon"
    assert spans.one().attributes["gen_ai.usage.input_tokens"] == 6


def test_a_response_of_an_unknown_shape_reaches_the_user_and_leaves_a_span_without_tokens(
    spans, canned, warnings_logged
):
    odd = {
        "choices": "none",
        "usage": {"prompt_tokens": "many", "completion_tokens": -3},
        "id": 5,
        "model": [1],
    }
    canned(odd).chat.completions.create(model="gpt-4o-mini", messages=HELLO)
    canned(odd).chat.completions.create(model="gpt-4o-mini", messages=HELLO)
    assert len(spans.all()) == 2
    assert "gen_ai.usage.input_tokens" not in spans.all()[0].attributes
    assert len(warnings_logged()) <= 1


def test_a_reader_that_breaks_warns_once_and_never_reaches_the_user(
    spans, client, monkeypatch, warnings_logged
):
    from spanledger.instrumentation.providers import openai_chat

    def broken(*_args: Any) -> Any:
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr(openai_chat, "read_usage", broken)
    for _ in range(3):
        assert client.chat.completions.create(model="gpt-4o-mini", messages=HELLO).usage is not None
    assert len(spans.all()) == 3
    assert len(warnings_logged()) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_when_no_span_can_be_started_the_call_is_made_all_the_same(
    spans, client, monkeypatch, warnings_logged, stream
):
    def broken(*_args: Any, **_kwargs: Any) -> Any:
        raise RuntimeError("no tracer today")

    monkeypatch.setattr(spans.provider, "get_tracer", broken)
    for _ in range(2):
        answer = client.chat.completions.create(model="gpt-4o-mini", messages=HELLO, stream=stream)
        assert list(answer)
    assert spans.all() == []
    assert len(warnings_logged()) == 1


def test_a_stream_of_an_sdk_with_other_insides_is_handed_on_and_leaves_a_span(
    spans, client, monkeypatch, warnings_logged
):
    from spanledger.instrumentation.providers import stainless

    def broken(*_args: Any) -> None:
        raise AttributeError("_iterator")

    monkeypatch.setattr(stainless, "watch_stream", broken)
    stream = client.chat.completions.create(model="gpt-4o-mini", messages=HELLO, stream=True)
    assert len(list(stream)) > 1
    assert spans.one().attributes["spanledger.cost.reason"] == "no_usage"
    assert len(warnings_logged()) == 1


def test_other_endpoints_pass_through_untouched(spans, client):
    assert any(model.id == "gpt-4o" for model in client.models.list())
    assert spans.all() == []


def test_the_whole_span_can_be_encoded_even_with_broken_text(make_recorded, canned):
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

    spans = make_recorded(capture_content=True)
    with session("s\ud800"):
        canned({"id": "x", "choices": []}).chat.completions.create(model="m", messages=HELLO)
    assert json.loads(spans.one().attributes["gen_ai.input.messages"])
    assert encode_spans(spans.all()).SerializeToString()
