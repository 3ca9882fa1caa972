"""What was sent around the messages: whole requests and answers of providers and libraries.

The keys stand in the order in which they are looked for. `plain` says whether text without any structure is
somebody's words: on a call of a model it is, elsewhere it may be anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from spanledger.query_api.messages import blocks, chat, parts
from spanledger.query_api.messages.parse import UNREADABLE, first, is_empty, items, mapping, parse
from spanledger.query_api.messages.parts import Message, Part

_DEEPEST = 6  # envelopes within envelopes

# OpenAI, Anthropic, LangGraph: messages. Gemini: contents. Responses: input. LangChain: inputs, prompts.
# Decorated functions (Traceloop, MLflow): kwargs.
REQUEST = ("messages", "contents", "input", "inputs", "prompts", "prompt", "llm_request", "kwargs")
# OpenAI: choices. Gemini: candidates. LangChain: generations, outputs. Responses, Bedrock: output.
# Google ADK: content.
RESPONSE = (
    "choices",
    "candidates",
    "generations",
    "output",
    "outputs",
    "messages",
    "message",
    "content",
    "combined_chunk_content",
    "response",
    "text",
    "update",  # LangGraph
)
SYSTEM = ("system", "instructions", "system_instruction", "systemInstruction")
TOOLS = ("tools", "functions")
# Where requests hold what is neither: Gemini's SDK and ADK, LangChain, decorated functions.
_ASIDE = ("config", "kwargs", "invocation_params")


def request(sent: Any, *, plain: bool = True) -> list[Message] | None:
    """The messages of a request, or of what went in."""
    return _read(parse(sent), REQUEST, "user", _DEEPEST, plain=plain)


def response(sent: Any, *, plain: bool = True) -> list[Message] | None:
    """The messages of an answer, or of what came out."""
    return _read(parse(sent), RESPONSE, "assistant", _DEEPEST, plain=plain)


def member(sent: Any, names: tuple[str, ...]) -> Any:
    """What a request has under one of the names, itself or aside."""
    value = mapping(sent)
    places = (value, *(mapping(value.get(aside)) for aside in _ASIDE))
    return next((found for place in places if (found := first(place, *names)) is not None), None)


def instructions(sent: Any) -> list[Part] | None:
    """System instructions as parts: text, parts, blocks, or messages with them."""
    value = parse(sent)
    if value is UNREADABLE:
        return None
    if isinstance(value, Mapping) and isinstance(value.get("parts"), list):
        return blocks.content(value["parts"])
    if isinstance(value, list) and all(isinstance(each, Mapping) and "role" in each for each in value):
        found = chat.messages(value, "system")
        return None if found is None else [part for one in found for part in one["parts"]]
    return blocks.content(value)


def _read(value: Any, keys: tuple[str, ...], role: str, levels: int, *, plain: bool) -> list[Message] | None:
    if isinstance(value, str):
        return [parts.message(role, [parts.text(value)])] if plain else None
    if plain and isinstance(value, list) and value and all(isinstance(each, str) for each in value):
        return [parts.message(role, [parts.text(each)]) for each in value]
    found = chat.messages(value, role)
    if found is None and isinstance(value, list) and len(value) == 1 and levels:
        return _read(value[0], keys, role, levels - 1, plain=plain)
    if found is None and isinstance(value, Mapping) and isinstance(value.get("completion"), str):
        # OpenRouter, with tool calls and thoughts beside it.
        one = chat.message({**value, "role": role, "content": value["completion"]})
        return None if one is None else [one]
    if found is None and isinstance(value, Mapping) and levels:
        for key in keys:
            if not is_empty(value.get(key)):
                read = _READERS.get(key)
                inner = parse(value[key])
                found = read(inner) if read else _read(inner, keys, role, levels - 1, plain=plain)
                if found:
                    return _finished(found, value)
    return found


def _finished(found: list[Message], around: Mapping[str, Any]) -> list[Message]:
    return [chat.finished(found[0], around)] if len(found) == 1 else found


def _choices(value: Any) -> list[Message] | None:
    """A message for each choice; `delta` where a stream was put together that way, `text` of completions."""
    read = []
    for each in items(value):
        choice = mapping(each)
        said = choice.get("message", choice.get("delta", choice.get("text")))
        if isinstance(said, str):
            said = {"content": said}
        if not isinstance(said, Mapping):
            return None
        one = chat.message({"content": None, **said, "role": said.get("role") or "assistant"})
        if one is None:
            return None
        read.append(chat.finished(one, choice))
    return read or None


def _candidates(value: Any) -> list[Message] | None:
    """A message for each of Gemini's candidates; one that was blocked has no content."""
    read = []
    for each in items(value):
        one = chat.message({"parts": [], **mapping(mapping(each).get("content"))}, "assistant")
        if one is None:
            return None
        read.append(chat.finished(one, mapping(each)))
    return read or None


def _generations(value: Any) -> list[Message] | None:
    """A message for each of LangChain's generations: of a chat model, or text of another one."""
    read = []
    for batch in items(value):
        for each in items(batch) or [batch]:
            made = mapping(each)
            one = chat.message(made.get("message"))
            if one is None and isinstance(made.get("text"), str):
                one = parts.message("assistant", [parts.text(made["text"])])
            if one is None:
                return None
            read.append(chat.finished(one, mapping(made.get("generation_info"))))
    return read or None


_READERS: dict[str, Callable[[Any], list[Message] | None]] = {
    "choices": _choices,
    "candidates": _candidates,
    "generations": _generations,
}
