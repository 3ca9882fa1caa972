"""Sums over spans, and what genai-prices asks for what a stub billed."""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import genai_prices
from opentelemetry.sdk.trace import ReadableSpan

from spanledger.schemas import attributes as names


def price(provider: str, model: str, context: Any = None, **counts: int) -> Decimal:
    """What genai-prices asks for these counts, the zeros left out."""
    usage = genai_prices.Usage(
        **{
            name: number
            for name, number in counts.items()
            if number or name in {"input_tokens", "output_tokens", "cache_audio_read_tokens"}
        }
    )
    return genai_prices.calc_price(
        usage, model, provider_id=provider, genai_request_timestamp=datetime.now(UTC), price_context=context
    ).total_price


def summed(spans: Iterable[ReadableSpan], key: str) -> int:
    return sum(int((span.attributes or {}).get(key, 0)) for span in spans)  # type: ignore[call-overload]


def cost_of(spans: Iterable[ReadableSpan]) -> Decimal:
    return sum((Decimal(str((span.attributes or {}).get(names.COST_TOTAL, 0))) for span in spans), Decimal(0))
