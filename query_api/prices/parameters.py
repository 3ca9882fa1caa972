"""What the routes of prices take, each with the words that say what is allowed."""

from __future__ import annotations

import binascii
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Annotated, Self, get_args

from fastapi import Path
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from spanledger.query_api.parameters import ALLOWED, MOST_TRACES, TEXT_FORM, Text, Time
from spanledger.query_api.prices.catalogue import Place
from spanledger.query_api.times import LATEST_NS, TIME_FORM
from spanledger.schemas.price_api import PriceSource
from spanledger.schemas.prices.tables import SOURCES

ALLOWED_OF_PRICES = {
    "provider": TEXT_FORM,
    "model": TEXT_FORM,
    "tier": TEXT_FORM,
    "host": TEXT_FORM,
    "project": TEXT_FORM,
    "source": ", ".join(get_args(PriceSource)),
    "removed": "true or false",
    "removed_by": TEXT_FORM,
    "at": TIME_FORM,
    "prices": "a list of objects with unit and price, and where needed per, tiers and variant",
    "discount_percent": "a decimal string above 0 and up to 100",
    "match_value": "a text of 1 to 256 characters",
    "unpriced_only": "true or false",
    "dry_run": "true or false",
    "reason": "text of up to 4000 characters",
}
ALLOWED_IN_PRICE_PATHS = {"span_id": "16 hexadecimal digits", "override_id": "the id of an override"}


def encode_place(place: Place) -> str:
    return urlsafe_b64encode(json.dumps(place, ensure_ascii=False).encode()).decode()


def decode_place(text: str) -> Place:
    """The place in a cursor; raises ValueError where it is not one of ours."""
    try:
        source, provider, model = json.loads(urlsafe_b64decode(text.encode("ascii")))
    except (ValueError, TypeError, binascii.Error, RecursionError):
        raise ValueError("not a cursor of this API") from None
    if source not in range(len(SOURCES)) or not isinstance(provider, str) or not isinstance(model, str):
        raise ValueError("not a cursor of this API")
    return Place(int(source), provider, model)


PlaceCursor = Annotated[str, AfterValidator(lambda text: encode_place(decode_place(text)))]
SpanId = Annotated[
    str,
    Path(pattern="^[0-9a-fA-F]{16}$", description=f"{ALLOWED_IN_PRICE_PATHS['span_id']}, in any case."),
]
OverrideId = Annotated[str, Path(max_length=100, description="As GET /api/v1/prices/overrides gives it.")]


class _Parameters(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CatalogueParameters(_Parameters):
    """The parameters of the list of models."""

    provider: Text | None = Field(None, description="Models of this provider, as the list calls it.")
    model: Text | None = Field(
        None, description="Models with this in their id, taken literally, in any case."
    )
    source: PriceSource | None = Field(None, description="Models of this source's list.")
    limit: int = Field(50, ge=1, le=MOST_TRACES, description=f"Models on a page: {ALLOWED['limit']}.")
    cursor: PlaceCursor | None = Field(None, description=f"Where to go on: {ALLOWED['cursor']}.")

    def after(self) -> Place | None:
        return None if self.cursor is None else decode_place(self.cursor)


class ModelParameters(_Parameters):
    """One model of the lists."""

    provider: Text = Field(description="The provider, as the list calls it.")
    model: Text = Field(description="The model's id in the list.")


class MatchParameters(_Parameters):
    """What a call says of its price, as it was sent."""

    provider: Text = Field("", description="The provider that the call names; empty: none.")
    model: Text = Field(min_length=1, description="The model that the call names.")
    tier: Text = Field("", description="batch, flex, priority ..., or key=value; several joined by +.")
    host: Text = Field("", description="The address that was called, where no provider is named.")
    at: Time | None = Field(None, description=f"When the call began: {TIME_FORM}; now where not given.")


class OverridesParameters(_Parameters):
    """Which overrides."""

    removed: bool = Field(False, description="Those that were removed as well.")


class RemovalParameters(_Parameters):
    """Who removes it."""

    removed_by: Text = Field("", description="Who removes it: kept with the override.")


class ImportParameters(_Parameters):
    """What is imported."""

    source: PriceSource = Field(
        description="genai-prices: its data.json (v2); litellm: model_prices_and_context_window.json."
    )


class UnpricedParameters(_Parameters):
    """Calls of which time."""

    start: Time | None = Field(None, description=f"Calls that began at this time or later: {TIME_FORM}.")
    end: Time | None = Field(None, description=f"Calls that began before this time: {TIME_FORM}.")
    limit: int = Field(100, ge=1, le=MOST_TRACES, description=f"How many: {ALLOWED['limit']}.")

    @model_validator(mode="after")
    def _time_runs_forward(self) -> Self:
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise ValueError("start must be before end")
        return self

    def until_ns(self) -> int:
        return LATEST_NS if self.end is None else self.end
