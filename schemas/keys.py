"""Who a key lets in: the key of the settings, and those of the table, which every process holds in memory.

A ledger is open while it has neither: on loopback, in one project, as its settings say. The first key that
is ever made closes it, for good: a key that is revoked or runs out must open nothing. The table is read
every second, so that a revocation holds in every process soon, and at once in the one that did it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from hmac import compare_digest
from typing import NamedTuple

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from spanledger.schemas.access import NEEDS_KEY, SCOPES, Caller, shown_key
from spanledger.schemas.database import Target, connect_reader
from spanledger.schemas.errors import Busy, Forbidden, SpanledgerError, Unauthenticated
from spanledger.schemas.key_table import KeyRow, hash_of, stored_keys
from spanledger.schemas.settings import Settings

EVERY_S = 1.0
# So long keys count that were read before the database went away. Senders then hear "come again", not "no".
TRUSTED_S = 300.0
_CONNECT_S, _ANSWER_S = 3, 5

_log = logging.getLogger("spanledger.access")


class _Known(NamedTuple):
    id: str
    hash: bytes
    caller: Caller
    expires_at: float | None


class Keys:
    """The keys that are valid now. Without a target that of the settings is the only one.

    `start` and `stop` are for who owns it; what else is here can be called from any thread.
    """

    def __init__(self, settings: Settings, target: Target | None = None) -> None:
        root = settings.api_key
        self._root = None if root is None else hash_of(root.get_secret_value().encode())
        self._everything = Caller(settings.project, frozenset(SCOPES), root=True)
        self._target = target and target.with_timeouts(connect_s=_CONNECT_S, answer_s=_ANSWER_S)
        self._by_hash: dict[bytes, _Known] = {}
        self._revoked: set[str] = set()
        self._closed = root is not None
        self._read_at: float | None = None
        self._client: Client | None = None
        self._reading, self._taking = threading.Lock(), threading.Lock()
        self._first_try = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Read the table now and every second, in the background."""
        if self._target is not None and self._thread is None:
            self._thread = threading.Thread(target=self._read_on, name="spanledger-keys", daemon=True)
            self._thread.start()

    def wait(self, seconds: float) -> None:
        """Until the table was read, or could not be, for the first time."""
        if self._thread is not None:
            self._first_try.wait(seconds)

    def stop(self, within_s: float = _ANSWER_S + 1) -> None:
        """End the thread, and wait so long for what it asks the database."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(within_s)

    @property
    def open_to(self) -> Caller | None:
        """Who everybody is while there are no keys; None where a key is needed, or it cannot be told."""
        # Not for a time only: while the database is away there is nothing to be had here but metrics.
        known = self._target is None or self._read_at is not None
        return self._everything if known and not self._closed else None

    @property
    def has_root(self) -> bool:
        """Whether the settings have a key."""
        return self._root is not None

    def caller(self, authorization: Sequence[bytes], api_key: Sequence[bytes] = ()) -> Caller:
        """Who shows these values of the headers Authorization and X-API-KEY.

        Unauthenticated where that is no valid key; Busy where the table could not be read, and it depends
        on that.
        """
        everybody = self.open_to
        if everybody is not None:
            return everybody
        shown = shown_key(authorization, api_key)
        if shown is None and self._closed:
            raise Unauthenticated(NEEDS_KEY)
        shown_hash = hash_of(shown or b"")
        if self._root is not None and shown and compare_digest(shown_hash, self._root):
            return self._everything
        if not self._is_known():
            raise Busy("the keys cannot be read from the database")
        known = self._by_hash.get(shown_hash)
        if known is None or not compare_digest(known.hash, shown_hash):
            raise Unauthenticated(NEEDS_KEY)
        if known.expires_at is not None and known.expires_at <= time.time():
            raise Unauthenticated(NEEDS_KEY)
        return known.caller

    def sender(self, authorization: Sequence[bytes], api_key: Sequence[bytes] = ()) -> str:
        """The project that who shows these may send to. Raises as `caller`; Forbidden without that scope."""
        caller = self.caller(authorization, api_key)
        if not caller.may("ingest"):
            raise Forbidden("This needs a key with the scope ingest")
        return caller.project

    def read(self) -> None:
        """Read the table now; what it says holds when this returns. Busy where that fails."""
        if self._target is None:
            return
        with self._reading:
            try:
                self._client = self._client or connect_reader(self._target)
                self._take(stored_keys(self._client))
            except (ClickHouseError, OSError, SpanledgerError) as error:
                self._close()
                raise Busy("the keys cannot be read from the database") from error
            finally:
                self._first_try.set()

    def forget(self, key_id: str) -> None:
        """From now on this key is none, whatever a reading that is under way finds."""
        with self._taking:
            self._revoked.add(key_id)
            self._by_hash = {known.hash: known for known in self._by_hash.values() if known.id != key_id}

    def _take(self, rows: Sequence[KeyRow]) -> None:
        with self._taking:
            self._by_hash = {
                bytes.fromhex(row.hash): _known(row)
                for row in rows
                if not row.revoked and row.id not in self._revoked
            }
            self._closed = self._closed or bool(rows)
            self._read_at = time.monotonic()

    def _is_known(self) -> bool:
        if self._target is None:
            return True
        return self._read_at is not None and time.monotonic() - self._read_at < TRUSTED_S

    def _read_on(self) -> None:
        failing = False
        while True:
            try:
                self.read()
                failing = False
            except Busy as error:
                if not failing:
                    _log.warning("%s: %.300s", error, error.__cause__)
                failing = True
            if self._stopping.wait(EVERY_S):
                break
        with self._reading:
            self._close()

    def _close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(ClickHouseError, OSError):
                client.close()


def _known(row: KeyRow) -> _Known:
    expires_at = None if row.expires_at is None else row.expires_at.timestamp()
    return _Known(row.id, bytes.fromhex(row.hash), Caller(row.project, frozenset(row.scopes)), expires_at)
