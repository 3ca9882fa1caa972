"""Agents of Pydantic AI with a tool and with structured output, whole and streamed, and their own spans."""

import asyncio

from pydantic import BaseModel
from pydantic_ai import Agent

from spanledger.instrumentation import session, workflow

Agent.instrument_all()


class Trip(BaseModel):
    city: str


agent = Agent("openai-chat:gpt-4o-mini")
planner = Agent("openai-chat:gpt-4o-mini", output_type=Trip)


@agent.tool_plain
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"22 degrees in {city}"


async def stream() -> str:
    async with agent.run_stream("How is the weather in Lisbon") as result:
        return [text async for text in result.stream_text()][-1]


with workflow("plan_day"), session("s-1"):
    print(agent.run_sync("How is the weather in Lisbon").output)
    print(asyncio.run(stream()))
    print(planner.run_sync("To Lisbon").output)
