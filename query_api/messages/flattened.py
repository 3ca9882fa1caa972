"""Attributes whose keys spell a structure, a number for each message: OpenInference's and Traceloop's.

Numbers may be missing: what is there is read in their order. A key is split once, so ten thousand of them
are no more than ten thousand steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from spanledger.query_api.messages import blocks, chat, parts
from spanledger.query_api.messages.parse import first, mapping, numbered
from spanledger.query_api.messages.parts import Message, Part

_LEVELS = 12  # of a key; what is beyond them is one name


def tree(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """The structure that keys spell; where one spells a value and a structure, the structure stands."""
    root: dict[str, Any] = {}
    for key, value in pairs:
        *above, last = key.split(".", _LEVELS)
        node = root
        for name in above:
            below = node.get(name)
            if not isinstance(below, dict):
                below = node[name] = {}
            node = below
        node.setdefault(last, value)
    return root


def openinference(sent: Any, role: str) -> list[Message] | None:
    """`llm.input_messages.N.message.*` and `llm.output_messages.N.message.*`."""
    return _all(_openinference(_split(node), role) for _, node in numbered(sent))


def traceloop(sent: Any, role: str) -> list[Message] | None:
    """`gen_ai.prompt.N.*`, `gen_ai.completion.N.*`, and `llm.prompts.N.*` before them."""
    return _all(_traceloop(_split(node), role) for _, node in numbered(sent))


def prompts(sent: Any, role: str) -> list[Message] | None:
    """Text completions: `llm.prompts.N.prompt.text`, `llm.choices.N.completion.text`, or Traceloop's."""
    split = [_split(node) for _, node in numbered(sent)]
    return _all(_completion(node, role) or _traceloop(node, role) for node in split)


def _all(found: Iterable[Message | None]) -> list[Message] | None:
    read = list(found)
    return [one for one in read if one] if read and all(read) else None


def _split(node: Any) -> Mapping[str, Any]:
    """Structures that were sent as such may have keys with dots, too."""
    if isinstance(node, Mapping) and any("." in key for key in node):
        return tree(node.items())
    return node if isinstance(node, Mapping) else {"": node}


def _completion(node: Mapping[str, Any], role: str) -> Message | None:
    text = node.get("")
    for key in ("prompt", "completion"):
        if isinstance(node.get(key), Mapping):
            text = node[key].get("text")
    return parts.message(role, [parts.text(text)]) if isinstance(text, str) else None


def _traceloop(node: Mapping[str, Any], role: str) -> Message | None:
    if not node.keys() & {"content", "role", "tool_calls", "function_call", "reasoning", "finish_reason"}:
        return None
    calls = [call for _, call in numbered(node.get("tool_calls"))]
    return chat.message({"content": None, **node, "role": node.get("role") or role, "tool_calls": calls})


def _openinference(node: Mapping[str, Any], role: str) -> Message | None:
    sent = mapping(node.get("message")) or node
    contents = [mapping(each) for _, each in numbered(sent.get("contents"))]
    found: list[Any] = [_block(_split(each).get("message_content", each)) for each in contents]
    calls = [_split(mapping(each)).get("tool_call", each) for _, each in numbered(sent.get("tool_calls"))]
    called = {"name": sent.get("function_call_name"), "arguments": sent.get("function_call_arguments_json")}
    if not sent.keys() & {"role", "content", "contents", "tool_calls", "function_call_name"}:
        return None
    return chat.message(
        {
            "role": sent.get("role") or role,
            "content": found or sent.get("content"),
            "name": sent.get("name"),
            "tool_call_id": sent.get("tool_call_id"),
            "tool_calls": calls,
            "function_call": called if called["name"] else None,
            "finish_reason": sent.get("finish_reason"),
        }
    )


def _block(sent: Any) -> Part | Any:
    """`message_content.*`: its media stand in a structure named as the type, and name it twice."""
    if not isinstance(sent, Mapping):
        return sent
    kind = sent.get("type")
    for modality in ("image", "audio", "video", "document"):
        held = sent.get(modality)
        if isinstance(held, Mapping):
            inner = mapping(held.get(modality)) or held
            place = first(inner, "url", "data", "content", "file_id")
            mime_type = first(inner, "mime_type", "media_type")
            known = modality if modality != "document" else None
            return (
                parts.attachment(place, mime_type, known)
                if isinstance(place, str)
                else {"type": modality, **held}
            )
    if not isinstance(kind, str):
        return parts.text(sent["text"]) if isinstance(sent.get("text"), str) else sent
    call = sent.get("tool_call")
    if kind == "tool_use" and isinstance(call, Mapping):
        return {"type": "tool_call", **call, **mapping(call.get("function"))}
    return blocks.block(sent) or sent
