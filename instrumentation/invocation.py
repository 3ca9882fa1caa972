"""One call of a model, from its start to its end: one CLIENT span, ended exactly once."""

import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from datetime import UTC, datetime
from traceback import format_tb
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context, get_current
from opentelemetry.trace import NonRecordingSpan, Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.util.types import AttributeValue

from spanledger.instrumentation import meters, suppression
from spanledger.instrumentation.calls import Message, Request, Response, Usage
from spanledger.instrumentation.collected import settle
from spanledger.instrumentation.content import ContentPolicy, counted, policy, text_of, to_json
from spanledger.instrumentation.context import ambient, attribute_value, clean, enter, is_too_large, leave
from spanledger.instrumentation.cost import cost_attributes
from spanledger.instrumentation.quiet import quietly
from spanledger.schemas import attributes as names

# Providers echo a rejected key in their message, and HTTP clients the address that it is part of.
_KEYS = r"(?:(?:sk|pk|rk|gsk|xai|pplx|nvapi|csk|hf|r8|fw)[-_]|AIza|A[KS]IA)"
_SECRET = re.compile(
    rf"(\b{_KEYS}|(?i:\bbearer\s+|\bkey(?: provided)?\s*[:=]\s*(?!{_KEYS})|[?&](?:api[-_]?)?key=))"
    r"[\w*.\-%]{8,}"
)
# What botocore writes before a parameter that it quotes in full.
_QUOTES = ", value: "
_MESSAGE_LIMIT = 1000
# The call that made the answer was billed; a moderation is billed to nobody.
_NEVER_BILLED = frozenset({names.OPERATION_FETCH_RESPONSE, names.OPERATION_MODERATION})
_BILLED_BY_TEXT = frozenset(
    {
        names.OPERATION_CHAT,
        names.OPERATION_TEXT_COMPLETION,
        names.OPERATION_GENERATE_CONTENT,
        names.OPERATION_EMBEDDINGS,
    }
)


class Invocation:
    """Start it, tell it of chunks, finish or fail it; whatever comes after the first end is ignored."""

    def __init__(
        self,
        tracer: Tracer,
        request: Request,
        *,
        silence_all: bool = False,
        outer: MutableMapping[str, Any] | None = None,
    ) -> None:
        settle()
        self.request = request
        self.span: Span = _start_span(tracer, request) if outer is None else Enrichment(outer)
        # Of a call that no sampler keeps, no text is gathered either.
        with_content = outer is None and self.span.is_recording()
        self.policy: ContentPolicy = policy() if with_content else ContentPolicy()
        self._inside_another = outer is not None
        # Taken now: the end may run in another task or in the garbage collector.
        self._around = get_current() if outer is not None else trace.set_span_in_context(self.span)
        self._silence_all = silence_all
        self._started = time.perf_counter()
        self._started_at = datetime.now(UTC)
        self._first_chunk: float | None = None
        self._ended = threading.Lock()
        self._process = os.getpid()

    @property
    def context(self) -> Context:
        """Where the provider's client runs: below our span, other instrumentations of this call silent."""
        return suppression.marked(self._around, silence_all=self._silence_all)

    @property
    def is_over(self) -> bool:
        return self._ended.locked()

    def chunk(self) -> None:
        if self._first_chunk is None:
            self._first_chunk = time.perf_counter() - self._started

    def finish(self, response: Response | None, *, end_time: int | None = None) -> None:
        self._end(response, None, end_time)

    def fail(self, error: BaseException | str, response: Response | None = None) -> None:
        """End with an error; what had arrived before it is recorded with it."""
        self._end(response, error, None)

    def _end(
        self, response: Response | None, error: BaseException | str | None, end_time: int | None
    ) -> None:
        # A child that was forked in the middle of the call has a copy of it; the call is its parent's.
        # The lock is never released: whoever takes it ends the span, from whichever thread.
        if self._process != os.getpid() or not self._ended.acquire(blocking=False):
            return
        found = response or Response()
        try:
            if self.span.is_recording():
                self._record(found, error)
            if not self._inside_another:
                with quietly("recording metrics"):
                    self._measure(found, error, end_time)
        finally:
            with quietly("ending a span"):
                self.span.end(end_time)

    def _record(self, response: Response, error: BaseException | str | None) -> None:
        counts = self.policy.count_tokens is not None and self.request.operation in _BILLED_BY_TEXT
        if response.usage is None and counts:
            with quietly("counting tokens"):
                response.usage = self._estimated(response, error)
        found: dict[str, AttributeValue] = {}
        with quietly("recording a response"):
            found = known(self._response_attributes(response))
        with quietly("pricing a call"):
            found.update(self._cost(response))
        with quietly("recording a response"):
            # Once, because each time costs a lock and a check of its own.
            self.span.set_attributes(found)
        with quietly("recording content"):
            self._record_content(response)
        if error is not None:
            with quietly("recording an error"):
                record_error(self.span, error)

    def _measure(self, response: Response, error: BaseException | str | None, end_time: int | None) -> None:
        held = meters.instruments()
        if held is None:
            return
        seconds = time.perf_counter() - self._started
        if end_time is not None:
            # It ended earlier than it was noticed.
            seconds = min(seconds, max(0.0, end_time / 1e9 - self._started_at.timestamp()))
        meters.record(
            held,
            self.request,
            response_model=_text(response.model),
            usage=response.usage,
            seconds=seconds,
            first_chunk=self._first_chunk if self.request.stream else None,
            error=error_type(error) if isinstance(error, BaseException) else error and _without_keys(error),
            context=self._around,
        )

    def _response_attributes(self, response: Response) -> dict[str, AttributeValue | None]:
        found: dict[str, AttributeValue | None] = {
            names.RESPONSE_ID: _text(response.id),
            names.RESPONSE_MODEL: _text(response.model),
            names.RESPONSE_FINISH_REASONS: list(response.finish_reasons) or None,
            names.RESPONSE_TIME_TO_FIRST_CHUNK: self._first_chunk if self.request.stream else None,
            **response.attributes,
        }
        if response.usage is not None:
            found.update(response.usage.attributes())
        return found

    def _cost(self, response: Response) -> dict[str, AttributeValue]:
        models = (_text(response.model), self.request.model)
        if self.request.operation in _NEVER_BILLED:
            return {}
        return cost_attributes(
            self.request.provider, models, response.usage, self._started_at, response.service_tier
        )

    def _estimated(self, response: Response, error: BaseException | str | None) -> Usage | None:
        """A count of the application's own, where it has one and the provider told nothing."""
        count = self.policy.count_tokens
        output = response.output_messages() if count is not None else []
        # A call that failed before it was answered is not billed.
        if count is None or (error is not None and not output):
            return None
        model = _text(response.model) or self.request.model or ""
        asked = text_of([*self.request.system_instructions(), *self.request.input_messages()])
        return Usage(
            input=counted(count, asked, model), output=counted(count, text_of(output), model), estimated=True
        )

    def _record_content(self, response: Response) -> None:
        if not self.policy.recorded:
            return
        policy, request = self.policy, self.request
        definitions = request.tool_definitions()
        content = {
            names.SYSTEM_INSTRUCTIONS: _unless_empty(policy.parts, request.system_instructions()),
            names.INPUT_MESSAGES: _unless_empty(policy.messages, request.input_messages()),
            names.OUTPUT_MESSAGES: _unless_empty(policy.messages, response.output_messages()),
            names.TOOL_DEFINITIONS: _unless_empty(to_json, definitions),
        }
        texts = {key: text for key, text in content.items() if text is not None}
        if policy.span:
            self.span.set_attributes(texts)
        if policy.event:
            # The event says what the span says; the SDK's span can be read, a foreign one maybe not.
            described = getattr(self.span, "attributes", None) or request.attributes
            _emit_event({**described, **texts}, self._around)


def _unless_empty(form: Callable[[list[Message]], str], held: list[Message]) -> str | None:
    return form(held) if held else None


class Enrichment(NonRecordingSpan):
    """Stands in for our span when an outer inference of util-genai already records this call.

    It passes on what only we know (cost, tags, metadata) and leaves the rest to the outer span.
    """

    _ours = ("spanledger.", "gen_ai.usage.cost.", names.USER_ID, names.SESSION_ID)

    def __init__(self, attributes: MutableMapping[str, Any]) -> None:
        super().__init__(trace.get_current_span().get_span_context())
        self._attributes = attributes
        self.set_attributes(ambient())

    def is_recording(self) -> bool:
        return True

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        known = {key: value for key, value in attributes.items() if key.startswith(self._ours)}
        self._attributes.update(known)


@contextmanager
def current(context: Context) -> Iterator[None]:
    """Attach for the time of one call; never across a yield of the user's iteration."""
    token = enter(context)
    try:
        yield
    finally:
        leave(token)


def known(attributes: Mapping[str, Any]) -> dict[str, AttributeValue]:
    """None means "not known" and sets nothing; nor does a number that no exporter could send."""
    found: dict[str, AttributeValue] = {}
    for key, value in attributes.items():
        # Nearly every value is a text of ASCII, and this runs for each attribute of each call.
        if type(value) is str and value.isascii():
            found[key] = value
        elif value is not None and not is_too_large(value):
            found[key] = attribute_value(value)
    return found


def _text(value: Any) -> str | None:
    """Readers pass on what the provider sent, which may be anything."""
    return value if isinstance(value, str) else None


def record_error(span: Span, error: BaseException | str) -> None:
    """`error.type`, and the status with the error's message unless that could hold content."""
    if isinstance(error, str):
        code = _without_keys(error)
        span.set_attribute(names.ERROR_TYPE, code)
        span.set_status(Status(StatusCode.ERROR, code))
        return
    span.set_attribute(names.ERROR_TYPE, error_type(error))
    span.set_status(Status(StatusCode.ERROR, error_message(error) or None))


def _without_keys(text: str) -> str:
    """What a provider says of an error, which may be anything, without keys."""
    return _SECRET.sub(r"\1***", clean(text))[:_MESSAGE_LIMIT]


def exception_event(error: BaseException) -> dict[str, str]:
    """Attributes of an exception event; unlike the SDK's own it never quotes what a validation rejected."""
    message = error_message(error)
    frames = "".join(format_tb(error.__traceback__))
    return {
        "exception.type": error_type(error),
        "exception.message": message,
        "exception.stacktrace": f"{frames}{error_type(error)}: {message}",
    }


def error_type(error: BaseException) -> str:
    """The qualified class name; a status code where the class says no more than "some status"."""
    kind = type(error)
    status = getattr(error, "status_code", None)
    if kind.__name__ == "APIStatusError" and isinstance(status, int):
        return str(status)
    module = kind.__module__
    return kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"


def error_message(error: BaseException) -> str:
    """The message without keys; of a validation error its size or its beginning, for it quotes content."""
    count = getattr(error, "error_count", None)
    if callable(count):
        return f"{count()} validation errors"
    message = str(error)
    if type(error).__name__ == "ParamValidationError":
        message = message.partition(_QUOTES)[0]
    return _without_keys(message)


def _start_span(tracer: Tracer, request: Request) -> Span:
    here = ambient()
    attributes: dict[str, Any] = {
        names.OPERATION_NAME: request.operation,
        names.PROVIDER_NAME: request.provider,
        names.REQUEST_MODEL: request.model,
        names.REQUEST_STREAM: request.stream or None,
        names.CONVERSATION_ID: here.get(names.SESSION_ID),
        **request.attributes,
        **here,
    }
    name = f"{request.operation} {request.model}" if request.model else request.operation
    return tracer.start_span(clean(name), kind=SpanKind.CLIENT, attributes=known(attributes))


def _emit_event(attributes: Mapping[str, AttributeValue], around: Context) -> None:
    from opentelemetry._logs import LogRecord, SeverityNumber

    from spanledger.instrumentation import loggers

    record = LogRecord(
        timestamp=time.time_ns(),
        context=around,
        severity_number=SeverityNumber.DEBUG,
        event_name=names.EVENT_INFERENCE_DETAILS,
        attributes=dict(attributes),
    )
    loggers.logger().emit(record)
