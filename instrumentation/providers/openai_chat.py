"""Chat completions of OpenAI's protocol: request parameters, messages, and answers whole or in chunks."""

from collections.abc import Callable, Iterable, Mapping
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

# Attribute, then the request parameters that fill it, the newer name first.
_PARAMETERS = {
    names.REQUEST_MAX_TOKENS: ("max_completion_tokens", "max_tokens"),
    names.REQUEST_TEMPERATURE: ("temperature",),
    names.REQUEST_TOP_P: ("top_p",),
    names.REQUEST_SEED: ("seed",),
    names.REQUEST_FREQUENCY_PENALTY: ("frequency_penalty",),
    names.REQUEST_PRESENCE_PENALTY: ("presence_penalty",),
    names.REQUEST_REASONING_LEVEL: ("reasoning_effort",),
    names.USER_ID: ("safety_identifier", "user"),
}
# The conventions want doubles here; a user may well pass 0 or 1.
_DOUBLES = {
    names.REQUEST_TEMPERATURE,
    names.REQUEST_TOP_P,
    names.REQUEST_FREQUENCY_PENALTY,
    names.REQUEST_PRESENCE_PENALTY,
}
# Where DeepSeek and a few others tell what was read from the cache.
_CACHED = ("prompt_cache_hit_tokens", "cached_tokens")
# Where other providers than OpenAI put what the model thought.
_THOUGHTS = ("reasoning_content", "reasoning")
_FINISH_REASONS = {"tool_calls": "tool_call", "function_call": "tool_call"}


def request_attributes(body: Mapping[str, Any]) -> dict[str, AttributeValue | None]:
    found = {attribute: parameter(body, attribute, given) for attribute, given in _PARAMETERS.items()}
    stop, choices, tier = body.get("stop"), body.get("n"), body.get("service_tier")
    found[names.REQUEST_STOP_SEQUENCES] = [stop] if isinstance(stop, str) else stop
    found[names.REQUEST_CHOICE_COUNT] = choices if choices != 1 else None
    found[names.OPENAI_REQUEST_SERVICE_TIER] = tier if tier != "auto" else None
    found[names.OUTPUT_TYPE] = _output_type(body)
    return found


def parameter(body: Mapping[str, Any], attribute: str, given: Iterable[str]) -> AttributeValue | None:
    """The first of the request's parameters that is given, in the type of its attribute."""
    value = next((body[name] for name in given if body.get(name) is not None), None)
    is_number = isinstance(value, int | float) and attribute in _DOUBLES
    return float(value) if is_number else value  # type: ignore[arg-type]


def _output_type(body: Mapping[str, Any]) -> str | None:
    if "audio" in items(body.get("modalities")):
        return "speech"
    kind = field(body.get("response_format") or {}, "type")
    return {"json_schema": "json", "json_object": "json", "text": "text"}.get(kind)


def tool_definitions(body: Mapping[str, Any]) -> list[Message]:
    return [_definition(tool) for tool in items(body.get("tools"))]


def _definition(tool: Any) -> Message:
    kind = field(tool, "type") or "function"
    described = field(tool, kind) or {}
    parts = {name: field(described, name) for name in ("name", "description", "parameters")}
    return {"type": kind, **{name: value for name, value in parts.items() if value is not None}}


def input_messages(body: Mapping[str, Any]) -> list[Message]:
    return [_input_message(message) for message in items(body.get("messages"))]


def _input_message(message: Any) -> Message:
    role = field(message, "role") or "user"
    parts = _tool_response(message) if role == "tool" else _parts(message)
    name = field(message, "name")
    return {"role": role, "parts": parts, **({"name": name} if name else {})}


def _tool_response(message: Any) -> list[Message]:
    content = field(message, "content")
    texts = [field(part, "text") for part in items(content)]
    return [tool_response_part(field(message, "tool_call_id"), "".join(filter(None, texts)) or content)]


def _parts(message: Any) -> list[Message]:
    """The parts of one message of the user or the model, in the order they were given."""
    content = field(message, "content")
    if isinstance(content, str):
        parts = [text_part(content)] if content else []
    else:
        parts = [_part(part) for part in items(content)]
    if _thought(message):
        parts.insert(0, {"type": "reasoning", "content": _thought(message)})
    refusal = field(message, "refusal")
    if refusal:
        parts.append({"type": "refusal", "content": refusal})
    parts.extend(_tool_call(call) for call in items(field(message, "tool_calls")))
    function = field(message, "function_call")
    if function:
        parts.append(tool_call_part(None, field(function, "name"), field(function, "arguments")))
    return parts


def _thought(message: Any) -> str:
    found = next((field(message, name) for name in _THOUGHTS if field(message, name)), "")
    return found if isinstance(found, str) else ""


def _tool_call(call: Any) -> Message:
    called = field(call, "function") or field(call, "custom") or {}
    arguments = field(called, "arguments")
    if arguments is None:
        arguments = field(called, "input")
    return tool_call_part(field(call, "id"), field(called, "name"), arguments)


def _part(part: Any) -> Message:
    if isinstance(part, str):
        return text_part(part)
    kind = str(field(part, "type"))
    held = field(part, kind)
    reader = _PART_READERS.get(kind)
    return reader(held) if reader else {"type": kind, "content": held}


def _file_part(file: Any) -> Message:
    if field(file, "file_id"):
        return {"type": "file", "modality": "document", "file_id": field(file, "file_id")}
    return media_part("document", str(field(file, "file_data")))


_PART_READERS: dict[str, Callable[[Any], Message]] = {
    "text": text_part,
    "image_url": lambda image: media_part("image", str(field(image, "url"))),
    "input_audio": lambda audio: blob_part(
        "audio", f"audio/{field(audio, 'format')}", str(field(audio, "data"))
    ),
    "file": _file_part,
}


def read_usage(usage: Any) -> Usage | None:
    """Counts as reported; a zero for both with text in the answer is the provider's own claim."""
    if usage is None:
        return None
    inputs, outputs = field(usage, "prompt_tokens_details"), field(usage, "completion_tokens_details")
    reasoning = token_count(outputs, "reasoning_tokens")
    return Usage(
        input=token_count(usage, "prompt_tokens"),
        output=_whole_output(usage, reasoning),
        cache_read=_first_count((inputs, "cached_tokens"), *((usage, name) for name in _CACHED)),
        cache_write=token_count(inputs, "cache_write_tokens"),
        reasoning=reasoning,
        text_input=token_count(inputs, "text_tokens"),
        text_output=token_count(outputs, "text_tokens"),
        image_input=token_count(inputs, "image_tokens"),
        image_output=token_count(outputs, "image_tokens"),
        audio_input=token_count(inputs, "audio_tokens"),
        audio_output=token_count(outputs, "audio_tokens"),
    )


def _whole_output(usage: Any, reasoning: int | None) -> int | None:
    """Output with reasoning: xAI tells them apart, which the total gives away."""
    prompt, output, total = (
        token_count(usage, name) for name in ("prompt_tokens", "completion_tokens", "total_tokens")
    )
    if reasoning and output is not None and total == (prompt or 0) + output + reasoning:
        return output + reasoning
    return output


def _first_count(*places: tuple[Any, str]) -> int | None:
    counts = (token_count(counts, name) for counts, name in places)
    return next((count for count in counts if count is not None), None)


def token_count(counts: Any, name: str) -> int | None:
    value = field(counts, name) if counts is not None else None
    known = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return value if known else None


class _Choice:
    """One choice of the answer as far as it came."""

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self.text: list[str] = []
        self.refusal: list[str] = []
        self.thoughts: list[str] = []
        self.calls: dict[Any, dict[str, Any]] = {}
        self.whole: Any = None

    def add_delta(self, delta: Any) -> None:
        if field(delta, "content"):
            self.text.append(field(delta, "content"))
        if _thought(delta):
            self.thoughts.append(_thought(delta))
        if field(delta, "refusal"):
            self.refusal.append(field(delta, "refusal"))
        for position, call in enumerate(items(field(delta, "tool_calls"))):
            self._add_call(call, position)

    def _add_call(self, call: Any, position: int) -> None:
        call_id, function = field(call, "id"), field(call, "function") or {}
        found = self.calls.setdefault(
            self._slot(call, call_id, position), {"id": None, "name": None, "arguments": []}
        )
        found["id"] = found["id"] or call_id
        found["name"] = found["name"] or field(function, "name")
        if field(function, "arguments"):
            found["arguments"].append(field(function, "arguments"))

    def _slot(self, call: Any, call_id: str | None, position: int) -> Any:
        """Calls arrive interleaved and are told apart by index; some servers send only an id, once."""
        index = field(call, "index")
        if index is not None:
            return index
        if call_id is not None:
            return call_id
        return list(self.calls)[-1] if self.calls else position

    def message(self) -> Message:
        """The choice as an output message of the conventions."""
        if self.whole is not None:
            parts = _parts(self.whole)
        else:
            parts = [{"type": "reasoning", "content": "".join(self.thoughts)}] if self.thoughts else []
            parts.extend([text_part("".join(self.text))] if self.text else [])
            if self.refusal:
                parts.append({"type": "refusal", "content": "".join(self.refusal)})
            parts.extend(
                tool_call_part(call["id"], call["name"], "".join(call["arguments"]))
                for call in self.calls.values()
            )
        message: Message = {"role": "assistant", "parts": parts}
        if self.finish_reason:
            message["finish_reason"] = _FINISH_REASONS.get(self.finish_reason, self.finish_reason)
        return message


class ChatAccumulator:
    """One answer, from its chunks or from the whole; without `content` it keeps no text."""

    def __init__(self, content: bool) -> None:  # noqa: FBT001 - called through the table of endpoints
        self._content = content
        self._head: dict[str, Any] = {}
        self._usage: Usage | None = None
        self._choices: dict[int, _Choice] = {}

    def add(self, chunk: Any) -> None:
        for name in ("id", "model", "service_tier", "system_fingerprint"):
            self._head[name] = field(chunk, name) or self._head.get(name)
        # The last usage counts: some servers send a running total with every chunk.
        # Groq puts it into a field of its own.
        used = field(chunk, "usage") or field(field(chunk, "x_groq") or {}, "usage")
        self._usage = read_usage(used) or self._usage
        for position, choice in enumerate(items(field(chunk, "choices"))):
            self._add_choice(choice, position)

    def _add_choice(self, choice: Any, position: int) -> None:
        index = field(choice, "index")
        found = self._choices.setdefault(position if index is None else index, _Choice())
        found.finish_reason = field(choice, "finish_reason") or found.finish_reason
        if not self._content:
            return
        if field(choice, "message") is not None:
            found.whole = field(choice, "message")
        elif field(choice, "text"):
            found.text.append(field(choice, "text"))
        else:
            found.add_delta(field(choice, "delta"))

    def response(self) -> Response:
        choices = [self._choices[index] for index in sorted(self._choices)]
        tier = self._head.get("service_tier")
        attributes = {
            names.OPENAI_RESPONSE_SERVICE_TIER: tier,
            names.OPENAI_RESPONSE_SYSTEM_FINGERPRINT: self._head.get("system_fingerprint"),
        }
        return Response(
            id=self._head.get("id"),
            model=self._head.get("model"),
            finish_reasons=[choice.finish_reason for choice in choices if choice.finish_reason],
            usage=self._usage,
            service_tier=tier,
            attributes={key: value for key, value in attributes.items() if value is not None},
            output_messages=lambda: [choice.message() for choice in choices] if self._content else [],
        )
