"""Attributes that hold what went in and what came out in one: what of it is which."""

from __future__ import annotations

from typing import Any

from spanledger.query_api.messages import chat
from spanledger.query_api.messages.parse import UNREADABLE, parse
from spanledger.query_api.messages.parts import Message


def history(sent: Any) -> list[Message] | None:
    """The messages before the last answer."""
    found = chat.messages(sent, "user")
    return found[: _last(found)] if found else None


def answer(sent: Any) -> list[Message] | None:
    """The last answer: the message of the assistant that nothing follows."""
    found = chat.messages(sent, "user")
    return found[_last(found) :] if found else None


def _last(found: list[Message]) -> int:
    return len(found) - int(found[-1]["role"] == "assistant")


def documents(sent: Any) -> list[Any] | None:
    """What a retrieval found, as it was sent: no messages, but what came out."""
    value = parse(sent)
    return value if value is not UNREADABLE and isinstance(value, list) else None
