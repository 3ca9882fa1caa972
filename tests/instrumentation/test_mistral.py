"""Mistral's SDK against a local stub: every way of calling is one span with what was billed.

Numbers of cases are those of the list of failures that instrumentations are known for (issue 6).
"""

import asyncio
import gc
import json
import random
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from mistralai.client import Mistral, errors, utils
from mistralai.client.basesdk import BaseSDK
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode
from pydantic import BaseModel

from spanledger.instrumentation import instrument, uninstrument
from spanledger.instrumentation.providers.mistral import MistralInstrumentor
from tests.instrumentation.accounts import cost_of, price, summed
from tests.instrumentation.conventions import check
from tests.instrumentation.stubs import mistral
from tests.instrumentation.stubs.scripted import Stub

pytestmark = pytest.mark.usefixtures("by_the_conventions")

MODEL = "mistral-small-2603"
HELLO: list[Any] = [{"role": "user", "content": "Will it stay dry?"}]
ASK: dict[str, Any] = {"model": MODEL, "messages": HELLO}
TOOL = {"type": "function", "function": {"name": "weather", "description": "of a town", "parameters": {}}}


@pytest.fixture(scope="module")
def _server() -> Iterator[Stub]:
    with mistral.stub() as running:
        yield running


@pytest.fixture
def api(_server: Stub) -> Stub:
    _server.forget()
    return _server


@pytest.fixture
def client(api: Stub) -> Iterator[Mistral]:
    with Mistral(api_key="test", server_url=api.root_url) as made:
        yield made


def scripted(**script: Any) -> dict[str, Any]:
    return {"http_headers": {"x-stub": json.dumps(script)}}


def run_async(api: Stub, work: Any) -> Any:
    """Run `work(client)` with a client whose connections belong to the same event loop."""

    async def run() -> Any:
        async with Mistral(api_key="test", server_url=api.root_url) as client:
            return await work(client)

    return asyncio.run(run())


def test_a_completion_is_one_client_span_by_the_conventions(spans, client):
    answer = client.chat.complete(
        **ASK,
        temperature=0,
        top_p=1,
        max_tokens=50,
        stop="END",
        random_seed=7,
        n=2,
        frequency_penalty=0.5,
        presence_penalty=0,
        response_format={"type": "json_object"},
    )
    assert type(answer).__name__ == "ChatCompletionResponse"
    span = spans.one()
    check(span, "chat")
    assert (span.name, span.kind) == (f"chat {MODEL}", SpanKind.CLIENT)
    expected = {
        "gen_ai.provider.name": "mistral_ai",
        "gen_ai.request.model": MODEL,
        "gen_ai.request.temperature": 0.0,
        "gen_ai.request.top_p": 1.0,
        "gen_ai.request.max_tokens": 50,
        "gen_ai.request.seed": 7,
        "gen_ai.request.choice.count": 2,
        "gen_ai.request.stop_sequences": ("END",),
        "gen_ai.request.frequency_penalty": 0.5,
        "gen_ai.request.presence_penalty": 0.0,
        "gen_ai.output.type": "json",
        "gen_ai.response.id": "mistral-1",
        "gen_ai.response.model": MODEL,
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 7,
        "server.address": "127.0.0.1",
    }
    assert expected.items() <= dict(span.attributes).items()
    assert cost_of([span]) == price("mistral", MODEL, input_tokens=12, output_tokens=7)


def test_cached_tokens_and_seconds_of_audio_have_their_prices(spans, client):
    usage = {
        "prompt_tokens": 1000,
        "completion_tokens": 50,
        "total_tokens": 1050,
        "prompt_tokens_details": {"cached_tokens": 600},
    }
    client.chat.complete(**ASK, **scripted(usage=usage))
    heard = {**mistral.USAGE, "prompt_audio_seconds": 90}
    client.chat.complete(model="voxtral-small-latest", messages=HELLO, **scripted(usage=heard))
    cached, audio = spans.all()
    assert cached.attributes["gen_ai.usage.cache_read.input_tokens"] == 600
    assert cost_of([cached]) == price(
        "mistral", MODEL, input_tokens=1000, output_tokens=50, cache_read_tokens=600
    )
    assert audio.attributes["spanledger.usage.audio_seconds"] == 90
    assert cost_of([audio]) == price(
        "mistral", "voxtral-small-latest", input_tokens=12, output_tokens=7, audio_seconds=90
    )


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("kind", ["chat", "agents", "fim"])
def test_each_operation_sync_and_async_whole_and_streamed(spans, client, api, kind, asynchronous, streaming):  # noqa: PLR0917
    ask = {
        "chat": ASK,
        "agents": {"agent_id": "ag:1", "messages": HELLO},
        "fim": {"model": MODEL, "prompt": "def f(", "suffix": "return a"},
    }[kind]

    async def work(other: Mistral) -> None:
        part = getattr(other, kind)
        if streaming:
            async for _chunk in await part.stream_async(**ask):
                pass
        else:
            await part.complete_async(**ask)

    if asynchronous:
        run_async(api, work)
    elif streaming:
        list(getattr(client, kind).stream(**ask))
    else:
        getattr(client, kind).complete(**ask)
    span = spans.one()
    check(span, "text_completion" if kind == "fim" else "chat")
    assert span.attributes["gen_ai.request.model"] == ask.get("model", "ag:1")
    assert span.attributes["gen_ai.response.model"] == MODEL
    assert (span.attributes.get("gen_ai.request.stream") is True) == streaming
    assert cost_of([span]) == price("mistral", MODEL, input_tokens=12, output_tokens=7)


def test_parse_is_one_span_even_when_the_answer_does_not_fit(spans, client):
    class Weather(BaseModel):
        dry: bool

    answer = client.chat.parse(Weather, **ASK, **scripted(text='{"dry": true}'))
    assert answer.choices[0].message.parsed == Weather(dry=True)
    with pytest.raises(ValueError, match="dry"):
        client.chat.parse(Weather, **ASK, **scripted(text='{"dry": "no idea"}'))
    assert summed(spans.all(), "gen_ai.usage.input_tokens") == 24
    assert {span.attributes["gen_ai.output.type"] for span in spans.all()} == {"json"}


def test_embeddings_record_their_input_and_never_their_vectors_case_29(spans_with_content, client):
    """Case 29: vectors are no attributes."""
    client.embeddings.create(
        model="mistral-embed", inputs=["a", "b"], **scripted(usage={"prompt_tokens": 4, "total_tokens": 4})
    )
    span = spans_with_content.one()
    check(span, "embeddings")
    assert "0.25" not in json.dumps(dict(span.attributes))
    assert len(json.loads(span.attributes["gen_ai.input.messages"])) == 2
    assert cost_of([span]) == price("mistral", "mistral-embed", input_tokens=4, output_tokens=0)


@pytest.mark.parametrize("annotated", [False, True])
def test_pages_of_ocr_have_their_price(spans_with_content, client, annotated):
    document: Any = {"type": "document_url", "document_url": "https://harbour/tides.pdf"}
    client.ocr.process(model="mistral-ocr-2512", document=document, **scripted(pages=5, annotated=annotated))
    span = spans_with_content.one()
    check(span, "ocr")
    assert span.attributes["spanledger.usage.input_document_pages"] == 5
    expected = Decimal("0.015") if annotated else Decimal("0.010")
    assert cost_of([span]) == expected
    (asked,) = json.loads(span.attributes["gen_ai.input.messages"])
    assert asked["parts"][0]["uri"] == "https://harbour/tides.pdf"
    (answered,) = json.loads(span.attributes["gen_ai.output.messages"])
    assert answered["parts"] == [{"type": "text", "content": "# Tides"}]


def test_what_calls_no_model_is_no_span(spans, client):
    client.models.list()
    assert spans.all() == []


@pytest.mark.parametrize("ending", ["close", "with", "dropped", "break", "never read"])
def test_a_stream_left_early_is_one_span_that_is_no_error_case_3(spans, client, ending):
    """Case 3: close, `with`, break and garbage collection end the span, once."""
    stream = client.chat.stream(**ASK, **scripted(delay_ms=1))
    if ending == "with":
        with stream:
            next(stream)
    elif ending == "break":
        for _chunk in stream:
            break
    elif ending != "never read":
        next(stream)
    if ending == "close":
        stream.close()
        stream.close()
    del stream
    gc.collect()
    span = spans.one()
    assert span.status.status_code is StatusCode.UNSET
    assert span.attributes["gen_ai.response.finish_reasons"] == ("error",)


def test_an_async_stream_left_early_is_one_span_case_3(spans, api):
    """Case 3, with `async with` and with close."""

    async def work(client: Mistral) -> None:
        async with await client.chat.stream_async(**ASK) as stream:
            async for _chunk in stream:
                break
        other = await client.chat.stream_async(**ASK)
        await anext(other)
        await other.close()

    run_async(api, work)
    gc.collect()
    assert len(spans.all()) == 2


def test_many_streams_leave_no_open_span_case_4(spans, client):
    """Case 4: as many spans as streams, none recording any more."""
    for number in range(40):
        with client.chat.stream(**ASK) as stream:
            if number % 2:
                next(stream)
            else:
                list(stream)
    gc.collect()
    assert len(spans.all()) == 40
    assert not [one for one in gc.get_objects() if type(one).__name__ == "_Span" and one.is_recording()]


def test_the_user_keeps_the_stream_of_the_sdk_case_19(spans, client, api):
    """Case 19: type, response and methods are the SDK's."""
    with client.chat.stream(**ASK) as stream:
        assert type(stream) is utils.eventstreaming.EventStream
        assert stream.response.status_code == 200
        text = "".join(event.data.choices[0].delta.content for event in stream)
    assert text == "It stays dry in Lisbon."
    assert stream.response.is_closed

    async def work(other: Mistral) -> Any:
        stream = await other.chat.stream_async(**ASK)
        async with stream:
            return type(stream)

    assert run_async(api, work) is utils.eventstreaming.EventStreamAsync


def test_a_task_that_is_cancelled_is_one_error_span_case_23(spans, api):
    """Case 23: mid-await and mid-stream, and the exception reaches the application."""

    async def work(client: Mistral) -> None:
        async def read() -> None:
            async for _chunk in await client.chat.stream_async(**ASK, **scripted(delay_ms=60)):
                reading.set()

        reading = asyncio.Event()
        for task, ready in (
            (asyncio.create_task(read()), reading.wait()),
            (
                asyncio.create_task(client.chat.complete_async(**ASK, **scripted(delay_ms=200))),
                asyncio.sleep(0.05),
            ),
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
    """Cases 21 and 22: no context stays attached, and nothing is logged about it or about an attribute."""

    async def work(client: Mistral) -> None:
        before = otel_context.get_current()
        stream = await asyncio.create_task(client.chat.stream_async(**ASK, **scripted(delay_ms=1)))
        await asyncio.create_task(anext(stream))
        assert otel_context.get_current() == before
        await asyncio.create_task(stream.close())

    run_async(api, work)
    assert len(spans.all()) == 1
    assert warnings_logged() == []


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("one_index", [False, True])
def test_parallel_calls_of_tools_keep_their_ids_and_arguments_case_25(
    spans_with_content, client, streaming, one_index
):
    """Case 25: two calls at once stay two, even where the server gives both one index."""
    ask = {**ASK, "tools": [TOOL], **scripted(tools=2, one_index=one_index)}
    if streaming:
        with client.chat.stream(**ask) as stream:
            list(stream)
    else:
        client.chat.complete(**ask)
    span = spans_with_content.one()
    (message,) = json.loads(span.attributes["gen_ai.output.messages"])
    assert message["finish_reason"] == "tool_call"
    assert message["parts"] == [
        {"type": "tool_call", "id": f"call-{n}", "name": "weather", "arguments": {"town": f"Lisbon {n}"}}
        for n in range(2)
    ]
    (definition,) = json.loads(span.attributes["gen_ai.tool.definitions"])
    assert (definition["type"], definition["name"]) == ("function", "weather")


def test_content_of_all_kinds_is_recorded_when_it_is_switched_on(spans_with_content, client):
    picture = "data:image/png;base64," + "eHh4" * 20_000
    called = {"id": "c", "function": {"name": "weather", "arguments": "{}"}}
    messages: list[Any] = [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Where is this?"},
                {"type": "image_url", "image_url": picture},
            ],
        },
        {"role": "assistant", "content": "", "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "c", "content": "dry"},
    ]
    client.chat.complete(model=MODEL, messages=messages, **scripted(thought="Hm."))
    list(client.chat.stream(model=MODEL, messages=messages, **scripted(thought="Hm.")))
    whole, streamed = (dict(span.attributes) for span in spans_with_content.all())
    assert whole["gen_ai.output.messages"] == streamed["gen_ai.output.messages"]
    (answer,) = json.loads(whole["gen_ai.output.messages"])
    assert [part["type"] for part in answer["parts"]] == ["reasoning", "text"]
    system, user, assistant, tool = json.loads(whole["gen_ai.input.messages"])
    assert system == {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]}
    assert user["parts"][0] == {"type": "text", "content": "Where is this?"}
    assert (user["parts"][1]["modality"], user["parts"][1]["size"]) == ("image", 60_000)
    assert assistant["parts"][0]["name"] == "weather"
    assert tool["parts"] == [{"type": "tool_call_response", "id": "c", "response": "dry"}]
    assert len(json.dumps(whole)) < 5000


def test_nothing_of_the_content_is_recorded_while_it_is_off(spans, client):
    client.chat.complete(**ASK)
    assert "dry" not in json.dumps(dict(spans.one().attributes))


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("status", [401, 429, 503])
def test_an_error_has_what_was_asked_and_where_case_33(spans, client, streaming, status):
    """Case 33: error spans carry the server and the request's attributes."""
    call = client.chat.stream if streaming else client.chat.complete
    with pytest.raises(errors.SDKError) as raised:
        call(**ASK, temperature=0.5, **scripted(status=status))
    assert raised.value.status_code == status
    span = spans.one()
    check(span, "chat")
    assert span.attributes["error.type"] == str(status)
    assert span.attributes["gen_ai.request.temperature"] == 0.5
    assert span.attributes["server.address"] == "127.0.0.1"


def test_a_server_that_cannot_be_reached_is_one_error_span(spans):
    with (
        Mistral(api_key="test", server_url="http://127.0.0.1:1") as client,
        pytest.raises(Exception) as raised,
    ):
        client.chat.complete(**ASK)
    assert spans.one().attributes["error.type"].endswith(type(raised.value).__name__)


@pytest.mark.parametrize("how", ["break_after", "error_after"])
def test_a_stream_that_fails_is_one_error_span_with_what_came_before(spans, client, how):
    with client.chat.stream(**ASK, **scripted(**{how: 2})) as stream, pytest.raises(Exception, match=r"."):
        list(stream)
    span = spans.one()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["gen_ai.response.id"] == "mistral-1"


def test_the_span_of_the_caller_goes_on_and_the_trace_with_it_case_27(make_recorded, client, api):
    """Case 27: ours ends, the one around it does not; `traceparent` names ours where that is asked for."""
    recorded = make_recorded(propagate=True)
    with trace.get_tracer("app", tracer_provider=recorded.provider).start_as_current_span("mine") as mine:
        client.chat.complete(**ASK)
        list(client.chat.stream(**ASK))
        assert mine.is_recording()
    for asked, span in zip(api.asked, recorded.all()[:2], strict=True):
        assert span.parent.span_id == mine.get_span_context().span_id
        assert format(span.context.span_id, "016x") in asked.headers["traceparent"]


def test_retries_of_the_sdk_belong_to_one_span(spans, client, api):
    backoff = utils.BackoffStrategy(1, 2, 1.1, 200)
    retries = utils.RetryConfig("backoff", backoff, False)
    with pytest.raises(errors.SDKError):
        client.chat.complete(**ASK, **scripted(status=503), retries=retries)
    assert len(api.asked) > 1
    assert len(spans.all()) == 1


def test_empty_answers_leave_no_empty_attribute_case_28(spans, client):
    """Case 28: neither None nor '' reaches an exporter."""
    client.chat.complete(**ASK, **scripted(usage={}, text=""))
    attributes = spans.one().attributes
    assert not [key for key, value in attributes.items() if value in (None, "", ())]
    assert attributes["spanledger.cost.reason"] == "no_usage"


def test_switching_off_restores_the_sdk_and_on_again_is_one_span_case_30(make_recorded, client):
    """Case 30: three times on and off, twice on at once, with one client that lives through all of it."""
    originals = {name: vars(BaseSDK)[name] for name in ("do_request", "do_request_async")}
    for _round in range(3):
        recorded = make_recorded()
        instrument(tracer_provider=recorded.provider)
        MistralInstrumentor().instrument()
        client.chat.complete(**ASK)
        assert len(recorded.all()) == 1
        uninstrument()
        assert {name: vars(BaseSDK)[name] for name in originals} == originals
        client.chat.complete(**ASK)
        assert len(recorded.all()) == 1


def test_500_random_calls_sum_up_to_what_was_billed(spans, client, api):
    """Streams, tools, errors, cached tokens, audio, sync and async: tokens and costs to the last digit."""
    dice = random.Random(6)

    async def work(other: Mistral) -> None:
        for _number in range(500):
            await _random_call(dice, client, other)

    run_async(api, work)
    found, billed = spans.all(), api.billed
    assert len(found) == 500
    usages = [bill["usage"] for bill in billed]
    assert summed(found, "gen_ai.usage.input_tokens") == sum(usage["prompt_tokens"] for usage in usages)
    assert summed(found, "gen_ai.usage.output_tokens") == sum(usage["completion_tokens"] for usage in usages)
    cached = [usage.get("prompt_tokens_details", {}).get("cached_tokens", 0) for usage in usages]
    assert summed(found, "gen_ai.usage.cache_read.input_tokens") == sum(cached)
    expected = sum(
        price(
            "mistral",
            bill["model"],
            input_tokens=bill["usage"]["prompt_tokens"],
            output_tokens=bill["usage"]["completion_tokens"],
            cache_read_tokens=read,
            audio_seconds=bill["usage"].get("prompt_audio_seconds", 0),
        )
        for bill, read in zip(billed, cached, strict=True)
    )
    assert cost_of(found) == expected
    failed = [span for span in found if span.status.status_code is StatusCode.ERROR]
    assert len(failed) == 500 - len(billed) > 10


async def _random_call(dice: random.Random, client: Mistral, other: Mistral) -> None:
    model = dice.choice([MODEL, "mistral-large-2512", "codestral-2508", "voxtral-small-latest"])
    prompt = dice.randint(1, 9000)
    usage: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": dice.randint(1, 900)}
    if dice.random() < 0.4:
        usage["prompt_tokens_details"] = {"cached_tokens": dice.randint(1, prompt)}
    if model.startswith("voxtral") and dice.random() < 0.5:
        usage["prompt_audio_seconds"] = dice.randint(1, 600)
    script: dict[str, Any] = {"usage": usage, "tools": dice.randint(1, 3)}
    if dice.random() < 0.06:
        script["status"] = dice.choice([400, 429, 500])
    ask: dict[str, Any] = {"model": model, "messages": HELLO, **scripted(**script)}
    if dice.random() < 0.3:
        ask["tools"] = [TOOL]
    try:
        match dice.randrange(4):
            case 0:
                client.chat.complete(**ask)
            case 1:
                with client.chat.stream(**ask) as stream:
                    list(stream)
            case 2:
                await other.chat.complete_async(**ask)
            case _:
                async with await other.chat.stream_async(**ask) as events:
                    async for _event in events:
                        pass
    except errors.SDKError:
        assert "status" in script
