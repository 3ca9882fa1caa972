"""Bedrock's Converse: blocks without a type, whose only key says what they are."""

from __future__ import annotations

from collections.abc import Mapping

from spanledger.query_api.messages import parts
from spanledger.query_api.messages.openai import answer
from spanledger.query_api.messages.parse import mapping
from spanledger.query_api.messages.parts import Block, Inner, Part


def part(block: Block, inner: Inner) -> Part | None:
    """`toolUse`, `toolResult`, `reasoningContent`, and pictures, sounds and documents."""
    called, answered = block.get("toolUse"), block.get("toolResult")
    if isinstance(called, Mapping):
        return parts.tool_call(called.get("toolUseId"), called.get("name"), called.get("input"))
    if isinstance(answered, Mapping):
        return parts.tool_response(answered.get("toolUseId"), answer(answered.get("content"), inner))
    if isinstance(block.get("reasoningContent"), Mapping):
        found = mapping(block["reasoningContent"].get("reasoningText")).get("text")
        return parts.reasoning(found) if isinstance(found, str) else None
    for kind in ("image", "audio", "video", "document"):
        sent = block.get(kind)
        if isinstance(sent, Mapping) and isinstance(sent.get("source"), Mapping):
            return _media(kind, sent)
    return None


def _media(kind: str, sent: Block) -> Part:
    family = "application" if kind == "document" else kind
    mime_type = f"{family}/{sent['format']}" if isinstance(sent.get("format"), str) else None
    modality = None if kind == "document" else kind
    place = mapping(sent["source"].get("s3Location")).get("uri")
    if isinstance(place, str):
        return parts.media(modality, mime_type, place, name=sent.get("name"))
    return parts.blob(modality, mime_type, sent["source"].get("bytes"), name=sent.get("name"))
