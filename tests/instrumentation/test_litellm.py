"""LiteLLM against local stubs of OpenAI's API: every way of calling is one span with what was billed.

LiteLLM wants an older openai than our other tests, so these run in an environment of their own (`make test`
makes it). Numbers of cases are those of the list of failures that instrumentations are known for (issue 6).
"""

import asyncio
import copy
import functools
import gc
import inspect
import json
import os
import pickle
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode
from pydantic import BaseModel

from spanledger.instrumentation import instrument, uninstrument
from spanledger.instrumentation.providers.litellm import LiteLLMInstrumentor, read_usage
from spanledger.server.stub_provider import MODELS
from tests.instrumentation.accounts import cost_of, price, summed
from tests.instrumentation.conventions import check
from tests.instrumentation.stubs import mistral
from tests.instrumentation.stubs import openai as stub_of_openai

# LiteLLM looks for its own prices on the internet when it is imported.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm

pytestmark = pytest.mark.usefixtures("by_the_conventions")

HELLO: list[Any] = [{"role": "user", "content": "hello there Lisbon"}]
MODEL = "gpt-4o-mini"
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"town": {"type": "string"}}},
    },
}


@pytest.fixture(scope="module")
def other_api() -> Iterator[stub_of_openai.Stub]:
    with stub_of_openai.running() as running:
        yield running


@pytest.fixture
def ask(stub: Any) -> Callable[..., dict[str, Any]]:
    """Arguments of a call to the stub; `x_stub_*` become its headers."""
    stub.forget()

    def make(model: str = MODEL, **more: Any) -> dict[str, Any]:
        headers = {
            key.replace("_", "-"): str(more.pop(key)) for key in list(more) if key.startswith("x_stub")
        }
        given = {
            "model": model,
            "messages": HELLO,
            "api_base": stub.base_url,
            "api_key": "sk-test-0123456789",
        }
        return {**given, "max_retries": 0, "extra_headers": headers, **more}

    return make


def run_async(work: Any) -> Any:
    async def run() -> Any:
        try:
            return await work
        finally:
            # LiteLLM keeps clients for each event loop.
            litellm.in_memory_llm_clients_cache.flush_cache()

    return asyncio.run(run())


def settle() -> None:
    """LiteLLM's logging threads hold on to a stream for a moment after it was dropped."""
    for _attempt in range(5):
        litellm.utils.executor.submit(int).result()
        gc.collect()
        time.sleep(0.05)


def test_a_completion_is_one_client_span_by_the_conventions(spans, stub, ask):
    answer = litellm.completion(
        **ask(
            "openai/gpt-4o-mini",
            temperature=0,
            top_p=1,
            max_tokens=50,
            seed=7,
            stop=["END"],
            frequency_penalty=0.5,
            presence_penalty=0,
        )
    )
    assert type(answer) is litellm.ModelResponse
    span, billed = spans.one(), stub.calls()[-1]
    check(span, "chat")
    assert (span.name, span.kind) == ("chat gpt-4o-mini", SpanKind.CLIENT)
    assert span.instrumentation_scope.name == "spanledger.instrumentation.providers.litellm"
    expected = {
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.request.temperature": 0.0,
        "gen_ai.request.top_p": 1.0,
        "gen_ai.request.max_tokens": 50,
        "gen_ai.request.seed": 7,
        "gen_ai.request.stop_sequences": ("END",),
        "gen_ai.request.frequency_penalty": 0.5,
        "gen_ai.request.presence_penalty": 0.0,
        "gen_ai.response.id": billed["id"],
        "gen_ai.response.model": MODELS[MODEL],
        "gen_ai.response.finish_reasons": ("stop",),
        "server.address": "127.0.0.1",
    }
    assert expected.items() <= dict(span.attributes).items()
    assert cost_of([span]) == price(
        "openai",
        MODELS[MODEL],
        input_tokens=billed["usage"]["prompt_tokens"],
        output_tokens=billed["usage"]["completion_tokens"],
    )


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_cached_and_reasoning_tokens_are_there_and_the_call_counts_once_case_27(
    spans, stub, ask, asynchronous, streaming
):
    """Case 27: no second span of the client under it, none doubled by streaming, details present."""
    given = ask("o3-mini", x_stub_cached_tokens=4)
    if streaming:
        given |= {"stream": True, "stream_options": {"include_usage": True}}

    async def work() -> None:
        answer = await litellm.acompletion(**given)
        if streaming:
            async for _chunk in answer:
                pass

    if asynchronous:
        run_async(work())
    elif streaming:
        list(litellm.completion(**given))
    else:
        litellm.completion(**given)
    span, usage = spans.one(), stub.calls()[-1]["usage"]
    check(span, "chat")
    assert span.attributes["gen_ai.usage.input_tokens"] == usage["prompt_tokens"]
    assert span.attributes["gen_ai.usage.output_tokens"] == usage["completion_tokens"]
    assert span.attributes["gen_ai.usage.cache_read.input_tokens"] == 4
    assert span.attributes["gen_ai.usage.reasoning.output_tokens"] == 16
    assert (span.attributes.get("gen_ai.request.stream") is True) == streaming


def test_the_span_of_the_caller_goes_on_case_27(spans, ask):
    """Case 27: ours ends, the one around it does not."""
    with trace.get_tracer("app", tracer_provider=spans.provider).start_as_current_span("mine") as mine:
        litellm.completion(**ask())
        list(litellm.completion(**ask(stream=True)))
        assert mine.is_recording()
    first, second, _ = spans.all()
    assert {first.parent.span_id, second.parent.span_id} == {mine.get_span_context().span_id}


def test_a_stream_without_usage_records_none_and_never_litellms_own_count(spans, ask):
    text = "".join(c.choices[0].delta.content or "" for c in litellm.completion(**ask(stream=True)))
    assert text == "You said: hello there Lisbon"
    attributes = spans.one().attributes
    assert not [key for key in attributes if key.startswith("gen_ai.usage.")]
    assert attributes["spanledger.cost.reason"] == "no_usage"
    assert attributes["gen_ai.response.finish_reasons"] == ("stop",)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_usage_of_a_stream_is_asked_for_and_hidden_where_that_is_switched_on(
    make_recorded, stub, ask, asynchronous
):
    async def work() -> list[Any]:
        return [chunk async for chunk in await litellm.acompletion(**ask(stream=True))]

    plain = list(litellm.completion(**ask(stream=True)))
    recorded = make_recorded(include_usage=True)
    chunks = run_async(work()) if asynchronous else list(litellm.completion(**ask(stream=True)))
    assert [chunk.choices[0].delta.content for chunk in chunks] == [
        chunk.choices[0].delta.content for chunk in plain
    ]
    usage = stub.calls()[-1]["usage"]
    assert recorded.one().attributes["gen_ai.usage.input_tokens"] == usage["prompt_tokens"]


def test_the_user_keeps_the_stream_of_litellm_case_19(spans, ask):
    """Case 19: types and attributes are LiteLLM's, and functions stay what they were to inspect."""
    stream = litellm.completion(**ask(stream=True))
    assert type(stream) is litellm.CustomStreamWrapper
    assert stream.model == MODEL
    assert next(stream).object == "chat.completion.chunk"
    list(stream)
    assert inspect.iscoroutinefunction(litellm.acompletion)
    assert "messages" in inspect.signature(litellm.completion).parameters


@pytest.mark.parametrize("ending", ["dropped", "break", "never read"])
def test_a_stream_left_early_is_one_span_that_is_no_error_case_3(spans, ask, ending):
    """Case 3: break and garbage collection end the span, once."""
    stream = litellm.completion(**ask(stream=True))
    if ending == "break":
        for _chunk in stream:
            break
    elif ending == "dropped":
        next(stream)
    del stream
    settle()
    span = spans.one()
    assert span.status.status_code is StatusCode.UNSET
    assert span.attributes["gen_ai.response.finish_reasons"] == ("error",)


def test_an_async_stream_that_is_closed_is_one_span_case_3(spans, ask):
    """Case 3, with aclose."""

    async def work() -> None:
        stream = await litellm.acompletion(**ask(stream=True))
        await anext(stream)
        await stream.aclose()

    run_async(work())
    assert spans.one().status.status_code is StatusCode.UNSET


def test_many_streams_leave_no_open_span_case_4(spans, ask):
    """Case 4: as many spans as streams, none recording any more."""
    for number in range(30):
        stream = litellm.completion(**ask(stream=True))
        if number % 2:
            next(stream)
        else:
            list(stream)
    del stream
    settle()
    assert len(spans.all()) == 30
    assert not [one for one in gc.get_objects() if type(one).__name__ == "_Span" and one.is_recording()]


def test_a_task_that_is_cancelled_is_one_error_span_case_23(spans, ask):
    """Case 23: mid-await and mid-stream, and the exception reaches the application."""

    async def work() -> None:
        async def read() -> None:
            async for _chunk in await litellm.acompletion(**ask(stream=True, x_stub_chunk_delay_ms=60)):
                reading.set()

        reading = asyncio.Event()
        waiting = litellm.acompletion(**ask(x_stub_delay_ms=300))
        for task, ready in (
            (asyncio.create_task(read()), reading.wait()),
            (asyncio.create_task(waiting), asyncio.sleep(0.1)),
        ):
            await ready
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    run_async(work())
    settle()
    assert len(spans.all()) == 2
    for span in spans.all():
        assert span.status.status_code is StatusCode.ERROR
        assert span.attributes["error.type"] == "asyncio.exceptions.CancelledError"


def test_a_stream_read_in_several_tasks_logs_nothing_cases_21_and_22(spans, ask, warnings_logged):
    """Cases 21 and 22: no context stays attached, and nothing is logged about it or about an attribute."""

    async def work() -> None:
        before = otel_context.get_current()
        stream = await asyncio.create_task(litellm.acompletion(**ask(stream=True)))
        await asyncio.create_task(anext(stream))
        assert otel_context.get_current() == before
        async for _chunk in stream:
            assert otel_context.get_current() == before

    run_async(work())
    assert len(spans.all()) == 1
    assert warnings_logged() == []


@pytest.mark.parametrize("streaming", [False, True])
def test_parallel_calls_of_tools_keep_their_ids_and_arguments_case_25(spans_with_content, ask, streaming):
    """Case 25: two calls, their arguments interleaved in a stream, stay two."""
    answer = litellm.completion(**ask(tools=[TOOL], stream=streaming, x_stub_parallel_tools=2))
    if streaming:
        list(answer)
    (message,) = json.loads(spans_with_content.one().attributes["gen_ai.output.messages"])
    assert message["finish_reason"] == "tool_call"
    assert message["parts"] == [
        {"type": "tool_call", "id": f"call_stub_{n}", "name": "weather", "arguments": {"town": "Lisbon"}}
        for n in range(2)
    ]


def test_a_model_of_pydantic_as_response_format_is_asked_for_as_json(spans, ask):
    class Weather(BaseModel):
        dry: bool

    litellm.completion(**ask(response_format=Weather))
    assert spans.one().attributes["gen_ai.output.type"] == "json"


@pytest.mark.parametrize("streaming", [False, True])
def test_a_text_completion_is_one_span_too(spans_with_content, other_api, streaming):
    given: dict[str, Any] = {
        "model": "text-completion-openai/gpt-3.5-turbo-instruct",
        "prompt": "hello there",
        "api_base": other_api.base_url,
        "api_key": "k",
    }
    if streaming:
        list(litellm.text_completion(**given, stream=True, stream_options={"include_usage": True}))
    else:
        litellm.text_completion(**given)
    span = spans_with_content.one()
    assert span.attributes["gen_ai.operation.name"] == "text_completion"
    assert span.attributes["gen_ai.provider.name"] == "openai"
    billed = other_api.last()["usage"]
    assert span.attributes["gen_ai.usage.input_tokens"] == billed["prompt_tokens"]
    assert span.attributes["gen_ai.usage.output_tokens"] == billed["completion_tokens"]
    (asked,) = json.loads(span.attributes["gen_ai.input.messages"])
    assert asked["parts"] == [{"type": "text", "content": "hello there"}]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_embeddings_record_their_input_and_never_their_vectors_case_29(
    spans_with_content, other_api, asynchronous
):
    """Case 29: vectors are no attributes."""
    given: dict[str, Any] = {
        "model": "openai/text-embedding-3-small",
        "input": ["a b", "c"],
        "api_base": other_api.base_url,
        "api_key": "k",
    }
    if asynchronous:
        run_async(litellm.aembedding(**given))
    else:
        litellm.embedding(**given)
    span = spans_with_content.one()
    check(span, "embeddings")
    tokens = other_api.last()["usage"]["prompt_tokens"]
    assert cost_of([span]) == price("openai", "text-embedding-3-small", input_tokens=tokens, output_tokens=0)
    assert len(json.loads(span.attributes["gen_ai.input.messages"])) == 2
    assert "gen_ai.output.messages" not in span.attributes


def router(stub: Any) -> Any:
    deployment = {"model": "openai/gpt-4o-mini", "api_base": stub.base_url, "api_key": "k", "max_retries": 0}
    return litellm.Router(
        model_list=[{"model_name": "fast", "litellm_params": deployment}], num_retries=0, timeout=30
    )


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_router_is_one_span_with_the_deployments_model(spans, stub, asynchronous, streaming):
    given: dict[str, Any] = {"model": "fast", "messages": HELLO, "stream": streaming}

    async def work(route: Any) -> None:
        answer = await route.acompletion(**given)
        if streaming:
            async for _chunk in answer:
                pass

    route = router(stub)
    if asynchronous:
        run_async(work(route))
    else:
        answer = route.completion(**given)
        if streaming:
            list(answer)
    settle()
    span = spans.one()
    assert span.attributes["gen_ai.request.model"] == "gpt-4o-mini"
    assert span.attributes["gen_ai.response.model"] == MODELS[MODEL]
    assert span.attributes["gen_ai.provider.name"] == "openai"


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("groq/llama-3.1-8b-instant", "groq"),
        ("deepseek/deepseek-chat", "deepseek"),
        ("mistral/mistral-small-latest", "mistral_ai"),
        ("xai/grok-4", "x_ai"),
        ("together_ai/some-model", "together"),
    ],
)
def test_the_provider_is_litellms_own_resolution(spans, ask, model, provider):
    litellm.completion(**ask(model))
    attributes = spans.one().attributes
    assert attributes["gen_ai.provider.name"] == provider
    assert attributes["gen_ai.request.model"] == model.partition("/")[2]


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(("status", "kind"), [(401, "AuthenticationError"), (429, "RateLimitError")])
def test_an_error_has_what_was_asked_and_where_case_33(spans, ask, streaming, status, kind):
    """Case 33: error spans carry the server and the request's attributes."""
    with pytest.raises(getattr(litellm.exceptions, kind)):
        litellm.completion(**ask(stream=streaming, temperature=0.5, x_stub_status=status))
    span = spans.one()
    check(span, "chat")
    assert span.attributes["error.type"] == f"litellm.exceptions.{kind}"
    assert span.attributes["gen_ai.request.temperature"] == 0.5
    assert span.attributes["server.address"] == "127.0.0.1"


def test_a_stream_that_breaks_is_one_error_span_with_what_came_before(spans, ask):
    stream = litellm.completion(**ask(stream=True, x_stub_break_after=3))
    with pytest.raises(Exception, match=r"."):
        list(stream)
    span = spans.one()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["gen_ai.response.id"]


@pytest.mark.parametrize("streaming", [False, True])
def test_the_trace_goes_on_at_the_provider_where_it_is_asked_for(make_recorded, ask, streaming):
    recorded = make_recorded(propagate=True)
    with mistral.stub() as api:
        answer = litellm.completion(
            **ask("openai/mistral-small-2603", stream=streaming, api_base=f"{api.root_url}/v1")
        )
        if streaming:
            list(answer)
    sent = api.asked[-1].headers["traceparent"]
    assert format(recorded.one().context.span_id, "016x") in sent


def test_an_answer_of_litellms_own_cache_was_billed_by_nobody(spans, stub, ask):
    litellm.cache = litellm.Cache(type="local")
    try:
        for _time in range(2):
            litellm.completion(**ask(caching=True))
            time.sleep(0.2)
    finally:
        litellm.cache = None
    assert len(stub.calls()) == 1
    asked, cached = spans.all()
    assert asked.attributes["gen_ai.usage.input_tokens"] == stub.calls()[0]["usage"]["prompt_tokens"]
    assert "gen_ai.usage.input_tokens" not in cached.attributes
    assert cached.attributes["spanledger.cost.reason"] == "no_usage"


def test_reasoning_that_a_provider_leaves_out_of_its_output_is_counted_case_18():
    """Case 18: the total says whether reasoning is part of the output; cache writes have two names."""
    told = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 22,
        "completion_tokens_details": {"reasoning_tokens": 7},
        "cache_creation_input_tokens": 3,
        "cache_read_input_tokens": 2,
    }
    usage = read_usage(told)
    assert usage is not None
    assert (usage.input, usage.output, usage.reasoning) == (10, 12, 7)
    assert (usage.cache_read, usage.cache_write) == (2, 3)
    within = read_usage({**told, "total_tokens": 15, "completion_tokens": 12})
    assert within is not None
    assert within.output == 12
    assert read_usage({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}) is None


def test_content_is_recorded_only_when_it_is_switched_on(make_recorded, ask):
    for capture in (False, True):
        recorded = make_recorded(capture_content=capture)
        litellm.completion(**ask())
        assert ("Lisbon" in json.dumps(dict(recorded.one().attributes))) is capture
        uninstrument()


def test_what_is_asked_later_is_not_in_the_call_before(spans_with_content, ask):
    """A conversation goes on in the same list while the stream before it is still held."""
    messages = [{"role": "user", "content": "first"}]
    stream = litellm.completion(**{**ask(stream=True), "messages": messages})
    next(iter(stream))
    messages.append({"role": "user", "content": "second"})
    list(stream)
    asked = spans_with_content.one().attributes["gen_ai.input.messages"]
    assert "first" in asked
    assert "second" not in asked


def test_its_functions_are_copied_and_pickled_as_before(spans, ask):
    """Settings that hold a function are copied, and pools of processes pickle what they call."""
    copied = copy.deepcopy({"ask": litellm.completion})["ask"]
    sent = pickle.loads(pickle.dumps(functools.partial(litellm.completion, **ask())))
    assert copied(**ask()).choices
    assert sent().choices
    assert len(spans.all()) == 2


def test_switching_off_restores_litellm_and_on_again_is_one_span_case_30(make_recorded, ask):
    """Case 30: three times on and off, twice on at once, streams included."""
    names = ("completion", "acompletion", "embedding", "text_completion")
    stream_class = litellm.CustomStreamWrapper
    originals = [vars(litellm)[name] for name in names], vars(stream_class)["__next__"]
    for _round in range(3):
        recorded = make_recorded()
        instrument(tracer_provider=recorded.provider)
        LiteLLMInstrumentor().instrument()
        litellm.completion(**ask())
        list(litellm.completion(**ask(stream=True)))
        assert len(recorded.all()) == 2
        uninstrument()
        assert ([vars(litellm)[name] for name in names], vars(stream_class)["__next__"]) == originals
        list(litellm.completion(**ask(stream=True)))
        assert len(recorded.all()) == 2


def test_500_random_calls_sum_up_to_what_was_billed(spans, stub, ask):
    """Streams, tools, errors, cached, reasoning, sync and async: tokens and costs to the last digit."""
    dice = random.Random(6)

    async def work() -> None:
        for _number in range(500):
            await _random_call(dice, ask)

    run_async(work())
    settle()
    found, billed = spans.all(), stub.calls()
    assert len(found) == 500
    usages = [bill["usage"] for bill in billed]
    assert summed(found, "gen_ai.usage.input_tokens") == sum(usage["prompt_tokens"] for usage in usages)
    assert summed(found, "gen_ai.usage.output_tokens") == sum(usage["completion_tokens"] for usage in usages)
    cached = [usage["prompt_tokens_details"]["cached_tokens"] for usage in usages]
    assert summed(found, "gen_ai.usage.cache_read.input_tokens") == sum(cached)
    reasoning = [usage["completion_tokens_details"]["reasoning_tokens"] for usage in usages]
    assert summed(found, "gen_ai.usage.reasoning.output_tokens") == sum(reasoning)
    expected = sum(
        price(
            "openai",
            bill["model"],
            input_tokens=bill["usage"]["prompt_tokens"],
            output_tokens=bill["usage"]["completion_tokens"],
            cache_read_tokens=read,
        )
        for bill, read in zip(billed, cached, strict=True)
    )
    assert cost_of(found) == expected
    failed = [span for span in found if span.status.status_code is StatusCode.ERROR]
    assert len(failed) == 500 - len(billed) > 10


async def _random_call(dice: random.Random, ask: Any) -> None:
    given = ask(
        dice.choice(["gpt-4o-mini", "openai/gpt-4.1-nano", "o3-mini"]),
        x_stub_text="-".join(["word"] * dice.randint(1, 30)),
        x_stub_cached_tokens=dice.randint(0, 6),
        x_stub_reasoning_tokens=dice.randint(0, 40),
    )
    if dice.random() < 0.3:
        given["tools"] = [TOOL]
    fails = dice.random() < 0.06
    if fails:
        given["extra_headers"]["x-stub-status"] = "429"
    streamed = {"stream": True, "stream_options": {"include_usage": True}}
    try:
        match dice.randrange(4):
            case 0:
                litellm.completion(**given)
            case 1:
                list(litellm.completion(**given, **streamed))
            case 2:
                await litellm.acompletion(**given)
            case _:
                async for _chunk in await litellm.acompletion(**given, **streamed):
                    pass
    except litellm.exceptions.RateLimitError:
        assert fails
