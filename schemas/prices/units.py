"""The units that providers bill by: what can be counted of a call, and what a published price is a price of.

Names, price keys and dimensions are those of genai-prices, whose list is the one that we follow: a unit is
part of another where it has all of its dimensions, so cached input is input, and cached audio is both cached
input and audio input.
"""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple


class Unit(NamedTuple):
    """A unit: its name (the usage key), how many of it a published price is for, and the key of that price.

    `direction` is what of a call it belongs to (`input`, `output`, or '' for neither); `dimensions` are the
    others.
    """

    name: str
    per: int
    price_key: str
    family: str
    direction: str = ""
    dimensions: tuple[tuple[str, str], ...] = ()

    @property
    def all_dimensions(self) -> frozenset[tuple[str, str]]:
        """Direction and family among the others."""
        own = {("family", self.family), *self.dimensions}
        return frozenset(own | {("direction", self.direction)} if self.direction else own)


_M = 1_000_000
_READ, _WRITE = ("token_type", "cache_read"), ("token_type", "cache_write")
_AUDIO, _IMAGE, _VIDEO = ("modality", "audio"), ("modality", "image"), ("modality", "video")

UNITS: tuple[Unit, ...] = (
    Unit("input_tokens", _M, "input_mtok", "tokens", "input"),
    Unit("output_tokens", _M, "output_mtok", "tokens", "output"),
    Unit("cache_read_tokens", _M, "cache_read_mtok", "tokens", "input", (_READ,)),
    Unit("cache_write_tokens", _M, "cache_write_mtok", "tokens", "input", (_WRITE,)),
    Unit(
        "cache_write_5m_tokens", _M, "cache_write_5m_mtok", "tokens", "input", (_WRITE, ("cache_ttl", "5m"))
    ),
    Unit(
        "cache_write_1h_tokens", _M, "cache_write_1h_mtok", "tokens", "input", (_WRITE, ("cache_ttl", "1h"))
    ),
    Unit(
        "output_reasoning_tokens",
        _M,
        "output_reasoning_mtok",
        "tokens",
        "output",
        (("token_type", "reasoning"),),
    ),
    Unit(
        "output_citation_tokens",
        _M,
        "output_citation_mtok",
        "tokens",
        "output",
        (("token_type", "citation"),),
    ),
    Unit("input_audio_tokens", _M, "input_audio_mtok", "tokens", "input", (_AUDIO,)),
    Unit("output_audio_tokens", _M, "output_audio_mtok", "tokens", "output", (_AUDIO,)),
    Unit("cache_audio_read_tokens", _M, "cache_audio_read_mtok", "tokens", "input", (_AUDIO, _READ)),
    Unit("input_image_tokens", _M, "input_image_mtok", "tokens", "input", (_IMAGE,)),
    Unit("output_image_tokens", _M, "output_image_mtok", "tokens", "output", (_IMAGE,)),
    Unit("cache_image_read_tokens", _M, "cache_image_read_mtok", "tokens", "input", (_IMAGE, _READ)),
    Unit("input_video_tokens", _M, "input_video_mtok", "tokens", "input", (_VIDEO,)),
    Unit("output_video_tokens", _M, "output_video_mtok", "tokens", "output", (_VIDEO,)),
    Unit("input_characters", _M, "input_mchars", "characters", "input"),
    Unit(
        "input_text_messages",
        1_000,
        "input_text_messages_kcount",
        "messages",
        "input",
        (("modality", "text"),),
    ),
    Unit("audio_seconds", 3_600, "audio_hours", "durations", "", (_AUDIO,)),
    Unit("input_audio_seconds", 3_600, "input_audio_hours", "durations", "input", (_AUDIO,)),
    Unit("input_document_pages", 1_000, "input_document_kpages", "document_pages", "input"),
    Unit(
        "input_annotated_document_pages",
        1_000,
        "input_annotated_document_kpages",
        "document_pages",
        "input",
        (("page_type", "annotated"),),
    ),
    Unit("web_searches", 1_000, "web_searches_kcount", "tool_calls", "", (("tool_type", "web_search"),)),
    Unit(
        "storage_searches",
        1_000,
        "storage_searches_kcount",
        "tool_calls",
        "",
        (("tool_type", "storage_search"),),
    ),
    Unit("requests", 1_000, "requests_kcount", "requests"),
)

NUMBERS: dict[str, int] = {unit.name: number for number, unit in enumerate(UNITS)}
BY_PRICE_KEY: dict[str, Unit] = {unit.price_key: unit for unit in UNITS}

_DIMENSIONS = [unit.all_dimensions for unit in UNITS]
_TOGETHER = {own: number for number, own in enumerate(_DIMENSIONS)}
# By number: the units that are part of each.
PARTS: tuple[tuple[int, ...], ...] = tuple(
    tuple(part for part, others in enumerate(_DIMENSIONS) if own < others) for own in _DIMENSIONS
)
# Pairs of units that may count the same thing, none a part of the other, and the unit that is both, if there
# is one.
OVERLAPS: tuple[tuple[int, int, int | None], ...] = tuple(
    (one, other, _TOGETHER.get(_DIMENSIONS[one] | _DIMENSIONS[other]))
    for one, other in combinations(range(len(UNITS)), 2)
    if other not in PARTS[one]
    and one not in PARTS[other]
    and len(dict(_DIMENSIONS[one] | _DIMENSIONS[other])) == len(_DIMENSIONS[one] | _DIMENSIONS[other])
)
# Most specific first, as counts are taken apart: what is left over goes to the unit that includes them.
SPECIFIC_FIRST: tuple[int, ...] = tuple(
    sorted(range(len(UNITS)), key=lambda number: (-len(_DIMENSIONS[number]), UNITS[number].name))
)


def coverage_fault(names: frozenset[str]) -> str:
    """What makes it impossible to bill by these units together, or ''.

    A part cannot be billed apart from its whole unless the whole has a price, nor two units that overlap
    unless their overlap has one: the same token would be paid twice.
    """
    numbers = sorted(NUMBERS[name] for name in names)
    for whole in range(len(UNITS)):
        if whole not in numbers:
            for part in PARTS[whole]:
                if part in numbers:
                    return (
                        f"{UNITS[part].name} has a price and {UNITS[whole].name}, of which it is part, none"
                    )
    for one, other, both in OVERLAPS:
        if one in numbers and other in numbers and both not in numbers:
            name = "what is both" if both is None else f"{UNITS[both].name}, which is both,"
            return f"{UNITS[one].name} and {UNITS[other].name} have prices and {name} none"
    return ""


# Columns of counts in `spans`, and the unit that each is; what else is counted bears its unit's name.
TOKEN_UNITS: dict[str, str] = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_tokens": "cache_read_tokens",
    "cache_write_tokens": "cache_write_tokens",
    "reasoning_tokens": "output_reasoning_tokens",
    "input_audio_tokens": "input_audio_tokens",
    "output_audio_tokens": "output_audio_tokens",
}
