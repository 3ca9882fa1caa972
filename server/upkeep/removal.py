"""What `spanledger delete` and `spanledger retention` do: each asks the API and shows its answer."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from typing import Any

from rich.text import Text

from spanledger.schemas.errors import BadData
from spanledger.server.reading import Api, console, show
from spanledger.server.who import who

_DELETIONS, _RETENTION = "/api/v1/deletions", "/api/v1/retention"
_LOOK_S = 1.0
_STATES = {
    "begun": "looking for what is to be deleted",
    "marked": "taking it out of every answer",
    "hidden": "no answer has it any more; writing files anew without it",
    "erased": "files are written anew; waiting until the old ones are gone and nothing more comes in",
    "done": "done",
}


def delete(api: Api, chosen: argparse.Namespace) -> int:
    """Count, ask, delete, and show how far it is until it is done. Raises SpanledgerError with one line."""
    if not chosen.dry_run and not chosen.why.strip():
        raise BadData("--why: say why, it is kept in the journal (or --dry-run, which deletes nothing)")
    asked: dict[str, Any] = {"reason": chosen.why, "who": who(chosen)}
    if chosen.trace:
        asked["trace_ids"] = chosen.trace
    elif chosen.user is not None:
        asked["user"] = chosen.user
    else:
        asked["conversation"] = chosen.conversation
    counts = api.post(_DELETIONS, asked | {"dry_run": True})
    show(Text(_counted(counts)))
    if chosen.dry_run:
        return 0
    if not chosen.yes and not _agreed("Delete this for good? [y/N] ", "--dry-run only counts"):
        show(Text("Nothing was deleted."))
        return 1
    made = api.post(_DELETIONS, asked)
    show(Text(f"Deletion {made['id']}: no answer has it any more."))
    try:
        done = _followed(api, made)
    except KeyboardInterrupt:
        show(Text(f"The server goes on by itself; GET {_DELETIONS}/{made['id']} tells how far it is."))
        return 130
    show(Text(f"Gone from the files, too, at {done['done_at'][:19]}Z."))
    return 0


def retention(api: Api, chosen: argparse.Namespace) -> int:
    """Show how long spans are kept, or set it, after asking where something may go for that."""
    before = api.get(_RETENTION)
    if chosen.days is None:
        show(Text(_kept(before)))
        return 0
    asked = _setting(chosen.days) | {"who": who(chosen)}
    wanted = before["default_days"] if asked.get("use_default") else asked["days"]
    fewer = wanted is not None and (before["days"] is None or wanted < before["days"])
    question = f"Spans older than {wanted} days are removed for good. Go on? [y/N] "
    if fewer and not chosen.yes and not _agreed(question, "without DAYS it is only shown"):
        show(Text("Nothing was changed."))
        return 1
    show(Text(_kept(api.put(_RETENTION, asked))))
    return 0


def _setting(text: str) -> dict[str, Any]:
    if text == "forever":
        return {"days": None}
    if text == "default":
        return {"days": None, "use_default": True}
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise BadData(f"DAYS {text}: a whole number from 1, forever or default is needed")
    return {"days": int(text)}


def _counted(counts: Mapping[str, Any]) -> str:
    names = ("traces", "spans", "logs", "cost_changes")
    words = ("traces", "spans", "log records", "changes of costs")
    return ", ".join(f"{counts[name]:,} {word}" for name, word in zip(names, words, strict=True))


def _kept(state: Mapping[str, Any]) -> str:
    where = "the project's own setting" if state["source"] == "project" else "the default"
    if state["days"] is None:
        return f"Spans and log records are kept for ever ({where})."
    days = f"{state['days']} days" if state["days"] != 1 else "one day"
    return f"Spans and log records are kept for {days}, from {state['kept_from'][:10]} on ({where})."


def _followed(api: Api, made: Mapping[str, Any]) -> Mapping[str, Any]:
    """The deletion when it is done, with its state on the way where somebody looks."""
    err = console(sys.stderr)
    with err.status(_STATES[made["state"]]) as line:
        now = made
        while now["state"] != "done":
            time.sleep(_LOOK_S)
            now = api.get(f"{_DELETIONS}/{made['id']}")
            line.update(_STATES[now["state"]])
    return now


def _agreed(question: str, otherwise: str) -> bool:
    if not sys.stdin.isatty():
        raise BadData(f"nobody is there to be asked: --yes goes on without asking, {otherwise}")
    return input(question).strip().lower() in ("y", "yes")
