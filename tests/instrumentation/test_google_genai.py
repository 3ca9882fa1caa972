"""The Google GenAI SDK against a local Gemini: every way of calling is one span with what was billed.

Numbers of cases are those of the list of failures that instrumentations are known for (issue 6).
"""

import asyncio
import gc
import json
import random
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from google import genai
from google.genai import errors, types
from google.oauth2 import credentials
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.trace import SpanKind, StatusCode

from spanledger.instrumentation import instrument, uninstrument
from spanledger.instrumentation.providers.google_genai import GoogleGenAIInstrumentor
from tests.instrumentation.accounts import cost_of, price, summed
from tests.instrumentation.conventions import check
from tests.instrumentation.stubs import gemini
from tests.instrumentation.stubs.scripted import Stub

# Where aiohttp is installed the SDK inherits from its session, of which aiohttp warns.
pytestmark = [
    pytest.mark.usefixtures("by_the_conventions"),
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning"),
]

MODEL = "gemini-2.5-flash"
FULL = {
    "promptTokenCount": 120,
    "cachedContentTokenCount": 64,
    "candidatesTokenCount": 18,
    "thoughtsTokenCount": 12,
    "toolUsePromptTokenCount": 9,
    "totalTokenCount": 159,
    "promptTokensDetails": [
        {"modality": "TEXT", "tokenCount": 100},
        {"modality": "AUDIO", "tokenCount": 20},
    ],
    "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": 64}],
    "candidatesTokensDetails": [{"modality": "TEXT", "tokenCount": 18}],
    "toolUsePromptTokensDetails": [{"modality": "TEXT", "tokenCount": 9}],
}


@pytest.fixture(scope="module")
def _server() -> Iterator[Stub]:
    with gemini.stub() as running:
        yield running


@pytest.fixture
def api(_server: Stub) -> Stub:
    _server.forget()
    return _server


@pytest.fixture
def google(api: Stub) -> Iterator[genai.Client]:
    options = {"base_url": api.root_url, "retry_options": {"attempts": 1}}
    client = genai.Client(api_key="test", http_options=options)
    yield client
    client.close()


@pytest.fixture
def vertex(api: Stub) -> Iterator[genai.Client]:
    client = genai.Client(
        vertexai=True,
        project="p",
        location="europe-west4",
        credentials=credentials.Credentials("token"),
        http_options={"base_url": api.root_url, "retry_options": {"attempts": 1}},
    )
    yield client
    client.close()


def run_async(client: genai.Client, work: Coroutine[Any, Any, Any]) -> Any:
    """Run it, then close the connections that belong to its event loop."""

    async def run() -> Any:
        async with client.aio:
            return await work

    return asyncio.run(run())


def scripted(config: dict[str, Any] | None = None, **script: Any) -> Any:
    headers = {"x-stub": json.dumps(script)}
    return {**(config or {}), "http_options": {"headers": headers}}


def get_weather(town: str) -> str:
    """The weather of a town."""
    return f"dry in {town}"


def test_a_call_is_one_client_span_by_the_conventions(spans, google, api):
    config = scripted(
        {
            "temperature": 0,
            "top_p": 1,
            "top_k": 40,
            "max_output_tokens": 50,
            "seed": 7,
            "candidate_count": 2,
            "stop_sequences": ["END"],
            "frequency_penalty": 0.5,
            "presence_penalty": 0,
            "response_mime_type": "application/json",
            "thinking_config": {"thinking_level": "LOW"},
        }
    )
    answer = google.models.generate_content(model=MODEL, contents="Will it stay dry?", config=config)
    assert type(answer) is types.GenerateContentResponse
    span = spans.one()
    check(span, "generate_content")
    assert (span.name, span.kind, span.status.status_code) == (
        f"generate_content {MODEL}",
        SpanKind.CLIENT,
        StatusCode.UNSET,
    )
    expected = {
        "gen_ai.operation.name": "generate_content",
        "gen_ai.provider.name": "gcp.gemini",
        "gen_ai.request.model": MODEL,
        "gen_ai.request.temperature": 0.0,
        "gen_ai.request.top_p": 1.0,
        "gen_ai.request.top_k": 40,
        "gen_ai.request.max_tokens": 50,
        "gen_ai.request.seed": 7,
        "gen_ai.request.choice.count": 2,
        "gen_ai.request.stop_sequences": ("END",),
        "gen_ai.request.frequency_penalty": 0.5,
        "gen_ai.request.presence_penalty": 0.0,
        "gen_ai.request.reasoning.level": "low",
        "gen_ai.output.type": "json",
        "gen_ai.response.id": "gemini-1",
        "gen_ai.response.model": MODEL,
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 7,
        "server.address": "127.0.0.1",
    }
    assert expected.items() <= dict(span.attributes).items()
    assert type(span.attributes["gen_ai.request.temperature"]) is float
    assert type(span.attributes["gen_ai.request.top_k"]) is int
    assert "gen_ai.request.stream" not in span.attributes


def test_thoughts_are_output_and_the_prompt_of_tools_is_input_case_18(spans, google):
    """Case 18: total of the provider is input and output together."""
    google.models.generate_content(model=MODEL, contents="x", config=scripted(usage=FULL))
    attributes = spans.one().attributes
    assert attributes["gen_ai.usage.input_tokens"] == 129
    assert attributes["gen_ai.usage.output_tokens"] == 30
    total = attributes["gen_ai.usage.input_tokens"] + attributes["gen_ai.usage.output_tokens"]
    assert total == FULL["totalTokenCount"]
    assert attributes["gen_ai.usage.reasoning.output_tokens"] == 12
    assert attributes["gen_ai.usage.cache_read.input_tokens"] == 64
    assert attributes["gen_ai.usage.text.input_tokens"] == 109
    assert attributes["gen_ai.usage.audio.input_tokens"] == 20
    assert attributes["gen_ai.usage.text.output_tokens"] == 18
    assert cost_of(spans.all()) == price(
        "google",
        MODEL,
        input_tokens=129,
        output_tokens=30,
        cache_read_tokens=64,
        input_audio_tokens=20,
        cache_audio_read_tokens=0,
    )


def test_a_count_that_the_api_leaves_out_is_zero_only_where_the_total_says_so(spans, google):
    for usage in ({"promptTokenCount": 5, "totalTokenCount": 5}, {"promptTokenCount": 5}):
        google.models.generate_content(model=MODEL, contents="x", config=scripted(usage=usage))
    known, unknown = (span.attributes for span in spans.all())
    assert known["gen_ai.usage.output_tokens"] == 0
    assert "gen_ai.usage.output_tokens" not in unknown


@pytest.mark.parametrize("streaming", [False, True])
def test_vertex_is_another_provider(spans, vertex, streaming):
    if streaming:
        list(vertex.models.generate_content_stream(model=MODEL, contents="x"))
    else:
        vertex.models.generate_content(model=MODEL, contents="x")
    attributes = spans.one().attributes
    assert attributes["gen_ai.provider.name"] == "gcp.vertex_ai"
    assert attributes["gen_ai.request.model"] == MODEL
    assert attributes["gen_ai.usage.input_tokens"] == 12
    assert cost_of(spans.all()) == price("google", MODEL, input_tokens=12, output_tokens=7)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_stream_records_the_last_counts_and_the_time_to_its_first_chunk(spans, google, asynchronous):
    config = scripted(usage=FULL)

    async def run() -> list[Any]:
        stream = await google.aio.models.generate_content_stream(model=MODEL, contents="x", config=config)
        return [chunk async for chunk in stream]

    if asynchronous:
        chunks = run_async(google, run())
    else:
        chunks = list(google.models.generate_content_stream(model=MODEL, contents="x", config=config))
    assert "".join(chunk.text for chunk in chunks) == "It stays dry in Lisbon."
    assert {type(chunk) for chunk in chunks} == {types.GenerateContentResponse}
    span = spans.one()
    check(span, "generate_content")
    assert span.attributes["gen_ai.request.stream"] is True
    assert span.attributes["gen_ai.usage.input_tokens"] == 129
    assert span.attributes["gen_ai.usage.output_tokens"] == 30
    assert span.attributes["gen_ai.response.finish_reasons"] == ("stop",)
    assert span.attributes["gen_ai.response.time_to_first_chunk"] > 0
    assert span.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("ending", ["close", "dropped", "break"])
def test_a_stream_left_early_is_one_span_that_is_no_error_case_3(spans, google, ending):
    """Case 3: close, break and garbage collection end the span."""
    stream = google.models.generate_content_stream(model=MODEL, contents="x")
    if ending == "break":
        for _chunk in stream:
            break
    else:
        next(stream)
    if ending == "close":
        stream.close()
    del stream
    gc.collect()
    span = spans.one()
    assert span.status.status_code is StatusCode.UNSET
    assert span.attributes["gen_ai.response.finish_reasons"] == ("error",)
    assert span.attributes["gen_ai.response.id"] == "gemini-1"


def test_an_async_stream_left_early_is_one_span_case_3(spans, google):
    """Case 3, with `break` and with `aclose`."""

    async def run() -> None:
        async for _chunk in await google.aio.models.generate_content_stream(model=MODEL, contents="x"):
            break
        other = await google.aio.models.generate_content_stream(model=MODEL, contents="x")
        await anext(other)
        await other.aclose()

    run_async(google, run())
    gc.collect()
    assert len(spans.all()) == 2


def test_a_stream_never_read_sends_nothing_and_leaves_nothing(spans, google, api):
    stream = google.models.generate_content_stream(model=MODEL, contents="x")
    del stream
    gc.collect()
    assert spans.all() == []
    assert api.billed == []


def test_many_streams_leave_no_open_span_case_4(spans, google):
    """Case 4: as many spans as streams, none recording any more."""
    for number in range(40):
        stream = google.models.generate_content_stream(model=MODEL, contents="x")
        if number % 2:
            next(stream)
        else:
            list(stream)
    del stream
    gc.collect()
    assert len(spans.all()) == 40
    assert not [one for one in gc.get_objects() if type(one).__name__ == "_Span" and one.is_recording()]


def test_the_user_keeps_the_generator_of_the_sdk_case_19(spans, google):
    """Case 19: what an uninstrumented SDK returns is what the user gets."""
    with_us = google.models.generate_content_stream(model=MODEL, contents="x")
    uninstrument()
    without = google.models.generate_content_stream(model=MODEL, contents="x")
    assert type(with_us) is type(without)
    with_us.close()
    without.close()


def test_nothing_stays_attached_to_the_context_while_a_stream_is_read_case_22(spans, google):
    """Case 22: no context is attached across a yield."""
    before = otel_context.get_current()
    for _chunk in google.models.generate_content_stream(model=MODEL, contents="x"):
        assert otel_context.get_current() == before
    assert otel_context.get_current() == before


def test_a_stream_read_in_several_tasks_logs_nothing_cases_21_and_22(spans, google, warnings_logged):
    """Cases 21 and 22: neither `Failed to detach context` nor a warning about an attribute."""

    async def run() -> None:
        stream = await asyncio.create_task(
            google.aio.models.generate_content_stream(model=MODEL, contents="x", config=scripted(delay_ms=1))
        )
        await asyncio.create_task(anext(stream))
        await asyncio.create_task(anext(stream))
        await asyncio.create_task(stream.aclose())

    run_async(google, run())
    gc.collect()
    assert len(spans.all()) == 1
    assert warnings_logged() == []


@pytest.mark.parametrize("streaming", [False, True])
def test_a_cancelled_call_is_one_error_span_case_23(spans, google, streaming):
    """Case 23: mid-await and mid-stream, and the exception reaches the application."""
    config = scripted(delay_ms=60)

    async def read() -> None:
        if not streaming:
            await google.aio.models.generate_content(model=MODEL, contents="x", config=config)
            return
        async for _chunk in await google.aio.models.generate_content_stream(
            model=MODEL, contents="x", config=config
        ):
            reading.set()

    async def run() -> None:
        task = asyncio.create_task(read())
        if streaming:
            await reading.wait()
        else:
            await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    reading = asyncio.Event()
    run_async(google, run())
    gc.collect()
    span = spans.one()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == "asyncio.exceptions.CancelledError"


@pytest.mark.parametrize("streaming", [False, True])
def test_parallel_calls_of_tools_keep_their_ids_and_arguments_case_25(spans_with_content, google, streaming):
    """Case 25: two calls at once stay two."""
    tool = {"function_declarations": [{"name": "weather", "description": "of a town"}]}
    config = scripted({"tools": [tool]}, tools=2)
    if streaming:
        list(google.models.generate_content_stream(model=MODEL, contents="x", config=config))
    else:
        google.models.generate_content(model=MODEL, contents="x", config=config)
    (message,) = json.loads(spans_with_content.one().attributes["gen_ai.output.messages"])
    assert message["parts"] == [
        {"type": "tool_call", "id": f"call-{n}", "name": "weather", "arguments": {"town": f"Lisbon {n}"}}
        for n in range(2)
    ]


def test_automatic_function_calling_is_one_span_for_each_request(spans_with_content, google, api):
    config = scripted({"tools": [get_weather]})
    answer = google.models.generate_content(model=MODEL, contents="Weather in Lisbon?", config=config)
    assert answer.text == "It stays dry in Lisbon."
    asked, answered = spans_with_content.all()
    assert len(api.billed) == 2
    assert summed([asked, answered], "gen_ai.usage.input_tokens") == 24
    (definition,) = json.loads(asked.attributes["gen_ai.tool.definitions"])
    assert (definition["type"], definition["name"]) == ("function", "get_weather")
    roles = [message["role"] for message in json.loads(answered.attributes["gen_ai.input.messages"])]
    assert roles == ["user", "assistant", "tool"]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_chat_is_one_span_for_each_message(spans, google, asynchronous):
    async def run() -> None:
        chat = google.aio.chats.create(model=MODEL)
        await chat.send_message("one")
        async for _chunk in await chat.send_message_stream("two"):
            pass

    if asynchronous:
        run_async(google, run())
    else:
        chat = google.chats.create(model=MODEL)
        chat.send_message("one")
        list(chat.send_message_stream("two"))
        assert chat.get_history()[0].parts[0].text == "one"
    assert [span.name for span in spans.all()] == [f"generate_content {MODEL}"] * 2


def test_embeddings_record_their_input_and_never_their_vectors_case_29(spans_with_content, google, vertex):
    """Case 29: vectors are no attributes. The Developer API tells no usage unless the answer has one."""
    google.models.embed_content(
        model="gemini-embedding-001", contents=["a", "b"], config={"output_dimensionality": 64}
    )
    google.models.embed_content(
        model="gemini-embedding-001", contents="a", config=scripted(usage={"promptTokenCount": 9})
    )
    vertex.models.embed_content(model="text-embedding-005", contents=["a", "b"])
    untold, told, statistics = spans_with_content.all()
    check(told, "embeddings", without={"gen_ai.response.model"})
    for span in (untold, told, statistics):
        assert span.attributes["gen_ai.operation.name"] == "embeddings"
        assert "gen_ai.usage.output_tokens" not in span.attributes
        assert "gen_ai.output.messages" not in span.attributes
        assert "0.25" not in json.dumps(dict(span.attributes))
    assert untold.attributes["gen_ai.embeddings.dimension.count"] == 64
    assert untold.attributes["spanledger.cost.reason"] == "no_usage"
    assert told.attributes["gen_ai.usage.input_tokens"] == 9
    assert cost_of([told]) == price("google", "gemini-embedding-001", input_tokens=9, output_tokens=0)
    assert statistics.attributes["gen_ai.usage.input_tokens"] == 8
    assert [m["parts"][0]["content"] for m in json.loads(untold.attributes["gen_ai.input.messages"])] == [
        "a",
        "b",
    ]


def test_counting_tokens_is_no_span(spans, google):
    assert google.models.count_tokens(model=MODEL, contents="x").total_tokens == 5
    assert spans.all() == []


@pytest.mark.filterwarnings("ignore:.*generate_images")
def test_images_of_imagen_say_that_they_have_no_usage(spans, vertex):
    vertex.models.generate_images(model="imagen-4.0-generate-001", prompt="a boat")
    attributes = spans.one().attributes
    assert attributes["gen_ai.output.type"] == "image"
    assert attributes["spanledger.cost.reason"] == "no_usage"


def test_an_image_keeps_the_text_beside_it_and_costs_as_an_image_case_29(spans_with_content, google):
    """Case 29: a large image is its hash and size, the text stays."""
    usage = {
        "promptTokenCount": 10,
        "candidatesTokenCount": 1300,
        "totalTokenCount": 1310,
        "candidatesTokensDetails": [
            {"modality": "IMAGE", "tokenCount": 1290},
            {"modality": "TEXT", "tokenCount": 10},
        ],
    }
    model = "gemini-2.5-flash-image"
    config = scripted({"response_modalities": ["TEXT", "IMAGE"]}, usage=usage, image=True, text="A boat.")
    picture = types.Part.from_bytes(data=b"\x89PNG" + b"y" * 40_001, mime_type="image/png")
    google.models.generate_content(model=model, contents=["Draw it", picture], config=config)
    span = spans_with_content.one()
    assert span.attributes["gen_ai.output.type"] == "image"
    assert span.attributes["gen_ai.usage.image.output_tokens"] == 1290
    assert cost_of([span]) == price(
        "google", model, input_tokens=10, output_tokens=1300, output_image_tokens=1290
    )
    (sent,) = json.loads(span.attributes["gen_ai.input.messages"])
    (answered,) = json.loads(span.attributes["gen_ai.output.messages"])
    assert sent["parts"][0] == {"type": "text", "content": "Draw it"}
    for parts in (sent["parts"][1], answered["parts"][0]):
        assert (parts["type"], parts["modality"], parts["mime_type"]) == ("blob", "image", "image/png")
        assert parts["size"] > 40_000
        assert len(parts["sha256"]) == 64
    assert answered["parts"][1] == {"type": "text", "content": "A boat."}
    assert len(json.dumps(dict(span.attributes))) < 5000


def test_content_is_recorded_when_it_is_switched_on_and_never_otherwise(make_recorded, google):
    config = scripted({"system_instruction": "Be brief."}, thought="Hm, dry.")
    for capture in (False, True):
        recorded = make_recorded(capture_content=capture)
        google.models.generate_content(model=MODEL, contents="Dry?", config=config)
        attributes = recorded.one().attributes
        uninstrument()
        if not capture:
            assert "dry" not in json.dumps(dict(attributes)).lower()
    assert json.loads(attributes["gen_ai.system_instructions"]) == [{"type": "text", "content": "Be brief."}]
    assert json.loads(attributes["gen_ai.input.messages"]) == [
        {"role": "user", "parts": [{"type": "text", "content": "Dry?"}]}
    ]
    assert json.loads(attributes["gen_ai.output.messages"]) == [
        {
            "role": "assistant",
            "parts": [
                {"type": "reasoning", "content": "Hm, dry."},
                {"type": "text", "content": "It stays dry in Lisbon."},
            ],
            "finish_reason": "stop",
        }
    ]


def test_a_streamed_answer_reads_as_the_whole_one_does(spans_with_content, google):
    config = scripted(thought="Hm, it could rain.", finish="MAX_TOKENS")
    google.models.generate_content(model=MODEL, contents="Dry?", config=config)
    list(google.models.generate_content_stream(model=MODEL, contents="Dry?", config=config))
    whole, streamed = (span.attributes["gen_ai.output.messages"] for span in spans_with_content.all())
    assert whole == streamed
    assert json.loads(whole)[0]["finish_reason"] == "length"


def test_a_blocked_prompt_says_why(spans, google):
    google.models.generate_content(model=MODEL, contents="x", config=scripted(blocked="SAFETY"))
    assert spans.one().attributes["gen_ai.response.finish_reasons"] == ("safety",)


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(("status", "kind"), [(429, "ClientError"), (500, "ServerError")])
def test_an_error_has_what_was_asked_and_where_case_33(spans, google, streaming, status, kind):
    """Case 33: error spans carry the server and the request's attributes."""
    config = scripted({"temperature": 0.5}, status=status)
    ask = {"model": MODEL, "contents": "x", "config": config}
    with pytest.raises(errors.APIError) as raised:
        run_async(google, _stream(google, ask) if streaming else _plain(google, ask))
    assert raised.value.code == status
    span = spans.one()
    check(span, "generate_content")
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == f"google.genai.errors.{kind}"
    assert span.attributes["gen_ai.request.temperature"] == 0.5
    assert str(span.attributes["server.port"]) in str(google._api_client._http_options.base_url)
    assert "gen_ai.usage.input_tokens" not in span.attributes


@pytest.mark.parametrize("how", ["break_after", "error_after"])
def test_a_stream_that_fails_is_one_error_span_with_what_came_before(spans, google, how):
    stream = google.models.generate_content_stream(model=MODEL, contents="x", config=scripted(**{how: 2}))
    with pytest.raises(Exception, match=r".") as raised:
        list(stream)
    span = spans.one()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"].endswith(type(raised.value).__name__)
    assert span.attributes["gen_ai.response.id"] == "gemini-1"


def test_answers_of_a_batch_count_once_at_the_price_of_a_batch(spans, google, api):
    for _poll in range(3):
        assert google.batches.get(name="batches/abc").state == types.JobState.JOB_STATE_SUCCEEDED
    first, second = spans.all()
    billed = api.billed[:2]
    for span, bill in zip((first, second), billed, strict=True):
        usage = bill["usage"]
        check(span, "generate_content")
        assert span.attributes["gen_ai.usage.input_tokens"] == usage["promptTokenCount"]
        assert span.attributes["spanledger.metadata.batch_id"] == "batches/abc"
        expected = price(
            "google",
            MODEL,
            {"processing": "batch"},
            input_tokens=usage["promptTokenCount"],
            output_tokens=usage["candidatesTokenCount"] + usage["thoughtsTokenCount"],
        )
        assert cost_of([span]) == expected


def test_the_ledger_prices_batches_and_tiers_as_we_do(spans, google, ingest, reader, project):
    """A span that does not say its tier would have the standard price there."""
    flex = {"promptTokenCount": 1000, "candidatesTokenCount": 100, "serviceTier": "flex"}
    google.models.generate_content(model=MODEL, contents="x", config=scripted(usage=flex))
    google.batches.get(name="batches/for-the-ledger")
    recorded = spans.all()
    assert [span.attributes["spanledger.response.service_tier"] for span in recorded] == [
        "flex",
        "batch",
        "batch",
    ]
    names = [span.attributes.get("spanledger.metadata.custom_id") for span in recorded]
    assert names == [None, "asked-0", "asked-1"]
    ingest(encode_spans(recorded))
    rows = reader.query(
        "SELECT service_tier, cost_reported_usd, cost_computed_usd FROM spans FINAL"
        " WHERE project = {project:String} ORDER BY start_time",
        parameters={"project": project},
    ).result_rows
    assert [tier for tier, *_costs in rows] == ["flex", "batch", "batch"]
    for _tier, reported, computed in rows:
        assert reported == computed > 0


def test_the_span_of_the_caller_goes_on_case_27(spans, google):
    """Case 27: ours ends, the one around it does not."""
    with trace.get_tracer("app", tracer_provider=spans.provider).start_as_current_span("mine") as mine:
        google.models.generate_content(model=MODEL, contents="x")
        list(google.models.generate_content_stream(model=MODEL, contents="x"))
        assert mine.is_recording()
    for span in spans.all()[:2]:
        assert span.parent.span_id == mine.get_span_context().span_id


@pytest.mark.parametrize("own", [None, {"x-own": "1"}])
def test_the_trace_goes_on_at_the_provider_where_it_is_asked_for(make_recorded, google, api, own):
    recorded = make_recorded(propagate=True)
    ask: dict[str, Any] = {"model": MODEL, "contents": "x"}
    if own:
        ask["config"] = types.GenerateContentConfig(http_options=types.HttpOptions(headers=own))
    google.models.generate_content(**ask)
    list(google.models.generate_content_stream(**ask))
    for asked, span in zip(api.asked, recorded.all(), strict=True):
        assert format(span.context.span_id, "016x") in asked.headers["traceparent"]
        assert asked.headers.get("x-own") == (own or {}).get("x-own")


def test_empty_answers_leave_no_empty_attribute_case_28(spans, google):
    """Case 28: neither None nor '' reaches an exporter."""
    google.models.generate_content(model=MODEL, contents="x", config=scripted(usage={}, text="", finish=None))
    attributes = spans.one().attributes
    assert not [key for key, value in attributes.items() if value in (None, "", ())]
    assert attributes["spanledger.cost.reason"] == "no_usage"


def test_switching_off_restores_the_sdk_and_on_again_is_one_span_case_30(make_recorded, google):
    """Case 30: three times on and off, twice on at once, with one client that lives through all of it."""
    from google.genai._api_client import BaseApiClient

    originals = {name: vars(BaseApiClient)[name] for name in ("request", "async_request", "request_streamed")}
    for _round in range(3):
        recorded = make_recorded()
        instrument(tracer_provider=recorded.provider)
        GoogleGenAIInstrumentor().instrument()
        google.models.generate_content(model=MODEL, contents="x")
        assert len(recorded.all()) == 1
        uninstrument()
        assert {name: vars(BaseApiClient)[name] for name in originals} == originals
        google.models.generate_content(model=MODEL, contents="x")
        assert len(recorded.all()) == 1


def test_500_random_calls_sum_up_to_what_was_billed(spans, google, vertex, api):
    """Streams, tools, errors, cached, thoughts, audio and images: tokens and costs to the last digit."""
    dice = random.Random(6)
    client_of = {False: google, True: vertex}

    async def run() -> None:
        async with vertex.aio:
            await _random_calls(dice, client_of)

    run_async(google, run())
    found = spans.all()
    assert len(found) == 500
    billed = [bill["usage"] for bill in api.billed]

    def total(*keys: str) -> int:
        return sum(usage.get(key, 0) for usage in billed for key in keys)

    assert summed(found, "gen_ai.usage.input_tokens") == total("promptTokenCount", "toolUsePromptTokenCount")
    assert summed(found, "gen_ai.usage.output_tokens") == total("candidatesTokenCount", "thoughtsTokenCount")
    assert summed(found, "gen_ai.usage.reasoning.output_tokens") == total("thoughtsTokenCount")
    assert summed(found, "gen_ai.usage.cache_read.input_tokens") == total("cachedContentTokenCount")
    expected = sum(
        price(
            "google",
            bill["model"],
            input_tokens=bill["usage"]["promptTokenCount"] + bill["usage"].get("toolUsePromptTokenCount", 0),
            output_tokens=bill["usage"]["candidatesTokenCount"] + bill["usage"].get("thoughtsTokenCount", 0),
            cache_read_tokens=bill["usage"].get("cachedContentTokenCount", 0),
            input_audio_tokens=_modality(bill["usage"], "promptTokensDetails", "AUDIO"),
            output_image_tokens=_modality(bill["usage"], "candidatesTokensDetails", "IMAGE"),
        )
        for bill in api.billed
    )
    assert cost_of(found) == expected
    failed = [span for span in found if span.status.status_code is StatusCode.ERROR]
    assert len(failed) == 500 - len(api.billed) > 10


def _modality(usage: dict[str, Any], details: str, modality: str) -> int:
    return sum(one["tokenCount"] for one in usage.get(details, []) if one["modality"] == modality)


def _random_usage(dice: random.Random, model: str) -> dict[str, Any]:
    prompt, answer = dice.randint(1, 300_000), dice.randint(1, 5000)
    usage: dict[str, Any] = {"promptTokenCount": prompt, "candidatesTokenCount": answer}
    if dice.random() < 0.4:
        usage["thoughtsTokenCount"] = dice.randint(1, 4000)
    if dice.random() < 0.2:
        usage["toolUsePromptTokenCount"] = dice.randint(1, 900)
    audio = dice.randint(1, prompt) if dice.random() < 0.3 else 0
    if audio:
        usage["promptTokensDetails"] = [{"modality": "AUDIO", "tokenCount": audio}]
    elif dice.random() < 0.4:
        usage["cachedContentTokenCount"] = dice.randint(1, prompt)
    if model.endswith("image"):
        usage["candidatesTokensDetails"] = [{"modality": "IMAGE", "tokenCount": dice.randint(1, answer)}]
    return usage


async def _random_calls(dice: random.Random, clients: dict[bool, genai.Client]) -> None:
    tool = {"function_declarations": [{"name": "weather"}]}
    for _number in range(500):
        client = clients[dice.random() < 0.3]
        model = dice.choice([MODEL, "gemini-2.5-pro", "gemini-2.5-flash-lite", "gemini-2.5-flash-image"])
        script: dict[str, Any] = {"usage": _random_usage(dice, model)}
        if dice.random() < 0.06:
            script["status"] = dice.choice([400, 429])
        config = scripted({"tools": [tool]} if dice.random() < 0.3 else None, tools=2, **script)
        ask: dict[str, Any] = {"model": model, "contents": "x", "config": config}
        call: Callable[..., Any] = dice.choice([_plain, _stream, _async_plain, _async_stream])
        try:
            await call(client, ask)
        except errors.ClientError:
            assert "status" in script


async def _plain(client: genai.Client, ask: dict[str, Any]) -> None:
    client.models.generate_content(**ask)


async def _stream(client: genai.Client, ask: dict[str, Any]) -> None:
    list(client.models.generate_content_stream(**ask))


async def _async_plain(client: genai.Client, ask: dict[str, Any]) -> None:
    await client.aio.models.generate_content(**ask)


async def _async_stream(client: genai.Client, ask: dict[str, Any]) -> None:
    async for _chunk in await client.aio.models.generate_content_stream(**ask):
        pass
