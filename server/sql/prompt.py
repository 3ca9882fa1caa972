"""The prompt of `spanledger sql`: queries one after the other, with history and completion of names."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

from spanledger.schemas.errors import SpanledgerError
from spanledger.server.reading import Api, console, show
from spanledger.server.sql.actions import Wanted, answer

_FIRST, _NEXT = "spanledger> ", "        ... "
_HELP = r"""A query ends with ; and may go over several lines.
  \d            the views
  \d VIEW       the columns of a view
  \plot QUERY;  draw the result
  \x            leave the query that was begun
  \q            end (Ctrl-D does, too)
  \?            this help"""
_KEYWORDS = (
    *(
        "SELECT",
        "FROM",
        "WHERE",
        "GROUP BY",
        "ORDER BY",
        "LIMIT",
        "HAVING",
        "WITH",
        "AS",
        "JOIN",
        "LEFT JOIN",
    ),
    *("USING", "ON", "UNION ALL", "DISTINCT", "AND", "OR", "NOT", "IN", "LIKE", "BETWEEN", "IS NULL", "DESC"),
    *(
        "count()",
        "sum(",
        "avg(",
        "quantile(",
        "uniq(",
        "toStartOfHour(",
        "toDate(",
        "now()",
        "INTERVAL 1 DAY",
    ),
)
_MOST_HISTORY = 1000


def prompt(api: Api, wanted: Wanted) -> int:
    """Ask for queries until there are no more; what is wrong with one is told, and the next is asked for."""
    views = api.get("/api/v1/sql/schema")["views"]
    names = [view["name"] for view in views]
    history = _edit_lines([*names, *(column["name"] for view in views for column in view["columns"])])
    show(Text(rf"{', '.join(names)}. \? for help.", "dim"))
    try:
        return _ask(api, wanted)
    finally:
        _keep(history)


def _ask(api: Api, wanted: Wanted) -> int:
    begun: list[str] = []
    while True:
        try:
            line = input(_NEXT if begun else _FIRST)
        except EOFError:
            sys.stdout.write("\n")
            return 0
        except KeyboardInterrupt:
            sys.stdout.write("\n")
            begun = []
            continue
        command = line.strip()
        if command in (r"\q", "exit", "quit") and not begun:
            return 0
        if command == r"\x":
            begun = []
        elif command == r"\?":
            show(Text(_HELP))
        elif command.startswith(r"\d") and not begun:
            _answer(api, command, wanted)
        elif command:
            begun.append(line)
            if command.endswith(";"):
                _answer(api, "\n".join(begun), wanted)
                begun = []


def _answer(api: Api, text: str, wanted: Wanted) -> None:
    query = text.strip()
    plotted = query.startswith(r"\plot")
    if plotted:
        query, wanted = query.removeprefix(r"\plot"), wanted._replace(plotted=True, format="table")
    try:
        answer(api, query.rstrip().rstrip(";"), wanted)
    except SpanledgerError as error:
        console(sys.stderr).print(Text(str(error), "red"))
    except KeyboardInterrupt:
        sys.stdout.write("\n")


def _edit_lines(names: Sequence[str]) -> Path | None:
    """Switch line editing on, with the history of before; where it is kept, None: nowhere."""
    try:
        import readline
    except ImportError:  # Python without it, as on Windows
        return None
    words = sorted({*names, *_KEYWORDS})

    def complete(text: str, state: int) -> str | None:
        fitting = [word for word in words if text and word.lower().startswith(text.lower())]
        return fitting[state] if state < len(fitting) else None

    readline.set_completer(complete)
    readline.set_completer_delims(" \t\n,()=<>;")
    readline.parse_and_bind("tab: complete")
    state = os.environ.get("XDG_STATE_HOME")
    file = (Path(state) if state else Path.home() / ".local" / "state") / "spanledger" / "sql_history"
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if file.exists():
            readline.read_history_file(file)
    except OSError:
        return None
    return file


def _keep(history: Path | None) -> None:
    if history is None:
        return
    import readline

    try:
        readline.set_history_length(_MOST_HISTORY)
        readline.write_history_file(history)
        history.chmod(0o600)  # queries may name people
    except OSError:
        return
