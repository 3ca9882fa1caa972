"""Work that falls to a garbage collection waits until no collection runs.

A collection starts wherever the interpreter likes, also while this thread holds a lock of a metrics SDK, a
log handler or an exporter. Ending a span there would ask for the same lock again, and the thread would wait
for itself for ever. So the work is kept and done at the next call, at a flush, or at the end of the process.
"""

import atexit
import gc
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from threading import get_ident

from spanledger.instrumentation.quiet import quietly

# Appending takes no lock, which is the point.
_waiting: deque[Callable[[], None]] = deque()


class _Collection:
    # The thread that collects; the interpreter lets only one do so at a time.
    thread = 0


def _watch(phase: str, _info: dict[str, int]) -> None:
    _Collection.thread = get_ident() if phase == "start" else 0


def _is_running_here() -> bool:
    return _Collection.thread == get_ident()


def watch_collections() -> None:
    """Know of collections from now on; a second call changes nothing."""
    if _watch not in gc.callbacks:
        gc.callbacks.append(_watch)
        atexit.unregister(settle)
        # Later than the exit of a tracer provider, which is why it runs before that.
        atexit.register(settle)


def when_safe(work: Callable[[], None]) -> None:
    """Do it now, or later if this thread is in the middle of a collection."""
    if _is_running_here():
        _waiting.append(work)
    else:
        work()


def settle() -> None:
    """Do what had to wait."""
    if not _waiting or _is_running_here():
        return
    # Another thread may take the last one first.
    with suppress(IndexError):
        while True:
            work = _waiting.popleft()
            with quietly("ending what was dropped"):
                work()
