"""What somebody thinks of an answer: `gen_ai.evaluation.result` events for a span, a trace or a response."""

import math
import time

from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, TraceFlags
from opentelemetry.util.types import AttributeValue

from spanledger.instrumentation import loggers
from spanledger.instrumentation.context import ambient, clean
from spanledger.instrumentation.quiet import quietly, warn_once
from spanledger.schemas import attributes as names

_FEEDBACK = "user_feedback"
_LABELS = {True: "positive", False: "negative"}


def score(
    name: str,
    value: float | None = None,
    *,
    label: str | None = None,
    explanation: str | None = None,
    span: Span | None = None,
    trace_id: str | int | None = None,
    span_id: str | int | None = None,
    response_id: str | None = None,
) -> None:
    """Send the result of an evaluation, such as `score("relevance", 0.8, label="relevant")`.

    It is of `span`, or of the span or trace with these ids (hexadecimal, as the ledger shows them), or of the
    current span; `response_id` names the provider's answer. Without any of these it is dropped with one
    warning. Raises ValueError for a value that is no finite number and for ids that are none.
    """
    attributes: dict[str, AttributeValue] = {names.EVALUATION_NAME: clean(name)}
    if value is not None:
        attributes[names.EVALUATION_SCORE] = _number(value)
    texts = {
        names.EVALUATION_LABEL: label,
        names.EVALUATION_EXPLANATION: explanation,
        names.RESPONSE_ID: response_id,
    }
    attributes.update({key: clean(text) for key, text in texts.items() if text is not None})
    target = _target(span, trace_id, span_id)
    if not target.trace_id and response_id is None:
        warn_once("sending an evaluation", "there is no current span, and no span, id or response was given")
        return
    with quietly("sending an evaluation"):
        here = ambient()
        for key in (names.SESSION_ID, names.USER_ID):
            if key in here:
                attributes[key] = here[key]
        _emit(attributes, target)


def feedback(
    positive: bool | None = None,  # noqa: FBT001 - reads as thumbs up: feedback(True)
    *,
    value: float | None = None,
    comment: str | None = None,
    span: Span | None = None,
    trace_id: str | int | None = None,
    span_id: str | int | None = None,
    response_id: str | None = None,
) -> None:
    """Send what a user thinks of an answer: thumbs up or down, or a `value` of your own scale, or a comment.

    An evaluation named `user_feedback`; thumbs are 1 and 0 with the labels positive and negative.
    """
    if positive is None and value is None and comment is None:
        raise ValueError("feedback needs one of positive, value and comment")
    score(
        _FEEDBACK,
        float(positive) if value is None and positive is not None else value,
        label=None if positive is None else _LABELS[bool(positive)],
        explanation=comment,
        span=span,
        trace_id=trace_id,
        span_id=span_id,
        response_id=response_id,
    )


def _number(value: float) -> float:
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"a score is a finite number, not {value!r}")
    return float(value)


def _target(span: Span | None, trace_id: str | int | None, span_id: str | int | None) -> SpanContext:
    if trace_id is None and span_id is None:
        return (span or trace.get_current_span()).get_span_context()
    if trace_id is None:
        raise ValueError("a span_id is of a trace: give its trace_id, too")
    found = _id("trace_id", trace_id, 32), _id("span_id", span_id, 16)
    return SpanContext(*found, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def _id(name: str, given: str | int | None, digits: int) -> int:
    if given is None:
        return 0
    try:
        found = int(given, 16) if isinstance(given, str) else given
    except ValueError:
        found = -1
    if not 0 < found < 16**digits:
        raise ValueError(f"{name} is {given!r}; it is a number of up to {digits} hexadecimal digits, not 0")
    return found


def _emit(attributes: dict[str, AttributeValue], target: SpanContext) -> None:
    loggers.logger().emit(
        LogRecord(
            timestamp=time.time_ns(),
            context=trace.set_span_in_context(NonRecordingSpan(target), Context()),
            severity_number=SeverityNumber.INFO,
            event_name=names.EVENT_EVALUATION,
            attributes=attributes,
        )
    )
