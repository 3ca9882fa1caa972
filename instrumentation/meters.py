"""The metrics of the conventions for calls of models, where the application has a MeterProvider.

Without one nothing is made and nothing is recorded. Names are those that other instrumentations send today
(the conventions rename them, and have released none of it).
"""

from typing import Any, NamedTuple

from opentelemetry import metrics
from opentelemetry.context import Context
from opentelemetry.metrics import Histogram, MeterProvider, NoOpMeterProvider
from opentelemetry.util.types import AttributeValue

from spanledger.instrumentation.calls import Request, Usage
from spanledger.instrumentation.context import attribute_value
from spanledger.instrumentation.tracers import package_version
from spanledger.schemas import attributes as names

_SCOPE = "spanledger.instrumentation"
# Boundaries of buckets that the conventions ask for.
_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_FIRST_CHUNK_SECONDS = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10.0),
)
_TOKENS = tuple(4**power for power in range(14))
# What of a request tells calls apart in a metric: few values each.
_OF_REQUEST = (names.SERVER_ADDRESS, names.SERVER_PORT)


class Instruments(NamedTuple):
    duration: Histogram
    tokens: Histogram
    first_chunk: Histogram


_chosen: list[MeterProvider] = []
_made: list[tuple[MeterProvider, Instruments]] = []


def choose(provider: MeterProvider | None) -> None:
    """Send the metrics of this package to one provider; None means the global one again."""
    _chosen[:] = [provider] if provider is not None else []
    _made.clear()


def instruments() -> Instruments | None:
    """Looked up for every call, so a provider that is set later is found; None while there is none."""
    provider = _chosen[0] if _chosen else metrics.get_meter_provider()
    if _made and _made[0][0] is provider:
        return _made[0][1]
    # What the API hands out until the application sets a provider has a private class.
    if isinstance(provider, NoOpMeterProvider) or type(provider).__name__ == "_ProxyMeterProvider":
        return None
    _made[:] = [(provider, _make(provider))]
    return _made[0][1]


def record(
    held: Instruments,
    request: Request,
    *,
    response_model: str | None,
    usage: Usage | None,
    seconds: float,
    first_chunk: float | None,
    error: str | None,
    context: Context,
) -> None:
    """One call that has ended."""
    attributes: dict[str, AttributeValue] = {
        names.OPERATION_NAME: request.operation,
        names.PROVIDER_NAME: request.provider,
    }
    more: dict[str, Any] = {names.REQUEST_MODEL: request.model, names.RESPONSE_MODEL: response_model}
    more.update({key: request.attributes.get(key) for key in _OF_REQUEST})
    attributes.update({key: attribute_value(value) for key, value in more.items() if value is not None})
    counts = {} if usage is None else {"input": usage.input, "output": usage.output}
    for kind, count in counts.items():
        if count is not None:
            held.tokens.record(count, {**attributes, names.TOKEN_TYPE: kind}, context)
    if first_chunk is not None:
        held.first_chunk.record(first_chunk, attributes, context)
    if error is not None:
        attributes[names.ERROR_TYPE] = error
    held.duration.record(seconds, attributes, context)


def _make(provider: MeterProvider) -> Instruments:
    meter = provider.get_meter(_SCOPE, package_version())
    return Instruments(
        duration=meter.create_histogram(
            names.METRIC_DURATION,
            unit="s",
            description="Duration of a call of a model.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        ),
        tokens=meter.create_histogram(
            names.METRIC_TOKENS,
            unit="{token}",
            description="Tokens of a call of a model, in and out.",
            explicit_bucket_boundaries_advisory=_TOKENS,
        ),
        first_chunk=meter.create_histogram(
            names.METRIC_TIME_TO_FIRST_CHUNK,
            unit="s",
            description="Time from the start of a streamed call to its first chunk.",
            explicit_bucket_boundaries_advisory=_FIRST_CHUNK_SECONDS,
        ),
    )
