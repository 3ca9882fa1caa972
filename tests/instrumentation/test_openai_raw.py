"""Raw responses: the user reads them as without us, and the span has its usage all the same."""

import asyncio
import gc
import json
from typing import Any

import httpx2
import openai
import pytest

from spanledger.instrumentation import metadata

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


def chunk(**more: Any) -> str:
    head = {"id": "c1", "object": "chat.completion.chunk", "model": "gpt-4o", "choices": []}
    return json.dumps({**head, **more})


def answering(data: bytes) -> openai.OpenAI:
    """A client whose provider sends these bytes, one at a time."""

    def answer(_request: httpx2.Request) -> httpx2.Response:
        pieces = (data[place : place + 1] for place in range(len(data)))
        return httpx2.Response(200, content=pieces, headers={"content-type": "text/event-stream"})

    http_client = httpx2.Client(transport=httpx2.MockTransport(answer))
    return openai.OpenAI(base_url="http://canned/v1", api_key="k", max_retries=0, http_client=http_client)


USED = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


def test_a_line_that_cannot_be_read_costs_no_usage_and_is_not_quoted_in_the_log(spans, warnings_logged):
    data = b'data: {"text": "Lisbon \xff"}\n\ndata:\n\ndata: ' + chunk(usage=USED).encode() + b"\n\n"
    with answering(data) as client:
        raw = client.chat.completions.with_raw_response.create(**ASK, stream=True)
        assert raw.http_response.read() == data
    assert spans.one().attributes["gen_ai.usage.output_tokens"] == 4
    (warning,) = warnings_logged()
    assert "UnicodeDecodeError" in warning
    assert "Lisbon" not in warning


def test_the_last_line_of_a_raw_stream_need_not_end(spans):
    with answering(b"data: " + chunk(usage=USED).encode()) as client:
        client.chat.completions.with_raw_response.create(**ASK, stream=True).http_response.read()
    assert spans.one().attributes["gen_ai.usage.output_tokens"] == 4


def test_the_extra_chunk_is_hidden_where_lines_end_in_two_bytes_that_come_apart(make_recorded):
    make_recorded(include_usage=True)
    events = [chunk(choices=[{"index": 0, "delta": {"content": "a"}}]), chunk(usage=USED), "[DONE]"]
    with answering("".join(f"data: {event}\r\n\r\n" for event in events).encode()) as client:
        raw = client.chat.completions.with_raw_response.create(**ASK, stream=True)
        lines = [line for line in raw.http_response.iter_lines() if line]
    assert lines == [f"data: {events[0]}", "data: [DONE]"]


def test_a_code_of_an_error_that_cannot_be_encoded_costs_no_other_span(spans):
    event = json.dumps({"error": {"code": "odd\ud800", "message": "x"}}).encode()
    with answering(b"data: " + event + b"\n\n") as client:
        client.chat.completions.with_raw_response.create(**ASK, stream=True).http_response.read()
    span = spans.one()
    assert span.attributes["error.type"] == span.status.description == "odd?"


def test_a_number_that_no_exporter_can_send_is_left_out_or_text(spans, client):
    with metadata(account=2**70):
        client.chat.completions.create(**ASK, seed=2**70)
    attributes = spans.one().attributes
    assert "gen_ai.request.seed" not in attributes
    assert attributes["spanledger.metadata.account"] == str(2**70)


@pytest.mark.parametrize("key", ["sk-abcdefgh12345678", "gsk_abcdefgh12345678", "xai-abcdefgh12345678"])
def test_a_key_in_the_message_of_an_error_is_not_recorded(spans, key):
    error = {"error": {"message": f"Incorrect API key provided: {key}.", "code": "invalid_api_key"}}

    def answer(_request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(401, json=error)

    http_client = httpx2.Client(transport=httpx2.MockTransport(answer))
    with (
        openai.OpenAI(base_url="http://canned/v1", api_key=key, http_client=http_client) as client,
        pytest.raises(openai.AuthenticationError),
    ):
        client.chat.completions.create(**ASK)
    assert "abcdefgh" not in spans.one().to_json()
