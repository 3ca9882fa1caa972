"""Exceptions as a line of a log: what failed and where, and nothing of the data that it failed on."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from pathlib import Path

from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError

from spanledger.schemas.errors import BadData, NotFound, SpanledgerError

_TEXT = 300
_FRAMES = 12
# ClickHouse's codes whose text is about the server. The text of any other may quote a value or the query.
_ABOUT_THE_SERVER = frozenset(
    {
        60,  # UNKNOWN_TABLE
        74,  # CANNOT_READ_FROM_FILE_DESCRIPTOR
        75,  # CANNOT_WRITE_TO_FILE_DESCRIPTOR
        76,  # CANNOT_OPEN_FILE
        81,  # UNKNOWN_DATABASE
        158,  # TOO_MANY_ROWS
        159,  # TIMEOUT_EXCEEDED
        160,  # TOO_SLOW
        164,  # READONLY
        202,  # TOO_MANY_SIMULTANEOUS_QUERIES
        209,  # SOCKET_TIMEOUT
        210,  # NETWORK_ERROR
        236,  # ABORTED
        241,  # MEMORY_LIMIT_EXCEEDED
        243,  # NOT_ENOUGH_SPACE
        252,  # TOO_MANY_PARTS
        307,  # TOO_MANY_BYTES
        394,  # QUERY_WAS_CANCELLED
        396,  # TOO_MANY_ROWS_OR_BYTES
        497,  # ACCESS_DENIED
        516,  # AUTHENTICATION_FAILED
    }
)
# From here on ClickHouse repeats the query, and its client the address with the query in it.
_REPEATED = re.compile(
    r"(:?\s+[Ii]n scope |:?\s+[Ww]hile (executing|processing) | with url: \S+|\n).*", re.DOTALL
)
_CAUSE = re.compile(r"\(Caused by .*?: ([^:\"]+)\"?\)", re.DOTALL)


def in_words(error: BaseException) -> str:
    """What kind of error, with its text where that text is ours or the operating system's."""
    kind = type(error).__name__
    text = _text(error)
    return f"{kind}: {text[:_TEXT]}" if text else kind


def _text(error: BaseException) -> str:
    match error:
        case BadData() | NotFound():
            return ""  # written for whoever sent it, and may quote it
        case SpanledgerError():
            return str(error)
        case ClickHouseError():
            return _of_the_database(error)
        case OSError() if error.strerror:
            return f"{error.strerror} (errno {error.errno})"
    return ""


def _of_the_database(error: ClickHouseError) -> str:
    text = _REPEATED.sub("", str(error))
    code = getattr(error, "code", None)
    if code is None:
        # The client's own: of the connection, or of data that it cannot turn into columns.
        cause = _CAUSE.search(str(error))
        return (cause.group(1) if cause else text) if isinstance(error, OperationalError) else ""
    name = f"{code} {getattr(error, 'name', None) or ''}".rstrip()
    return f"{name}: {text}" if code in _ABOUT_THE_SERVER else name


def whole_story(error: BaseException) -> str:
    """The error and its causes, each with the places it was raised through, on one line."""
    return " caused by ".join(in_words(each) + _places(each) for each in _with_causes(error))


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        if isinstance(current, BaseExceptionGroup):
            for part in current.exceptions:
                yield from _with_causes(part)
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)


def _places(error: BaseException) -> str:
    """Innermost first; the frames between the first and the last few of a deep one are left out."""
    frames = [
        f"{Path(frame.f_code.co_filename).name}:{line} {frame.f_code.co_name}"
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    frames.reverse()
    if len(frames) > _FRAMES:
        frames[_FRAMES // 2 : -_FRAMES // 2] = ["…"]
    return f" at {' < '.join(frames)}" if frames else ""
