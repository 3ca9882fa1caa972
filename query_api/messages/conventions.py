"""The GenAI conventions' own form: it stays as it was sent, but for old spellings.

Source: docs/gen-ai/gen-ai-spans.md of open-telemetry/semantic-conventions-genai.
"""

from __future__ import annotations

from collections.abc import Mapping

from spanledger.query_api.messages.openai import answer
from spanledger.query_api.messages.parse import items, mapping
from spanledger.query_api.messages.parts import Block, Inner, Part
from spanledger.query_api.values import readable

# What a part of the conventions has beside its type; only `type` itself is required of others.
_MEMBERS = {
    "text": "content",
    "reasoning": "content",
    "tool_call": "arguments",
    "tool_call_response": "response",
    "server_tool_call": "server_tool_call",
    "server_tool_call_response": "server_tool_call_response",
    "blob": "content",
    "file": "file_id",
    "uri": "uri",
    "compaction": "type",
}


def part(block: Block, inner: Inner) -> Part | None:
    """The part as it was sent, if the conventions have such a part."""
    kind = block["type"]
    if kind == "blob" and isinstance(content := block.get("content"), Mapping) and set(content) == {"@bytes"}:
        return {**block, "content": content["@bytes"]}
    if kind == "tool_call_response" and "response" not in block and "result" in block:
        # Pydantic AI, and the conventions before v1.37.
        block = {("response" if key == "result" else key): value for key, value in block.items()}
    if _MEMBERS.get(kind) not in block:
        return None
    if kind == "tool_call":
        return {**block, "arguments": readable(block["arguments"])}
    if kind == "tool_call_response" and any("text" in mapping(each) for each in items(block["response"])):
        return {**block, "response": answer(block["response"], inner)}  # the provider's own blocks
    return dict(block)
