"""Remembers which requests were stored, so that the same bytes sent again cost next to nothing.

A sender whose answer was lost sends the same request again, at once or minutes later. Storing it twice
would change no answer, for a span's identity makes them one, but it would cost as much as a new one.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, NamedTuple, TypeVar

import xxhash

_MOST = 20_000  # requests: some 5 MB

Result = TypeVar("Result")


class _Stored(NamedTuple, Generic[Result]):
    at: float
    result: Result


class Replays(Generic[Result]):
    """Does a piece of work once for each key and body, within a window of so many seconds.

    Only work that succeeded is remembered. Bodies are told apart by 128 bits of XXH3 with a seed of this
    process, which nobody outside knows. Lives in one event loop.
    """

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._seed = int.from_bytes(os.urandom(8), "little")
        self._stored: OrderedDict[tuple[str, bytes], _Stored[Result]] = OrderedDict()
        self._running: dict[tuple[str, bytes], asyncio.Task[Result]] = {}

    async def once(self, key: str, body: bytes, work: Callable[[], Awaitable[Result]]) -> tuple[Result, bool]:
        """The result of the work, and whether it had been done, or begun, for an earlier call.

        Raises what the work raises, for every call that waits for it.
        """
        if not self._window_s:
            return await work(), False
        name = (key, xxhash.xxh3_128_digest(body, seed=self._seed))
        self._forget_old()
        if stored := self._stored.get(name):
            return stored.result, True
        task = self._running.get(name)
        again = task is not None
        if task is None:
            # A task of its own: it goes on where the caller is cancelled, as others may wait for it by then.
            task = asyncio.ensure_future(self._run(name, work))
            # Nobody may be left to hear of its failure.
            task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
            self._running[name] = task
        return await asyncio.shield(task), again

    async def _run(self, name: tuple[str, bytes], work: Callable[[], Awaitable[Result]]) -> Result:
        try:
            result = await work()
        finally:
            del self._running[name]
        self._stored[name] = _Stored(time.monotonic(), result)
        return result

    def _forget_old(self) -> None:
        oldest = time.monotonic() - self._window_s
        while self._stored:
            name, stored = next(iter(self._stored.items()))
            if stored.at >= oldest and len(self._stored) <= _MOST:
                return
            del self._stored[name]
