"""Newer versions of the SDK have spans of their own: a call is counted once, and its trace goes on."""

import asyncio
import gc
import re
from typing import Any

import anthropic
import pytest
from anthropic import _base_client as base
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from spanledger.instrumentation import uninstrument
from tests.instrumentation.anthropic.asking import ASK, HELLO, MODEL, STREAM, plan

pytestmark = [
    pytest.mark.usefixtures("by_the_conventions"),
    pytest.mark.skipif(
        not hasattr(base, "start_api_call_span"), reason="this version of the SDK has no spans of its own"
    ),
]
NATIVE = "com.anthropic.sdk.python"


def scopes(spans: Any) -> list[str]:
    return [span.instrumentation_scope.name for span in spans.all()]


@pytest.fixture
def native(spans: Any, url: str) -> Any:
    """A client whose own spans go to the same place as ours."""
    options: Any = {"tracer_provider": spans.provider}
    with anthropic.Anthropic(base_url=url, api_key="k", max_retries=0, open_telemetry=options) as made:
        yield made


def test_a_call_is_one_counted_span_case_14(spans, native):
    """Case 14: the SDK's own span of a message would be the double of ours."""
    native.messages.create(**ASK)
    list(native.messages.create(**STREAM))
    with native.messages.stream(**ASK) as stream:
        stream.get_final_message()
    native.messages.with_raw_response.create(**ASK)
    with pytest.raises(anthropic.RateLimitError):
        native.messages.create(**ASK, extra_headers=plan(status=429))
    stream = native.messages.create(**STREAM)
    next(stream)
    del stream
    gc.collect()
    assert scopes(spans) == ["spanledger.instrumentation.providers.anthropic"] * 6


def test_an_async_call_is_one_counted_span_case_14(spans, url):
    """Case 14, async."""

    async def run() -> None:
        options: Any = {"tracer_provider": spans.provider}
        async with anthropic.AsyncAnthropic(base_url=url, api_key="k", open_telemetry=options) as client:
            await client.messages.create(**ASK)
            async for _event in await client.messages.create(**STREAM):
                pass

    asyncio.run(run())
    assert scopes(spans) == ["spanledger.instrumentation.providers.anthropic"] * 2


def test_the_sdk_sends_the_trace_of_our_span(spans, native, stub):
    """The SDK hands its trace context on by itself; it is that of the span that is left."""
    native.messages.create(**ASK)
    sent = re.fullmatch(r"00-(\w{32})-(\w{16})-\w\w", stub.last_headers["traceparent"])
    assert sent is not None
    span = spans.one().get_span_context()
    assert sent.groups() == (trace.format_trace_id(span.trace_id), trace.format_span_id(span.span_id))


def test_what_is_no_message_keeps_the_sdks_own_span(spans, native):
    native.messages.count_tokens(model=MODEL, messages=HELLO)
    assert scopes(spans) == [NATIVE]


def test_the_conversation_that_the_client_was_given_is_ours_too(spans, url):
    options: Any = {"tracer_provider": spans.provider, "conversation_id": "c-1"}
    with anthropic.Anthropic(base_url=url, api_key="k", open_telemetry=options) as client:
        client.messages.create(**ASK)
    assert spans.one().attributes["gen_ai.conversation.id"] == "c-1"


def test_without_us_the_sdk_has_its_span_again(spans, native):
    uninstrument()
    native.messages.create(**ASK)
    assert scopes(spans) == [NATIVE]
    spans.clear()  # the table of attributes is ours


def test_a_sampler_that_drops_our_span_brings_no_span_of_the_sdk_back(make_recorded, url):
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

    recorded = make_recorded()
    uninstrument()
    unsampled = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    from spanledger.instrumentation import instrument

    instrument(tracer_provider=unsampled)
    options: Any = {"tracer_provider": recorded.provider}
    with anthropic.Anthropic(base_url=url, api_key="k", open_telemetry=options) as client:
        client.messages.create(**ASK)
    assert recorded.all() == []
