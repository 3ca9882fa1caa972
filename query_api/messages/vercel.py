"""Vercel's AI SDK: parts with a dash in their type, and an answer that is spread over attributes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spanledger.query_api.messages import parts
from spanledger.query_api.messages.openai import answer, tool_call
from spanledger.query_api.messages.parse import first, items, mapping, parse
from spanledger.query_api.messages.parts import Block, Inner, Message, Part

_NAMES = ("text", "object", "toolCalls", "reasoning", "files", "finishReason")
RESPONSE = tuple(f"ai.response.{name}" for name in _NAMES)
RESULT = tuple(f"ai.result.{name}" for name in _NAMES)  # before version 4


def call(block: Block, _: Inner) -> Part | None:
    """`tool-call`."""
    return tool_call(block)


def result(block: Block, inner: Inner) -> Part | None:
    """`tool-result`: `output` says what kind of value it holds; before version 5 it was `result`."""
    if "toolCallId" not in block:
        return None
    sent = block.get("output", block.get("result"))
    if isinstance(sent, Mapping) and set(sent) >= {"type", "value"}:
        sent = sent["value"]
    return parts.tool_response(block["toolCallId"], answer(sent, inner), block.get("toolName"))


def reasoning(block: Block, _: Inner) -> Part | None:
    """A thought; LangChain has it under the key that is its type, others under `text`."""
    found = first(block, "text", "reasoning", "content")
    return parts.reasoning(found) if isinstance(found, str) else None


def attachment(block: Block, _: Inner) -> Part | None:
    """`image`, `file`, and the like of other libraries: data or an address, with a type of media."""
    modality = block["type"] if block["type"] in ("image", "audio", "video") else None
    mime_type = first(block, "mediaType", "mimeType", "media_type", "mime_type")
    sent = first(block, "data", "image", "base64", "url", "uint8ArrayData", "file")
    if isinstance(sent, Mapping):
        sent = first(sent, "url", "data", "@bytes")
    named = {"filename": block.get("filename")}
    return parts.attachment(sent, mime_type, modality, **named) if isinstance(sent, str) else None


def answered(sent: Mapping[str, Any]) -> list[Message] | None:
    """The answer of `ai.response.*`: thoughts, text or object, files, calls."""
    said = {key.rpartition(".")[2]: value for key, value in sent.items()}
    found = [parts.reasoning(thought) for thought in _texts(said.get("reasoning"))]
    texts = [said.get(key) for key in ("text", "object")]
    found += [parts.text(text) for text in texts if isinstance(text, str)]
    for each in items(said.get("files")):
        part = attachment({"type": "file", **mapping(each)}, lambda _: None)
        if part:
            found.append(part)
    found += [part for each in items(said.get("toolCalls")) if (part := tool_call(each))]
    return [parts.message("assistant", found, finished=said.get("finishReason"))] if found else None


def _texts(sent: Any) -> list[str]:
    """Thoughts are text, or JSON of a list of parts with text."""
    value = parse(sent)
    if isinstance(value, list):
        value = [first(mapping(each), "text") if isinstance(each, Mapping) else each for each in value]
        return [each for each in value if isinstance(each, str)]
    return [sent] if isinstance(sent, str) and sent else []
