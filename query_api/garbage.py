"""Garbage: Python's search for cycles, held off while a large answer is built.

A large answer is millions of objects that stay to its end, and none of them is in a cycle. The search would
go through them again and again, for a sixth of the time that the answer takes.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_LONGEST_S = 2.0  # under constant load somebody always builds, and cycles must go at some time

_lock = threading.Lock()
_builders = 0
_since = 0.0


@contextmanager
def held_off() -> Iterator[None]:
    """No search for cycles in any thread until the last of the callers is done.

    Who comes when it has been held off for long already does not hold it off any longer.
    """
    global _builders, _since  # noqa: PLW0603 - as the search is, of the whole process
    with _lock:
        takes_part = gc.isenabled() if not _builders else time.monotonic() - _since < _LONGEST_S
        if takes_part:
            if not _builders:
                _since = time.monotonic()
                gc.disable()
            _builders += 1
    try:
        yield
    finally:
        if takes_part:
            with _lock:
                _builders -= 1
                if not _builders:
                    gc.enable()
