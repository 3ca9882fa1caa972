"""Five hundred calls of all kinds: tokens and costs add up to what the provider billed."""

import asyncio
import random
from decimal import Decimal
from typing import Any

import anthropic
import pytest

from tests.instrumentation.anthropic.asking import HELLO, TOOLS, plan
from tests.instrumentation.anthropic.prices import price_of

pytestmark = pytest.mark.usefixtures("by_the_conventions")

MODELS = ("claude-sonnet-5", "claude-opus-4-8", "claude-haiku-4-5", "claude-sonnet-4-6")
CALLS = 500
FORMS = ("plain", "plain", "raw", "stream", "stream", "helper", "raw stream", "streaming response", "beta")


def wish(chance: random.Random) -> tuple[dict[str, Any], dict[str, Any]]:
    """A call's arguments, and how the stub shall answer it."""
    ask: dict[str, Any] = {"model": chance.choice(MODELS), "max_tokens": 1000, "messages": HELLO}
    usage: dict[str, Any] = {
        "input_tokens": chance.randrange(1, 5000),
        "output_tokens": chance.randrange(1, 900),
    }
    if chance.random() < 0.4:
        minutes, hour = chance.randrange(0, 2000), chance.choice([0, chance.randrange(1, 2000)])
        usage["cache_read_input_tokens"] = chance.randrange(0, 150_000)
        usage["cache_creation_input_tokens"] = minutes + hour
        if chance.random() < 0.7:
            split = {"ephemeral_5m_input_tokens": minutes, "ephemeral_1h_input_tokens": hour}
            usage["cache_creation"] = split
    if chance.random() < 0.2:
        usage["server_tool_use"] = {"web_search_requests": chance.randrange(0, 4), "web_fetch_requests": 1}
    wishes: dict[str, Any] = {"usage": usage}
    if chance.random() < 0.3:
        wishes["thinking"] = "let me think about it"
        usage["output_tokens_details"] = {"thinking_tokens": chance.randrange(0, usage["output_tokens"] + 1)}
    if chance.random() < 0.3:
        ask["tools"], wishes["tools"] = TOOLS, chance.randrange(1, 4)
    if chance.random() < 0.1:
        wishes["status"] = chance.choice([400, 429, 500, 529])
    return ask, wishes


def call(client: anthropic.Anthropic, form: str, ask: dict[str, Any]) -> None:
    if form == "plain":
        client.messages.create(**ask)
    elif form == "beta":
        client.beta.messages.create(**ask)
    elif form == "raw":
        client.messages.with_raw_response.create(**ask).parse()
    elif form == "stream":
        list(client.messages.create(**ask, stream=True))
    elif form == "helper":
        with client.messages.stream(**ask) as stream:
            stream.get_final_message()
    elif form == "raw stream":
        list(client.messages.with_raw_response.create(**ask, stream=True).parse())
    else:
        with client.messages.with_streaming_response.create(**ask) as response:
            response.parse()


async def call_async(client: anthropic.AsyncAnthropic, form: str, ask: dict[str, Any]) -> None:
    if form in {"plain", "raw", "beta"}:
        await (client.beta.messages if form == "beta" else client.messages).create(**ask)
    elif form == "helper":
        async with client.messages.stream(**ask) as stream:
            await stream.get_final_message()
    elif form == "streaming response":
        async with client.messages.with_streaming_response.create(**ask) as response:
            await response.parse()
    else:
        async for _event in await client.messages.create(**ask, stream=True):
            pass


def test_tokens_and_costs_add_up_to_what_was_billed(spans, client, make_async_client, stub):
    chance = random.Random(20261121)
    asked = [(chance.choice(FORMS), *wish(chance), chance.random() < 0.5) for _ in range(CALLS)]
    failures = 0

    async def run_async() -> int:
        failed = 0
        async with make_async_client() as async_client:
            for form, ask, wishes, is_async in asked:
                if is_async:
                    try:
                        await call_async(async_client, form, {**ask, "extra_headers": plan(**wishes)})
                    except anthropic.APIStatusError:
                        failed += 1
        return failed

    for form, ask, wishes, is_async in asked:
        if not is_async:
            try:
                call(client, form, {**ask, "extra_headers": plan(**wishes)})
            except anthropic.APIStatusError:
                failures += 1
    failures += asyncio.run(run_async())

    assert len(spans.all()) == CALLS
    assert failures == sum("status" in wishes for _, _, wishes, _ in asked) > 20
    answered = [span.attributes for span in spans.all() if "gen_ai.response.id" in span.attributes]
    by_id = {attributes["gen_ai.response.id"]: attributes for attributes in answered}
    assert len(by_id) == len(stub.bills) == CALLS - failures
    for billed in stub.bills:
        found, usage = by_id[billed["id"]], billed["usage"]
        cached = usage["cache_read_input_tokens"] + usage["cache_creation_input_tokens"]
        assert found["gen_ai.usage.input_tokens"] == usage["input_tokens"] + cached
        assert Decimal(found["spanledger.cost.total"]) == price_of(billed)
    assert sum(found["gen_ai.usage.output_tokens"] for found in by_id.values()) == sum(
        billed["usage"]["output_tokens"] for billed in stub.bills
    )
    assert sum(Decimal(found["spanledger.cost.total"]) for found in by_id.values()) == sum(
        price_of(billed) for billed in stub.bills
    )
