"""The parts of a message, in the form of the GenAI conventions, and how they are made.

Source: model/gen-ai/gen-ai-input-messages.json of open-telemetry/semantic-conventions-genai.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from spanledger.query_api.messages.parse import is_empty
from spanledger.query_api.values import readable

Part = dict[str, Any]
Message = dict[str, Any]
Block = Mapping[str, Any]
# Reads content of any kind: needed where content holds content, as the results of tools do.
Inner = Callable[[Any], "list[Part] | None"]

LONGEST_DATA = 1024  # characters of base64 that stay in a blob; of more only size and digest are told

_ROLES = {"human": "user", "ai": "assistant", "model": "assistant", "AIMessageChunk": "assistant"}
_FINISHED = {
    "tool_call": ("tool_calls", "tool-calls", "tool_use", "function_call"),
    "stop": ("end_turn", "stop", "stop_sequence", "complete", "completed"),
    "length": ("max_tokens", "length", "max_output_tokens", "model_length"),
    "content_filter": ("safety", "content-filter", "content_filter", "refusal"),
}
_FINISH_REASONS = {name: reason for reason, names in _FINISHED.items() for name in names}


def text(content: Any) -> Part:
    """Text as it was sent."""
    return {"type": "text", "content": content}


def reasoning(content: Any) -> Part:
    """What the model thought, as text."""
    return {"type": "reasoning", "content": content}


def tool_call(call_id: Any, name: Any, arguments: Any) -> Part:
    """A call that the model asks for; arguments that are JSON text become what they say."""
    return {"type": "tool_call", "id": call_id, "name": name, "arguments": readable(arguments)}


def tool_response(call_id: Any, response: Any, name: Any = None) -> Part:
    """What a tool answered; `name` only where it was sent."""
    named = {"name": name} if isinstance(name, str) and name else {}
    return {"type": "tool_call_response", "id": call_id, **named, "response": response}


def message(role: Any, parts: Iterable[Part], *, name: Any = None, finished: Any = None) -> Message:
    """A message; name and finish reason only where they were sent."""
    made: Message = {"role": role_name(role), "parts": list(parts)}
    made["role"] = speaker(made["role"], made["parts"])
    if isinstance(name, str) and name:
        made["name"] = name
    if isinstance(finished, str) and finished:
        made["finish_reason"] = finish_reason(finished)
    return made


def role_name(role: Any) -> str:
    """The conventions' name of a role; other roles stay as they are."""
    return _ROLES.get(role, role) if isinstance(role, str) and role else "unknown"


def speaker(role: str, parts: list[Part]) -> str:
    """Answers of tools alone are the tool's, also where a provider (Anthropic) has the user say them."""
    tools = bool(parts) and all(part["type"] == "tool_call_response" for part in parts)
    return "tool" if tools and role == "user" else role


def finish_reason(sent: str) -> str:
    """The conventions' name of a finish reason; other reasons stay as they are."""
    return _FINISH_REASONS.get(sent.rpartition(".")[2].lower(), sent)


def media(modality: Any, mime_type: Any, location: Any, **more: Any) -> Part:
    """A picture, sound or file behind an address; a data: address is a blob."""
    if not isinstance(location, str) or not location.startswith("data:"):
        return {"type": "uri", "modality": modality, "mime_type": mime_type, "uri": location, **_sent(more)}
    head, _, data = location[5:].partition(",")
    return blob(modality, head.partition(";")[0] or mime_type, data, **more)


def blob(modality: Any, mime_type: Any, data: Any, **more: Any) -> Part:
    """Data within the message: its size in bytes and SHA-256, and the base64 only where it is short."""
    if isinstance(data, Mapping) and set(data) == {"@bytes"}:
        data = data["@bytes"]
    part: Part = {"type": "blob", "modality": modality or _modality(mime_type), "mime_type": mime_type}
    part |= _sent(more)
    if not isinstance(data, str):
        return {**part, "content": data}
    content = _bytes(data)
    part |= {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    return {**part, "content": data} if len(data) <= LONGEST_DATA else part


def file(modality: Any, mime_type: Any, file_id: Any, **more: Any) -> Part:
    """A file that the provider has, by its id."""
    return {"type": "file", "modality": modality, "mime_type": mime_type, "file_id": file_id, **_sent(more)}


def attachment(data: Any, mime_type: Any, modality: Any = None, **more: Any) -> Part:
    """A blob, or a uri where the data are an address."""
    modality = modality or _modality(mime_type)
    if isinstance(data, str) and data[:64].partition(":")[0] in ("http", "https", "data", "gs", "s3", "file"):
        return media(modality, mime_type, data, **more)
    return blob(modality, mime_type, data, **more)


def _modality(mime_type: Any) -> str | None:
    kind = mime_type.partition("/")[0] if isinstance(mime_type, str) else None
    return kind if kind in ("image", "audio", "video") else None


def _sent(more: Mapping[str, Any]) -> Part:
    return {key: value for key, value in more.items() if not is_empty(value)}


def _bytes(data: str) -> bytes:
    """What base64 of either alphabet stands for, also where it was cut; else the text's own bytes."""
    plain = data.translate({ord("-"): "+", ord("_"): "/"}).rstrip("=\n ")
    whole = plain[:-1] if len(plain) % 4 == 1 else plain
    try:
        return base64.b64decode(whole + "=" * (-len(whole) % 4))
    except (binascii.Error, ValueError):
        return data.encode("utf-8", "replace")
