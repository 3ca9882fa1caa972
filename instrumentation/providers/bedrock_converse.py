"""Bedrock's Converse: request parameters, content blocks, and answers whole or in events.

Amazon's own models take and give the same bodies through InvokeModel.
"""

from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry.util.types import AttributeValue

from spanledger.instrumentation.calls import Message, Response, Usage
from spanledger.instrumentation.content import text_part, to_json, tool_call_part, tool_response_part
from spanledger.instrumentation.providers.anthropic_messages import FINISH_REASONS, count, text
from spanledger.instrumentation.providers.bedrock_models import model_of
from spanledger.instrumentation.reading import field, items
from spanledger.schemas import attributes as names

_FINISH_REASONS = {
    **FINISH_REASONS,
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}
_EVENTS = ("messageStart", "contentBlockStart", "contentBlockDelta", "messageStop", "metadata")
_MEDIA = {"image": "image", "document": "document", "video": "video", "audio": "audio"}
_MIME_KINDS = {"image": "image", "document": "application", "video": "video", "audio": "audio"}


def is_converse(chunk: Any) -> bool:
    """Whether an answer or an event has this form."""
    return field(field(chunk, "output"), "message") is not None or any(
        field(chunk, name) is not None for name in _EVENTS
    )


def request_attributes(body: Mapping[str, Any]) -> dict[str, AttributeValue | None]:
    given = body.get("inferenceConfig") or {}
    more = body.get("additionalModelRequestFields") or {}
    output = body.get("outputConfig") or {}
    stops = [str(stop) for stop in items(field(given, "stopSequences"))]
    return {
        names.REQUEST_MAX_TOKENS: count(given, "maxTokens"),
        names.REQUEST_TEMPERATURE: number(given, "temperature"),
        names.REQUEST_TOP_P: number(given, "topP"),
        names.REQUEST_TOP_K: count(given, "topK") or count(more, "top_k"),
        names.REQUEST_STOP_SEQUENCES: stops or None,
        names.REQUEST_REASONING_LEVEL: text(output, "effort"),
        names.OUTPUT_TYPE: "json" if field(field(output, "textFormat"), "type") == "json_schema" else None,
    }


def number(values: Any, name: str) -> float | None:
    value = field(values, name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def system_instructions(body: Mapping[str, Any]) -> list[Message]:
    return [text_part(block["text"]) for block in items(body.get("system")) if field(block, "text")]


def input_messages(body: Mapping[str, Any]) -> list[Message]:
    return [
        {"role": field(message, "role") or "user", "parts": parts(field(message, "content"))}
        for message in items(body.get("messages"))
    ]


def tool_definitions(body: Mapping[str, Any]) -> list[Message]:
    tools = items(field(body.get("toolConfig") or {}, "tools"))
    return [_definition(tool) for tool in tools if field(tool, "toolSpec") or field(tool, "systemTool")]


def _definition(tool: Any) -> Message:
    spec = field(tool, "toolSpec")
    if not spec:
        return {"type": "system", "name": field(field(tool, "systemTool"), "name")}
    described = {
        "name": field(spec, "name"),
        "description": field(spec, "description"),
        "parameters": field(field(spec, "inputSchema"), "json"),
    }
    return {"type": "function", **{name: value for name, value in described.items() if value is not None}}


def parts(content: Any) -> list[Message]:
    """Blocks as parts in the order they were given; a tool's pictures follow its answer."""
    if isinstance(content, str):
        return [text_part(content)] if content else []
    return [part for block in items(content) for part in _parts_of(block)]


def _parts_of(block: Any) -> list[Message]:
    for kind, reader in _READERS.items():
        held = field(block, kind)
        if held is not None:
            return reader(held)
    # A point of the cache is nothing that was said.
    return [{"type": kind} for kind in (block if isinstance(block, Mapping) else ()) if kind != "cachePoint"]


def _media(kind: str) -> Callable[[Any], list[Message]]:
    def read(held: Any) -> list[Message]:
        source, form = field(held, "source") or {}, field(held, "format")
        mime_type = f"{_MIME_KINDS[kind]}/{form}" if form else None
        if field(source, "text"):
            return [text_part(field(source, "text"))]
        if field(source, "content"):
            return parts(field(source, "content"))
        location = field(field(source, "s3Location"), "uri")
        described: Message = {"modality": _MEDIA[kind], "mime_type": mime_type}
        if location:
            return [{"type": "uri", **described, "uri": location}]
        return [{"type": "blob", **described, "content": field(source, "bytes")}]

    return read


def _tool_use(held: Any) -> list[Message]:
    return [tool_call_part(field(held, "toolUseId"), field(held, "name"), field(held, "input"))]


def _tool_result(held: Any) -> list[Message]:
    content = [block for block in items(field(held, "content")) if isinstance(block, Mapping)]
    answers = [
        block.get("text") or to_json(block["json"]) for block in content if {"text", "json"} & block.keys()
    ]
    others = [block for block in content if not {"text", "json"} & block.keys()]
    return [tool_response_part(field(held, "toolUseId"), "".join(answers)), *parts(others)]


def _reasoning(held: Any) -> list[Message]:
    said = field(field(held, "reasoningText"), "text")
    return [{"type": "reasoning", "content": said} if said else {"type": "redacted_thinking"}]


def _cited(held: Any) -> list[Message]:
    said = "".join(field(piece, "text") or "" for piece in items(field(held, "content")))
    return [{**text_part(said), "citations": list(items(field(held, "citations")))}]


_READERS: dict[str, Callable[[Any], list[Message]]] = {
    "text": lambda held: [text_part(held)],
    "toolUse": _tool_use,
    "toolResult": _tool_result,
    "reasoningContent": _reasoning,
    "citationsContent": _cited,
    "guardContent": lambda held: [text_part(field(field(held, "text"), "text") or "")],
    **{kind: _media(kind) for kind in _MEDIA},
}


def read_usage(usage: Any) -> Usage | None:
    """Counts as reported. Bedrock's input leaves out what the cache gave or kept; ours includes it."""
    if not usage:
        return None
    # InvokeModel gives the counts of the cache another name.
    read, write = (
        next((found for name in given if (found := count(usage, name)) is not None), None)
        for given in (
            ("cacheReadInputTokens", "cacheReadInputTokenCount"),
            ("cacheWriteInputTokens", "cacheWriteInputTokenCount"),
        )
    )
    fresh, output = count(usage, "inputTokens"), count(usage, "outputTokens")
    if fresh is None and output is None:
        return None
    kept = {field(entry, "ttl"): count(entry, "inputTokens") for entry in items(field(usage, "cacheDetails"))}
    units = {f"cache_write_{ttl}_tokens": kept[ttl] or 0 for ttl in ("5m", "1h") if kept.get(ttl)}
    return Usage(
        input=None if fresh is None else fresh + (read or 0) + (write or 0),
        output=output,
        cache_read=read,
        cache_write=write,
        units=units if sum(units.values()) <= (write or 0) else {},
    )


class _Block:
    """One content block of a streamed answer, as far as it came."""

    def __init__(self) -> None:
        self.tool: Any = None
        self.pieces: list[str] = []
        self.kind = "text"

    def add(self, delta: Any) -> None:
        tool, reasoning = field(delta, "toolUse"), field(delta, "reasoningContent")
        if tool is not None:
            self.pieces.append(field(tool, "input") or "")
        elif reasoning is not None:
            self.kind = "reasoning"
            self.pieces.append(field(reasoning, "text") or "")
        else:
            self.pieces.append(field(delta, "text") or "")

    def part(self) -> Message:
        said = "".join(self.pieces)
        if self.tool is not None:
            return tool_call_part(field(self.tool, "toolUseId"), field(self.tool, "name"), said)
        return {"type": self.kind, "content": said}


class ConverseAccumulator:
    """One answer, from its events or from the whole; without `content` it keeps no text."""

    def __init__(self, content: bool) -> None:  # noqa: FBT001 - as the accumulators of other providers
        self._content = content
        self._usage: Usage | None = None
        self._stop_reason: str | None = None
        self._tier: str | None = None
        self._model: str | None = None
        self._whole: Any = None
        self._blocks: dict[Any, _Block] = {}

    def add(self, chunk: Any) -> None:
        """A whole answer, or one event of a stream."""
        for name, reader in _EVENT_READERS.items():
            held = field(chunk, name)
            if held is not None:
                reader(self, held)
                return
        self._stop_reason = text(chunk, "stopReason") or self._stop_reason
        self.add_metadata(chunk)
        if self._content:
            self._whole = field(field(field(chunk, "output"), "message"), "content")

    def add_start(self, event: Any) -> None:
        self._block(event).tool = field(field(event, "start"), "toolUse")

    def add_delta(self, event: Any) -> None:
        if self._content:
            self._block(event).add(field(event, "delta"))

    def add_stop(self, event: Any) -> None:
        self._stop_reason = text(event, "stopReason") or self._stop_reason

    def add_metadata(self, held: Any) -> None:
        self._usage = read_usage(field(held, "usage")) or self._usage
        self._tier = text(field(held, "serviceTier"), "type") or self._tier
        # A router says in its trace to whom it handed the call.
        routed = text(field(field(held, "trace"), "promptRouter"), "invokedModelId")
        self._model = model_of(routed) or self._model

    def _block(self, event: Any) -> _Block:
        return self._blocks.setdefault(field(event, "contentBlockIndex"), _Block())

    def response(self) -> Response:
        return Response(
            model=self._model,
            finish_reasons=[self._stop_reason] if self._stop_reason else (),
            usage=self._usage,
            service_tier=self._tier,
            attributes={names.BEDROCK_RESPONSE_SERVICE_TIER: self._tier} if self._tier else {},
            output_messages=self._message,
        )

    def _message(self) -> list[Message]:
        if not self._content:
            return []
        streamed = [self._blocks[index].part() for index in sorted(self._blocks)]
        message: Message = {
            "role": "assistant",
            "parts": streamed if self._whole is None else parts(self._whole),
        }
        if self._stop_reason:
            message["finish_reason"] = _FINISH_REASONS.get(self._stop_reason, self._stop_reason)
        return [message]


_EVENT_READERS: dict[str, Callable[[ConverseAccumulator, Any], None]] = {
    "messageStart": lambda _accumulator, _event: None,
    "contentBlockStart": ConverseAccumulator.add_start,
    "contentBlockDelta": ConverseAccumulator.add_delta,
    "contentBlockStop": lambda _accumulator, _event: None,
    "messageStop": ConverseAccumulator.add_stop,
    "metadata": ConverseAccumulator.add_metadata,
}
