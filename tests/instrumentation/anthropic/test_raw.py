"""Raw responses: the user reads them as without us, and the span has its usage all the same."""

import asyncio
import gc
from typing import Any

import anthropic
import pytest

from tests.instrumentation.anthropic.asking import ASK, STREAM, plan

pytestmark = pytest.mark.usefixtures("by_the_conventions")


def assert_one_span_with_usage(spans: Any, stub: Any) -> None:
    attributes, usage = spans.one().attributes, stub.bills[-1]["usage"]
    assert attributes["gen_ai.usage.input_tokens"] == usage["input_tokens"]
    assert attributes["gen_ai.usage.output_tokens"] == usage["output_tokens"]
    assert attributes["gen_ai.response.finish_reasons"] == ("end_turn",)
    assert "spanledger.cost.total" in attributes


def test_with_raw_response_gives_headers_and_parse_case_1(spans, client, stub):
    """Case 1: the application gets the SDK's raw response, whole."""
    raw = client.messages.with_raw_response.create(**ASK)
    assert_one_span_with_usage(spans, stub)
    message = raw.parse()
    assert raw.headers["request-id"] == f"req_{message.id}"
    assert message.content[0].text == "You said: hello there Lisbon"
    assert raw.http_response.status_code == 200


def test_with_raw_response_of_a_stream_case_1(spans, client, stub):
    """Case 1: a raw response of a stream."""
    stream = client.messages.with_raw_response.create(**STREAM).parse()
    assert isinstance(stream, anthropic.Stream)
    assert list(stream)
    assert_one_span_with_usage(spans, stub)
    assert spans.one().attributes["gen_ai.response.time_to_first_chunk"] > 0


@pytest.mark.parametrize("reading", ["parse", "read", "json", "text", "iter_bytes", "iter_lines"])
def test_with_streaming_response_however_it_is_read_case_2(spans, client, stub, reading):
    """Case 2: whichever method reads the body."""
    with client.messages.with_streaming_response.create(**ASK) as response:
        read = getattr(response, reading)()
        assert list(read) if reading.startswith("iter") else read
    assert_one_span_with_usage(spans, stub)


@pytest.mark.parametrize("reading", ["parse", "iter_lines"])
def test_with_streaming_response_of_a_stream_case_2(spans, client, stub, reading):
    """Case 2: a stream in a streaming response."""
    with client.messages.with_streaming_response.create(**STREAM) as response:
        assert list(getattr(response, reading)())
    assert_one_span_with_usage(spans, stub)


def test_the_async_raw_entry_points_cases_1_and_2(spans, make_async_client, stub):
    """Cases 1 and 2, async: all four entry points, `parse()` being a coroutine in two of them."""

    async def run() -> None:
        async with make_async_client() as client:
            raw = await client.messages.with_raw_response.create(**ASK)
            parsed = raw.parse()
            message = await parsed if asyncio.iscoroutine(parsed) else parsed
            assert message.content[0].text
            assert_one_span_with_usage(spans, stub)
            spans.clear()

            raw_stream = await client.messages.with_raw_response.create(**STREAM)
            parsed = raw_stream.parse()
            stream = await parsed if asyncio.iscoroutine(parsed) else parsed
            assert [event async for event in stream]
            assert_one_span_with_usage(spans, stub)
            spans.clear()

            async with client.messages.with_streaming_response.create(**ASK) as response:
                assert (await response.parse()).content[0].text
            assert_one_span_with_usage(spans, stub)
            spans.clear()

            async with client.messages.with_streaming_response.create(**STREAM) as response:
                assert [event async for event in await response.parse()]
            assert_one_span_with_usage(spans, stub)

    asyncio.run(run())


def test_a_raw_stream_that_is_dropped_is_one_span_case_3(spans, client):
    """Case 3: nobody reads the raw response."""
    raw = client.messages.with_raw_response.create(**STREAM)
    del raw
    gc.collect()
    assert len(spans.all()) == 1


def test_an_error_event_in_a_raw_stream_is_named(spans, client):
    with client.messages.with_streaming_response.create(
        **STREAM, extra_headers=plan(error_after=2)
    ) as response:
        list(response.iter_lines())
    assert spans.one().attributes["error.type"] == "overloaded_error"


def test_raw_errors_are_the_users_and_one_error_span(spans, client):
    with pytest.raises(anthropic.RateLimitError):
        client.messages.with_raw_response.create(**ASK, extra_headers=plan(status=429))
    assert spans.one().attributes["error.type"] == "anthropic.RateLimitError"
