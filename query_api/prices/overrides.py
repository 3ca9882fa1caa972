"""Overrides as they are asked for and answered; what they mean stands in schemas/prices/overrides.py."""

from __future__ import annotations

import json
from decimal import Decimal

from clickhouse_connect.driver.client import Client

from spanledger.query_api.prices.words import decimal_text, moment_of, moment_text
from spanledger.query_api.values import money
from spanledger.schemas.price_api import NewOverride, OverridePrice, OverrideState
from spanledger.schemas.prices.overrides import EPOCH, Override, add_override
from spanledger.schemas.prices.units import NUMBERS, UNITS


def set_override(client: Client, asked: NewOverride) -> OverrideState:
    """Store an override; BadData names what is wrong with it."""
    given = asked.model_dump(exclude={"valid_from", "valid_to"})
    override = add_override(
        client,
        **given,
        valid_from=moment_of(asked.valid_from, "valid_from"),
        valid_to=moment_of(asked.valid_to, "valid_to"),
    )
    return override_answer(override)


def override_answer(override: Override) -> OverrideState:
    return OverrideState(
        id=override.id,
        project=override.project or None,
        provider=override.provider or None,
        match_kind=override.match_kind,
        match_value=override.match_value,
        valid_from=None if override.valid_from == EPOCH else moment_text(override.valid_from),
        valid_to=None if override.valid_to is None else moment_text(override.valid_to),
        prices=_prices(override.prices),
        discount_percent=money(override.discount_percent),
        alias=override.alias or None,
        set_at=moment_text(override.set_at),
        set_by=override.set_by,
        note=override.note,
        removed_at=None if override.removed_at is None else moment_text(override.removed_at),
        removed_by=override.removed_by if override.removed else None,
    )


def _prices(stored: str) -> list[OverridePrice]:
    return [
        OverridePrice(
            unit=item["unit"],
            price=decimal_text(Decimal(item["price"])),
            per=item.get("per", UNITS[NUMBERS[item["unit"]]].per),
            tiers=[
                {"start": tier["start"], "price": decimal_text(Decimal(tier["price"]))}
                for tier in item.get("tiers", ())
            ],
            variant=item.get("variant"),
        )
        for item in (json.loads(stored) if stored else ())
    ]
