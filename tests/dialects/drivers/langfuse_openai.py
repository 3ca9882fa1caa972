"""Langfuse's drop-in for the OpenAI SDK, with its spans sent by the OTLP exporter."""

from __future__ import annotations

from langfuse import Langfuse, propagate_attributes
from langfuse.openai import OpenAI
from scenario import CONVERSATION, USER, openai_chat, openai_others


def main() -> None:
    langfuse = Langfuse()
    with propagate_attributes(session_id=CONVERSATION, user_id=USER):
        client = OpenAI(max_retries=0)
        openai_chat(client)
        openai_others(client)
    langfuse.shutdown()


if __name__ == "__main__":
    main()
