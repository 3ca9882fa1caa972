"""What the routes of the search take, each with the words that say what is allowed.

`SpanFilter` is every condition on a span that a query can say; whoever asks about spans takes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation
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
from spanledger.query_api.search.cursors import Position, decode_cursor, encode_cursor
from spanledger.query_api.search.grammar import ATTRIBUTE_FORM, MOST_VALUES, parse_attribute
from spanledger.query_api.search.traces import Search
from spanledger.query_api.times import LATEST_NS, TIME_FORM
from spanledger.schemas.api import Status
from spanledger.schemas.calls import ROLES

# As Literal, so that the OpenAPI document lists them.
Role = Literal["LLM", "EMBEDDING", "TOOL", "AGENT", "WORKFLOW", "RETRIEVER", "FETCH", "OTHER"]

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
    "q": TEXT_FORM.replace("up", "1"),
}


def parse_money(value: object) -> Decimal:
    """An amount; raises ValueError where it is none that can be stored."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise ValueError("not an amount")  # noqa: TRY004 - of what was sent
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        raise ValueError("not a decimal") from None
    if not amount.is_finite() or not 0 <= amount < 10**18 or amount != round(amount, 18):
        raise ValueError("not an amount that can be stored")
    return amount


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


class Filter(Parameters):
    """A time, and conditions on one and the same span."""

    start: Time | None = Field(None, description=f"What starts at this time or later: {TIME_FORM}.")
    end: Time | None = Field(None, description=f"What starts before this time: {TIME_FORM}.")
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
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise ValueError("start must be before end")
        for name in ("duration_ms", "tokens", "cost_usd"):
            least, most = getattr(self, f"min_{name}"), getattr(self, f"max_{name}")
            if least is not None and most is not None and least > most:
                raise ValueError(f"min_{name} must not be above max_{name}")
        return self

    @property
    def since_ns(self) -> int:
        """The first start that is asked for."""
        return self.start or 0

    @property
    def until_ns(self) -> int:
        """The first start behind what is asked for."""
        return LATEST_NS if self.end is None else self.end

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


# FastAPI takes a tuple for a parameter that may be repeated, so the position is decoded further down.
Cursor = Annotated[str, AfterValidator(lambda text: encode_cursor(decode_cursor(text)))]


class TraceParameters(Filter):
    """The parameters of the trace list; there are no others."""

    limit: int = Field(50, ge=1, le=MOST_TRACES, description=f"Traces on a page: {ALLOWED['limit']}.")
    cursor: Cursor | None = Field(None, description=f"Where to go on: {ALLOWED['cursor']}.")

    def after(self) -> Position | None:
        return None if self.cursor is None else decode_cursor(self.cursor)

    def search(self) -> Search:
        return Search(
            since_ns=self.since_ns,
            until_ns=self.until_ns,
            service=self.service[0] if self.service else None,
            status=self.status[0] if self.status else None,
            model=self.model[0] if self.model else None,
        )
