"""A stream of Anthropic's leaves exactly one span, however it is read and however it ends."""

import asyncio
import gc
import tracemalloc
from contextvars import ContextVar
from decimal import Decimal
from typing import Any

import anthropic
import pytest
from opentelemetry import context as otel_context
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.trace import StatusCode

from tests.instrumentation.anthropic.asking import ASK, MODEL, STREAM, plan
from tests.instrumentation.anthropic.prices import price_of

pytestmark = pytest.mark.usefixtures("by_the_conventions")

START = {
    "id": "m",
    "type": "message",
    "role": "assistant",
    "model": MODEL,
    "content": [],
    "stop_reason": None,
    "stop_sequence": None,
    "usage": {"input_tokens": 10, "output_tokens": 1},
}
SEARCHED = {
    "input_tokens": 700,
    "output_tokens": 20,
    "server_tool_use": {"web_search_requests": 1, "web_fetch_requests": 0},
}
EVENTS: list[Any] = [
    {"type": "message_start", "message": START},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": SEARCHED},
    {"type": "message_stop"},
]


def text_of(events: Any) -> str:
    return "".join(
        event.delta.text
        for event in events
        if event.type == "content_block_delta" and event.delta.type == "text_delta"
    )


def test_a_stream_read_to_its_end_has_the_usage_of_its_last_event(spans, client, stub):
    usage = {"input_tokens": 5, "cache_read_input_tokens": 900, "cache_creation_input_tokens": 100}
    split = {"cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 100}}
    events = client.messages.create(**STREAM, extra_headers=plan(usage={**usage, **split}))
    assert text_of(events) == "You said: hello there Lisbon"
    span, billed = spans.one(), stub.bills[-1]
    assert span.attributes["gen_ai.request.stream"] is True
    assert span.attributes["gen_ai.usage.input_tokens"] == 1005
    assert span.attributes["gen_ai.usage.output_tokens"] == billed["usage"]["output_tokens"]
    assert span.attributes["spanledger.usage.cache_write_1h_tokens"] == 100
    assert span.attributes["gen_ai.response.finish_reasons"] == ("end_turn",)
    assert span.attributes["gen_ai.response.id"] == billed["id"]
    assert span.attributes["gen_ai.response.time_to_first_chunk"] > 0
    assert Decimal(span.attributes["spanledger.cost.total"]) == price_of(billed)
    assert span.status.status_code is StatusCode.UNSET


def test_the_input_that_server_tools_add_is_that_of_the_last_event(spans, canned):
    list(canned(events=EVENTS).messages.create(**STREAM))
    attributes = spans.one().attributes
    assert attributes["gen_ai.usage.input_tokens"] == 700
    assert attributes["gen_ai.usage.output_tokens"] == 20
    assert attributes["spanledger.usage.web_searches"] == 1


def test_the_user_gets_the_sdks_own_stream_object_case_19(spans, client):
    """Case 19: type, attributes and iteration are those of the SDK."""
    stream = client.messages.create(**STREAM)
    assert type(stream) is anthropic.Stream
    assert stream.response.status_code == 200
    assert next(stream).type == "message_start"
    assert text_of(stream)
    assert stream.response.is_closed


def test_an_async_stream_is_the_sdks_own_too_case_19(spans, make_async_client, stub):
    """Case 19, async: `async with`, iteration and closing reach the provider's response."""

    async def run() -> list[Any]:
        async with make_async_client() as client:
            stream = await client.messages.create(**STREAM)
            assert type(stream) is anthropic.AsyncStream
            async with stream:
                events = [event async for event in stream]
            assert stream.response.is_closed
            return events

    assert text_of(asyncio.run(run())) == "You said: hello there Lisbon"
    assert spans.one().attributes["gen_ai.usage.output_tokens"] == stub.bills[-1]["usage"]["output_tokens"]


@pytest.mark.parametrize("ending", ["close", "with", "dropped", "never read"])
def test_a_stream_left_early_is_one_span_that_is_no_error_case_3(spans, client, ending):
    """Case 3: closed, left by `with`, broken off or never read: one span, and no count that was not told."""
    stream = client.messages.create(**STREAM)
    if ending == "close":
        next(stream)
        stream.close()
        stream.close()
    elif ending == "with":
        with stream:
            next(stream)
    elif ending == "dropped":
        for _event in stream:
            break
    del stream
    gc.collect()
    span = spans.one()
    assert span.status.status_code is StatusCode.UNSET
    assert span.attributes["gen_ai.response.finish_reasons"] == ("error",)
    assert ("gen_ai.usage.input_tokens" in span.attributes) == (ending != "never read")
    # The first event has a placeholder for what is written.
    assert "gen_ai.usage.output_tokens" not in span.attributes


def test_an_async_stream_left_early_is_one_span_case_3(spans, make_async_client):
    """Case 3, async."""

    async def run() -> None:
        async with make_async_client() as client:
            async with await client.messages.create(**STREAM) as stream:
                async for _event in stream:
                    break
            other = await client.messages.create(**STREAM)
            await anext(other)
            await other.close()

    asyncio.run(run())
    assert len(spans.all()) == 2


def test_a_stream_left_after_its_last_word_has_all_it_used(spans, client, stub):
    stream = client.messages.create(**STREAM)
    for event in stream:
        if event.type == "message_delta":
            break
    stream.close()
    span = spans.one()
    assert span.attributes["gen_ai.response.finish_reasons"] == ("end_turn",)
    assert span.attributes["gen_ai.usage.output_tokens"] == stub.bills[-1]["usage"]["output_tokens"]


def test_a_stream_that_breaks_is_one_error_span_with_what_came_before(spans, client):
    stream = client.messages.create(**STREAM, extra_headers=plan(break_after=3))
    with pytest.raises(Exception, match="peer closed connection") as raised:
        list(stream)
    span = spans.one()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"].endswith(type(raised.value).__qualname__)
    assert span.attributes["gen_ai.response.model"] == MODEL
    assert span.attributes["gen_ai.usage.input_tokens"] > 0


def test_an_error_event_in_a_stream_is_one_error_span(spans, client):
    stream = client.messages.create(**STREAM, extra_headers=plan(error_after=2))
    with pytest.raises(anthropic.APIError) as raised:
        list(stream)
    span = spans.one()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"].startswith(("anthropic.", "200"))
    assert "overloaded" in str(raised.value)


def test_a_task_cancelled_in_mid_stream_is_one_error_span_case_23(spans, make_async_client):
    """Case 23: cancelled while the next event is awaited."""

    async def read(client: anthropic.AsyncAnthropic) -> None:
        async for _event in await client.messages.create(**STREAM, extra_headers=plan(chunk_delay_ms=60)):
            pass

    async def run() -> None:
        async with make_async_client() as client:
            task = asyncio.create_task(read(client))
            await asyncio.sleep(0.2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(run())
    span = spans.one()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == "asyncio.exceptions.CancelledError"


def test_nothing_stays_attached_to_the_context_case_22(spans, client, make_async_client, warnings_logged):
    """Case 22: no context across a yield, whichever task reads or closes."""
    before = otel_context.get_current()
    for _event in client.messages.create(**STREAM):
        assert otel_context.get_current() == before

    async def relay(stream: Any) -> Any:
        async for event in stream:
            yield event

    async def run() -> None:
        async with make_async_client() as async_client:
            stream = await asyncio.create_task(async_client.messages.create(**STREAM))
            relayed = relay(stream)
            await asyncio.create_task(anext(relayed))
            await asyncio.create_task(relayed.aclose())
            await asyncio.create_task(stream.close())

    asyncio.run(run())
    assert otel_context.get_current() == before
    assert len(spans.all()) == 2
    assert warnings_logged() == []


def test_the_stream_helper_keeps_its_methods_case_20(spans, client, stub):
    """Case 20: text_stream, get_final_message, get_final_text, current_message_snapshot and events."""
    with client.messages.stream(**ASK) as stream:
        assert isinstance(stream, anthropic.MessageStream)
        assert "".join(stream.text_stream) == "You said: hello there Lisbon"
        assert stream.get_final_text() == "You said: hello there Lisbon"
        message = stream.get_final_message()
        assert stream.current_message_snapshot is message
    assert spans.one().attributes["gen_ai.usage.output_tokens"] == message.usage.output_tokens
    assert spans.one().attributes["gen_ai.response.id"] == stub.bills[-1]["id"]
    spans.clear()
    with client.messages.stream(**ASK) as stream:
        kinds = [event.type for event in stream]
    assert {"text", "content_block_stop", "message_stop"} <= set(kinds)
    assert len(spans.all()) == 1


def test_the_async_stream_helper_keeps_its_methods_case_20(spans, make_async_client):
    """Case 20, async."""

    async def run() -> Any:
        async with make_async_client() as client, client.messages.stream(**ASK) as stream:
            words = [word async for word in stream.text_stream]
            assert "".join(words) == await stream.get_final_text()
            return await stream.get_final_message()

    message = asyncio.run(run())
    assert spans.one().attributes["gen_ai.usage.output_tokens"] == message.usage.output_tokens


def test_the_helper_of_beta_and_one_left_early_are_one_span_each(spans, client):
    with client.beta.messages.stream(**ASK) as stream:
        assert stream.get_final_message().stop_reason == "end_turn"
    with client.messages.stream(**ASK) as stream:
        next(stream)
    whole, left = spans.all()
    assert whole.attributes["gen_ai.response.finish_reasons"] == ("end_turn",)
    assert left.attributes["gen_ai.response.finish_reasons"] == ("error",)


def test_many_streams_leave_no_open_span_and_no_recording_behind_case_4(spans, canned):
    """Case 4: read, closed or dropped, no span stays open and memory stays as it was."""
    from spanledger.instrumentation.streams import Recording

    client = canned(events=EVENTS)

    def run(times: int) -> None:
        for number in range(times):
            stream = client.messages.create(**STREAM)
            next(stream)
            if number % 3 == 0:
                stream.close()
            elif number % 3 == 1:
                list(stream)
        del stream
        gc.collect()
        assert len(spans.all()) == times
        spans.clear()

    run(100)
    tracemalloc.start()
    try:
        run(100)
        before = tracemalloc.get_traced_memory()[0]
        run(900)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert not [thing for thing in gc.get_objects() if isinstance(thing, Recording)]
    # A span that stays costs several kilobytes.
    assert grown < 900 * 100


def test_a_stream_that_the_collector_finds_ends_in_a_context_of_its_own(spans, client):
    """Up to Python 3.11 a collection may begin inside of `ContextVar.set`: to set one then crashes Python."""
    variable = ContextVar("variable", default="as it was")

    class Setting(SpanProcessor):
        def on_end(self, span: Any) -> None:
            variable.set(span.name)

    spans.provider.add_span_processor(Setting())
    for raw in (False, True):
        messages = client.messages.with_raw_response if raw else client.messages
        stream = messages.create(**STREAM)
        stream.itself = stream
        del stream
        gc.collect()
    assert len(spans.all()) == 2
    assert variable.get() == "as it was"
