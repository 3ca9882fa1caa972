"""OpenLIT's instrumentation of the OpenAI SDK."""

from __future__ import annotations

from pathlib import Path

import openai
import openlit
from scenario import CONVERSATION, USER, logging, openai_chat, openai_others, tracing


def main() -> None:
    with tracing(), logging():
        openlit.init(
            environment="recording",
            application_name="harbour",
            disable_metrics=True,
            # Without a file of prices it would ask the internet for one.
            pricing_json=str(Path(__file__).parent / "openlit_prices.json"),
            custom_span_attributes={"session.id": CONVERSATION, "user.id": USER},
        )
        client = openai.OpenAI(max_retries=0)
        openai_chat(client)
        openai_others(client)


if __name__ == "__main__":
    main()
