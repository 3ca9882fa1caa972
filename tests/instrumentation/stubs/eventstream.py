"""Frames of AWS's event streams, as a server writes them."""

import json
import struct
import zlib
from typing import Any

_STRING = 7


def frame(payload: dict[str, Any], *, event: str | None = None, exception: str | None = None) -> bytes:
    """One frame: lengths, their checksum, headers, payload and the checksum of all."""
    headers = {
        ":message-type": "exception" if exception else "event",
        (":exception-type" if exception else ":event-type"): exception or event or "",
        ":content-type": "application/json",
    }
    head = b"".join(_header(name, value) for name, value in headers.items())
    body = json.dumps(payload).encode()
    prelude = struct.pack("!II", 16 + len(head) + len(body), len(head))
    prelude += struct.pack("!I", zlib.crc32(prelude))
    whole = prelude + head + body
    return whole + struct.pack("!I", zlib.crc32(whole))


def _header(name: str, value: str) -> bytes:
    key, text = name.encode(), value.encode()
    return struct.pack("!B", len(key)) + key + struct.pack("!BH", _STRING, len(text)) + text
