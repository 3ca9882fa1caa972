"""The last spans of processes that end in ways of their own.

A child of `multiprocessing`, or of celery's `billiard`, ends without Python's exit functions: it has others,
in which it must register itself. uvicorn ends by the signal that it was sent, with no exit functions at all:
its last spans leave when it has served its last request.
"""

import asyncio
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

import wrapt

from spanledger.instrumentation.patching import Patch
from spanledger.instrumentation.quiet import quietly

_FORKING = ("multiprocessing.util", "billiard.util")
_POLL_S = 0.02


class _Watch:
    """What is called at such ends, while it is on; the registries of the modules refer to it weakly."""

    def __init__(self) -> None:
        self.on = False
        self.hooked = False
        self.at_exit: Callable[[], None] = _nothing
        self.at_shutdown: Callable[[], None] = _nothing
        self.within_s = 0.0
        self.patches: list[Patch] = []
        self.server: ModuleType | None = None


def _nothing() -> None:
    pass


_watch = _Watch()


def watch(*, at_exit: Callable[[], None], at_shutdown: Callable[[], None], within_s: float) -> None:
    """Call `at_exit` when a child ends, `at_shutdown` when a server stops; wait so long for the latter."""
    _watch.on, _watch.at_exit, _watch.at_shutdown, _watch.within_s = True, at_exit, at_shutdown, within_s
    if _watch.server is not None:
        _server_loaded(_watch.server)
    if _watch.hooked:
        return
    _watch.hooked = True
    for name in _FORKING:
        wrapt.register_post_import_hook(_forking_loaded, name)
    wrapt.register_post_import_hook(_server_loaded, "uvicorn.server")


def stop() -> None:
    """As if nobody watched."""
    _watch.on = False
    while _watch.patches:
        _watch.patches.pop().undo()


def _forking_loaded(module: ModuleType) -> None:
    def last() -> None:
        if _watch.on:
            _watch.at_exit()

    def forked(_watched: Any) -> None:
        with quietly("watching for the end of a process"):
            # The lowest priority: after whatever else may still make spans.
            module.Finalize(None, last, exitpriority=-1_000)

    with quietly("watching for processes"):
        module.register_after_fork(_watch, forked)


def _server_loaded(module: ModuleType) -> None:
    _watch.server = module
    with quietly("watching for the end of a server"):
        if _watch.on and not _watch.patches:
            _watch.patches.append(Patch(module.Server, "shutdown", _shutdown))


async def _shutdown(
    wrapped: Callable[..., Any], _server: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    result = await wrapped(*args, **kwargs)
    with quietly("sending the spans of a server"):
        # A daemon: a collector that does not answer must not keep the process.
        sending = threading.Thread(target=_watch.at_shutdown, name="spanledger-last", daemon=True)
        sending.start()
        for _turn in range(round(_watch.within_s / _POLL_S)):
            if not sending.is_alive():
                break
            await asyncio.sleep(_POLL_S)
    return result
