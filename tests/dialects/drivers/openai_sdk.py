"""The OpenAI SDK under the instrumentations that are named as arguments, in that order."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from scenario import CONVERSATION, USER, logging, openai_chat, openai_others, tracing


@contextlib.contextmanager
def genai() -> Iterator[None]:
    """A conversation is what the handler was told for the agent around the calls.

    Log records are sent where the variable for content asks for them.
    """
    from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
    from opentelemetry.util.genai.handler import TelemetryHandler

    with logging():
        OpenAIInstrumentor().instrument()
        with TelemetryHandler().invoke_local_agent(agent_name="harbour", conversation_id=CONVERSATION):
            yield


@contextlib.contextmanager
def openinference() -> Iterator[None]:
    from openinference.instrumentation import using_session, using_user
    from openinference.instrumentation.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument()
    with using_session(CONVERSATION), using_user(USER):
        yield


@contextlib.contextmanager
def traceloop() -> Iterator[None]:
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument()
    yield


@contextlib.contextmanager
def openai_v2() -> Iterator[None]:
    from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor

    with logging():
        OpenAIInstrumentor().instrument()
        yield


INSTRUMENTATIONS: dict[str, Any] = {
    "genai": genai,
    "openinference": openinference,
    "traceloop": traceloop,
    "openai_v2": openai_v2,
}


def main(names: list[str]) -> None:
    import openai

    with contextlib.ExitStack() as stack:
        stack.enter_context(tracing())
        for name in names:
            stack.enter_context(INSTRUMENTATIONS[name]())
        client = openai.OpenAI(max_retries=0)
        openai_chat(client)
        openai_others(client)


if __name__ == "__main__":
    main(sys.argv[1:])
