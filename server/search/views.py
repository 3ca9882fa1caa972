"""How spans look in a terminal. The input is the JSON of the query API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from spanledger.server.tree_view import duration, plain

_WIDE = 120


def render_spans(spans: Sequence[Mapping[str, Any]]) -> SpanTable:
    """Spans as something that rich can print; they are the `spans` of GET /api/v1/spans."""
    return SpanTable(spans)


def render_count(count: Mapping[str, Any]) -> Text:
    """How many there are in all."""
    return Text(f"{'' if count['exact'] else 'about '}{count['count']:,} in all", "bold")


class SpanTable:
    """A table of spans, with more columns where there is room."""

    def __init__(self, spans: Sequence[Mapping[str, Any]]) -> None:
        self._spans = spans

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide = options.max_width >= _WIDE
        table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
        table.add_column("trace", no_wrap=True, min_width=32)
        if wide:
            table.add_column("span", no_wrap=True, min_width=16)
            table.add_column("started (UTC)", no_wrap=True)
        for title in ("name", "model or tool"):
            table.add_column(title, no_wrap=True, overflow="ellipsis", ratio=1)
        for title in ("took", "tokens", "cost"):
            table.add_column(title, no_wrap=True, justify="right")
        for span in self._spans:
            table.add_row(*_row(span, wide=wide))
        yield table if self._spans else Text("No spans.")


def _row(span: Mapping[str, Any], *, wide: bool) -> Iterator[Text]:
    failed = span["status"] == "error"
    yield Text(span["trace_id"])
    if wide:
        yield Text(span["span_id"])
        yield Text(span["start_time"][5:19].replace("T", " "))
    yield Text(("✗ " if failed else "") + plain(span["name"] or "(no name)"), "red" if failed else "")
    yield Text(plain(span["response_model"] or span["request_model"] or span["tool"] or ""))
    yield Text(duration(span["duration_ms"]))
    known = span["input_tokens"] is not None or span["output_tokens"] is not None
    yield Text(f"{span['input_tokens'] or 0:,}→{span['output_tokens'] or 0:,}" if known else "-")
    yield Text("-" if span["cost_usd"] is None else f"${span['cost_usd']}")
