"""Bodies of models that Bedrock hands on as they are: Anthropic's, Amazon's, and texts of many makers.

Which form a body has is told by the body: the name of a model may be that of a profile, which says nothing.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from opentelemetry.util.types import AttributeValue

from spanledger.instrumentation.calls import Accumulator, Message, Response, Usage
from spanledger.instrumentation.content import text_part
from spanledger.instrumentation.providers import anthropic_messages, bedrock_converse, openai_chat
from spanledger.instrumentation.providers.anthropic_messages import FINISH_REASONS, count, text
from spanledger.instrumentation.providers.bedrock_converse import number
from spanledger.instrumentation.reading import field, items
from spanledger.schemas import attributes as names

_METRICS = "amazon-bedrock-invocationMetrics"
_HEADERS = "x-amzn-bedrock-"
# Parameters of texts, by the names that Amazon, Meta, Mistral and Cohere have for them.
_MAX_TOKENS = ("max_gen_len", "max_tokens", "maxTokenCount", "max_tokens_to_sample")
_STOPS = ("stop", "stopSequences", "stop_sequences")
_REASONS = ("completionReason", "stop_reason", "finish_reason")
_TEXTS = ("outputText", "generation", "text")
_LISTS = ("results", "outputs", "generations")


def operation_of(model: str | None, body: Mapping[str, Any]) -> str:
    if "embed" in (model or ""):
        return names.OPERATION_EMBEDDINGS
    if "rerank" in (model or ""):
        return names.OPERATION_RERANK
    if any(name in body for name in ("messages", "message")):
        return names.OPERATION_CHAT
    if "taskType" in body or "text_prompts" in body:
        return names.OPERATION_IMAGE_GENERATION
    return names.OPERATION_TEXT_COMPLETION


def _form(body: Mapping[str, Any]) -> Any:
    """The module that reads this request, or None for a text."""
    if "anthropic_version" in body and "messages" in body:
        return anthropic_messages
    messages = items(body.get("messages"))
    contents = [block for message in messages for block in items(field(message, "content"))]
    if "inferenceConfig" in body or "schemaVersion" in body or any("type" not in block for block in contents):
        return bedrock_converse
    return openai_chat if "messages" in body else None


def request_attributes(body: Mapping[str, Any]) -> dict[str, AttributeValue | None]:
    form = _form(body)
    if form is not None:
        found: dict[str, AttributeValue | None] = form.request_attributes(body)
        return found
    config = body.get("textGenerationConfig")
    given = {**body, **config} if isinstance(config, Mapping) else body
    stops = next((items(given[name]) for name in _STOPS if given.get(name)), ())
    sizes = [count(given, name) for name in _MAX_TOKENS]
    return {
        names.REQUEST_MAX_TOKENS: next((size for size in sizes if size is not None), None),
        names.REQUEST_TEMPERATURE: number(given, "temperature"),
        names.REQUEST_TOP_P: _first(number(given, name) for name in ("top_p", "topP", "p")),
        names.REQUEST_TOP_K: _first(count(given, name) for name in ("top_k", "topK", "k")),
        names.REQUEST_STOP_SEQUENCES: [str(stop) for stop in stops] or None,
    }


def _first(found: Iterator[Any]) -> Any:
    return next((value for value in found if value is not None), None)


def input_messages(body: Mapping[str, Any]) -> list[Message]:
    form = _form(body)
    if form is not None:
        found: list[Message] = form.input_messages(body)
        return found
    given = [body.get(name) for name in ("prompt", "inputText", "message", "texts", "query")]
    texts = [said for value in given for said in ([value] if isinstance(value, str) else items(value))]
    return [{"role": "user", "parts": [text_part(said) for said in texts]}] if texts else []


def system_instructions(body: Mapping[str, Any]) -> list[Message]:
    form = _form(body)
    found: list[Message] = form.system_instructions(body) if hasattr(form, "system_instructions") else []
    return found


def tool_definitions(body: Mapping[str, Any]) -> list[Message]:
    form = _form(body)
    found: list[Message] = form.tool_definitions(body) if form is not None else []
    return found


class TextAccumulator:
    """A text of Amazon's Titan, Meta, Mistral or Cohere, whole or in pieces, or nothing but counts."""

    def __init__(self, content: bool) -> None:  # noqa: FBT001 - as the accumulators of other providers
        self._content = content
        self._id: str | None = None
        self._input: int | None = None
        self._output: int | None = None
        self._reason: str | None = None
        self._said: list[str] = []

    def add(self, chunk: Any) -> None:
        self._id = text(chunk, "generation_id") or text(chunk, "id") or self._id
        self._input = self._count(chunk, "inputTextTokenCount", "prompt_token_count", self._input)
        # Pieces carry running totals.
        self._output = self._count(chunk, "totalOutputTextTokenCount", "generation_token_count", self._output)
        for piece in [chunk, *(piece for name in _LISTS for piece in items(field(chunk, name)))]:
            self._output = self._count(piece, "tokenCount", "tokenCount", self._output)
            self._reason = next((found for name in _REASONS if (found := text(piece, name))), self._reason)
            if self._content:
                self._said += [said for name in _TEXTS if (said := text(piece, name))]

    @staticmethod
    def _count(chunk: Any, one: str, other: str, before: int | None) -> int | None:
        return next((found for name in (one, other) if (found := count(chunk, name)) is not None), before)

    def response(self) -> Response:
        known = self._input is not None or self._output is not None
        return Response(
            id=self._id,
            finish_reasons=[self._reason] if self._reason else (),
            usage=Usage(input=self._input, output=self._output) if known else None,
            output_messages=self._message,
        )

    def _message(self) -> list[Message]:
        if not self._said:
            return []
        message: Message = {"role": "assistant", "parts": [text_part("".join(self._said))]}
        if self._reason:
            reason = self._reason.lower()
            message["finish_reason"] = {"finish": "stop", "complete": "stop"}.get(
                reason, FINISH_REASONS.get(reason, reason)
            )
        return [message]


class BodyAccumulator:
    """The answer of a model in whatever form it has, with the counts of Bedrock where it has none."""

    def __init__(self, content: bool, *, operation: str, headers: Mapping[str, str] | None = None) -> None:  # noqa: FBT001 - as the others
        self._content = content
        self._operation = operation
        self._counts: Mapping[str, Any] = headers or {}
        self._inner: Accumulator | None = None

    def headers(self, given: Mapping[str, str]) -> None:
        """What the headers of the answer say that it used; they are there before the body is read."""
        self._counts = {
            name: int(value)
            for name, key in _COUNT_HEADERS.items()
            if (value := given.get(_HEADERS + key, "")).isdecimal()
        }

    def add(self, chunk: Any) -> None:
        held = field(field(chunk, "chunk"), "bytes")
        body = json.loads(held) if held is not None else chunk
        self._counts = field(body, _METRICS) or self._counts
        if self._inner is None:
            self._inner = _accumulator(body, self._content)
        self._inner.add(body)

    def response(self) -> Response:
        found = self._inner.response() if self._inner is not None else Response()
        billed = self._billed()
        if billed is not None and (found.usage is None or found.usage.output is None):
            found.usage = billed
        if self._operation in {names.OPERATION_EMBEDDINGS, names.OPERATION_RERANK}:
            self._without_text(found)
        return found

    def _without_text(self, found: Response) -> None:
        found.finish_reasons, found.output_messages = (), list
        if found.usage is not None:
            found.usage = Usage(input=found.usage.input)

    def _billed(self) -> Usage | None:
        return bedrock_converse.read_usage(
            {
                "inputTokens": count(self._counts, "inputTokenCount"),
                "outputTokens": count(self._counts, "outputTokenCount"),
                "cacheReadInputTokens": count(self._counts, "cacheReadInputTokenCount"),
                "cacheWriteInputTokens": count(self._counts, "cacheWriteInputTokenCount"),
            }
        )


_COUNT_HEADERS = {
    "inputTokenCount": "input-token-count",
    "outputTokenCount": "output-token-count",
    "cacheReadInputTokenCount": "cache-read-input-token-count",
    "cacheWriteInputTokenCount": "cache-write-input-token-count",
}


def _accumulator(body: Any, content: bool) -> Accumulator:  # noqa: FBT001 - handed on
    if str(field(body, "type")).startswith("message"):
        return anthropic_messages.MessageAccumulator(content)
    if bedrock_converse.is_converse(body):
        return bedrock_converse.ConverseAccumulator(content)
    if field(body, "choices") is not None:
        return openai_chat.ChatAccumulator(content)
    return TextAccumulator(content)
