"""Gemini: parts without a type, in camel case (the API) or with underscores (Python, Google ADK)."""

from __future__ import annotations

from collections.abc import Mapping

from spanledger.query_api.messages import parts
from spanledger.query_api.messages.parse import first
from spanledger.query_api.messages.parts import Block, Inner, Part


def part(block: Block, _: Inner) -> Part | None:
    """`text`, `functionCall`, `functionResponse`, `inlineData`, `fileData`; code stays as it was sent."""
    called = first(block, "functionCall", "function_call")
    answered = first(block, "functionResponse", "function_response")
    data = first(block, "inlineData", "inline_data")
    stored = first(block, "fileData", "file_data")
    if isinstance(called, Mapping):
        return parts.tool_call(called.get("id"), called.get("name"), called.get("args"))
    if isinstance(answered, Mapping):
        return parts.tool_response(answered.get("id"), answered.get("response"), answered.get("name"))
    if isinstance(data, Mapping):
        return parts.blob(None, first(data, "mimeType", "mime_type"), data.get("data"))
    if isinstance(stored, Mapping):
        mime_type = first(stored, "mimeType", "mime_type")
        return parts.attachment(first(stored, "fileUri", "file_uri"), mime_type)
    return _said(block)


def _said(block: Block) -> Part | None:
    if isinstance(block.get("text"), str):
        return parts.reasoning(block["text"]) if block.get("thought") is True else parts.text(block["text"])
    for kind, keys in _CODE.items():
        if first(block, *keys) is not None:
            return {"type": kind, **block}
    return None


_CODE = {
    "executable_code": ("executableCode", "executable_code"),
    "code_execution_result": ("codeExecutionResult", "code_execution_result"),
}
