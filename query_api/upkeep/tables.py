"""The tables that hold something of a span, and taking rows out of them for good.

Which ones these are is asked of the database: whatever table has a project and a trace id.

Rows go in three steps. A lightweight delete hides them from every query, which is quick where parts are
large: only a mask is written. `APPLY DELETED MASK` writes the parts anew without them. The old files stay
until the engine cleans up; dropping a partition that there is not has it do so at once, as far as the
setting `old_parts_lifetime` of the table allows (the embedded engine's is 0, a server's eight minutes).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from clickhouse_connect.driver.client import Client

_TABLES = """
SELECT table, if(countIf(name = 'start_time') > 0, 'start_time', 'time') AS time,
    any(key) LIKE 'toDate(%' AS by_day
FROM system.columns
INNER JOIN
(
    SELECT name AS table, partition_key AS key FROM system.tables
    WHERE database = currentDatabase() AND engine LIKE '%MergeTree' AND name != 'deleted_traces'
) AS tables USING (table)
WHERE database = currentDatabase()
GROUP BY table
HAVING countIf(name = 'project') > 0 AND countIf(name = 'trace_id' AND type = 'FixedString(16)') > 0
ORDER BY table = 'spans', table
"""
_OF_DELETIONS = (
    "project = {project:String} AND trace_id IN (SELECT trace_id FROM deleted_traces "
    "WHERE project = {project:String} AND deletion IN {deletions:Array(String)})"
)
_MASKED = (
    "SELECT DISTINCT table, partition_id FROM system.parts "
    "WHERE database = currentDatabase() AND table IN {tables:Array(String)} "
    "AND active AND has_lightweight_delete"
)
_APPLYING = (
    "SELECT DISTINCT table FROM system.mutations WHERE database = currentDatabase() AND NOT is_done "
    "AND table IN {tables:Array(String)} AND command LIKE '%APPLY DELETED MASK%'"
)
_OLD_FILES = (
    "SELECT count() FROM system.parts WHERE database = currentDatabase() AND table IN {tables:Array(String)} "
    "AND NOT active AND remove_time <= toDateTime({before:DateTime('UTC')})"
)
# In more partitions than these a single statement is quicker, though it gives every part a new name.
_FEW_PARTITIONS = 4


class Table(NamedTuple):
    """A table with rows of spans: the column that says when they were, and whether a partition is a day."""

    name: str
    time: str
    by_day: bool

    @property
    def quoted(self) -> str:
        return f"`{self.name}`"


def tables_of_spans(client: Client) -> list[Table]:
    """Every table that holds rows of a span; `spans` itself comes last."""
    rows = client.query(_TABLES).result_rows
    return [Table(str(name), str(time), bool(by_day)) for name, time, by_day in rows]


def hide_deleted(client: Client, project: str, deletions: Sequence[str]) -> int:
    """Hide all that there is of deleted traces; how many rows there were, copies included.

    Statements hold nothing but the ids of deletions: the database keeps them for a while.
    """
    parameters = {"project": project, "deletions": list(deletions)}
    return sum(hide(client, table, _OF_DELETIONS, parameters) for table in tables_of_spans(client))


def hide(client: Client, table: Table, condition: str, parameters: Mapping[str, Any]) -> int:
    """Hide the rows for which a condition holds, from every query that begins when this has returned."""
    where = f"WHERE {condition}"
    found = client.query(
        f"SELECT _partition_id, count() FROM {table.quoted} {where} GROUP BY _partition_id",  # noqa: S608
        parameters=dict(parameters),
    ).result_rows
    if not found:
        return 0
    places = [""]
    if len(found) <= _FEW_PARTITIONS:
        places = [f"IN PARTITION ID '{partition}' " for partition, _ in found]
    for place in places:
        client.command(f"DELETE FROM {table.quoted} {place}{where}", parameters=dict(parameters))  # noqa: S608
    return sum(int(rows) for _, rows in found)


def erase(client: Client) -> bool:
    """Have the parts with hidden rows written anew; whether there are none any more."""
    names = [table.name for table in tables_of_spans(client)]
    masked = client.query(_MASKED, parameters={"tables": names}).result_rows
    if not masked:
        return True
    applying = {row[0] for row in client.query(_APPLYING, parameters={"tables": names}).result_rows}
    for table, partition in masked:
        if table not in applying:
            client.command(
                f"ALTER TABLE `{table}` APPLY DELETED MASK IN PARTITION ID '{partition}' "
                "SETTINGS mutations_sync = 0"
            )
    return False


def old_files_are_gone(client: Client, before: datetime) -> bool:
    """Whether no file is left of parts that were replaced until a moment; has those removed that may be."""
    names = [table.name for table in tables_of_spans(client)]
    parameters = {"tables": names, "before": before.astimezone(UTC).replace(microsecond=0)}

    def left() -> int:
        return int(client.query(_OLD_FILES, parameters=parameters).result_rows[0][0])

    if not left():
        return True
    clean_up(client, names)
    return not left()


def clean_up(client: Client, names: Sequence[str]) -> None:
    """Have the engine remove the files of old parts now."""
    for name in names:
        client.command(f"ALTER TABLE `{name}` DROP PARTITION ID '{_NO_PARTITION}'")


_NO_PARTITION = "21490606"  # a day that no time which can be stored is in
