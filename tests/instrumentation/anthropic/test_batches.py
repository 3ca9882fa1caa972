"""Results of a batch: each answer is a call with its usage, at the batch's price (case 34)."""

import asyncio
from decimal import Decimal
from typing import Any

import anthropic
import pytest
from opentelemetry.trace import StatusCode

from tests.instrumentation.anthropic.asking import ASK, STREAM
from tests.instrumentation.anthropic.prices import price_of

pytestmark = pytest.mark.usefixtures("by_the_conventions")

REQUESTS: list[Any] = [
    {"custom_id": name, "params": ASK} for name in ("first", "errored-1", "canceled-1", "second", "expired-1")
]


def assert_recorded(spans: Any, stub: Any) -> None:
    answered = [span for span in spans.all() if span.status.status_code is StatusCode.UNSET]
    failed = [span for span in spans.all() if span.status.status_code is StatusCode.ERROR]
    assert [span.attributes["spanledger.metadata.custom_id"] for span in answered] == ["first", "second"]
    assert [span.attributes["error.type"] for span in failed] == ["invalid_request_error", "expired"]
    assert len({span.attributes["spanledger.metadata.batch_id"] for span in spans.all()}) == 1
    for span, billed in zip(answered, stub.bills, strict=True):
        assert span.attributes["gen_ai.response.id"] == billed["id"]
        assert span.attributes["gen_ai.usage.input_tokens"] == billed["usage"]["input_tokens"]
        assert span.attributes["gen_ai.usage.output_tokens"] == billed["usage"]["output_tokens"]
        assert span.attributes["anthropic.response.service_tier"] == "batch"
        assert Decimal(span.attributes["spanledger.cost.total"]) == price_of(billed)


def test_each_result_is_a_call_at_the_batchs_price_case_34(spans, client, stub):
    """Case 34: half the price of the same call asked for at once."""
    batch = client.messages.batches.create(requests=REQUESTS)
    client.messages.batches.retrieve(batch.id)
    assert spans.all() == []
    results = client.messages.batches.results(batch.id)
    assert [line.custom_id for line in results] == [request["custom_id"] for request in REQUESTS]
    assert_recorded(spans, stub)
    at_batch = Decimal(spans.all()[0].attributes["spanledger.cost.total"])
    spans.clear()
    client.messages.create(**ASK)
    assert Decimal(spans.one().attributes["spanledger.cost.total"]) == 2 * at_batch


def test_async_results_case_34(spans, make_async_client, stub):
    """Case 34, async, and through beta."""

    async def run() -> None:
        async with make_async_client() as client:
            batch = await client.beta.messages.batches.create(requests=REQUESTS)
            results = await client.beta.messages.batches.results(batch.id)
            assert len([line async for line in results]) == len(REQUESTS)

    asyncio.run(run())
    assert_recorded(spans, stub)


@pytest.mark.parametrize("form", ["with_raw_response", "with_streaming_response"])
def test_raw_results_case_34(spans, client, stub, form):
    """Case 34: read as bytes."""
    batch = client.messages.batches.create(requests=REQUESTS)
    called = getattr(client.messages.batches, form).results(batch.id)
    if form == "with_raw_response":
        assert called.http_response.read()
    else:
        with called as response:
            assert list(response.iter_lines())
    assert_recorded(spans, stub)


def test_results_left_early_leave_the_spans_of_what_was_read(spans, client):
    batch = client.messages.batches.create(requests=REQUESTS)
    results = client.messages.batches.results(batch.id)
    assert next(results).custom_id == "first"
    results.close()
    assert spans.one().attributes["gen_ai.response.model"] == ASK["model"]


def test_results_that_are_not_there_are_no_call(spans, client):
    with pytest.raises(anthropic.APIStatusError):
        client.messages.batches.results("msgbatch_unknown")
    assert spans.all() == []


def test_a_stream_beside_a_batch_is_at_full_price(spans, client, stub):
    list(client.messages.create(**STREAM))
    assert Decimal(spans.one().attributes["spanledger.cost.total"]) == price_of(stub.bills[-1])


def test_results_read_again_are_recorded_once(spans, client):
    """Whoever stops in the middle and begins anew, in whatever form, has each answer once."""
    batch = client.messages.batches.create(requests=REQUESTS)
    results = client.messages.batches.results(batch.id)
    assert next(results).custom_id == "first"
    results.close()
    for _ in range(2):
        assert len(list(client.messages.batches.results(batch.id))) == len(REQUESTS)
        assert client.messages.batches.with_raw_response.results(batch.id).http_response.read()
    asked = [span.attributes["spanledger.metadata.custom_id"] for span in spans.all()]
    assert asked == ["first", "errored-1", "second", "expired-1"]


def test_results_of_another_batch_are_others(spans, client):
    for _ in range(2):
        batch = client.messages.batches.create(requests=REQUESTS)
        assert len(list(client.messages.batches.results(batch.id))) == len(REQUESTS)
    assert len(spans.all()) == 8
