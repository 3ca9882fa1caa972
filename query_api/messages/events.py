"""Messages that were sent one by one, as log records or as events of the span.

`gen_ai.{system,user,assistant,tool}.message` and `gen_ai.choice` of the conventions up to v1.36; Logfire and
Pydantic AI put the same into one attribute. The body is a structure; events without one say it in attributes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spanledger.query_api.messages import blocks, chat
from spanledger.query_api.messages.parse import first, is_empty, items, mapping, parse
from spanledger.query_api.messages.parts import Message

DETAILS = "gen_ai.client.inference.operation.details"
CHOICE = "gen_ai.choice"
MESSAGES = tuple(f"gen_ai.{role}.message" for role in ("system", "user", "assistant", "tool"))

Record = Mapping[str, Any]


def name_of(record: Record) -> Any:
    """The name of an event, of either kind."""
    return first(record, "event_name", "name", "event.name")


def messages(sent: Any) -> list[Message] | None:
    """The messages of the records, in their order; choices by their index."""
    read = [(_index(record), _message(record)) for record in items(sent) if isinstance(record, Mapping)]
    if not read or any(one is None for _, one in read):
        return None
    return [one for _, one in sorted(read, key=lambda each: each[0]) if one]


def inputs(sent: Any) -> list[Message] | None:
    """Of an attribute that holds all events, those that went in."""
    return _named(sent, MESSAGES)


def outputs(sent: Any) -> list[Message] | None:
    """Of an attribute that holds all events, those that came out."""
    return _named(sent, (CHOICE,))


def _named(sent: Any, names: tuple[str, ...]) -> list[Message] | None:
    """None of them is none to read: other senders have attributes of that name, too."""
    found = [each for each in items(sent) if name_of(mapping(each)) in names]
    return messages(found) if found else []


def _held(record: Record) -> Mapping[str, Any]:
    about = mapping(record.get("attributes"))
    for held in (record.get("body"), about.get("gen_ai.event.content"), about):
        if not is_empty(held) and mapping(held):
            return mapping(held)
    return {} if "event_name" in record else record


def _index(record: Record) -> int:
    index = _held(record).get("index")
    return index if isinstance(index, int) else 0


def _message(record: Record) -> Message | None:
    name, held = name_of(record), _held(record)
    if isinstance(record.get("body"), str) and not mapping(record["body"]):
        held = {"content": record["body"]}
    if name == CHOICE:
        inner = parse(held.get("message"))
        said = inner if isinstance(inner, Mapping) else {"content": first(held, "message", "content")}
        if isinstance(inner, list):
            said = {"content": inner}
        return _said(
            {**said, "tool_calls": first(said, "tool_calls") or held.get("tool_calls")}, "assistant", held
        )
    return _said(held, str(name).split(".")[1], held) if name in MESSAGES else None


def _said(said: Mapping[str, Any], role: str, around: Mapping[str, Any]) -> Message | None:
    content = said.get("content")
    inner = parse(content) if isinstance(content, str) and content[:1] == "[" else content
    if isinstance(inner, list) and blocks.content(inner) is not None:
        content = inner
    one = chat.message({**said, "content": content, "role": said.get("role") or role})
    return None if one is None else chat.finished(one, around)
