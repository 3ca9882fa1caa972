"""How long spans are kept, project by project, and taking away what is older.

Kept are whole days of UTC: the partitions of the tables are days, so what is too old can be taken without a
look at any row that stays. What nobody keeps is dropped with its partition; where another project keeps
more, or may, the rows are hidden and erased like deleted ones.
"""

from __future__ import annotations

from datetime import UTC, datetime

from clickhouse_connect.driver.client import Client

from spanledger.query_api.upkeep.tables import Table, hide, tables_of_spans
from spanledger.schemas.removals import DAY_NS, Removed, kept_from_ns
from spanledger.schemas.rewriting import INSERT_SETTINGS

_OLD = (
    "SELECT _partition_id, toString(project), count() FROM {table} "
    "WHERE {time} < fromUnixTimestamp64Nano({{before:Int64}}, 'UTC') GROUP BY _partition_id, project"
)

_EXPIRED = "project = {{project:String}} AND {time} < fromUnixTimestamp64Nano({{before:Int64}}, 'UTC')"


def set_retention(
    client: Client, project: str, days: int | None, *, use_default: bool = False, who: str = ""
) -> None:
    """Write the setting of a project."""
    client.insert(
        "retention",
        [(project, days, use_default, who, datetime.now(UTC))],
        column_names=("project", "days", "by_default", "who", "changed_at"),
        settings=INSERT_SETTINGS,
    )


def expire(client: Client, removed: Removed, now_ns: int) -> int:
    """Take away what is older than its project keeps; how many rows, copies included."""
    moments = [kept_from_ns(days, now_ns) for days in (removed.default_days, *removed.days.values())]
    # Before the first of them no project keeps anything, not even one that is not known yet.
    nobody, somebody = min(moments), max(moments)
    if not somebody:
        return 0
    rows = 0
    for table in tables_of_spans(client):
        old = _old(client, table, somebody)
        if table.by_day:
            dropped = {day for day, _, _ in old if _end_of_day_ns(day) <= nobody}
            for day in sorted(dropped):
                client.command(f"ALTER TABLE {table.quoted} DROP PARTITION ID '{day}'")
            rows += sum(count for day, _, count in old if day in dropped)
            old = [row for row in old if row[0] not in dropped]
        for project in sorted({project for _, project, _ in old}):
            before = kept_from_ns(removed.days_of(project), now_ns)
            if before:
                condition = _EXPIRED.format(time=table.time)
                rows += hide(client, table, condition, {"project": project, "before": before})
    return rows


def _old(client: Client, table: Table, before: int) -> list[tuple[str, str, int]]:
    """Partitions, projects and rows of what is from before a moment."""
    rows = client.query(
        _OLD.format(table=table.quoted, time=table.time), parameters={"before": before}
    ).result_rows
    return [(str(partition), str(project), int(count)) for partition, project, count in rows]


def _end_of_day_ns(partition: str) -> int:
    """Of a partition called as its day, such as 20260131."""
    day = datetime.strptime(partition, "%Y%m%d").replace(tzinfo=UTC)
    return int(day.timestamp()) * 10**9 + DAY_NS
