"""Unpacking of HTTP bodies, bounded while it runs."""

from __future__ import annotations

import zlib

from spanledger.schemas.errors import BadData, TooLarge

_MAX_MEMBERS = 1024
# zlib copies what it leaves of its input, and joins its output: it gets and gives pieces.
_PIECE = 256 * 1024
_UNPACKED_PIECE = 1024 * 1024
_GZIP = 31  # zlib's window bits for a gzip header and nothing else


def gunzip(body: bytes, limit: int) -> bytes:
    """The content of a gzip file of one or several members.

    Raises TooLarge as soon as there is more than `limit` bytes of it, BadData where it is no gzip, where it
    ends early, or where it has more than 1,024 members.
    """
    content: list[bytes] = []
    left = limit
    members = 1
    member = zlib.decompressobj(_GZIP)
    view = memoryview(body)
    for start in range(0, len(view), _PIECE):
        piece: bytes | memoryview = view[start : start + _PIECE]
        while piece:
            if member.eof:
                members += 1
                member = zlib.decompressobj(_GZIP)
            if members > _MAX_MEMBERS:
                raise BadData(f"the body has more than {_MAX_MEMBERS} gzip members")
            try:
                unpacked = member.decompress(piece, min(left + 1, _UNPACKED_PIECE))
            except zlib.error as error:
                raise BadData(f"the body is not gzip, as its Content-Encoding says: {error}") from None
            left -= len(unpacked)
            if left < 0:
                raise too_large(limit)
            content.append(unpacked)
            piece = member.unused_data if member.eof else member.unconsumed_tail
    if not member.eof:
        raise BadData("the gzip body ends before its end")
    return b"".join(content)


def too_large(limit: int) -> TooLarge:
    """The error for a request of more than `limit` bytes, packed or unpacked."""
    return TooLarge(f"the request is larger than SPANLEDGER_MAX_REQUEST_BYTES, {limit} bytes")
