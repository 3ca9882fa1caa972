"""The kinds of failure, each with the status it has on every transport.

Two kinds decide what a sender does next: `Busy` is worth another try, `BadData` never is. Transports
read `http_status` and `grpc_code` and need no ladder of their own.
"""

from __future__ import annotations

from typing import ClassVar


class SpanledgerError(Exception):
    """Something went wrong and its text can be shown to whoever asked."""

    http_status: ClassVar[int] = 500
    grpc_code: ClassVar[str] = "INTERNAL"
    title: ClassVar[str] = "Internal error"


class BadData(SpanledgerError):
    """What was sent is wrong and will be wrong again; the text names what, where and what is allowed."""

    http_status = 400
    grpc_code = "INVALID_ARGUMENT"
    title = "Bad request"


class NotFound(SpanledgerError):
    """What was asked for is not stored, or not where the caller may look."""

    http_status = 404
    grpc_code = "NOT_FOUND"
    title = "Not found"


class Conflict(SpanledgerError):
    """What was to be made is there already, or does not fit what is there."""

    http_status = 409
    grpc_code = "ALREADY_EXISTS"
    title = "Conflict"


class TooLarge(SpanledgerError):
    """What was sent is larger than a setting allows, and will be the next time."""

    http_status = 413
    grpc_code = "RESOURCE_EXHAUSTED"
    title = "Too large"


class Unauthenticated(SpanledgerError):
    """No key, or a wrong one."""

    http_status = 401
    grpc_code = "UNAUTHENTICATED"
    title = "Unauthenticated"


class Forbidden(SpanledgerError):
    """A right key that is not good for this; the text names the scope that is needed."""

    http_status = 403
    grpc_code = "PERMISSION_DENIED"
    title = "Forbidden"


class Busy(SpanledgerError):
    """Not now: the database does not answer or the memory budget is full. Worth trying again.

    `retry_after_s`: seconds to wait, small because OTLP exporters give up after ten in total.
    """

    http_status = 503
    grpc_code = "UNAVAILABLE"
    title = "Unavailable"

    def __init__(self, message: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Misconfigured(SpanledgerError):
    """A setting, or what it points to, cannot work; the text names the setting and what is allowed."""

    title = "Misconfigured"
