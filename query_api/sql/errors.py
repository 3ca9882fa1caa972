"""Errors: what the engine says of a query, in words for whoever sent it.

Its message names what is wrong and where, and is kept; what it tells of the installation (paths, versions,
names of databases, how the views are made) is not.
"""

from __future__ import annotations

import re

from spanledger.query_api.sql.clients import (
    MIB,
    MOST_MEMORY_BYTES,
    MOST_RESULT_BYTES,
    MOST_ROWS,
    MOST_SECONDS,
    MOST_WHOLE_BYTES,
    Bounds,
)
from spanledger.schemas.errors import BadData, Busy, SpanledgerError

_LONGEST = 600  # characters
_MOST_LOOKED_AT = 4000  # the query may be in the message

_CODE = re.compile(r"\bCode: (\d+)\.")
_HEAD = re.compile(r"^.*?(?:Code: \d+\. DB::Exception:\s*)+", flags=re.DOTALL)
_NAME_OF_ERROR = re.compile(r"\s*\([A-Z][A-Z0-9_]+\)")
_VERSION = re.compile(r"\s*\(version [^)]*\)")
# Behind these words it shows the query as the analyser rewrote it, or where in the engine it was.
_INSIDE = re.compile(
    r"(?:[:.,]?\s*(?:In scope|While (?:executing|processing|converting)|while (?:executing|converting)|"
    r"Stack trace|FORMAT Native)|\. \(query:).*",
    flags=re.DOTALL,
)
_HINT = re.compile(r"\s*Maybe you meant:? ?[^?]*?\w\.\w[^?.]*\??")
_PATH = re.compile(r"(?<![\w'.])/(?:[\w.+-]+/)+[\w.+-]*")
_SETTING = re.compile(r"\s*\((?:set|you can set|use)\b[^)]*\)", flags=re.IGNORECASE)

_TIME = frozenset({159, 160})
_MEMORY = frozenset({241})
_RESULT = frozenset({396})
_OTHER_LIMITS = frozenset({158, 161, 167, 168, 191, 290, 307})
# Not of the query's making.
_DATABASE = frozenset(
    {49, 74, 75, 76, 81, 107, 198, 202, 203, 209, 210, 236, 243, 279, 373, 394, 516, 519, 999}
)
_NOT_GRANTED = 497


class LimitReached(SpanledgerError):
    """A query needs more than one may take."""

    http_status = 422
    title = "Limit reached"


def told(error: Exception, views: str, bounds: Bounds) -> SpanledgerError:
    """The error of ours that an error of the database is. `views`: the database of the views."""
    code = getattr(error, "code", None) or _code(str(error))
    if code is None or code in _DATABASE:
        return Busy("The database does not answer")
    if code == _NOT_GRANTED:
        return BadData("query: it needs what the database grants nobody here")
    return _limit(code, bounds) or BadData(f"query: {plain(str(error), views)}")


def _limit(code: int, bounds: Bounds) -> LimitReached | None:
    """The limit that an error of the database tells of; None where it tells of something else."""
    if code in _TIME:
        return LimitReached(
            f"The query takes longer than {MOST_SECONDS} s: give it a shorter time (`start`, `end`, or a "
            "condition on start_time), or fewer columns"
        )
    if code in _MEMORY:
        return LimitReached(
            f"The query needs more than {MOST_MEMORY_BYTES // MIB} MiB of memory: give it a shorter time, "
            "fewer columns, or fewer groups"
        )
    if code in _RESULT:
        most = MOST_WHOLE_BYTES if bounds.whole else MOST_RESULT_BYTES
        return LimitReached(
            f"The result has more than {MOST_ROWS:,} rows or {most // MIB} MiB: say `limit`, or ask for less "
            "(json, jsonl and csv may be the largest)"
        )
    if code in _OTHER_LIMITS:
        return LimitReached("The query is beyond a limit of the database: ask for less at once")
    return None


def plain(message: str, views: str) -> str:
    """A message of the engine without what tells of the installation."""
    text = _HEAD.sub("", message[:_MOST_LOOKED_AT])
    for pattern in (_INSIDE, _VERSION, _NAME_OF_ERROR, _SETTING):
        text = pattern.sub("", text)
    text = _HINT.sub("", text.replace(f"{views}.", "").replace(views, ""))
    text = _PATH.sub("...", text)
    first, expected, rest = text.partition("Expected one of:")
    if expected:
        text = f"{first.rstrip()} Expected: {', '.join(rest.split(', ')[:8]).strip()}"
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


def _code(message: str) -> int | None:
    found = _CODE.search(message)
    return int(found.group(1)) if found else None
