"""Memory: what requests hold while they are read, bounded for all of them together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from spanledger.schemas.errors import Busy


class Memory:
    """The bytes of all that is read at the same time, at most `limit`; for one event loop."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0

    @contextmanager
    def share(self) -> Iterator[Callable[[int], None]]:
        """What a request calls when it has so many bytes in memory; given back at the end.

        Raises Busy beyond the limit, but what is alone in memory may be of any size.
        """
        mine = 0

        def hold(size: int) -> None:
            nonlocal mine
            others = self._held - mine
            if others and size > mine and others + size > self._limit:
                raise Busy(f"{others} bytes of other requests are in memory, the limit is {self._limit}")
            self._held += size - mine
            mine = size

        try:
            yield hold
        finally:
            self._held -= mine
