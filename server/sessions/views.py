"""How conversations and users look in a terminal. The input is the JSON of the query API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from spanledger.server.tables import table
from spanledger.server.tree_view import duration, plain

Answer = Mapping[str, Any]


def listed(rows: Sequence[Answer], what: str) -> RenderableType:
    """Conversations or users, a line each."""
    if not rows:
        return Text(f"No {what}s.")
    titles = (f"<{what}", "last (UTC)", ">traces", ">calls", ">errors", ">tokens", ">cost", "<models")
    return table(titles, (([*_cells(row)], "") for row in rows))


def _cells(row: Answer) -> Iterator[Text]:
    yield Text(plain(row["id"]))
    yield Text(_minute(row["last_time"]))
    yield Text(f"{row['traces']:,}")
    yield Text(f"{row['calls']:,}")
    yield Text(f"{row['errors']:,}", "red" if row["errors"] else "")
    yield Text("-" if row["total_tokens"] is None else f"{row['total_tokens']:,}")
    yield Text("-" if row["cost_usd"] is None else f"${row['cost_usd']}")
    yield Text(plain(", ".join(row["models"])))


def conversation(answer: Answer) -> RenderableType:
    """A conversation, turn by turn."""
    parts: list[RenderableType] = [_heading("conversation", answer)]
    for number, turn in enumerate(answer["turns"], 1):
        head = f"\n{number}. {_minute(turn['first_time'])} · {' · '.join(_amounts(turn))}"
        parts.append(Text(head, "dim"))
        for sign, text in (("> ", turn["input"]), ("< ", turn["output"])):
            words = Text("(nothing was sent)", "dim italic") if text is None else Text(plain(text))
            parts.append(Padding(Text(sign, "bold").append_text(words), (0, 0, 0, 2), expand=False))
        parts.append(Text(f"  trace {turn['trace_id']}", "dim"))
    if answer["next_cursor"]:
        parts.append(Text("\nThere are more turns: --limit."))
    return Group(*parts)


def user(answer: Answer) -> RenderableType:
    """A user and the newest conversations."""
    return Group(_heading("user", answer), Text(""), listed(answer["conversations"], "conversation"))


def _heading(what: str, answer: Answer) -> Text:
    words = [f"{what} {answer['id']}", _many(answer["traces"], "trace"), *_amounts(answer)]
    return Text(plain(" · ".join(words)), "bold")


def _amounts(row: Answer) -> Iterator[str]:
    yield _many(row["calls"], "call")
    if row["errors"]:
        yield _many(row["errors"], "error")
    if row["total_tokens"] is not None:
        yield f"{row['total_tokens']:,} tokens"
    yield "cost unknown" if row["cost_usd"] is None else f"${row['cost_usd']}"
    yield duration(row["duration_ms"])


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _minute(text: str) -> str:
    return text[:16].replace("T", " ")
