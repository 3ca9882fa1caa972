"""What was sent with a span, as the table of sources looks things up in it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from spanledger.query_api.messages import envelopes
from spanledger.query_api.messages.events import name_of
from spanledger.query_api.messages.flattened import tree
from spanledger.query_api.messages.parse import is_empty, mapping
from spanledger.schemas.calls import role_of
from spanledger.schemas.dialects import FIELDS

Reader = Callable[[Any], Any]

_KINDS = next(field.keys for field in FIELDS if field.column == "span_kind")
# Without a kind these make a span that of a tool.
TOOL_KEYS = (
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.call.result",
    "ai.toolCall.name",
    "gcp.vertex.agent.tool_call_args",
)


NUMBERED = ".N"  # stands behind a prefix for all the keys with numbers behind it
EVENTS = "events"  # stands among what was given where there are events or log records


class Sent:
    """The attributes of a span, its events and its log records."""

    def __init__(
        self,
        attributes: Mapping[str, Any],
        events: Sequence[Mapping[str, Any]],
        logs: Sequence[Mapping[str, Any]],
    ) -> None:
        self.attributes = attributes
        self.records = (*events, *logs)
        kinds = () if attributes.keys().isdisjoint(_KINDS) else _KINDS
        kind = next((attributes[key] for key in kinds if not is_empty(attributes.get(key))), "")
        operation = str(attributes.get("gen_ai.operation.name") or "")
        # MLflow sends its kinds as JSON text.
        self._role = role_of(operation, str(kind).strip('"'))
        self._says = bool(operation or kind)

    @property
    def is_call(self) -> bool:
        """Whether this may be the call of a model: nothing says otherwise."""
        return self._role == "LLM" or not self._says

    @property
    def is_tool(self) -> bool:
        """Whether this is the run of a tool."""
        return self._role == "TOOL" or (
            self._role != "LLM" and not self.attributes.keys().isdisjoint(TOOL_KEYS)
        )

    def given(self, keys: frozenset[str], prefixes: Mapping[str, Sequence[str]]) -> frozenset[str]:
        """What of all that the sources need is among the keys, the prefixes by what they start with.

        A trace has many spans, and most of them have little of it.
        """
        found = keys.intersection(self.attributes)
        for root, longer in prefixes.items():
            if self._has(root):
                found = found.union(f"{prefix}{NUMBERED}" for prefix in longer if self._has(prefix))
        return found

    @cached_property
    def _keys(self) -> list[str]:
        return sorted(self.attributes)

    def _has(self, prefix: str) -> bool:
        at = bisect_left(self._keys, f"{prefix}.")
        return at < len(self._keys) and self._keys[at].startswith(f"{prefix}.")

    def numbered(self, prefix: str) -> dict[str, Any] | None:
        """The attributes whose keys are the prefix and a number and what follows."""
        start = f"{prefix}."
        found = {}
        for at in range(bisect_left(self._keys, start), len(self._keys)):
            key = self._keys[at]
            if not key.startswith(start):
                break
            if key[len(start) :].partition(".")[0].isdigit():
                found[key] = self.attributes[key]
        return found or None


class Source(NamedTuple):
    """A place where something may stand. `name` is what it is called in the documentation and in answers."""

    name: str
    needs: frozenset[str]  # without one of these it has nothing
    fetch: Callable[[Sent], Any]  # what was sent; None where nothing was
    read: Callable[[Any, Sent], Any]  # what that means; None where it cannot be told


def attribute(key: str, read: Reader) -> Source:
    """An attribute."""
    return Source(
        key, frozenset({key}), lambda sent: _given(sent.attributes.get(key)), lambda value, _: read(value)
    )


def holder(key: str, read: Callable[..., Any]) -> Source:
    """An attribute that may hold anything: text in it is somebody's words on the call of a model only."""
    return attribute(key, read)._replace(read=lambda value, sent: read(value, plain=sent.is_call))


def numbered(prefix: str, read: Reader) -> Source:
    """Attributes whose keys have a number behind a prefix: `prefix.N.*`."""
    name, cut = f"{prefix}{NUMBERED}", len(prefix) + 1
    return Source(
        name,
        frozenset({name}),
        lambda sent: sent.numbered(prefix),
        lambda flat, _: read(tree((key[cut:], value) for key, value in flat.items())),
    )


def together(name: str, keys: Iterable[str], read: Reader) -> Source:
    """Attributes that are one answer together."""
    keys = tuple(keys)

    def fetch(sent: Sent) -> Any:
        return {key: sent.attributes[key] for key in keys if not is_empty(sent.attributes.get(key))} or None

    return Source(name, frozenset(keys), fetch, lambda value, _: read(value))


def within(key: str, members: tuple[str, ...], read: Reader) -> Source:
    """A member of a request that an attribute holds whole, under the first of its names."""

    def fetch(sent: Sent) -> Any:
        value = sent.attributes.get(key)
        if isinstance(value, str) and not any(name in value for name in members):
            return None  # spares the parsing of large prompts
        return _given(envelopes.member(value, members))

    return attribute(key, read)._replace(fetch=fetch)


def picked(key: str, pick: Callable[[Any], Any], read: Reader) -> Source:
    """What is picked out of an attribute; nothing was sent where there is none of it."""
    return Source(
        key, frozenset({key}), lambda sent: pick(sent.attributes.get(key)), lambda value, _: read(value)
    )


def of_event(name: str, key: str, read: Reader) -> Source:
    """An attribute of an event of the span, or of a log record of it."""

    def fetch(sent: Sent) -> Any:
        held = (
            mapping(record.get("attributes")).get(key) for record in sent.records if name_of(record) == name
        )
        return next((value for value in held if not is_empty(value)), None)

    return Source(f"{name}: {key}", frozenset({EVENTS}), fetch, lambda value, _: read(value))


def records(name: str, names: Iterable[str], read: Reader) -> Source:
    """The events and log records of these names, in their order."""
    names = tuple(names)
    return Source(
        name,
        frozenset({EVENTS}),
        lambda sent: [each for each in sent.records if name_of(each) in names] or None,
        lambda value, _: read(value),
    )


def _given(value: Any) -> Any:
    return None if is_empty(value) else value
