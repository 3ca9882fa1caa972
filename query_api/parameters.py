"""Parameters: what a request may ask for, each with the words that say what is allowed."""

from __future__ import annotations

from typing import Annotated, Any, Self, get_args

from fastapi import Depends, Path, Query
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from spanledger.query_api.search.cursors import Position, decode_cursor, encode_cursor
from spanledger.query_api.search.traces import LATEST_NS, Search
from spanledger.query_api.times import TIME_FORM, parse_time
from spanledger.schemas.api import Status

MOST_TRACES = 500
_LONGEST_TEXT = 1000

_TEXT_FORM = f"text of up to {_LONGEST_TEXT} characters"
ALLOWED = {
    "limit": f"a whole number from 1 to {MOST_TRACES}",
    "cursor": "the next_cursor of an earlier answer, unchanged",
    "start": TIME_FORM,
    "end": TIME_FORM,
    "service": _TEXT_FORM,
    "status": ", ".join(get_args(Status)),
    "model": _TEXT_FORM,
}
ALLOWED_IN_PATH = {"trace_id": "32 hexadecimal digits"}

Time = Annotated[int, BeforeValidator(parse_time), WithJsonSchema({"type": "string", "format": "date-time"})]
# FastAPI takes a tuple for a parameter that may be repeated, so the position is decoded further down.
Cursor = Annotated[str, AfterValidator(lambda text: encode_cursor(decode_cursor(text)))]
Text = Annotated[str, Field(max_length=_LONGEST_TEXT)]
TraceId = Annotated[
    str,
    Path(pattern="^[0-9a-fA-F]{32}$", description=f"{ALLOWED_IN_PATH['trace_id']}, in any case."),
]


class TraceParameters(BaseModel):
    """The parameters of the trace list; there are no others."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int = Field(50, ge=1, le=MOST_TRACES, description=f"Traces on a page: {ALLOWED['limit']}.")
    cursor: Cursor | None = Field(None, description=f"Where to go on: {ALLOWED['cursor']}.")
    start: Time | None = Field(None, description=f"Traces that start at this time or later: {TIME_FORM}.")
    end: Time | None = Field(None, description=f"Traces that start before this time: {TIME_FORM}.")
    service: Text | None = Field(None, description="Traces with a span of this service.name.")
    status: Status | None = Field(None, description="Traces whose root span has this status.")
    model: Text | None = Field(None, description="Traces with a span that asked for, or got, this model.")

    @model_validator(mode="after")
    def _time_runs_forward(self) -> Self:
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise ValueError("start must be before end")
        return self

    def after(self) -> Position | None:
        return None if self.cursor is None else decode_cursor(self.cursor)

    def search(self) -> Search:
        return Search(
            since_ns=self.start or 0,
            until_ns=LATEST_NS if self.end is None else self.end,
            service=self.service,
            status=self.status,
            model=self.model,
        )


class NoParameters(BaseModel):
    """For routes that take none: better refused than ignored."""

    model_config = ConfigDict(extra="allow")

    @model_validator(mode="before")
    @classmethod
    def _none(cls, sent: Any) -> Any:
        if sent:
            raise ValueError(f"no parameters are taken here, not {', '.join(map(repr, sent))}")
        return sent


def _none(parameters: Annotated[NoParameters, Query()]) -> None:
    """Refuse parameters instead of ignoring them."""


TAKES_NONE = [Depends(_none)]
