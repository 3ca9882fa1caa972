"""Raw responses: the user reads them as without us, and the span has its usage all the same."""

import asyncio
import gc
from typing import Any

import openai
import pytest

pytestmark = pytest.mark.usefixtures("by_the_conventions")

HELLO: list[Any] = [{"role": "user", "content": "hello there Lisbon"}]
ASK: dict[str, Any] = {"model": "gpt-4o-mini", "messages": HELLO}
WITH_USAGE: dict[str, Any] = {**ASK, "stream": True, "stream_options": {"include_usage": True}}


def assert_one_span_with_usage(spans: Any) -> None:
    attributes = spans.one().attributes
    assert (attributes["gen_ai.usage.input_tokens"], attributes["gen_ai.usage.output_tokens"]) == (6, 6)
    assert attributes["gen_ai.response.finish_reasons"] == ("stop",)
    assert "spanledger.cost.total" in attributes


def test_with_raw_response_gives_headers_and_parse(spans, client):
    raw = client.chat.completions.with_raw_response.create(**ASK)
    # The span does not wait for the user to parse.
    assert_one_span_with_usage(spans)
    completion = raw.parse()
    assert raw.headers["x-request-id"] == f"req-{completion.id}"
    assert completion.choices[0].message.content == "You said: hello there Lisbon"
    assert raw.parse() is completion
    assert "time_to_first_chunk" not in spans.one().to_json()


def test_with_raw_response_of_a_stream(spans, client):
    stream = client.chat.completions.with_raw_response.create(**WITH_USAGE).parse()
    assert isinstance(stream, openai.Stream)
    assert list(stream)
    assert_one_span_with_usage(spans)
    assert spans.one().attributes["gen_ai.response.time_to_first_chunk"] > 0


def test_a_stream_as_langchain_reads_it_is_marked_and_has_its_first_chunk_case_35(spans, client):
    with client.chat.completions.with_raw_response.create(**WITH_USAGE).parse() as stream:
        for number, _ in enumerate(stream):
            if number == 0:
                assert spans.all() == []
    assert_one_span_with_usage(spans)
    attributes = spans.one().attributes
    assert attributes["gen_ai.request.stream"] is True
    assert attributes["gen_ai.response.time_to_first_chunk"] > 0


@pytest.mark.parametrize("reading", ["parse", "read", "json", "text", "iter_bytes", "iter_lines"])
def test_with_streaming_response_however_it_is_read(spans, client, reading):
    with client.chat.completions.with_streaming_response.create(**ASK) as response:
        read = getattr(response, reading)()
        if reading.startswith("iter"):
            read = list(read)
        assert read
    assert_one_span_with_usage(spans)


@pytest.mark.parametrize("reading", ["parse", "iter_lines"])
def test_with_streaming_response_of_a_stream(spans, client, reading):
    with client.chat.completions.with_streaming_response.create(**WITH_USAGE) as response:
        assert list(getattr(response, reading)())
    assert_one_span_with_usage(spans)


def test_with_streaming_response_that_nobody_reads_is_one_span_without_usage(spans, client):
    with client.chat.completions.with_streaming_response.create(**ASK) as response:
        assert response.status_code == 200
    assert spans.one().attributes["spanledger.cost.reason"] == "no_usage"
    assert "gen_ai.response.finish_reasons" not in spans.one().attributes


def test_a_raw_stream_that_is_dropped_is_one_span(spans, client):
    raw = client.chat.completions.with_raw_response.create(**WITH_USAGE)
    del raw
    gc.collect()
    assert len(spans.all()) == 1


def test_the_async_raw_entry_points(spans, make_async_client):
    async def run() -> None:
        async with make_async_client() as client:
            raw = await client.chat.completions.with_raw_response.create(**ASK)
            assert raw.parse().choices[0].message.content
            assert_one_span_with_usage(spans)
            spans.clear()

            raw_stream = await client.chat.completions.with_raw_response.create(**WITH_USAGE)
            assert [chunk async for chunk in raw_stream.parse()]
            assert_one_span_with_usage(spans)
            spans.clear()

            async with client.chat.completions.with_streaming_response.create(**ASK) as response:
                assert (await response.parse()).choices[0].message.content
            assert_one_span_with_usage(spans)
            spans.clear()

            async with client.chat.completions.with_streaming_response.create(**WITH_USAGE) as response:
                assert [chunk async for chunk in await response.parse()]
            assert_one_span_with_usage(spans)

    asyncio.run(run())


def test_raw_errors_are_the_users_and_one_error_span(spans, client):
    with pytest.raises(openai.RateLimitError):
        client.chat.completions.with_raw_response.create(**ASK, extra_headers={"x-stub-status": "429"})
    assert spans.one().attributes["error.type"] == "openai.RateLimitError"


def test_an_error_event_in_a_raw_stream_is_named(spans, client):
    with client.chat.completions.with_streaming_response.create(
        **WITH_USAGE, extra_headers={"x-stub-error-after": "2"}
    ) as response:
        list(response.iter_lines())
    assert spans.one().attributes["error.type"] == "stub"
