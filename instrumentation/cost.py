"""What a call cost, by the prices of genai-prices, or the reason why that is not known."""

import os
import threading
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from importlib.metadata import version
from typing import Any

from opentelemetry.util.types import AttributeValue

from spanledger.instrumentation import rates
from spanledger.instrumentation.calls import Usage
from spanledger.instrumentation.quiet import quietly, warn_once
from spanledger.schemas import attributes as names

# Our provider names are those of the conventions; several are unknown to genai-prices or mean another
# entry there. The first one that knows the model answers.
_PRICE_PROVIDERS = {
    "azure.ai.openai": ("azure", "openai"),
    "azure.ai.inference": ("azure", "openai"),
    "aws.bedrock": ("aws",),
    "gcp.gemini": ("google",),
    "gcp.vertex_ai": ("google",),
    "gcp.gen_ai": ("google",),
    "mistral_ai": ("mistral",),
    "moonshot_ai": ("moonshotai",),
    "x_ai": ("x-ai",),
}
# A tier the provider did not decide yet, or the plain one, selects no price variant.
_STANDARD_TIERS = {"auto", "default", "standard"}


# Several times what it takes to load the prices.
_LOADING_S = 10
_before_forks: list[threading.Thread] = []


def preload() -> None:
    """Load the price table in the background: its import takes longer than a call should wait."""
    with quietly("loading prices"):
        thread = threading.Thread(target=_warm_up, name="spanledger-prices", daemon=True)
        thread.start()
        _wait_before_forks(thread)


def _wait_before_forks(thread: threading.Thread) -> None:
    """A child must not begin in the middle of an import: the locks of its modules would stay taken for good.

    That is what an application meets that is loaded before its server forks.
    """
    if hasattr(os, "register_at_fork") and not _before_forks:
        os.register_at_fork(before=_wait)
    _before_forks[:] = [thread]


def _wait() -> None:
    for loading in _before_forks:
        if loading is not threading.current_thread():
            loading.join(_LOADING_S)


def _warm_up() -> None:
    with quietly("loading prices"):
        cost_attributes("openai", ("gpt-4o-mini",), Usage(input=1), datetime.now(UTC))


def cost_attributes(
    provider: str,
    models: tuple[str | None, ...],
    usage: Usage | None,
    when: datetime,
    service_tier: str | None = None,
) -> dict[str, AttributeValue]:
    """Cost attributes, or `spanledger.cost.reason` alone; never a guess and never zero for unknown.

    The models are tried in order: what answered first, then what was asked for.
    """
    wanted = [model for model in models if model]
    if usage is None or (usage.input is None and usage.output is None and not usage.units):
        return {names.COST_REASON: names.REASON_NO_USAGE}
    if not wanted:
        return {names.COST_REASON: names.REASON_NO_MODEL}
    try:
        price = _price(provider, wanted, usage, when, service_tier)
    except ValueError as error:
        warn_once("pricing this usage", error)
        return {names.COST_REASON: names.REASON_INVALID_USAGE}
    except ImportError as error:
        warn_once("loading prices", error)
        return {names.COST_REASON: names.REASON_NO_PRICES}
    return {names.COST_REASON: price} if isinstance(price, str) else _attributes(price)


def _is_billed_by(price: Any, usage: Usage) -> bool:
    """Whether something that was used has a price; characters say nothing about a model billed by tokens.

    A model that the list knows without any price is free, and so is nothing at all.
    """
    if price.total_price:
        return True
    from genai_prices.data_units import unit_data

    keys = {str(unit["price_key"]) for unit in unit_data.values()}
    priced = {key for key in keys if getattr(price.model_price, key, None) is not None}
    used = {str(unit_data[unit]["price_key"]) for unit, count in _counts(usage).items() if count}
    return not priced or not used or not priced.isdisjoint(used)


def plain(amount: Decimal) -> str:
    """A decimal in plain notation: 0.0000008, never 8E-7."""
    return format(amount, "f")


@cache
def price_version() -> str:
    return f"genai-prices/{version('genai-prices')}"


def _attributes(price: Any) -> dict[str, AttributeValue]:
    return {
        names.COST_AMOUNT: float(price.total_price),
        names.COST_CURRENCY: "USD",
        names.COST_SOURCE: names.COST_SOURCE_LOCAL,
        names.COST_TOTAL: plain(price.total_price),
        names.COST_INPUT: plain(price.input_price),
        names.COST_OUTPUT: plain(price.output_price),
        names.COST_PRICE_VERSION: price_version(),
    }


def _price(provider: str, models: list[str], usage: Usage, when: datetime, tier: str | None) -> Any:
    import genai_prices

    plain_counts = _counts(usage)
    kept = rates.priced(provider, models, tier, when, plain_counts)
    if kept is not None and kept.total_price:
        return kept
    known_provider = False
    context = _price_context(tier)
    counts = genai_prices.Usage(**plain_counts)
    for price_provider in _PRICE_PROVIDERS.get(provider, (provider,)):
        for model in models:
            try:
                price = genai_prices.calc_price(
                    counts,
                    model,
                    provider_id=price_provider,
                    genai_request_timestamp=when,
                    price_context=context,
                )
            except LookupError as error:
                # The library has one exception for both; only its text tells them apart.
                known_provider = known_provider or "find model" in str(error)
                continue
            rates.keep(provider, models, tier, when, counts=plain_counts, calculation=price)
            return price if _is_billed_by(price, usage) else names.REASON_NO_USAGE
    return names.REASON_UNKNOWN_MODEL if known_provider else names.REASON_UNKNOWN_PROVIDER


def _price_context(tier: str | None) -> dict[str, str] | None:
    """A tier as genai-prices names it; the ledger reads the same words (schemas/prices/book.py)."""
    if not tier or tier in _STANDARD_TIERS:
        return None
    if tier == "batch":
        return {"processing": tier}
    return {"service_tier": tier, "speed": tier} if tier == "fast" else {"service_tier": tier}


def _counts(usage: Usage) -> dict[str, int]:
    """Counts that genai-prices accepts: no part is larger than its whole."""
    whole_input, whole_output = usage.input or 0, usage.output or 0
    cached = min(usage.cache_read or 0, whole_input)
    counts = {
        "input_tokens": whole_input,
        "output_tokens": whole_output,
        "cache_read_tokens": cached,
        "cache_write_tokens": min(usage.cache_write or 0, whole_input - cached),
        "input_audio_tokens": min(usage.audio_input or 0, whole_input),
        "output_audio_tokens": min(usage.audio_output or 0, whole_output),
        "input_image_tokens": min(usage.image_input or 0, whole_input),
        "output_image_tokens": min(usage.image_output or 0, whole_output),
        **usage.units,
    }
    kept = {"input_tokens", "output_tokens", *usage.units}
    return {key: count for key, count in counts.items() if count or key in kept}
