"""Batches: each line of the file of answers is a call with its own tokens, at the price of batches."""

import json
from decimal import Decimal
from typing import Any

import genai_prices
import pytest

from spanledger.instrumentation.providers import openai_batches
from tests.instrumentation.conventions import check

pytestmark = pytest.mark.usefixtures("by_the_conventions")

CHAT = "/v1/chat/completions"
BODIES: dict[str, Any] = {
    CHAT: {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello there Lisbon"}]},
    "/v1/responses": {"model": "gpt-4o-mini", "input": "hello there Lisbon"},
    "/v1/embeddings": {"model": "text-embedding-3-small", "input": "hello there Lisbon"},
    "/v1/completions": {"model": "gpt-3.5-turbo-instruct", "prompt": "hello there Lisbon"},
}
OPERATIONS = {
    CHAT: "chat",
    "/v1/responses": "chat",
    "/v1/embeddings": "embeddings",
    "/v1/completions": "text_completion",
}


def lines(endpoint: str, count: int, *, failing: int = 0) -> bytes:
    bodies = [BODIES[endpoint]] * count + [{"messages": []}] * failing
    asked = [
        {"custom_id": f"line-{number}", "method": "POST", "url": endpoint, "body": body}
        for number, body in enumerate(bodies)
    ]
    return b"".join(json.dumps(line).encode() + b"\n" for line in asked)


def begin(call: Any, endpoint: str, count: int = 3, *, failing: int = 0) -> str:
    """Upload and start a batch; its id."""
    data = lines(endpoint, count, failing=failing)
    file = call(lambda client: client.files.create(file=("in.jsonl", data), purpose="batch"))
    made = call(
        lambda client: client.batches.create(
            input_file_id=file.id, endpoint=endpoint, completion_window="24h"
        )
    )
    return str(made.id)


def used(api: Any, line: dict[str, Any]) -> tuple[int, int]:
    usage = line["usage"]
    names = ("prompt_tokens", "completion_tokens")
    if "input_tokens" in usage:
        names = ("input_tokens", "output_tokens")
    return usage[names[0]], usage.get(names[1], 0)


@pytest.mark.parametrize("endpoint", BODIES)
def test_case_34_every_line_is_a_call_at_the_price_of_batches(spans, call, api, endpoint):
    """Case 34: usage and cost of batches are lost elsewhere."""
    batch = begin(call, endpoint)
    done = call(lambda client: client.batches.retrieve(batch))
    assert spans.all() == []
    content = call(lambda client: client.files.content(done.output_file_id))
    assert len(content.text.splitlines()) == 3
    openai_batches.settle()
    fetch, *calls = sorted(spans.all(), key=lambda span: span.start_time)
    check(fetch, "fetch_response")
    assert fetch.attributes["gen_ai.response.id"] == batch
    assert not [key for key in fetch.attributes if ".usage." in key or ".cost." in key]
    billed = api.account.billed
    assert len(calls) == len(billed) == 3
    for number, (span, line) in enumerate(zip(calls, billed, strict=True)):
        check(span, OPERATIONS[endpoint])
        assert span.parent.span_id == fetch.context.span_id
        inputs, outputs = used(api, line)
        assert span.attributes["gen_ai.usage.input_tokens"] == inputs
        assert span.attributes.get("gen_ai.usage.output_tokens", 0) == outputs
        assert span.attributes["openai.response.service_tier"] == "batch"
        assert span.attributes["spanledger.metadata.custom_id"] == f"line-{number}"
        assert span.attributes["spanledger.metadata.batch_id"] == batch
        price = genai_prices.calc_price(
            genai_prices.Usage(input_tokens=inputs, output_tokens=outputs),
            line["model"],
            provider_id="openai",
            price_context={"processing": "batch"},
        )
        assert Decimal(span.attributes["spanledger.cost.total"]) == price.total_price


def test_case_34_a_batch_costs_half(spans, call):
    batch = begin(call, CHAT, 1)
    done = call(lambda client: client.batches.retrieve(batch))
    call(lambda client: client.files.content(done.output_file_id))
    openai_batches.settle()
    found = spans.named("chat gpt-4o-mini").attributes
    whole = genai_prices.calc_price(
        genai_prices.Usage(
            input_tokens=found["gen_ai.usage.input_tokens"], output_tokens=found["gen_ai.usage.output_tokens"]
        ),
        "gpt-4o-mini",
        provider_id="openai",
    )
    assert Decimal(found["spanledger.cost.total"]) * 2 == whole.total_price


@pytest.mark.parametrize("form", ["raw", "streaming", "looked up streaming", "listed"])
def test_however_the_batch_and_its_file_are_fetched(spans, call, form):
    batch = begin(call, CHAT)
    if form == "listed":
        call(lambda client: client.batches.retrieve(batch))
        found = call.read(lambda client: client.batches.list())
        file = next(one.output_file_id for one in found if one.id == batch)
    elif form == "looked up streaming":
        file = call.within(
            lambda client: client.batches.with_streaming_response.retrieve(batch),
            lambda response: response.parse(),
        ).output_file_id
    else:
        file = call.parse(lambda client: client.batches.with_raw_response.retrieve(batch)).output_file_id
    if form == "streaming":
        pieces = call.within(
            lambda client: client.files.with_streaming_response.content(file),
            lambda response: response.iter_bytes(100),
        )
        assert b"".join(pieces).count(b"\n") == 3
    else:
        assert call(lambda client: client.files.with_raw_response.content(file)).text.count("\n") == 3
    openai_batches.settle()
    assert [span.name for span in spans.all()].count("chat gpt-4o-mini") == 3


def test_a_file_fetched_twice_is_recorded_once(spans, call):
    batch = begin(call, CHAT)
    done = call(lambda client: client.batches.retrieve(batch))
    for _ in range(2):
        call(lambda client: client.files.content(done.output_file_id))
        call(lambda client: client.batches.retrieve(batch))
    openai_batches.settle()
    assert [span.name for span in spans.all()].count("chat gpt-4o-mini") == 3


def test_a_file_left_half_read_is_recorded_when_it_is_read(spans, client, call):
    batch = begin(call, CHAT)
    file = call(lambda client: client.batches.retrieve(batch)).output_file_id
    with client.files.with_streaming_response.content(file) as response:
        next(response.iter_bytes(10))
    openai_batches.settle()
    assert [span.name for span in spans.all()] == ["fetch_response"]
    client.files.content(file)
    openai_batches.settle()
    assert [span.name for span in spans.all()].count("chat gpt-4o-mini") == 3


def test_lines_that_failed_cost_nothing(spans, call):
    batch = begin(call, CHAT, 2, failing=2)
    done = call(lambda client: client.batches.retrieve(batch))
    call(lambda client: client.files.content(done.output_file_id))
    openai_batches.settle()
    assert len(spans.all()) == 3


def test_other_files_and_what_is_not_fetched_leave_no_span(spans, call):
    file = call(lambda client: client.files.create(file=("a.jsonl", lines(CHAT, 2)), purpose="batch"))
    call(lambda client: client.files.content(file.id))
    batch = begin(call, CHAT)
    call(lambda client: client.batches.retrieve(batch))
    openai_batches.settle()
    assert spans.all() == []


def test_a_line_that_is_no_json_does_not_stop_the_others(spans, call, api, warnings_logged):
    batch = begin(call, CHAT)
    file = call(lambda client: client.batches.retrieve(batch)).output_file_id
    api.account.files[file] = b"not json\n" + api.account.files[file]
    call(lambda client: client.files.content(file))
    openai_batches.settle()
    assert [span.name for span in spans.all()].count("chat gpt-4o-mini") == 3
    assert len(warnings_logged()) == 1


def test_answers_of_a_batch_are_content_like_others(spans_with_content, call):
    batch = begin(call, CHAT, 1)
    done = call(lambda client: client.batches.retrieve(batch))
    call(lambda client: client.files.content(done.output_file_id))
    openai_batches.settle()
    (message,) = json.loads(spans_with_content.named("chat gpt-4o-mini").attributes["gen_ai.output.messages"])
    assert message["parts"][0]["content"] == "You said: hello there Lisbon"


def test_a_refused_file_is_an_error_span_and_may_be_asked_for_again(spans, call):
    import openai

    batch = begin(call, CHAT)
    done = call(lambda client: client.batches.retrieve(batch))
    with pytest.raises(openai.InternalServerError):
        call(lambda client: client.files.content(done.output_file_id, extra_headers={"x-stub-status": "500"}))
    call(lambda client: client.files.content(done.output_file_id))
    openai_batches.settle()
    assert [span.name for span in spans.all()].count("chat gpt-4o-mini") == 3
