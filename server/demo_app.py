"""The example application of `make demo`: a travel agent that knows nothing of how its calls are recorded.

Run it as `spanledger run -- python -m spanledger.server.demo_app` with OPENAI_BASE_URL and OPENAI_API_KEY
pointing at the stub provider, or with `--real` and a real key. It uses the plain OpenAI client; only the
names of its workflow, agent and tool, and whom it works for, are ours.
"""

import argparse
import json
import os
import sys
import time
from typing import Any

from openai import OpenAI, RateLimitError
from openai.types.chat import ChatCompletionFunctionToolParam

from spanledger.instrumentation import agent, metadata, session, tags, tool, user, workflow

MODEL, CHEAP_MODEL = "gpt-4o-mini", "gpt-4.1-nano"
SYSTEM = (
    "You are a travel agent for people who like to walk. Answer in two sentences at most. Name one place "
    "to see and say how the weather will be there. Never invent prices. If you do not know the weather, "
    "ask your tool."
)
WEATHER_TOOL: ChatCompletionFunctionToolParam = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city today.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="demo_app", description="Plan one day with a small travel agent.")
    parser.add_argument("--real", action="store_true", help="talk to the real provider and cause no failure")
    parser.add_argument("--city", default="Lisbon")
    options = parser.parse_args(argv)
    if not os.environ.get("OPENAI_API_KEY"):
        sys.stderr.write("demo_app: set OPENAI_API_KEY, and OPENAI_BASE_URL for another provider\n")
        return 2
    # Retries are this application's own, so that each attempt is seen.
    client = OpenAI(max_retries=0)
    with session("demo-session"), user("ada"), tags("demo"), metadata(city=options.city):
        plan_day(client, options.city, real=options.real)
    return 0


@workflow("plan_day")
def plan_day(client: OpenAI, city: str, *, real: bool) -> None:
    question = f"What should I see today in {city}"
    _say("user", question)
    with agent("travel_agent", description="Plans a day on foot"):
        conversation = _ask_with_tool(client, question)
        _say("agent", _stream_advice(client, conversation))
        _say("agent", _packing_with_retry(client, city, real=real))
    _say("title", _title(client, city))


def _ask_with_tool(client: OpenAI, question: str) -> list[Any]:
    """The first completion, which asks for the weather; the answer of the tool goes back with it."""
    conversation: list[Any] = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": question},
    ]
    completion = client.chat.completions.create(
        model=MODEL, messages=conversation, tools=[WEATHER_TOOL], temperature=0
    )
    message = completion.choices[0].message
    conversation.append(message.model_dump(exclude_none=True))
    for call in message.tool_calls or []:
        if call.type != "function":
            continue
        arguments = json.loads(call.function.arguments)
        with tool(call.function.name, call_id=call.id) as step:
            step.arguments(arguments)
            weather = get_weather(**arguments)
            step.result(weather)
        _say("tool", f"{call.function.name}({arguments['city']}) -> {weather}")
        conversation.append({"role": "tool", "tool_call_id": call.id, "content": weather})
    return conversation


def get_weather(city: str) -> str:
    return f"22 degrees and a light wind in {city}"


def _stream_advice(client: OpenAI, conversation: list[Any]) -> str:
    """The second completion, streamed with its usage on the last chunk."""
    chunks = client.chat.completions.create(
        model=MODEL,
        messages=conversation,
        tools=[WEATHER_TOOL],
        stream=True,
        stream_options={"include_usage": True},
    )
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def _packing_with_retry(client: OpenAI, city: str, *, real: bool) -> str:
    """The third completion is refused once; the attempt that fails is recorded like the one that succeeds."""
    fails_once = {"x-stub-status": "429", "x-stub-times": "1", "x-stub-key": f"demo-{time.time_ns()}"}
    question: list[Any] = [{"role": "user", "content": f"What should I pack for {city}"}]
    headers = None if real else fails_once
    try:
        completion = client.chat.completions.create(model=MODEL, messages=question, extra_headers=headers)
    except RateLimitError as error:
        _say("retry", f"the first attempt was refused with status {error.status_code}")
        time.sleep(0.2)
        completion = client.chat.completions.create(model=MODEL, messages=question, extra_headers=headers)
    return completion.choices[0].message.content or ""


def _title(client: OpenAI, city: str) -> str:
    """The fourth completion is answered by another model, which has another price."""
    completion = client.chat.completions.create(
        model=CHEAP_MODEL,
        messages=[{"role": "user", "content": f"A title of three words for a day in {city}"}],
    )
    return completion.choices[0].message.content or ""


def _say(who: str, text: str) -> None:
    sys.stdout.write(f"{who:>6}: {text}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
