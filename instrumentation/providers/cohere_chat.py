"""Cohere's protocol, versions 1 and 2: request parameters, messages, answers whole or in events."""

from collections.abc import Iterable
from typing import Any

from opentelemetry.util.types import AttributeValue

from spanledger.instrumentation.calls import Message, Response, Usage
from spanledger.instrumentation.content import media_part, text_part, tool_call_part, tool_response_part
from spanledger.instrumentation.providers.endpoints import Json, count, double
from spanledger.instrumentation.providers.tool_calls import ToolCalls
from spanledger.instrumentation.reading import field, items
from spanledger.schemas import attributes as names

# Attribute, then the request parameter that fills it.
_PARAMETERS = {
    names.REQUEST_MAX_TOKENS: "max_tokens",
    names.REQUEST_TEMPERATURE: "temperature",
    names.REQUEST_TOP_P: "p",
    names.REQUEST_TOP_K: "k",
    names.REQUEST_SEED: "seed",
    names.REQUEST_STOP_SEQUENCES: "stop_sequences",
    names.REQUEST_FREQUENCY_PENALTY: "frequency_penalty",
    names.REQUEST_PRESENCE_PENALTY: "presence_penalty",
}
_DOUBLES = {
    names.REQUEST_TEMPERATURE,
    names.REQUEST_TOP_P,
    names.REQUEST_FREQUENCY_PENALTY,
    names.REQUEST_PRESENCE_PENALTY,
}
_FINISH_REASONS = {
    "complete": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "error": "error",
    "error_toxic": "content_filter",
    "error_limit": "length",
    "tool_call": "tool_call",
}
_ROLES = {"CHATBOT": "assistant", "USER": "user", "SYSTEM": "system", "TOOL": "tool"}


def request_attributes(body: Json) -> dict[str, AttributeValue | None]:
    found: dict[str, AttributeValue | None] = {}
    for attribute, parameter in _PARAMETERS.items():
        value = body.get(parameter)
        found[attribute] = double(value) if attribute in _DOUBLES else value
    generations = body.get("num_generations")
    found[names.REQUEST_CHOICE_COUNT] = generations if generations != 1 else None
    kind = field(body.get("response_format"), "type")
    found[names.OUTPUT_TYPE] = {"json_object": "json", "text": "text"}.get(str(kind))
    return found


def embed_attributes(body: Json) -> dict[str, AttributeValue | None]:
    types = list(items(body.get("embedding_types")))
    return {
        names.EMBEDDINGS_DIMENSION_COUNT: body.get("output_dimension"),
        names.REQUEST_ENCODING_FORMATS: types or None,
    }


def no_attributes(_body: Json) -> dict[str, AttributeValue | None]:
    return {}


def input_messages(body: Json) -> list[Message]:
    """Messages of version 2, or the history and the message of version 1."""
    if body.get("messages") is not None:
        return [_message(message) for message in items(body.get("messages"))]
    found = [_message_of_v1(message) for message in items(body.get("chat_history"))]
    text = body.get("message") or body.get("prompt")
    if text:
        found.append({"role": "user", "parts": [text_part(text)]})
    results = _results_of_v1(body.get("tool_results"))
    return [*found, {"role": "tool", "parts": results}] if results else found


def system_instructions(body: Json) -> list[Message]:
    preamble = body.get("preamble")
    return [text_part(preamble)] if preamble else []


def tool_definitions(body: Json) -> list[Message]:
    return [_definition(tool) for tool in items(body.get("tools"))]


def _definition(tool: Any) -> Message:
    """Version 2 has a function inside, version 1 is one itself."""
    described = field(tool, "function") or tool
    parts = {name: field(described, name) for name in ("name", "description", "parameters")}
    if parts["parameters"] is None:
        parts["parameters"] = field(tool, "parameter_definitions")
    return {"type": "function", **{name: value for name, value in parts.items() if value is not None}}


def embedded_texts(body: Json) -> list[Message]:
    """Texts, images, and inputs that hold both."""
    found = [{"role": "user", "parts": [text_part(text)]} for text in items(body.get("texts"))]
    images = [media_part("image", str(image)) for image in items(body.get("images"))]
    found.extend({"role": "user", "parts": [image]} for image in images)
    inputs = [_content(field(entry, "content")) for entry in items(body.get("inputs"))]
    return [*found, *({"role": "user", "parts": parts} for parts in inputs)]


def reranked_texts(body: Json) -> list[Message]:
    """The query, then the documents as further parts."""
    documents = [text_part(_text_of(document)) for document in items(body.get("documents"))]
    return [{"role": "user", "parts": [text_part(body.get("query") or ""), *documents]}]


def _text_of(document: Any) -> Any:
    return document if isinstance(document, str) else field(document, "text") or document


def _message(message: Any) -> Message:
    role = field(message, "role") or "user"
    content = field(message, "content")
    if role == "tool":
        texts = [_of_tool(part) for part in items(content)]
        answer = texts[0] if len(texts) == 1 else texts or content
        return {"role": role, "parts": [tool_response_part(field(message, "tool_call_id"), answer)]}
    return {"role": role, "parts": [*_plan(message), *_content(content), *_calls(message)]}


def _of_tool(part: Any) -> Any:
    if isinstance(part, str):
        return part
    return field(part, "text") or field(field(part, "document"), "data") or part


def _plan(message: Any) -> list[Message]:
    plan = field(message, "tool_plan")
    return [{"type": "reasoning", "content": plan}] if plan else []


def _content(content: Any) -> list[Message]:
    if isinstance(content, str):
        return [text_part(content)] if content else []
    return [_part(part) for part in items(content)]


def _part(part: Any) -> Message:
    kind = str(field(part, "type"))
    held = field(part, kind)
    if kind == "text":
        return text_part(held or "")
    if kind == "thinking":
        return {"type": "reasoning", "content": held or ""}
    address = held if isinstance(held, str) else field(held, "url")
    if kind == "image_url" and address:
        return media_part("image", address)
    return {"type": kind, "content": held}


def _calls(message: Any) -> Iterable[Message]:
    for call in items(field(message, "tool_calls")):
        function = field(call, "function") or {}
        yield tool_call_part(field(call, "id"), field(function, "name"), field(function, "arguments"))


def _message_of_v1(message: Any) -> Message:
    role = str(field(message, "role") or "USER")
    text = field(message, "message")
    parts = [text_part(text)] if text else []
    parts.extend(_calls_of_v1(field(message, "tool_calls")))
    parts.extend(_results_of_v1(field(message, "tool_results")))
    return {"role": _ROLES.get(role.upper(), role.lower()), "parts": parts}


def _calls_of_v1(calls: Any) -> list[Message]:
    return [tool_call_part(None, field(call, "name"), field(call, "parameters")) for call in items(calls)]


def _results_of_v1(results: Any) -> list[Message]:
    return [tool_response_part(None, field(result, "outputs")) for result in items(results)]


def read_usage(told: Any) -> Usage | None:
    """Billed units where they are told: these are what the price list means; otherwise the tokens."""
    billed, tokens = field(told, "billed_units"), field(told, "tokens")
    inputs, outputs = count(billed, "input_tokens"), count(billed, "output_tokens")
    if inputs is None and outputs is None:
        inputs, outputs = count(tokens, "input_tokens"), count(tokens, "output_tokens")
    if inputs is None and outputs is None:
        return None
    # Cached tokens are counted of all tokens, of which fewer may have been billed.
    cached = count(told, "cached_tokens")
    within = cached if cached is not None and inputs is not None and cached <= inputs else None
    return Usage(input=inputs, output=outputs, cache_read=within)


def _reason(reason: Any) -> str | None:
    return reason.lower() if isinstance(reason, str) and reason else None


class _Answer:
    """What both versions come to: head, reason, usage, and the parts of one message."""

    def __init__(self, content: bool) -> None:  # noqa: FBT001 - called through the table of endpoints
        self._content = content
        self._id: str | None = None
        self._model: str | None = None
        self._reasons: list[str] = []
        self._usage: Usage | None = None
        self._parts: list[Message] = []
        self._calls = ToolCalls()

    def response(self) -> Response:
        return Response(
            id=self._id,
            model=self._model,
            finish_reasons=self._reasons,
            usage=self._usage,
            output_messages=self._messages,
        )

    def _messages(self) -> list[Message]:
        parts = [*self._parts, *self._calls.parts()]
        if not self._content or not parts:
            return []
        message: Message = {"role": "assistant", "parts": parts}
        if self._reasons:
            reason = self._reasons[0]
            message["finish_reason"] = _FINISH_REASONS.get(reason, reason)
        return [message]

    def _add_text(self, kind: str, text: Any) -> None:
        if not self._content or not text:
            return
        last = self._parts[-1] if self._parts else {}
        if last.get("type") == kind:
            last["content"] += text
        else:
            self._parts.append({"type": kind, "content": text})

    def _add_reason(self, reason: Any) -> None:
        found = _reason(reason)
        self._reasons = [found] if found else self._reasons


class ChatAccumulator(_Answer):
    """`v2/chat`: one answer, from its events or from the whole."""

    def add(self, event: Any) -> None:
        kind = event.get("type")
        self._id = event.get("id") or self._id
        self._model = event.get("model") or self._model
        if kind is None:
            self._add_whole(event)
            return
        delta = event.get("delta")
        if kind == "message-end":
            self._add_reason(field(delta, "finish_reason"))
            self._usage = read_usage(field(delta, "usage")) or self._usage
            if field(delta, "error"):
                self._reasons = ["error"]
        elif self._content:
            self._add_delta(field(delta, "message"), event.get("index"))

    def _add_whole(self, answer: Any) -> None:
        self._add_reason(answer.get("finish_reason"))
        self._usage = read_usage(answer.get("usage"))
        if self._content:
            message = answer.get("message")
            self._parts = [*_plan(message), *_content(field(message, "content"))]
            for call in items(field(message, "tool_calls")):
                self._calls.add(call)

    def _add_delta(self, message: Any, index: Any) -> None:
        self._add_text("reasoning", field(message, "tool_plan"))
        content, call = field(message, "content"), field(message, "tool_calls")
        self._add_text("reasoning", field(content, "thinking"))
        self._add_text("text", field(content, "text"))
        if isinstance(call, dict):
            self._calls.add(call, index)


class ChatV1Accumulator(_Answer):
    """`v1/chat`: one answer, from its events or from the whole."""

    def add(self, event: Any) -> None:
        kind = event.get("event_type")
        self._id = event.get("response_id") or event.get("generation_id") or self._id
        if kind is None:
            self._add_whole(event)
        elif kind == "stream-end":
            whole = event.get("response") or {}
            self._id = whole.get("response_id") or whole.get("generation_id") or self._id
            # The last event repeats the whole answer.
            self._parts = []
            self._add_whole({"finish_reason": event.get("finish_reason"), **whole})
        elif kind == "text-generation":
            self._add_text("text", event.get("text"))

    def _add_whole(self, answer: Any) -> None:
        self._add_reason(answer.get("finish_reason"))
        self._usage = read_usage(answer.get("meta")) or self._usage
        if self._content:
            self._add_text("text", answer.get("text"))
            self._parts.extend(_calls_of_v1(answer.get("tool_calls")))


class GenerateAccumulator(_Answer):
    """`v1/generate`: the texts of all generations, from events or from the whole."""

    def add(self, event: Any) -> None:
        if event.get("event_type") == "text-generation" or event.get("text"):
            self._add_text("text", event.get("text"))
            return
        whole = event.get("response") or event
        self._id = whole.get("id") or self._id
        self._usage = read_usage(whole.get("meta")) or self._usage
        self._add_reason(event.get("finish_reason"))
        if self._content and whole.get("generations"):
            self._parts = [text_part(field(one, "text") or "") for one in items(whole.get("generations"))]


class BilledAccumulator:
    """Embeddings and rerankings: what was billed; vectors and scores are never kept."""

    def __init__(self, _content: bool) -> None:  # noqa: FBT001 - called through the table of endpoints
        self._answer: Json = {}

    def add(self, answer: Any) -> None:
        self._answer = answer

    def response(self) -> Response:
        meta = self._answer.get("meta")
        billed = field(meta, "billed_units")
        searches, told = count(billed, "search_units"), read_usage(meta)
        return Response(
            id=self._answer.get("id"),
            usage=Usage(input=told.input) if told is not None else None,
            attributes={names.USAGE_SEARCH_UNITS: searches} if searches is not None else {},
        )
