"""Mistral's protocol: request parameters, messages, and answers whole or in chunks."""

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
from spanledger.instrumentation.providers.endpoints import Json, count, double, tier_attributes
from spanledger.instrumentation.providers.tool_calls import ToolCalls
from spanledger.instrumentation.reading import field, items
from spanledger.schemas import attributes as names

# Attribute, then the request parameter that fills it.
_PARAMETERS = {
    names.REQUEST_MAX_TOKENS: "max_tokens",
    names.REQUEST_TEMPERATURE: "temperature",
    names.REQUEST_TOP_P: "top_p",
    names.REQUEST_TOP_K: "top_k",
    names.REQUEST_SEED: "random_seed",
    names.REQUEST_FREQUENCY_PENALTY: "frequency_penalty",
    names.REQUEST_PRESENCE_PENALTY: "presence_penalty",
    names.REQUEST_REASONING_LEVEL: "reasoning_effort",
}
_DOUBLES = {
    names.REQUEST_TEMPERATURE,
    names.REQUEST_TOP_P,
    names.REQUEST_FREQUENCY_PENALTY,
    names.REQUEST_PRESENCE_PENALTY,
}
_OUTPUT_TYPES = {"json_object": "json", "json_schema": "json", "text": "text"}
_FINISH_REASONS = {"tool_calls": "tool_call", "model_length": "length"}


def request_attributes(body: Json) -> dict[str, AttributeValue | None]:
    found: dict[str, AttributeValue | None] = {}
    for attribute, parameter in _PARAMETERS.items():
        value = body.get(parameter)
        found[attribute] = double(value) if attribute in _DOUBLES else value
    stop, choices = body.get("stop"), body.get("n")
    found[names.REQUEST_STOP_SEQUENCES] = [stop] if isinstance(stop, str) else stop
    found[names.REQUEST_CHOICE_COUNT] = choices if choices != 1 else None
    found[names.OUTPUT_TYPE] = _OUTPUT_TYPES.get(str(field(body.get("response_format"), "type")))
    return found


def embed_attributes(body: Json) -> dict[str, AttributeValue | None]:
    encoding = body.get("encoding_format")
    return {
        names.EMBEDDINGS_DIMENSION_COUNT: body.get("output_dimension"),
        names.REQUEST_ENCODING_FORMATS: [encoding] if isinstance(encoding, str) else None,
    }


def no_attributes(_body: Json) -> dict[str, AttributeValue | None]:
    return {}


def input_messages(body: Json) -> list[Message]:
    return [_input_message(message) for message in items(body.get("messages"))]


def prompt_of_fim(body: Json) -> list[Message]:
    """The code before the gap, and what stands behind it."""
    parts = [text_part(body[name]) for name in ("prompt", "suffix") if body.get(name)]
    return [{"role": "user", "parts": parts}]


def embedded_texts(body: Json) -> list[Message]:
    texts = body.get("input")
    held = [texts] if isinstance(texts, str) else items(texts)
    return [{"role": "user", "parts": [text_part(text)]} for text in held]


def document_of_ocr(body: Json) -> list[Message]:
    return [{"role": "user", "parts": [_part(body.get("document"))]}]


def tool_definitions(body: Json) -> list[Message]:
    return [_definition(tool) for tool in items(body.get("tools"))]


def _definition(tool: Any) -> Message:
    kind = field(tool, "type") or "function"
    described = field(tool, kind) or {}
    parts = {name: field(described, name) for name in ("name", "description", "parameters")}
    return {"type": kind, **{name: value for name, value in parts.items() if value is not None}}


def _input_message(message: Any) -> Message:
    role = field(message, "role") or "user"
    if role != "tool":
        return {"role": role, "parts": _parts(message)}
    content = field(message, "content")
    texts = [field(part, "text") for part in items(content)]
    answer = "".join(filter(None, texts)) or content
    return {"role": role, "parts": [tool_response_part(field(message, "tool_call_id"), answer)]}


def _parts(message: Any) -> list[Message]:
    parts = _content(field(message, "content"))
    for call in items(field(message, "tool_calls")):
        function = field(call, "function") or {}
        parts.append(tool_call_part(field(call, "id"), field(function, "name"), field(function, "arguments")))
    return parts


def _content(content: Any) -> list[Message]:
    if isinstance(content, str):
        return [text_part(content)] if content else []
    return [_part(part) for part in items(content)]


def _part(part: Any) -> Message:
    """One chunk of a content; an address may stand alone or in an object."""
    kind = str(field(part, "type"))
    held = field(part, kind)
    address = held if isinstance(held, str) else field(held, "url")
    if kind == "text":
        return text_part(field(part, "text"))
    if kind == "thinking":
        thoughts = [field(thought, "text") for thought in items(held)]
        return {"type": "reasoning", "content": "".join(filter(None, thoughts)) or str(held or "")}
    if kind in {"image_url", "document_url"} and address:
        return media_part(kind.partition("_")[0], address)
    if kind == "input_audio" and isinstance(held, str):
        return media_part("audio", held) if "://" in held else blob_part("audio", None, held)
    if kind == "file":
        return {"type": "file", "modality": "document", "file_id": field(part, "file_id")}
    return {"type": kind, "content": held}


def read_usage(usage: Any) -> Usage | None:
    if not usage:
        return None
    details, seconds = usage.get("prompt_tokens_details"), usage.get("prompt_audio_seconds")
    units: dict[str, Any] = {"audio_seconds": seconds} if isinstance(seconds, int | float) else {}
    return Usage(
        input=count(usage, "prompt_tokens"),
        output=count(usage, "completion_tokens"),
        cache_read=count(details, "cached_tokens"),
        reasoning=count(usage.get("completion_tokens_details"), "reasoning_tokens"),
        units=units,
    )


class _Choice:
    """One choice of the answer as far as it came."""

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self.parts: list[Message] = []
        self.calls = ToolCalls()

    def add(self, message: Any) -> None:
        for part in _content(field(message, "content")):
            last = self.parts[-1] if self.parts else {}
            if part["type"] in {"text", "reasoning"} and last.get("type") == part["type"]:
                last["content"] += part["content"]
            else:
                self.parts.append(part)
        for position, call in enumerate(items(field(message, "tool_calls"))):
            index = field(call, "index")
            self.calls.add(call, position if index is None else index)

    def message(self) -> Message:
        message: Message = {"role": "assistant", "parts": [*self.parts, *self.calls.parts()]}
        if self.finish_reason:
            message["finish_reason"] = _FINISH_REASONS.get(self.finish_reason, self.finish_reason)
        return message


class ChatAccumulator:
    """One answer, from its chunks or from the whole; without `content` it keeps no text."""

    def __init__(self, content: bool) -> None:  # noqa: FBT001 - called through the table of endpoints
        self._content = content
        self._head: dict[str, Any] = {}
        self._usage: Usage | None = None
        self._tier: str | None = None
        self._choices: dict[int, _Choice] = {}

    def add(self, chunk: Any) -> None:
        for name in ("id", "model"):
            self._head[name] = chunk.get(name) or self._head.get(name)
        usage = chunk.get("usage") or {}
        self._usage = read_usage(usage) or self._usage
        self._tier = usage.get("service_tier") or self._tier
        for position, choice in enumerate(items(chunk.get("choices"))):
            index = field(choice, "index")
            found = self._choices.setdefault(position if index is None else index, _Choice())
            found.finish_reason = field(choice, "finish_reason") or found.finish_reason
            if self._content:
                found.add(field(choice, "message") or field(choice, "delta"))

    def response(self) -> Response:
        choices = [self._choices[index] for index in sorted(self._choices)]
        return Response(
            id=self._head.get("id"),
            model=self._head.get("model"),
            finish_reasons=[choice.finish_reason for choice in choices if choice.finish_reason],
            usage=self._usage,
            service_tier=self._tier,
            attributes=tier_attributes(self._tier),
            output_messages=lambda: [choice.message() for choice in choices] if self._content else [],
        )


class EmbedAccumulator:
    """Embeddings: their usage, never their vectors."""

    def __init__(self, _content: bool) -> None:  # noqa: FBT001 - called through the table of endpoints
        self._answer: Json = {}

    def add(self, answer: Any) -> None:
        self._answer = answer

    def response(self) -> Response:
        told = read_usage(self._answer.get("usage"))
        usage = Usage(input=told.input, cache_read=told.cache_read) if told else None
        return Response(id=self._answer.get("id"), model=self._answer.get("model"), usage=usage)


class OcrAccumulator:
    """Pages read from a document; annotated ones have a price of their own besides."""

    def __init__(self, content: bool) -> None:  # noqa: FBT001 - called through the table of endpoints
        self._content = content
        self._answer: Json = {}

    def add(self, answer: Any) -> None:
        self._answer = answer

    def response(self) -> Response:
        pages = count(self._answer.get("usage_info"), "pages_processed")
        units = {"input_document_pages": pages} if pages is not None else {}
        if pages is not None and self._answer.get("document_annotation"):
            units["input_annotated_document_pages"] = pages
        return Response(
            model=self._answer.get("model"),
            usage=Usage(units=units) if units else None,
            output_messages=self._messages,
        )

    def _messages(self) -> list[Message]:
        if not self._content:
            return []
        pages = [field(page, "markdown") for page in items(self._answer.get("pages"))]
        return [{"role": "assistant", "parts": [text_part(page) for page in pages if page]}]
