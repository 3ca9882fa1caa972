"""The nouns that every provider is read into: what was asked, what came back, what it used."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from opentelemetry.util.types import AttributeValue

from spanledger.schemas import attributes as names

Message = dict[str, Any]


def nothing() -> list[Message]:
    return []


@dataclass(frozen=True, slots=True)
class Request:
    """A call as it was asked for; content is behind functions, so it costs nothing while it is off."""

    operation: str
    provider: str
    model: str | None
    attributes: Mapping[str, AttributeValue]
    stream: bool = False
    input_messages: Callable[[], list[Message]] = nothing
    system_instructions: Callable[[], list[Message]] = nothing
    tool_definitions: Callable[[], list[Message]] = nothing


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts as the provider reported them; None is "not reported", 0 is zero.

    Input includes the cached tokens, output includes reasoning; the others are parts of those two.
    """

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    text_input: int | None = None
    text_output: int | None = None
    image_input: int | None = None
    image_output: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None
    # What else the provider bills, by the names of the price list, such as web_searches.
    units: Mapping[str, int] = field(default_factory=dict)
    # Counted here by the application's own function, because the provider told nothing.
    estimated: bool = False

    def attributes(self) -> dict[str, int]:
        counts = {key: getattr(self, part) for part, key in _USAGE_ATTRIBUTES.items()}
        counts.update(
            {
                _UNIT_ATTRIBUTES.get(unit, names.USAGE_UNIT_PREFIX + unit): count
                for unit, count in self.units.items()
            }
        )
        if self.estimated:
            counts[names.USAGE_ESTIMATED] = True
        return {key: count for key, count in counts.items() if count is not None}


_USAGE_ATTRIBUTES = {
    "input": names.USAGE_INPUT_TOKENS,
    "output": names.USAGE_OUTPUT_TOKENS,
    "cache_read": names.USAGE_CACHE_READ_INPUT_TOKENS,
    "cache_write": names.USAGE_CACHE_WRITE_INPUT_TOKENS,
    "reasoning": names.USAGE_REASONING_OUTPUT_TOKENS,
    "text_input": names.USAGE_TEXT_INPUT_TOKENS,
    "text_output": names.USAGE_TEXT_OUTPUT_TOKENS,
    "image_input": names.USAGE_IMAGE_INPUT_TOKENS,
    "image_output": names.USAGE_IMAGE_OUTPUT_TOKENS,
    "audio_input": names.USAGE_AUDIO_INPUT_TOKENS,
    "audio_output": names.USAGE_AUDIO_OUTPUT_TOKENS,
}
# Units that the conventions have a name for.
_UNIT_ATTRIBUTES = {
    "input_video_tokens": names.USAGE_VIDEO_INPUT_TOKENS,
    "output_video_tokens": names.USAGE_VIDEO_OUTPUT_TOKENS,
    "cache_audio_read_tokens": names.USAGE_AUDIO_CACHE_READ_INPUT_TOKENS,
    "cache_image_read_tokens": names.USAGE_IMAGE_CACHE_READ_INPUT_TOKENS,
}


def usage_of(attributes: Mapping[str, Any]) -> Usage | None:
    """The counts that a span carries, or None if it carries neither of the totals."""
    counts: dict[str, Any] = {
        part: value
        for part, key in _USAGE_ATTRIBUTES.items()
        if isinstance(value := attributes.get(key), int) and not isinstance(value, bool) and value >= 0
    }
    return Usage(**counts) if {"input", "output"} & counts.keys() else None


@dataclass(slots=True)
class Response:
    """What came back, as far as it came: a stream that broke has what arrived before."""

    id: str | None = None
    model: str | None = None
    finish_reasons: Sequence[str] = ()
    usage: Usage | None = None
    service_tier: str | None = None
    attributes: dict[str, AttributeValue] = field(default_factory=dict)
    output_messages: Callable[[], list[Message]] = nothing


class Accumulator(Protocol):
    """Puts one call's answer together from its chunks."""

    def add(self, chunk: Any) -> None: ...

    def response(self) -> Response: ...
