"""What the routes of the search take, each with the words that say what is allowed.

`SpanFilter` is every condition on a span that a query can say; whoever asks about spans takes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Annotated, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from spanledger.query_api.parameters import ALLOWED, MOST_TRACES, TEXT_FORM, Text, Time
from spanledger.query_api.search.conditions import All, Any, Compare, Condition, Op
from spanledger.query_api.search.conditions import Text as ContentText
from spanledger.query_api.search.cursors import Cursor, decode_cursor, encode_cursor
from spanledger.query_api.search.grammar import ATTRIBUTE_FORM, MOST_VALUES, parse_attribute, parse_money
from spanledger.query_api.search.spans import Order, Sort
from spanledger.query_api.search.wholes import AllOf, AnySpan, Where, Whole
from spanledger.query_api.times import LATEST_NS, TIME_FORM
from spanledger.schemas.api import Status
from spanledger.schemas.calls import ROLES
from spanledger.schemas.search_api import SpanSearchBody, TraceSearchBody

# As Literal, so that the OpenAPI document lists them.
Role = Literal["LLM", "EMBEDDING", "TOOL", "AGENT", "WORKFLOW", "RETRIEVER", "FETCH", "OTHER"]

SpanField = Literal["attributes"]

_NUMBER_FORM = "a number of at least 0"
_COUNT_FORM = "a whole number from 0 to 2^63 - 1"
MONEY_FORM = "US dollars: a decimal of at least 0 with up to 18 digits before and behind the point"
_TEXTS = (
    "service",
    "name",
    "provider",
    "model",
    "error_type",
    "user",
    "conversation",
    "experiment",
    "tag",
    "operation",
    "agent",
    "tool",
)
ALLOWED_IN_SEARCH = {
    **dict.fromkeys(_TEXTS, f"{TEXT_FORM}; repeated: any of them"),
    "role": ", ".join(ROLES),
    "status": ", ".join(get_args(Status)),
    "min_duration_ms": _NUMBER_FORM,
    "max_duration_ms": _NUMBER_FORM,
    "min_tokens": _COUNT_FORM,
    "max_tokens": _COUNT_FORM,
    "min_cost_usd": MONEY_FORM,
    "max_cost_usd": MONEY_FORM,
    "attribute": ATTRIBUTE_FORM,
    "sort": ", ".join(get_args(Sort)),
    "order": ", ".join(get_args(Order)),
    "count": "true or false",
    "fields": ", ".join(get_args(SpanField)),
    "q": TEXT_FORM.replace("up", "1"),
}


def _line(text: str) -> str:
    parse_attribute(text)
    return text


Texts = Annotated[list[Text], Field(max_length=MOST_VALUES)]
Money = Annotated[Decimal, BeforeValidator(parse_money), WithJsonSchema({"type": "string"})]
Count = Annotated[int, Field(ge=0, lt=1 << 63)]
Milliseconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Lines = Annotated[list[Annotated[str, AfterValidator(_line)]], Field(max_length=20)]
_ANY = "Repeated: any of them."


class Parameters(BaseModel):
    """What is not named is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Range(Parameters):
    """A time."""

    start: Time | None = Field(None, description=f"What starts at this time or later: {TIME_FORM}.")
    end: Time | None = Field(None, description=f"What starts before this time: {TIME_FORM}.")

    @model_validator(mode="after")
    def _time_runs_forward(self) -> Self:
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise ValueError("start must be before end")
        return self

    @property
    def since_ns(self) -> int:
        """The first start that is asked for."""
        return self.start or 0

    @property
    def until_ns(self) -> int:
        """The first start behind what is asked for."""
        return LATEST_NS if self.end is None else self.end


class Filter(Range):
    """A time, and conditions on one and the same span."""

    service: Texts = Field([], description=f"service.name. {_ANY}")
    name: Texts = Field([], description=f"Name of the span. {_ANY}")
    role: list[Role] = Field([], description=f"What the span is. {_ANY}")
    operation: Texts = Field([], description=f"gen_ai.operation.name. {_ANY}")
    provider: Texts = Field([], description=f"Who answered. {_ANY}")
    model: Texts = Field([], description=f"Model that was asked for, or that answered. {_ANY}")
    status: list[Status] = Field([], description=f"Status. {_ANY}")
    error_type: Texts = Field([], description=f"error.type. {_ANY}")
    user: Texts = Field([], description=f"End user, of the span or else of its trace. {_ANY}")
    conversation: Texts = Field([], description=f"Conversation, of the span or else of its trace. {_ANY}")
    experiment: Texts = Field([], description=f"Experiment, of the span or else of its trace. {_ANY}")
    agent: Texts = Field([], description=f"Agent that worked. {_ANY}")
    tool: Texts = Field([], description=f"Tool that ran. {_ANY}")
    tag: Texts = Field([], description=f"A tag of the span. {_ANY}")
    min_duration_ms: Milliseconds | None = Field(None, description="At least so many milliseconds.")
    max_duration_ms: Milliseconds | None = Field(None, description="At most so many milliseconds.")
    min_tokens: Count | None = Field(None, description="At least so many tokens in and out.")
    max_tokens: Count | None = Field(None, description="At most so many tokens in and out.")
    min_cost_usd: Money | None = Field(None, description=f"Costs at least: {MONEY_FORM}.")
    max_cost_usd: Money | None = Field(None, description=f"Costs at most: {MONEY_FORM}.")
    attribute: Lines = Field([], description=f"{ATTRIBUTE_FORM}. Repeated: all of them, on the same span.")
    q: Text | None = Field(
        None, min_length=1, description="Text in prompts, answers or tool traffic, in any case of letters."
    )

    @model_validator(mode="after")
    def _bounds_run_upward(self) -> Self:
        for name in ("duration_ms", "tokens", "cost_usd"):
            least, most = getattr(self, f"min_{name}"), getattr(self, f"max_{name}")
            if least is not None and most is not None and least > most:
                raise ValueError(f"min_{name} must not be above max_{name}")
        return self

    def of_span(self) -> Iterator[Condition]:
        """The conditions that one span must fulfil, whatever is searched."""
        for name in ("service", "name", "role", "operation", "provider"):
            yield from _any_of(name, getattr(self, name))
        if self.model:
            yield Any([*_any_of("request_model", self.model), *_any_of("response_model", self.model)])
        for name in ("error_type", "user", "conversation", "experiment", "agent", "tool", "tag"):
            yield from _any_of(name, getattr(self, name))
        yield from map(parse_attribute, self.attribute)
        if self.q is not None:
            yield ContentText(self.q)

    def of_whole(self) -> Iterator[Compare]:
        """The conditions on the span, or on the trace, as a whole."""
        yield from _any_of("status", self.status)
        for name in ("duration_ms", "tokens", "cost_usd"):
            bounds: tuple[tuple[Op, str], ...] = (("ge", "min"), ("le", "max"))
            for op, which in bounds:
                value = getattr(self, f"{which}_{name}")
                if value is not None:
                    yield Compare(name, op, value)


def _any_of(name: str, values: Sequence[str]) -> Iterator[Compare]:
    if values:
        yield Compare(name, "eq", values[0]) if len(values) == 1 else Compare(name, "in", values)


class SpanFilter(Filter):
    """Conditions on a span: those of a query, with its time."""

    def condition(self) -> Condition:
        """What a span must fulfil, its time apart."""
        return All([*self.of_span(), *self.of_whole()])


# FastAPI takes a tuple for a parameter that may be repeated, so the cursor is decoded further down.
CursorText = Annotated[str, AfterValidator(lambda text: encode_cursor(decode_cursor(text)))]


class Paging(Range):
    """Which part of a list of what starts in a time, and in which order."""

    sort: Sort = Field("time", description="What the list is sorted by; what has no value comes last.")
    order: Order = Field("desc", description="desc: newest or largest first; asc: oldest or smallest first.")
    limit: int = Field(50, ge=1, le=MOST_TRACES, description=f"How many on a page: {ALLOWED['limit']}.")
    cursor: CursorText | None = Field(None, description=f"Where to go on: {ALLOWED['cursor']}.")
    count: bool = Field(False, description="Tell how many there are in all, or about how many.")

    def decoded(self) -> Cursor | None:
        """The cursor, where there is one."""
        return None if self.cursor is None else decode_cursor(self.cursor)


class SpanPaging(Paging):
    """And what is told of a span."""

    fields: list[SpanField] = Field([], description="What to tell beside the summary: attributes.")


class SpanParameters(SpanPaging, SpanFilter):
    """The parameters of the list of spans."""


class TraceParameters(Paging, Filter):
    """The parameters of the list of traces."""

    def where(self) -> Where:
        """One and the same span fulfils what is said of spans, and the trace what is said of the whole."""
        span = list(self.of_span())
        of_span = [AnySpan(span[0] if len(span) == 1 else All(span))] if span else []
        return AllOf([*of_span, *(Whole(*each) for each in self.of_whole())])


class SpanSearchRequest(SpanPaging, SpanSearchBody):
    """A search for spans as JSON."""


class TraceSearchRequest(Paging, TraceSearchBody):
    """A search for traces as JSON."""
