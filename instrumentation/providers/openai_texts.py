"""Endpoints of OpenAI's protocol that take plain texts: legacy completions, embeddings and moderations."""

from collections.abc import Iterable, Mapping
from typing import Any

from opentelemetry.util.types import AttributeValue

from spanledger.instrumentation.calls import Message, Response, Usage
from spanledger.instrumentation.content import media_part, text_part
from spanledger.instrumentation.providers.openai_chat import parameter, token_count
from spanledger.instrumentation.reading import field, items
from spanledger.schemas import attributes as names


def prompt_messages(body: Mapping[str, Any]) -> list[Message]:
    """The prompts of a legacy completion; one that is given as numbers of tokens has no text."""
    return [{"role": "user", "parts": [text_part(text)]} for text in _texts(body.get("prompt"))]


def embedding_attributes(body: Mapping[str, Any]) -> dict[str, AttributeValue | None]:
    encoding = body.get("encoding_format")
    return {
        names.EMBEDDINGS_DIMENSION_COUNT: body.get("dimensions"),
        names.REQUEST_ENCODING_FORMATS: [encoding] if isinstance(encoding, str) else None,
        names.USER_ID: parameter(body, names.USER_ID, ("user",)),
    }


def input_messages(body: Mapping[str, Any]) -> list[Message]:
    """What is embedded or moderated: a text, several, or parts of one that may be pictures."""
    given = body.get("input")
    parts = [_part(part) for part in items(given) if field(part, "type") is not None]
    if parts:
        return [{"role": "user", "parts": parts}]
    return [{"role": "user", "parts": [text_part(text)]} for text in _texts(given)]


def _texts(given: Any) -> Iterable[str]:
    if isinstance(given, str):
        return (given,)
    return (text for text in items(given) if isinstance(text, str))


def _part(part: Any) -> Message:
    if field(part, "type") == "image_url":
        return media_part("image", str(field(field(part, "image_url") or {}, "url")))
    return text_part(field(part, "text") or "")


class EmbeddingAccumulator:
    """The model and the tokens of an answer; its vectors are nobody's business."""

    def __init__(self, content: bool) -> None:  # noqa: FBT001 - called through the table of endpoints
        del content
        self._model: str | None = None
        self._input: int | None = None

    def add(self, chunk: Any) -> None:
        self._model = field(chunk, "model") or self._model
        tokens = token_count(field(chunk, "usage"), "prompt_tokens")
        self._input = self._input if tokens is None else tokens

    def response(self) -> Response:
        usage = None if self._input is None else Usage(input=self._input)
        return Response(model=self._model, usage=usage)


class ModerationAccumulator:
    """The model and the id of an answer: nothing is counted and nothing is billed."""

    def __init__(self, content: bool) -> None:  # noqa: FBT001 - called through the table of endpoints
        del content
        self._id: str | None = None
        self._model: str | None = None

    def add(self, chunk: Any) -> None:
        self._id, self._model = field(chunk, "id"), field(chunk, "model")

    def response(self) -> Response:
        return Response(id=self._id, model=self._model)
