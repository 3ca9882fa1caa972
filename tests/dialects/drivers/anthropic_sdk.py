"""The Anthropic SDK with its own spans, and with `genai` as an argument those of the instrumentation too."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import anthropic
from scenario import CONVERSATION, SCENARIO, USER, tracing

TOOL = {
    "name": SCENARIO["tool"]["name"],
    "description": SCENARIO["tool"]["description"],
    "input_schema": SCENARIO["tool"]["parameters"],
}


@contextlib.contextmanager
def genai() -> Any:
    from opentelemetry.instrumentation.genai.anthropic import AnthropicInstrumentor
    from opentelemetry.util.genai.handler import TelemetryHandler

    AnthropicInstrumentor().instrument()
    with TelemetryHandler().invoke_local_agent(agent_name="harbour", conversation_id=CONVERSATION):
        yield


def converse(client: anthropic.Anthropic) -> None:
    def create(content: Any, **more: Any) -> Any:
        messages = content if isinstance(content, list) else [{"role": "user", "content": content}]
        return client.messages.create(
            model=SCENARIO["anthropic_model"],
            max_tokens=100,
            messages=messages,
            metadata={"user_id": USER},
            **more,
        )

    system = SCENARIO["system"]
    create(SCENARIO["question"], system=system)
    for _event in create(SCENARIO["question"], system=system, stream=True):
        pass
    question = SCENARIO["tool_question"]
    asked = create(question, system=system, tools=[TOOL])
    (call,) = asked.content
    result = {"type": "tool_result", "tool_use_id": call.id, "content": SCENARIO["tool_result"]}
    create(
        [
            {"role": "user", "content": question},
            {"role": "assistant", "content": [call.model_dump(exclude_none=True)]},
            {"role": "user", "content": [result]},
        ],
        system=system,
        tools=[TOOL],
    )
    with contextlib.suppress(anthropic.RateLimitError):
        create(SCENARIO["failing_question"])


def main(names: list[str]) -> None:
    with contextlib.ExitStack() as stack:
        stack.enter_context(tracing())
        if "genai" in names:
            stack.enter_context(genai())
        converse(anthropic.Anthropic(max_retries=0))


if __name__ == "__main__":
    main(sys.argv[1:])
