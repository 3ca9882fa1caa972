"""Spans for the parts of an application that are not model calls: workflows, agents and tools.

Each of `workflow`, `agent` and `tool` is a `with` block and a decorator, for functions, coroutines and
generators of both kinds. A span around a generator is entered for each of its steps and left before each
yield.
"""

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextvars import Token
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, overload

from opentelemetry import trace
from opentelemetry.context import Context, get_current
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind

from spanledger.instrumentation.calls import Message
from spanledger.instrumentation.content import policy, to_json
from spanledger.instrumentation.context import ambient, clean, enter, leave
from spanledger.instrumentation.invocation import current, exception_event, known, record_error
from spanledger.instrumentation.quiet import quietly
from spanledger.instrumentation.tracers import tracer
from spanledger.schemas import attributes as names

P = ParamSpec("P")
R = TypeVar("R")

_SCOPE = "spanledger.instrumentation"


class Step:
    """One open span of the application's structure."""

    def __init__(self, operation: str, name: str, attributes: Mapping[str, Any]) -> None:
        self.span: Span = INVALID_SPAN
        self._is_tool = operation == names.OPERATION_EXECUTE_TOOL
        self._name = name
        with quietly("starting a step"):
            here = ambient()
            conversation = here.get(names.SESSION_ID)
            start = {names.OPERATION_NAME: operation, names.CONVERSATION_ID: conversation, **attributes}
            self.span = tracer(_SCOPE).start_span(
                clean(f"{operation} {name}"), kind=SpanKind.INTERNAL, attributes=known({**start, **here})
            )
        # A span that could not be started must not hide the one around it.
        self.context: Context = (
            get_current() if self.span is INVALID_SPAN else trace.set_span_in_context(self.span)
        )

    def arguments(self, value: Any) -> None:
        """What a tool was called with; kept only while content is captured."""
        self._content(names.TOOL_CALL_ARGUMENTS, {"type": "tool_call", "arguments": value}, "arguments")

    def result(self, value: Any) -> None:
        """What a tool answered; kept only while content is captured."""
        self._content(names.TOOL_CALL_RESULT, {"type": "tool_call_response", "response": value}, "response")

    def _content(self, key: str, part: Message, member: str) -> None:
        if not self._is_tool or part[member] is None or not policy().span:
            return
        with quietly("recording a tool's content"):
            kept = policy().part({**part, "name": self._name})
            value = kept.get(member) if kept is not None else None
            if value is not None:
                self.span.set_attribute(key, clean(value) if isinstance(value, str) else to_json(value))

    def finish(self, error: BaseException | None = None) -> None:
        with quietly("ending a step"):
            # A generator that its reader leaves early did nothing wrong.
            if error is not None and not isinstance(error, GeneratorExit):
                self.span.add_event("exception", exception_event(error))
                record_error(self.span, error)
            self.span.end()


class Structure:
    """A kind of step with its name; every `with` and every call of a decorated function opens a span."""

    def __init__(
        self, operation: str, name_key: str, name: str | None, attributes: Mapping[str, Any]
    ) -> None:
        self._operation = operation
        self._name_key = name_key
        self._name = name
        self._attributes = attributes
        self._open: list[tuple[Step, Token[Context]]] = []

    def __enter__(self) -> Step:
        step = self._step(self._name or "unnamed")
        self._open.append((step, enter(step.context)))
        return step

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        # One object may be used by many tasks and threads at once: each takes back what it entered.
        here = get_current()
        mine = [entry for entry in self._open if entry[0].context is here] or self._open
        step, token = entered = mine[-1]
        self._open.remove(entered)
        leave(token)
        step.finish(error)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        wrap = _wrap_function
        if inspect.isasyncgenfunction(function):
            wrap = _wrap_async_generator
        elif inspect.isgeneratorfunction(function):
            wrap = _wrap_generator
        elif inspect.iscoroutinefunction(function):
            wrap = _wrap_coroutine
        wrapped: Callable[P, R] = functools.wraps(function)(wrap(self._opener(function), function))
        return wrapped

    def _step(self, name: str) -> Step:
        return Step(self._operation, name, {self._name_key: name, **self._attributes})

    def _opener(self, function: Callable[..., Any]) -> Callable[..., Step]:
        name = self._name or str(getattr(function, "__name__", "unnamed"))
        is_tool = self._operation == names.OPERATION_EXECUTE_TOOL

        def opened(*args: Any, **kwargs: Any) -> Step:
            step = self._step(name)
            if is_tool and policy().span:
                with quietly("reading a tool's arguments"):
                    step.arguments(dict(inspect.signature(function).bind(*args, **kwargs).arguments))
            return step

        return opened


@overload
def workflow(name: Callable[P, R]) -> Callable[P, R]: ...
@overload
def workflow(name: str | None = None) -> Structure: ...
def workflow(name: Any = None) -> Any:
    """A whole run of the application, named `invoke_workflow {name}`."""
    return _made(names.OPERATION_INVOKE_WORKFLOW, names.WORKFLOW_NAME, name, {})


@overload
def agent(name: Callable[P, R]) -> Callable[P, R]: ...
@overload
def agent(name: str | None = None, *, id: str | None = None, description: str | None = None) -> Structure: ...
def agent(name: Any = None, *, id: str | None = None, description: str | None = None) -> Any:  # noqa: A002
    """One agent at work in this process, named `invoke_agent {name}`."""
    attributes = {names.AGENT_ID: id, names.AGENT_DESCRIPTION: description}
    return _made(names.OPERATION_INVOKE_AGENT, names.AGENT_NAME, name, attributes)


@overload
def tool(name: Callable[P, R]) -> Callable[P, R]: ...
@overload
def tool(
    name: str | None = None,
    *,
    call_id: str | None = None,
    description: str | None = None,
    type: str = "function",
) -> Structure: ...
def tool(
    name: Any = None,
    *,
    call_id: str | None = None,
    description: str | None = None,
    type: str = "function",  # noqa: A002
) -> Any:
    """One run of a tool, named `execute_tool {name}`; `call_id` is the model's id of the call."""
    attributes = {names.TOOL_TYPE: type, names.TOOL_CALL_ID: call_id, names.TOOL_DESCRIPTION: description}
    return _made(names.OPERATION_EXECUTE_TOOL, names.TOOL_NAME, name, attributes)


def _made(operation: str, name_key: str, name: Any, attributes: Mapping[str, Any]) -> Any:
    if callable(name):
        return Structure(operation, name_key, None, attributes)(name)
    return Structure(operation, name_key, name, attributes)


def _wrap_function(opened: Callable[..., Step], function: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        step = opened(*args, **kwargs)
        try:
            with current(step.context):
                result = function(*args, **kwargs)
        except BaseException as error:
            step.finish(error)
            raise
        step.result(result)
        step.finish()
        return result

    return run


def _wrap_coroutine(opened: Callable[..., Step], function: Callable[..., Any]) -> Callable[..., Any]:
    async def run(*args: Any, **kwargs: Any) -> Any:
        step = opened(*args, **kwargs)
        try:
            with current(step.context):
                result = await function(*args, **kwargs)
        except BaseException as error:
            step.finish(error)
            raise
        step.result(result)
        step.finish()
        return result

    return run


def _wrap_generator(opened: Callable[..., Step], function: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        step = opened(*args, **kwargs)
        try:
            result = yield from _steps(function(*args, **kwargs), step.context)
        except BaseException as error:
            step.finish(error)
            raise
        step.finish()
        return result

    return run


def _steps(inner: Generator[Any, Any, Any], context: Context) -> Generator[Any, Any, Any]:
    """`yield from inner`, with the context attached while `inner` runs and not while its reader does."""
    resume: Callable[[Any], Any] = inner.send
    value: Any = None
    while True:
        try:
            with current(context):
                item = resume(value)
        except StopIteration as stop:
            return stop.value
        try:
            value = yield item
            resume = inner.send
        except BaseException as error:  # noqa: BLE001 - handed to the generator it is meant for
            value, resume = error, inner.throw


def _wrap_async_generator(opened: Callable[..., Step], function: Callable[..., Any]) -> Callable[..., Any]:
    async def run(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        step = opened(*args, **kwargs)
        inner = function(*args, **kwargs)
        resume: Callable[[Any], Any] = inner.asend
        value: Any = None
        try:
            while True:
                with current(step.context):
                    item = await resume(value)
                try:
                    value = yield item
                    resume = inner.asend
                except BaseException as error:  # noqa: BLE001 - handed to the generator it is meant for
                    value, resume = error, inner.athrow
        except StopAsyncIteration:
            step.finish()
        except BaseException as error:
            step.finish(error)
            raise

    return run
