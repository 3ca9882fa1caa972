"""Telemetry that fails says so once and never reaches the user's call."""

import logging
from types import TracebackType

_log = logging.getLogger("spanledger.instrumentation")
_said: set[str] = set()
_MESSAGE_LIMIT = 200


def warn_once(kind: str, reason: object = None) -> None:
    """Log one warning for each kind of failure in the life of the process."""
    if kind not in _said:
        _said.add(kind)
        said = _described(reason) if isinstance(reason, BaseException) else repr(reason)
        _log.warning("%s failed and is skipped from now on without a message: %s", kind, said)


def _described(error: BaseException) -> str:
    """The kind of an error and its message, cut; never its arguments, which may hold a whole prompt."""
    # A validation error quotes what it rejected.
    message = "" if callable(getattr(error, "error_count", None)) else str(error)[:_MESSAGE_LIMIT]
    return f"{type(error).__name__}: {message}"


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
