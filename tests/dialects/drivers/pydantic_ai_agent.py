"""Pydantic AI: agents without and with a tool, streamed, and one that fails."""

from __future__ import annotations

import asyncio
import contextlib

from openai import AsyncOpenAI
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.models.instrumented import InstrumentationSettings
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIChatModelSettings
from pydantic_ai.providers.openai import OpenAIProvider
from scenario import CONVERSATION, SCENARIO, USER, tracing

WHO = {"conversation_id": CONVERSATION, "metadata": {"user_id": USER}}


async def converse(model: OpenAIChatModel) -> None:
    settings = OpenAIChatModelSettings(openai_user=USER)
    plain = Agent(model, name="harbour", system_prompt=SCENARIO["system"], model_settings=settings)
    await plain.run(SCENARIO["question"], **WHO)
    async with plain.run_stream(SCENARIO["question"], **WHO) as streamed:
        await streamed.get_output()

    agent = Agent(model, name="harbour", system_prompt=SCENARIO["system"], model_settings=settings)

    @agent.tool_plain
    def weather(city: str) -> str:
        """The weather of a town."""
        return SCENARIO["tool_result"] if city else ""

    await agent.run(SCENARIO["tool_question"], **WHO)
    with contextlib.suppress(ModelHTTPError):
        bare = Agent(model, name="harbour", model_settings=settings)
        await bare.run(SCENARIO["failing_question"], **WHO)


def main() -> None:
    with tracing() as provider:
        Agent.instrument_all(InstrumentationSettings(tracer_provider=provider))
        client = AsyncOpenAI(max_retries=0)
        model = OpenAIChatModel(SCENARIO["model"], provider=OpenAIProvider(openai_client=client))
        asyncio.run(converse(model))


if __name__ == "__main__":
    main()
