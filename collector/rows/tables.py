"""The tables that requests are stored in: what each is made of, in one entry."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from spanledger.collector.rows import logs, requests, scan, spans
from spanledger.collector.rows.columns import Made
from spanledger.collector.rows.log_columns import LogColumns
from spanledger.collector.rows.memory import Memory
from spanledger.collector.rows.money import Pricing
from spanledger.collector.rows.span_columns import LISTS, SPAN_FIELDS, SpanColumns
from spanledger.schemas.dialects import Field


class Table(NamedTuple):
    """A table, and how requests become its rows.

    `items`: what its rows are to a person. `request`: the message that holds them. `what`: the same, for the
    compiled functions. `faults`: why an item cannot be stored, by number from 1; the last one is that of
    values that nest too deep. `fields`: what of an item's attributes is looked up;
    `lists`: how many of them are lists. `cells` and
    `string_columns`: how many there are. `columns`: from what the compiled functions left to columns.
    """

    name: str
    items: str
    request: str
    what: int
    faults: tuple[str, ...]
    fields: tuple[Field, ...]
    lists: int
    cells: int
    string_columns: int
    columns: Callable[[Memory, int, Pricing], Made]


SPANS = Table(
    name="spans",
    items="spans",
    request="ExportTraceServiceRequest",
    what=requests.SPANS,
    faults=scan.FAULTS,
    fields=SPAN_FIELDS,
    lists=LISTS,
    cells=spans.FIELD_CELLS + 2 * len(SPAN_FIELDS),
    string_columns=spans.FIELD_COLUMNS + len(SPAN_FIELDS),
    columns=lambda m, rows, pricing: SpanColumns(m, rows, pricing).all(),
)

LOGS = Table(
    name="logs",
    items="log records",
    request="ExportLogsServiceRequest",
    what=requests.LOGS,
    faults=logs.FAULTS,
    fields=logs.FIELDS,
    lists=0,
    cells=logs.CELLS,
    string_columns=logs.COLUMNS,
    columns=lambda m, rows, _: Made(LogColumns(m, rows).all(), []),
)

TABLES = {table.name: table for table in (SPANS, LOGS)}
