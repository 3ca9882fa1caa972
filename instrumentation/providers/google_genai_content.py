"""Gemini's protocol: request parameters, contents of parts, and answers whole or in chunks.

The SDK writes the outer fields of a request in camel case and leaves inner ones as Python names them; the API
takes both, and so do the readers of requests here.
"""

import base64
import re
from collections.abc import Iterable, Mapping
from functools import cache
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
from spanledger.instrumentation.providers.endpoints import Json, count, double, tier_attributes, total
from spanledger.instrumentation.reading import items
from spanledger.schemas import attributes as names

# Attribute, then the field of `generationConfig` that fills it.
_PARAMETERS = {
    names.REQUEST_MAX_TOKENS: "maxOutputTokens",
    names.REQUEST_TEMPERATURE: "temperature",
    names.REQUEST_TOP_P: "topP",
    names.REQUEST_TOP_K: "topK",
    names.REQUEST_SEED: "seed",
    names.REQUEST_FREQUENCY_PENALTY: "frequencyPenalty",
    names.REQUEST_PRESENCE_PENALTY: "presencePenalty",
    names.REQUEST_STOP_SEQUENCES: "stopSequences",
}
_DOUBLES = {
    names.REQUEST_TEMPERATURE,
    names.REQUEST_TOP_P,
    names.REQUEST_FREQUENCY_PENALTY,
    names.REQUEST_PRESENCE_PENALTY,
}
_OUTPUT_TYPES = {"application/json": "json", "text/x.enum": "text", "text/plain": "text"}
_ROLES = {"model": "assistant", "function": "tool"}
_FINISH_REASONS = {"max_tokens": "length", "malformed_function_call": "error", "other": "error"}
_BLOCKED = {
    "safety",
    "recitation",
    "blocklist",
    "prohibited_content",
    "spii",
    "image_safety",
    "image_prohibited_content",
    "image_recitation",
    "jailbreak",
    "model_armor",
}
# Vertex says by which traffic it answered; the Developer API says the tier.
_TRAFFIC = {"on_demand_flex": "flex", "on_demand_priority": "priority"}


@cache
def _snake(name: str) -> str:
    return re.sub("([A-Z])", r"_\1", name).lower()


def _get(value: Any, name: str) -> Any:
    """A field by its name in camel case, however it is spelled."""
    if not isinstance(value, Mapping):
        return None
    found = value.get(name)
    return value.get(_snake(name)) if found is None else found


def request_attributes(body: Json) -> dict[str, AttributeValue | None]:
    config = _mapping(_get(body, "generationConfig"))
    found: dict[str, AttributeValue | None] = {}
    for attribute, parameter in _PARAMETERS.items():
        value = _get(config, parameter)
        found[attribute] = double(value) if attribute in _DOUBLES else value
    top_k, choices = _get(config, "topK"), _get(config, "candidateCount")
    found[names.REQUEST_TOP_K] = int(top_k) if isinstance(top_k, int | float) else None
    found[names.REQUEST_CHOICE_COUNT] = choices if choices != 1 else None
    level = _get(_get(config, "thinkingConfig"), "thinkingLevel")
    found[names.REQUEST_REASONING_LEVEL] = level.lower() if isinstance(level, str) else None
    found[names.OUTPUT_TYPE] = _output_type(config)
    return found


def _output_type(config: Json) -> str | None:
    modalities = [str(kind).upper() for kind in items(_get(config, "responseModalities"))]
    if "IMAGE" in modalities:
        return "image"
    if "AUDIO" in modalities:
        return "speech"
    return _OUTPUT_TYPES.get(str(_get(config, "responseMimeType")))


def image_attributes(body: Json) -> dict[str, AttributeValue | None]:
    """Imagen on `predict`: what is asked for stands in `parameters`."""
    parameters = _mapping(body.get("parameters"))
    images = parameters.get("sampleCount")
    return {
        names.OUTPUT_TYPE: "image",
        names.REQUEST_CHOICE_COUNT: images if images != 1 else None,
        names.REQUEST_SEED: parameters.get("seed"),
    }


def embed_attributes(body: Json) -> dict[str, AttributeValue | None]:
    """`batchEmbedContents` and `embedContent` of both APIs, and `predict` of Vertex."""
    settings = [body, body.get("parameters"), _get(body, "embedContentConfig"), *items(body.get("requests"))]
    sizes = (_get(one, "outputDimensionality") for one in settings)
    return {names.EMBEDDINGS_DIMENSION_COUNT: next((size for size in sizes if size is not None), None)}


def system_instructions(body: Json) -> list[Message]:
    parts = _parts(_get(_get(body, "systemInstruction"), "parts"))
    return [part for part in parts if part["type"] == "text"]


def input_messages(body: Json) -> list[Message]:
    return [_message(_mapping(content)) for content in items(body.get("contents"))]


def embedded_texts(body: Json) -> list[Message]:
    contents = [_mapping(_mapping(request).get("content")) for request in items(body.get("requests"))]
    if isinstance(body.get("content"), Mapping):
        contents.append(body["content"])
    messages = [_message(content) for content in contents]
    for instance in items(body.get("instances")):
        text = _mapping(instance).get("content") or _mapping(instance).get("prompt")
        if isinstance(text, str):
            messages.append({"role": "user", "parts": [text_part(text)]})
    return messages


def _message(content: Json) -> Message:
    role = str(content.get("role") or "user")
    parts = _parts(content.get("parts"))
    answers = bool(parts) and all(part["type"] == "tool_call_response" for part in parts)
    return {"role": "tool" if answers else _ROLES.get(role, role), "parts": parts}


def _parts(parts: Any) -> list[Message]:
    return [_part(_mapping(part)) for part in items(parts)]


def _part(part: Json) -> Message:
    if isinstance(part.get("text"), str):
        if part.get("thought"):
            return {"type": "reasoning", "content": part["text"]}
        return text_part(part["text"])
    for kind, read in _PART_READERS.items():
        held = _get(part, kind)
        if isinstance(held, Mapping):
            return read(held)
    beside = {"thought", "thoughtSignature", "thought_signature"}
    kind = next((key for key in part if key not in beside), "unknown")
    return {"type": kind, "content": part.get(kind)}


def _called(call: Json) -> Message:
    return tool_call_part(call.get("id"), call.get("name"), call.get("args") or {})


def _answered(answer: Json) -> Message:
    return {**tool_response_part(answer.get("id"), answer.get("response")), "name": answer.get("name")}


def _inline(data: Json) -> Message:
    mime_type, held = _get(data, "mimeType"), data.get("data")
    text = base64.b64encode(held).decode() if isinstance(held, bytes) else str(held or "")
    return blob_part(_modality(mime_type), mime_type, text)


def _stored(data: Json) -> Message:
    mime_type = _get(data, "mimeType")
    return media_part(_modality(mime_type), str(_get(data, "fileUri")), mime_type)


def _modality(mime_type: Any) -> str:
    kind = str(mime_type or "").partition("/")[0]
    return kind if kind in {"image", "audio", "video"} else "document"


_PART_READERS = {
    "functionCall": _called,
    "functionResponse": _answered,
    "inlineData": _inline,
    "fileData": _stored,
}


def tool_definitions(body: Json) -> list[Message]:
    return [definition for tool in items(body.get("tools")) for definition in _definitions(_mapping(tool))]


def _definitions(tool: Json) -> Iterable[Message]:
    for kind, described in tool.items():
        if kind not in {"functionDeclarations", "function_declarations"}:
            yield {"type": kind, "name": kind}
            continue
        for declared in items(described):
            function = _mapping(declared)
            found = {
                "name": function.get("name"),
                "description": function.get("description"),
                "parameters": _get(function, "parametersJsonSchema") or function.get("parameters"),
            }
            yield {"type": "function", **{key: value for key, value in found.items() if value is not None}}


def read_usage(usage: Any) -> Usage | None:
    """Counts of `usageMetadata`: the prompt of tools is input, too, and thoughts are output."""
    if not isinstance(usage, Mapping):
        return None
    prompt = [*items(usage.get("promptTokensDetails")), *items(usage.get("toolUsePromptTokensDetails"))]
    answer = items(usage.get("candidatesTokensDetails") or usage.get("responseTokensDetails"))
    cached = items(usage.get("cacheTokensDetails"))
    thoughts = count(usage, "thoughtsTokenCount")
    inputs = total(count(usage, "promptTokenCount"), count(usage, "toolUsePromptTokenCount"))
    candidates = count(usage, "candidatesTokenCount")
    answered = candidates if candidates is not None else count(usage, "responseTokenCount")
    outputs = total(answered, thoughts)
    if outputs is None and inputs is not None and count(usage, "totalTokenCount") == inputs:
        # The API leaves out a count of zero; the total says that it is one.
        outputs = 0
    units = {
        "input_video_tokens": _of_modality(prompt, "VIDEO"),
        "output_video_tokens": _of_modality(answer, "VIDEO"),
    }
    if cached:
        # What is cached and audio has a price of its own, so a zero matters where either is there.
        units["cache_audio_read_tokens"] = _of_modality(cached, "AUDIO") or 0
        units["cache_image_read_tokens"] = _of_modality(cached, "IMAGE", "DOCUMENT") or 0
    return Usage(
        input=inputs,
        output=outputs,
        cache_read=count(usage, "cachedContentTokenCount"),
        reasoning=thoughts,
        text_input=_of_modality(prompt, "TEXT", "MODALITY_UNSPECIFIED"),
        text_output=_of_modality(answer, "TEXT", "MODALITY_UNSPECIFIED"),
        image_input=_of_modality(prompt, "IMAGE", "DOCUMENT"),
        image_output=_of_modality(answer, "IMAGE", "DOCUMENT"),
        audio_input=_of_modality(prompt, "AUDIO"),
        audio_output=_of_modality(answer, "AUDIO"),
        units={unit: tokens for unit, tokens in units.items() if tokens is not None},
    )


def _of_modality(details: Iterable[Any], *modalities: str) -> int | None:
    found = [_mapping(detail) for detail in details]
    # A modality without a count has none: zeros are left out of the JSON.
    return total(
        *(count(one, "tokenCount") or 0 for one in found if str(one.get("modality")).upper() in modalities)
    )


def _mapping(value: Any) -> Json:
    return value if isinstance(value, Mapping) else {}


class _Candidate:
    """One candidate of the answer as far as it came."""

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self.parts: list[Message] = []

    def add(self, parts: list[Message]) -> None:
        for part in parts:
            last = self.parts[-1] if self.parts else {}
            if part["type"] in {"text", "reasoning"} and last.get("type") == part["type"]:
                last["content"] += part["content"]
            elif part != {"type": "text", "content": ""}:
                self.parts.append(part)

    def message(self) -> Message:
        message: Message = {"role": "assistant", "parts": self.parts}
        reason = self.finish_reason
        if reason:
            blocked = "content_filter" if reason in _BLOCKED else reason
            message["finish_reason"] = _FINISH_REASONS.get(reason, blocked)
        return message


class GenerateAccumulator:
    """One answer, from its chunks or from the whole; without `content` it keeps no text."""

    def __init__(self, content: bool) -> None:  # noqa: FBT001 - called through the table of endpoints
        self._content = content
        self._head: dict[str, Any] = {}
        self._usage: Usage | None = None
        self._tier: str | None = None
        self._blocked: str | None = None
        self._candidates: dict[int, _Candidate] = {}

    def add(self, chunk: Any) -> None:
        for name in ("responseId", "modelVersion"):
            self._head[name] = chunk.get(name) or self._head.get(name)
        usage = _mapping(chunk.get("usageMetadata"))
        # The last usage counts: each chunk carries the total so far.
        self._usage = read_usage(usage or None) or self._usage
        self._tier = _tier(usage) or self._tier
        blocked = _mapping(chunk.get("promptFeedback")).get("blockReason")
        self._blocked = str(blocked).lower() if blocked else self._blocked
        for position, candidate in enumerate(items(chunk.get("candidates"))):
            self._add_candidate(_mapping(candidate), position)

    def _add_candidate(self, candidate: Json, position: int) -> None:
        index = candidate.get("index")
        found = self._candidates.setdefault(position if index is None else index, _Candidate())
        reason = candidate.get("finishReason")
        found.finish_reason = str(reason).lower() if reason else found.finish_reason
        if self._content:
            found.add(_parts(_mapping(candidate.get("content")).get("parts")))

    def response(self) -> Response:
        candidates = [self._candidates[index] for index in sorted(self._candidates)]
        reasons = [candidate.finish_reason for candidate in candidates if candidate.finish_reason]
        return Response(
            id=self._head.get("responseId"),
            model=self._head.get("modelVersion"),
            finish_reasons=reasons or ([self._blocked] if self._blocked else []),
            usage=self._usage,
            service_tier=self._tier,
            attributes=tier_attributes(self._tier),
            output_messages=lambda: [one.message() for one in candidates] if self._content else [],
        )


def _tier(usage: Json) -> str | None:
    told = str(usage.get("serviceTier") or "").lower()
    return told or _TRAFFIC.get(str(usage.get("trafficType")).lower())


class EmbedAccumulator:
    """Embeddings: their usage, where the API tells one; the vectors are never kept."""

    def __init__(self, _content: bool) -> None:  # noqa: FBT001 - called through the table of endpoints
        self._usage: Usage | None = None

    def add(self, answer: Any) -> None:
        told = read_usage(answer.get("usageMetadata"))
        if told is not None:
            self._usage = Usage(
                input=told.input,
                text_input=told.text_input,
                image_input=told.image_input,
                audio_input=told.audio_input,
                units=told.units,
            )
            return
        predictions = [_mapping(one).get("embeddings") for one in items(answer.get("predictions"))]
        statistics = [_mapping(_mapping(one).get("statistics")) for one in predictions]
        tokens = total(*(count(one, "token_count") for one in statistics))
        self._usage = Usage(input=tokens) if tokens is not None else None

    def response(self) -> Response:
        return Response(usage=self._usage)


class ImageAccumulator:
    """Images of Imagen, which are billed one by one and come without a usage."""

    def __init__(self, content: bool) -> None:  # noqa: FBT001 - called through the table of endpoints
        self._content = content
        self._images: list[Message] = []

    def add(self, answer: Any) -> None:
        if not self._content:
            return
        for prediction in items(answer.get("predictions")):
            image = _mapping(prediction)
            if image.get("bytesBase64Encoded"):
                part = blob_part("image", image.get("mimeType"), str(image["bytesBase64Encoded"]))
                self._images.append({"role": "assistant", "parts": [part]})

    def response(self) -> Response:
        return Response(output_messages=lambda: self._images)
