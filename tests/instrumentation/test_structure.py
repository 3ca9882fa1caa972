"""Workflows, agents and tools: one span for each run, with what runs in it below."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from spanledger.instrumentation import agent, tool, workflow


def test_names_kinds_and_attributes_are_those_of_the_conventions(spans):
    with workflow("plan"), agent("guide", id="a-1", description="knows the way"), tool("map", call_id="c-1"):
        pass
    inner, middle, outer = spans.all()
    assert (outer.name, middle.name, inner.name) == (
        "invoke_workflow plan",
        "invoke_agent guide",
        "execute_tool map",
    )
    assert {span.kind for span in spans.all()} == {SpanKind.INTERNAL}
    assert dict(outer.attributes) == {
        "gen_ai.operation.name": "invoke_workflow",
        "gen_ai.workflow.name": "plan",
    }
    assert dict(middle.attributes) == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "guide",
        "gen_ai.agent.id": "a-1",
        "gen_ai.agent.description": "knows the way",
    }
    assert dict(inner.attributes) == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "map",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": "c-1",
    }
    assert inner.parent.span_id == middle.context.span_id
    assert middle.parent.span_id == outer.context.span_id


def test_a_completion_is_a_child_of_the_step_it_runs_in(spans, client):
    @workflow
    def answer() -> str | None:
        done = client.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": "hi"}]
        )
        return done.choices[0].message.content

    assert answer() == "You said: hi"
    chat, step = spans.all()
    assert step.name == "invoke_workflow answer"
    assert chat.parent.span_id == step.context.span_id


def test_decorated_functions_keep_their_name_result_and_exception(spans):
    @agent("guide")
    def lead(way: str, *, far: int = 1) -> str:
        """Leads."""
        if far < 0:
            raise ValueError("behind")
        return way * far

    assert (lead.__name__, lead.__doc__) == ("lead", "Leads.")
    assert lead("x", far=2) == "xx"
    with pytest.raises(ValueError, match="behind"):
        lead("x", far=-1)
    good, bad = spans.all()
    assert good.status.status_code is StatusCode.UNSET
    assert (bad.status.status_code, bad.attributes["error.type"]) == (StatusCode.ERROR, "ValueError")
    assert [event.name for event in bad.events] == ["exception"]


def test_decorated_coroutines_run_below_their_span_even_side_by_side(spans):
    @tool
    async def wait(label: str) -> str:
        with agent(label):
            await asyncio.sleep(0.01)
        return label

    async def run() -> list[str]:
        return list(await asyncio.gather(wait("a"), wait("b")))

    assert asyncio.run(run()) == ["a", "b"]
    tools = {span.context.span_id for span in spans.all() if span.name == "execute_tool wait"}
    parents = {span.parent.span_id for span in spans.all() if span.name.startswith("invoke_agent")}
    assert len(tools) == 2
    assert parents == tools


def test_a_cancelled_coroutine_is_an_error_span_and_stays_cancelled(spans):
    @workflow
    async def wait() -> None:
        await asyncio.sleep(5)

    async def run() -> None:
        task = asyncio.create_task(wait())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert spans.one().attributes["error.type"] == "asyncio.exceptions.CancelledError"


def test_a_generator_has_its_span_around_its_steps_and_never_around_its_readers(spans):
    @workflow
    def count() -> Iterator[int]:
        for number in range(3):
            with tool(f"t{number}"):
                pass
            yield number

    for _number in count():
        assert trace.get_current_span() is trace.INVALID_SPAN
    *tools, step = spans.all()
    assert [span.parent.span_id for span in tools] == [step.context.span_id] * 3


def test_a_generator_can_be_sent_to_thrown_into_and_closed(spans):
    @workflow
    def echo() -> Any:
        received: list[Any] = []
        try:
            while True:
                try:
                    received.append((yield len(received)))
                except KeyError as error:
                    received.append(error)
        finally:
            seen.extend(received)

    seen: list[Any] = []
    running = echo()
    assert next(running) == 0
    assert running.send("x") == 1
    assert running.throw(KeyError("y")) == 2
    running.close()
    assert (seen[0], type(seen[1])) == ("x", KeyError)
    assert spans.one().status.status_code is StatusCode.UNSET


def test_an_async_generator_is_recorded_the_same_way(spans):
    @agent
    async def count() -> AsyncIterator[int]:
        for number in range(2):
            await asyncio.sleep(0)
            with tool("t"):
                yield number
        raise RuntimeError("over")

    found: list[int] = []

    async def run() -> None:
        async for number in count():
            found.append(number)  # noqa: PERF401 - the error must not lose what came before it

    with pytest.raises(RuntimeError, match="over"):
        asyncio.run(run())
    assert found == [0, 1]
    step = spans.named("invoke_agent count")
    assert step.attributes["error.type"] == "RuntimeError"
    assert len(spans.all()) == 3


def test_an_async_generator_left_early_ends_its_span_without_an_error(spans):
    @agent
    async def count() -> AsyncIterator[int]:
        yield 1
        yield 2

    async def run() -> None:
        running = count()
        assert await anext(running) == 1
        await running.aclose()

    asyncio.run(run())
    assert spans.one().status.status_code is StatusCode.UNSET


def test_arguments_and_results_of_tools_are_recorded_only_while_content_is(make_recorded):
    @tool
    def weather(city: str, *, days: int = 1) -> dict[str, int]:
        return {city: days}

    spans = make_recorded(capture_content=True)
    weather("Lisbon", days=2)
    with tool("by hand") as step:
        step.arguments("as it came")
        step.result([1])
    first, second = spans.all()
    assert json.loads(first.attributes["gen_ai.tool.call.arguments"]) == {"city": "Lisbon", "days": 2}
    assert json.loads(first.attributes["gen_ai.tool.call.result"]) == {"Lisbon": 2}
    assert second.attributes["gen_ai.tool.call.arguments"] == "as it came"
    assert second.attributes["gen_ai.tool.call.result"] == "[1]"


def test_what_an_agent_or_a_workflow_returns_is_no_tools_answer(spans_with_content):
    """`gen_ai.tool.call.result` belongs to execute_tool spans, whatever else is decorated."""

    @workflow
    def plan() -> str:
        return guide()

    @agent
    def guide() -> str:
        return "to the left"

    assert plan() == "to the left"
    for span in spans_with_content.all():
        assert "gen_ai.tool.call.result" not in span.attributes


def test_by_default_a_tools_arguments_and_results_stay_out(spans):
    @tool
    def weather(city: str) -> str:
        return f"sunny in {city}"

    weather("Lisbon")
    assert "Lisbon" not in spans.one().to_json()


def test_an_exception_that_quotes_the_answer_of_a_model_does_not_carry_it_into_a_step(spans):
    import pydantic

    class Trip(pydantic.BaseModel):
        days: int

    with pytest.raises(pydantic.ValidationError), workflow("w"):
        Trip.model_validate({"days": "a secret answer"})
    (event,) = spans.one().events
    assert event.attributes["exception.type"] == "pydantic_core._pydantic_core.ValidationError"
    assert "test_structure.py" in event.attributes["exception.stacktrace"]
    assert "a secret answer" not in spans.one().status.description + event.attributes["exception.message"]


def test_a_step_recurses(spans):
    step = workflow("again")
    with step, step:
        pass
    inner, outer = spans.all()
    assert inner.parent.span_id == outer.context.span_id


def test_one_object_used_by_many_tasks_at_once_gives_each_its_own_span(spans):
    shared = workflow("shared")
    first_is_in, second_is_in = asyncio.Event(), asyncio.Event()

    async def first() -> Any:
        with shared as step:
            first_is_in.set()
            await second_is_in.wait()
        return step.span, trace.get_current_span()

    async def second() -> Any:
        await first_is_in.wait()
        with shared as step:
            second_is_in.set()
            await asyncio.sleep(0.01)
            still_open = step.span.is_recording()
        return still_open, trace.get_current_span()

    async def both() -> Any:
        return await asyncio.gather(first(), second())

    (_, after_first), (second_was_open, after_second) = asyncio.run(both())
    assert second_was_open
    assert after_first is after_second is trace.INVALID_SPAN
    assert len(spans.all()) == 2
