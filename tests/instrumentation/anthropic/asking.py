"""What the tests ask Anthropic's stub for."""

import json
from typing import Any

MODEL = "claude-sonnet-5"
HELLO: list[Any] = [{"role": "user", "content": "hello there Lisbon"}]
ASK: dict[str, Any] = {"model": MODEL, "max_tokens": 100, "messages": HELLO}
STREAM: dict[str, Any] = {**ASK, "stream": True}
TOOLS: list[Any] = [
    {
        "name": name,
        "description": f"the {name}",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
    }
    for name in ("weather", "trains")
]


def plan(**wishes: Any) -> dict[str, str]:
    """The header that tells the stub how to answer."""
    return {"x-stub": json.dumps(wishes)}
