"""Anthropic's messages: request parameters, content blocks, and answers whole or in events.

The same bodies come from Anthropic, from Vertex AI, from Foundry, and from Bedrock as the body of a model.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from opentelemetry.util.types import AttributeValue

from spanledger.instrumentation.calls import Message, Response, Usage
from spanledger.instrumentation.content import (
    blob_part,
    media_part,
    text_part,
    tool_call_part,
    tool_response_part,
)
from spanledger.instrumentation.reading import field, items
from spanledger.schemas import attributes as names

# Attribute, then the request parameter that fills it. What is not given may be a marker of the SDK's.
_COUNTS = {names.REQUEST_MAX_TOKENS: "max_tokens", names.REQUEST_TOP_K: "top_k"}
# The conventions want doubles here; a user may well pass 0 or 1.
_DOUBLES = {names.REQUEST_TEMPERATURE: "temperature", names.REQUEST_TOP_P: "top_p"}
FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_call",
    "refusal": "content_filter",
}
# Only the provider can read these, and they are long.
_SEALED = {"encrypted_content", "encrypted_index", "encrypted_stdout", "signature"}


def request_attributes(body: Mapping[str, Any]) -> dict[str, AttributeValue | None]:
    found: dict[str, AttributeValue | None] = {key: count(body, name) for key, name in _COUNTS.items()}
    for key, name in _DOUBLES.items():
        value = body.get(name)
        found[key] = float(value) if isinstance(value, int | float) else None
    found[names.REQUEST_STOP_SEQUENCES] = [str(text) for text in items(body.get("stop_sequences"))] or None
    output = body.get("output_config") or {}
    found[names.REQUEST_REASONING_LEVEL] = text(output, "effort")
    # `output_format` is what `output_config.format` was called before.
    formats = (field(output, "format"), body.get("output_format"))
    is_json = any(field(shape, "type") == "json_schema" for shape in formats if shape)
    found[names.OUTPUT_TYPE] = "json" if is_json else None
    found[names.USER_ID] = text(body.get("metadata") or {}, "user_id")
    return found


def text(value: Any, name: str) -> str | None:
    found = field(value, name)
    return found if isinstance(found, str) else None


def system_instructions(body: Mapping[str, Any]) -> list[Message]:
    return parts(body.get("system"))


def input_messages(body: Mapping[str, Any]) -> list[Message]:
    return [
        {"role": field(message, "role") or "user", "parts": parts(field(message, "content"))}
        for message in items(body.get("messages"))
    ]


def tool_definitions(body: Mapping[str, Any]) -> list[Message]:
    return [_definition(tool) for tool in items(body.get("tools"))]


def _definition(tool: Any) -> Message:
    kind = field(tool, "type") or "custom"
    described = {
        "type": "function" if kind == "custom" else kind,
        "name": field(tool, "name"),
        "description": field(tool, "description"),
        "parameters": field(tool, "input_schema"),
    }
    return {name: value for name, value in described.items() if value is not None}


def parts(content: Any) -> list[Message]:
    """A message's content, text or blocks, as parts in the order they were given."""
    if isinstance(content, str):
        return [text_part(content)] if content else []
    return [found for block in items(content) for found in _parts_of(block)]


def _parts_of(block: Any) -> list[Message]:
    """What a block holds besides text stands beside it, where every part is looked at."""
    kind, source = field(block, "type"), field(block, "source")
    if kind == "tool_result":
        read = parts(field(block, "content"))
        texts = "".join(piece["content"] for piece in read if piece["type"] == "text")
        others = [piece for piece in read if piece["type"] != "text"]
        return [tool_response_part(field(block, "tool_use_id"), texts), *others]
    if kind == "document" and field(source, "type") == "content":
        return parts(field(source, "content"))
    return [part(block)]


def part(block: Any) -> Message:
    if isinstance(block, str):
        return text_part(block)
    kind = str(field(block, "type"))
    reader = _PART_READERS.get(kind)
    if reader is not None:
        return reader(block)
    return _server_result(block) if kind.endswith("_tool_result") else {"type": kind}


def _text(block: Any) -> Message:
    read = text_part(field(block, "text") or "")
    citations = [_plain(citation) for citation in items(field(block, "citations"))]
    return {**read, "citations": citations} if citations else read


def _media(modality: str) -> Callable[[Any], Message]:
    def read(block: Any) -> Message:
        source = field(block, "source") or {}
        kind, mime_type = field(source, "type"), field(source, "media_type")
        if kind == "base64":
            return blob_part(modality, mime_type, str(field(source, "data")))
        if kind == "url":
            return media_part(modality, str(field(source, "url")), mime_type)
        if kind == "file":
            return {"type": "file", "modality": modality, "file_id": field(source, "file_id")}
        return text_part(field(source, "data") or "")

    return read


def _server_call(block: Any) -> Message:
    called = {"type": field(block, "name"), "arguments": _plain(field(block, "input"))}
    return {
        "type": "server_tool_call",
        "id": field(block, "id"),
        "name": field(block, "name"),
        "server_tool_call": called,
    }


def _server_result(block: Any) -> Message:
    response = {"type": field(block, "type"), "content": _plain(field(block, "content"))}
    return {
        "type": "server_tool_call_response",
        "id": field(block, "tool_use_id"),
        "server_tool_call_response": response,
    }


def _plain(value: Any) -> Any:
    """Models as plain JSON, without what only the provider can read."""
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        value = dump(mode="json", exclude_none=True)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items() if key not in _SEALED}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


_PART_READERS: dict[str, Callable[[Any], Message]] = {
    "text": _text,
    "image": _media("image"),
    "document": _media("document"),
    "container_upload": lambda block: {"type": "file", "file_id": field(block, "file_id")},
    "tool_use": lambda block: tool_call_part(
        field(block, "id"), field(block, "name"), _plain(field(block, "input"))
    ),
    "thinking": lambda block: {"type": "reasoning", "content": field(block, "thinking") or ""},
    "redacted_thinking": lambda _block: {"type": "redacted_thinking"},
    "server_tool_use": _server_call,
    "mcp_tool_use": _server_call,
    "compaction": lambda block: {"type": "compaction", "content": field(block, "content")},
    "search_result": lambda block: {
        "type": "search_result",
        "title": field(block, "title"),
        "source": field(block, "source"),
        "content": _plain(field(block, "content")),
    },
}


def read_usage(usage: Any) -> Usage | None:
    """Counts as reported. Anthropic's input leaves out what the cache gave or kept; ours includes it.

    The tokens of a compaction stand beside the totals and are billed with them.
    """
    if usage is None:
        return None
    counts = [usage, *(entry for entry in items(field(usage, "iterations")) if _is_compaction(entry))]
    read, write = _sum(counts, "cache_read_input_tokens"), _sum(counts, "cache_creation_input_tokens")
    fresh = _sum(counts, "input_tokens")
    return Usage(
        input=None if fresh is None else fresh + (read or 0) + (write or 0),
        output=_sum(counts, "output_tokens"),
        cache_read=read,
        cache_write=write,
        reasoning=count(field(usage, "output_tokens_details"), "thinking_tokens"),
        units=dict(_units(usage, counts, write or 0)),
    )


def _is_compaction(entry: Any) -> bool:
    return bool(field(entry, "type") == "compaction")


def _units(usage: Any, counts: list[Any], write: int) -> Iterator[tuple[str, int]]:
    kept = [field(entry, "cache_creation") for entry in counts]
    minutes, hour = (_sum(kept, f"ephemeral_{time}_input_tokens") for time in ("5m", "1h"))
    # A split that is larger than its whole says nothing of which price applies.
    if (minutes or 0) + (hour or 0) <= write:
        if minutes:
            yield "cache_write_5m_tokens", minutes
        if hour:
            yield "cache_write_1h_tokens", hour
    searches = count(field(usage, "server_tool_use"), "web_search_requests")
    if searches:
        yield "web_searches", searches


def _sum(counts: list[Any], name: str) -> int | None:
    known = [number for number in (count(entry, name) for entry in counts) if number is not None]
    return sum(known) if known else None


def count(counts: Any, name: str) -> int | None:
    value = field(counts, name) if counts is not None else None
    known = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return value if known else None


class _Block:
    """One content block of a streamed answer, as far as it came."""

    def __init__(self, start: Any) -> None:
        self._start = start
        self._pieces: dict[str, list[str]] = {}
        self._citations: list[Any] = []

    def add(self, delta: Any) -> None:
        if field(delta, "type") == "citations_delta":
            self._citations.append(field(delta, "citation"))
            return
        for name in ("text", "partial_json", "thinking", "content"):
            piece = field(delta, name)
            if isinstance(piece, str):
                self._pieces.setdefault(name, []).append(piece)

    def part(self) -> Message:
        held = self._start
        fields = {
            name: field(held, name) for name in ("type", "id", "name", "tool_use_id", "content", "input")
        }
        for name in ("text", "thinking", "content"):
            if name in self._pieces:
                fields[name] = (field(held, name) or "") + "".join(self._pieces[name])
        read = part({**fields, "citations": self._citations})
        arguments = "".join(self._pieces.get("partial_json", ()))
        if arguments:
            called = tool_call_part(None, None, arguments)["arguments"]
            (read.get("server_tool_call") or read)["arguments"] = called
        return read


class MessageAccumulator:
    """One answer, from its events or from the whole; without `content` it keeps no text."""

    def __init__(self, content: bool) -> None:  # noqa: FBT001 - called through the table of endpoints
        self._content = content
        self._head: Any = None
        self._usage: dict[str, Any] = {}
        self._stop_reason: Any = None
        self._whole: Any = None
        self._blocks: dict[Any, _Block] = {}
        self._complete = False
        # What the provider bills the call as, where the answer gives the model another name.
        self.billed_model: str | None = None

    def add(self, event: Any) -> None:
        reader = _EVENT_READERS.get(field(event, "type"))
        if reader is not None:
            reader(self, event)

    def add_whole(self, message: Any) -> None:
        self._start(message)
        self._stop_reason = field(message, "stop_reason")
        self._complete = True
        if self._content:
            self._whole = field(message, "content")

    def add_start(self, event: Any) -> None:
        self._start(field(event, "message"))

    def add_block(self, event: Any) -> None:
        if self._content:
            self._blocks[field(event, "index")] = _Block(field(event, "content_block"))

    def add_piece(self, event: Any) -> None:
        if self._content:
            index = field(event, "index")
            self._blocks.setdefault(index, _Block({"type": "text"})).add(field(event, "delta"))

    def add_end(self, event: Any) -> None:
        self._stop_reason = field(field(event, "delta"), "stop_reason") or self._stop_reason
        self._add_usage(field(event, "usage"))
        self._complete = True

    def _start(self, message: Any) -> None:
        self._head = message
        self._add_usage(field(message, "usage"))

    def _add_usage(self, usage: Any) -> None:
        """The last event says what the whole answer used; what it leaves out stands as it was."""
        for name in _USAGE_FIELDS:
            value = field(usage, name) if usage is not None else None
            if value is not None:
                self._usage[name] = value

    def response(self) -> Response:
        usage = dict(self._usage)
        if not self._complete:
            # The first event has a placeholder here: how much was written is said at the end only.
            usage.pop("output_tokens", None)
            usage.pop("output_tokens_details", None)
        tier = "fast" if usage.get("speed") == "fast" else usage.get("service_tier")
        reason = self._stop_reason
        return Response(
            id=text(self._head, "id"),
            model=self.billed_model or text(self._head, "model"),
            finish_reasons=[reason] if isinstance(reason, str) else (),
            usage=read_usage(usage) if usage else None,
            service_tier=tier if isinstance(tier, str) else None,
            # As the ledger prices it: `fast` is a speed, beside the standard tier.
            attributes={names.ANTHROPIC_RESPONSE_SERVICE_TIER: tier} if isinstance(tier, str) else {},
            output_messages=self._message,
        )

    def _message(self) -> list[Message]:
        if not self._content or self._head is None:
            return []
        blocks = [self._blocks[index].part() for index in sorted(self._blocks)]
        message: Message = {
            "role": "assistant",
            "parts": blocks if self._whole is None else parts(self._whole),
        }
        if self._stop_reason:
            message["finish_reason"] = FINISH_REASONS.get(self._stop_reason, self._stop_reason)
        return [message]


_USAGE_FIELDS = (
    "input_tokens",
    "output_tokens",
    "output_tokens_details",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation",
    "server_tool_use",
    "service_tier",
    "speed",
    "iterations",
)
_EVENT_READERS: dict[Any, Callable[[MessageAccumulator, Any], None]] = {
    "message": MessageAccumulator.add_whole,
    "message_start": MessageAccumulator.add_start,
    "content_block_start": MessageAccumulator.add_block,
    "content_block_delta": MessageAccumulator.add_piece,
    "message_delta": MessageAccumulator.add_end,
}
