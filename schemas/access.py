"""What a caller must show, over gRPC and on every HTTP port: a key, or where there is none, a right Host.

Without a key only this machine's programs are to be answered, and not the web pages that they show: a page
can point a name of its own at 127.0.0.1 (DNS rebinding), but not send another Host than that name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from spanledger.schemas.settings import is_loopback, split_listen

Scope = Literal["ingest", "read", "write", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

CHALLENGE = 'Bearer realm="spanledger"'
NEEDS_KEY = "This needs the header `Authorization: Bearer KEY` (or `X-API-KEY: KEY`) with the right key"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: in which project, and what for.

    `root`: may do everything, in every project: the key of the settings, or anybody where there are no keys.
    """

    project: str
    scopes: frozenset[Scope]
    root: bool = False

    def may(self, scope: Scope) -> bool:
        """Whether a scope is given. Who administers a project could give himself every other one."""
        return scope in self.scopes or "admin" in self.scopes


def shown_key(authorization: Sequence[bytes], api_key: Sequence[bytes]) -> bytes | None:
    """The key in the values of the headers Authorization (`Bearer KEY`) and X-API-KEY.

    None where none is shown, or more than one: which of them counts would be a guess.
    """
    if len(authorization) + len(api_key) != 1:
        return None
    if api_key:
        return api_key[0] or None
    scheme, _, shown = authorization[0].partition(b" ")
    # An empty key opens nothing, even where an empty one was set.
    return shown or None if scheme.lower() == b"bearer" else None


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
