"""Readers: a few clients of the database that cannot write, each for one call at a time; and a writer.

Queries run in threads of their own, so the event loop never waits for the database. A client is opened
when it is first needed and thrown away when its connection fails: a database that is away at the start,
or goes away, costs the calls of that time and nothing after it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from spanledger.query_api.turns import Turns
from spanledger.schemas.database import READER_SETTINGS, Target, connect, connect_reader
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
    """Runs work that needs a client, at most `size` at once; the others wait `patience_s` for their turn,
    those of a project that has many behind those of others.
    """

    _in_use = "Every connection to the database is in use"

    def __init__(
        self, target: Target, *, size: int = 4, patience_s: float = 5.0, answer_s: float | None = None
    ) -> None:
        # These fit one page of an API.
        self._target = target.with_timeouts(connect_s=_CONNECT_S, answer_s=answer_s or _SOCKET_S)
        self._patience_s = patience_s
        self._idle: deque[Client] = deque()
        self._threads = ThreadPoolExecutor(size, thread_name_prefix="spanledger-reader")
        self._turns = Turns(size)
        self._closed = False

    async def run(self, work: Callable[[Client], T], *, deadline_s: float = _SOCKET_S) -> T:
        """What `work` returns, from a thread. Busy where the database fails, or takes too long."""
        running = self._start(work, await self._take_turn())
        try:
            async with asyncio.timeout(deadline_s):
                return await asyncio.wrap_future(running)
        except TimeoutError:
            raise Busy("The database does not answer") from None

    async def _take_turn(self) -> str:
        try:
            async with asyncio.timeout(self._patience_s):
                return await self._turns.take()
        except TimeoutError:
            raise Busy(self._in_use) from None

    def _start(self, work: Callable[[Client], T], whose: str) -> Future[T]:
        """Have work done by a thread that then gives the turn back, which the caller has."""
        running = self._threads.submit(self._call, work)
        running.add_done_callback(self._give_turn(asyncio.get_running_loop(), whose))
        return running

    def _give_turn(self, loop: asyncio.AbstractEventLoop, whose: str) -> Callable[[Future[T]], None]:
        # A caller may be gone long before its query is: the turn ends with the query.
        def ended(_: Future[T]) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits for a turn
                loop.call_soon_threadsafe(self._turns.give, whose)

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
        except StopIteration as error:
            # It would end nobody's waiting: a future does not take it.
            self._put_back(client, usable=True)
            raise RuntimeError("an iterator ended too early") from error
        except BaseException:
            self._put_back(client, usable=True)
            raise
        self._put_back(client, usable=True)
        return result

    def _client(self) -> Client:
        with suppress(IndexError):
            return self._idle.pop()
        try:
            return self._connect()
        except (SpanledgerError, ClickHouseError, OSError) as error:
            # Its text names the database's address: for the log, not for whoever asked.
            _log.warning("no connection to the database: %.500s", error)
            raise Busy("The database does not answer") from error

    def _connect(self) -> Client:
        return connect_reader(self._target)

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


_WRITE_S = 600  # a list of prices has tens of thousands of rows, and the embedded engine may be merging


class Writer(Readers):
    """One client that may write, for one call at a time."""

    _in_use = "Another request is writing prices, or the rows of an import"

    def __init__(self, target: Target) -> None:
        super().__init__(target, size=1, answer_s=_WRITE_S)

    def _connect(self) -> Client:
        return connect(self._target)

    async def write(self, work: Callable[[Client], T]) -> T:
        """What `work` returns, from a thread. Busy where the database fails, or another request writes."""
        return await self.run(work, deadline_s=_WRITE_S)

    async def stream(self, work: Callable[[Client], Iterator[T]]) -> AsyncGenerator[T, None]:
        """What `work` yields, one after the other, from a thread; the client is its own until the last.

        Who stops reading ends the work: it is closed behind the item at which it is. Raises what the work
        raises; Busy as `write`.
        """
        whose = await self._take_turn()
        loop = asyncio.get_running_loop()
        items: asyncio.Queue[T | _End] = asyncio.Queue()
        left = threading.Event()

        def put(item: T | _End) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody reads
                loop.call_soon_threadsafe(items.put_nowait, item)

        def all_of_it(client: Client) -> None:
            made = work(client)
            try:
                for item in made:
                    put(item)
                    if left.is_set():
                        break
            finally:
                if isinstance(made, Generator):
                    made.close()

        running = self._start(all_of_it, whose)
        running.add_done_callback(lambda _: put(_End()))
        try:
            while not isinstance(item := await items.get(), _End):
                yield item
            await asyncio.wrap_future(running)
        finally:
            left.set()


class KeyWriter(Writer):
    """One of its own for projects and keys: a revocation does not wait until prices are worked out anew."""

    _in_use = "Keys are being written by another request"


class _End:
    """Behind the last item."""
