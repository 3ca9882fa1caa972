"""The columns that every table has, made from what `transcode` left in the memory."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from spanledger.collector.duplicates.watch import Seen
from spanledger.collector.rows import memory, native, spans
from spanledger.collector.rows.memory import Memory

_MAP_COLUMNS = {
    "attributes_string": spans.M_STRING,
    "attributes_int": spans.M_INT,
    "attributes_double": spans.M_DOUBLE,
    "attributes_bool": spans.M_BOOL,
    "attributes_json": spans.M_JSON,
    "content_string": spans.M_CONTENT_STRING,
    "content_json": spans.M_CONTENT_JSON,
    "resource_attributes": spans.M_RESOURCE,
    "scope_attributes": spans.M_SCOPE,
}
# A row's entries of its resource and scope are copies, with their keys' numbers.
_NUMBERED_AS = {spans.M_RESOURCE: spans.M_OF_RESOURCE, spans.M_SCOPE: spans.M_OF_SCOPE}
TEXT, LOW, TIME = "String", "LowCardinality(String)", "DateTime64(9, 'UTC')"

Column = tuple[str, str, native.Pieces]  # name, type, values


class Made(NamedTuple):
    """The columns of a block, and what calls of language models are in it.

    `times`: rows and columns of what `trace_times` is told.
    """

    columns: list[Column]
    calls: list[Seen]
    times: tuple[int, list[Column]] = (0, [])


class Columns:
    """The columns of a block, made from what transcode left in the memory."""

    def __init__(self, m: Memory, rows: int) -> None:
        self.m = m
        self._rows = rows
        known = m.strings[:, : m.state[memory.STRINGS]]
        order = np.argsort(known[memory.COLUMN], kind="stable")
        self._known = np.ascontiguousarray(known[:, order])
        columns = len(m.state) - memory.COUNTS
        self._bounds = np.searchsorted(self._known[memory.COLUMN], np.arange(columns + 1))

    def shared(self) -> list[Column]:
        """Name, type and values of the columns that every table has."""
        m, c = self.m, spans
        columns = [
            ("project", LOW, self.distinct(c.L_PROJECT, c.C_PROJECT)),
            ("trace_id", "FixedString(16)", [native.fixed(m.arena, self.cell(c.C_TRACE), 16)]),
            ("span_id", "FixedString(8)", [native.fixed(m.arena, self.cell(c.C_SPAN), 8)]),
            ("flags", "UInt32", self.numbers(c.C_FLAGS, np.uint32)),
            ("service", LOW, self.distinct(c.L_SERVICE, c.C_SERVICE)),
            ("scope_name", LOW, self.distinct(c.L_SCOPE_NAME, c.C_SCOPE_NAME)),
            ("scope_version", LOW, self.distinct(c.L_SCOPE_VERSION, c.C_SCOPE_VERSION)),
            ("resource_schema_url", LOW, self.distinct(c.L_RESOURCE_SCHEMA, c.C_RESOURCE_SCHEMA)),
            ("resource_dropped_attributes_count", "UInt32", self.numbers(c.C_RESOURCE_DROPPED, np.uint32)),
            ("scope_schema_url", LOW, self.distinct(c.L_SCOPE_SCHEMA, c.C_SCOPE_SCHEMA)),
            ("scope_dropped_attributes_count", "UInt32", self.numbers(c.C_SCOPE_DROPPED, np.uint32)),
            ("dropped_attributes_count", "UInt32", self.numbers(c.C_DROPPED, np.uint32)),
            ("received_at", TIME, self.numbers(c.C_RECEIVED)),
            ("attributes_cut", f"Array({LOW})", self.list_of(0, c.L_CUT, self.cell(c.C_CUT))),
        ]
        return columns + [self._map(name, which) for name, which in _MAP_COLUMNS.items()]

    def cell(self, cell: int) -> Any:
        return self.m.cells[cell, : self._rows]

    def numbers(self, cell: int, kind: Any = np.int64) -> native.Pieces:
        # What a sender dropped and what we did may be more together than its column holds.
        values = self.cell(cell)
        return [uint32(values) if kind is np.uint32 else values.astype(kind, copy=False)]

    def strings(self, cell: int) -> native.Pieces:
        return [native.Strings(self.m.arena, self.cell(cell), self.cell(cell + 1))]

    def keys(self, column: int) -> tuple[Any, int]:
        """The distinct strings of a column as String values, and how many there are."""
        of_column = self._known[:, self._bounds[column] : self._bounds[column + 1]]
        keys = native.Strings(self.m.arena, of_column[memory.AT], of_column[memory.SIZE])
        return keys, of_column.shape[1]

    def values(self, column: int) -> list[str]:
        """The distinct strings of a column, decoded."""
        of_column = self._known[:, self._bounds[column] : self._bounds[column + 1]]
        arena = self.m.arena
        return [
            arena[at : at + size].tobytes().decode()
            for at, size in zip(of_column[memory.AT].tolist(), of_column[memory.SIZE].tolist(), strict=True)
        ]

    def distinct(self, column: int, cell: int) -> native.Pieces:
        return native.low_cardinality(*self.keys(column), self.cell(cell))

    def list_of(self, which: int, column: int, ends: Any) -> native.Pieces:
        items = self.m.nested[spans.L_LISTS + which, : self.m.state[memory.LIST_COUNTS + which]]
        values = native.low_cardinality(*self.keys(column), items, prefixed=False)
        return [native.LOW_CARDINALITY_PREFIX, ends, *values]

    def _map(self, name: str, which: int) -> Column:
        kinds = {spans.M_INT: "Int64", spans.M_DOUBLE: "Float64", spans.M_BOOL: "Bool"}
        kind = kinds.get(which, TEXT)
        ends = self.cell(spans.C_MAPS + which)
        values = [native.LOW_CARDINALITY_PREFIX, ends, *self.entries(which)]
        return name, f"Map({LOW}, {kind})", values

    def entries(self, which: int) -> native.Pieces:
        """Keys and values of a map column."""
        m = self.m
        entries = m.entries[:, which, : m.state[memory.MAP_COUNTS + which]]
        numbered = _NUMBERED_AS.get(which, which)
        distinct = m.keys[memory.KEY_OF + numbered, : m.state[memory.MAP_KEYS + numbered]]
        keys = native.Strings(m.arena, m.keys[memory.KEY_AT][distinct], m.keys[memory.KEY_SIZE][distinct])
        low = native.low_cardinality(keys, len(distinct), entries[spans.E_KEY], prefixed=False)
        if which == spans.M_BOOL:
            return [*low, entries[spans.E_VALUE].astype(np.uint8)]
        if which in (spans.M_INT, spans.M_DOUBLE):
            return [*low, entries[spans.E_VALUE]]
        return [*low, native.Strings(m.arena, entries[spans.E_VALUE], entries[spans.E_SIZE])]


def uint32(values: Any) -> Any:
    return np.minimum(values, 0xFFFF_FFFF).astype(np.uint32)
