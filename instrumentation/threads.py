"""Threads and executors work on in the context of who started them: their calls stay in one trace.

Asked for with `instrument(threads=True)`, and on under `spanledger run`. Daemon threads are left alone: a
library starts those once, in whichever request came first, and they serve every later one.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from opentelemetry.context import Context, get_current

from spanledger.instrumentation.context import enter, leave
from spanledger.instrumentation.patching import Patch
from spanledger.instrumentation.quiet import quietly

THREADS = "SPANLEDGER_THREADS"

_patches: list[Patch] = []
# A pool starts its threads while it is given work; they belong to nobody.
_submitting = threading.local()


def keep_context() -> None:
    """From now on; a second call changes nothing."""
    if not _patches:
        _patches.append(Patch(threading.Thread, "start", _start))
        _patches.append(Patch(ThreadPoolExecutor, "submit", _submit))


def stop() -> None:
    """Threads begin in an empty context again, as Python has it."""
    while _patches:
        _patches.pop().undo()


def _start(wrapped: Callable[..., Any], thread: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with quietly("keeping the context of a thread"):
        here = get_current()
        if here and not thread.daemon and not getattr(_submitting, "now", False):
            # On the object, so that a `run` of a subclass is meant, too.
            thread.run = partial(_run, here, thread, thread.run)
    return wrapped(*args, **kwargs)


def _run(context: Context, thread: Any, run: Callable[[], Any]) -> None:
    vars(thread).pop("run", None)
    token = enter(context)
    try:
        run()
    finally:
        leave(token)


def _submit(wrapped: Callable[..., Any], _pool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    here = get_current()
    if here and args:
        args = (partial(_work, here, args[0]), *args[1:])
    _submitting.now = True
    try:
        return wrapped(*args, **kwargs)
    finally:
        _submitting.now = False


def _work(context: Context, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    token = enter(context)
    try:
        return function(*args, **kwargs)
    finally:
        leave(token)
