"""The keeper: a thread that finishes deletions and takes away what is too old.

It looks every second. A deletion is done when the files that held it are gone, and when for a minute nothing
of it was found that had been under way: an insert of another process that did not know yet, or a row that was
written again by somebody who had read it before. What is found later than that, within a day, goes as well.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from spanledger.query_api.upkeep import journal
from spanledger.query_api.upkeep.deletion import finish_hiding
from spanledger.query_api.upkeep.journal import Deletion
from spanledger.query_api.upkeep.retention import expire
from spanledger.query_api.upkeep.tables import erase, hide_deleted, old_files_are_gone
from spanledger.schemas.database import Target, connect
from spanledger.schemas.errors import SpanledgerError
from spanledger.schemas.removals import Removals

_log = logging.getLogger("spanledger.query_api")

_TICK_S = 1.0
_STOP_S = 1.0
_AGAIN_S = 30.0  # after a failure
_ANSWER_S = 600.0
# An insert takes at most nine seconds (SPANLEDGER_STORE_TIMEOUT_S), the news of a deletion one, a statement
# that writes fifty thousand rows again some more.
SETTLE = timedelta(seconds=60)
_SWEEP_S = 5.0  # of deletions that are not done
_LONG_SWEEP_S = 600.0  # of all others of the last day, and of what is too old
# A request that began a deletion this long ago has ended, however it did.
_ORPHANED = timedelta(seconds=30)

_LATELY = """
SELECT project, groupUniqArray(deletion) FROM deletions
WHERE state = 'done' AND asked_at > now64(6) - INTERVAL 1 DAY AND traces > 0
GROUP BY project
"""


class Keeper:
    """Does the upkeep of a ledger; several processes may each have one.

    `settle`: for how long after it was hidden more of a deletion may turn up.
    """

    def __init__(self, target: Target, removals: Removals, *, settle: timedelta = SETTLE) -> None:
        self._target = target.with_timeouts(connect_s=3, answer_s=_ANSWER_S)
        self._removals = removals
        self._settle = settle
        self._stopping = threading.Event()
        self._wanted = threading.Event()
        self._thread = threading.Thread(target=self._run, name="spanledger-keeper", daemon=True)
        self._here: set[str] = set()  # deletions that a request of this process is at
        self._changes = -1  # there had been when nothing was left to do
        self._swept_at = float("-inf")
        self._long_swept_at = float("-inf")

    def start(self) -> None:
        self._thread.start()

    @contextmanager
    def hands_off(self, row: Deletion) -> Iterator[None]:
        """While a request hides a deletion itself, however long that takes."""
        self._here.add(row.deletion)
        try:
            yield
        finally:
            self._here.discard(row.deletion)

    def look_soon(self) -> None:
        self._wanted.set()

    def wake(self) -> None:
        """Look at what is too old now, as the setting has changed."""
        self._long_swept_at = float("-inf")
        self._wanted.set()

    def stop(self) -> None:
        """End the thread. What it is at goes on at the next start, so that is not waited for for long."""
        self._stopping.set()
        self._wanted.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_S)

    def _run(self) -> None:
        client: Client | None = None
        failing = False
        while not self._stopping.is_set():
            self._wanted.wait(_TICK_S)
            self._wanted.clear()
            if self._stopping.is_set():
                break
            try:
                client = client or connect(self._target)
                self.look(client)
                failing = False
            except (ClickHouseError, SpanledgerError, OSError) as error:
                if not failing:
                    _log.warning("upkeep failed, and is tried again: %.500s", error)
                failing = True
                if client is not None:
                    client.close()
                client = None
                self._long_swept_at = float("-inf")
                # Each try may leave the database one more change of rows that it fails to make.
                self._stopping.wait(_AGAIN_S)
        if client is not None:
            client.close()

    def look(self, client: Client) -> bool:
        """Do what can be done now; whether something is left to do. Raises what the client raises."""
        now = time.monotonic()
        long_ago = now - self._long_swept_at > _LONG_SWEEP_S
        if long_ago or not self._removals.refreshing:
            self._removals.refresh(client)
        changes = self._removals.changes
        if changes == self._changes and not long_ago:
            return False
        if long_ago:
            self._long_swept_at = now
            self._sweep_lately(client)
            expire(client, self._removals.now(), time.time_ns())
        unfinished = [self._resumed(client, row) for row in journal.unfinished(client)]
        rows = [row for row in unfinished if row.state in ("hidden", "erased")]
        if rows and now - self._swept_at > min(_SWEEP_S, self._settle.total_seconds()):
            self._swept_at = now
            rows = _sweep(client, rows)
        clean = erase(client)
        for row in rows:
            self._go_on(client, row, clean=clean)
        left = bool(unfinished) or not clean
        self._changes = -1 if left else changes
        return left

    def _resumed(self, client: Client, row: Deletion) -> Deletion:
        """Hide what a process left that died, or whose database went away."""
        if row.deletion in self._here:
            return row
        if row.state in ("begun", "marked") and datetime.now(UTC) - row.asked_at > _ORPHANED:
            return finish_hiding(client, self._removals, row)
        return row

    def _go_on(self, client: Client, row: Deletion, *, clean: bool) -> None:
        now = datetime.now(UTC)
        if row.state == "hidden" and clean:
            row = journal.write(client, row._replace(state="erased", erased_at=now))
        if row.state != "erased" or row.erased_at is None or row.hidden_at is None:
            return
        if now - row.hidden_at < self._settle or not old_files_are_gone(client, row.erased_at):
            return
        # The last look: what was under way has come in by now.
        if not hide_deleted(client, row.project, [row.deletion]):
            journal.write(client, row._replace(state="done", done_at=now))
        else:
            journal.write(client, row._replace(state="hidden", erased_at=None))

    def _sweep_lately(self, client: Client) -> None:
        for project, deletions in client.query(_LATELY).result_rows:
            if hide_deleted(client, project, deletions):
                _log.warning("spans of deleted traces had come in, and were deleted again")


def _sweep(client: Client, rows: Sequence[Deletion]) -> list[Deletion]:
    """Hide what has come in of deletions; those of which something had are hidden, not erased."""
    of_project: dict[str, list[Deletion]] = defaultdict(list)
    for row in rows:
        of_project[row.project].append(row)
    left: list[Deletion] = []
    for project, some in of_project.items():
        if hide_deleted(client, project, [row.deletion for row in some]):
            some = [  # noqa: PLW2901 - which of them it was does not matter
                journal.write(client, row._replace(state="hidden", erased_at=None)) for row in some
            ]
        left += some
    return left
