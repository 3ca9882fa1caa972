"""LiteLLM with its callback for OpenTelemetry; LITELLM_OTEL_V2 chooses which one.

With `async` as an argument the calls are asynchronous: the second callback hears of no others.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from typing import Any

import litellm
from scenario import CONVERSATION, FAILING, PLAIN, SCENARIO, TOOLS, USER, WITH_TOOL, tracing

# Callbacks run in tasks and threads of LiteLLM's own, which nothing waits for.
FOR_CALLBACKS = 0.5


def who() -> dict[str, Any]:
    """A new one for each call: LiteLLM writes into the metadata, and calls that share them get no span."""
    return {"user": USER, "metadata": {"session_id": CONVERSATION}, "litellm_session_id": CONVERSATION}


def call(synchronous: Any, asynchronous: Any, runner: asyncio.Runner | None, **asked: Any) -> Any:
    if runner is not None:
        return runner.run(_call(asynchronous, asked))
    answer = synchronous(**asked, **who())
    if asked.get("stream"):
        for _chunk in answer:
            pass
    time.sleep(FOR_CALLBACKS)
    return answer


async def _call(asynchronous: Any, asked: dict[str, Any]) -> Any:
    try:
        answer = await asynchronous(**asked, **who())
        if asked.get("stream"):
            async for _chunk in answer:
                pass
    finally:
        await asyncio.sleep(FOR_CALLBACKS)
    return answer


def converse(runner: asyncio.Runner | None) -> None:
    def complete(messages: list[Any], **more: Any) -> Any:
        model = f"openai/{SCENARIO['model']}"
        asked = {"model": model, "messages": messages, "max_retries": 0, **more}
        return call(litellm.completion, litellm.acompletion, runner, **asked)

    complete(PLAIN)
    complete(PLAIN, stream=True, stream_options={"include_usage": True})
    message = complete(WITH_TOOL, tools=TOOLS).choices[0].message
    (tool_call,) = message.tool_calls
    result = {"role": "tool", "tool_call_id": tool_call.id, "content": SCENARIO["tool_result"]}
    complete([*WITH_TOOL, message.model_dump(exclude_none=True), result], tools=TOOLS)
    with contextlib.suppress(litellm.RateLimitError):
        complete(FAILING)
    model = f"openai/{SCENARIO['embedding_model']}"
    call(litellm.embedding, litellm.aembedding, runner, model=model, input=[SCENARIO["question"]])


def main(names: list[str]) -> None:
    litellm.suppress_debug_info = True
    with contextlib.ExitStack() as stack:
        stack.enter_context(tracing())
        runner = stack.enter_context(asyncio.Runner()) if "async" in names else None
        litellm.callbacks = ["otel"]
        converse(runner)


if __name__ == "__main__":
    main(sys.argv[1:])
