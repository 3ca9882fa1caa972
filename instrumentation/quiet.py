"""Telemetry that fails says so once and never reaches the user's call."""

import logging
from types import TracebackType

_log = logging.getLogger("spanledger.instrumentation")
_said: set[str] = set()


def warn_once(kind: str, reason: object = None) -> None:
    """Log one warning for each kind of failure in the life of the process."""
    if kind not in _said:
        _said.add(kind)
        if isinstance(reason, UnicodeError):
            # Its representation holds the whole text, which may be content.
            reason = f"{type(reason).__name__}: {reason}"
        _log.warning("%s failed and is skipped from now on without a message: %r", kind, reason)


def say_once(what: str) -> None:
    """Log a warning that is a sentence of its own, once in the life of the process."""
    if what not in _said:
        _said.add(what)
        _log.warning("%s", what)


class quietly:  # noqa: N801 - reads as a statement: `with quietly("reading the response"):`
    """Swallow any Exception of the block; let KeyboardInterrupt, SystemExit and cancellation through."""

    __slots__ = ("_kind",)

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        warn_once(self._kind, error)
        return True
