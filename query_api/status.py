"""The state of a ledger, for who runs it: versions, migrations, prices, room, and when spans came last.

Read without FINAL and over all projects: this is about the machine, not about what was recorded.
"""

from __future__ import annotations

from typing import Any

from clickhouse_connect.driver.client import Client

from spanledger.query_api.storage import if_allowed, read_storage
from spanledger.query_api.times import format_time
from spanledger.schemas.api import (
    DatabaseState,
    DiskState,
    MutationState,
    PartsState,
    PricesState,
    ServiceState,
)
from spanledger.schemas.prices.tables import GENAI

_TABLES_SQL = "SELECT name FROM system.tables WHERE database = currentDatabase()"
_MIGRATIONS_SQL = "SELECT DISTINCT name FROM migrations ORDER BY name"
_PRICES_SQL = """
SELECT price_version, toUnixTimestamp64Nano(toDateTime64(loaded_at, 9)), models
FROM price_lists
WHERE source = {source:String}
ORDER BY loaded_at DESC LIMIT 1
"""
_FAILING_SQL = """
SELECT table, command, latest_fail_reason FROM system.mutations
WHERE database = currentDatabase() AND NOT is_done AND latest_fail_reason != ''
ORDER BY create_time LIMIT 10
"""
_LONGEST_FAILURE = 500
_DELAY_SQL = "SELECT toUInt64(value) FROM system.merge_tree_settings WHERE name = 'parts_to_delay_insert'"

# The parts written last, up to so many rows, at least one: what came in last is in them, and nobody waits for
# the whole table. A span that arrives within moments of its end tells the sender's clock: the fastest of the
# newest hundred.
_MOST_ROWS = 20_000_000
_SERVICES_SQL = """
WITH newest AS
(
    SELECT name
    FROM
    (
        SELECT name, rows, sum(rows) OVER (
            ORDER BY rows > {most_rows:UInt64}, modification_time DESC, name
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS up_to_here
        FROM system.parts
        WHERE active AND database = currentDatabase() AND table = 'spans'
    )
    WHERE up_to_here <= {most_rows:UInt64} OR up_to_here = rows
)
SELECT service, -newest_first[1].1 AS received_ns, arrayMin(span -> span.2, newest_first) AS fastest_ns
FROM
(
    SELECT service, groupArraySorted(100)((
        -toUnixTimestamp64Nano(received_at),
        toUnixTimestamp64Nano(received_at) - toUnixTimestamp64Nano(greatest(start_time, end_time))
    )) AS newest_first
    FROM spans
    WHERE _part IN (newest)
    GROUP BY service
)
ORDER BY received_ns DESC, service
LIMIT 100
"""


def read_state(client: Client) -> DatabaseState:
    """What the database says of itself and of our tables; of a database without them, what there is."""
    version, now_ns = client.query("SELECT version(), toUnixTimestamp64Nano(now64(9))").result_rows[0]
    tables = {str(name) for (name,) in client.query(_TABLES_SQL).result_rows}
    storage = read_storage(client)
    delay = if_allowed(lambda: client.query(_DELAY_SQL).result_rows)
    parts = None
    if storage.parts and delay:
        parts = PartsState(**storage.parts._asdict(), inserts_slow_down_at=int(delay[0][0]))
    return DatabaseState(
        clickhouse_version=str(version),
        time=format_time(int(now_ns)),
        migrations=_migrations(client) if "migrations" in tables else [],
        prices=_prices(client) if "price_lists" in tables else None,
        parts=parts,
        disks=None if storage.disks is None else [DiskState(**disk._asdict()) for disk in storage.disks],
        services=_services(client) if "spans" in tables else [],
        failing_mutations=_failing_mutations(client),
    )


def _failing_mutations(client: Client) -> list[MutationState] | None:
    rows = if_allowed(lambda: client.query(_FAILING_SQL).result_rows)
    if rows is None:
        return None
    return [
        MutationState(table=str(table), command=str(command), failure=str(why)[:_LONGEST_FAILURE])
        for table, command, why in rows
    ]


def _migrations(client: Client) -> list[str]:
    return [str(name) for (name,) in client.query(_MIGRATIONS_SQL).result_rows]


def _prices(client: Client) -> PricesState | None:
    rows = client.query(_PRICES_SQL, parameters={"source": GENAI}).result_rows
    if not rows:
        return None
    version, loaded_ns, models = rows[0]
    return PricesState(version=str(version), loaded_at=format_time(int(loaded_ns)), models=int(models))


def _services(client: Client) -> list[ServiceState] | None:
    parameters: dict[str, Any] = {"most_rows": _MOST_ROWS}
    rows = if_allowed(lambda: client.query(_SERVICES_SQL, parameters=parameters).result_rows)
    if rows is None:
        return None
    return [
        ServiceState(
            service=str(service),
            last_received_at=format_time(int(received_ns)),
            fastest_arrival_s=int(fastest_ns) / 1e9,
        )
        for service, received_ns, fastest_ns in rows
    ]
