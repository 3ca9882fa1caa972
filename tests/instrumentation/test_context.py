"""Session, user, tags and metadata reach every span below them."""

import threading
from typing import Any

from opentelemetry import trace

from spanledger.instrumentation import (
    attributes_for,
    experiment,
    metadata,
    session,
    tags,
    user,
    workflow,
)

HELLO: list[Any] = [{"role": "user", "content": "hello"}]


def test_they_reach_completions_structure_and_spans_of_other_instrumentations(spans, client):
    other = spans.provider.get_tracer("somebody else")
    with (
        session("s-1"),
        user("ada"),
        tags("a", "b"),
        metadata(plan="gold", seats=3),
        experiment("e-1"),
        workflow("w"),
        other.start_as_current_span("http"),
    ):
        client.chat.completions.create(model="gpt-4o-mini", messages=HELLO)
    expected = {
        "session.id": "s-1",
        "user.id": "ada",
        "spanledger.tags": ("a", "b"),
        "spanledger.metadata.plan": "gold",
        "spanledger.metadata.seats": 3,
        "spanledger.experiment.id": "e-1",
    }
    assert [span.name for span in spans.all()] == ["chat gpt-4o-mini", "http", "invoke_workflow w"]
    for span in spans.all():
        assert expected.items() <= dict(span.attributes).items(), span.name
    conversations = [span.attributes.get("gen_ai.conversation.id") for span in spans.all()]
    assert conversations == ["s-1", None, "s-1"]


def test_nested_blocks_add_up_and_end_with_their_block(spans):
    tracer = spans.provider.get_tracer("t")
    with attributes_for(user="outer", tags=["a"], metadata={"k": 1, "gone": None}):
        with attributes_for(user="inner", tags=["b", "a"], metadata={"k": 2, "l": [1, "x"]}):
            tracer.start_span("inner").end()
        tracer.start_span("outer").end()
    tracer.start_span("after").end()
    inner, outer, after = (dict(span.attributes) for span in spans.all())
    assert inner == {
        "user.id": "inner",
        "spanledger.tags": ("a", "b"),
        "spanledger.metadata.k": 2,
        "spanledger.metadata.l": ("1", "x"),
    }
    assert outer == {"user.id": "outer", "spanledger.tags": ("a",), "spanledger.metadata.k": 1}
    assert after == {}


def test_what_the_application_set_on_its_own_span_stays(spans):
    with user("from context"):
        spans.provider.get_tracer("t").start_span("own", attributes={"user.id": "from span"}).end()
    assert spans.one().attributes["user.id"] == "from span"


def test_another_thread_has_its_own_context(spans):
    def work() -> None:
        spans.provider.get_tracer("t").start_span("elsewhere").end()

    with user("ada"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert dict(spans.one().attributes) == {}


def test_a_block_left_in_another_task_logs_nothing(spans, warnings_logged):
    import asyncio

    async def stream() -> Any:
        with user("ada"), workflow("w"):
            yield 1
            yield 2

    async def run() -> None:
        reading = stream()
        await asyncio.create_task(anext(reading))
        await asyncio.create_task(reading.aclose())

    asyncio.run(run())
    assert spans.one().name == "invoke_workflow w"
    assert warnings_logged() == []
    assert trace.get_current_span() is trace.INVALID_SPAN
