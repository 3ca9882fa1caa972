"""Whether prompts and answers may be recorded, and the form they are recorded in.

Off unless switched on. `SPANLEDGER_CAPTURE_CONTENT` (true or false) wins over
`OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` (NO_CONTENT, SPAN_ONLY, EVENT_ONLY, SPAN_AND_EVENT,
and true for SPAN_ONLY), and what the application passed to `instrument` wins over both.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from typing import Any

from spanledger.instrumentation.calls import Message
from spanledger.instrumentation.context import clean
from spanledger.instrumentation.quiet import warn_once

OWN_SWITCH = "SPANLEDGER_CAPTURE_CONTENT"
OTEL_SWITCH = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
# Longer base64 data is replaced by its hash and size: an image must not cost the text around it.
INLINE_DATA_LIMIT = 16_384

_YES = {"1", "true", "yes", "on"}
_NO = {"0", "false", "no", "off"}


@dataclass(frozen=True, slots=True)
class ContentPolicy:
    """Where content goes: onto the span, into a log event, both or nowhere."""

    span: bool = False
    event: bool = False

    @property
    def any(self) -> bool:
        return self.span or self.event


_MODES = {
    "no_content": ContentPolicy(),
    "span_only": ContentPolicy(span=True),
    "event_only": ContentPolicy(event=True),
    "span_and_event": ContentPolicy(span=True, event=True),
}
_decided: list[ContentPolicy] = []


def decide(*, capture: bool | None = None) -> ContentPolicy:
    """Read the switches once; the answer holds until the next call of this function."""
    _decided[:] = [_from_environment() if capture is None else ContentPolicy(span=capture)]
    return _decided[0]


def policy() -> ContentPolicy:
    return _decided[0] if _decided else decide()


def _from_environment() -> ContentPolicy:
    own = os.environ.get(OWN_SWITCH, "").strip().lower()
    if own:
        if own not in _YES | _NO:
            warn_once(OWN_SWITCH, f"{own!r} is neither true nor false, so no content is captured")
        return ContentPolicy(span=own in _YES)
    mode = os.environ.get(OTEL_SWITCH, "").strip().lower()
    if mode in _YES:
        return ContentPolicy(span=True)
    return _MODES.get(mode, ContentPolicy())


def to_json(value: Any) -> str:
    """JSON text that an exporter can always encode."""
    return clean(json.dumps(value, ensure_ascii=False, default=_plain, separators=(",", ":")))


def _plain(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    return dump(mode="json") if callable(dump) else str(value)


def decoded(text: Any) -> Any:
    """Tool arguments as a structure when they are JSON, otherwise as they came."""
    try:
        return json.loads(text) if isinstance(text, str) else text
    except ValueError:
        return text


def text_part(text: Any) -> Message:
    return {"type": "text", "content": text if isinstance(text, str) else to_json(text)}


def tool_call_part(call_id: str | None, name: str | None, arguments: Any) -> Message:
    return {"type": "tool_call", "id": call_id, "name": name, "arguments": decoded(arguments)}


def tool_response_part(call_id: str | None, response: Any) -> Message:
    return {"type": "tool_call_response", "id": call_id, "response": response}


def media_part(modality: str, location: str, mime_type: str | None = None) -> Message:
    """A `uri` part for an address, a `blob` part for a data: address."""
    if not location.startswith("data:"):
        return {"type": "uri", "modality": modality, "mime_type": mime_type, "uri": location}
    head, _, data = location[5:].partition(",")
    return blob_part(modality, head.partition(";")[0] or mime_type, data)


def blob_part(modality: str, mime_type: str | None, data: str) -> Message:
    part: Message = {"type": "blob", "modality": modality, "mime_type": mime_type}
    if len(data) <= INLINE_DATA_LIMIT:
        return {**part, "content": data}
    digest = hashlib.sha256(data.encode("utf-8", "replace")).hexdigest()
    return {**part, "content": "", "omitted_characters": len(data), "sha256": digest}
