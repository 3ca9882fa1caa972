"""What a caller must show, over gRPC and on every HTTP port: the key, or where there is none, a right Host.

Without a key only this machine's programs are to be answered, and not the web pages that they show: a page
can point a name of its own at 127.0.0.1 (DNS rebinding), but not send another Host than that name.
"""

from __future__ import annotations

from collections.abc import Sequence
from hmac import compare_digest

from spanledger.schemas.settings import Settings, is_loopback, split_listen

CHALLENGE = 'Bearer realm="spanledger"'
NEEDS_KEY = "This needs the header `Authorization: Bearer KEY` with the right key"


def needed_key(settings: Settings) -> bytes | None:
    """The key that callers must show; None where none is set."""
    return None if settings.api_key is None else settings.api_key.get_secret_value().encode()


def shows_key(authorization: Sequence[bytes], key: bytes) -> bool:
    """Whether the values of the header Authorization are one, and it is `Bearer` and the key."""
    scheme, _, shown = authorization[0].partition(b" ") if len(authorization) == 1 else (b"", b"", b"")
    right = compare_digest(shown, key)
    # An empty key opens nothing, even where an empty one was set.
    return right and scheme.lower() == b"bearer" and bool(key)


class OwnHosts:
    """The names by which this machine may be asked on an address that it listens on."""

    def __init__(self, listen: str) -> None:
        self._listen_host = split_listen(listen)[0].lower()

    def has(self, header: bytes) -> bool:
        """Whether a value of the header Host is one of them, with or without a port."""
        host = _without_port(header.decode("latin-1")).lower()
        return host == self._listen_host or is_loopback(host)


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if ":" in host else host
