"""A stream that only the garbage collector finds is recorded, and nothing waits for itself over it."""

import gc
import os
import threading
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from spanledger.instrumentation import loggers
from spanledger.instrumentation.providers.openai_background import OPEN_CALLS
from spanledger.instrumentation.providers.openai_batches import FILES
from tests.instrumentation.openai.conftest import KEY
from tests.instrumentation.stubs import openai as stub_of_openai

ASK: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello there"}]}


class Locked(SpanProcessor):
    """As the locks of exporters and metrics: whoever holds it cannot take it again."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.was_free: list[bool] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.was_free.append(self.lock.acquire(blocking=False))
        if self.was_free[-1]:
            self.lock.release()


def lose_a_stream(client: Any) -> None:
    """Only a cycle holds the stream."""
    stream = client.chat.completions.create(**ASK, stream=True)
    next(stream)
    stream.itself = stream


def test_a_collection_under_a_lock_does_not_ask_for_it_again(spans, client):
    locked = Locked()
    spans.provider.add_span_processor(locked)
    gc.disable()
    try:
        lose_a_stream(client)
        with locked.lock:
            gc.collect()
        assert locked.was_free == []
        client.chat.completions.create(**ASK)
    finally:
        gc.enable()
    assert locked.was_free == [True, True]
    assert [span.attributes.get("gen_ai.request.stream") for span in spans.all()] == [True, None]


def test_a_flush_sends_what_a_collection_dropped(make_recorded, client):
    spans = make_recorded()
    lose_a_stream(client)
    gc.collect()
    spans.provider.force_flush()
    assert len(spans.exporter.get_finished_spans()) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_stream_of_the_parent_is_not_recorded_by_a_forked_child(spans, client):
    stream = client.chat.completions.create(**ASK, stream=True)
    next(stream)
    child = os.fork()
    if child == 0:
        stream.close()
        os._exit(len(spans.all()))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    list(stream)
    assert spans.one().attributes["gen_ai.response.finish_reasons"] == ("stop",)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_background_call_of_the_parent_is_not_ended_by_a_forked_child(spans):
    """Else its span would be sent twice, once without the usage."""
    import openai

    with (
        stub_of_openai.running() as api,
        openai.OpenAI(base_url=api.base_url, api_key=KEY, max_retries=0) as client,
    ):
        made = client.responses.create(model="gpt-4o-mini", input="hello", background=True)
        child = os.fork()
        if child == 0:
            OPEN_CALLS.end_all()
            os._exit(len(spans.all()))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        while client.responses.retrieve(made.id).status != "completed":
            pass
    assert spans.named("chat gpt-4o-mini").attributes["gen_ai.usage.input_tokens"] > 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize(
    "held",
    [lambda: OPEN_CALLS._lock, lambda: FILES._lock, lambda: loggers._own.lock],
    ids=["background calls", "batch files", "events"],
)
def test_a_lock_that_is_held_while_forking_is_free_in_the_child(held):
    with held():
        child = os.fork()
        if child == 0:
            os._exit(0 if held().acquire(blocking=False) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
