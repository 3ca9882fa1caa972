"""An agent of LangGraph with a tool, asked in three ways; LangChain's model in front of OpenAI's SDK."""

import asyncio

from langchain.agents import create_agent
from langchain_openai import ChatOpenAI

from spanledger.instrumentation import session, workflow


def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"22 degrees in {city}"


agent = create_agent(ChatOpenAI(model="gpt-4o-mini", stream_usage=True), tools=[get_weather])
question = {"messages": [{"role": "user", "content": "How is the weather in Lisbon"}]}


async def ask_at_once() -> list[str]:
    answers = await asyncio.gather(*(agent.ainvoke(question) for _ in range(3)))
    return [answer["messages"][-1].content for answer in answers]


with workflow("plan_day"), session("s-1"):
    print(agent.invoke(question)["messages"][-1].content)
    text = [token.content for token, _ in agent.stream(question, stream_mode="messages") if token.content]
    print("".join(text))
    print(asyncio.run(ask_at_once()))
