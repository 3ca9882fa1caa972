"""Writing the rows of stored spans again, with some columns changed.

A row is written one nanosecond younger than the one that was read: it takes the place of that one, and not of
a copy that arrives in between.
"""

from __future__ import annotations

from collections.abc import Mapping

from clickhouse_connect.driver.client import Client

INSERT_SETTINGS = {
    # The answer to the sender means "committed": the insert must not be queued behind our back.
    "async_insert": 0,
    # Merging duplicates while inserting costs more than the rest of the write; reads use FINAL anyway.
    "optimize_on_insert": 0,
    # A replayed backlog may span many days.
    "max_partitions_per_insert_block": 0,
}

_COLUMNS = (
    "SELECT name FROM system.columns "
    "WHERE database = currentDatabase() AND table = 'spans' AND default_kind != 'ALIAS'"
)
_YOUNGER = {"received_at": "fromUnixTimestamp64Nano(toUnixTimestamp64Nano(s.received_at) + 1, 'UTC')"}


def rewriting(client: Client, changed: Mapping[str, str]) -> str:
    """An INSERT with its SELECT, up to its FROM, in which the stored rows are to be called `s`.

    changed: expressions of the columns that are not written as they are.
    """
    columns = [row[0] for row in client.query(_COLUMNS).result_rows]
    expressions = {**changed, **_YOUNGER}
    names = ", ".join(f"`{name}`" for name in columns)
    values = ", ".join(expressions.get(name, f"s.`{name}`") for name in columns)
    return f"INSERT INTO spans ({names}) SELECT {values} "
