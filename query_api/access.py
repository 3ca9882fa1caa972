"""Access: who may ask. Closed unless opened, for every route that exists or will exist.

With a key, every request but the two health checks must carry it. Without one, only programs on this
machine are meant to ask; a web page that they show must not, so the Host that was asked for has to be a
name of this machine (a page can point a name of its own at 127.0.0.1, but not send another Host).
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from spanledger.query_api.problems import problem
from spanledger.schemas.errors import Unauthenticated
from spanledger.schemas.settings import Settings, is_loopback, split_listen

OPEN_PATHS = frozenset({"/healthz", "/readyz"})


class Access:
    """Lets through who has the key, or, without a key, who asks this machine by its own name."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._key = None if settings.api_key is None else settings.api_key.get_secret_value().encode()
        self._any_host = settings.insecure
        self._listen_host = split_listen(settings.api_listen)[0].lower()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif self._key is not None:
            await self._with_key(scope, receive, send)
        elif self._any_host or all(map(self._is_ours, _header(scope, b"host"))):
            await self._app(scope, receive, send)
        else:
            await _refused(scope, 403, "Forbidden", "This Host is not served here")(scope, receive, send)

    async def _with_key(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in OPEN_PATHS or self._has_key(scope):
            await self._app(scope, receive, send)
            return
        detail = "This needs the header `Authorization: Bearer KEY` with the right key"
        headers = {"WWW-Authenticate": 'Bearer realm="spanledger"'}
        await _refused(scope, 401, Unauthenticated.title, detail, headers)(scope, receive, send)

    def _has_key(self, scope: Scope) -> bool:
        sent = _header(scope, b"authorization")
        scheme, _, key = sent[0].partition(b" ") if len(sent) == 1 else (b"", b"", b"")
        right = hmac.compare_digest(key, self._key or b"")
        # An empty key opens nothing, even where an empty one was set.
        return right and scheme.lower() == b"bearer" and bool(self._key)

    def _is_ours(self, header: bytes) -> bool:
        host = _without_port(header.decode("latin-1")).lower()
        return host == self._listen_host or is_loopback(host)


def _header(scope: Scope, name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key.lower() == name]


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if ":" in host else host


def _refused(
    scope: Scope, status: int, title: str, detail: str, headers: Mapping[str, str] | None = None
) -> ASGIApp:
    if scope["type"] == "websocket":
        return WebSocketClose(code=1008)
    return problem(scope["path"], status, title, detail, headers=headers)


class PlainHeaders:
    """Adds to every answer that browsers must not guess its type."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_header(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"x-content-type-options", b"nosniff")]
            await send(message)

        await self._app(scope, receive, with_header)
