"""Sentry: an answer as `gen_ai.response.text` and `gen_ai.response.tool_calls`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spanledger.query_api.messages import envelopes, parts
from spanledger.query_api.messages.openai import tool_call
from spanledger.query_api.messages.parse import items
from spanledger.query_api.messages.parts import Message

RESPONSE = ("gen_ai.response.text", "gen_ai.response.tool_calls")


def answered(sent: Mapping[str, Any]) -> list[Message] | None:
    """The texts, which may be a list as JSON text, and the calls behind the last of them."""
    text, calls = (sent.get(key) for key in RESPONSE)
    found = envelopes.response(text) if text is not None else []
    called = [part for call in items(calls) if (part := tool_call(call))]
    if found is None or not (found or called):
        return None
    if called:
        found = found or [parts.message("assistant", [])]
        found[-1]["parts"] += called
    return found
