"""Clients for SQL: each is opened for one question of one project, and closed behind it.

What a client can see is settled before the SQL comes, by settings that nothing can change once `readonly` is
1: the views filter by the project that the client names (views.py), and tables read by any other way are
filtered by the engine as well. Nothing of one question is left for the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from clickhouse_connect.driver.client import Client

from spanledger.query_api.sql.views import PROJECT_SETTING, database_of_views
from spanledger.schemas.database import Target, connect

MIB = 1024 * 1024
MOST_ROWS = 1_000_000
MOST_RESULT_BYTES = 256 * MIB
# Formats that are made in one piece are held in memory until they are done.
MOST_WHOLE_BYTES = 48 * MIB
MOST_SECONDS = 30
MOST_MEMORY_BYTES = 320 * MIB

# Tables with a row for each project, by the column of their time; nobody may read any other table.
_OF_PROJECTS = {"spans": "start_time", "logs": "time"}


class Bounds(NamedTuple):
    """What a question may see and have: rows of a time (nanoseconds since 1970), and so many of them."""

    since_ns: int | None = None
    until_ns: int | None = None
    limit: int | None = None
    whole: bool = False


def connect_for_sql(target: Target, project: str, tables: Mapping[str, str], bounds: Bounds) -> Client:
    """A client that reads what a project has, and can do nothing else.

    `tables`: the database of each table that there is, by the table's name.
    """
    settings = settings_for(project, tables, bounds)
    client = connect(target, database=database_of_views(target.database))
    try:
        if target.embedded:
            for name, value in settings.items():
                client.command(f"SET {name} = {value if isinstance(value, int) else _quoted(value)}")
            # Once this is 1 no setting can be changed any more.
            client.command("SET readonly = 1")
        else:
            for name, value in settings.items():
                client.set_client_setting(name, value)
            client.set_client_setting("readonly", 1)
            # The answer is begun when it is known to be whole.
            client.set_client_setting("wait_end_of_query", 1)
    except BaseException:
        client.close()
        raise
    return client


def settings_for(project: str, tables: Mapping[str, str], bounds: Bounds) -> dict[str, Any]:
    """The settings of such a client; `readonly` comes behind them."""
    filters = {
        f"{database}.{name}": _of_project(name, project, bounds) if name in _OF_PROJECTS else "0"
        for name, database in tables.items()
    }
    return {
        PROJECT_SETTING: project,
        "additional_table_filters": _as_map(filters),
        "max_execution_time": MOST_SECONDS,
        "max_memory_usage": MOST_MEMORY_BYTES,
        "max_bytes_before_external_group_by": MOST_MEMORY_BYTES // 4,
        "max_bytes_before_external_sort": MOST_MEMORY_BYTES // 4,
        "max_threads": 2,
        # Of large values few rows at once.
        "max_block_size": 8192,
        "max_result_rows": MOST_ROWS,
        "max_result_bytes": MOST_WHOLE_BYTES if bounds.whole else MOST_RESULT_BYTES,
        "result_overflow_mode": "throw",
        "limit": bounds.limit or 0,
        # A row's identity has its day in it.
        "do_not_merge_across_partitions_select_final": 1,
        # A condition of the caller is asked of rows that passed the project's, and of no others: what it
        # raises could tell of them.
        "query_plan_merge_filters": 0,
        "optimize_move_to_prewhere": 0,
        "short_circuit_function_evaluation": "force_enable",
        # Numbers that other readers of JSON would round are text.
        "output_format_json_quote_64bit_integers": 1,
        "output_format_json_quote_decimals": 1,
        "output_format_json_quote_denormals": 1,
        "output_format_json_validate_utf8": 1,
        "output_format_json_escape_forward_slashes": 0,
        "output_format_arrow_string_as_string": 1,
        "output_format_parquet_string_as_string": 1,
    }


def _of_project(table: str, project: str, bounds: Bounds) -> str:
    parts = [f"project = {_quoted(project)}"]
    column = _OF_PROJECTS[table]
    for sign, moment in ((">=", bounds.since_ns), ("<", bounds.until_ns)):
        if moment is not None:
            parts.append(f"{column} {sign} fromUnixTimestamp64Nano({moment}, 'UTC')")
    return " AND ".join(parts)


def _as_map(texts: Mapping[str, str]) -> str:
    return "{" + ",".join(f"{_quoted(key)}:{_quoted(value)}" for key, value in texts.items()) + "}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
