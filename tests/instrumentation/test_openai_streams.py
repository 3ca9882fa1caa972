"""A stream leaves exactly one span, however it is read and however it ends."""

import asyncio
import copy
import gc
import json
import threading
from typing import Any

import openai
import pytest
from opentelemetry import context as otel_context
from opentelemetry.trace import StatusCode

pytestmark = pytest.mark.usefixtures("by_the_conventions")

HELLO: list[Any] = [{"role": "user", "content": "hello there Lisbon"}]
ASK: dict[str, Any] = {"model": "gpt-4o-mini", "messages": HELLO}
STREAM: dict[str, Any] = {**ASK, "stream": True}
WITH_USAGE: dict[str, Any] = {**STREAM, "stream_options": {"include_usage": True}}
SLOW = {"x-stub-chunk-delay-ms": "40"}


def text_of(chunks: Any) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def test_a_stream_read_to_its_end_records_the_usage_of_its_last_chunk(spans, client, stub):
    assert text_of(client.chat.completions.create(**WITH_USAGE)) == "You said: hello there Lisbon"
    span, usage = spans.one(), stub.calls()[-1]["usage"]
    assert span.attributes["gen_ai.request.stream"] is True
    assert span.attributes["gen_ai.usage.input_tokens"] == usage["prompt_tokens"]
    assert span.attributes["gen_ai.usage.output_tokens"] == usage["completion_tokens"]
    assert span.attributes["gen_ai.response.finish_reasons"] == ("stop",)
    assert span.attributes["gen_ai.response.id"] == stub.calls()[-1]["id"]
    assert "spanledger.cost.total" in span.attributes
    assert span.status.status_code is StatusCode.UNSET


def test_usage_on_a_chunk_with_choices_is_recorded_too(spans, client, stub):
    text_of(client.chat.completions.create(**STREAM, extra_headers={"x-stub-usage-with-choices": "1"}))
    assert spans.one().attributes["gen_ai.usage.input_tokens"] == stub.calls()[-1]["usage"]["prompt_tokens"]


def test_a_stream_without_usage_records_none_and_never_guesses(spans, client):
    text_of(client.chat.completions.create(**STREAM))
    attributes = spans.one().attributes
    assert not [key for key in attributes if key.startswith("gen_ai.usage.")]
    assert attributes["spanledger.cost.reason"] == "no_usage"
    assert attributes["gen_ai.response.finish_reasons"] == ("stop",)


def test_the_time_to_the_first_chunk_is_in_seconds_and_before_the_end(spans, client):
    text_of(client.chat.completions.create(**STREAM, extra_headers=SLOW))
    span = spans.one()
    first = span.attributes["gen_ai.response.time_to_first_chunk"]
    assert isinstance(first, float)
    assert 0.03 < first < (span.end_time - span.start_time) / 1e9


def test_the_user_gets_the_sdks_own_stream_object(spans, client):
    stream = client.chat.completions.create(**STREAM)
    assert type(stream) is openai.Stream
    assert stream.response.status_code == 200
    assert next(stream).id
    assert text_of(stream)
    assert stream.response.is_closed


def test_an_async_stream_is_the_sdks_own_too_and_records_the_same(spans, make_async_client):
    async def run() -> str:
        async with make_async_client() as client:
            stream = await client.chat.completions.create(**WITH_USAGE)
            assert type(stream) is openai.AsyncStream
            async with stream:
                return "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])

    assert asyncio.run(run()) == "You said: hello there Lisbon"
    assert spans.one().attributes["gen_ai.usage.output_tokens"] == 6


@pytest.mark.parametrize("ending", ["close", "with", "dropped", "never read"])
def test_a_stream_left_early_is_one_span_that_is_no_error(spans, client, ending):
    stream = client.chat.completions.create(**STREAM)
    if ending == "close":
        next(stream)
        stream.close()
        stream.close()
    elif ending == "with":
        with stream:
            next(stream)
    elif ending == "dropped":
        for _chunk in stream:
            break
    del stream
    gc.collect()
    span = spans.one()
    assert span.status.status_code is StatusCode.UNSET
    assert span.attributes["gen_ai.response.finish_reasons"] == ("error",)
    assert ("gen_ai.response.id" in span.attributes) == (ending != "never read")


def test_an_async_stream_left_early_is_one_span(spans, make_async_client):
    async def run() -> None:
        async with make_async_client() as client:
            async with await client.chat.completions.create(**STREAM) as stream:
                async for _chunk in stream:
                    break
            other = await client.chat.completions.create(**STREAM)
            await anext(other)
            await other.close()

    asyncio.run(run())
    assert len(spans.all()) == 2


def test_an_abandoned_stream_ends_with_its_last_chunk_not_with_its_collection(spans, client):
    stream = client.chat.completions.create(**STREAM)
    next(stream)
    threading.Event().wait(0.2)
    stream.close()
    span = spans.one()
    assert (span.end_time - span.start_time) / 1e9 < 0.2


def test_a_consumer_that_raises_gets_its_own_exception_back(spans, client):
    class OwnError(Exception):
        pass

    def consume() -> None:
        with client.chat.completions.create(**STREAM) as stream:
            for _chunk in stream:
                raise OwnError

    with pytest.raises(OwnError):
        consume()
    assert len(spans.all()) == 1


def test_a_stream_that_breaks_is_one_error_span_with_what_came_before(spans, client):
    stream = client.chat.completions.create(**STREAM, extra_headers={"x-stub-break-after": "3"})
    with pytest.raises(openai.APIConnectionError):
        list(stream)
    span = spans.one()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == "openai.APIConnectionError"
    assert span.attributes["gen_ai.response.model"] == "gpt-4o-mini-2024-07-18"


def test_an_error_event_in_a_stream_is_one_error_span(spans, client):
    stream = client.chat.completions.create(**STREAM, extra_headers={"x-stub-error-after": "2"})
    with pytest.raises(openai.APIError):
        list(stream)
    assert spans.one().attributes["error.type"] == "openai.APIError"


def test_a_task_cancelled_in_mid_stream_is_one_error_span_and_stays_cancelled(spans, make_async_client):
    async def read(client: openai.AsyncOpenAI) -> None:
        async for _chunk in await client.chat.completions.create(**STREAM, extra_headers=SLOW):
            pass

    async def run() -> None:
        async with make_async_client() as client:
            task = asyncio.create_task(read(client))
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(run())
    span = spans.one()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == "asyncio.exceptions.CancelledError"


def test_nothing_stays_attached_to_the_context_while_a_stream_is_read(spans, client):
    before = otel_context.get_current()
    for _chunk in client.chat.completions.create(**STREAM):
        assert otel_context.get_current() == before
    assert otel_context.get_current() == before


def test_a_stream_started_in_one_task_and_read_in_others_logs_nothing(
    spans, make_async_client, warnings_logged
):
    async def relay(stream: Any) -> Any:
        async for chunk in stream:
            yield chunk

    async def run() -> None:
        async with make_async_client() as client:
            stream = await asyncio.create_task(client.chat.completions.create(**STREAM))
            relayed = relay(stream)
            await asyncio.create_task(anext(relayed))
            await asyncio.create_task(relayed.aclose())
            await asyncio.create_task(stream.close())

    asyncio.run(run())
    assert len(spans.all()) == 1
    assert warnings_logged() == []


def test_the_stream_helper_keeps_its_methods_and_is_one_span(spans, client):
    with client.chat.completions.stream(**ASK, stream_options={"include_usage": True}) as stream:
        kinds = {event.type for event in stream}
        completion = stream.get_final_completion()
    assert "content.done" in kinds
    assert completion.choices[0].message.content == "You said: hello there Lisbon"
    assert spans.one().attributes["gen_ai.usage.output_tokens"] == completion.usage.completion_tokens


def test_the_stream_helper_left_early_is_one_span(spans, client):
    with client.chat.completions.stream(**ASK) as stream:
        next(stream)
    assert len(spans.all()) == 1


def test_the_async_stream_helper_keeps_its_methods_and_is_one_span(spans, make_async_client):
    async def run() -> Any:
        async with make_async_client() as client, client.chat.completions.stream(**ASK) as stream:
            return await stream.get_final_completion()

    assert asyncio.run(run()).choices[0].message.content == "You said: hello there Lisbon"
    assert len(spans.all()) == 1


def chunk_event(**fields: Any) -> str:
    return json.dumps(
        {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o", **fields}
    )


def test_a_thousand_streams_leave_no_open_span_and_no_recording_behind(spans, canned):
    from spanledger.instrumentation.streams import Recording

    events = [
        chunk_event(choices=[{"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}]),
        "[DONE]",
    ]
    client = canned(events=events)
    for number in range(1000):
        stream = client.chat.completions.create(**STREAM)
        next(stream)
        if number % 2:
            stream.close()
    del stream
    gc.collect()
    assert len(spans.all()) == 1000
    assert not [thing for thing in gc.get_objects() if isinstance(thing, Recording)]
    # A stream whose every choice had ended lost nothing when it was left.
    assert spans.all()[0].attributes["gen_ai.response.finish_reasons"] == ("stop",)


def test_a_running_total_of_usage_counts_once(spans, canned):
    def usage(count: int) -> dict[str, int]:
        return {"prompt_tokens": 5, "completion_tokens": count, "total_tokens": 5 + count}

    choices = [{"index": 0, "delta": {"content": "x"}, "finish_reason": None}]
    events = [chunk_event(choices=choices, usage=usage(count)) for count in (1, 2, 3)]
    list(canned(events=[*events, "[DONE]"]).chat.completions.create(**STREAM))
    assert spans.one().attributes["gen_ai.usage.output_tokens"] == 3


def test_a_stream_and_its_iterator_can_be_copied(make_recorded, client):
    make_recorded(include_usage=True)
    with client.chat.completions.create(**ASK, stream=True) as stream:
        for copied in (copy.copy(stream)._iterator, copy.copy(stream._iterator)):
            assert next(copied).object == "chat.completion.chunk"
