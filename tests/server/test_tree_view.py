"""The terminal view: what matters is there in 80 columns, without colour, however deep the trace is."""

from __future__ import annotations

import io
import time

import pytest
from rich.cells import cell_len
from rich.console import Console

from spanledger.server.tree_view import duration, render_list, render_tree

START = "2026-01-31T09:30:00.000000000Z"
NO_USAGE = dict.fromkeys(
    ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
)
NO_COST = {"usd": None, "source": None, "reason": None}


def at(milliseconds):
    return f"2026-01-31T09:30:{milliseconds // 1000:02}.{milliseconds % 1000:03}000000Z"


def node(name, start=0, length=1000, **more):
    return {
        "span_id": "00f067aa0ba902b7",
        "name": name,
        "status": "unset",
        "status_message": "",
        "error_type": None,
        "start_time": at(start),
        "duration_ms": float(length),
        "model": None,
        "usage": NO_USAGE,
        "cost": NO_COST,
        "orphan": False,
        "missing_parent_id": None,
        "cycle": False,
        "children": [],
    } | more


def trace(*roots, **more):
    return {
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "name": "answer",
        "status": "unset",
        "start_time": START,
        "end_time": at(4000),
        "duration_ms": 4000.0,
        "span_count": 3,
        "error_count": 0,
        "llm_call_count": 1,
        "input_tokens": None,
        "output_tokens": None,
        "cost_usd": None,
        "unpriced_call_count": 0,
        "roots": list(roots),
    } | more


def printed(what, width=80, *, terminal=False, environment=()):
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=terminal, _environ=dict(environment))
    console.print(what)
    return out.getvalue()


def lines(what, width=80):
    found = printed(what, width).splitlines()
    assert all(cell_len(line) <= width for line in found)
    return [line.rstrip() for line in found]


def test_the_whole_picture():
    call = node(
        "chat gpt-4o-mini",
        1000,
        2000,
        model="gpt-4o-mini",
        usage=NO_USAGE
        | {"input_tokens": 1200, "output_tokens": 80, "cache_read_tokens": 1024, "reasoning_tokens": 40},
        cost=NO_COST | {"usd": "0.00012345", "source": "computed"},
    )
    tool = node(
        "execute_tool search", 3000, status="error", error_type="Timeout", status_message="no answer in 1 s"
    )
    root = node("answer", 0, 4000, children=[call, tool])
    shown = trace(
        root, cost_usd="0.00012345", input_tokens=1200, output_tokens=80, error_count=1, unpriced_call_count=1
    )
    assert lines(render_tree(shown)) == [
        "trace 4bf92f3577b34da6a3ce929d0e0e4736",
        "answer                                            ━━━━━━━━━━━━━━━━━━━━    4.00 s",
        "├─chat gpt-4o-mini                                     ━━━━━━━━━━         2.00 s",
        "│   gpt-4o-mini · 1,200 in (1,024 cached) → 80 out (40 reasoning) · $0.00012345",
        "└─✗ execute_tool search                                          ━━━━━    1.00 s",
        "    error: Timeout: no answer in 1 s",
        "3 spans · 4.00 s · 1 LLM call · 1,200 in → 80 out · $0.00012345 · 1 call of",
        "unknown cost · 1 error",
    ]


@pytest.mark.parametrize(
    ("marks", "words"),
    [
        (
            {"orphan": True, "missing_parent_id": "aa" * 8},
            "orphan: its parent aaaaaaaaaaaaaaaa is not stored",
        ),
        ({"cycle": True}, "cycle: its parent is itself or below it"),
        ({"cost": NO_COST | {"reason": "unknown_model"}}, "cost not known: unknown_model"),
        ({"cost": NO_COST | {"usd": "1", "source": "reported"}}, "$1 (reported)"),
        ({"status": "error"}, "error: no message"),
        ({"usage": NO_USAGE | {"output_tokens": 0}}, "0 out"),
    ],
)
def test_what_is_special_is_said_in_words(marks, words):
    assert words in printed(render_tree(trace(node("x", **marks))))


def test_a_pipe_gets_no_colours_and_no_color_is_heeded():
    shown = render_tree(trace(node("x", status="error")))
    assert "\x1b" not in printed(shown)
    assert "\x1b[" in printed(shown, terminal=True, environment={"TERM": "xterm"})
    assert "\x1b[31" not in printed(shown, terminal=True, environment={"TERM": "xterm", "NO_COLOR": "1"})


def test_an_error_is_red():
    colours = printed(
        render_tree(trace(node("x", status="error"))), terminal=True, environment={"TERM": "xterm"}
    )
    assert "\x1b[31merror" in colours


def test_text_of_spans_cannot_control_the_terminal():
    evil = "a\x1b[2Jb\nc\x07\x9b31m[bold]d[/bold]\u202e"
    shown = printed(render_tree(trace(node(evil, model=evil, status="error", status_message=evil))))
    assert not set(shown) & {"\x1b", "\x07", "\x9b", "\u202e"}
    assert "[bold]d[/bold]" in shown
    listed = printed(render_list([trace(name=evil)]), 200)
    assert not set(listed) & {"\x1b", "\x07", "\x9b", "\u202e"}


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_long_and_wide_text_fits(width):
    name = "日本語" * 50 + "x" * 500
    error = node(name, status="error", status_message="word " * 500, children=[node(name)])
    found = lines(render_tree(trace(error)), width)
    assert len(found) < 20


def test_bars_lie_where_the_span_lay_in_the_trace():
    spans = [node("a", 0, 0), node("b", 3999, 1), node("c", 2000, 9000), node("d", 0, 4000)]
    bars = [line[50:70] for line in lines(render_tree(trace(*spans)))[1:5]]
    assert bars[0].rstrip() == "━"
    assert bars[1] == "━".rjust(20)
    assert bars[2] == ("━" * 10).rjust(20)
    assert bars[3] == "━" * 20


def test_a_trace_without_length_can_be_shown():
    assert "x" in printed(render_tree(trace(node("x", 0, 0), end_time=START, duration_ms=0.0)))


def test_a_trace_of_5000_levels_is_shown_whole():
    deepest = current = node("level 0")
    for level in range(1, 5_000):
        below = node(f"level {level}")
        current["children"].append(below)
        current = below
    started = time.monotonic()
    found = lines(render_tree(trace(deepest)))
    assert time.monotonic() - started < 10
    assert len(found) == 5_002
    assert "4999: level 4999" in found[-2]


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "0 µs"),
        (0.0123, "12 µs"),
        (0.9999, "1000 µs"),
        (1, "1 ms"),
        (12.345, "12.3 ms"),
        (123.4, "123 ms"),
        (999.9, "1000 ms"),
        (1234, "1.23 s"),
        (59_999, "60.00 s"),
        (61_000, "1m 01s"),
        (3_600_000, "1h 00m"),
        (360_000_000, "100h 00m"),
    ],
)
def test_a_duration_is_short(milliseconds, text):
    assert duration(milliseconds) == text
    assert len(text) <= 9


def test_a_list_fits_80_columns_and_has_more_where_there_is_room():
    shown = trace(name="a long name " * 10, cost_usd="0.00012345", input_tokens=1200, status="error")
    narrow, wide = lines(render_list([shown]), 80), lines(render_list([shown]), 140)
    assert shown["trace_id"] in narrow[1]
    assert "$0.00012345" in narrow[1]
    assert "✗ a long" in narrow[1]
    assert "1,200→0" in narrow[1]
    assert "started" not in narrow[0]
    assert "started" in wide[0]
    assert "1,200→0" in wide[1]


def test_an_empty_list_says_so():
    assert printed(render_list([])) == "No traces.\n"
