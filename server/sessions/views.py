"""How conversations and users look in a terminal. The input is the JSON of the query API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from spanledger.server.tree_view import duration, plain

Answer = Mapping[str, Any]


def listed(rows: Sequence[Answer], what: str) -> RenderableType:
    """Conversations or users, a line each."""
    if not rows:
        return Text(f"No {what}s.")
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(what, overflow="ellipsis", no_wrap=True, max_width=40)
    table.add_column("last (UTC)", no_wrap=True)
    for title in ("traces", "calls", "errors", "tokens", "cost"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("models", overflow="ellipsis", no_wrap=True)
    for row in rows:
        table.add_row(
            Text(plain(row["id"])),
            Text(_minute(row["last_time"])),
            Text(f"{row['traces']:,}"),
            Text(f"{row['calls']:,}"),
            Text(f"{row['errors']:,}", "red" if row["errors"] else ""),
            Text("-" if row["total_tokens"] is None else f"{row['total_tokens']:,}"),
            Text("-" if row["cost_usd"] is None else f"${row['cost_usd']}"),
            Text(plain(", ".join(row["models"]))),
        )
    return table


def conversation(answer: Answer) -> RenderableType:
    """A conversation, turn by turn."""
    parts: list[RenderableType] = [_heading("conversation", answer)]
    for number, turn in enumerate(answer["turns"], 1):
        head = f"\n{number}. {_minute(turn['first_time'])} · {' · '.join(_amounts(turn))}"
        parts.append(Text(head, "dim"))
        for sign, text in (("> ", turn["input"]), ("< ", turn["output"])):
            words = Text("(nothing was sent)", "dim italic") if text is None else Text(plain(text))
            parts.append(Padding(Text(sign, "bold").append_text(words), (0, 0, 0, 2)))
        parts.append(Text(f"  trace {turn['trace_id']}", "dim"))
    if answer["next_cursor"]:
        parts.append(Text("\nThere are more turns: --limit."))
    return Group(*parts)


def user(answer: Answer) -> RenderableType:
    """A user and the newest conversations."""
    return Group(_heading("user", answer), Text(""), listed(answer["conversations"], "conversation"))


def _heading(what: str, answer: Answer) -> Text:
    words = [f"{what} {answer['id']}", f"{answer['traces']:,} traces", *_amounts(answer)]
    return Text(plain(" · ".join(words)), "bold")


def _amounts(row: Answer) -> Iterator[str]:
    yield f"{row['calls']:,} calls"
    if row["errors"]:
        yield f"{row['errors']:,} errors"
    if row["total_tokens"] is not None:
        yield f"{row['total_tokens']:,} tokens"
    yield "cost unknown" if row["cost_usd"] is None else f"${row['cost_usd']}"
    yield duration(row["duration_ms"])


def _minute(text: str) -> str:
    return text[:16].replace("T", " ")
