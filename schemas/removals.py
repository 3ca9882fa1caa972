"""What must not be stored: spans of traces that were deleted, and those from before what a project keeps.

Every process has it in memory: the collector asks for every span. It is read from the tables `deletions`,
`deleted_traces` and `retention` every second, and at once in the process that changes them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from spanledger.schemas.database import Target, connect
from spanledger.schemas.errors import SpanledgerError

_log = logging.getLogger("spanledger.schemas")

DAY_NS = 86_400 * 10**9
REFRESH_S = 1.0

# Asked every second. Of all rows, for the newest time of several clocks tells less; where merges take
# superseded rows it is another, too, which costs one reading.
_CHANGED = """
SELECT
    (SELECT groupBitXor(cityHash64(project, deletion, state, written_at)) FROM deletions),
    (SELECT groupBitXor(cityHash64(project, ifNull(days, 0), by_default, changed_at)) FROM retention)
"""
# A deletion that is begun has not all of its traces in the table yet.
_DELETIONS = "SELECT DISTINCT project, deletion FROM deletions WHERE state != 'begun'"
_TRACES = (
    "SELECT trace_id FROM deleted_traces WHERE project = {project:String} AND deletion = {deletion:String}"
)
_RETENTION = "SELECT project, days FROM retention FINAL WHERE NOT by_default"


def kept_from_ns(days: int | None, now_ns: int) -> int:
    """The first moment that is kept: whole days of UTC before today; 0 where all is kept."""
    return 0 if days is None else max(0, (now_ns // DAY_NS - days) * DAY_NS)


class OfProject(NamedTuple):
    """What of a project must not be stored: its part of `Removed.traces`, and what is from before a moment
    (nanoseconds since 1970).
    """

    first: int
    last: int
    kept_from_ns: int


class Removed(NamedTuple):
    """What must not be stored, as it was at one moment.

    traces: ids as two rows of 64-bit integers (little-endian halves), each project's in their order, from
    where `places` says. `version`: another one whenever it changes.
    """

    version: int
    traces: Any
    places: Mapping[str, tuple[int, int]]
    days: Mapping[str, int | None]
    default_days: int | None

    def days_of(self, project: str) -> int | None:
        """How many days a project keeps; None: for ever."""
        return self.days.get(project, self.default_days)

    def of(self, project: str, now_ns: int) -> OfProject:
        first, last = self.places.get(project, (0, 0))
        return OfProject(first, last, kept_from_ns(self.days_of(project), now_ns))


def nothing_removed(default_days: int | None = None) -> Removed:
    return Removed(0, np.empty((2, 0), np.int64), MappingProxyType({}), MappingProxyType({}), default_days)


class Removals:
    """Keeps a `Removed` up to date; for any number of threads."""

    def __init__(self, target: Target, default_days: int | None = None) -> None:
        self._target = target
        self._lock = threading.Lock()
        self._now = nothing_removed(default_days)
        self._seen: object = None
        self.changes = 0  # how often something of these tables had changed, if only how far a deletion is
        self._known: dict[tuple[str, str], Any] = {}
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def now(self) -> Removed:
        """What must not be stored, as far as is known here."""
        return self._now

    @property
    def refreshing(self) -> bool:
        """Whether it is kept up to date by a thread of its own."""
        return self._thread is not None

    def refresh(self, client: Client) -> None:
        """Read what has changed. Raises what the client raises."""
        with self._lock:
            seen = client.query(_CHANGED).result_rows
            if seen == self._seen:
                return
            wanted = {(str(row[0]), str(row[1])) for row in client.query(_DELETIONS).result_rows}
            known = {key: ids for key, ids in self._known.items() if key in wanted}
            for project, deletion in sorted(wanted - known.keys()):
                known[project, deletion] = _ids(client, project, deletion)
            days = {str(project): days for project, days in client.query(_RETENTION).result_rows}
            if known.keys() != self._known.keys() or days != self._now.days:
                traces, places = _in_order(known)
                self._known = known
                self._now = Removed(
                    self._now.version + 1,
                    traces,
                    MappingProxyType(places),
                    MappingProxyType(days),
                    self._now.default_days,
                )
            self._seen = seen
            self.changes += 1

    def start(self) -> None:
        """Read now, and then every second in a thread; raises what the first reading raises."""
        client = connect(self._target)
        try:
            self.refresh(client)
        except BaseException:
            client.close()
            raise
        self._thread = threading.Thread(
            target=self._run, args=(client,), name="spanledger-removals", daemon=True
        )
        self._thread.start()

    def _run(self, first: Client) -> None:
        client: Client | None = first
        while not self._stopping.wait(REFRESH_S):
            try:
                client = client or connect(self._target)
                self.refresh(client)
            except (ClickHouseError, SpanledgerError, OSError) as error:
                # A database that is away takes no spans either.
                _log.warning("what was deleted could not be read: %.500s", error)
                if client is not None:
                    client.close()
                client = None
        if client is not None:
            client.close()

    def stop(self, within_s: float = 5.0) -> None:
        """End the thread, and wait so long for what it asks the database."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(within_s)


def _ids(client: Client, project: str, deletion: str) -> Any:
    data = client.raw_query(_TRACES, parameters={"project": project, "deletion": deletion}, fmt="RowBinary")
    return np.frombuffer(data, "<i8").reshape(-1, 2)


def _in_order(known: Mapping[tuple[str, str], Any]) -> tuple[Any, dict[str, tuple[int, int]]]:
    of_project: dict[str, list[Any]] = {}
    for (project, _), ids in known.items():
        if len(ids):
            of_project.setdefault(project, []).append(ids)
    pieces, places, at = [np.empty((0, 2), np.int64)], {}, 0
    for project, some in of_project.items():
        ids = np.concatenate(some)
        ids = ids[np.lexsort((ids[:, 1], ids[:, 0]))]
        pieces.append(ids)
        places[project] = (at, at + len(ids))
        at += len(ids)
    return np.ascontiguousarray(np.concatenate(pieces).T), places
