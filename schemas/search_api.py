"""What the search takes as JSON and what it answers, field by field."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SkipValidation

from spanledger.schemas.api import Answer, Status, TracePage

_MONEY = "US dollars as a decimal string; null where it is not known."
Op = Literal[
    "eq", "ne", "in", "not_in", "lt", "le", "gt", "ge", "contains", "starts_with", "ends_with", "exists"
]
_OP = "What the kind of the field allows; `ne` and `not_in` are true of what was not sent, too."
_VALUE = "Of the field's kind; for `in` and `not_in` a list; for `exists` nothing."


class _Sent(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


# The trees are read by query_api/search/where.py, whose errors name the place; these models say their form.


class SpanAnd(_Sent):
    """Every one of them, on the same span."""

    parts: list[SpanWhere] = Field(alias="and", min_length=1)


class SpanOr(_Sent):
    """At least one of them."""

    parts: list[SpanWhere] = Field(alias="or", min_length=1)


class SpanNot(_Sent):
    """Whatever does not fulfil it."""

    part: SpanWhere = Field(alias="not")


class FieldCondition(_Sent):
    """A field beside a value."""

    field: str = Field(examples=["model"])
    op: Op = Field("eq", description=_OP)
    value: Any = Field(None, description=_VALUE)


class AttributeCondition(_Sent):
    """An attribute beside a value: "5" is text and no number, 5 and 5.0 are one number."""

    attribute: str = Field(description="The key, as it was sent.", examples=["http.status_code"])
    op: Op = Field("eq", description=_OP)
    value: Any = Field(None, description=_VALUE)
    level: Literal["span", "resource", "scope", "event", "link"] | None = Field(
        None, description="Where it stands; null: anywhere. Of several events or links one must fit."
    )


class TextCondition(_Sent):
    """Text in prompts, answers or tool traffic, in any case of letters."""

    text: str = Field(min_length=1)


SpanWhere = SpanAnd | SpanOr | SpanNot | FieldCondition | AttributeCondition | TextCondition


class TraceAnd(_Sent):
    """Every one of them."""

    parts: list[TraceWhere] = Field(alias="and", min_length=1)


class TraceOr(_Sent):
    """At least one of them."""

    parts: list[TraceWhere] = Field(alias="or", min_length=1)


class TraceNot(_Sent):
    """Whatever does not fulfil it."""

    part: TraceWhere = Field(alias="not")


class AnySpanCondition(_Sent):
    """The trace has a span that fulfils it."""

    any_span: SpanWhere


TraceWhere = TraceAnd | TraceOr | TraceNot | FieldCondition | AnySpanCondition


class SpanSummary(Answer):
    """A span in one line, without its content. What it inherits from its trace is not in it."""

    trace_id: str = Field(examples=["4bf92f3577b34da6a3ce929d0e0e4736"])
    span_id: str = Field(examples=["00f067aa0ba902b7"])
    parent_span_id: str | None = Field(description="null: a root.")
    name: str
    service: str | None
    scope: str | None = Field(description="The instrumentation that made it.")
    role: str = Field(description="LLM, EMBEDDING, TOOL, AGENT, WORKFLOW, RETRIEVER, FETCH or OTHER.")
    operation: str | None
    provider: str | None
    request_model: str | None
    response_model: str | None
    status: Status
    error_type: str | None
    start_time: str
    end_time: str
    duration_ms: float
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: str | None = Field(description=_MONEY)
    cost_reason: str | None = Field(description="Why the cost is not known.")
    counted: bool = Field(description="Whether totals count it: a call, and no second record of one.")
    conversation_id: str | None
    user_id: str | None
    experiment_id: str | None
    tool: str | None
    agent: str | None
    tags: list[str]
    attributes: dict[str, Any] | None = Field(
        None, description="With fields=attributes: those of the span, without prompts and answers."
    )


class Count(Answer):
    """How many there are in all."""

    count: int
    exact: bool = Field(description="false: extrapolated from a part of what is stored.")


class SpanPage(Answer):
    """Spans, in the order that was asked for."""

    spans: list[SpanSummary]
    next_cursor: str | None = Field(description="`cursor` of the next page; null on the last one.")
    count: Count | None = Field(None, description="Where it was asked for.")


class CountedTracePage(TracePage):
    """Traces, in the order that was asked for."""

    count: Count | None = Field(None, description="Where it was asked for.")


_CONDITIONS = "A tree of conditions; null: all."


class SpanSearchBody(_Sent):
    """A search for spans as JSON."""

    where: SkipValidation[SpanWhere] | None = Field(None, description=_CONDITIONS)


class TraceSearchBody(_Sent):
    """A search for traces as JSON."""

    where: SkipValidation[TraceWhere] | None = Field(None, description=_CONDITIONS)
