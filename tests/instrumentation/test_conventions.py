"""The table of attributes finds what is wrong with a span, and says it in words."""

from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, Status, StatusCode

from tests.instrumentation.conventions import check

GOOD: dict[str, Any] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.id": "c-1",
    "gen_ai.response.model": "gpt-4o-2024-08-06",
    "gen_ai.response.finish_reasons": ["stop"],
    "gen_ai.usage.input_tokens": 5,
    "gen_ai.usage.output_tokens": 2,
    "server.address": "api.openai.com",
    "server.port": 443,
    "spanledger.cost.reason": "unknown_model",
    "url.full": "of someone else",
}


def made(
    *, name: str = "chat gpt-4o", status: StatusCode = StatusCode.UNSET, drop: str = "", **changed: Any
) -> Any:
    provider, exporter = TracerProvider(shutdown_on_exit=False), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    attributes = {key: value for key, value in {**GOOD, **changed}.items() if key != drop}
    span = provider.get_tracer("t").start_span(name, kind=SpanKind.CLIENT, attributes=attributes)
    span.set_status(Status(status))
    span.end()
    (finished,) = exporter.get_finished_spans()
    return finished


def test_a_span_by_the_conventions_passes_and_keys_of_others_are_theirs():
    check(made(), "chat")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"drop": "gen_ai.provider.name"}, "gen_ai.provider.name is required and missing"),
        ({"drop": "gen_ai.response.id"}, "gen_ai.response.id is recommended and missing"),
        ({"gen_ai.system": "openai"}, "gen_ai.system is a key that neither"),
        ({"spanledger.mood": "good"}, "spanledger.mood is a key that neither"),
        ({"gen_ai.request.temperature": 1}, "gen_ai.request.temperature must be a double and is 1"),
        ({"gen_ai.usage.input_tokens": -1}, "must be a count"),
        ({"gen_ai.usage.cache_read.input_tokens": 6}, "more than its whole"),
        ({"gen_ai.embeddings.dimension.count": 3}, "is forbidden here; it belongs to embeddings"),
        ({"gen_ai.request.stream": False}, "must be true"),
        ({"gen_ai.response.time_to_first_chunk": 0.1}, "for streams"),
        ({"gen_ai.input.messages": "hello"}, "must be messages as JSON"),
        ({"gen_ai.input.messages": '[{"role": "user", "parts": [{}]}]'}, "must be messages as JSON"),
        ({"drop": "spanledger.cost.reason"}, "neither a cost nor a reason"),
        ({"gen_ai.usage.cost.amount": 0.1}, "beside a reason for no cost"),
        ({"drop": "spanledger.cost.reason", "spanledger.cost.total": "0.1"}, "missing beside the rest"),
        ({"drop": "spanledger.cost.reason", "spanledger.cost.total": "1E-7"}, "must be a decimal in plain"),
        ({"name": "openai.chat"}, "the name must be 'chat gpt-4o'"),
        ({"status": StatusCode.ERROR}, "error.type must be there"),
        ({"error.type": "x"}, "error.type must be there"),
    ],
)
def test_whatever_is_wrong_is_named(changes, words):
    with pytest.raises(AssertionError, match=words):
        check(made(**changes), "chat")


def test_a_recommended_key_may_be_excused_but_is_then_really_absent():
    check(made(drop="gen_ai.response.id"), "chat", without={"gen_ai.response.id"})
    with pytest.raises(AssertionError, match="said to be absent"):
        check(made(), "chat", without={"gen_ai.response.id"})


def test_a_call_that_failed_is_not_asked_for_an_answer():
    failed = made(status=StatusCode.ERROR, drop="gen_ai.response.id", **{"error.type": "x"})
    check(failed, "chat")


def test_fetching_an_answer_carries_no_tokens():
    fetched = made(name="fetch_response gpt-4o", **{"gen_ai.operation.name": "fetch_response"})
    with pytest.raises(AssertionError, match=r"gen_ai\.usage\.input_tokens is forbidden"):
        check(fetched, "fetch_response")


def test_an_operation_that_is_in_no_table_is_refused():
    with pytest.raises(AssertionError, match="'sing' is no operation; there are chat"):
        check(made(), "sing")
