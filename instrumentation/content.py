"""Whether prompts and answers may be recorded, and the form they are recorded in.

Off unless switched on. `SPANLEDGER_CAPTURE_CONTENT` (true, false, span, event, span_and_event) wins over
`OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` (NO_CONTENT, SPAN_ONLY, EVENT_ONLY, SPAN_AND_EVENT,
and true for SPAN_ONLY), and what the application passed to `instrument` wins over both.

What is recorded passes three things, part by part: the application's redaction, then pictures and sounds are
replaced by their hash, size and type, then text beyond the limit is cut.
"""

import base64
import binascii
import copy
import hashlib
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from spanledger.instrumentation.calls import Message
from spanledger.instrumentation.context import clean
from spanledger.instrumentation.quiet import say_once

OWN_SWITCH = "SPANLEDGER_CAPTURE_CONTENT"
LIMIT = "SPANLEDGER_CONTENT_LIMIT"
OTEL_SWITCH = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
# In characters for each text of a part: a long document fits, a book does not.
DEFAULT_LIMIT = 262_144

# Gets a copy of one part, returns it changed, another, or None to leave it out.
Redact = Callable[[Message], Message | None]
# Gets a text and the name of the model, returns how many tokens that is about.
CountTokens = Callable[[str, str], int]

# Members of a part that say what it is; the others hold its content.
_NAMES = {"type", "id", "name", "modality", "mime_type", "file_id"}

_YES = {"1", "true", "yes", "on"}
_NO = {"0", "false", "no", "off"}


class RedactionFailed(Exception):
    """Names the error of the application's redaction without its message, which could quote content."""


class CountFailed(Exception):
    """Names the error of the application's count of tokens without its message, for the same reason."""


@dataclass(frozen=True, slots=True)
class ContentPolicy:
    """Where content goes: onto the span, into a log event, both or nowhere; and what is left of it."""

    span: bool = False
    event: bool = False
    redact: Redact | None = None
    limit: int = DEFAULT_LIMIT
    count_tokens: CountTokens | None = None

    @property
    def any(self) -> bool:
        """Whether somebody needs the text of an answer: who records it, or who counts its tokens."""
        return self.span or self.event or self.count_tokens is not None

    @property
    def recorded(self) -> bool:
        return self.span or self.event

    def messages(self, messages: Iterable[Message]) -> str:
        """Messages as JSON, each part as it may be recorded."""
        held = list(messages)
        if self._fits(part for message in held for part in message.get("parts", ())):
            text = to_json(held)
            if len(text) <= self.limit:
                return text
        return to_json([{**message, "parts": self._parts(message.get("parts", ()))} for message in held])

    def parts(self, parts: Iterable[Message]) -> str:
        """Parts without a message around them, such as system instructions, as JSON."""
        return to_json(self._parts(parts))

    def part(self, part: Message) -> Message | None:
        """One part as it may be recorded, or None.

        Raises RedactionFailed: then nothing of this call's content may be recorded.
        """
        if self.redact is not None:
            changed = _redacted(self.redact, part)
            if changed is None:
                return None
            part = changed
        if part.get("type") == "blob":
            return _described(part)
        return _cut(part, self.limit)

    def _parts(self, parts: Iterable[Message]) -> list[Message]:
        kept = (self.part(part) for part in parts)
        return [part for part in kept if part is not None]

    def _fits(self, parts: Iterable[Message]) -> bool:
        """Whether only the length is left to be looked at: the usual case, and the cheap one."""
        return self.redact is None and not any(part.get("type") == "blob" for part in parts)


_MODES = {
    "no_content": ContentPolicy(),
    "span_only": ContentPolicy(span=True),
    "event_only": ContentPolicy(event=True),
    "span_and_event": ContentPolicy(span=True, event=True),
}
_OWN_MODES = {
    **dict.fromkeys(_YES, _MODES["span_only"]),
    **dict.fromkeys(_NO, _MODES["no_content"]),
    "span": _MODES["span_only"],
    "event": _MODES["event_only"],
    "span_and_event": _MODES["span_and_event"],
}
_decided: list[ContentPolicy] = []


def decide(
    *,
    capture: bool | str | None = None,
    redact: Redact | None = None,
    limit: int | None = None,
    count_tokens: CountTokens | None = None,
) -> ContentPolicy:
    """Read the switches once; the answer holds until the next call of this function or of `change`."""
    mode = _from_environment() if capture is None else _mode_of(capture)
    bound = _limit_from_environment() if limit is None else _bound(limit)
    _decided[:] = [replace(mode, redact=redact, limit=bound, count_tokens=count_tokens)]
    return _decided[0]


def change(
    *,
    capture: bool | str | None = None,
    redact: Redact | None = None,
    limit: int | None = None,
    count_tokens: CountTokens | None = None,
) -> ContentPolicy:
    """Change what is given; a redaction that was set stays until another takes its place."""
    before = policy()
    mode = before if capture is None else _mode_of(capture)
    _decided[:] = [
        ContentPolicy(
            span=mode.span,
            event=mode.event,
            redact=redact or before.redact,
            limit=before.limit if limit is None else _bound(limit),
            count_tokens=count_tokens or before.count_tokens,
        )
    ]
    return _decided[0]


def policy() -> ContentPolicy:
    return _decided[0] if _decided else decide()


def _mode_of(capture: bool | str) -> ContentPolicy:  # noqa: FBT001 - the value of a keyword of ours
    if isinstance(capture, bool):
        return ContentPolicy(span=capture)
    mode = _OWN_MODES.get(capture.strip().lower())
    if mode is None:
        allowed = "True, False, 'span', 'event' and 'span_and_event'"
        raise ValueError(f"capture_content is {capture!r}; allowed are {allowed}")
    return mode


def _bound(limit: int) -> int:
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
        raise ValueError(f"content_limit is {limit!r}; it is a number of characters, 0 or more")
    return limit


def _limit_from_environment() -> int:
    text = os.environ.get(LIMIT, "").strip()
    if text.isdecimal():
        return int(text)
    if text:
        say_once(f"{LIMIT} is {text!r}, which is no number of characters: the limit is {DEFAULT_LIMIT}")
    return DEFAULT_LIMIT


def _from_environment() -> ContentPolicy:
    own = os.environ.get(OWN_SWITCH, "").strip().lower()
    if own:
        if own not in _OWN_MODES:
            allowed = "true, false, span, event and span_and_event"
            say_once(f"{OWN_SWITCH} is {own!r}; allowed are {allowed}: no content is captured")
        return _OWN_MODES.get(own, ContentPolicy())
    mode = os.environ.get(OTEL_SWITCH, "").strip().lower()
    if mode in _YES:
        return ContentPolicy(span=True)
    if mode and mode not in _MODES and mode not in _NO:
        allowed = ", ".join(_MODES).upper()
        say_once(f"{OTEL_SWITCH} is {mode!r}; allowed are {allowed} and true: no content is captured")
    return _MODES.get(mode, ContentPolicy())


def _redacted(redact: Redact, part: Message) -> Message | None:
    try:
        changed = redact(copy.deepcopy(part))
    except Exception as error:  # noqa: BLE001 - whatever the application's function raises
        raise RedactionFailed(f"redact raised {type(error).__name__}") from None
    if changed is not None and not isinstance(changed, dict):
        raise RedactionFailed(f"redact returned {type(changed).__name__}, not a part or None")
    return changed


def counted(count: CountTokens, text: str, model: str) -> int:
    """What the application's function counts. Raises CountFailed, which never quotes the text."""
    try:
        return count(text, model)
    except Exception as error:  # noqa: BLE001 - whatever the application's function raises
        raise CountFailed(f"count_tokens raised {type(error).__name__}") from None


def _described(part: Message) -> Message:
    """A blob without its bytes: what it is, how large it is, and by which hash it is found again."""
    content = part.get("content")
    if not content:
        return part
    data = content if isinstance(content, bytes | bytearray) else _decoded_bytes(str(content))
    return {**part, "content": "", "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _decoded_bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return text.encode("utf-8", "replace")


def _cut(part: Message, limit: int) -> Message:
    """The part with every member within the limit; what was longer is named by its hash."""
    if len(to_json(part)) <= limit:
        return part
    found = dict(part)
    for name, value in part.items():
        text = value if isinstance(value, str) else to_json(value)
        if name in _NAMES or len(text) <= limit:
            continue
        found[name] = text[:limit]
        found["omitted_characters"] = found.get("omitted_characters", 0) + len(text) - limit
        found["sha256"] = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
    return found


def text_of(messages: Iterable[Message]) -> str:
    """What a tokenizer reads of messages or parts: the texts, and structures as JSON."""
    pieces: list[str] = []
    for message in messages:
        for part in message.get("parts", (message,)):
            held = {name: value for name, value in part.items() if name not in _NAMES or name == "name"}
            if part.get("type") != "blob":
                pieces += [value if isinstance(value, str) else to_json(value) for value in held.values()]
    return "\n".join(pieces)


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
    return {"type": "blob", "modality": modality, "mime_type": mime_type, "content": data}
