"""From requests to a block: gives the compiled functions their memory and names what they made."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from decimal import ROUND_DOWN, Context, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spanledger.collector.price_list import PriceList
from spanledger.collector.rows import costs, memory, native, scan, spans
from spanledger.collector.rows.memory import Memory
from spanledger.collector.rows.requests import transcode
from spanledger.schemas.dialects import CONTENT_KEYS, COUNTED_ROLES, FIELDS, PRICE_PROVIDERS, ROLES, Field
from spanledger.schemas.errors import BadData
from spanledger.schemas.prices import RATES

if TYPE_CHECKING:
    from spanledger.collector.rows.tables import Table

_WAYS = {
    "text": spans.AS_DISTINCT,
    "id": spans.AS_TEXT,
    "count": spans.AS_COUNT,
    "number": spans.AS_NUMBER,
    "money": spans.AS_MONEY,
    "texts": spans.AS_TEXTS,
}
_SLOT = {field.column: slot for slot, field in enumerate(FIELDS)}
_TEXT_LISTS = [field.column for field in FIELDS if field.kind == "texts"]
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
_MONEY, _TOKENS = "Nullable(Decimal(38, 18))", "Nullable(UInt64)"
_LARGEST_MONEY = 10**20  # where Decimal(38, 18) ends
_LAST_DIGIT = Decimal(1).scaleb(-18)
_CUT_OFF = Context(prec=60, rounding=ROUND_DOWN)
_DECIMAL = re.compile(rb"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
# Where an array of entries or of items of lists ends: 400 MB of them in one column.
_MOST_ENTRIES = 1 << 24
# What is kept from one batch to the next: lengths of arrays, as in `Blocks._sizes`, and bytes of each.
_MOST_KEPT = {"text": 6.5, "strings": 1 << 18, "keys": 1 << 16, "entries": 1 / 4, "nested": 1 / 4}
_KEPT_BYTES = 1 << 30
_USAGE = [f"{name}_tokens" for name in RATES if name != "request"]


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


class Block(NamedTuple):
    """Rows in the Native format, and how many attributes were cut or left out on the way, by reason.

    `data` lasts until the next block is made.
    """

    data: memoryview
    rows: int
    cut: int
    dropped_key_length: int
    dropped_count: int


class Limits(NamedTuple):
    """What is cut or left out: bytes of a value, attributes of a holder, characters of a key, levels."""

    value_bytes: int
    attributes: int
    key_characters: int
    depth: int


class Blocks:
    """Makes blocks; keeps its memory from one to the next, so not for two threads at once."""

    def __init__(self, table: Table, limits: Limits, prices: PriceList) -> None:
        self._table = table
        self._limits = limits
        self._prices = prices
        # How long the arrays are made: entries, nested and text for each byte of requests.
        self._sizes = {"text": 1.5, "strings": 1 << 12, "keys": 1 << 9, "entries": 1 / 40, "nested": 1 / 200}
        self._kept: dict[str, Any] = {}
        self._buffer = native.Buffer()
        keys = (key for field in table.fields for key in field.keys)
        self._known_keys = ("service.name", *keys, *CONTENT_KEYS)
        self._codes = _codes(self._known_keys, table.fields)
        self._preamble = "".join(self._known_keys).encode()
        self._seed = int.from_bytes(os.urandom(7), "little")

    def make(self, requests: Sequence[Request]) -> Block:
        """One block of all good spans or log records of the requests, which are all for the table."""
        while True:
            filled, rows = self._transcode(requests)
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
        columns = self._table.columns(filled, rows, self._prices)
        state = filled.state
        self._forget()
        return Block(
            self._buffer.block(rows, columns),
            rows,
            int(state[memory.CUT]),
            int(state[memory.DROPPED_LONG]),
            int(state[memory.DROPPED_MANY]),
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

    def _transcode(self, requests: Sequence[Request]) -> tuple[Memory, int]:
        projects = sorted({request.project for request in requests})
        head = self._preamble + "".join(projects).encode()
        bodies = sum(len(request.body) for request in requests)
        rows = sum(request.spans for request in requests)
        m = self._memory(len(head) + bodies, rows)
        m.arena[: len(head)] = np.frombuffer(head, np.uint8)
        at = 0
        for n, key in enumerate(self._known_keys):
            at = self._intern(m, memory.KEY_COLUMN, at, key)
            m.keys[memory.CODE, n] = self._codes[n]
            m.keys[memory.KEY_AT, n] = at - len(key.encode())
            m.keys[memory.KEY_SIZE, n] = len(key.encode())
        m.state[memory.KEYS] = len(self._known_keys)
        for project in projects:
            at = self._intern(m, spans.L_PROJECT, at, project)
        table = np.empty((len(requests), 5), np.int64)
        for n, request in enumerate(requests):
            m.arena[at : at + len(request.body)] = np.frombuffer(request.body, np.uint8)
            table[n] = (
                at,
                at + len(request.body),
                projects.index(request.project),
                request.received_at_ns,
                request.deep,
            )
            at += len(request.body)
        m.state[memory.USED] = at
        return m, int(transcode(m, self._table.what, table))

    def _intern(self, m: Memory, column: int, at: int, text: str) -> int:
        size = len(text.encode())
        memory.intern(m, column, at, size)
        return at + size

    def _memory(self, text: int, rows: int) -> Memory:
        sizes, depth, fields = self._sizes, self._limits.depth, self._table.fields
        keys, strings = int(sizes["keys"]), int(sizes["strings"])
        state = np.zeros(memory.COUNTS + self._table.string_columns, np.int64)
        state[memory.LIMIT_VALUE] = self._limits.value_bytes
        state[memory.LIMIT_ATTRIBUTES] = self._limits.attributes
        state[memory.LIMIT_KEY] = self._limits.key_characters
        state[memory.SEED] = self._seed
        slots = np.empty((memory.FIELD_COLUMN + 1, len(fields)), np.int64)
        slots[memory.WAY] = [_WAYS[field.kind] for field in fields]
        slots[memory.FIELD_COLUMN] = [spans.FIELD_COLUMNS + slot for slot in range(len(fields))]
        lists = 1 + len(_TEXT_LISTS)
        return Memory(
            arena=self._array("arena", (), text * sizes["text"] + 4096, np.uint8),
            state=state,
            strings=self._array("strings", (memory.NUMBER + 1,), strings),
            heads=np.zeros(4 * strings, np.int64),
            keys=np.zeros((memory.KEY_ROWS, _stride(keys)), np.int64),
            pairs=self._array("pairs", (3,), self._limits.attributes),
            slots=slots,
            stack=np.empty(scan.STACK * depth, np.int64),
            head=np.empty(scan.HEAD, np.int64),
            cut=np.empty(spans.CUT_ABOVE, np.int64),
            entries=self._array("entries", (spans.E_SIZE + 1, memory.MAPS), text * sizes["entries"]),
            nested=self._array("nested", (spans.L_LISTS + lists,), text * sizes["nested"]),
            cells=self._array("cells", (self._table.cells,), rows),
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


def _codes(keys: Sequence[str], fields: Sequence[Field]) -> list[int]:
    """What each of the keys is to the transcoder, as spans.py says."""
    codes = {
        key: slot * 256 + priority
        for slot, field in enumerate(fields, start=1)
        for priority, key in enumerate(field.keys)
    }
    return [codes.get(key, spans.CONTENT if key in CONTENT_KEYS else 0) for key in keys]


Column = tuple[str, str, native.Pieces]  # name, type, values


class Columns:
    """The columns of a block, made from what transcode left in the memory."""

    def __init__(self, m: Memory, rows: int) -> None:
        self._m = m
        self._rows = rows
        known = m.strings[:, : m.state[memory.STRINGS]]
        order = np.argsort(known[memory.COLUMN], kind="stable")
        self._known = np.ascontiguousarray(known[:, order])
        columns = len(m.state) - memory.COUNTS
        self._bounds = np.searchsorted(self._known[memory.COLUMN], np.arange(columns + 1))

    def shared(self) -> list[Column]:
        """Name, type and values of the columns that every table has."""
        m, c = self._m, spans
        columns = [
            ("project", LOW, self._distinct(c.L_PROJECT, c.C_PROJECT)),
            ("trace_id", "FixedString(16)", [native.fixed(m.arena, self._cell(c.C_TRACE), 16)]),
            ("span_id", "FixedString(8)", [native.fixed(m.arena, self._cell(c.C_SPAN), 8)]),
            ("flags", "UInt32", self._numbers(c.C_FLAGS, np.uint32)),
            ("service", LOW, self._distinct(c.L_SERVICE, c.C_SERVICE)),
            ("scope_name", LOW, self._distinct(c.L_SCOPE_NAME, c.C_SCOPE_NAME)),
            ("scope_version", LOW, self._distinct(c.L_SCOPE_VERSION, c.C_SCOPE_VERSION)),
            ("resource_schema_url", LOW, self._distinct(c.L_RESOURCE_SCHEMA, c.C_RESOURCE_SCHEMA)),
            ("resource_dropped_attributes_count", "UInt32", self._numbers(c.C_RESOURCE_DROPPED, np.uint32)),
            ("scope_schema_url", LOW, self._distinct(c.L_SCOPE_SCHEMA, c.C_SCOPE_SCHEMA)),
            ("scope_dropped_attributes_count", "UInt32", self._numbers(c.C_SCOPE_DROPPED, np.uint32)),
            ("dropped_attributes_count", "UInt32", self._numbers(c.C_DROPPED, np.uint32)),
            ("received_at", TIME, self._numbers(c.C_RECEIVED)),
            ("attributes_cut", f"Array({LOW})", self._list(0, c.L_CUT, self._cell(c.C_CUT))),
        ]
        return columns + [self._map(name, which) for name, which in _MAP_COLUMNS.items()]

    def _cell(self, cell: int) -> Any:
        return self._m.cells[cell, : self._rows]

    def _numbers(self, cell: int, kind: Any = np.int64) -> native.Pieces:
        # What a sender dropped and what we did may be more together than its column holds.
        values = self._cell(cell)
        return [_uint32(values) if kind is np.uint32 else values.astype(kind, copy=False)]

    def _strings(self, cell: int) -> native.Pieces:
        return [native.Strings(self._m.arena, self._cell(cell), self._cell(cell + 1))]

    def _keys(self, column: int) -> tuple[Any, int]:
        """The distinct strings of a column as String values, and how many there are."""
        of_column = self._known[:, self._bounds[column] : self._bounds[column + 1]]
        keys = native.Strings(self._m.arena, of_column[memory.AT], of_column[memory.SIZE])
        return keys, of_column.shape[1]

    def _values(self, column: int) -> list[str]:
        """The distinct strings of a column, decoded."""
        of_column = self._known[:, self._bounds[column] : self._bounds[column + 1]]
        arena = self._m.arena
        return [
            arena[at : at + size].tobytes().decode()
            for at, size in zip(of_column[memory.AT].tolist(), of_column[memory.SIZE].tolist(), strict=True)
        ]

    def _distinct(self, column: int, cell: int) -> native.Pieces:
        return native.low_cardinality(*self._keys(column), self._cell(cell))

    def _list(self, which: int, column: int, ends: Any) -> native.Pieces:
        items = self._m.nested[spans.L_LISTS + which, : self._m.state[memory.LIST_COUNTS + which]]
        values = native.low_cardinality(*self._keys(column), items, prefixed=False)
        return [native.LOW_CARDINALITY_PREFIX, ends, *values]

    def _map(self, name: str, which: int) -> Column:
        kinds = {spans.M_INT: "Int64", spans.M_DOUBLE: "Float64", spans.M_BOOL: "Bool"}
        kind = kinds.get(which, TEXT)
        ends = self._cell(spans.C_MAPS + which)
        values = [native.LOW_CARDINALITY_PREFIX, ends, *self._entries(which)]
        return name, f"Map({LOW}, {kind})", values

    def _entries(self, which: int) -> native.Pieces:
        """Keys and values of a map column."""
        m = self._m
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


class SpanColumns(Columns):
    """Those of `spans`."""

    def __init__(self, m: Memory, rows: int, prices: PriceList) -> None:
        super().__init__(m, rows)
        self._prices = prices

    def all(self) -> list[Column]:
        """Name, type and values of every column that is written."""
        m, c = self._m, spans
        columns = [
            ("parent_span_id", "FixedString(8)", [native.fixed(m.arena, self._cell(c.C_PARENT), 8)]),
            ("trace_state", TEXT, self._strings(c.C_STATE)),
            ("name", LOW, self._distinct(c.L_NAME, c.C_NAME)),
            ("kind", "Int32", self._numbers(c.C_KIND, np.int32)),
            ("start_time", TIME, self._numbers(c.C_START)),
            ("end_time", TIME, self._numbers(c.C_END)),
            ("duration_ns", "UInt64", self._numbers(c.C_DURATION)),
            ("status_code", "Int32", self._numbers(c.C_STATUS, np.int32)),
            ("status_message", TEXT, self._strings(c.C_MESSAGE)),
            ("dropped_events_count", "UInt32", self._numbers(c.C_DROPPED_EVENTS, np.uint32)),
            ("dropped_links_count", "UInt32", self._numbers(c.C_DROPPED_LINKS, np.uint32)),
        ]
        return self.shared() + columns + self._events() + self._links() + self._fields()

    def _events(self) -> list[Column]:
        e, ends = self._m.nested[:, : self._m.state[memory.EVENTS]], self._cell(spans.C_EVENTS)
        names = native.low_cardinality(*self._keys(spans.L_EVENT_NAME), e[spans.E_NAME], prefixed=False)
        prefix = native.LOW_CARDINALITY_PREFIX
        attributes = [e[spans.E_MAP_END], *self._entries(spans.M_EVENT)]
        dropped = _uint32(e[spans.E_DROPPED])
        return [
            ("events.time", f"Array({TIME})", [ends, e[spans.E_TIME]]),
            ("events.name", f"Array({LOW})", [prefix, ends, *names]),
            ("events.attributes", f"Array(Map({LOW}, {TEXT}))", [prefix, ends, *attributes]),
            ("events.dropped_attributes_count", "Array(UInt32)", [ends, dropped]),
        ]

    def _links(self) -> list[Column]:
        arena = self._m.arena
        k, ends = self._m.nested[:, : self._m.state[memory.LINKS]], self._cell(spans.C_LINKS)
        attributes = [k[spans.K_MAP_END], *self._entries(spans.M_LINK)]
        texts = {"trace_id": spans.K_TRACE, "span_id": spans.K_SPAN, "trace_state": spans.K_STATE}
        numbers = {"flags": spans.K_FLAGS, "dropped_attributes_count": spans.K_DROPPED}
        return [
            *(
                (f"links.{name}", f"Array({TEXT})", [ends, native.Strings(arena, k[at], k[at + 1])])
                for name, at in texts.items()
            ),
            *((f"links.{name}", "Array(UInt32)", [ends, _uint32(k[at])]) for name, at in numbers.items()),
            (
                "links.attributes",
                f"Array(Map({LOW}, {TEXT}))",
                [native.LOW_CARDINALITY_PREFIX, ends, *attributes],
            ),
        ]

    # --- what the dialect table found, and what it costs ---------------------------------------------

    def _fields(self) -> list[Column]:
        columns = []
        for field in FIELDS:
            cell, column = self._field(field.column)
            match field.kind:
                case "text" if field.column not in ("cost_origin", "cost_currency"):
                    columns.append((field.column, LOW, self._distinct(column, cell)))
                case "id":
                    columns.append((field.column, TEXT, self._strings(cell)))
                case "texts":
                    which = 1 + _TEXT_LISTS.index(field.column)
                    values = self._list(which, column, self._cell(cell))
                    columns.append((field.column, f"Array({LOW})", values))
                case "number":
                    values = native.nullable(self._cell(cell + 1) == 0, self._cell(cell))
                    columns.append((field.column, "Nullable(Float64)", values))
        return columns + self._money()

    def _field(self, name: str) -> tuple[int, int]:
        """The first cell of a field, and its column of distinct strings."""
        slot = _SLOT[name]
        return spans.FIELD_CELLS + 2 * slot, spans.FIELD_COLUMNS + slot

    def _of_distinct(self, name: str, values: Callable[[str], Any], kind: Any) -> Any:
        """For every row what a function says of the value of a field."""
        cell, column = self._field(name)
        return np.array([values(text) for text in self._values(column)], kind)[self._cell(cell)]

    def _money(self) -> list[Column]:
        rows = self._rows
        roles = [*dict.fromkeys(ROLES.values()), "OTHER"]
        role = self._of_distinct("operation", lambda text: roles.index(ROLES.get(text, "OTHER")), np.int64)
        counted = np.isin(role, [roles.index(name) for name in COUNTED_ROLES])
        tokens = np.stack([self._cell(self._field(name)[0]) for name in _USAGE])
        models, named = self._models(counted)
        reported = self._reported()
        made = costs.Costs(
            *(np.zeros((rows, 2), np.uint64) for _ in range(3)),
            *(np.empty(rows, np.int64) for _ in range(3)),
        )
        preferred = self._of_distinct("cost_origin", lambda text: text == "provider", np.bool_)
        in_usd = self._of_distinct("cost_currency", lambda text: text.lower() in ("", "usd"), np.bool_)
        usable = np.where(in_usd[:, None], reported, _no_money(rows))
        starts = self._cell(spans.C_START)
        costs.compute(tokens, counted, models, named, starts, usable, preferred, self._prices.prices, made)
        computed = made.source == costs.SOURCES.index("computed")
        unknown = made.source == 0
        tokens[0] = made.all_input
        entries = np.unique(models[computed])
        columns = [
            ("role", LOW, _constants(roles, role)),
            ("cost_usd", _MONEY, native.nullable(unknown, made.total)),
            ("cost_input_usd", _MONEY, native.nullable(~computed, made.input)),
            ("cost_output_usd", _MONEY, native.nullable(~computed, made.output)),
            ("cost_source", LOW, _constants(costs.SOURCES, made.source)),
            ("cost_reason", LOW, _constants(costs.REASONS, made.reason)),
            ("cost_reported_usd", _MONEY, native.nullable(reported[:, 1] == _NO_MONEY, reported)),
            (
                "price_model",
                LOW,
                _constants(
                    ["", *(self._prices.names[n] for n in entries)],
                    np.where(computed, np.searchsorted(entries, models) + 1, 0),
                ),
            ),
            ("price_version", LOW, _constants(["", self._prices.version], computed)),
        ]
        columns += [
            (name, _TOKENS, native.nullable(row < 0, row)) for name, row in zip(_USAGE, tokens, strict=True)
        ]
        return columns

    def _models(self, counted: Any) -> tuple[Any, Any]:
        """For every row the entry of the price list, -1 where there is none; and whether it names a model."""
        cells = {}
        texts = {}
        for name in ("provider", "request_model", "response_model"):
            cell, column = self._field(name)
            cells[name], texts[name] = self._cell(cell), self._values(column)
        answered = np.array([text != "" for text in texts["response_model"]])[cells["response_model"]]
        asked = np.array([text != "" for text in texts["request_model"]])[cells["request_model"]]
        named = answered | asked
        # A response's models are numbered behind a request's.
        model = np.where(
            answered, cells["response_model"] + len(texts["request_model"]), cells["request_model"]
        )
        names = texts["request_model"] + texts["response_model"]
        wanted = counted & named
        pairs, which = np.unique(
            np.where(wanted, cells["provider"] * len(names) + model, -1), return_inverse=True
        )
        keys = [
            "" if pair < 0 else _price_key(texts["provider"][pair // len(names)], names[pair % len(names)])
            for pair in pairs.tolist()
        ]
        entries = self._prices.entries(key for key in keys if key)
        return np.array([entries[key] if key else -1 for key in keys], np.int64)[which], named

    def _reported(self) -> Any:
        """For every row the cost that was reported, as 128 bits; _NO_MONEY where none was."""
        cell, _ = self._field("cost_reported_usd")
        amounts = _no_money(self._rows)
        sizes, arena = self._cell(cell + 1), self._m.arena
        for row in np.flatnonzero(sizes).tolist():
            at = self._m.cells[cell, row]
            amount = _amount(arena[at : at + sizes[row]].tobytes())
            if amount is not None:
                amounts[row] = amount & 0xFFFF_FFFF_FFFF_FFFF, amount >> 64
        return amounts


def _uint32(values: Any) -> Any:
    return np.minimum(values, 0xFFFF_FFFF).astype(np.uint32)


_NO_MONEY = np.uint64(0xFFFF_FFFF_FFFF_FFFF)


def _no_money(rows: int) -> Any:
    return np.full((rows, 2), _NO_MONEY, np.uint64)


def _amount(text: bytes) -> int | None:
    """An amount in units of 10^-18, digits behind them cut off; None: no number, negative, or too large."""
    if not _DECIMAL.fullmatch(text):
        return None
    try:
        amount = Decimal(text.decode())
        if amount < 0 or amount >= _LARGEST_MONEY:
            return None
        return int(amount.quantize(_LAST_DIGIT, context=_CUT_OFF).scaleb(18, _CUT_OFF))
    except InvalidOperation:  # an exponent of more digits than a number has
        return None


def _price_key(provider: str, model: str) -> str:
    provider = provider.lower()
    return f"{PRICE_PROVIDERS.get(provider, provider)}/{model.lower()}"


def _constants(values: Sequence[str], numbers: Any) -> native.Pieces:
    return native.low_cardinality(native.texts(value.encode() for value in values), len(values), numbers)
