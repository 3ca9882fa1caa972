"""The journal of deletions: what was deleted, when, by whom and why; not whose it was.

The id of a user or conversation is personal data itself. So the journal has a hash of it only, together with
the id of the deletion: nobody can look ids up in it, but who knows one can tell whether it was deleted.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from clickhouse_connect.driver.client import Client

from spanledger.schemas.rewriting import INSERT_SETTINGS

UNFINISHED = ("begun", "marked", "hidden", "erased")


class Deletion(NamedTuple):
    """A row of `deletions`."""

    project: str
    deletion: str
    kind: str
    subject_sha256: str
    reason: str
    who: str
    state: str
    asked_at: datetime
    hidden_at: datetime | None = None
    erased_at: datetime | None = None
    done_at: datetime | None = None
    traces: int = 0
    spans: int = 0
    logs: int = 0
    cost_changes: int = 0


_SELECT = f"SELECT {', '.join(Deletion._fields)} FROM deletions FINAL"  # noqa: S608
_PAGE = (
    f"{_SELECT} WHERE project = {{project:String}} "
    "AND ({before:String} = '' OR deletion < {before:String}) ORDER BY deletion DESC LIMIT {limit:UInt32}"
)
_ONE = f"{_SELECT} WHERE project = {{project:String}} AND deletion = {{deletion:String}}"
_UNFINISHED = f"{_SELECT} WHERE state IN {{states:Array(String)}} ORDER BY deletion"


def new_deletion(project: str, kind: str, subject: str, *, reason: str, who: str) -> Deletion:
    """A row that is not written yet; `subject`: the id of the user or conversation, or empty."""
    deletion = f"{time.time_ns():016x}{secrets.token_hex(8)}"
    hashed = hash_of(deletion, subject) if subject else ""
    return Deletion(project, deletion, kind, hashed, reason, who, "begun", datetime.now(UTC))


def hash_of(deletion: str, subject: str) -> str:
    return hashlib.sha256(f"{deletion}\n{subject}".encode()).hexdigest()


def write(client: Client, row: Deletion) -> Deletion:
    """Write a row down as it is now; the same row."""
    names = (*Deletion._fields, "written_at")
    client.insert("deletions", [(*row, datetime.now(UTC))], column_names=names, settings=INSERT_SETTINGS)
    return row


def page(client: Client, project: str, *, limit: int, before: str = "") -> list[Deletion]:
    """A project's deletions, newest first, from the one behind `before` on."""
    parameters = {"project": project, "before": before, "limit": limit}
    return [_row(row) for row in client.query(_PAGE, parameters=parameters).result_rows]


def one(client: Client, project: str, deletion: str) -> Deletion | None:
    rows = client.query(_ONE, parameters={"project": project, "deletion": deletion}).result_rows
    return _row(rows[0]) if rows else None


def unfinished(client: Client) -> list[Deletion]:
    """Of all projects, oldest first."""
    return [
        _row(row) for row in client.query(_UNFINISHED, parameters={"states": list(UNFINISHED)}).result_rows
    ]


def _row(row: Sequence[Any]) -> Deletion:
    return Deletion(*map(_utc, row))


def _utc(value: Any) -> Any:
    """Times with their zone, whatever the client makes of them."""
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value
