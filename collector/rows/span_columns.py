"""The columns of `spans`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import numpy as np

from spanledger.collector.duplicates.watch import Seen
from spanledger.collector.rows import memory, native, spans, usage
from spanledger.collector.rows.columns import LOW, TEXT, TIME, Column, Columns, Made, uint32
from spanledger.collector.rows.copies import received_times
from spanledger.collector.rows.memory import Memory
from spanledger.collector.rows.money import Calls, Pricing, money_columns, reported_amounts
from spanledger.collector.rows.texts import Texts, joined, numbered
from spanledger.collector.rows.trace_times import trace_times
from spanledger.schemas.calls import (
    COUNTED_ROLES,
    dialect_of,
    error_type_of,
    finish_reason_of,
    is_repeated,
    model_of,
    operation_of,
    provider_of,
    role_of,
    service_tier_of,
)
from spanledger.schemas.dialects import DIALECTS, FIELDS, UNIT_FIELDS
from spanledger.schemas.prices.choice import BILLED

SPAN_FIELDS = (*FIELDS, *UNIT_FIELDS)
_SLOT = {field.column: slot for slot, field in enumerate(SPAN_FIELDS)}
_LISTS = [field.column for field in SPAN_FIELDS if field.kind in ("texts", "list")]
_TOKENS = [field.column for field in FIELDS if field.kind == "count"]
_TOKEN_COLUMNS = [field.column for field in FIELDS if field.kind == "count" and field.stored]
LISTS = len(_LISTS)
_COUNT = "Nullable(UInt64)"
_NS = 1_000_000_000
_GOOGLE = ("gcp.gemini", "gcp.vertex_ai")


class SpanColumns(Columns):
    """Those of `spans`."""

    def __init__(self, m: Memory, rows: int, pricing: Pricing) -> None:
        super().__init__(m, rows)
        self._pricing = pricing

    def all(self) -> Made:
        """Name, type and values of every column that is written, and what calls there are."""
        m, c = self.m, spans
        columns = [
            ("parent_span_id", "FixedString(8)", [native.fixed(m.arena, self.cell(c.C_PARENT), 8)]),
            ("trace_state", TEXT, self.strings(c.C_STATE)),
            ("name", LOW, self.distinct(c.L_NAME, c.C_NAME)),
            ("kind", "Int32", self.numbers(c.C_KIND, np.int32)),
            ("start_time", TIME, self.numbers(c.C_START)),
            ("end_time", TIME, self.numbers(c.C_END)),
            ("duration_ns", "UInt64", self.numbers(c.C_DURATION)),
            ("status_code", "Int32", self.numbers(c.C_STATUS, np.int32)),
            ("status_message", TEXT, self.strings(c.C_MESSAGE)),
            ("dropped_events_count", "UInt32", self.numbers(c.C_DROPPED_EVENTS, np.uint32)),
            ("dropped_links_count", "UInt32", self.numbers(c.C_DROPPED_LINKS, np.uint32)),
        ]
        facts, counted = self._facts()
        shared = self._shared()
        [trace_ids] = next(values for name, _, values in shared if name == "trace_id")
        return Made(
            shared + columns + self._events() + self._links() + facts,
            self._calls(counted),
            trace_times(trace_ids, self.cell(c.C_START)),
        )

    def _shared(self) -> list[Column]:
        received = ("received_at", TIME, [received_times(self, self._rows)])
        return [received if column[0] == "received_at" else column for column in self.shared()]

    def _events(self) -> list[Column]:
        e, ends = self.m.nested[:, : self.m.state[memory.EVENTS]], self.cell(spans.C_EVENTS)
        names = native.low_cardinality(*self.keys(spans.L_EVENT_NAME), e[spans.E_NAME], prefixed=False)
        prefix = native.LOW_CARDINALITY_PREFIX
        attributes = [e[spans.E_MAP_END], *self.entries(spans.M_EVENT)]
        dropped = uint32(e[spans.E_DROPPED])
        return [
            ("events.time", f"Array({TIME})", [ends, e[spans.E_TIME]]),
            ("events.name", f"Array({LOW})", [prefix, ends, *names]),
            ("events.attributes", f"Array(Map({LOW}, {TEXT}))", [prefix, ends, *attributes]),
            ("events.dropped_attributes_count", "Array(UInt32)", [ends, dropped]),
        ]

    def _links(self) -> list[Column]:
        arena = self.m.arena
        k, ends = self.m.nested[:, : self.m.state[memory.LINKS]], self.cell(spans.C_LINKS)
        attributes = [k[spans.K_MAP_END], *self.entries(spans.M_LINK)]
        texts = {"trace_id": spans.K_TRACE, "span_id": spans.K_SPAN, "trace_state": spans.K_STATE}
        numbers = {"flags": spans.K_FLAGS, "dropped_attributes_count": spans.K_DROPPED}
        return [
            *(
                (f"links.{name}", f"Array({TEXT})", [ends, native.Strings(arena, k[at], k[at + 1])])
                for name, at in texts.items()
            ),
            *((f"links.{name}", "Array(UInt32)", [ends, uint32(k[at])]) for name, at in numbers.items()),
            (
                "links.attributes",
                f"Array(Map({LOW}, {TEXT}))",
                [native.LOW_CARDINALITY_PREFIX, ends, *attributes],
            ),
        ]

    # --- what the dialect table found

    def _facts(self) -> tuple[list[Column], Any]:
        """The canonical columns, and which rows are calls."""
        counts = {name: self._found(name) for name in _TOKENS}
        claimed = self._text("provider_claimed")
        asked, answered = self._text("request_model"), self._text("response_model")
        provider = self._provider(claimed, asked.where(~answered.is_empty(), answered))
        dialect = self._dialect()
        asked, answered = (joined(model_of, model, provider, dialect) for model in (asked, answered))
        named = ~(asked.is_empty() & answered.is_empty())
        used = (
            np.maximum.reduce(
                [
                    counts[name]
                    for name in ("input_tokens", "output_tokens", "input_tokens_apart", "output_tokens_apart")
                ]
            )
            >= 0
        )
        role, operation = self._role(named & used)
        counted = role.among(COUNTED_ROLES)
        made = usage.normalised(counts, counted, provider.among(_GOOGLE))
        ends, flags = usage.flag_lists(made.flags)
        entity, tool, agent = (self._text(name) for name in ("entity_name", "tool_name", "agent_name"))
        tool = tool.where(tool.is_empty() & role.among(("TOOL",)), entity)
        agent = agent.where(agent.is_empty() & role.among(("AGENT",)), entity)
        tier = self._text("service_tier").mapped(service_tier_of)
        units = {field.column: self._unit(field.column, field.kind) for field in UNIT_FIELDS}
        calls = Calls(
            counted,
            numbered(self.values(spans.L_PROJECT), self.cell(spans.C_PROJECT)),
            provider,
            asked,
            answered,
            tier,
            self._text("host"),
            self.cell(spans.C_START),
            made.tokens | units,
            self._text("cost_origin")
            .mapped(str.lower)
            .where(dialect.among(("openrouter",)), Texts([BILLED], np.zeros(len(counted), np.int64))),
            self._text("cost_currency").mapped(str.lower).among(("", "usd")),
        )
        columns = [
            ("role", LOW, role.column()),
            ("operation", LOW, operation.column()),
            ("provider", LOW, provider.column()),
            ("provider_claimed", LOW, claimed.column()),
            ("request_model", LOW, asked.column()),
            ("response_model", LOW, answered.column()),
            ("service_tier", LOW, tier.column()),
            ("tool_name", LOW, tool.column()),
            ("agent_name", LOW, agent.column()),
            ("experiment_id", LOW, self._text("experiment_id").column()),
            ("error_type", LOW, self._text("error_type").mapped(error_type_of).column()),
            ("dialect", LOW, dialect.column()),
            ("tags", f"Array({LOW})", self._list("tags", str)),
            ("finish_reasons", f"Array({LOW})", self._list("finish_reasons", finish_reason_of)),
            ("counted", "Bool", [counted.astype(np.uint8)]),
            (
                "usage_flags",
                f"Array({LOW})",
                [
                    native.LOW_CARDINALITY_PREFIX,
                    ends,
                    *native.low_cardinality(
                        native.texts(flag.encode() for flag in usage.FLAGS),
                        len(usage.FLAGS),
                        flags,
                        prefixed=False,
                    ),
                ],
            ),
            _usage(units),
            # Nothing knows it yet: duplicates are found among what is stored.
            ("duplicate_of", TEXT, [np.zeros(len(counted), np.uint8)]),
            (
                "borrowed",
                f"Array({LOW})",
                [native.LOW_CARDINALITY_PREFIX, np.zeros(len(counted), np.int64)],
            ),
            self._first_chunk(),
        ]
        self._drop_call_ids()
        columns += [
            (name, TEXT, self.strings(self.place(name)))
            for name in ("response_id", "conversation_id", "user_id")
        ]
        columns += [
            (name, _COUNT, native.nullable(made.tokens[name] < 0, made.tokens[name]))
            for name in _TOKEN_COLUMNS
        ]
        columns += money_columns(calls, reported_amounts(self._reported()), *self._pricing)
        return columns, counted

    def _reported(self) -> list[bytes | None]:
        """The cost that was sent with each row, as text."""
        cell = self.place("cost_reported_usd")
        texts: list[bytes | None] = [None] * len(self.cell(cell))
        for row in np.flatnonzero(self.cell(cell + 1)).tolist():
            texts[row] = self._bytes(cell, row)
        return texts

    def _bytes(self, cell: int, row: int) -> bytes:
        """The string of a row that stands in two cells."""
        at = self.m.cells[cell, row]
        text: bytes = self.m.arena[at : at + self.m.cells[cell + 1, row]].tobytes()
        return text

    def _calls(self, counted: Any) -> list[Seen]:
        """The calls by project and service."""
        rows = np.flatnonzero(counted)
        if not len(rows):
            return []
        c = spans
        project, service, scope = (
            Texts(self.values(column), self.cell(cell)[rows])
            for column, cell in (
                (c.L_PROJECT, c.C_PROJECT),
                (c.L_SERVICE, c.C_SERVICE),
                (c.L_SCOPE_NAME, c.C_SCOPE_NAME),
            )
        )
        ids, parents = (
            native.fixed(self.m.arena, np.ascontiguousarray(self.cell(cell)[rows]), 8).view(np.int64)
            for cell in (c.C_SPAN, c.C_PARENT)
        )
        nested = np.isin(parents, ids)
        traces = native.fixed(self.m.arena, np.ascontiguousarray(self.cell(c.C_TRACE)[rows]), 16)
        starts, ends = self.cell(c.C_START)[rows], self.cell(c.C_END)[rows]
        sender = project.numbers * len(service.distinct) + service.numbers
        order = np.argsort(sender, kind="stable")
        edges = np.flatnonzero(np.diff(sender[order])) + 1
        return [
            Seen(
                project.distinct[project.numbers[some[0]]],
                service.distinct[service.numbers[some[0]]],
                frozenset(scope.distinct[n] for n in np.unique(scope.numbers[some])),
                bool(nested[some].any()),
                starts[some],
                np.maximum(ends[some], starts[some]),
                traces.reshape(-1, 16)[some],
            )
            for some in np.split(order, edges)
        ]

    def place(self, name: str) -> int:
        """The first cell of a field."""
        return spans.FIELD_CELLS + 2 * _SLOT[name]

    def _found(self, name: str) -> Any:
        return self.cell(self.place(name))

    def _text(self, name: str) -> Texts:
        return numbered(self.values(spans.FIELD_COLUMNS + _SLOT[name]), self._found(name))

    def _drop_call_ids(self) -> None:
        """Leave out a response id that is the sender's own id of the call."""
        own, given = self.place("call_id"), self.place("response_id")
        for row in np.flatnonzero(self.cell(own + 1)).tolist():
            if self._bytes(own, row) == self._bytes(given, row):
                self.m.cells[given + 1, row] = 0

    def _list(self, name: str, of: Callable[[str], str]) -> native.Pieces:
        which = 1 + _LISTS.index(name)
        items = self.m.nested[spans.L_LISTS + which, : self.m.state[memory.LIST_COUNTS + which]]
        texts = Texts(self.values(spans.FIELD_COLUMNS + _SLOT[name]), items).mapped(of)
        values = native.low_cardinality(
            native.texts(text.encode() for text in texts.distinct),
            len(texts.distinct),
            texts.numbers,
            prefixed=False,
        )
        return [native.LOW_CARDINALITY_PREFIX, self._found(name), *values]

    def _unit(self, name: str, kind: str) -> Any:
        """What was sent for a unit, durations in microseconds; -1 for nothing, -2 for nothing readable."""
        if kind == "count":
            return self._found(name)
        cell = self.place(name)
        seconds = np.where(self.cell(cell + 1) == 1, self.cell(cell).view(np.float64), -1e-6)
        return np.where(
            (seconds < -1e-6) | (seconds > 1e12), usage.UNREADABLE, np.rint(seconds * 1e6)
        ).astype(np.int64)

    def _provider(self, claimed: Texts, model: Texts) -> Texts:
        said = joined(lambda name, host: provider_of(name, host, ""), claimed, self._text("host"))
        if not said.is_empty().any():
            return said
        return said.where(said.is_empty(), model.mapped(lambda name: provider_of("", "", name)))

    def _role(self, used: Any) -> tuple[Texts, Texts]:
        """What each span does, and its operation."""
        operation = self._text("operation")
        scope = numbered(self.values(spans.L_SCOPE_NAME), self.cell(spans.C_SCOPE_NAME))
        repeated = Texts(["", "yes"], np.zeros(len(used), np.int64))
        if "litellm" in scope.distinct:
            name = numbered(self.values(spans.L_NAME), self.cell(spans.C_NAME))
            repeated = joined(lambda s, n: "yes" if is_repeated(s, n) else "", scope, name)
        kind = self._text("span_kind")
        role = joined(lambda o, k, again: role_of(o, k, repeated=bool(again)), operation, kind, repeated)
        # Who says nothing but a model and what it used has called it.
        silent = operation.is_empty() & kind.is_empty() & repeated.is_empty() & used
        if silent.any():
            role = role.where(silent, Texts(["LLM"], np.zeros(len(used), np.int64)))
        return role, joined(operation_of, operation, role)

    def _dialect(self) -> Texts:
        scope = numbered(self.values(spans.L_SCOPE_NAME), self.cell(spans.C_SCOPE_NAME))
        hints, numbers = np.unique(self.cell(spans.C_HINTS), return_inverse=True)
        hinted = Texts([str(n) for n in hints.tolist()], numbers)
        return joined(
            lambda name, bits: dialect_of(name, [n for n in range(len(DIALECTS)) if int(bits) >> n & 1]),
            scope,
            hinted,
        )

    def _first_chunk(self) -> Column:
        """The seconds to the first piece of the answer, by the first of the ways in which they are said."""
        starts = self.cell(spans.C_START)
        seconds = self._number("time_to_first_chunk_s")
        millis = self._number("first_chunk_ms")
        at = self.cell(spans.C_FIRST_CHUNK)
        event = np.where(at >= starts, (at - starts) / _NS, np.nan)
        found = np.where(np.isnan(seconds), millis / 1000, seconds)
        found = np.where(np.isnan(found), event, found)
        cell = self.place("first_chunk_at")
        sizes = self.cell(cell + 1)
        for row in np.flatnonzero(sizes).tolist():
            ns = _time(self._bytes(cell, row).decode())
            if np.isnan(found[row]) and ns is not None and ns >= starts[row]:
                found[row] = (ns - int(starts[row])) / _NS
        return "time_to_first_chunk_s", "Nullable(Float64)", native.nullable(np.isnan(found), found)

    def _number(self, name: str) -> Any:
        cell = self.place(name)
        return np.where(self.cell(cell + 1) == 1, self.cell(cell).view(np.float64), np.nan)


def _usage(units: dict[str, Any]) -> Column:
    """The units of which something was sent, as a map."""
    sent = np.stack(list(units.values()), axis=1)
    there = sent >= 0
    _, numbers = np.nonzero(there)
    names = native.texts(name.encode() for name in units)
    keys = native.low_cardinality(names, len(units), numbers, prefixed=False)
    ends = np.cumsum(there.sum(axis=1))
    return "usage", f"Map({LOW}, UInt64)", [native.LOW_CARDINALITY_PREFIX, ends, *keys, sent[there]]


def _time(text: str) -> int | None:
    """Nanoseconds since 1970 of an ISO time, which Langfuse sends in quotes."""
    try:
        time = datetime.fromisoformat(text.strip('"'))
    except ValueError:
        return None
    if time.tzinfo is None:
        return None
    seconds = int(time.timestamp()) if time.microsecond == 0 else int(time.replace(microsecond=0).timestamp())
    return seconds * _NS + time.microsecond * 1000
