"""`read_messages`: what a span's call was asked, what it answered, and with which instructions and tools.

Spans are stored with their attributes as they were sent. This reads them, whichever dialect they speak, into
the form of the GenAI conventions; it never fails, and what it cannot read it gives as it was sent, marked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import takewhile
from typing import Any, NamedTuple

from spanledger.query_api.messages import langchain, sources
from spanledger.query_api.messages.parse import UNREADABLE, first, is_empty, parse
from spanledger.query_api.messages.parts import Part
from spanledger.query_api.messages.sent import EVENTS, NUMBERED, Sent, Source

_SYSTEM_ROLES = ("system", "developer")
_SECTIONS = (sources.INPUT, sources.OUTPUT, sources.SYSTEM_INSTRUCTIONS, sources.TOOL_DEFINITIONS)
_TOOL_KEYS = (*sources.TOOL_ARGUMENTS, *sources.TOOL_RESULT, *sources.TOOL_NAME, *sources.TOOL_CALL_ID)
_KEYS = frozenset(_TOOL_KEYS).union(*(place.needs for section in _SECTIONS for place in section))
_PREFIXES = {
    root: [key.removesuffix(NUMBERED) for key in _KEYS if key.startswith(root) and key.endswith(NUMBERED)]
    for root in ("llm", "gen_ai.prompt", "gen_ai.completion")
}


class _Sections(NamedTuple):
    """The sources of each section that may have something, in their order."""

    input: tuple[Source, ...]
    output: tuple[Source, ...]
    system_instructions: tuple[Source, ...]
    tool_definitions: tuple[Source, ...]


@lru_cache(1024)  # spans of a kind are given the same
def _sections(given: frozenset[str]) -> _Sections:
    return _Sections(
        *(tuple(place for place in section if not place.needs.isdisjoint(given)) for section in _SECTIONS)
    )


class Found(NamedTuple):
    """A value and the keys that it came from. `as_sent`: it could not be read, so it is what was sent."""

    value: Any
    source: tuple[str, ...]
    as_sent: bool = False


class Conversation(NamedTuple):
    """What was found with a span; None where nothing was sent.

    `input` and `output` are messages, `[{role, parts, name?, finish_reason?}]`; of the run of a tool they are
    its arguments and its result, of a retrieval `output` is its documents. `system_instructions` are parts,
    `tool_definitions` are `[{type, name, description?, parameters?}]`, `tool` is `{name, call_id, arguments,
    result}` of the run of a tool.
    """

    input: Found | None
    output: Found | None
    system_instructions: Found | None
    tool_definitions: Found | None
    tool: Found | None


_NOTHING = Conversation(None, None, None, None, None)
# By the keys of attributes what of them the sources need.
Known = dict[tuple[str, ...], frozenset[str]]


def read_messages(
    attributes: Mapping[str, Any],
    events: Sequence[Mapping[str, Any]] = (),
    logs: Sequence[Mapping[str, Any]] = (),
    known: Known | None = None,
) -> Conversation:
    """What stands in the attributes of a span, in its events and in its log records.

    attributes: as `values.merged` gives them. events: `{name, attributes}`, logs: `{event_name, body,
    attributes}`, both in the order of their time. known: of who reads many spans, for spans that have the
    same keys; empty at first.
    """
    sent = Sent(attributes, events, logs)
    keys = tuple(attributes)
    given = known.get(keys) if known is not None else None
    if given is None:
        given = sent.given(_KEYS, _PREFIXES)
        if known is not None:
            known[keys] = given
    if sent.records:
        given |= {EVENTS}
    if not given:
        return _NOTHING
    sections = _sections(given)
    run = _tool(sent) if sent.is_tool else {}
    came_in, system = run.get("arguments"), _read(sent, sections.system_instructions)
    if came_in is None:
        came_in, system = _without_system(_read(sent, sections.input), system)
    came_out = run.get("result") or _read(sent, sections.output)
    return Conversation(came_in, came_out, system, _read(sent, sections.tool_definitions), _together(run))


def _read(sent: Sent, places: Sequence[Source]) -> Found | None:
    """The first that can be read and says something; else what can be read; else what was sent first."""
    hollow = unread = None
    for place in places:
        value = place.fetch(sent)
        if value is None:
            continue
        read = place.read(value, sent)
        if read is None:
            unread = unread or Found(value, (place.name,), as_sent=True)
        elif any(_says_something(each) for each in read):
            return _filled(hollow, Found(read, (place.name,)))
        elif read:
            hollow = hollow or Found(read, (place.name,))
    return hollow or unread


def _says_something(one: Any) -> bool:
    """A message without parts says nothing; nor do instructions alone, where another source may have more."""
    return not _is_message(one) or (one["parts"] != [] and one["role"] not in _SYSTEM_ROLES)


def _is_message(one: Any) -> bool:
    return isinstance(one, dict) and "role" in one and isinstance(one.get("parts"), list)


def _side(sent: Sent, keys: tuple[str, ...]) -> Found | None:
    held = sent.attributes
    key = next((key for key in keys if key in held and not is_empty(held[key])), None)
    if key is None:
        return None
    value = parse(held[key])
    return Found(held[key], (key,), as_sent=True) if value is UNREADABLE else Found(value, (key,))


def _tool(sent: Sent) -> dict[str, Found | None]:
    """What there is to know of the run of a tool."""
    result, call_id = _side(sent, sources.TOOL_RESULT), _side(sent, sources.TOOL_CALL_ID)
    said = langchain.tool_message(result.value) if result else None
    if result and said:
        call_id = call_id or result._replace(value=said["tool_call_id"])
        result = result._replace(value=said["content"])
    return {
        "name": _side(sent, sources.TOOL_NAME),
        "call_id": call_id,
        "arguments": _side(sent, sources.TOOL_ARGUMENTS),
        "result": result,
    }


def _together(run: Mapping[str, Found | None]) -> Found | None:
    if not run:
        return None
    found = [each for each in run.values() if each]
    value = {member: each and each.value for member, each in run.items()}
    keys = dict.fromkeys(key for each in found for key in each.source)
    return Found(value, tuple(keys), any(each.as_sent for each in found))


def _filled(hollow: Found | None, found: Found) -> Found:
    """LiteLLM sends tool calls apart from the messages, whose parts are empty then."""
    if hollow is None or len(hollow.value) != len(found.value) or any(one["parts"] for one in hollow.value):
        return found
    if not all(_is_message(one) for one in found.value):
        return found
    both = zip(hollow.value, found.value, strict=True)
    whole = [{**other, **one, "parts": other["parts"]} for one, other in both]
    return Found(whole, (*hollow.source, *found.source))


def _without_system(came_in: Found | None, system: Found | None) -> tuple[Found | None, Found | None]:
    """Instructions stand in one place: those at the beginning of the input only where no others are."""
    if came_in is None or came_in.as_sent or not came_in.value or not _is_system(came_in.value[0]):
        return came_in, system
    leading = list(takewhile(_is_system, came_in.value))
    said = [part for one in leading for part in one["parts"]]
    if not said:
        return came_in, system
    if system is not None and (system.as_sent or _texts(system.value) != _texts(said)):
        return came_in, system
    rest = came_in._replace(value=came_in.value[len(leading) :])
    return rest, system or Found(said, came_in.source)


def _is_system(one: Any) -> bool:
    if not isinstance(one, dict) or one.get("role") not in _SYSTEM_ROLES:
        return False
    return all(part["type"] == "text" for part in one["parts"])


def _texts(parts: Sequence[Part]) -> list[Any]:
    return [first(part, "content") for part in parts]
