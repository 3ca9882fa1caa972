"""What one message of Anthropic's leaves behind, when it succeeds and when it fails."""

import asyncio
from decimal import Decimal
from typing import Any

import anthropic
import genai_prices
import pydantic
import pytest
from opentelemetry.trace import SpanKind, StatusCode

from spanledger.instrumentation import session, user
from tests.instrumentation.anthropic.asking import ASK, HELLO, MODEL, TOOLS, plan
from tests.instrumentation.anthropic.prices import price_of

pytestmark = pytest.mark.usefixtures("by_the_conventions")


def test_a_message_is_one_client_span_by_the_conventions(spans, client, stub):
    client.messages.create(
        **ASK,
        extra_body={"temperature": 0, "top_p": 1, "top_k": 40},
        stop_sequences=["END"],
        metadata={"user_id": "u-1"},
        output_config={"effort": "high"},
    )
    span, billed = spans.one(), stub.bills[-1]
    assert (span.name, span.kind, span.status.status_code) == (
        f"chat {MODEL}",
        SpanKind.CLIENT,
        StatusCode.UNSET,
    )
    assert span.instrumentation_scope.name == "spanledger.instrumentation.providers.anthropic"
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": MODEL,
        "gen_ai.request.max_tokens": 100,
        "gen_ai.request.temperature": 0.0,
        "gen_ai.request.top_p": 1.0,
        "gen_ai.request.top_k": 40,
        "gen_ai.request.stop_sequences": ("END",),
        "gen_ai.request.reasoning.level": "high",
        "gen_ai.response.id": billed["id"],
        "gen_ai.response.model": MODEL,
        "gen_ai.response.finish_reasons": ("end_turn",),
        "gen_ai.usage.input_tokens": billed["usage"]["input_tokens"],
        "gen_ai.usage.output_tokens": billed["usage"]["output_tokens"],
        "anthropic.response.service_tier": "standard",
        "server.address": "127.0.0.1",
        "user.id": "u-1",
    }
    assert expected.items() <= dict(span.attributes).items()
    assert isinstance(span.attributes["gen_ai.request.temperature"], float)
    assert "gen_ai.request.stream" not in span.attributes
    assert "gen_ai.response.time_to_first_chunk" not in span.attributes


def test_cache_reads_and_writes_are_part_of_the_input_case_15(spans, client):
    """Case 15: 5 fresh, 900 read and 100 written tokens are 1005 input tokens, at three prices."""
    usage = {"input_tokens": 5, "cache_read_input_tokens": 900, "cache_creation_input_tokens": 100}
    client.messages.create(**ASK, extra_headers=plan(usage={**usage, "output_tokens": 10}))
    attributes = spans.one().attributes
    assert attributes["gen_ai.usage.input_tokens"] == 1005
    assert attributes["gen_ai.usage.cache_read.input_tokens"] == 900
    assert attributes["gen_ai.usage.cache_write.input_tokens"] == 100
    expected = genai_prices.calc_price(
        genai_prices.Usage(
            input_tokens=1005, output_tokens=10, cache_read_tokens=900, cache_write_tokens=100
        ),
        MODEL,
        provider_id="anthropic",
    )
    assert Decimal(attributes["spanledger.cost.total"]) == expected.total_price
    # 5 at 2, 900 at 0.2, 100 at 2.5 and 10 at 10 dollars a million.
    assert Decimal(attributes["spanledger.cost.total"]) == Decimal("0.00054")


def test_a_cache_write_is_priced_by_its_time_to_live_case_16(spans, client):
    """Case 16: what is kept for an hour costs more than what is kept for five minutes."""
    split = {"ephemeral_5m_input_tokens": 40, "ephemeral_1h_input_tokens": 60}
    usage = {"input_tokens": 5, "cache_creation_input_tokens": 100, "cache_creation": split}
    client.messages.create(**ASK, extra_headers=plan(usage={**usage, "output_tokens": 0}))
    attributes = spans.one().attributes
    assert attributes["spanledger.usage.cache_write_5m_tokens"] == 40
    assert attributes["spanledger.usage.cache_write_1h_tokens"] == 60
    # 5 at 2, 40 at 2.5 and 60 at 4 dollars a million.
    assert Decimal(attributes["spanledger.cost.total"]) == Decimal("0.00035")


def test_a_split_of_cache_writes_that_cannot_be_is_not_priced_by(spans, client):
    split = {"ephemeral_5m_input_tokens": 400, "ephemeral_1h_input_tokens": 60}
    usage = {"input_tokens": 5, "cache_creation_input_tokens": 100, "cache_creation": split}
    client.messages.create(**ASK, extra_headers=plan(usage={**usage, "output_tokens": 0}))
    attributes = spans.one().attributes
    assert "spanledger.usage.cache_write_5m_tokens" not in attributes
    assert Decimal(attributes["spanledger.cost.total"]) == Decimal("0.00026")


def test_zero_is_zero_and_absent_is_absent(spans, client, canned):
    """Case 17: no cache fields in the answer leave no attributes, zeros leave zeros."""
    client.messages.create(**ASK)
    canned(answer(usage={"input_tokens": 7, "output_tokens": 3})).messages.create(**ASK)
    reported, silent = spans.all()
    assert reported.attributes["gen_ai.usage.cache_read.input_tokens"] == 0
    assert "gen_ai.usage.cache_read.input_tokens" not in silent.attributes
    assert silent.attributes["gen_ai.usage.input_tokens"] == 7


def test_thinking_and_searches_are_counted_and_searches_priced(spans, client, stub):
    usage = {
        "output_tokens_details": {"thinking_tokens": 4},
        "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 0},
    }
    client.messages.create(**ASK, extra_headers=plan(usage=usage))
    attributes = spans.one().attributes
    assert attributes["gen_ai.usage.reasoning.output_tokens"] == 4
    assert attributes["spanledger.usage.web_searches"] == 2
    assert Decimal(attributes["spanledger.cost.total"]) == price_of(stub.bills[-1])
    assert Decimal(attributes["spanledger.cost.total"]) > Decimal("0.02")


def test_the_tokens_of_a_compaction_are_billed_beside_the_totals(spans, client):
    compaction = {
        "type": "compaction",
        "input_tokens": 1000,
        "output_tokens": 50,
        "cache_read_input_tokens": 10,
        "cache_creation_input_tokens": 0,
    }
    turn = {**compaction, "type": "message"}
    usage = {"input_tokens": 7, "output_tokens": 3, "iterations": [compaction, turn]}
    client.beta.messages.create(**ASK, extra_headers=plan(usage=usage))
    attributes = spans.one().attributes
    assert attributes["gen_ai.usage.input_tokens"] == 1017
    assert attributes["gen_ai.usage.output_tokens"] == 53


def test_a_fast_answer_has_the_tier_that_prices_it(spans, client, stub):
    client.messages.create(**{**ASK, "model": "claude-opus-4-8"}, extra_headers=plan(usage={"speed": "fast"}))
    attributes = spans.one().attributes
    assert attributes["anthropic.response.service_tier"] == "fast"
    assert Decimal(attributes["spanledger.cost.total"]) == price_of(stub.bills[-1])


def test_an_async_message_records_the_same(spans, make_async_client):
    async def run() -> Any:
        async with make_async_client() as client:
            return await client.messages.create(**ASK)

    message = asyncio.run(run())
    attributes = spans.one().attributes
    assert attributes["gen_ai.response.id"] == message.id
    assert attributes["gen_ai.usage.output_tokens"] == message.usage.output_tokens


def test_beta_messages_are_recorded_sync_and_async(spans, client, make_async_client):
    client.beta.messages.create(**ASK, betas=["a-beta-2026-01-01"])

    async def run() -> None:
        async with make_async_client() as async_client:
            await async_client.beta.messages.create(**ASK)

    asyncio.run(run())
    assert [span.name for span in spans.all()] == [f"chat {MODEL}"] * 2
    assert all("spanledger.cost.total" in span.attributes for span in spans.all())


def test_counting_tokens_is_no_call_of_a_model(spans, client):
    assert client.messages.count_tokens(model=MODEL, messages=HELLO).input_tokens > 0
    assert client.beta.messages.count_tokens(model=MODEL, messages=HELLO).input_tokens > 0
    assert spans.all() == []


class Trip(pydantic.BaseModel):
    city: str


class Impossible(pydantic.BaseModel):
    city: int


def test_parse_returns_the_users_model_and_records_json_output(spans, client, stub):
    message = client.messages.parse(**ASK, output_format=Trip)
    assert message.parsed_output == Trip(city="Lisbon")
    attributes = spans.one().attributes
    assert attributes["gen_ai.output.type"] == "json"
    assert attributes["gen_ai.usage.output_tokens"] == stub.bills[-1]["usage"]["output_tokens"]


def test_an_answer_that_does_not_parse_still_has_its_tokens_and_leaks_no_content(spans, client, stub):
    with pytest.raises(pydantic.ValidationError):
        client.messages.parse(
            **ASK, output_format=Impossible, extra_headers=plan(text='{"city": "a secret place"}')
        )
    span = spans.one()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["gen_ai.usage.output_tokens"] == stub.bills[-1]["usage"]["output_tokens"]
    assert "secret" not in span.to_json()


@pytest.mark.parametrize(
    ("status", "error", "named"),
    [
        (400, anthropic.BadRequestError, "anthropic.BadRequestError"),
        (401, anthropic.AuthenticationError, "anthropic.AuthenticationError"),
        (429, anthropic.RateLimitError, "anthropic.RateLimitError"),
        (500, anthropic.InternalServerError, "anthropic.InternalServerError"),
        (418, anthropic.APIStatusError, "418"),
    ],
)
def test_a_refused_call_is_an_error_span_with_its_request_case_33(spans, client, status, error, named):
    """Case 33: address and parameters are there although no answer is; the user gets their own exception."""
    with pytest.raises(error) as raised:
        client.messages.create(**ASK, extra_body={"temperature": 0.5}, extra_headers=plan(status=status))
    span = spans.one()
    assert raised.value.status_code == status
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == named
    assert span.attributes["server.address"] == "127.0.0.1"
    assert span.attributes["gen_ai.request.temperature"] == 0.5
    assert span.attributes["spanledger.cost.reason"] == "no_usage"
    assert raised.traceback[-1].path.parts[-2] == "anthropic"


def test_a_timeout_is_an_error_span(spans, client):
    with pytest.raises(anthropic.APITimeoutError):
        client.messages.create(**ASK, timeout=0.05, extra_headers=plan(delay_ms=1000))
    assert spans.one().attributes["error.type"] == "anthropic.APITimeoutError"


def test_a_provider_that_cannot_be_reached_is_an_error_span(spans):
    with (
        anthropic.Anthropic(base_url="http://127.0.0.1:1", api_key="k", max_retries=0) as client,
        pytest.raises(anthropic.APIConnectionError),
    ):
        client.messages.create(**ASK)
    assert spans.one().attributes["server.port"] == 1


def test_a_cancelled_await_is_one_error_span_and_stays_cancelled_case_23(spans, make_async_client):
    """Case 23: a task cancelled while it waits for the answer."""

    async def run() -> None:
        async with make_async_client() as client:
            call = client.messages.create(**ASK, extra_headers=plan(delay_ms=2000))
            task = asyncio.create_task(call)
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert task.cancelled()

    asyncio.run(run())
    span = spans.one()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == "asyncio.exceptions.CancelledError"


def test_what_was_not_given_leaves_no_attribute_and_no_warning_case_21(spans, client, warnings_logged):
    """Case 21: the SDK's markers for "not given" are no values."""
    client.messages.create(
        **ASK,
        stop_sequences=anthropic.omit,
        system=anthropic.omit,
        tools=anthropic.omit,
        metadata=anthropic.omit,
    )
    client.messages.create(**ASK)
    for span in spans.all():
        assert "object at" not in span.to_json()
        assert not {"gen_ai.request.stop_sequences", "user.id"} & set(span.attributes)
    assert warnings_logged() == []


def test_the_session_of_the_context_is_the_conversation(spans, client):
    with user("from-context"), session("s-1"):
        client.messages.create(**ASK, metadata={"user_id": "from-request"})
    attributes = spans.one().attributes
    assert attributes["user.id"] == "from-context"
    assert attributes["gen_ai.conversation.id"] == attributes["session.id"] == "s-1"


def test_the_retries_of_the_sdk_are_one_call(spans, url):
    with (
        anthropic.Anthropic(base_url=url, api_key="k", max_retries=1) as client,
        pytest.raises(anthropic.InternalServerError),
    ):
        client.messages.create(**ASK, extra_headers=plan(status=500))
    assert len(spans.all()) == 1


def test_by_default_no_prompt_no_answer_and_no_key_is_recorded(spans, client):
    client.messages.create(
        **{**ASK, "messages": [{"role": "user", "content": "my secret wish"}]}, system="secret"
    )
    with pytest.raises(anthropic.AuthenticationError):
        client.messages.create(**ASK, extra_headers=plan(status=401))
    everything = "".join(span.to_json() for span in spans.all())
    assert "secret" not in everything
    assert "sk-ant" not in everything
    assert "messages" not in everything


def test_the_tool_loop_is_one_span_a_call(spans, client):
    first = client.messages.create(**ASK, tools=TOOLS)
    call = first.content[-1]
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}
    later = [*HELLO, {"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    client.messages.create(**{**ASK, "messages": later}, tools=TOOLS)
    assert [span.attributes["gen_ai.response.finish_reasons"] for span in spans.all()] == [
        ("tool_use",),
        ("end_turn",),
    ]


def answer(**fields: Any) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": [{"type": "text", "text": "hi"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        **fields,
    }


@pytest.mark.parametrize(
    ("base_url", "provider"),
    [
        ("https://api.anthropic.com", "anthropic"),
        ("https://api.deepseek.com/anthropic", "deepseek"),
        ("https://api.moonshot.ai/anthropic", "moonshot_ai"),
        ("http://a-proxy.internal:4000", "anthropic"),
    ],
)
def test_the_provider_is_who_answers_at_the_host(spans, canned, base_url, provider):
    canned(answer(usage={"input_tokens": 1, "output_tokens": 1}), base_url=base_url).messages.create(**ASK)
    assert spans.one().attributes["gen_ai.provider.name"] == provider


def test_a_response_of_an_unknown_shape_reaches_the_user_and_leaves_a_span(spans, canned, warnings_logged):
    odd = {"type": "message", "content": 5, "usage": {"input_tokens": "many", "output_tokens": -3}, "id": 5}
    for body in (odd, {"nothing": 1}, {**odd, "usage": [1], "model": [1]}):
        canned(body).messages.create(**ASK)
    assert len(spans.all()) == 3
    assert not [key for span in spans.all() for key in span.attributes if key.startswith("gen_ai.usage.")]
    assert len(warnings_logged()) <= 1


def test_a_reader_that_breaks_warns_once_and_never_reaches_the_user(
    spans, client, monkeypatch, warnings_logged
):
    from spanledger.instrumentation.providers import anthropic_messages

    def broken(*_args: Any) -> Any:
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr(anthropic_messages, "read_usage", broken)
    for _ in range(3):
        assert client.messages.create(**ASK).usage is not None
    assert len(spans.all()) == 3
    assert len(warnings_logged()) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_when_no_span_can_be_started_the_call_is_made_all_the_same(spans, client, monkeypatch, stream):
    def broken(*_args: Any, **_kwargs: Any) -> Any:
        raise RuntimeError("no tracer today")

    monkeypatch.setattr(spans.provider, "get_tracer", broken)
    assert list(client.messages.create(**ASK, stream=stream))
    assert spans.all() == []


def test_a_subclass_of_the_client_is_one_span_case_13(spans, url):
    """Case 13: a class of the user's that overrides `request` and calls the SDK's."""

    class Own(anthropic.Anthropic):
        def request(self, *args: Any, **kwargs: Any) -> Any:
            return super().request(*args, **kwargs)

    with Own(base_url=url, api_key="k") as client:
        client.messages.create(**ASK)
        client.with_options(max_retries=0).messages.create(**ASK)
    assert len(spans.all()) == 2
