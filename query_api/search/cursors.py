"""Cursors: where the next page of the trace list starts, as text that callers hand back unread.

A cursor names the last trace that was shown, not a count of them: traces that arrive meanwhile are newer
and move nothing.
"""

from __future__ import annotations

import binascii
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import NamedTuple

_FORM = struct.Struct(">Q16s")
_LENGTH = 32  # of 24 bytes in base64, which needs no padding


class Position(NamedTuple):
    """A place in the list. The list runs from greater positions to smaller ones."""

    start_ns: int
    trace_id: str


def encode_cursor(position: Position) -> str:
    raw = _FORM.pack(position.start_ns, bytes.fromhex(position.trace_id))
    return urlsafe_b64encode(raw).decode()


def decode_cursor(text: object) -> Position:
    """The position in a cursor; raises ValueError where it is not one of ours."""
    if not isinstance(text, str) or len(text) != _LENGTH:
        raise ValueError("not a cursor of this API")
    try:
        start_ns, trace_id = _FORM.unpack(urlsafe_b64decode(text))
    except (ValueError, binascii.Error, struct.error):
        raise ValueError("not a cursor of this API") from None
    position = Position(start_ns, trace_id.hex())
    if encode_cursor(position) != text or start_ns >= 1 << 63:
        raise ValueError("not a cursor of this API")
    return position
