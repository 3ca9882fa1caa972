"""Anthropic: the content blocks of messages."""

from __future__ import annotations

from collections.abc import Mapping

from spanledger.query_api.messages import parts
from spanledger.query_api.messages.openai import answer
from spanledger.query_api.messages.parse import mapping
from spanledger.query_api.messages.parts import Block, Inner, Part


def thinking(block: Block, _: Inner) -> Part | None:
    """What the model thought; a redacted thought has no text and stays as it was sent."""
    found = block.get("thinking")
    return parts.reasoning(found) if isinstance(found, str) else None


def tool_use(block: Block, _: Inner) -> Part | None:
    """A call of one of the application's tools."""
    name = block.get("name")
    return parts.tool_call(block.get("id"), name, block.get("input")) if isinstance(name, str) else None


def tool_result(block: Block, inner: Inner) -> Part | None:
    """What a tool answered; an error is marked as one."""
    if "tool_use_id" not in block:
        return None
    part = parts.tool_response(block["tool_use_id"], answer(block.get("content"), inner))
    return {**part, "is_error": True} if block.get("is_error") is True else part


def server_tool_use(block: Block, _: Inner) -> Part | None:
    """A call of a tool that the provider runs itself."""
    called = {"type": block.get("name"), "input": block.get("input")}
    return {
        "type": "server_tool_call",
        "id": block.get("id"),
        "name": block.get("name"),
        "server_tool_call": called,
    }


def server_tool_result(block: Block) -> Part:
    """What such a tool answered, as it was sent."""
    return {
        "type": "server_tool_call_response",
        "id": block["tool_use_id"],
        "server_tool_call_response": {"type": block["type"], "content": block.get("content")},
    }


def source(block: Block, _: Inner) -> Part | None:
    """`image` and `document`: base64, an address, the id of a file, or text."""
    sent = block.get("source")
    if not isinstance(sent, Mapping):
        return None
    modality = "image" if block["type"] == "image" else None
    named = {"title": block.get("title")}
    mime_type = sent.get("media_type")
    match sent.get("type"):
        case "base64":
            return parts.blob(modality, mime_type, sent.get("data"), **named)
        case "url":
            return parts.media(modality, mime_type, sent.get("url"), **named)
        case "file":
            return parts.file(modality, mime_type, sent.get("file_id"), **named)
        case "text" if isinstance(sent.get("data"), str):
            title = {"title": named["title"]} if named["title"] else {}
            return {**parts.text(sent["data"]), **title}
    return None


def is_server_tool_result(block: Block) -> bool:
    """`web_search_tool_result` and the like."""
    return str(block.get("type")).endswith("_tool_result") and "tool_use_id" in mapping(block)
