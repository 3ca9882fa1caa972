"""Five hundred calls of all kinds: tokens and costs add up to what Bedrock billed."""

import asyncio
import random
from decimal import Decimal
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import ClientError

from tests.instrumentation.bedrock.asking import (
    ACCESS,
    CLAUDE,
    GLOBAL,
    LLAMA,
    NOVA,
    TITAN,
    TOOLS,
    converse,
    invoke,
    price_of,
    total_input,
)

CALLS = 500
MODELS = (CLAUDE, GLOBAL, NOVA, LLAMA, TITAN)
FORMS = ("converse", "converse_stream", "invoke_model", "invoke_model_with_response_stream")


def wish(chance: random.Random) -> tuple[str, dict[str, Any]]:
    """The operation, and its arguments with how the stub shall answer."""
    form, model = chance.choice(FORMS), chance.choice(MODELS)
    usage: dict[str, Any] = {
        "inputTokens": chance.randrange(1, 5000),
        "outputTokens": chance.randrange(1, 900),
    }
    wishes: dict[str, Any] = {"usage": usage}
    if model in {CLAUDE, GLOBAL, NOVA} and chance.random() < 0.5:
        usage["cacheReadInputTokens"] = chance.randrange(0, 150_000)
        usage["cacheWriteInputTokens"] = chance.randrange(0, 3000)
        if form.startswith("converse") and "claude" in model and usage["cacheWriteInputTokens"]:
            hour = chance.randrange(0, usage["cacheWriteInputTokens"] + 1)
            kept = {"5m": usage["cacheWriteInputTokens"] - hour, "1h": hour}
            usage["cacheDetails"] = [{"ttl": ttl, "inputTokens": size} for ttl, size in kept.items()]
    if chance.random() < 0.1:
        wishes.update(status=429, code="ThrottlingException")
    if form.startswith("converse"):
        if chance.random() < 0.3:
            wishes.update(tools=chance.randrange(1, 4), thinking="let me see")
        return form, {**converse(model, **wishes), "toolConfig": TOOLS}
    return form, invoke(model, "text", **wishes)


def call(client: Any, form: str, asked: dict[str, Any]) -> None:
    answer = getattr(client, form)(**asked)
    if form == "invoke_model":
        answer["body"].read()
    elif form != "converse":
        list(answer["stream" if "stream" in answer else "body"])


async def call_async(client: Any, form: str, asked: dict[str, Any]) -> None:
    answer = await getattr(client, form)(**asked)
    if form == "invoke_model":
        await answer["body"].read()
    elif form != "converse":
        async for _event in answer["stream" if "stream" in answer else "body"]:
            pass


def test_tokens_and_costs_add_up_to_what_was_billed(spans, client, url, stub):
    chance = random.Random(20261121)
    asked = [wish(chance) for _ in range(CALLS)]
    failures = 0
    for form, given in asked[: CALLS // 2]:
        try:
            call(client, form, given)
        except ClientError:
            failures += 1

    async def run() -> int:
        failed = 0
        config = AioConfig(retries={"total_max_attempts": 1})
        session = get_session()
        async with session.create_client(
            "bedrock-runtime", endpoint_url=url, config=config, **ACCESS
        ) as other:
            for form, given in asked[CALLS // 2 :]:
                try:
                    await call_async(other, form, given)
                except ClientError:
                    failed += 1
        return failed

    failures += asyncio.run(run())
    assert len(spans.all()) == CALLS
    assert len(stub.bills) == CALLS - failures < CALLS - 20
    by_id = {span.attributes.get("aws.request_id"): span.attributes for span in spans.all()}
    for billed in stub.bills:
        found = by_id[billed["id"]]
        assert found["gen_ai.usage.input_tokens"] == total_input(billed)
        assert found["gen_ai.usage.output_tokens"] == billed["usage"]["outputTokens"]
        assert Decimal(found["spanledger.cost.total"]) == price_of(billed)
    costs = [Decimal(span.attributes.get("spanledger.cost.total", "0")) for span in spans.all()]
    assert sum(costs) == sum(price_of(billed) for billed in stub.bills)
