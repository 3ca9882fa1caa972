"""Images and audio of OpenAI's API: what was asked, what was used, and what came back."""

import base64
import hashlib
import mimetypes
from collections.abc import Iterable, Mapping
from typing import Any

from opentelemetry.util.types import AttributeValue

from spanledger.instrumentation.calls import Message, Response, Usage
from spanledger.instrumentation.content import blob_part, media_part, text_part
from spanledger.instrumentation.providers.openai_chat import parameter, token_count
from spanledger.instrumentation.reading import field, items
from spanledger.instrumentation.streams import BodyTap, Recording
from spanledger.schemas import attributes as names

# Where the files of a request stand beside its parameters: (parameter, file) pairs.
FILES = "files of the request"

_SPEECH_TYPES = {"mp3": "audio/mpeg", "pcm": "audio/L16"}


def image_attributes(body: Mapping[str, Any]) -> dict[str, AttributeValue | None]:
    count = body.get("n")
    return {
        names.OUTPUT_TYPE: "image",
        names.REQUEST_CHOICE_COUNT: count if count != 1 else None,
        names.USER_ID: parameter(body, names.USER_ID, ("safety_identifier", "user")),
    }


def speech_attributes(_body: Mapping[str, Any]) -> dict[str, AttributeValue | None]:
    return {names.OUTPUT_TYPE: "speech"}


def transcription_attributes(body: Mapping[str, Any]) -> dict[str, AttributeValue | None]:
    temperature = parameter(body, names.REQUEST_TEMPERATURE, ("temperature",))
    return {names.OUTPUT_TYPE: "text", names.REQUEST_TEMPERATURE: temperature}


def input_messages(body: Mapping[str, Any]) -> list[Message]:
    """The prompt or the text to be spoken, and the files."""
    text = body.get("input") or body.get("prompt")
    parts = [text_part(text)] if isinstance(text, str) else []
    parts.extend(_file_parts(body.get(FILES)))
    return [{"role": "user", "parts": parts}] if parts else []


def _file_parts(files: Any) -> Iterable[Message]:
    pairs = files.items() if isinstance(files, Mapping) else items(files)
    for _, file in pairs:
        name, content, kind = _file(file)
        kind = kind or mimetypes.guess_type(name or "")[0]
        modality = "audio" if (kind or "audio").startswith(("audio", "video")) else "image"
        # A file that is open belongs to the request: reading it here would send nothing.
        held = content if isinstance(content, bytes) else ""
        yield {"type": "blob", "modality": modality, "mime_type": kind, "content": held}


def _file(file: Any) -> tuple[str | None, Any, str | None]:
    if not isinstance(file, tuple):
        return getattr(file, "name", None), file, None
    name, content = file[0], file[1]
    return name, content, file[2] if len(file) > 2 else None


def read_usage(usage: Any) -> Usage | None:
    """Tokens by kind, or the seconds that are billed instead of them."""
    if usage is None:
        return None
    if field(usage, "type") == "duration":
        return _seconds(field(usage, "seconds"))
    inputs = field(usage, "input_tokens_details") or field(usage, "input_token_details")
    outputs = field(usage, "output_tokens_details")
    return Usage(
        input=token_count(usage, "input_tokens"),
        output=token_count(usage, "output_tokens"),
        cache_read=token_count(inputs, "cached_tokens"),
        text_input=token_count(inputs, "text_tokens"),
        text_output=token_count(outputs, "text_tokens"),
        image_input=token_count(inputs, "image_tokens"),
        image_output=token_count(outputs, "image_tokens"),
        audio_input=token_count(inputs, "audio_tokens"),
    )


def _seconds(seconds: Any) -> Usage | None:
    # A few servers send a number as text.
    try:
        units: dict[str, Any] = {"audio_seconds": float(seconds)}
    except (TypeError, ValueError):
        return None
    return Usage(units=units) if units["audio_seconds"] >= 0 else None


class ImageAccumulator:
    """Images, whole or as the events of a stream, of which only the last holds the usage."""

    def __init__(self, content: bool) -> None:  # noqa: FBT001 - called through the table of endpoints
        self._content = content
        self._usage: Any = None
        self._parts: list[Message] = []

    def add(self, chunk: Any) -> None:
        self._usage = field(chunk, "usage") or self._usage
        if not self._content or str(field(chunk, "type")).endswith("partial_image"):
            return
        kind = f"image/{field(chunk, 'output_format') or 'png'}"
        images = items(field(chunk, "data")) or ((chunk,) if field(chunk, "b64_json") else ())
        parts = [part for image in images for part in _image_parts(image, kind)]
        self._parts = parts or self._parts

    def response(self) -> Response:
        return Response(usage=read_usage(self._usage), output_messages=self._messages)

    def _messages(self) -> list[Message]:
        return [{"role": "assistant", "parts": self._parts}] if self._parts else []


def _image_parts(image: Any, mime_type: str) -> Iterable[Message]:
    data, url, prompt = field(image, "b64_json"), field(image, "url"), field(image, "revised_prompt")
    if data:
        yield blob_part("image", mime_type, data)
    if url:
        yield media_part("image", str(url), mime_type)
    if prompt:
        yield text_part(prompt)


class SpeechAccumulator:
    """Speech: its bytes are hashed as they pass; tokens are told only by the events of a stream."""

    def __init__(self, content: bool, body: Mapping[str, Any]) -> None:  # noqa: FBT001 - as above
        self._content = content
        text, form = body.get("input"), str(body.get("response_format") or "mp3")
        # Some models are billed by the characters that they were given to speak.
        self._characters = len(text) if isinstance(text, str) else 0
        self._type = _SPEECH_TYPES.get(form, f"audio/{form}")
        self._usage: Any = None
        self._hash = hashlib.sha256()
        self._size = 0

    def add(self, chunk: Any) -> None:
        if isinstance(chunk, bytes):
            self._hear(chunk)
            return
        self._usage = field(chunk, "usage") or self._usage
        if self._content and isinstance(field(chunk, "audio"), str):
            self._hear(base64.b64decode(field(chunk, "audio")))

    def _hear(self, data: bytes) -> None:
        self._size += len(data)
        if self._content:
            self._hash.update(data)

    def response(self) -> Response:
        used = read_usage(self._usage)
        # An answer that never came was not spoken.
        units = {"input_characters": self._characters} if used is None and self._size else {}
        if units:
            used = Usage(units=units)
        return Response(usage=used, output_messages=self._messages)

    def _messages(self) -> list[Message]:
        if not self._size or not self._content:
            return []
        part = {**blob_part("audio", self._type, ""), "size": self._size, "sha256": self._hash.hexdigest()}
        return [{"role": "assistant", "parts": [part]}]


class TranscriptionAccumulator:
    """A text of what was said, whole, as events, or in one of the forms that are not JSON."""

    def __init__(self, content: bool) -> None:  # noqa: FBT001 - called through the table of endpoints
        self._content = content
        self._usage: Any = None
        self._duration: Any = None
        self._text: list[str] = []

    def add(self, chunk: Any) -> None:
        if isinstance(chunk, str | bytes):
            text: Any = chunk if isinstance(chunk, str) else chunk.decode("utf-8", "replace")
            self._text = [*self._text, text] if self._content else []
            return
        self._usage = field(chunk, "usage") or self._usage
        self._duration = field(chunk, "duration") or self._duration
        if not self._content:
            return
        if field(chunk, "type") == "transcript.text.delta":
            self._text.append(field(chunk, "delta") or "")
        elif isinstance(field(chunk, "text"), str) and field(chunk, "type") != "transcript.text.segment":
            self._text = [field(chunk, "text")]

    def response(self) -> Response:
        # Before usage was reported, the verbose form told the length of what is billed by length.
        used = read_usage(self._usage) if self._usage is not None else _seconds(self._duration)
        return Response(usage=used, output_messages=self._messages)

    def _messages(self) -> list[Message]:
        text = "".join(self._text)
        return [{"role": "assistant", "parts": [text_part(text)]}] if text else []


class MediaRecording(Recording):
    """A call whose answer has no finish reason, not even when it broke off."""

    def _broken_off(self) -> Response:
        return self._response()


class PlainTap(BodyTap):
    """A body that is no JSON, handed on as bytes while it passes; nothing of it is kept here."""

    def chunk(self, data: bytes) -> None:
        if data:
            self._recording.chunk(bytes(data))

    def finish(self) -> None:
        self._recording.finish()
