"""Content: which module reads which block of it. Of a type that several dialects use, in this order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from spanledger.query_api.messages import anthropic, bedrock, conventions, gemini, openai, parts, vercel
from spanledger.query_api.messages.parse import UNREADABLE, parse
from spanledger.query_api.messages.parts import Block, Inner, Part

Reader = Callable[[Block, Inner], Part | None]

# By the block's `type`. What is not here, or has not what its type promises, is a part as it was sent: the
# conventions allow parts of any type.
BLOCKS: dict[str, tuple[Reader, ...]] = {
    "text": (conventions.part, openai.text),
    "input_text": (openai.text,),
    "output_text": (openai.text,),
    "summary_text": (openai.text,),
    "reasoning_text": (vercel.reasoning,),
    "refusal": (openai.refusal,),
    "reasoning": (conventions.part, vercel.reasoning),
    "thinking": (anthropic.thinking, conventions.part, vercel.reasoning),
    "tool_call": (conventions.part, vercel.call),
    "tool_use": (anthropic.tool_use,),
    "tool-call": (vercel.call,),
    "tool_call_response": (conventions.part,),
    "tool_result": (anthropic.tool_result,),
    "tool-result": (vercel.result,),
    "server_tool_call": (conventions.part,),
    "server_tool_call_response": (conventions.part,),
    "server_tool_use": (anthropic.server_tool_use,),
    "image_url": (openai.image,),
    "input_image": (openai.image,),
    "input_audio": (openai.audio,),
    "input_file": (openai.file,),
    "file": (conventions.part, openai.file, vercel.attachment),
    "image": (anthropic.source, vercel.attachment),
    "audio": (openai.audio, vercel.attachment),
    "video": (vercel.attachment,),
    "document": (anthropic.source, vercel.attachment),
    "media": (vercel.attachment,),
    "blob": (conventions.part,),
    "uri": (conventions.part,),
    "compaction": (conventions.part,),
}
# Blocks without a type are told by their keys.
UNTYPED: tuple[Reader, ...] = (bedrock.part, gemini.part)


def content(sent: Any) -> list[Part] | None:
    """The parts of a message's content: text, a block, or a list of both. None where it is something else."""
    if sent is None or sent == "":
        return []
    if isinstance(sent, str):
        return [parts.text(sent)]
    found = []
    for each in sent if isinstance(sent, list) else [sent]:
        part = parts.text(each) if isinstance(each, str) else block(each)
        if part is None:
            return None
        found.append(part)
    return found


def block(sent: Any) -> Part | None:
    """One block of content as a part."""
    if not isinstance(sent, Mapping):
        return None
    kind = sent.get("type")
    if not isinstance(kind, str):
        return next((part for read in UNTYPED if (part := read(sent, content))), None)
    if anthropic.is_server_tool_result(sent):
        return anthropic.server_tool_result(sent)
    return next((part for read in BLOCKS.get(kind, ()) if (part := read(sent, content))), None) or dict(sent)


def encoded(sent: Any) -> list[Part] | None:
    """As `content`, where a list of blocks may stand as JSON text; other text stays text."""
    value = parse(sent) if isinstance(sent, str) and sent[:1] == "[" else sent
    if value is UNREADABLE or (value is not sent and not _are_blocks(value)):
        value = sent
    return content(value)


def _are_blocks(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(is_block(each) for each in value)


def is_block(value: Any) -> bool:
    """Whether this is content for certain: a block of a type that is known."""
    return isinstance(value, Mapping) and isinstance(value.get("type"), str) and value["type"] in BLOCKS
