"""Where the same call may be recorded twice: what the inserts tell, kept until somebody looks.

Nearly every process records its calls once. So an insert says in a few numbers which scopes of which service
sent calls, and only where several do, or one does what the rules ask about, the calls are looked at.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

_MOST_SERVICES = 10_000  # that are remembered: names are what anybody sends
_MOST_TRACES = 20_000  # of a place, beyond which only its time is remembered
_BUCKET_NS = 600 * 10**9
# Scopes whose one call may be two spans: Logfire sends one when a stream begins and one when it ends,
# Vercel's SDK 7 (whose scope is called so) an embedding within an embedding, Google's agents and OpenRouter a
# call within a call.
_TWICE = ("logfire", "gen_ai", "gcp.vertex.agent", "openrouter")
_NESTED = "calls within calls"  # remembered of a service like a second scope
_HALVES = ("logfire",)
_STREAM_NS = 600 * 10**9
# As far from its start another record of a call is looked for, whatever its end is said to be.
LONGEST_NS = 3600 * 10**9


class Seen(NamedTuple):
    """Calls of one service in one insert: their scopes, from when to when they lasted, and their traces.

    nested: whether one of them is the parent of another. For each call its start and end, and the 16 bytes of
    its trace's id, as arrays.
    """

    project: str
    service: str
    scopes: frozenset[str]
    nested: bool
    starts_ns: Any
    ends_ns: Any
    trace_ids: Any


class Place(NamedTuple):
    """What is looked at together: calls of a service that start within the same minutes."""

    project: str
    service: str
    bucket: int


@dataclass
class Range:
    """From when to when the new calls of a place last, and their traces."""

    first_ns: int
    last_ns: int
    trace_ids: set[bytes] = field(default_factory=set)


class Watch:
    """Collects what inserts saw, from any thread; hands out the places to look at."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._scopes: OrderedDict[tuple[str, str], set[str]] = OrderedDict()
        self._places: dict[Place, Range] = {}
        self._since: float | None = None  # when the oldest of the places came, monotonic
        self.changed = threading.Event()

    def saw(self, calls: Iterable[Seen]) -> None:
        """Take note of committed calls."""
        with self._lock:
            for seen in calls:
                halves = any(scope.startswith(_HALVES) for scope in seen.scopes)
                if self._is_suspect(seen):
                    self._note(seen, _STREAM_NS if halves else 0)
            if self._places:
                self.changed.set()

    def _is_suspect(self, seen: Seen) -> bool:
        key = seen.project, seen.service
        scopes = self._scopes.setdefault(key, set())
        self._scopes.move_to_end(key)
        scopes |= seen.scopes | ({_NESTED} if seen.nested else set())
        while len(self._scopes) > _MOST_SERVICES:
            self._scopes.popitem(last=False)
        return len(scopes) > 1 or any(scope.startswith(_TWICE) for scope in seen.scopes)

    def _note(self, seen: Seen, around_ns: int) -> None:
        times = zip(seen.starts_ns.tolist(), seen.ends_ns.tolist(), strict=True)
        for (start, end), trace in zip(times, seen.trace_ids, strict=True):
            place = Place(seen.project, seen.service, start // _BUCKET_NS)
            last = min(end, start + LONGEST_NS)
            known = self._places.get(place)
            if known is None:
                known = self._places[place] = Range(start, last)
                self._since = self._since or time.monotonic()
            known.first_ns = min(known.first_ns, start - around_ns)
            known.last_ns = max(known.last_ns, last + around_ns)
            if len(known.trace_ids) < _MOST_TRACES:
                known.trace_ids.add(trace.tobytes())

    def take(self) -> dict[Place, Range]:
        """The places to look at; they are forgotten here."""
        with self._lock:
            places, self._places = self._places, {}
            self._since = None
            self.changed.clear()
            return places

    def put_back(self, places: dict[Place, Range]) -> None:
        """Places that could not be looked at."""
        with self._lock:
            for place, seen in places.items():
                known = self._places.setdefault(place, seen)
                known.first_ns = min(known.first_ns, seen.first_ns)
                known.last_ns = max(known.last_ns, seen.last_ns)
                known.trace_ids |= seen.trace_ids
            self._since = self._since or time.monotonic()
            self.changed.set()

    def waiting_s(self) -> float:
        """For how long the oldest of the places has waited."""
        with self._lock:
            return 0.0 if self._since is None else time.monotonic() - self._since
