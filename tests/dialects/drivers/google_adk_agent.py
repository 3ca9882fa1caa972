"""The Agent Development Kit with its own spans: agents without and with a tool, streamed, and a failure."""

from __future__ import annotations

import asyncio
import contextlib

from google.adk.agents import Agent
from google.adk.agents.run_config import RunConfig, StreamingMode
from google.adk.runners import InMemoryRunner
from google.genai import errors, types
from scenario import CONVERSATION, SCENARIO, USER, tracing

MODEL = "gemini-2.5-flash"


def weather(city: str) -> str:
    """The weather of a town."""
    return SCENARIO["tool_result"] if city else ""


async def ask(agent: Agent, question: str, streaming: StreamingMode = StreamingMode.NONE) -> None:
    runner = InMemoryRunner(agent=agent, app_name="harbour")
    await runner.session_service.create_session(app_name="harbour", user_id=USER, session_id=CONVERSATION)
    message = types.Content(role="user", parts=[types.Part(text=question)])
    async for _event in runner.run_async(
        user_id=USER,
        session_id=CONVERSATION,
        new_message=message,
        run_config=RunConfig(streaming_mode=streaming),
    ):
        pass


async def converse() -> None:
    plain = Agent(name="harbour", model=MODEL, instruction=SCENARIO["system"])
    await ask(plain, SCENARIO["question"])
    await ask(plain, SCENARIO["question"], StreamingMode.SSE)
    with_tool = Agent(name="harbour", model=MODEL, instruction=SCENARIO["system"], tools=[weather])
    await ask(with_tool, SCENARIO["tool_question"])
    with contextlib.suppress(errors.ClientError):
        await ask(plain, SCENARIO["failing_question"])


def main() -> None:
    with tracing():
        asyncio.run(converse())


if __name__ == "__main__":
    main()
