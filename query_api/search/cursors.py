"""Cursors: where the next page of a list starts, as text that callers hand back unread.

A cursor names the last thing that was shown, not a count of them: what arrives meanwhile moves nothing. It
also names the search that it belongs to, and is of no use to another one or in another project.
"""

from __future__ import annotations

import binascii
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from decimal import Decimal
from hashlib import sha256
from typing import NamedTuple

from spanledger.query_api.times import LATEST_NS

_LONGEST = 400
_NONE = "not a cursor of this API"
_VALUE = re.compile(r"-?\d{1,40}(\.\d{1,18})?", flags=re.ASCII)


class Position(NamedTuple):
    """A place in a list: what it is sorted by, where that is no time, then start and ids.

    `value`: None where it is not known, or the list is sorted by time. `span_id`: '' in a list of traces.
    """

    start_ns: int
    trace_id: str
    span_id: str = ""
    value: Decimal | None = None


class Cursor(NamedTuple):
    """`since_ns`, `as_of_ns`: of a list sorted by totals, from when on traces count and up to which receive
    time spans do.
    """

    search: str
    position: Position
    since_ns: int = 0
    as_of_ns: int = 0


def hash_of(*search: object) -> str:
    """A short name of a search, by which its cursors are known."""
    return sha256(repr(search).encode("utf-8", "backslashreplace")).hexdigest()[:16]


def encode_cursor(cursor: Cursor) -> str:
    place = cursor.position
    value = None if place.value is None else f"{place.value:f}"
    parts = [
        cursor.search,
        place.start_ns,
        place.trace_id,
        place.span_id,
        value,
        cursor.since_ns,
        cursor.as_of_ns,
    ]
    return urlsafe_b64encode(json.dumps(parts, separators=(",", ":")).encode()).decode().rstrip("=")


def decode_cursor(text: object) -> Cursor:
    """The cursor that a text is; raises ValueError where it is not one of ours."""
    if not isinstance(text, str) or len(text) > _LONGEST:
        raise ValueError(_NONE)
    try:
        raw = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        search, start_ns, trace_id, span_id, value, since_ns, as_of_ns = json.loads(raw)
    except (ValueError, TypeError, binascii.Error, RecursionError):
        raise ValueError(_NONE) from None
    known = (
        all(type(each) is int and 0 <= each <= LATEST_NS for each in (start_ns, since_ns, as_of_ns))
        and _is_hex(search, 16)
        and _is_hex(trace_id, 32)
        and (span_id == "" or _is_hex(span_id, 16))
        and (value is None or (isinstance(value, str) and _VALUE.fullmatch(value) is not None))
    )
    if not known:
        raise ValueError(_NONE)
    amount = None if value is None else Decimal(value)
    cursor = Cursor(search, Position(start_ns, trace_id, span_id, amount), since_ns, as_of_ns)
    if encode_cursor(cursor) != text:
        raise ValueError(_NONE)
    return cursor


def _is_hex(text: object, size: int) -> bool:
    return isinstance(text, str) and re.fullmatch(f"[0-9a-f]{{{size}}}", text) is not None
