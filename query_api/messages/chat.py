"""A message of any dialect, and lists of them.

What is common to all of them is a role and content. `message` reads one, and says None where the value is
no message: then the whole value is shown as it was sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spanledger.query_api.messages import blocks, langchain, openai, parts
from spanledger.query_api.messages.parse import first, mapping, parse
from spanledger.query_api.messages.parts import Message, Part

# One of these makes an object with a role a message.
_CONTENT = (
    "content",
    "parts",
    "contents",
    "tool_calls",
    "function_call",
    "refusal",
    "audio",
    "reasoning_content",
)
_TOOL_ROLES = ("tool", "function")
_SPEAKERS = ("user", "assistant", "system")


def messages(sent: Any, role: str) -> list[Message] | None:
    """A list of messages or of items, or a single one; None where one of them is no message.

    `role` is whose they are where they do not say so.
    """
    value = parse(sent)
    if isinstance(value, list) and value and all(map(_is_as_shown, value)):
        return [dict(each) for each in value]
    if isinstance(value, Mapping):
        one = message(value, role)
        return None if one is None else [one]
    if not isinstance(value, list) or not value:
        return None
    if len(value) == 1 and isinstance(value[0], list):
        return messages(value[0], role)  # LangChain: one list for each prompt of a batch
    if all(blocks.is_block(each) and "role" not in each for each in value) and not _are_items(value):
        found = blocks.content(value)
        return None if found is None else [parts.message(_author(found, role), found)]
    return _joined(value, role)


def _author(found: list[Part], role: str) -> str:
    """Only the model calls tools."""
    return "assistant" if all(part["type"] == "tool_call" for part in found) else role


def _are_items(value: list[Any]) -> bool:
    return any(openai.is_item(each) for each in value if isinstance(each, Mapping))


def _joined(value: list[Any], role: str) -> list[Message] | None:
    """Items that the model made one after the other, without a word between, are one message."""
    found: list[Message] = []
    open_one = False
    for each in value:
        sent = mapping(each)
        if is_definition(sent):
            continue
        one = message(sent, role)
        if one is None:
            return None
        item = openai.is_item(sent) or sent.get("type") == "message"
        if item and open_one and one["role"] == "assistant":
            found[-1]["parts"] += one["parts"]
        else:
            found.append(one)
        open_one = one["role"] == "assistant" and (item or open_one)
    return found


def is_definition(sent: Mapping[str, Any]) -> bool:
    """Whether a message is a tool that may be called: Langfuse puts LangChain's behind the messages."""
    said = sent.get("content")
    return (
        sent.get("role") == "tool"
        and "tool_call_id" not in sent
        and isinstance(said, Mapping)
        and said.get("type") == "function"
        and isinstance(said.get("function"), Mapping)
    )


def message(sent: Any, role: str | None = None) -> Message | None:
    """One message; None where the value is none."""
    if _is_as_shown(sent):
        return dict(sent)
    plain = langchain.plain(sent)
    if not isinstance(plain, Mapping):
        return None
    if openai.is_item(plain) and plain.get("type") != "message":
        return openai.item(plain, blocks.content)
    wrapped = plain.get("message")
    if isinstance(wrapped, Mapping) and "role" not in plain:
        one = message(wrapped, role or "assistant")
        return None if one is None else finished(one, plain)
    said = plain.get("role", role if _is_bare(plain) else None)
    if said == "unknown" and role:
        said = role  # Traceloop's word for the author of what LangChain streamed
    if not isinstance(said, str) or not any(key in plain for key in _CONTENT):
        return None
    return _of_parts(plain, said) if isinstance(plain.get("parts"), list) else _of_content(plain, said)


def _is_as_shown(sent: Any) -> bool:
    """Whether it is a message of the conventions with nothing but text: most are, and stay what they are."""
    return (
        isinstance(sent, dict)
        and len(sent) == 2
        and sent.get("role") in _SPEAKERS
        and isinstance(sent.get("parts"), list)
        and all(map(_is_plain, sent["parts"]))
    )


def _is_plain(part: Any) -> bool:
    return (
        isinstance(part, dict)
        and len(part) == 2
        and part.get("type") == "text"
        and isinstance(part.get("content"), str)
    )


def _is_bare(sent: Mapping[str, Any]) -> bool:
    """Gemini and Anthropic leave the role out where it is plain whose words they are."""
    return isinstance(sent.get("parts"), list) or sent.get("type") == "message"


def _of_parts(sent: Mapping[str, Any], role: str) -> Message | None:
    """The conventions' own messages, with whatever else they have; Gemini's have parts without types.

    LiteLLM sends such messages with OpenAI's tool calls and the id of the call beside the parts.
    """
    found = blocks.content(sent["parts"])
    if found is None:
        return None
    beside = openai.beside(sent)
    if beside:
        found = [*(part for part in found if part.get("content") != ""), *beside]
        sent = {key: value for key, value in sent.items() if key not in openai.BESIDE}
    elif "tool_call_id" in sent and role in _TOOL_ROLES and all(part["type"] == "text" for part in found):
        said = "".join(str(part.get("content")) for part in found)
        found = [parts.tool_response(sent["tool_call_id"], said)]
        sent = {key: value for key, value in sent.items() if key != "tool_call_id"}
    made = {**sent, "role": parts.speaker(parts.role_name(role), found), "parts": found}
    if isinstance(sent.get("finish_reason"), str):
        made["finish_reason"] = parts.finish_reason(sent["finish_reason"])
    return made


def _of_content(sent: Mapping[str, Any], role: str) -> Message | None:
    found = _parts(sent, role)
    if found is None:
        return None
    name = sent.get("name") if role not in _TOOL_ROLES else None
    return finished(parts.message(role, found, name=name), sent)


def _parts(sent: Mapping[str, Any], role: str) -> list[Part] | None:
    content = sent.get("content", sent.get("contents"))
    if role in _TOOL_ROLES:
        # The oldest function calls had no id.
        call_id = first(sent, "tool_call_id", "toolCallId", "id")
        found = blocks.content(content) if isinstance(content, list) else None
        if found and all(part["type"] == "tool_call_response" for part in found):
            return found
        return [parts.tool_response(call_id, openai.answer(content, blocks.content), sent.get("name"))]
    said = blocks.encoded(content)
    if said is None:
        return None
    beside = openai.beside(sent)
    calls = {str(part["id"]) for part in said if part["type"] == "tool_call" and part.get("id")}
    thoughts = [part for part in beside if part["type"] == "reasoning"]
    others = [part for part in beside if part["type"] != "reasoning" and str(part.get("id")) not in calls]
    has_thought = any(part["type"] == "reasoning" for part in said)
    return [*([] if has_thought else thoughts), *said, *others]


def finished(made: Message, around: Mapping[str, Any]) -> Message:
    """The message with the finish reason that stands beside it, where it has none of its own."""
    reason = first(around, "finish_reason", "finishReason", "stop_reason", "stopReason", "done_reason")
    if reason is None and around.get("type") == "message" and made["role"] == "assistant":
        # An item of OpenAI's responses has no reason, but ends in one of two ways.
        reason = {"completed": "stop", "incomplete": "length"}.get(str(around.get("status")))
    if isinstance(reason, str):
        made.setdefault("finish_reason", parts.finish_reason(reason))
    return made
