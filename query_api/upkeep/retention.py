"""How long spans are kept, project by project, and taking away what is older.

Kept are whole days of UTC: the partitions of the tables are days, so what is too old can be taken without a
look at any row that stays. What nobody keeps is dropped with its partition; where another project keeps
more, or may, the rows are hidden and erased like deleted ones.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime

from clickhouse_connect.driver.client import Client

from spanledger.query_api.upkeep.tables import Table, hide, tables_of_spans
from spanledger.schemas.removals import DAY_NS, Removed, kept_from_ns
from spanledger.schemas.rewriting import INSERT_SETTINGS

_OLD = (
    "SELECT _partition_id, toString(project), count() FROM {table} "
    "WHERE {time} < fromUnixTimestamp64Nano({{before:Int64}}, 'UTC') GROUP BY _partition_id, project"
)


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
    latest = max(kept_from_ns(days, now_ns) for days in (removed.default_days, *removed.days.values()))
    if not latest:
        return 0
    return sum(
        _expire_days(client, table, removed, latest, now_ns)
        if table.by_day
        else _expire_rows(client, table, removed, latest, now_ns)
        for table in tables_of_spans(client)
    )


def _expire_days(client: Client, table: Table, removed: Removed, latest: int, now_ns: int) -> int:
    # A project that is not known yet may write into any day that somebody keeps.
    for_all = min(kept_from_ns(days, now_ns) for days in (removed.default_days, *removed.days.values()))
    expired: dict[str, list[str]] = defaultdict(list)
    rows = 0
    for partition, project, count in _old(client, table, latest):
        if _end_of_day_ns(partition) <= kept_from_ns(removed.days_of(project), now_ns):
            expired[partition].append(project)
            rows += count
    for partition, projects in sorted(expired.items()):
        if _end_of_day_ns(partition) <= for_all:
            client.command(f"ALTER TABLE {table.quoted} DROP PARTITION ID '{partition}'")
            continue
        condition = "_partition_id = {partition:String} AND project IN {projects:Array(String)}"
        hide(client, table, condition, {"partition": partition, "projects": projects})
    return rows


def _expire_rows(client: Client, table: Table, removed: Removed, latest: int, now_ns: int) -> int:
    condition = (
        f"project = {{project:String}} AND {table.time} < fromUnixTimestamp64Nano({{before:Int64}}, 'UTC')"
    )
    rows = 0
    for project in sorted({project for _, project, _ in _old(client, table, latest)}):
        before = kept_from_ns(removed.days_of(project), now_ns)
        if before:
            rows += hide(client, table, condition, {"project": project, "before": before})
    return rows


def _old(client: Client, table: Table, before: int) -> Iterable[tuple[str, str, int]]:
    rows = client.query(
        _OLD.format(table=table.quoted, time=table.time), parameters={"before": before}
    ).result_rows
    return [(str(partition), str(project), int(count)) for partition, project, count in rows]


def _end_of_day_ns(partition: str) -> int:
    """Of a partition called as its day, such as 20260131."""
    day = datetime.strptime(partition, "%Y%m%d").replace(tzinfo=UTC)
    return int(day.timestamp()) * 10**9 + DAY_NS
