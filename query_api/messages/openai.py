"""OpenAI: the content parts of chat completions, and the items of Responses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spanledger.query_api.messages import parts
from spanledger.query_api.messages.parse import first, items, mapping
from spanledger.query_api.messages.parts import Block, Inner, Message, Part

# What a model does that it does not say: these items have a tool's name, or are told by their type.
_ITEM_ENDS = ("_call", "_call_output", "_approval_request", "_approval_response", "_list_tools")
_PARTS = ("tool_call", "server_tool_call")  # of a message, whatever they end with
_ITEMS = ("reasoning", "compaction", "item_reference", "message", "function_call", "function_call_output")


# What may stand beside the content of a message.
BESIDE = ("reasoning_content", "reasoning", "thinking", "refusal", "audio", "tool_calls", "function_call")


def text(block: Block, _: Inner) -> Part | None:
    """`text`, `input_text`, `output_text`."""
    found = block.get("text")
    if isinstance(found, Mapping):  # assistants: {"text": {"value": ...}}
        found = found.get("value")
    return parts.text(found) if isinstance(found, str) else None


def refusal(block: Block, _: Inner) -> Part | None:
    """The model's refusal, which is no text of an answer."""
    found = first(block, "refusal", "content")
    return {"type": "refusal", "content": found} if isinstance(found, str) else None


def image(block: Block, _: Inner) -> Part | None:
    """`image_url` of chat, `input_image` of Responses."""
    place = first(block, "image_url", "url")
    detail = block.get("detail")
    if isinstance(place, Mapping):
        detail, place = place.get("detail"), place.get("url")
    if isinstance(place, str):
        return parts.media("image", None, place, detail=detail)
    if isinstance(block.get("file_id"), str):
        return parts.file("image", None, block["file_id"], detail=detail)
    return None


def audio(block: Block, _: Inner) -> Part | None:
    """`input_audio`: base64 with the name of a format."""
    sound = mapping(first(block, "input_audio", "audio"))
    kind = sound.get("format")
    mime_type = f"audio/{kind}" if isinstance(kind, str) else None
    return parts.blob("audio", mime_type, sound["data"]) if isinstance(sound.get("data"), str) else None


def file(block: Block, _: Inner) -> Part | None:
    """`file` of chat, `input_file` of Responses: an id, an address or data."""
    inner = block.get("file")
    sent = inner if isinstance(inner, Mapping) else block
    name = sent.get("filename")
    if isinstance(sent.get("file_id"), str):
        return parts.file(None, None, sent["file_id"], filename=name)
    place = first(sent, "file_data", "file_url")
    return parts.attachment(place, None, filename=name) if isinstance(place, str) else None


def beside(sent: Block) -> list[Part]:
    """The parts of a chat message that stand beside its content, thoughts first."""
    found = _thoughts(sent)
    if isinstance(sent.get("refusal"), str) and sent["refusal"]:
        found.append({"type": "refusal", "content": sent["refusal"]})
    sound = sent.get("audio")
    if isinstance(sound, Mapping):
        if isinstance(sound.get("transcript"), str):
            found.append(parts.text(sound["transcript"]))
        if isinstance(sound.get("data"), str):
            found.append(parts.blob("audio", None, sound["data"], id=sound.get("id")))
        elif sound.get("id"):
            found.append(parts.file("audio", None, sound["id"]))
    found += [part for call in items(sent.get("tool_calls")) if (part := tool_call(call))]
    called = mapping(sent.get("function_call"))
    if called.get("name"):
        found.append(parts.tool_call(called.get("id"), called["name"], called.get("arguments")))
    return found


def _thoughts(sent: Block) -> list[Part]:
    """DeepSeek and vLLM say `reasoning_content`, OpenRouter and Ollama `reasoning` or `thinking`."""
    found = first(sent, "reasoning_content", "reasoning", "thinking")
    return [parts.reasoning(found)] if isinstance(found, str) else []


def tool_call(call: Any) -> Part | None:
    """A tool call of any spelling: nested as OpenAI's, flat as the others'."""
    sent = mapping(call)
    called = first(sent, "function", "custom") or sent
    if not isinstance(called, Mapping):
        return None
    name = first(called, "name", "toolName", "tool_name")
    arguments = next(
        (called[key] for key in ("arguments", "args", "input", "parameters") if called.get(key) is not None),
        None,
    )
    call_id = first(sent, "id", "call_id", "toolCallId", "tool_call_id")
    return parts.tool_call(call_id, name, arguments) if isinstance(name, str) else None


def is_item(sent: Block) -> bool:
    """Whether this is an item of Responses that is no message."""
    kind = sent.get("type")
    if not isinstance(kind, str) or kind in _PARTS or "role" in sent:
        return False
    return kind in _ITEMS or kind.endswith(_ITEM_ENDS)


def item(sent: Block, inner: Inner) -> Message:
    """An item of Responses as a message; one that the conventions have no part for keeps its members."""
    kind = sent["type"]
    call_id = first(sent, "call_id", "id")
    if kind in ("function_call", "custom_tool_call", "mcp_call") and isinstance(sent.get("name"), str):
        called = [parts.tool_call(call_id, sent["name"], first(sent, "arguments", "input"))]
        if kind == "mcp_call" and sent.get("output") is not None:
            called.append(parts.tool_response(call_id, sent["output"]))
        return parts.message("assistant", called)
    if kind in ("function_call_output", "custom_tool_call_output"):
        return parts.message("tool", [parts.tool_response(call_id, answer(sent.get("output"), inner))])
    if kind == "reasoning":
        thoughts = [*items(sent.get("summary")), *items(sent.get("content"))]
        texts = [mapping(thought).get("text") for thought in thoughts]
        said = [parts.reasoning(text) for text in texts if isinstance(text, str)]
        return parts.message("assistant", said or [dict(sent)])
    role = "tool" if kind.endswith(("_output", "_response")) else "assistant"
    return parts.message(role, [dict(sent)])


def answer(content: Any, inner: Inner) -> Any:
    """The result of a tool: text where it is text only, parts where it is content, else as it was sent."""
    found = inner(content) if isinstance(content, list) and content else None
    if found is None:
        return content
    alone = len(found) == 1 and found[0]["type"] == "text"
    return found[0].get("content") if alone else found
