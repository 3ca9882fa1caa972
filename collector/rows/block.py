"""From requests to a block: gives the compiled functions their memory and names what they made."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spanledger.collector.duplicates.watch import Seen
from spanledger.collector.rows import memory, native, scan, spans
from spanledger.collector.rows.known import known, put_known
from spanledger.collector.rows.memory import Memory
from spanledger.collector.rows.money import Pricing
from spanledger.collector.rows.requests import DELETED, EXPIRED, REQUEST, transcode
from spanledger.schemas.errors import BadData
from spanledger.schemas.removals import Removed, nothing_removed

if TYPE_CHECKING:
    from spanledger.collector.rows.tables import Table

# Where an array of entries or of items of lists ends: 400 MB of them in one column.
_MOST_ENTRIES = 1 << 24
# What is kept from one batch to the next: lengths of arrays, as in `Blocks._sizes`, and bytes of each.
_MOST_KEPT = {"text": 6.5, "strings": 1 << 18, "keys": 1 << 16, "entries": 1 / 4, "nested": 1 / 4}
_KEPT_BYTES = 1 << 30
_NOTHING_REMOVED = nothing_removed()


class Request(NamedTuple):
    """A request that the gate has let through: whose it is, when it came, and its bytes.

    `spans` is how many of its spans (or log records) are good; `deep` says that some are not because of
    values that nest too deep; `table` is the name of the table (tables.py) that takes them.
    """

    body: bytes
    project: str
    received_at_ns: int
    spans: int
    deep: bool = False
    table: str = "spans"


class LeftOut(NamedTuple):
    """How many good spans or log records of a request are not stored: their trace was deleted, or they are
    from before what the project keeps.
    """

    deleted: int = 0
    expired: int = 0


class Block(NamedTuple):
    """Rows in the Native format, how many attributes were cut or left out on the way, by reason, what calls
    of language models are in it, and what of each request is not; of none where there is nothing.

    `data` lasts until the next block is made. `times`: a block for the table `trace_times`; empty: none.
    """

    data: memoryview
    rows: int
    cut: int
    dropped_key_length: int
    dropped_count: int
    calls: Sequence[Seen] = ()
    left_out: Sequence[LeftOut] = ()
    times: bytes = b""


class Limits(NamedTuple):
    """What is cut or left out: bytes of a value, attributes of a holder, characters of a key, levels."""

    value_bytes: int
    attributes: int
    key_characters: int
    depth: int


class Blocks:
    """Makes blocks; keeps its memory from one to the next, so not for two threads at once."""

    def __init__(self, table: Table, limits: Limits, pricing: Pricing) -> None:
        self._table = table
        self._limits = limits
        self._pricing = pricing
        # How long the arrays are made: entries, nested and text for each byte of requests.
        self._sizes = {"text": 1.5, "strings": 1 << 12, "keys": 1 << 10, "entries": 1 / 40, "nested": 1 / 200}
        self._kept: dict[str, Any] = {}
        self._buffer = native.Buffer()
        self._known = known(table.fields)
        self._path = np.zeros(2 * memory.DEEPEST_MEMBER, np.int64)
        self._seed = int.from_bytes(os.urandom(7), "little")

    def make(self, requests: Sequence[Request], removed: Removed = _NOTHING_REMOVED) -> Block:
        """One block of all good spans or log records of the requests, which are all for the table, without
        those that must not be stored.
        """
        while True:
            filled, rows, left_out = self._transcode(requests, removed)
            short = filled.state[memory.SHORT]
            if not short:
                break
            # Twice as long, as often as it takes: what the batch holds is not known before it is read.
            for flag, name in (
                (memory.SHORT_ARENA, "text"),
                (memory.SHORT_STRINGS, "strings"),
                (memory.SHORT_KEYS, "keys"),
                (memory.SHORT_ENTRIES, "entries"),
                (memory.SHORT_NESTED, "nested"),
            ):
                if short & flag:
                    self._sizes[name] *= 2
            self._bound(requests)
        made = self._table.columns(filled, rows, self._pricing)
        state = filled.state
        self._forget()
        return Block(
            self._buffer.block(rows, made.columns),
            rows,
            int(state[memory.CUT]),
            int(state[memory.DROPPED_LONG]),
            int(state[memory.DROPPED_MANY]),
            made.calls,
            left_out,
            bytes(native.Buffer().block(*made.times)) if made.times[0] else b"",
        )

    def _bound(self, requests: Sequence[Request]) -> None:
        """BadData where the arrays outgrow their bound.

        A resource's attributes stand on each of its spans, so that a small request could fill any memory.
        """
        text = sum(len(request.body) for request in requests)
        if max(self._sizes["entries"], self._sizes["nested"]) * text > _MOST_ENTRIES:
            self._forget()
            raise BadData(f"{text} bytes of requests that become more than {_MOST_ENTRIES} attributes")

    def _forget(self) -> None:
        """Let go of what an unusual batch made larger than the usual ones need."""
        for name, most in _MOST_KEPT.items():
            self._sizes[name] = min(self._sizes[name], most)
        self._kept = {name: array for name, array in self._kept.items() if array.nbytes <= _KEPT_BYTES}

    def _transcode(
        self, requests: Sequence[Request], removed: Removed
    ) -> tuple[Memory, int, Sequence[LeftOut]]:
        projects = sorted({request.project for request in requests})
        head = self._known.preamble + "".join(projects).encode()
        bodies = sum(len(request.body) for request in requests)
        rows = sum(request.spans for request in requests)
        m = self._memory(len(head) + bodies, rows)._replace(deleted=removed.traces)
        m.arena[: len(head)] = np.frombuffer(head, np.uint8)
        keys = self._known.codes.shape[1]
        m.keys[: memory.HINTS + 1, :keys] = self._known.codes
        m.state[memory.KEYS] = keys
        m.state[memory.FIRST_PREFIX], m.state[memory.LAST_PREFIX] = self._known.prefixes
        m.state[memory.CHUNK_EVENTS] = len(self._known.events)
        put_known(m, self._known.keys, self._known.events, self._known.distinct)
        at = len(self._known.preamble)
        for project in projects:
            size = len(project.encode())
            memory.intern(m, spans.L_PROJECT, at, size)
            at += size
        table = np.zeros((len(requests), REQUEST), np.int64)
        now_ns = time.time_ns()
        of_project = [removed.of(project, now_ns) for project in projects]
        for n, request in enumerate(requests):
            m.arena[at : at + len(request.body)] = np.frombuffer(request.body, np.uint8)
            number = projects.index(request.project)
            end = at + len(request.body)
            table[n, :DELETED] = (at, end, number, request.received_at_ns, request.deep, *of_project[number])
            at += len(request.body)
        m.state[memory.USED] = at
        made = int(transcode(m, self._table.what, table))
        counts = table[:, [DELETED, EXPIRED]]
        left_out = [LeftOut(*row) for row in counts.tolist()] if counts.any() else ()
        return m, made, left_out

    def _memory(self, text: int, rows: int) -> Memory:
        sizes, depth, fields = self._sizes, self._limits.depth, self._table.fields
        keys, strings = max(int(sizes["keys"]), self._known.codes.shape[1]), int(sizes["strings"])
        state = np.zeros(memory.COUNTS + self._table.string_columns, np.int64)
        state[memory.LIMIT_VALUE] = self._limits.value_bytes
        state[memory.LIMIT_ATTRIBUTES] = self._limits.attributes
        state[memory.LIMIT_KEY] = self._limits.key_characters
        state[memory.SEED] = self._seed
        slots = np.empty((memory.FIELD_COLUMN + 1, len(fields)), np.int64)
        slots[memory.WAY :] = self._known.ways
        lists = 1 + self._table.lists
        return Memory(
            arena=self._array("arena", (), text * sizes["text"] + 4096, np.uint8),
            state=state,
            strings=self._array("strings", (memory.NUMBER + 1,), strings),
            heads=np.zeros(4 * strings, np.int64),
            keys=np.zeros((memory.KEY_ROWS, _stride(keys)), np.int64),
            pairs=self._array("pairs", (3,), self._limits.attributes),
            slots=slots,
            members=self._known.members,
            path=self._path,
            stack=np.empty(scan.STACK * depth, np.int64),
            head=np.empty(scan.HEAD, np.int64),
            cut=np.empty(spans.CUT_ABOVE, np.int64),
            entries=self._array("entries", (spans.E_SIZE + 1, memory.MAPS), text * sizes["entries"]),
            nested=self._array("nested", (spans.L_LISTS + lists,), text * sizes["nested"]),
            cells=self._array("cells", (self._table.cells,), rows),
            deleted=_NOTHING_REMOVED.traces,
        )

    def _array(self, name: str, outer: tuple[int, ...], length: float, kind: Any = np.int64) -> Any:
        """The array of the batch before where it is long enough: memory that is new must be cleared first."""
        array = self._kept.get(name)
        if array is None or array.shape[-1] < length:
            array = self._kept[name] = np.empty((*outer, _stride(length)), kind)
        return array


def _stride(length: float) -> int:
    """A length at or above `length` that keeps the same place of all rows from one set of the cache."""
    return (int(length) + 511) // 512 * 512 + 8
