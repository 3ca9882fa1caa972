"""An agent of the OpenAI Agents SDK with a tool, whole and streamed, over the Responses API and over chat."""

import asyncio

from agents import Agent, OpenAIChatCompletionsModel, Runner, function_tool, set_tracing_disabled
from openai import AsyncOpenAI

from spanledger.instrumentation import session, workflow

# Its own tracing sends to OpenAI, which is not there.
set_tracing_disabled(disabled=True)


@function_tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"22 degrees in {city}"


def agent(model: object) -> Agent:
    return Agent(name="traveller", instructions="Be brief.", model=model, tools=[get_weather])


async def main() -> None:
    question = "How is the weather in Lisbon"
    print((await Runner.run(agent("gpt-4o-mini"), question)).final_output)
    streamed = Runner.run_streamed(agent("gpt-4o-mini"), question)
    kinds = [event.type async for event in streamed.stream_events()]
    print(streamed.final_output, "raw_response_event" in kinds)
    chat = OpenAIChatCompletionsModel(model="gpt-4o-mini", openai_client=AsyncOpenAI())
    print((await Runner.run(agent(chat), question)).final_output)
    streamed = Runner.run_streamed(agent(chat), question)
    async for _event in streamed.stream_events():
        pass
    print(streamed.final_output)


with workflow("plan_day"), session("s-1"):
    asyncio.run(main())
