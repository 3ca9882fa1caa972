"""Stores for collectors whose database is not what is tested."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from spanledger.collector.rows.block import Block, Request


class Kept:
    """Keeps what it is given; before that it does what it is told to, such as to wait or to fail."""

    def __init__(self, then: Callable[[], object] = lambda: None) -> None:
        self.kept: list[bytes] = []
        self._then = then

    def insert(self, requests: Sequence[Request]) -> Block:
        self._then()
        self.kept += [request.body for request in requests]
        return Block(memoryview(b""), sum(request.spans for request in requests), 0, 0, 0)

    def close(self) -> None: ...
