"""Metrics of the conventions, where the application has a MeterProvider and nowhere else."""

from typing import Any

import openai
import pytest
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from spanledger.instrumentation import instrument, meters, uninstrument

ASK: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello there"}]}


@pytest.fixture
def reader():
    made = InMemoryMetricReader()
    provider = MeterProvider([made], shutdown_on_exit=False)
    yield made, provider
    provider.shutdown()


def points(reader: InMemoryMetricReader) -> dict[str, list[Any]]:
    data = reader.get_metrics_data()
    found: dict[str, list[Any]] = {}
    for resource in data.resource_metrics if data else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                found[metric.name] = list(metric.data.data_points)
    return found


def test_a_call_is_counted_with_its_duration_and_tokens(make_recorded, client, stub, reader):
    held, provider = reader
    spans = make_recorded(meter_provider=provider)
    client.chat.completions.create(**ASK)
    list(client.chat.completions.create(**ASK, stream=True, stream_options={"include_usage": True}))
    found = points(held)
    assert set(found) == {
        "gen_ai.client.operation.duration",
        "gen_ai.client.token.usage",
        "gen_ai.client.operation.time_to_first_chunk",
    }
    (duration,) = found["gen_ai.client.operation.duration"]
    attributes = spans.all()[0].attributes
    assert (duration.count, duration.attributes) == (
        2,
        {
            key: attributes[key]
            for key in (
                "gen_ai.operation.name",
                "gen_ai.provider.name",
                "gen_ai.request.model",
                "gen_ai.response.model",
                "server.address",
                "server.port",
            )
        },
    )
    tokens = {
        point.attributes["gen_ai.token.type"]: point.sum for point in found["gen_ai.client.token.usage"]
    }
    billed = [call["usage"] for call in stub.calls()[-2:]]
    assert tokens == {
        "input": sum(usage["prompt_tokens"] for usage in billed),
        "output": sum(usage["completion_tokens"] for usage in billed),
    }
    (first,) = found["gen_ai.client.operation.time_to_first_chunk"]
    assert first.count == 1
    assert duration.explicit_bounds[:2] == (0.01, 0.02)
    assert found["gen_ai.client.token.usage"][0].explicit_bounds[-1] == 67108864


def test_a_call_that_fails_is_counted_with_its_error_and_no_tokens(make_recorded, client, reader):
    held, provider = reader
    make_recorded(meter_provider=provider)
    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(**ASK, extra_headers={"x-stub-status": "429"})
    found = points(held)
    (duration,) = found["gen_ai.client.operation.duration"]
    assert duration.attributes["error.type"] == "openai.RateLimitError"
    assert "gen_ai.client.token.usage" not in found


def test_a_call_that_is_not_sampled_is_measured_all_the_same(client, reader):
    held, provider = reader
    instrument(tracer_provider=TracerProvider(ALWAYS_OFF, shutdown_on_exit=False), meter_provider=provider)
    try:
        client.chat.completions.create(**ASK)
    finally:
        uninstrument()
    assert points(held)["gen_ai.client.operation.duration"][0].count == 1


def test_without_a_provider_nothing_is_made_and_one_that_is_set_later_is_found(
    make_recorded, client, reader, monkeypatch
):
    held, provider = reader
    make_recorded()
    client.chat.completions.create(**ASK)
    assert meters.instruments() is None
    monkeypatch.setattr(metrics, "get_meter_provider", lambda: provider)
    client.chat.completions.create(**ASK)
    assert points(held)["gen_ai.client.operation.duration"][0].count == 1
