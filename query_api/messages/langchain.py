"""LangChain: messages as its own dumps, which name the class and hold what it was made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spanledger.query_api.messages.parse import items, mapping

_ROLES = {
    "human": "user",
    "HumanMessage": "user",
    "ai": "assistant",
    "AIMessage": "assistant",
    "AIMessageChunk": "assistant",
    "system": "system",
    "SystemMessage": "system",
    "tool": "tool",
    "ToolMessage": "tool",
    "function": "tool",
    "FunctionMessage": "tool",
    "chat": "user",
    "ChatMessage": "user",
}


def plain(sent: Any) -> Any:
    """A dumped message as an object with role and content; anything else as it is.

    Three dumps are known: `{lc, type: "constructor", id, kwargs}`, `{type, data}`, and the members alone.
    """
    if not isinstance(sent, Mapping) or ("role" in sent and "kwargs" not in sent):
        return sent
    kind, held = sent.get("type"), sent
    if kind == "constructor" and isinstance(sent.get("kwargs"), Mapping):
        held = sent["kwargs"]
        names = sent.get("id")
        kind = held.get("type") or (names[-1] if isinstance(names, list) and names else None)
    elif isinstance(sent.get("data"), Mapping):
        held = sent["data"]
    if not isinstance(kind, str) or kind not in _ROLES or "content" not in held:
        return sent
    return _message(held, _ROLES[kind])


def tool_message(sent: Any) -> Mapping[str, Any] | None:
    """The message that a tool answered with: alone, or as Traceloop has it, beside what is its own."""
    for each in (sent, mapping(sent).get("output")):
        found: Mapping[str, Any] = plain(each)
        if found is not each and found["role"] == "tool":
            return found
    return None


def _message(held: Mapping[str, Any], role: str) -> Mapping[str, Any]:
    more = mapping(held.get("additional_kwargs"))
    about = mapping(held.get("response_metadata"))
    said = held.get("role")
    return {
        "role": said if isinstance(said, str) else role,
        "content": held["content"],
        "name": held.get("name"),
        "tool_call_id": held.get("tool_call_id"),
        "tool_calls": [
            *(items(held.get("tool_calls")) or items(more.get("tool_calls"))),
            *items(held.get("invalid_tool_calls")),
        ],
        "function_call": more.get("function_call"),
        "refusal": more.get("refusal"),
        "reasoning_content": more.get("reasoning_content"),
        "finish_reason": about.get("finish_reason", about.get("stop_reason")),
    }
