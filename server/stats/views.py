"""How stats look in a terminal. The input is the JSON of the query API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from spanledger.server.tables import table as fitted
from spanledger.server.tree_view import duration, plain

Answer = Mapping[str, Any]

_LENGTHS = {"minute": 16, "5m": 16, "hour": 16, "day": 10, "week": 10, "month": 7}
_TITLES = ("calls", "errors", "tokens in→out", "cost", "unpriced", "p50", "p95", "tokens/s")
_VALUE = 14  # cells


def table(answer: Answer) -> RenderableType:
    """A row for each group, for each piece of time within it, and for all together."""
    if not answer["total"].get("spans", answer["total"]["calls"]):
        return Text("No calls.")
    titles = [f"<{plain(name)}" for name in answer["group_by"]]
    if answer["bucket"]:
        titles.append(f"from ({plain(answer['time_zone'])})")
    elif not titles:
        titles.append("")
    if answer["of"] == "spans":
        titles.append(">spans")
    unpriced = bool(answer["total"]["unpriced_calls"])
    titles += [f">{title}" for title in _TITLES if unpriced or title != "unpriced"]
    return fitted(
        titles,
        (
            ([*names, *time, *_cells(measures, unpriced=unpriced)], style)
            for names, row, style in _rows(answer)
            for time, measures in _pieces(answer, row)
        ),
    )


def _rows(answer: Answer) -> Iterator[tuple[list[Text], Answer, str]]:
    width = len(answer["group_by"])
    for group in answer["groups"]:
        yield [Text(plain(value or "-")) for value in group["key"].values()], group, ""
    if answer["other"]:
        words = f"{answer['other']['groups']:,} others"
        yield [Text(words), *[Text("")] * (width - 1)], answer["other"], "dim"
    titled = width or not answer["bucket"]
    yield [Text("all"), *[Text("")] * (width - 1)] if titled else [], answer["total"], "bold" if width else ""


def _pieces(answer: Answer, row: Answer) -> Iterator[tuple[list[Text], Answer]]:
    """A row, or one for each of its buckets in which something happened."""
    if not answer["bucket"]:
        yield [], row
        return
    for piece in row["buckets"]:
        if piece.get("spans", piece["calls"]):
            yield [Text(_time(answer, piece))], piece


def _time(answer: Answer, piece: Answer) -> str:
    text: str = piece["local_start"][: _LENGTHS[answer["bucket"]]]
    return text.replace("T", " ")


def _cells(row: Answer, *, unpriced: bool) -> Iterator[Text]:
    if "spans" in row:
        yield Text(f"{row['spans']:,}")
    yield Text(f"{row['calls']:,}")
    yield Text(f"{row['errors']:,}", "red" if row["errors"] else "")
    yield Text(f"{_count(row['input_tokens'])}→{_count(row['output_tokens'])}")
    yield Text("-" if row["cost_usd"] is None else f"${_short(row['cost_usd'])}")
    if unpriced:
        yield Text(f"{row['unpriced_calls']:,}" if row["unpriced_calls"] else "-")
    for level in ("p50", "p95"):
        taken = row["duration_ms"][level]
        yield Text("-" if taken is None else duration(taken))
    speed = row["tokens_per_second"]["median"]
    yield Text("-" if speed is None else f"{speed:,.0f}")


def _count(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"


def _short(amount: str) -> str:
    """Money with cents, or as many digits as show that it is not nothing."""
    money = Decimal(amount)
    if money >= 1 or not money:
        return f"{money:,.2f}"
    return f"{money:.4f}" if money >= Decimal("0.01") else f"{money:.2g}"


# --- chart


def chart(answer: Answer, what: str) -> RenderableType:
    """A bar for each piece of time, of all groups together."""
    pieces: Sequence[Answer] = answer["total"]["buckets"]
    if not pieces:
        return Text("No calls.")
    heading = f"{what} by {answer['bucket']}, {answer['time_zone']}"
    return Group(Text(plain(heading), "bold"), Chart(answer, what))


class Chart:
    """Bars as long as their values, in the room that there is."""

    def __init__(self, answer: Answer, what: str) -> None:
        self._answer, self._what = answer, what

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        pieces = self._answer["total"]["buckets"]
        values = [_plotted(piece, self._what) for piece in pieces]
        most = max([value for value in values if value is not None], default=Decimal(0))
        label = _LENGTHS[self._answer["bucket"]]
        room = max(8, options.max_width - label - _VALUE - 2)
        for piece, value in zip(pieces, values, strict=True):
            eighths = int(value * room * 8 / most) if value and most else 0
            bar = "█" * (eighths // 8) + (" ▏▎▍▌▋▊▉"[eighths % 8] if eighths % 8 else "")
            bar = bar or ("▏" if value else "")
            line = Text(f"{_time(self._answer, piece):<{label}} ", no_wrap=True)
            line.append(bar.ljust(room), "cyan").append(f"{_words(value, self._what):>{_VALUE}}")
            yield line


def _plotted(piece: Answer, what: str) -> Decimal | None:
    match what:
        case "cost":
            value = piece["cost_usd"]
        case "tokens":
            value = piece["total_tokens"]
        case "p95":
            value = piece["duration_ms"]["p95"]
        case _:
            value = piece[what]
    return None if value is None else Decimal(str(value))


def _words(value: Decimal | None, what: str) -> str:
    if value is None:
        return "-"
    if what == "cost":
        return f"${_short(str(value))}"
    return duration(float(value)) if what == "p95" else f"{value:,}"
