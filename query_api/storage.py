"""What the database holds and how much room is left, as gauges that a scrape never has to wait for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from spanledger.query_api.readers import Readers
from spanledger.schemas.errors import SpanledgerError

FRESH_S = 10.0  # how long a reading is as good as a new one
STALE_S = 60.0  # after which a reading says nothing any more
PATIENCE_S = 1.0  # how long a scrape waits for a new reading
_ACCESS_DENIED = 497

_PARTS_SQL = """
SELECT count() AS parts, sum(bytes_on_disk) AS bytes, sum(rows) AS rows,
    max(in_partition) AS most_in_partition
FROM
(
    SELECT rows, bytes_on_disk, count() OVER (PARTITION BY partition_id) AS in_partition
    FROM system.parts
    WHERE active AND database = currentDatabase() AND table = 'spans'
)
"""
_DISKS_SQL = "SELECT name, free_space, total_space FROM system.disks WHERE type = 'Local' ORDER BY name"


class Parts(NamedTuple):
    """The active parts of the table `spans`; rows count a span sent twice twice until parts are merged."""

    parts: int
    bytes_on_disk: int
    rows: int
    most_in_partition: int


class Disk(NamedTuple):
    """A local disk of the database."""

    name: str
    free_bytes: int
    total_bytes: int


class Storage(NamedTuple):
    """Either is None where the database user may not see it."""

    parts: Parts | None
    disks: list[Disk] | None


def read_storage(client: Client) -> Storage:
    """What the database says of the table `spans` and of its disks."""
    parts = if_allowed(lambda: client.query(_PARTS_SQL).result_rows)
    disks = if_allowed(lambda: client.query(_DISKS_SQL).result_rows)
    return Storage(
        None if parts is None else Parts(*map(int, parts[0])),
        None if disks is None else [Disk(str(name), int(free), int(total)) for name, free, total in disks],
    )


def if_allowed(query: Callable[[], Any]) -> Any:
    """The result, or None where the user lacks a grant; other errors are raised."""
    try:
        return query()
    except ClickHouseError as error:
        if getattr(error, "code", None) != _ACCESS_DENIED:
            raise
        return None


class StorageGauges(Collector):
    """Gauges on `registry`, read from the database when they are asked for and not fresh."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._storage: Storage | None = None
        self._read_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None
        self._begun_at = float("-inf")
        self._up = False
        registry.register(self)

    async def refresh(self, readers: Readers) -> None:
        """Read anew where it is time to; a database that hangs is waited for a second, and only once."""
        now = time.monotonic()
        if self._reading is None:
            if now - self._read_at < FRESH_S and self._up:
                return
            self._begun_at = now
            self._reading = asyncio.create_task(self._read(readers))
            self._reading.add_done_callback(self._ended)
        patience = self._begun_at + PATIENCE_S - now
        if patience > 0:
            await asyncio.wait({self._reading}, timeout=patience)
        if self._reading is not None:
            self._up = False

    async def _read(self, readers: Readers) -> None:
        try:
            self._storage = await readers.run(read_storage)
        except SpanledgerError:  # the readers have logged it
            self._up = False
        else:
            self._read_at = time.monotonic()
            self._up = True

    def _ended(self, _task: asyncio.Task[None]) -> None:
        self._reading = None

    def close(self) -> None:
        """Wait for no reading that is under way."""
        if self._reading is not None:
            self._reading.cancel()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges as they were read last; without samples where that is too long ago."""
        known = time.monotonic() - self._read_at < STALE_S
        storage = self._storage if known and self._storage else Storage(None, None)
        yield GaugeMetricFamily(
            "spanledger_database_up", "1 where the database answered the last reading.", float(self._up)
        )
        for name, text, field in (
            ("spanledger_spans_parts", "Active parts of the table spans.", "parts"),
            (
                "spanledger_spans_parts_in_partition",
                "Active parts of the day of spans that has most of them.",
                "most_in_partition",
            ),
            ("spanledger_spans_rows", "Rows of the table spans, replays not yet merged included.", "rows"),
            ("spanledger_spans_bytes_on_disk", "Bytes of the table spans on disk.", "bytes_on_disk"),
        ):
            value = None if storage.parts is None else float(getattr(storage.parts, field))
            yield GaugeMetricFamily(name, text, value)
        for name, text, field in (
            ("spanledger_disk_free_bytes", "Free bytes of a local disk of the database.", "free_bytes"),
            ("spanledger_disk_total_bytes", "Size of a local disk of the database.", "total_bytes"),
        ):
            family = GaugeMetricFamily(name, text, labels=["disk"])
            for disk in storage.disks or ():
                family.add_metric([disk.name], float(getattr(disk, field)))
            yield family
