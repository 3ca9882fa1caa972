"""How a trace looks in a terminal: its tree, with times to scale, tokens, cost and errors.

The input is the JSON of the query API. What is meant is said in words or signs as well as in colour, so
that it reads the same in a pipe. Text from spans never reaches the terminal as control codes.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from spanledger.query_api.times import parse_time

Node = Mapping[str, Any]

_DEEPEST = 12  # levels that are indented; deeper ones are numbered instead
_DURATION = 9  # cells
_ERROR_LINES = 3
_WIDE = 100


def render_tree(trace: Mapping[str, Any]) -> TreeView:
    """The trace as something that rich can print; `trace` is the answer of GET /api/v1/traces/{trace_id}."""
    return TreeView(trace)


def render_list(traces: Sequence[Mapping[str, Any]]) -> ListView:
    """Traces as something that rich can print; they are the `traces` of GET /api/v1/traces."""
    return ListView(traces)


class TreeView:
    """A line for each span, with a bar where it lies in the time of the trace, and what there is to say."""

    def __init__(self, trace: Mapping[str, Any]) -> None:
        self._trace = trace
        self._start = parse_time(trace["start_time"])
        self._length = max(1, parse_time(trace["end_time"]) - self._start)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width
        trace = self._trace
        yield _line(Text(f"trace {trace['trace_id']}", "bold"), width)
        bar = max(8, width // 4)
        name = max(8, width - bar - _DURATION - 2)
        for head, below, node in _lines(trace["roots"]):
            if node.get("placeholder"):
                words = f"(span {plain(node['span_id'])} is not stored)"
                yield _line(Text(head, "dim").append(words, "yellow"), width)
                continue
            yield self._span(head, node, name, bar)
            for words, style in _remarks(node):
                yield from _indented(below, words, style, width)
        yield from _indented("", " · ".join(totals(trace)), "bold", width)

    def _span(self, head: str, node: Node, name_width: int, bar_width: int) -> Text:
        failed = node["status"] == "error"
        name = ("✗ " if failed else "") + plain(node["name"] or "(no name)")
        line = Text(no_wrap=True).append(head, "dim")
        line.append(_sized(name, name_width - cell_len(head)), "bold red" if failed else "")
        line.append(f" {self._bar(node, bar_width)} ", "red" if failed else "cyan")
        line.append(f"{duration(node['duration_ms']):>{_DURATION}}")
        return line

    def _bar(self, node: Node, width: int) -> str:
        offset = parse_time(node["start_time"]) - self._start
        before = min(width - 1, max(0, offset * width // self._length))
        cells = round(node["duration_ms"] * 1_000_000 * width / self._length)
        length = max(1, min(cells, width - before))
        return f"{' ' * before}{'━' * length}".ljust(width)


class ListView:
    """A table of traces, with more columns where there is room."""

    def __init__(self, traces: Sequence[Mapping[str, Any]]) -> None:
        self._traces = traces

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide = options.max_width >= _WIDE
        table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
        table.add_column("trace", no_wrap=True, min_width=32)
        if wide:
            table.add_column("started (UTC)", no_wrap=True)
        table.add_column("name", no_wrap=True, overflow="ellipsis", ratio=1)
        for title in ("took", *(("spans",) if wide else ()), "tokens", "cost"):
            table.add_column(title, no_wrap=True, justify="right")
        for trace in self._traces:
            table.add_row(*_row(trace, wide=wide))
        yield table if self._traces else Text("No traces.")


def _row(trace: Mapping[str, Any], *, wide: bool) -> Iterator[Text]:
    failed = trace["status"] == "error"
    yield Text(trace["trace_id"])
    if wide:
        yield Text(trace["start_time"][5:19].replace("T", " "))
    yield Text(("✗ " if failed else "") + plain(trace["name"]), "red" if failed else "")
    yield Text(duration(trace["duration_ms"]))
    if wide:
        yield Text(f"{trace['span_count']:,}")
    yield Text(f"{trace['input_tokens'] or 0:,}→{trace['output_tokens'] or 0:,}")
    yield Text("-" if trace["cost_usd"] is None else f"${trace['cost_usd']}")


def _lines(roots: Iterable[Node]) -> Iterator[tuple[str, str, Node]]:
    """Every span with what stands before its name, and before the lines below it."""
    todo = [("", "", 0, root) for root in reversed(list(roots))]
    while todo:
        head, below, depth, node = todo.pop()
        children = node["children"]
        yield head, below + ("│ " if children else "  "), node
        for number, child in reversed(list(enumerate(children))):
            last = number == len(children) - 1
            if depth >= _DEEPEST:
                todo.append((f"{below}{depth + 1}: ", below, depth + 1, child))
            else:
                signs = ("└─", "  ") if last else ("├─", "│ ")
                todo.append((below + signs[0], below + signs[1], depth + 1, child))


def _remarks(node: Node) -> Iterator[tuple[str, str]]:
    """What is to be said of a span below its line, with the style."""
    call = " · ".join(_call(node))
    if call:
        yield call, "dim"
    if node["status"] == "error":
        what = [plain(part) for part in (node["error_type"], node["status_message"]) if part]
        yield "error: " + ": ".join(what or ["no message"]), "red"
    if node["orphan"]:
        yield f"orphan: its parent {node['missing_parent_id']} is not stored", "yellow"
    if node["cycle"]:
        yield "cycle: its parent is itself or below it", "yellow"


def _call(node: Node) -> Iterator[str]:
    usage, cost = node["usage"], node["cost"]
    if node["model"]:
        yield plain(node["model"])
    yield from _tokens(usage)
    if cost["usd"] is not None:
        yield f"${cost['usd']}" + (" (reported)" if cost["source"] == "reported" else "")
    elif cost["reason"] and cost["reason"] != "not_counted":
        yield f"cost not known: {plain(cost['reason'])}"


def _tokens(usage: Mapping[str, Any]) -> Iterator[str]:
    parts = (
        ("in", "input_tokens", (("cached", "cache_read_tokens"), ("to cache", "cache_write_tokens"))),
        ("out", "output_tokens", (("reasoning", "reasoning_tokens"),)),
    )
    said = []
    for side, total, details in parts:
        if usage[total] is not None:
            more = ", ".join(f"{usage[name]:,} {word}" for word, name in details if usage[name])
            said.append(f"{usage[total]:,} {side}" + (f" ({more})" if more else ""))
    if said:
        yield " → ".join(said)


def totals(trace: Mapping[str, Any]) -> list[str]:
    """What the whole trace amounts to, in words."""
    words = [
        _counted(trace["span_count"], "span"),
        duration(trace["duration_ms"]),
        _counted(trace["llm_call_count"], "LLM call"),
    ]
    if trace["input_tokens"] is not None or trace["output_tokens"] is not None:
        words.append(f"{trace['input_tokens'] or 0:,} in → {trace['output_tokens'] or 0:,} out")
    if trace["cost_usd"] is not None:
        words.append(f"${trace['cost_usd']}")
    if trace["unpriced_call_count"]:
        words.append(f"{_counted(trace['unpriced_call_count'], 'call')} of unknown cost")
    if trace["error_count"]:
        words.append(_counted(trace["error_count"], "error"))
    return words


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def duration(milliseconds: float) -> str:
    """A length of time in the unit that suits it, in at most nine characters up to years."""
    if milliseconds < 1:
        return f"{milliseconds * 1000:.0f} µs"
    if milliseconds < 1000:
        return f"{milliseconds:.3g} ms" if milliseconds < 100 else f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    if seconds < 60:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m {rest:02}s" if minutes < 60 else f"{minutes // 60:,}h {minutes % 60:02}m"


def _indented(before: str, words: str, style: str, width: int) -> Iterator[Text]:
    room = max(16, width - cell_len(before))
    for line in textwrap.wrap(words, room, max_lines=_ERROR_LINES, placeholder=" …"):
        yield _line(Text().append(before, "dim").append(line, style), width)


def _line(text: Text, width: int) -> Text:
    text.no_wrap = True
    text.truncate(width, overflow="ellipsis")
    return text


def _sized(text: str, width: int) -> str:
    """The text in exactly this many cells."""
    if cell_len(text) > width:
        text = set_cell_size(text, max(0, width - 1)) + "…"
    return set_cell_size(text, max(0, width))


def plain(text: str) -> str:
    """The text on one line and without control codes."""
    return "".join(character if character.isprintable() else " " for character in text)
