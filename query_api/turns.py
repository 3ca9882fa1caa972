"""Turns: who is next where only so many may be at work at once.

Whoever has the fewest turns is next, and of these whose last one is the longest ago. While several projects
ask, none of them has every turn: one that asks for much waits for itself, and the others do not wait for it.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextvars import ContextVar
from typing import NamedTuple

# For whom the request that is being answered is; the doors say so (access/doors.py).
ASKING: ContextVar[str] = ContextVar("ASKING", default="")

_LATELY_S = 60.0  # who asked within this time is expected again
_MANY = 1_000


class _Waiting(NamedTuple):
    who: str
    turn: asyncio.Future[None]


class Turns:
    """`size` turns, for the tasks of one event loop."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._held: Counter[str] = Counter()
        self._waiting: list[_Waiting] = []
        self._asked_at: dict[str, float] = {}
        self._turn_of: dict[str, int] = {}  # the number of the last one
        self._number = 0

    async def take(self) -> str:
        """Wait for a turn; whose it is, to be given back with `give`."""
        one = _Waiting(ASKING.get(), asyncio.get_running_loop().create_future())
        self._note(one.who)
        self._waiting.append(one)
        self._hand_out()
        try:
            await one.turn
        except asyncio.CancelledError:
            if one.turn.cancelled():
                self._waiting.remove(one)
            else:
                self.give(one.who)  # it had come in this moment
            raise
        return one.who

    def give(self, who: str) -> None:
        """Give a turn back."""
        self._held[who] -= 1
        self._held += Counter()  # forgets who has none
        self._hand_out()

    def _hand_out(self) -> None:
        while self._held.total() < self._size:
            ready = [
                one
                for one in self._waiting
                if not one.turn.cancelled() and self._held[one.who] < self._most(one.who)
            ]
            if not ready:
                return
            one = min(ready, key=lambda each: (self._held[each.who], self._turn_of.get(each.who, 0)))
            self._waiting.remove(one)
            self._number += 1
            self._turn_of[one.who] = self._number
            self._held[one.who] += 1
            one.turn.set_result(None)

    def _most(self, who: str) -> int:
        """How many turns one may have: all but one while there are others, if there are that many."""
        since = time.monotonic() - _LATELY_S
        others = any(at > since for other, at in self._asked_at.items() if other != who)
        return max(1, self._size - 1) if others else self._size

    def _note(self, who: str) -> None:
        now = time.monotonic()
        if len(self._asked_at) > _MANY:
            self._asked_at = {name: at for name, at in self._asked_at.items() if at > now - _LATELY_S}
            self._turn_of = {name: turn for name, turn in self._turn_of.items() if name in self._asked_at}
        self._asked_at[who] = now
