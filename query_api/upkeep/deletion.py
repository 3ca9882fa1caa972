"""Deletes traces: those that are named, or all in which a user or a conversation is named.

First the ids of the traces are written down: from then on the collector refuses what comes of them. Then the
rows are hidden from every answer, and the deletion is acknowledged. A `Keeper` does the rest behind it. Each
step can be done again, so a process that is killed between two of them leaves nothing but work for the next
one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from clickhouse_connect.driver.client import Client

from spanledger.query_api.readers import Writer
from spanledger.query_api.upkeep import journal
from spanledger.query_api.upkeep.journal import Deletion
from spanledger.query_api.upkeep.tables import hide_deleted
from spanledger.schemas.removals import Removals
from spanledger.schemas.rewriting import INSERT_SETTINGS

_COLUMN_OF = {"user": "user_id", "conversation": "conversation_id"}
_NAMED = "toFixedString(unhex(arrayJoin({ids:Array(String)})), 16)"
# A copy that was superseded may name who its successor does not: its trace goes, too.
_NAMING = (
    "SELECT trace_id FROM spans WHERE project = {{project:String}} AND {column} = {{id:String}} "
    "GROUP BY trace_id"
)
_MARKED = (
    "SELECT trace_id FROM deleted_traces WHERE project = {project:String} AND deletion = {deletion:String}"
)
_COUNTS = """
SELECT
    (SELECT uniqExact(trace_id) FROM ({traces})),
    (SELECT count() FROM spans FINAL WHERE project = {{project:String}} AND trace_id IN ({traces})),
    (SELECT count() FROM logs FINAL WHERE project = {{project:String}} AND trace_id IN ({traces})),
    (SELECT count() FROM cost_changes FINAL WHERE project = {{project:String}} AND trace_id IN ({traces}))
"""


class Wanted(NamedTuple):
    """What to delete: traces by their ids in hex, or a user or conversation by its id."""

    kind: str
    trace_ids: Sequence[str] = ()
    subject: str = ""


class Counts(NamedTuple):
    traces: int
    spans: int
    logs: int
    cost_changes: int


class DeletionWriter(Writer):
    """The client that deletions are made through, one after the other."""

    _in_use = "Another deletion is being carried out"


def count(client: Client, project: str, wanted: Wanted) -> Counts:
    """What a deletion would take away."""
    parameters = {"project": project, "ids": list(wanted.trace_ids), "id": wanted.subject}
    if wanted.kind == "trace":
        return _counts(client, f"SELECT {_NAMED} AS trace_id", parameters)
    return _counts(client, _NAMING.format(column=_COLUMN_OF[wanted.kind]), parameters)


def new_deletion(project: str, wanted: Wanted, *, reason: str, who: str) -> Deletion:
    """A deletion that is not begun yet."""
    return journal.new_deletion(project, wanted.kind, wanted.subject, reason=reason, who=who)


def delete(client: Client, removals: Removals, row: Deletion, wanted: Wanted) -> Deletion:
    """Delete; return when no answer has it any more, and nothing of it is stored again.

    Raises what the client raises. Once the ids are written down the keeper goes on then.
    """
    journal.write(client, row)
    _write_down(client, row, wanted)
    return finish_hiding(client, removals, row)


def finish_hiding(client: Client, removals: Removals, row: Deletion) -> Deletion:
    """Go on with a deletion whose traces are written down."""
    if row.state == "begun":
        parameters = {"project": row.project, "deletion": row.deletion}
        counts = _counts(client, _MARKED, parameters)
        now = datetime.now(UTC)
        if not counts.traces:
            return journal.write(
                client, row._replace(state="done", hidden_at=now, erased_at=now, done_at=now)
            )
        row = journal.write(client, row._replace(state="marked", **counts._asdict()))
    removals.refresh(client)
    hide_deleted(client, row.project, [row.deletion])
    return journal.write(client, row._replace(state="hidden", hidden_at=datetime.now(UTC)))


def _write_down(client: Client, row: Deletion, wanted: Wanted) -> None:
    """The ids of the traces into `deleted_traces`, in one block: all of them or none."""
    head = "INSERT INTO deleted_traces (project, deletion, trace_id, deleted_at) SELECT {project:String}, "
    parameters = {
        "project": row.project,
        "deletion": row.deletion,
        "ids": list(wanted.trace_ids),
        "id": wanted.subject,
    }
    if wanted.kind == "trace":
        source = f"SELECT {_NAMED} AS trace_id"
    else:
        source = _NAMING.format(column=_COLUMN_OF[wanted.kind])
    client.command(
        f"{head}{{deletion:String}}, trace_id, now64(6) FROM ({source})",
        parameters=parameters,
        settings=INSERT_SETTINGS
        | {"min_insert_block_size_rows": 1 << 30, "min_insert_block_size_bytes": 1 << 30},
    )


def _counts(client: Client, traces: str, parameters: Mapping[str, object]) -> Counts:
    sql = _COUNTS.format(traces=traces)
    return Counts(*map(int, client.query(sql, parameters=dict(parameters)).result_rows[0]))
