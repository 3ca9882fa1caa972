"""The Responses API of OpenAI: request parameters, input and output items, and answers whole or as events."""

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
from spanledger.instrumentation.providers.openai_chat import parameter, token_count
from spanledger.instrumentation.reading import field, items
from spanledger.schemas import attributes as names

# Attribute, then where in the request it stands.
_PARAMETERS = {
    names.REQUEST_MAX_TOKENS: ("max_output_tokens",),
    names.REQUEST_TEMPERATURE: ("temperature",),
    names.REQUEST_TOP_P: ("top_p",),
    names.REQUEST_PREVIOUS_RESPONSE_ID: ("previous_response_id",),
    names.USER_ID: ("safety_identifier", "user"),
}
_OUTPUT_TYPES = {"json_schema": "json", "json_object": "json", "text": "text"}
# Nothing more comes after these; a background response is fetched until it is in one of them.
_ENDED = frozenset({"completed", "failed", "incomplete", "cancelled"})
_INCOMPLETE = {"max_output_tokens": "length", "content_filter": "content_filter"}
_TOOL_CALLS = frozenset({"function_call", "custom_tool_call"})
_OUTPUTS = frozenset({"function_call_output", "custom_tool_call_output"})


def request_attributes(body: Mapping[str, Any]) -> dict[str, AttributeValue | None]:
    found = {attribute: parameter(body, attribute, given) for attribute, given in _PARAMETERS.items()}
    tier, prompt = body.get("service_tier"), body.get("prompt") or {}
    conversation = body.get("conversation")
    found[names.REQUEST_REASONING_LEVEL] = field(body.get("reasoning") or {}, "effort")
    found[names.OPENAI_REQUEST_SERVICE_TIER] = tier if tier != "auto" else None
    found[names.OUTPUT_TYPE] = _OUTPUT_TYPES.get(field(field(body.get("text") or {}, "format") or {}, "type"))
    found[names.PROMPT_NAME] = field(prompt, "id")
    found[names.PROMPT_VERSION] = field(prompt, "version")
    found[names.CONVERSATION_ID] = (
        conversation if isinstance(conversation, str) else field(conversation or {}, "id")
    )
    return found


def system_instructions(body: Mapping[str, Any]) -> list[Message]:
    instructions = body.get("instructions")
    return [text_part(instructions)] if instructions else []


def tool_definitions(body: Mapping[str, Any]) -> list[Message]:
    return [_definition(tool) for tool in items(body.get("tools"))]


def _definition(tool: Any) -> Message:
    kind = str(field(tool, "type") or "function")
    name = field(tool, "name") or field(tool, "server_label") or kind
    parts = {part: field(tool, part) for part in ("description", "parameters")}
    return {
        "type": kind,
        "name": name,
        **{part: value for part, value in parts.items() if value is not None},
    }


def input_messages(body: Mapping[str, Any]) -> list[Message]:
    given = body.get("input")
    if isinstance(given, str):
        return [{"role": "user", "parts": [text_part(given)]}]
    return [_message(item) for item in items(given)]


def _message(item: Any) -> Message:
    kind = field(item, "type") or "message"
    if kind == "message":
        return {"role": field(item, "role") or "user", "parts": _content(field(item, "content"))}
    return {"role": "tool" if kind in _OUTPUTS else "assistant", "parts": _item_parts(item)}


def _content(content: Any) -> list[Message]:
    if isinstance(content, str):
        return [text_part(content)] if content else []
    return [_part(part) for part in items(content)]


def _part(part: Any) -> Message:
    if isinstance(part, str):
        return text_part(part)
    kind = str(field(part, "type"))
    reader = _PART_READERS.get(kind)
    return reader(part) if reader else {"type": kind}


def _image_part(part: Any) -> Message:
    url = field(part, "image_url")
    return media_part("image", str(url)) if url else _file(part, "image")


def _file_part(part: Any) -> Message:
    location = field(part, "file_data") or field(part, "file_url")
    return media_part("document", str(location)) if location else _file(part, "document")


def _file(part: Any, modality: str) -> Message:
    return {"type": "file", "modality": modality, "file_id": field(part, "file_id")}


def _audio_part(part: Any) -> Message:
    audio = field(part, "input_audio") or {}
    return blob_part("audio", f"audio/{field(audio, 'format')}", str(field(audio, "data")))


def _text_of(part: Any) -> Message:
    return text_part(field(part, "text") or "")


_PART_READERS: dict[str, Callable[[Any], Message]] = {
    "input_text": _text_of,
    "output_text": _text_of,
    "text": _text_of,
    "summary_text": _text_of,
    "reasoning_text": _text_of,
    "refusal": lambda part: {"type": "refusal", "content": field(part, "refusal")},
    "input_image": _image_part,
    "input_file": _file_part,
    "input_audio": _audio_part,
}


def _item_parts(item: Any) -> list[Message]:
    """One item of input or output as parts; an item is a message, a call, a call's result or reasoning."""
    kind = str(field(item, "type"))
    if kind == "message":
        return _content(field(item, "content"))
    if kind in _TOOL_CALLS:
        given = field(item, "arguments") if kind == "function_call" else field(item, "input")
        return [tool_call_part(field(item, "call_id"), field(item, "name"), given)]
    if kind in _OUTPUTS:
        return [tool_response_part(field(item, "call_id"), _output(field(item, "output")))]
    if kind == "reasoning":
        texts = [*items(field(item, "summary")), *items(field(item, "content"))]
        return [{"type": "reasoning", "content": field(text, "text")} for text in texts]
    if kind == "image_generation_call":
        image = field(item, "result")
        return [blob_part("image", f"image/{field(item, 'output_format') or 'png'}", image)] if image else []
    return [_server_tool_part(kind, item)]


def _output(output: Any) -> Any:
    return output if isinstance(output, str) else [_part(part) for part in items(output)]


def _server_tool_part(kind: str, item: Any) -> Message:
    """A tool that runs at the provider: what was asked of it, without what it found."""
    if not kind.endswith("_call"):
        return {"type": kind, "id": field(item, "id") or field(item, "call_id")}
    asked = {name: field(item, name) for name in ("action", "queries", "code", "name", "arguments")}
    return {
        "type": "server_tool_call",
        "id": field(item, "id"),
        "name": field(item, "name") or kind.removesuffix("_call"),
        "server_tool_call": {"type": kind, **{key: value for key, value in asked.items() if value}},
    }


def read_usage(usage: Any, units: Mapping[str, int]) -> Usage | None:
    if usage is None:
        return Usage(units=units) if units else None
    inputs, outputs = field(usage, "input_tokens_details"), field(usage, "output_tokens_details")
    return Usage(
        input=token_count(usage, "input_tokens"),
        output=token_count(usage, "output_tokens"),
        cache_read=token_count(inputs, "cached_tokens"),
        cache_write=token_count(inputs, "cache_write_tokens"),
        reasoning=token_count(outputs, "reasoning_tokens"),
        units=units,
    )


class ResponsesAccumulator:
    """One answer, from its events or from the whole; without `content` it keeps no text."""

    def __init__(self, content: bool) -> None:  # noqa: FBT001 - called through the table of endpoints
        self._content = content
        self._head: dict[str, Any] = {}
        self._usage: Any = None
        self._searches: Any = None
        # Of each output item by its place: what it is, and the item or the text that came so far.
        self._kinds: dict[int, str] = {}
        self._items: dict[int, Any] = {}
        self._texts: dict[int, list[str]] = {}
        self._searched: set[int] = set()
        self.failure: str | None = None

    @property
    def ended(self) -> bool:
        """Whether the provider is done with this response, well or not."""
        return self._head.get("status") in _ENDED

    @property
    def id(self) -> str | None:
        return self._head.get("id")

    def add(self, chunk: Any) -> None:
        kind = field(chunk, "type")
        if kind is None or field(chunk, "object") in {"response", "response.compaction"}:
            self._add_response(chunk)
        elif kind == "error":
            self.failure = str(field(chunk, "code") or "_OTHER")
        elif field(chunk, "response") is not None:
            self._add_response(field(chunk, "response"))
        elif field(chunk, "output_index") is not None:
            self._add_event(kind, chunk)

    def _add_response(self, response: Any) -> None:
        for name in ("id", "model", "service_tier", "status"):
            self._head[name] = field(response, name) or self._head.get(name)
        if field(response, "object") == "response.compaction":
            self._head["status"] = "completed"
        self._head["incomplete"] = field(field(response, "incomplete_details") or {}, "reason")
        self._usage = field(response, "usage") or self._usage
        searches = field(field(response, "tool_usage") or {}, "web_search")
        self._searches = searches if searches is not None else self._searches
        error = field(response, "error")
        if error is not None or self._head["status"] == "failed":
            self.failure = str(field(error or {}, "code") or "_OTHER")
        for place, item in enumerate(items(field(response, "output"))):
            self._add_item(place, item)

    def _add_event(self, kind: str, event: Any) -> None:
        place = field(event, "output_index")
        if field(event, "item") is not None:
            self._add_item(place, field(event, "item"))
        elif self._content and kind.endswith(".delta") and isinstance(field(event, "delta"), str):
            self._texts.setdefault(place, []).append(field(event, "delta"))

    def _add_item(self, place: int, item: Any) -> None:
        kind = str(field(item, "type"))
        self._kinds[place] = kind
        action = field(item, "action")
        if kind == "web_search_call" and (action is None or field(action, "type") == "search"):
            self._searched.add(place)
        if self._content:
            self._items[place] = item

    def response(self) -> Response:
        tier = self._head.get("service_tier")
        tier = tier if tier != "auto" else None
        return Response(
            id=self.id,
            model=self._head.get("model"),
            finish_reasons=self._finish_reasons(),
            usage=read_usage(self._usage, self._units()),
            service_tier=tier,
            attributes={names.OPENAI_RESPONSE_SERVICE_TIER: tier} if tier else {},
            output_messages=self._messages if self._content else list,
        )

    def _units(self) -> dict[str, int]:
        """Searches are billed by the piece; where the provider does not count them, calls are counted."""
        reported = token_count(self._searches, "num_requests")
        searches = len(self._searched) if reported is None else reported
        stored = sum(kind == "file_search_call" for kind in self._kinds.values())
        counts = {"web_searches": searches, "storage_searches": stored}
        return {unit: count for unit, count in counts.items() if count}

    def _finish_reasons(self) -> tuple[str, ...]:
        """The API has a status instead; these are the conventions' words for it."""
        status, reason = self._head.get("status"), str(self._head.get("incomplete") or "length")
        if status == "completed":
            return ("tool_call",) if _TOOL_CALLS & set(self._kinds.values()) else ("stop",)
        if status == "incomplete":
            return (_INCOMPLETE.get(reason, reason),)
        return ("error",) if status in {"failed", "cancelled"} or self.failure else ()

    def _messages(self) -> list[Message]:
        parts = [part for place in sorted(self._kinds) for part in self._parts_at(place)]
        message: Message = {"role": "assistant", "parts": parts}
        reasons = self._finish_reasons()
        return [{**message, "finish_reason": reasons[0]} if reasons else message] if parts else []

    def _parts_at(self, place: int) -> Iterable[Message]:
        """The item as it was at its end; of one that broke off, what had come of it."""
        item, text = self._items[place], "".join(self._texts.get(place, ()))
        whole = _item_parts(item)
        empty = not whole or (self._kinds[place] in _TOOL_CALLS and not (whole[0]["arguments"] or not text))
        if not (empty and text):
            return whole
        if self._kinds[place] in _TOOL_CALLS:
            return [tool_call_part(field(item, "call_id"), field(item, "name"), text)]
        thought = self._kinds[place] == "reasoning"
        return [{"type": "reasoning", "content": text} if thought else text_part(text)]


class FetchAccumulator(ResponsesAccumulator):
    """A response that is looked up: the call that made it has the tokens, so this has none."""

    def fetched(self) -> Response:
        """All of the answer, for the call that made it."""
        return super().response()

    def response(self) -> Response:
        whole = super().response()
        return Response(id=whole.id, model=whole.model, finish_reasons=whole.finish_reasons)
