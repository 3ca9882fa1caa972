"""What genai-prices takes for what a stub billed."""

from decimal import Decimal
from typing import Any

import genai_prices


def price_of(billed: dict[str, Any], provider: str = "anthropic") -> Decimal:
    """The price of one bill of Anthropic's stub, by the price list's own reader of raw usage."""
    usage = billed["usage"]
    extracted = genai_prices.extract_usage(
        {"model": billed["model"], "usage": usage},
        provider_id=provider,
        api_flavor="default" if provider == "anthropic" else "anthropic",
    )
    context = {"processing": "batch"} if usage.get("service_tier") == "batch" else None
    if usage.get("speed") == "fast":
        context = {"service_tier": "fast", "speed": "fast"}
    model = billed["asked"] if provider == "aws" else billed["model"]
    return genai_prices.calc_price(
        extracted.usage, model, provider_id=provider, price_context=context
    ).total_price
