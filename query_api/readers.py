"""Readers: a few clients of the database that cannot write, each for one call at a time.

Queries run in threads of their own, so the event loop never waits for the database. A client is opened
when it is first needed and thrown away when its connection fails: a database that is away at the start,
or goes away, costs the calls of that time and nothing after it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from spanledger.schemas.database import READER_SETTINGS, Target, connect_reader
from spanledger.schemas.errors import Busy, SpanledgerError

T = TypeVar("T")

_log = logging.getLogger("spanledger.query_api")

# The database stops a query itself; the socket and the caller wait a little longer than that.
_QUERY_S = int(READER_SETTINGS["max_execution_time"])
_SOCKET_S = _QUERY_S + 5
_CONNECT_S = 3
# ClickHouse's codes for a query that needs more than the limits of a reader allow.
_LIMITS = frozenset({158, 159, 160, 241, 307, 396})


class Readers:
    """Runs work that needs a client, at most `size` at once; the others wait `patience_s` for their turn."""

    def __init__(self, target: Target, *, size: int = 4, patience_s: float = 5.0) -> None:
        # These fit one page of an API.
        self._target = target.with_timeouts(connect_s=_CONNECT_S, answer_s=_SOCKET_S)
        self._patience_s = patience_s
        self._idle: deque[Client] = deque()
        self._threads = ThreadPoolExecutor(size, thread_name_prefix="spanledger-reader")
        self._turns = asyncio.Semaphore(size)
        self._closed = False

    async def run(self, work: Callable[[Client], T], *, deadline_s: float = _SOCKET_S) -> T:
        """What `work` returns, from a thread. Busy where the database fails, or takes too long."""
        try:
            async with asyncio.timeout(self._patience_s):
                await self._turns.acquire()
        except TimeoutError:
            raise Busy("Every connection to the database is in use") from None
        running = self._threads.submit(self._call, work)
        running.add_done_callback(self._give_turn(asyncio.get_running_loop()))
        try:
            async with asyncio.timeout(deadline_s):
                return await asyncio.wrap_future(running)
        except TimeoutError:
            raise Busy("The database does not answer") from None

    def _give_turn(self, loop: asyncio.AbstractEventLoop) -> Callable[[Future[T]], None]:
        # A caller may be gone long before its query is: the turn ends with the query.
        def ended(_: Future[T]) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits for a turn
                loop.call_soon_threadsafe(self._turns.release)

        return ended

    def _call(self, work: Callable[[Client], T]) -> T:
        client = self._client()
        try:
            result = work(client)
        except (ClickHouseError, OSError) as error:
            # The embedded engine gives the rows of a query that failed half way to the next one.
            self._put_back(client, usable=False)
            _log.warning("a query failed: %.500s", error)
            if getattr(error, "code", None) in _LIMITS:
                raise Busy("The query needs more time or memory than one may take: ask for less") from error
            raise Busy("The database does not answer") from error
        except BaseException:
            self._put_back(client, usable=True)
            raise
        self._put_back(client, usable=True)
        return result

    def _client(self) -> Client:
        with suppress(IndexError):
            return self._idle.pop()
        try:
            return connect_reader(self._target)
        except (SpanledgerError, ClickHouseError, OSError) as error:
            # Its text names the database's address: for the log, not for whoever asked.
            _log.warning("no connection to the database: %.500s", error)
            raise Busy("The database does not answer") from error

    def _put_back(self, client: Client, *, usable: bool) -> None:
        if usable and not self._closed:
            self._idle.append(client)
        else:
            client.close()

    def close(self) -> None:
        """Close the clients; those at work close when their query ends."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        while self._idle:
            self._idle.pop().close()
