"""Which records are of the same call, and which of them counts.

A call is recorded twice where two instrumentations see it: one within the other, side by side, or in two
traces; and where one library sends its request and what came of it as two spans. What is decided depends on
the records alone, not on the order in which they came.

Records are of one call where, in this order,

1. they have the same response id, overlap in time, and do not contradict each other in what was used;
2. one is Logfire's record of the end of a stream, and the other of its request;
3. one of them has no response id, they come from different scopes of the same process, used the same and
   name the same model, and one lasts within the other;
4. one is the only call below the other in its trace.

A record with several calls below it is their sum, and none itself. Everything that is not said by
these rules is a call of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

Key = tuple[bytes, bytes, int]  # trace id, span id, start

_MS = 1_000_000
_APART = 1_000 * _MS  # records with one response id are not further from each other
_LOOSE = 50 * _MS  # by so much one may stick out of the other that contains it
_DEEPEST = 64  # spans between a call and one below it
_MOST_RECORDS = 16  # of one call: an id that more records bear at once is no id, as of a mock's answers
_NEAR = 64  # records that begin next, among which one that is alike is looked for


class Record(NamedTuple):
    """A span that says it is a call.

    instance: the process that sent it. models: names asked for and answered with. prompt: a hash of the
    messages. details: how many more counts than the two totals it has. opened_ns: where it is
    Logfire's record of a stream's end, when the stream began.
    """

    trace_id: bytes
    span_id: bytes
    start_ns: int
    end_ns: int
    parent_id: bytes
    role: str
    scope: str
    instance: str
    response_id: str
    models: frozenset[str]
    prompt: int
    input_tokens: int | None
    output_tokens: int | None
    details: int
    priced: bool
    failed: bool
    conversation_id: str = ""
    user_id: str = ""
    opened_ns: int | None = None

    @property
    def key(self) -> Key:
        return self.trace_id, self.span_id, self.start_ns

    @property
    def used(self) -> bool:
        return self.input_tokens is not None or self.output_tokens is not None


class Decision(NamedTuple):
    """Whether a record counts; where not, the record of the same call that does (none: it is a sum).

    A record that counts says for whom the call was, where only another record of the call knows.
    """

    counts: bool
    duplicate_of: Key | None = None
    conversation_id: str = ""
    user_id: str = ""


# Of every span between two calls: its parent and its role.
Parents = Mapping[tuple[bytes, bytes], tuple[bytes, str]]


def decide(records: Iterable[Record], parents: Parents) -> dict[Key, Decision]:
    """A decision for every record. `parents`: by trace and span id, of the spans of their traces."""
    calls = sorted({record.key: record for record in records}.values())
    groups = _Groups(calls)
    _by_response(calls, groups)
    _ends_of_streams(calls, groups)
    _by_time(calls, groups)
    sums = _nested(calls, parents, groups)
    return _decisions(calls, groups, sums)


class _Groups:
    """Which of the records belong together, by their places."""

    def __init__(self, calls: Sequence[Record]) -> None:
        self._first = list(range(len(calls)))
        self._scopes = [{call.scope} for call in calls]
        self.members = [[n] for n in range(len(calls))]  # of the groups that begin with n

    def of(self, n: int) -> int:
        while self._first[n] != n:
            self._first[n] = self._first[self._first[n]]
            n = self._first[n]
        return n

    def join(self, a: int, b: int) -> None:
        a, b = sorted((self.of(a), self.of(b)))
        if a != b:
            self._first[b] = a
            self._scopes[a] |= self._scopes[b]
            self.members[a] += self.members[b]

    def share_scopes(self, a: int, b: int) -> bool:
        return not self._scopes[self.of(a)].isdisjoint(self._scopes[self.of(b)])


def _agree(a: Record, b: Record) -> bool:
    """Whether what they used is the same as far as both say it."""
    return all(
        one is None or other is None or one == other
        for one, other in ((a.input_tokens, b.input_tokens), (a.output_tokens, b.output_tokens))
    )


def _by_response(calls: Sequence[Record], groups: _Groups) -> None:
    same: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for n, call in enumerate(calls):
        if call.response_id:
            same[call.response_id, call.role].append(n)
    for numbers in same.values():
        numbers.sort(key=lambda n: (calls[n].start_ns, n))
        if _say_nothing(calls, numbers):
            continue
        for place, n in enumerate(numbers):
            for other in numbers[place + 1 :]:
                a, b = calls[n], calls[other]
                if b.start_ns > a.end_ns + _APART:
                    break
                if (a.instance == b.instance or a.trace_id == b.trace_id) and _agree(a, b):
                    groups.join(n, other)


def _say_nothing(calls: Sequence[Record], numbers: Sequence[int]) -> bool:
    """Whether more records bear an id at once than one call has; they are in the order of their start."""
    return any(
        calls[later].start_ns <= calls[n].end_ns + _APART
        for n, later in zip(numbers, numbers[_MOST_RECORDS:], strict=False)
    )


def _ends_of_streams(calls: Sequence[Record], groups: _Groups) -> None:
    """Give each end of a stream the request that ended last before the stream began, each request once."""
    requests: defaultdict[tuple[object, ...], list[int]] = defaultdict(list)
    ends: defaultdict[tuple[object, ...], list[int]] = defaultdict(list)
    for n, call in enumerate(calls):
        # Without a parent each is the root of a trace of its own.
        above = (call.trace_id, call.parent_id) if any(call.parent_id) else ()
        place: tuple[object, ...] = (call.instance, call.scope, call.role, call.prompt, above)
        if call.opened_ns is not None:
            ends[place].append(n)
        elif not call.used and not call.failed:
            requests[place].append(n)
    for where, numbers in ends.items():
        pairs = sorted(
            (abs(calls[n].opened_ns - calls[request].end_ns), n, request)  # type: ignore[operator]
            for n in numbers
            for request in requests[where]
            if -_LOOSE <= calls[n].opened_ns - calls[request].end_ns <= _APART  # type: ignore[operator]
            and not calls[n].models.isdisjoint(calls[request].models)
        )
        taken: set[int] = set()
        for _, n, request in pairs:
            if n not in taken and request not in taken:
                taken |= {n, request}
                groups.join(request, n)


def _by_time(calls: Sequence[Record], groups: _Groups) -> None:
    alike: defaultdict[tuple[object, ...], list[int]] = defaultdict(list)
    for n, call in enumerate(calls):
        if call.used or call.failed:
            used = (call.input_tokens, call.output_tokens, call.failed and not call.used)
            alike[call.instance, call.role, used].append(n)
    pairs = []
    for numbers in alike.values():
        numbers.sort(key=lambda n: (calls[n].start_ns, n))
        for place, n in enumerate(numbers):
            for other in numbers[place + 1 : place + 1 + _NEAR]:
                a, b = calls[n], calls[other]
                if b.start_ns > a.end_ns + _LOOSE:
                    break
                if _alike(a, b):
                    pairs.append((abs(a.start_ns - b.start_ns) + abs(a.end_ns - b.end_ns), n, other))
    # Of calls that run side by side and are alike each is paired with the one that lasts most like it.
    for _, n, other in sorted(pairs):
        if not groups.share_scopes(n, other):
            groups.join(n, other)


def _alike(a: Record, b: Record) -> bool:
    """Whether two records that used the same may be of one call; `a` begins first."""
    if a.scope == b.scope or (a.response_id and b.response_id) or a.models.isdisjoint(b.models):
        return False
    within = b.end_ns <= a.end_ns + _LOOSE
    around = a.start_ns >= b.start_ns - _LOOSE and a.end_ns <= b.end_ns + _LOOSE
    return within or around


def _nested(calls: Sequence[Record], parents: Parents, groups: _Groups) -> set[int]:
    """Join calls with the only call below them; return those that are sums of several."""
    place = {(call.trace_id, call.span_id): n for n, call in enumerate(calls)}
    below: defaultdict[int, list[int]] = defaultdict(list)
    parent_of: dict[int, int] = {}
    for n, call in enumerate(calls):
        above = _call_above(call, calls, place, parents)
        if above is not None and above != n:
            below[above].append(n)
            parent_of[n] = above
    sums: set[int] = set()
    # From below: what is within a call is decided before the call is.
    for n in sorted(below, key=lambda n: (-_depth(n, parent_of), n)):
        inner = {groups.of(m) for m in below[n]} - {groups.of(n)}
        if not inner:
            continue
        if len(inner) == 1 and sums.isdisjoint(below[n]):
            groups.join(n, *inner)
        elif calls[n].used and not any(calls[m].used for group in inner for m in groups.members[group]):
            # Only the sum is known.
            for group in inner:
                groups.join(n, group)
        elif len(groups.members[groups.of(n)]) == 1:
            sums.add(n)
    return sums


def _depth(n: int, parent_of: Mapping[int, int]) -> int:
    """How many calls are above one; parents may go round in a circle."""
    depth = 0
    while n in parent_of and depth <= len(parent_of):
        n = parent_of[n]
        depth += 1
    return depth


def _call_above(
    call: Record, calls: Sequence[Record], place: Mapping[tuple[bytes, bytes], int], parents: Parents
) -> int | None:
    """The next call above one, with nothing in between that has a part of its own in the trace."""
    parent = call.parent_id
    for _ in range(_DEEPEST):
        above = place.get((call.trace_id, parent))
        if above is not None:
            return above if calls[above].role == call.role else None
        parent, role = parents.get((call.trace_id, parent), (b"", ""))
        if role != "OTHER":
            return None
    return None


def _decisions(calls: Sequence[Record], groups: _Groups, sums: set[int]) -> dict[Key, Decision]:
    made = {calls[n].key: _own(calls[n], Decision(False)) for n in sums}
    for first, group in enumerate(groups.members):
        if groups.of(first) != first or first in sums:
            continue
        # Of equal ones the later is nearer to the provider.
        best, *others = sorted(group, key=lambda n: (_worth(calls[n]), calls[n].start_ns, -n), reverse=True)
        made |= {calls[n].key: _own(calls[n], Decision(False, calls[best].key)) for n in others}
        made[calls[best].key] = Decision(
            True,
            None,
            next((calls[n].conversation_id for n in (best, *others) if calls[n].conversation_id), ""),
            next((calls[n].user_id for n in (best, *others) if calls[n].user_id), ""),
        )
    return made


def _own(call: Record, decision: Decision) -> Decision:
    return decision._replace(conversation_id=call.conversation_id, user_id=call.user_id)


def _worth(call: Record) -> tuple[int, ...]:
    """How much a record says of its call."""
    return (
        (call.input_tokens is not None) + (call.output_tokens is not None),
        call.priced,
        call.details,
        bool(call.response_id),
        len(call.models),
        bool(call.conversation_id) + bool(call.user_id),
    )
