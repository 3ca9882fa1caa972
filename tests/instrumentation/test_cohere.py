"""Cohere's SDK against a local stub: every way of calling is one span with what was billed.

Numbers of cases are those of the list of failures that instrumentations are known for (issue 6).
"""

import asyncio
import gc
import json
import random
from collections.abc import Iterator
from typing import Any

import cohere
import httpx
import pytest
from cohere.core.api_error import ApiError
from cohere.core.http_client import AsyncHttpClient, HttpClient
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from spanledger.instrumentation import instrument, uninstrument
from spanledger.instrumentation.providers.cohere import CohereInstrumentor
from tests.instrumentation.accounts import cost_of, price, summed
from tests.instrumentation.conventions import check
from tests.instrumentation.stubs import cohere as cohere_stub
from tests.instrumentation.stubs.scripted import Stub

pytestmark = pytest.mark.usefixtures("by_the_conventions")

MODEL = "command-a-03-2025"
# Cohere never says which model answered.
UNTOLD = {"gen_ai.response.model"}
HELLO: list[Any] = [{"role": "user", "content": "Will it stay dry?"}]
ASK: dict[str, Any] = {"model": MODEL, "messages": HELLO}
ASK_V1: dict[str, Any] = {"model": MODEL, "message": "Will it stay dry?"}
TOOL: Any = {
    "type": "function",
    "function": {"name": "weather", "description": "of a town", "parameters": {"type": "object"}},
}


@pytest.fixture(scope="module")
def _server() -> Iterator[Stub]:
    with cohere_stub.stub() as running:
        yield running


@pytest.fixture
def api(_server: Stub) -> Stub:
    _server.forget()
    return _server


@pytest.fixture
def client(api: Stub) -> Iterator[cohere.ClientV2]:
    with httpx.Client() as connections:
        yield cohere.ClientV2("test", base_url=api.root_url, httpx_client=connections)


@pytest.fixture
def client_v1(api: Stub) -> Iterator[cohere.Client]:
    with httpx.Client() as connections:
        yield cohere.Client("test", base_url=api.root_url, httpx_client=connections)


def scripted(**script: Any) -> Any:
    return {"request_options": {"additional_headers": {"x-stub": json.dumps(script)}, "max_retries": 0}}


def run_async(api: Stub, work: Any, kind: Any = cohere.AsyncClientV2) -> Any:
    """Run `work(client)` with a client whose connections belong to the same event loop."""

    async def run() -> Any:
        async with httpx.AsyncClient() as connections:
            return await work(kind("test", base_url=api.root_url, httpx_client=connections))

    return asyncio.run(run())


def test_a_chat_is_one_client_span_by_the_conventions(spans, client):
    answer = client.chat(
        **ASK,
        temperature=0,
        p=1,
        k=40,
        max_tokens=50,
        stop_sequences=["END"],
        seed=7,
        frequency_penalty=0.5,
        presence_penalty=0,
        response_format={"type": "json_object"},
    )
    assert type(answer).__name__ == "V2ChatResponse"
    span = spans.one()
    check(span, "chat", without=UNTOLD)
    assert (span.name, span.kind) == (f"chat {MODEL}", SpanKind.CLIENT)
    expected = {
        "gen_ai.provider.name": "cohere",
        "gen_ai.request.model": MODEL,
        "gen_ai.request.temperature": 0.0,
        "gen_ai.request.top_p": 1.0,
        "gen_ai.request.top_k": 40,
        "gen_ai.request.max_tokens": 50,
        "gen_ai.request.seed": 7,
        "gen_ai.request.stop_sequences": ("END",),
        "gen_ai.request.frequency_penalty": 0.5,
        "gen_ai.request.presence_penalty": 0.0,
        "gen_ai.output.type": "json",
        "gen_ai.response.id": "cohere-1",
        "gen_ai.response.finish_reasons": ("complete",),
        "server.address": "127.0.0.1",
    }
    assert expected.items() <= dict(span.attributes).items()


def test_billed_units_win_over_the_tokens_that_were_read(spans, client):
    """The price list means what is billed; without it the tokens are what there is."""
    client.chat(**ASK)
    client.chat(**ASK, **scripted(usage={"tokens": cohere_stub.USAGE["tokens"]}))
    told, untold = spans.all()
    assert told.attributes["gen_ai.usage.input_tokens"] == 12
    assert told.attributes["gen_ai.usage.output_tokens"] == 7
    assert cost_of([told]) == price("cohere", MODEL, input_tokens=12, output_tokens=7)
    assert untold.attributes["gen_ai.usage.input_tokens"] == 80


def test_cached_tokens_are_recorded_where_they_are_part_of_the_billed_ones(spans, client):
    for cached in (8, 70):
        client.chat(**ASK, **scripted(usage={**cohere_stub.USAGE, "cached_tokens": cached}))
    within, beyond = spans.all()
    assert within.attributes["gen_ai.usage.cache_read.input_tokens"] == 8
    assert "gen_ai.usage.cache_read.input_tokens" not in beyond.attributes


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("version", [1, 2])
def test_chat_of_both_versions_sync_and_async_whole_and_streamed(  # noqa: PLR0917
    spans_with_content, client, client_v1, api, version, asynchronous, streaming
):
    ask = ASK if version == 2 else {**ASK_V1, "preamble": "Be brief."}

    async def work(other: Any) -> None:
        if streaming:
            async for _event in other.chat_stream(**ask):
                pass
        else:
            await other.chat(**ask)

    plain: Any = client if version == 2 else client_v1
    if asynchronous:
        run_async(api, work, cohere.AsyncClientV2 if version == 2 else cohere.AsyncClient)
    elif streaming:
        list(plain.chat_stream(**ask))
    else:
        plain.chat(**ask)
    span = spans_with_content.one()
    check(span, "chat", without=UNTOLD)
    assert (span.attributes.get("gen_ai.request.stream") is True) == streaming
    assert cost_of([span]) == price("cohere", MODEL, input_tokens=12, output_tokens=7)
    (answered,) = json.loads(span.attributes["gen_ai.output.messages"])
    assert answered == {
        "role": "assistant",
        "parts": [{"type": "text", "content": "It stays dry in Lisbon."}],
        "finish_reason": "stop",
    }
    (asked,) = json.loads(span.attributes["gen_ai.input.messages"])
    assert asked["parts"] == [{"type": "text", "content": "Will it stay dry?"}]
    if version == 1:
        assert "Be brief." in span.attributes["gen_ai.system_instructions"]


def test_history_and_tools_of_version_1(spans_with_content, client_v1):
    history: list[Any] = [{"role": "USER", "message": "Hi"}, {"role": "CHATBOT", "message": "Hello"}]
    tools: list[Any] = [{"name": "weather", "description": "of a town"}]
    for stream in (False, True):
        if stream:
            list(client_v1.chat_stream(**ASK_V1, chat_history=history, tools=tools))
        else:
            client_v1.chat(**ASK_V1, chat_history=history, tools=tools)
    whole, streamed = (span.attributes for span in spans_with_content.all())
    assert whole["gen_ai.output.messages"] == streamed["gen_ai.output.messages"]
    roles = [message["role"] for message in json.loads(whole["gen_ai.input.messages"])]
    assert roles == ["user", "assistant", "user"]
    (answered,) = json.loads(whole["gen_ai.output.messages"])
    assert answered["parts"][1]["arguments"] == {"town": "Lisbon"}
    (definition,) = json.loads(whole["gen_ai.tool.definitions"])
    assert definition == {"type": "function", "name": "weather", "description": "of a town"}


@pytest.mark.parametrize("streaming", [False, True])
def test_generate_is_a_text_completion(spans_with_content, client_v1, streaming):
    if streaming:
        list(client_v1.generate_stream(prompt="Dry?", model="command"))
    else:
        client_v1.generate(prompt="Dry?", model="command")
    span = spans_with_content.one()
    assert span.attributes["gen_ai.operation.name"] == "text_completion"
    assert cost_of([span]) == price("cohere", "command", input_tokens=12, output_tokens=7)
    assert "It stays dry in Lisbon." in span.attributes["gen_ai.output.messages"]


def test_embeddings_record_their_input_and_never_their_vectors_case_29(
    spans_with_content, client, client_v1, api
):
    """Case 29: vectors are no attributes."""
    ask: dict[str, Any] = {"model": "embed-v4.0", "input_type": "search_query", "texts": ["a", "b"]}
    client.embed(**ask, embedding_types=["float"], output_dimension=256)
    client_v1.embed(**ask)
    run_async(api, lambda other: other.embed(**ask, embedding_types=["float"]))
    for span in spans_with_content.all():
        check(span, "embeddings", without=UNTOLD)
        assert "0.25" not in json.dumps(dict(span.attributes))
        assert len(json.loads(span.attributes["gen_ai.input.messages"])) == 2
        assert cost_of([span]) == price("cohere", "embed-v4.0", input_tokens=5, output_tokens=0)
    attributes = spans_with_content.all()[0].attributes
    assert attributes["gen_ai.embeddings.dimension.count"] == 256
    assert attributes["gen_ai.request.encoding_formats"] == ("float",)


def test_rerank_tells_its_search_units_and_that_they_have_no_price(spans_with_content, client, client_v1):
    for each in (client, client_v1):
        each.rerank(model="rerank-v3.5", query="dry?", documents=["a", "b"])
    for span in spans_with_content.all():
        check(span, "rerank")
        assert span.attributes["spanledger.usage.search_units"] == 1
        assert span.attributes["spanledger.cost.reason"] == "no_usage"
        (asked,) = json.loads(span.attributes["gen_ai.input.messages"])
        assert [part["content"] for part in asked["parts"]] == ["dry?", "a", "b"]


def test_what_calls_no_model_is_no_span(spans, client):
    client.tokenize(text="a", model=MODEL, offline=False)
    assert spans.all() == []


@pytest.mark.parametrize("ending", ["close", "dropped", "break"])
@pytest.mark.parametrize("version", [1, 2])
def test_a_stream_left_early_is_one_span_that_is_no_error_case_3(spans, client, client_v1, version, ending):
    """Case 3: close, break and garbage collection end the span, once."""
    config = scripted(delay_ms=1)
    stream: Any = (
        client.chat_stream(**ASK, **config) if version == 2 else client_v1.chat_stream(**ASK_V1, **config)
    )
    if ending == "break":
        for _event in stream:
            break
    else:
        next(stream)
    if ending == "close":
        stream.close()
        stream.close()
    del stream
    gc.collect()
    span = spans.one()
    assert span.status.status_code is StatusCode.UNSET
    assert span.attributes["gen_ai.response.finish_reasons"] == ("error",)
    assert span.attributes["gen_ai.response.id"] == "cohere-1"


def test_an_async_stream_left_early_is_one_span_case_3(spans, api):
    """Case 3, with break and with aclose."""

    async def work(client: cohere.AsyncClientV2) -> None:
        async for _event in client.chat_stream(**ASK):
            break
        other: Any = client.chat_stream(**ASK)
        await anext(other)
        await other.aclose()

    run_async(api, work)
    gc.collect()
    assert len(spans.all()) == 2


def test_a_stream_that_is_never_read_sends_nothing_and_leaves_nothing(spans, client, api):
    stream = client.chat_stream(**ASK)
    del stream
    gc.collect()
    assert (spans.all(), api.billed) == ([], [])


def test_many_streams_leave_no_open_span_case_4(spans, client):
    """Case 4: as many spans as streams, none recording any more."""
    for number in range(40):
        stream: Any = client.chat_stream(**ASK)
        if number % 2:
            next(stream)
        else:
            list(stream)
        stream.close()
    gc.collect()
    assert len(spans.all()) == 40
    assert not [one for one in gc.get_objects() if type(one).__name__ == "_Span" and one.is_recording()]


def test_the_user_keeps_what_the_sdk_returns_case_19(spans, client):
    """Case 19: the types with us are the types without us, those of raw responses included."""

    def types() -> list[str]:
        stream: Any = client.chat_stream(**ASK)
        found = [type(stream).__name__, type(next(stream)).__name__]
        stream.close()
        raw = client.with_raw_response.chat(**ASK)
        return [*found, type(raw).__name__, type(raw.data).__name__]

    with_us = types()
    uninstrument()
    assert with_us == types()
    assert len(spans.all()) == 2


def test_a_task_that_is_cancelled_is_one_error_span_case_23(spans, api):
    """Case 23: mid-await and mid-stream, and the exception reaches the application."""

    async def work(client: cohere.AsyncClientV2) -> None:
        async def read() -> None:
            async for _event in client.chat_stream(**ASK, **scripted(delay_ms=60)):
                reading.set()

        reading = asyncio.Event()
        waiting = client.chat(**ASK, **scripted(delay_ms=200))
        for task, ready in (
            (asyncio.create_task(read()), reading.wait()),
            (asyncio.create_task(waiting), asyncio.sleep(0.05)),
        ):
            await ready
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    run_async(api, work)
    gc.collect()
    assert len(spans.all()) == 2
    for span in spans.all():
        assert span.status.status_code is StatusCode.ERROR
        assert span.attributes["error.type"] == "asyncio.exceptions.CancelledError"


def test_a_stream_read_in_several_tasks_logs_nothing_cases_21_and_22(spans, api, warnings_logged):
    """Cases 21 and 22: no context stays attached, the SDK's mark for "left out" is no attribute."""

    async def work(client: cohere.AsyncClientV2) -> None:
        before = otel_context.get_current()
        stream: Any = client.chat_stream(**ASK, **scripted(delay_ms=1))
        await asyncio.create_task(anext(stream))
        await asyncio.create_task(anext(stream))
        assert otel_context.get_current() == before
        await asyncio.create_task(stream.aclose())

    run_async(api, work)
    assert len(spans.all()) == 1
    assert warnings_logged() == []


@pytest.mark.parametrize("streaming", [False, True])
def test_parallel_calls_of_tools_keep_their_ids_and_arguments_case_25(spans_with_content, client, streaming):
    """Case 25: two calls at once stay two."""
    ask: dict[str, Any] = {**ASK, "tools": [TOOL], **scripted(tools=2)}
    if streaming:
        list(client.chat_stream(**ask))
    else:
        client.chat(**ask)
    span = spans_with_content.one()
    (message,) = json.loads(span.attributes["gen_ai.output.messages"])
    assert message["finish_reason"] == "tool_call"
    assert message["parts"][0] == {"type": "reasoning", "content": "I look it up."}
    assert message["parts"][1:] == [
        {"type": "tool_call", "id": f"call-{n}", "name": "weather", "arguments": {"town": f"Lisbon {n}"}}
        for n in range(2)
    ]
    (definition,) = json.loads(span.attributes["gen_ai.tool.definitions"])
    assert (definition["type"], definition["name"]) == ("function", "weather")


def test_a_round_of_tools_and_pictures_is_recorded_when_content_is_switched_on(spans_with_content, client):
    picture = "data:image/png;base64," + "eHh4" * 20_000
    called = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    messages: list[Any] = [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Where is this?"},
                {"type": "image_url", "image_url": {"url": picture}},
            ],
        },
        {"role": "assistant", "tool_plan": "Look.", "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "c", "content": "dry"},
    ]
    client.chat(model=MODEL, messages=messages)
    attributes = dict(spans_with_content.one().attributes)
    system, user, assistant, tool = json.loads(attributes["gen_ai.input.messages"])
    assert system == {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]}
    assert (user["parts"][1]["modality"], user["parts"][1]["size"]) == ("image", 60_000)
    assert [part["type"] for part in assistant["parts"]] == ["reasoning", "tool_call"]
    assert tool["parts"] == [{"type": "tool_call_response", "id": "c", "response": "dry"}]
    assert len(json.dumps(attributes)) < 5000


def test_nothing_of_the_content_is_recorded_while_it_is_off(spans, client):
    client.chat(**ASK)
    assert "dry" not in json.dumps(dict(spans.one().attributes))


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("status", [401, 429, 503])
def test_an_error_has_what_was_asked_and_where_case_33(spans, client, streaming, status):
    """Case 33: error spans carry the server and the request's attributes."""
    ask: dict[str, Any] = {**ASK, "temperature": 0.5, **scripted(status=status)}
    with pytest.raises(ApiError) as raised:
        list(client.chat_stream(**ask) if streaming else client.chat(**ask))
    assert raised.value.status_code == status
    span = spans.one()
    check(span, "chat", without=UNTOLD)
    assert span.attributes["error.type"] == str(status)
    assert span.attributes["gen_ai.request.temperature"] == 0.5
    assert span.attributes["server.address"] == "127.0.0.1"


def test_a_server_that_cannot_be_reached_is_one_error_span(spans):
    with httpx.Client() as connections:
        client = cohere.ClientV2("test", base_url="http://127.0.0.1:1", httpx_client=connections)
        with pytest.raises(httpx.ConnectError):
            client.chat(**ASK, request_options={"max_retries": 0})
    assert spans.one().attributes["error.type"] == "httpx.ConnectError"


def test_a_stream_that_breaks_is_one_error_span_with_what_came_before(spans, client):
    with pytest.raises(httpx.RemoteProtocolError):
        list(client.chat_stream(**ASK, **scripted(break_after=2)))
    span = spans.one()
    assert span.attributes["error.type"] == "httpx.RemoteProtocolError"
    assert span.attributes["gen_ai.response.id"] == "cohere-1"


def test_an_error_event_is_one_error_span(spans, client):
    list(client.chat_stream(**ASK, **scripted(error_after=2)))
    assert spans.one().attributes["error.type"] == "overloaded"


def test_retries_of_the_sdk_belong_to_one_span(spans, client, api):
    headers = {"x-stub": json.dumps({"status": 503})}
    with pytest.raises(ApiError):
        client.chat(**ASK, request_options={"additional_headers": headers, "max_retries": 1})
    assert len(api.asked) == 2
    assert len(spans.all()) == 1


def test_spans_of_http_clients_are_not_silenced(spans, client):
    """The SDK's own decorators are no other instrumentation: who records HTTP may go on."""
    seen: list[bool] = []
    key = otel_context._SUPPRESS_INSTRUMENTATION_KEY
    client._client_wrapper.httpx_client.httpx_client.event_hooks = {
        "request": [lambda _request: seen.append(bool(otel_context.get_value(key)))]
    }
    client.chat(**ASK)
    list(client.chat_stream(**ASK))
    assert seen == [False, False]


def test_the_span_of_the_caller_goes_on_and_the_trace_with_it_case_27(make_recorded, client, api):
    """Case 27: ours ends, the one around it does not; `traceparent` names ours where that is asked for."""
    recorded = make_recorded(propagate=True)
    with trace.get_tracer("app", tracer_provider=recorded.provider).start_as_current_span("mine") as mine:
        client.chat(**ASK)
        list(client.chat_stream(**ASK))
        assert mine.is_recording()
    for asked, span in zip(api.asked, recorded.all()[:2], strict=True):
        assert span.parent.span_id == mine.get_span_context().span_id
        assert format(span.context.span_id, "016x") in asked.headers["traceparent"]


def test_empty_answers_leave_no_empty_attribute_case_28(spans, client):
    """Case 28: neither None nor '' reaches an exporter."""
    client.chat(**ASK, **scripted(usage={}, text=""))
    attributes = spans.one().attributes
    assert not [key for key, value in attributes.items() if value in (None, "", ())]
    assert attributes["spanledger.cost.reason"] == "no_usage"


def test_switching_off_restores_the_sdk_and_on_again_is_one_span_case_30(make_recorded, client):
    """Case 30: three times on and off, twice on at once, with one client that lives through all of it."""
    kinds = (HttpClient, AsyncHttpClient)
    originals = [vars(kind)[name] for kind in kinds for name in ("request", "stream")]
    for _round in range(3):
        recorded = make_recorded()
        instrument(tracer_provider=recorded.provider)
        CohereInstrumentor().instrument()
        client.chat(**ASK)
        assert len(recorded.all()) == 1
        uninstrument()
        assert [vars(kind)[name] for kind in kinds for name in ("request", "stream")] == originals
        client.chat(**ASK)
        assert len(recorded.all()) == 1


def test_500_random_calls_sum_up_to_what_was_billed(spans, client, client_v1, api):
    """Streams, tools, errors, both versions, embeddings, async: tokens and costs to the last digit."""
    dice = random.Random(6)

    async def work(other: cohere.AsyncClientV2) -> None:
        for _number in range(500):
            await _random_call(dice, client, client_v1, other)

    run_async(api, work)
    found, billed = spans.all(), api.billed
    assert len(found) == 500
    units = [bill["usage"]["billed_units"] for bill in billed]
    assert summed(found, "gen_ai.usage.input_tokens") == sum(unit["input_tokens"] for unit in units)
    assert summed(found, "gen_ai.usage.output_tokens") == sum(unit.get("output_tokens", 0) for unit in units)
    expected = sum(
        price(
            "cohere",
            bill["model"],
            input_tokens=int(unit["input_tokens"]),
            output_tokens=int(unit.get("output_tokens", 0)),
        )
        for bill, unit in zip(billed, units, strict=True)
    )
    assert cost_of(found) == expected
    failed = [span for span in found if span.status.status_code is StatusCode.ERROR]
    assert len(failed) == 500 - len(billed) > 10


async def _random_call(
    dice: random.Random, client: cohere.ClientV2, client_v1: cohere.Client, other: cohere.AsyncClientV2
) -> None:
    read = float(dice.randint(1, 9000))
    units = {"input_tokens": read, "output_tokens": float(dice.randint(1, 900))}
    usage: dict[str, Any] = {
        "billed_units": units,
        "tokens": {"input_tokens": read + 60, "output_tokens": 9.0},
    }
    if dice.random() < 0.3:
        usage["cached_tokens"] = float(dice.randint(1, 9000))
    script: dict[str, Any] = {"tools": dice.randint(1, 3), "usage": usage}
    if dice.random() < 0.06:
        script["status"] = dice.choice([400, 429, 500])
    model = dice.choice([MODEL, "command-r-plus-08-2024", "command-r7b-12-2024"])
    ask: dict[str, Any] = {"model": model, "messages": HELLO, **scripted(**script)}
    if dice.random() < 0.3:
        ask["tools"] = [TOOL]
    ask_v1: dict[str, Any] = {"model": model, "message": "dry?", **scripted(**script)}
    try:
        match dice.randrange(7):
            case 0:
                client.chat(**ask)
            case 1:
                list(client.chat_stream(**ask))
            case 2:
                await other.chat(**ask)
            case 3:
                async for _event in other.chat_stream(**ask):
                    pass
            case 4:
                client_v1.chat(**ask_v1)
            case 5:
                list(client_v1.chat_stream(**ask_v1))
            case _:
                del units["output_tokens"]
                embed = {**scripted(**script), "model": "embed-v4.0", "texts": ["a"]}
                client.embed(**embed, input_type="search_query", embedding_types=["float"])
    except ApiError:
        assert "status" in script


@pytest.mark.parametrize(
    ("service", "provider", "reason"),
    [("bedrock", "aws.bedrock", "unknown_model"), ("sagemaker", "aws.sagemaker", "unknown_provider")],
)
def test_clients_for_aws_are_not_coheres(spans, service, provider, reason):
    """Their requests go to AWS, which bills them at prices of its own."""
    model = "command-r"

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.host.endswith(".amazonaws.com")
        counts = {"X-Amzn-Bedrock-Input-Token-Count": "1000", "X-Amzn-Bedrock-Output-Token-Count": "100"}
        body = {"response_id": "r", "text": "Dry.", "generation_id": "g", "finish_reason": "COMPLETE"}
        return httpx.Response(200, json=body, headers=counts)

    kind = {"bedrock": cohere.BedrockClient, "sagemaker": cohere.SagemakerClient}[service]
    aws = kind(aws_access_key="a", aws_secret_key="b", aws_region="eu-west-1")
    connections = aws._client_wrapper.httpx_client.httpx_client
    connections._transport = httpx.MockTransport(answer)
    assert aws.chat(model=model, message="Will it stay dry?").text == "Dry."
    found = spans.one().attributes
    assert found["gen_ai.provider.name"] == provider
    assert found["gen_ai.usage.input_tokens"] == 1000
    assert "server.address" not in found
    # The list has none of these prices; that of Cohere would be a guess.
    assert found["spanledger.cost.reason"] == reason
