"""Failure cases that concern the life of a span and of the instrumentation, over endpoints of every kind."""

import asyncio
import gc
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from opentelemetry import context as otel_context
from opentelemetry.trace import StatusCode

from spanledger.instrumentation import collected, instrument, session, uninstrument, workflow
from spanledger.instrumentation.content import decide
from tests.instrumentation.openai.conftest import KEY

HELLO: list[Any] = [{"role": "user", "content": "hello there Lisbon"}]
SLOW = {"x-stub-delay-ms": "2000"}
SLOW_EVENTS = {"x-stub-chunk-delay-ms": "40"}

CALLS: dict[str, Any] = {
    "chat": lambda c, **more: c.chat.completions.create(model="gpt-4o-mini", messages=HELLO, **more),
    "responses": lambda c, **more: c.responses.create(model="gpt-4o-mini", input="hello", **more),
    "embeddings": lambda c, **more: c.embeddings.create(model="text-embedding-3-small", input="x", **more),
    "completions": lambda c, **more: c.completions.create(
        model="gpt-3.5-turbo-instruct", prompt="hello there", **more
    ),
    "images": lambda c, **more: c.images.generate(model="gpt-image-1.5", prompt="x", **more),
    "speech": lambda c, **more: c.audio.speech.create(model="tts-1", voice="alloy", input="x", **more),
    "transcriptions": lambda c, **more: c.audio.transcriptions.create(
        model="whisper-1", file=("a.wav", b"RIFF"), **more
    ),
}
STREAMS = ("chat", "responses", "completions", "images", "transcriptions")


@pytest.mark.parametrize("kind", CALLS)
def test_case_33_a_refused_call_has_its_request_and_server(spans, call, kind):
    """Case 33: spans of errors miss the server and the request elsewhere."""
    with pytest.raises(openai.InternalServerError):
        call(lambda client: CALLS[kind](client, extra_headers={"x-stub-status": "500"}))
    span = spans.one()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == "openai.InternalServerError"
    assert span.attributes["server.address"] == "127.0.0.1"
    assert isinstance(span.attributes["server.port"], int)
    assert span.attributes["gen_ai.request.model"]


def test_what_is_listed_or_looked_up_at_an_address_of_calls_is_no_call(spans, client):
    with pytest.raises(openai.APIStatusError):
        client.chat.completions.list()
    assert any(model.id == "gpt-4o" for model in client.models.list())
    assert spans.all() == []


@pytest.mark.parametrize("kind", CALLS)
def test_case_23_a_cancelled_await_is_one_error_span(spans, make_async_client, kind):
    """Case 23: the task stays cancelled, the span says so."""

    async def run() -> None:
        async with make_async_client() as client:
            task = asyncio.create_task(CALLS[kind](client, extra_headers=SLOW))
            await asyncio.sleep(0.2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(run())
    assert spans.one().attributes["error.type"] == "asyncio.exceptions.CancelledError"


@pytest.mark.parametrize("kind", ["chat", "responses", "completions"])
def test_case_23_a_task_cancelled_in_mid_stream_is_one_error_span(spans, make_async_client, kind):
    async def read(client: Any) -> None:
        async for _event in await CALLS[kind](client, stream=True, extra_headers=SLOW_EVENTS):
            pass

    async def run() -> None:
        async with make_async_client() as client:
            task = asyncio.create_task(read(client))
            await asyncio.sleep(0.15)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(run())
    assert spans.one().status.status_code is StatusCode.ERROR


@pytest.mark.parametrize("kind", STREAMS)
def test_case_3_every_kind_of_stream_left_early_is_one_span(spans, call, kind):
    """Case 3: read a little, then close."""

    async def first(stream: Any) -> None:
        if hasattr(stream, "__anext__"):
            await anext(stream)
            await stream.close()
        else:
            next(stream)
            stream.close()

    async def run(client: Any) -> None:
        made = CALLS[kind](client, stream=True)
        await first(await made if asyncio.iscoroutine(made) else made)

    call(run)
    assert spans.one().status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("kind", STREAMS)
def test_case_22_nothing_is_attached_while_a_stream_is_read(spans, client, kind):
    """Case 22: a context attached across a yield fails to detach elsewhere."""
    before = otel_context.get_current()
    for _event in CALLS[kind](client, stream=True):
        assert otel_context.get_current() == before
    assert otel_context.get_current() == before
    assert len(spans.all()) == 1


@pytest.mark.parametrize("kind", ["chat", "responses"])
def test_case_22_a_stream_begun_read_and_closed_in_three_tasks_logs_nothing(
    spans, make_async_client, warnings_logged, kind
):
    async def relay(stream: Any) -> Any:
        async for event in stream:
            yield event

    async def run() -> None:
        async with make_async_client() as client:
            stream = await asyncio.create_task(CALLS[kind](client, stream=True))
            relayed = relay(stream)
            await asyncio.create_task(anext(relayed))
            await asyncio.create_task(relayed.aclose())
            await asyncio.create_task(stream.close())

    asyncio.run(run())
    assert len(spans.all()) == 1
    assert warnings_logged() == []


def test_case_4_a_thousand_streams_leave_no_open_span_and_no_memory(spans, canned):
    """Case 4: a second span at the end of a stream leaks the first elsewhere."""
    from spanledger.instrumentation.streams import Recording

    response = (
        '{"type": "response.created", "sequence_number": 0, "response": '
        '{"id": "resp_1", "object": "response", "model": "gpt-4o", "status": "in_progress", "output": []}}'
    )
    client = canned(events=[response] * 3)

    def read(count: int) -> None:
        for number in range(count):
            stream = client.responses.create(model="gpt-4o", input="x", stream=True)
            next(stream)
            if number % 2:
                stream.close()
        spans.clear()
        gc.collect()

    read(200)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        read(1000)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    gc.collect()
    collected.settle()
    assert not [thing for thing in gc.get_objects() if isinstance(thing, Recording)]
    assert grown < 500_000


def test_case_13_a_subclass_of_the_client_is_one_span(spans, api):
    """Case 13: hierarchies of classes are wrapped twice elsewhere."""

    class OwnClient(openai.OpenAI):
        def request(self, *args: Any, **kwargs: Any) -> Any:
            return super().request(*args, **kwargs)

    class OwnerClient(OwnClient):
        pass

    with OwnerClient(base_url=api.base_url, api_key=KEY, max_retries=0) as client:
        CALLS["responses"](client)
        CALLS["embeddings"](client)
    assert [span.name for span in spans.all()] == ["chat gpt-4o-mini", "embeddings text-embedding-3-small"]


def test_case_13_a_copy_of_the_client_with_options_is_one_span(spans, client):
    CALLS["responses"](client.with_options(timeout=5))
    assert len(spans.all()) == 1


def test_case_30_instrument_and_uninstrument_again_and_again(make_recorded, client):
    """Case 30: wrappers stay, or are doubled, elsewhere; cached ones of this client included."""
    raw = client.responses.with_raw_response
    create = client.responses.create
    for _ in range(3):
        recorded = make_recorded()
        instrument(tracer_provider=recorded.provider)
        create(model="gpt-4o-mini", input="x")
        raw.create(model="gpt-4o-mini", input="x").parse()
        assert len(recorded.all()) == 2
        uninstrument()
        recorded.clear()
        create(model="gpt-4o-mini", input="x")
        raw.create(model="gpt-4o-mini", input="x").parse()
        assert recorded.all() == []
    assert not hasattr(vars(openai._base_client.SyncAPIClient)["request"], "__wrapped__")
    assert not hasattr(vars(openai._base_client.AsyncAPIClient)["request"], "__wrapped__")


def test_case_31_a_thread_that_is_given_the_context_keeps_the_trace(spans, client):
    """Case 31: threads lose the context; who passes it on keeps trace and session."""
    import contextvars

    with workflow("plan"), session("s-1"), ThreadPoolExecutor(4) as pool:
        made = [
            pool.submit(contextvars.copy_context().run, CALLS[kind], client) for kind in ("chat", "responses")
        ]
        for one in made:
            one.result()
    calls = [span for span in spans.all() if span.name.startswith("chat")]
    (parent,) = (span for span in spans.all() if not span.name.startswith("chat"))
    assert len(calls) == 2
    assert {span.parent.span_id for span in calls} == {parent.context.span_id}
    assert {span.attributes["session.id"] for span in calls} == {"s-1"}


def test_case_31_a_thread_without_the_context_is_a_root_of_its_own_and_unharmed(spans, client):
    with workflow("plan"), ThreadPoolExecutor(2) as pool:
        assert pool.submit(CALLS["responses"], client).result().output_text
    assert spans.named("chat gpt-4o-mini").parent is None


def test_case_32_calls_leave_nothing_behind(spans, client):
    """Case 32: dictionaries of runs grow elsewhere."""
    from spanledger.instrumentation.invocation import Invocation

    for make in CALLS.values():
        make(client)
    gc.collect()
    assert not [thing for thing in gc.get_objects() if isinstance(thing, Invocation)]


@pytest.mark.parametrize("kind", CALLS)
def test_case_21_no_call_logs_a_warning(make_recorded, call, warnings_logged, kind):
    """Case 21: sentinels, lists and models as attributes make warnings elsewhere."""
    recorded = make_recorded(capture_content=True)
    call(CALLS[kind])
    decide(capture=False)
    assert warnings_logged() == []
    assert len(recorded.all()) == 1


@pytest.mark.parametrize("kind", CALLS)
def test_a_reader_that_breaks_never_reaches_the_user(make_recorded, call, monkeypatch, warnings_logged, kind):
    from spanledger.instrumentation import reading

    recorded = make_recorded(capture_content=True)

    def broken(*_args: Any) -> Any:
        raise RuntimeError("a bug of ours")

    for name in ("chat", "responses", "texts", "media"):
        monkeypatch.setattr(f"spanledger.instrumentation.providers.openai_{name}.field", broken)
    assert reading.field is not broken
    assert call(CALLS[kind]) is not None
    assert len(recorded.all()) == 1
    assert all("a bug of ours" in line for line in warnings_logged())
