"""OpenTelemetry's own instrumentation of openai, with our hook found by its entry point."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import genai_prices
import openai
import pytest
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from spanledger.instrumentation import attributes_for
from spanledger.instrumentation.completion_hook import LedgerCompletionHook

ASK: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello there"}]}


@pytest.fixture
def theirs(monkeypatch) -> Iterator[InMemorySpanExporter]:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_COMPLETION_HOOK", "spanledger")
    provider, exporter = TracerProvider(shutdown_on_exit=False), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor = OpenAIInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    yield exporter
    instrumentor.uninstrument()


def one(exporter: InMemorySpanExporter) -> ReadableSpan:
    (span,) = exporter.get_finished_spans()
    assert span.instrumentation_scope.name.startswith("opentelemetry.")
    return span


@pytest.mark.parametrize("stream", [False, True])
def test_their_span_has_our_cost_session_and_user(theirs, client, stub, stream):
    streaming = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    with attributes_for(session="s-1", user="ada", tags=["t"], metadata={"plan": "pro"}):
        list(client.chat.completions.create(**ASK, **streaming, extra_headers={"x-stub-cached-tokens": "2"}))
    usage, attributes = stub.calls()[-1]["usage"], one(theirs).attributes
    price = genai_prices.calc_price(
        genai_prices.Usage(
            input_tokens=usage["prompt_tokens"],
            output_tokens=usage["completion_tokens"],
            cache_read_tokens=2,
        ),
        "gpt-4o-mini-2024-07-18",
        provider_id="openai",
    )
    assert Decimal(attributes["spanledger.cost.total"]) == price.total_price
    assert attributes["gen_ai.usage.cost.source"] == "local"
    assert (attributes["session.id"], attributes["user.id"]) == ("s-1", "ada")
    assert attributes["gen_ai.conversation.id"] == "s-1"
    assert (attributes["spanledger.tags"], attributes["spanledger.metadata.plan"]) == (("t",), "pro")
    assert not [key for key in attributes if "messages" in key]


def test_a_call_without_a_price_says_why(theirs, client):
    client.chat.completions.create(**{**ASK, "model": "a-model-of-nobody"})
    assert one(theirs).attributes["spanledger.cost.reason"] == "unknown_model"


def test_the_price_is_of_who_answers_at_the_host_whatever_they_call_it(theirs, canned):
    body = {
        "id": "c1",
        "model": "deepseek-chat",
        "object": "chat.completion",
        "created": 1,
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 10, "total_tokens": 1010},
    }
    canned(body, base_url="https://api.deepseek.com/v1").chat.completions.create(
        **{**ASK, "model": "deepseek-chat"}
    )
    assert Decimal(one(theirs).attributes["spanledger.cost.total"]) > 0


def test_a_call_that_fails_stays_theirs(theirs, client):
    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(**ASK, extra_headers={"x-stub-status": "429"})
    assert one(theirs).attributes["error.type"]


def test_an_agents_sum_is_not_priced_and_what_is_no_span_is_left_alone(spans):
    tracer = spans.provider.get_tracer("theirs")
    usage = {"gen_ai.usage.input_tokens": 5, "gen_ai.usage.output_tokens": 5}
    with tracer.start_as_current_span(
        "invoke_agent a", attributes={"gen_ai.operation.name": "invoke_agent", **usage}
    ) as span:
        LedgerCompletionHook().on_completion(span=span, inputs=[], outputs=[], system_instruction=[])
    LedgerCompletionHook().on_completion(inputs=[], outputs=[], system_instruction=[])
    assert not [key for key in spans.one().attributes if "cost" in key]


@pytest.mark.parametrize("stream", [False, True])
def test_beside_our_own_instrumentation_a_call_is_still_one_span_with_a_cost_cases_11_and_14(
    theirs, spans, client, stream
):
    list(client.chat.completions.create(**ASK, stream=stream))
    found = [*theirs.get_finished_spans(), *spans.all()]
    assert len(found) == 1
