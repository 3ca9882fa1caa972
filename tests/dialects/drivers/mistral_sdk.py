"""The Mistral SDK with its own spans."""

from __future__ import annotations

import contextlib
import os
from typing import Any

from mistralai.client import Mistral
from mistralai.client.errors import SDKError
from scenario import FAILING, PLAIN, SCENARIO, TOOLS, WITH_TOOL, tracing

MODEL = "mistral-small-latest"


def converse(client: Mistral) -> None:
    def complete(messages: list[Any], **more: Any) -> Any:
        return client.chat.complete(model=MODEL, messages=messages, **more)

    complete(PLAIN)
    with client.chat.stream(model=MODEL, messages=PLAIN) as events:
        for _event in events:
            pass
    message = complete(WITH_TOOL, tools=TOOLS).choices[0].message
    (call,) = message.tool_calls
    answered = message.model_dump(exclude_none=True, by_alias=True)
    result = {"role": "tool", "tool_call_id": call.id, "content": SCENARIO["tool_result"]}
    complete([*WITH_TOOL, answered, result], tools=TOOLS)
    with contextlib.suppress(SDKError):
        complete(FAILING)


def main() -> None:
    with tracing():
        client = Mistral(api_key=os.environ["MISTRAL_API_KEY"], server_url=os.environ["MISTRAL_SERVER_URL"])
        converse(client)


if __name__ == "__main__":
    main()
