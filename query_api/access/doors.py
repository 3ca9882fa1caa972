"""Access: who may ask. Closed unless opened, for every route that exists or will exist.

Once there is a key, every request but the two health checks must carry one that is good for the route.
Without any, only programs on this machine are meant to ask; a web page that they show must not
(schemas/access.py), nor may it write. All of it is decided before the body is read.

The body is bounded before objects are made of it: nobody may fill the memory with a request. Routes that take
files read them piece by piece, within bounds of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote_plus

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from spanledger.query_api.access.scopes import OF_FILES, need
from spanledger.query_api.access.table import RouteTable
from spanledger.query_api.problems import error_problem, problem
from spanledger.query_api.turns import ASKING
from spanledger.schemas.access import CHALLENGE, Caller, OwnHosts
from spanledger.schemas.errors import Forbidden, SpanledgerError, TooLarge, Unauthenticated
from spanledger.schemas.keys import Keys
from spanledger.schemas.settings import Settings

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
# The objects that JSON is read into may be twenty times as large.
MOST_BODY_BYTES = 1 << 20
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class Access:
    """Lets through who has a key that is good for the route, or, where there are no keys, who asks this
    machine by its own name. A route finds the caller in `request.state`.
    """

    def __init__(self, app: ASGIApp, settings: Settings, keys: Keys, of: FastAPI) -> None:
        self._app = app
        self._keys = keys
        self._table = RouteTable(of)
        self._any_host = settings.insecure
        self._own_hosts = OwnHosts(settings.api_listen)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        try:
            caller = self._admit(scope)
            answer = None if caller is None else self._judge(scope, caller)
            if answer is None and _has_bounds(scope):
                receive = await _read(scope, receive)
        except SpanledgerError as error:
            answer = _refused(scope, error)
        await (answer or self._app)(scope, receive, send)

    def _admit(self, scope: Scope) -> Caller | None:
        """Who asks; None where that is all one. Raises where nobody may whom we do not know."""
        everybody = self._keys.open_to
        if everybody is None:
            if scope["path"] in OPEN_PATHS:
                return None
            return self._keys.caller(_header(scope, b"authorization"), _header(scope, b"x-api-key"))
        if not self._any_host and not all(map(self._own_hosts.has, _header(scope, b"host"))):
            raise Forbidden("This Host is not served here")
        if _from_elsewhere(scope):
            raise Forbidden("Pages of other origins may not write here")
        return everybody

    def _judge(self, scope: Scope, caller: Caller) -> ASGIApp | None:
        """None where the caller may have what is asked for; Forbidden where not, and the answer where there
        is no such thing.
        """
        if scope["type"] != "http":
            return WebSocketClose(code=1008)
        path, method = scope["path"], scope["method"]
        entry = self._table.find(method, path)
        if entry is None:
            return _nothing(scope, self._table)
        if entry.needed is not None:
            need(caller, entry.needed)
        state = scope.setdefault("state", {})
        state["caller"], state["asked_projects"] = caller, []
        ASKING.set(caller.project)
        if entry.in_project:
            scope["query_string"], state["asked_projects"] = _without_project(scope["query_string"])
        return None


def _has_bounds(scope: Scope) -> bool:
    """Whether the body of a request must fit into memory."""
    if scope["type"] != "http" or scope["method"] in _READING:
        return False
    return (scope["method"], scope["path"]) not in OF_FILES


async def _read(scope: Scope, receive: Receive) -> Receive:
    """The body of a request, as something to receive it from; TooLarge as soon as there is too much of it."""
    refusal = TooLarge(f"A body of more than {MOST_BODY_BYTES >> 20} MiB is not taken here")
    if any(value.isdigit() and int(value) > MOST_BODY_BYTES for value in _header(scope, b"content-length")):
        raise refusal
    body = bytearray()
    message: Message = {"more_body": True}
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        body += message.get("body", b"")
        if len(body) > MOST_BODY_BYTES:
            raise refusal
    else:
        message = {"type": "http.request", "body": bytes(body), "more_body": False}
    read = [message]

    async def again() -> Message:
        return read.pop() if read else await receive()

    return again


def _nothing(scope: Scope, table: RouteTable) -> ASGIApp:
    others = table.others(scope["path"])
    if not others:
        return problem(scope["path"], 404, "Not found", f"Nothing is at {scope['path']}")
    scope["route_template"] = others[0].template
    allowed = {"Allow": ", ".join(sorted({entry.method for entry in others}))}
    detail = f"{scope['method']} is not allowed here"
    return problem(scope["path"], 405, "Method not allowed", detail, headers=allowed)


def _without_project(query: bytes) -> tuple[bytes, list[str]]:
    """The query of a request without the parameter `project`, and that parameter's values."""
    if b"project" not in query and b"%" not in query:
        return query, []
    kept, asked = [], []
    for piece in query.split(b"&"):
        name, _, value = piece.decode("latin-1").partition("=")
        if unquote_plus(name) == "project":
            asked.append(unquote_plus(value))
        else:
            kept.append(piece)
    return b"&".join(kept), asked


def _header(scope: Scope, name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key.lower() == name]


def _from_elsewhere(scope: Scope) -> bool:
    """Whether a web page of another origin wants to write, of which browsers tell."""
    if scope["type"] != "http" or scope["method"] in _READING:
        return False
    own = {value.lower() for value in _header(scope, b"host")}
    origins = (value.partition(b"://")[2].lower() for value in _header(scope, b"origin"))
    return any(origin not in own for origin in origins)


def _refused(scope: Scope, error: SpanledgerError) -> ASGIApp:
    if scope["type"] == "websocket":
        return WebSocketClose(code=1008)
    challenge: Mapping[str, str] = (
        {"WWW-Authenticate": CHALLENGE} if isinstance(error, Unauthenticated) else {}
    )
    return error_problem(scope["path"], error, challenge)


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
