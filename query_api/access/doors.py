"""Access: who may ask. Closed unless opened, for every route that exists or will exist.

With a key, every request but the two health checks must carry it. Without one, only programs on this
machine are meant to ask; a web page that they show must not (schemas/access.py), nor may it write.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from spanledger.query_api.problems import problem
from spanledger.schemas.access import CHALLENGE, NEEDS_KEY, OwnHosts, needed_key, shows_key
from spanledger.schemas.errors import Unauthenticated
from spanledger.schemas.settings import Settings

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class Access:
    """Lets through who has the key, or, without a key, who asks this machine by its own name."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._key = needed_key(settings)
        self._any_host = settings.insecure
        self._own_hosts = OwnHosts(settings.api_listen)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif self._key is not None:
            await self._with_key(self._key, scope, receive, send)
        elif not self._any_host and not all(map(self._own_hosts.has, _header(scope, b"host"))):
            await _refused(scope, 403, "Forbidden", "This Host is not served here")(scope, receive, send)
        elif _from_elsewhere(scope):
            detail = "Pages of other origins may not write here"
            await _refused(scope, 403, "Forbidden", detail)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _with_key(self, key: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in OPEN_PATHS or shows_key(_header(scope, b"authorization"), key):
            await self._app(scope, receive, send)
            return
        headers = {"WWW-Authenticate": CHALLENGE}
        await _refused(scope, 401, Unauthenticated.title, NEEDS_KEY, headers)(scope, receive, send)


def _header(scope: Scope, name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key.lower() == name]


def _from_elsewhere(scope: Scope) -> bool:
    """Whether a web page of another origin wants to write, of which browsers tell."""
    if scope["type"] != "http" or scope["method"] in _READING:
        return False
    own = {value.lower() for value in _header(scope, b"host")}
    origins = (value.partition(b"://")[2].lower() for value in _header(scope, b"origin"))
    return any(origin not in own for origin in origins)


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
