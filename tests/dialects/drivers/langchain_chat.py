"""LangChain's ChatOpenAI under the instrumentations that are named as arguments, in that order."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import openai
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from openai_sdk import INSTRUMENTATIONS
from scenario import CONVERSATION, FAILING, PLAIN, SCENARIO, USER, WITH_TOOL, tracing

CALLBACKS: list[Any] = []
METADATA = {"session_id": CONVERSATION, "user_id": USER}


@contextlib.contextmanager
def openinference_langchain() -> Any:
    from openinference.instrumentation.langchain import LangChainInstrumentor

    LangChainInstrumentor().instrument()
    yield


@contextlib.contextmanager
def traceloop_langchain() -> Any:
    from opentelemetry.instrumentation.langchain import LangchainInstrumentor

    LangchainInstrumentor().instrument()
    yield


@contextlib.contextmanager
def langfuse_langchain() -> Any:
    """Langfuse is called back by LangChain instead of patching it."""
    from langfuse import Langfuse, propagate_attributes
    from langfuse.langchain import CallbackHandler

    langfuse = Langfuse()
    CALLBACKS.append(CallbackHandler())
    with propagate_attributes(session_id=CONVERSATION, user_id=USER):
        yield
    langfuse.shutdown()


@tool
def weather(city: str) -> str:
    """The weather of a town."""
    return SCENARIO["tool_result"] if city else ""


def main(names: list[str]) -> None:
    known = {
        **INSTRUMENTATIONS,
        "openinference_langchain": openinference_langchain,
        "traceloop_langchain": traceloop_langchain,
        "langfuse_langchain": langfuse_langchain,
    }
    with contextlib.ExitStack() as stack:
        if "langfuse_langchain" not in names:  # which has an exporter of its own
            stack.enter_context(tracing())
        for name in names:
            stack.enter_context(known[name]())
        converse()


def converse() -> None:
    """The scenario's chats, and one of them as an agent with a tool."""
    from langchain.agents import create_agent

    config: Any = {"metadata": METADATA, "callbacks": CALLBACKS}
    model = ChatOpenAI(model=SCENARIO["model"], max_retries=0, stream_usage=True, model_kwargs={"user": USER})
    model.invoke(PLAIN, config)
    for _chunk in model.stream(PLAIN, config):
        pass
    agent = create_agent(model, tools=[weather])
    agent.invoke({"messages": WITH_TOOL}, config)
    with contextlib.suppress(openai.RateLimitError):
        model.invoke(FAILING, config)


if __name__ == "__main__":
    main(sys.argv[1:])
