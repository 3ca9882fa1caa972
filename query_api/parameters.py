"""Parameters: what a request may ask for, each with the words that say what is allowed."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Path, Query
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from spanledger.query_api.times import TIME_FORM, parse_time

MOST_TRACES = 500
_LONGEST_TEXT = 1000

TEXT_FORM = f"text of up to {_LONGEST_TEXT} characters"
ALLOWED = {
    "limit": f"a whole number from 1 to {MOST_TRACES}",
    "cursor": "the next_cursor of an earlier answer, unchanged",
    "start": TIME_FORM,
    "end": TIME_FORM,
}
ALLOWED_IN_PATH = {"trace_id": "32 hexadecimal digits"}

Time = Annotated[int, BeforeValidator(parse_time), WithJsonSchema({"type": "string", "format": "date-time"})]
Text = Annotated[str, Field(max_length=_LONGEST_TEXT)]
TraceId = Annotated[
    str,
    Path(pattern="^[0-9a-fA-F]{32}$", description=f"{ALLOWED_IN_PATH['trace_id']}, in any case."),
]


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
