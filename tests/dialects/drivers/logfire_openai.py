"""Logfire's instrumentation of the OpenAI SDK, exported by OTLP instead of to Logfire."""

from __future__ import annotations

import logfire
import openai
from scenario import CONVERSATION, USER, openai_chat, openai_others


def main() -> None:
    logfire.configure(send_to_logfire=False, console=False, metrics=False)
    client = openai.OpenAI(max_retries=0)
    logfire.instrument_openai(client)
    with logfire.set_baggage(**{"session.id": CONVERSATION, "user.id": USER}):
        openai_chat(client)
        openai_others(client)
    logfire.shutdown()


if __name__ == "__main__":
    main()
