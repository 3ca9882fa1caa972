"""Charts of results: a glance, not a report.

The first column runs along the axis. Times and numbers give lines, anything else bars. Every other column of
numbers is a series.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import plotext
from rich.text import Text

from spanledger.schemas.errors import BadData
from spanledger.server.sql.tables import is_number
from spanledger.server.tree_view import plain

_WIDEST, _HEIGHT = 120, 20
_MOST_BARS = 40
_MOST_SERIES = 8
_TICKS = 6
_LABEL = 24  # characters


def chart(columns: Sequence[Mapping[str, str]], rows: Sequence[Sequence[Any]]) -> Text:
    """A chart of a result; raises BadData where it has nothing to draw."""
    series = [n for n, column in enumerate(columns) if n and is_number(column["type"])][:_MOST_SERIES]
    if not series:
        raise BadData(
            "--plot: a first column to plot by and at least one column of numbers behind it are needed"
        )
    if not rows:
        raise BadData("--plot: the result has no rows")
    plotext.clear_figure()
    plotext.theme("clear")
    names = [plain(columns[n]["name"])[:_LABEL] for n in series]
    kind = columns[0]["type"]
    moments = "DateTime" in kind or "Date" in kind
    # Bars where there is one point alone: a line of it would be invisible.
    if (moments or is_number(kind)) and len(rows) > 1:
        _lines(rows, series, names, moments=moments)
    else:
        _bars(rows, series, names)
    if len(series) == 1:
        plotext.title(names[0])
    return Text(plotext.uncolorize(plotext.build()).rstrip("\n"))


def _lines(
    rows: Sequence[Sequence[Any]], series: Sequence[int], names: Sequence[str], *, moments: bool
) -> None:
    width = min(_WIDEST, shutil.get_terminal_size((100, 24)).columns)
    plotext.plotsize(width, _HEIGHT)
    along = {id(row): _moment(row[0]) if moments else _number(row[0]) for row in rows}
    known = sorted((row for row in rows if along[id(row)] is not None), key=lambda row: along[id(row)] or 0)
    for n, name in zip(series, names, strict=True):
        points = [(along[id(row)], value) for row in known if (value := _number(row[n])) is not None]
        if points:
            plotext.plot(
                [x for x, _ in points],
                [y for _, y in points],
                label=name if len(series) > 1 else None,
                marker="braille",
            )
    if moments and known:
        first, last = along[id(known[0])] or 0.0, along[id(known[-1])] or 0.0
        places = [first + (last - first) * n / (_TICKS - 1) for n in range(_TICKS)]
        plotext.xticks(places, [_words(place, last - first) for place in places])


def _bars(rows: Sequence[Sequence[Any]], series: Sequence[int], names: Sequence[str]) -> None:
    width = min(_WIDEST, shutil.get_terminal_size((100, 24)).columns)
    # The first row stands at the top.
    shown = list(reversed(rows[:_MOST_BARS]))
    plotext.plotsize(width, len(shown) * (len(series) + 1) + 4)
    labels = [_label(row[0]) for row in shown]
    values = [[_number(row[n]) or 0.0 for row in shown] for n in series]
    if len(series) == 1:
        plotext.bar(labels, values[0], orientation="horizontal", width=0.4)
    else:
        plotext.multiple_bar(labels, values, labels=list(names), orientation="horizontal", width=0.6)
    if len(rows) > _MOST_BARS:
        plotext.xlabel(f"the first {_MOST_BARS} of {len(rows)} rows")


def _label(value: Any) -> str:
    text = "NULL" if value is None else plain(str(value))
    text = text or "(empty)"
    return text if len(text) <= _LABEL else f"{text[: _LABEL - 1]}…"


def _number(value: Any) -> float | None:
    """The value as a number that can be drawn; None: there is none."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _moment(value: Any) -> float | None:
    """Seconds since 1970 of a time as ClickHouse writes it, in UTC."""
    try:
        # Python's times have six digits behind the second.
        return datetime.fromisoformat(str(value)[:26]).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _words(moment: float, span_s: float) -> str:
    form = "%H:%M:%S" if span_s < 600 else "%d %H:%M" if span_s < 3 * 86_400 else "%Y-%m-%d"
    return f"{datetime.fromtimestamp(moment, UTC):{form}}"
