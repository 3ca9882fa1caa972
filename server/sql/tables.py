"""How results of SQL and the views look in a terminal; the input is the JSON of the API.

As in tree_view: text from elsewhere is never a control code, and is no markup.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from spanledger.server.tree_view import plain

Column = Mapping[str, str]

_LONGEST = 60  # characters of a cell that stands beside others
_LONGEST_ALONE = 400
# Beneath this many cells a column tells nothing; a table of more columns is shown row by row.
_NARROW = 10
_NUMBER = re.compile(r"(?:Nullable\(|LowCardinality\()*(?:U?Int\d+|B?Float\d+|Decimal)\b")


def is_number(kind: str) -> bool:
    """Whether the values of a type of ClickHouse are numbers."""
    return _NUMBER.match(kind) is not None


def result(columns: Sequence[Column], rows: Sequence[Sequence[Any]], *, most: int | None) -> RenderableType:
    """A result as a table, or row by row where it has more columns than fit; not more than `most` rows."""
    shown = rows if most is None else rows[:most]
    return Group(_Result(columns, shown), Text(_told(len(shown), more=len(shown) < len(rows)), "dim"))


def _told(count: int, *, more: bool) -> str:
    noun = "row" if count == 1 else "rows"
    return f"the first {count:,} {noun}; there are more (--limit N)" if more else f"{count:,} {noun}"


class _Result:
    def __init__(self, columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> None:
        self._columns = columns
        self._rows = rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if len(self._columns) * _NARROW > options.max_width:
            yield self._row_by_row()
        else:
            yield self._table()

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in self._columns:
            right = is_number(column["type"])
            table.add_column(
                Text(plain(column["name"])),
                justify="right" if right else "left",
                no_wrap=True,
                overflow="ellipsis",
            )
        for row in self._rows:
            table.add_row(*(_cell(value, _LONGEST) for value in row))
        return table

    def _row_by_row(self) -> Table:
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for number, row in enumerate(self._rows, start=1):
            table.add_row(Text(f"row {number:,}", "dim"), "")
            for column, value in zip(self._columns, row, strict=True):
                table.add_row(Text(plain(column["name"])), _cell(value, _LONGEST_ALONE))
        return table


def _cell(value: Any, longest: int) -> Text:
    if value is None:
        return Text("NULL", "dim")
    if isinstance(value, bool):
        text = "true" if value else "false"
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = plain(text)
    return Text(text if len(text) <= longest else f"{text[: longest - 1]}…")


def views(found: Sequence[Mapping[str, Any]]) -> RenderableType:
    """The views with what they hold."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("view", no_wrap=True)
    table.add_column("columns", justify="right")
    table.add_column("holds")
    for view in found:
        table.add_row(view["name"], str(len(view["columns"])), Text(view["comment"]))
    return Group(table, Text(r"\d VIEW lists the columns of one.", "dim"))


def view(found: Mapping[str, Any]) -> RenderableType:
    """The columns of a view with their types and what they mean."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("column", no_wrap=True)
    table.add_column("type", overflow="fold")
    table.add_column("meaning", overflow="fold", ratio=1)
    for column in found["columns"]:
        table.add_row(column["name"], column["type"], Text(column["comment"]))
    return Group(Text(f"{found['name']}: {found['comment']}"), table)
