"""What the tests of all providers ask of spans: known keys only, and sums equal to what a stub billed."""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import genai_prices
from opentelemetry.sdk.trace import ReadableSpan

from spanledger.schemas import attributes as names

_KNOWN = {value for key, value in vars(names).items() if key.isupper() and isinstance(value, str)}
_REQUIRED = {
    names.OPERATION_NAME,
    names.PROVIDER_NAME,
    names.REQUEST_MODEL,
    names.SERVER_ADDRESS,
    names.SERVER_PORT,
}
_WITHOUT_ANSWER = ("gen_ai.response.", "gen_ai.usage.")


def check_keys(span: ReadableSpan) -> None:
    """Every key is one of the conventions or ours, the required ones are there, a price or its reason is."""
    found = dict(span.attributes or {})
    own = (names.USAGE_UNIT_PREFIX, names.METADATA_PREFIX)
    unknown = {key for key in found if key not in _KNOWN and not key.startswith(own)}
    assert not unknown, unknown
    assert set(found) >= _REQUIRED, _REQUIRED - set(found)
    assert (names.COST_TOTAL in found) != (names.COST_REASON in found)
    for key, value in found.items():
        assert value is not None, key
        if key.startswith("gen_ai.usage.") and key.endswith("_tokens"):
            assert type(value) is int, key


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
