"""OTLP over HTTP: POST of protobuf or JSON to the path of a signal, whose bytes go the way of gRPC's."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from functools import partial
from typing import ClassVar, TypeVar

import uvicorn
from google.protobuf.message import Message
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from spanledger.collector import answers
from spanledger.collector.answers import JSON, PROTOBUF
from spanledger.collector.http_body import gunzip, too_large
from spanledger.collector.http_protocol import BoundedHttpProtocol
from spanledger.collector.ingest import Ingest, Written
from spanledger.collector.json_apart import read_apart
from spanledger.collector.metrics import Metrics
from spanledger.collector.signals import SIGNALS, Signal
from spanledger.schemas.access import CHALLENGE, OwnHosts
from spanledger.schemas.errors import (
    Busy,
    Forbidden,
    Misconfigured,
    NotFound,
    SpanledgerError,
    Unauthenticated,
)
from spanledger.schemas.keys import Keys
from spanledger.schemas.memory import Memory
from spanledger.schemas.settings import MIB, Settings, split_listen
from spanledger.schemas.tls import Tls

_Headers = Mapping[bytes, Sequence[bytes]]
_Result = TypeVar("_Result")

_PATHS = {signal.http_path: signal for signal in SIGNALS}
_ENCODINGS = {b"": False, b"identity": False, b"gzip": True}
# What browser SDKs send beside the headers that need no leave.
_CORS_HEADERS = ("authorization", "content-encoding", "content-type", "x-api-key")
# Beyond this size one body at a time, in a process with so much memory, and so many times the body's size.
_LARGE_JSON = 2 * MIB
_JSON_MEMORY, _JSON_MEMORY_FACTOR = 512 * MIB, 16
_TLS_SHUTDOWN_S = 2.0
_CLOSE = (b"connection", b"close")


class HttpReceiver:
    """An HTTP server with every signal's path on settings.otlp_http_listen."""

    def __init__(
        self,
        ingest: Ingest,
        settings: Settings,
        metrics: Metrics,
        *,
        tls: Tls | None = None,
        keys: Keys | None = None,
    ) -> None:
        self._settings = settings
        self._tls = tls
        self._state = ServerState()
        self._app = OtlpHttp(ingest, settings, metrics, keys or Keys(settings), crowded=self._is_crowded)
        self._config = uvicorn.Config(
            _with_cors(self._app, settings.otlp_http_origins),
            interface="asgi3",
            lifespan="off",
            ws="none",
            proxy_headers=False,
            log_config=None,
            access_log=False,
            timeout_keep_alive=settings.otlp_http_idle_timeout_s,
        )
        self._config.load()
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        """Listen; return the port. Raises Misconfigured where the address cannot be had."""
        listen = self._settings.otlp_http_listen
        host, port = split_listen(listen)
        protocol = partial(
            BoundedHttpProtocol, settings=self._settings, config=self._config, server_state=self._state
        )
        handshake_s = self._settings.otlp_http_header_timeout_s
        try:
            self._server = await asyncio.get_running_loop().create_server(
                protocol,
                host,
                port,
                backlog=2048,
                ssl=self._tls.context if self._tls else None,
                ssl_handshake_timeout=handshake_s if self._tls else None,
                ssl_shutdown_timeout=_TLS_SHUTDOWN_S if self._tls else None,
            )
        except OSError as error:
            raise Misconfigured(
                f"SPANLEDGER_OTLP_HTTP_LISTEN={listen}: cannot listen there ({error.strerror})"
            ) from error
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self, grace_s: float) -> None:
        """Take no new requests; give those under way `grace_s` seconds."""
        if self._server is None:
            return
        self._server.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                while self._state.connections or self._state.tasks:  # noqa: ASYNC110  (uvicorn tells nobody)
                    await asyncio.sleep(0.01)
        for connection in list(self._state.connections):
            connection.transport.abort()
        self._app.close()

    def _is_crowded(self) -> bool:
        return len(self._state.connections) > self._settings.otlp_http_connections


def _with_cors(app: ASGIApp, origins: Sequence[str] | None) -> ASGIApp:
    if not origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=["POST"],
        allow_headers=_CORS_HEADERS,
        expose_headers=["Retry-After"],
    )


class _Refused(SpanledgerError):
    """What is wrong with a request for HTTP alone; `headers` say what would be right."""

    headers: ClassVar[tuple[tuple[bytes, bytes], ...]] = ()


class _NotAllowed(_Refused):
    http_status = 405
    grpc_code = "UNIMPLEMENTED"
    headers = ((b"allow", b"POST"),)


class _UnsupportedType(_Refused):
    http_status = 415
    grpc_code = "INVALID_ARGUMENT"


class _UnsupportedEncoding(_UnsupportedType):
    headers = ((b"accept-encoding", b"gzip"),)


class OtlpHttp:
    """The ASGI application. `crowded` says whether there are more connections than are served."""

    def __init__(
        self,
        ingest: Ingest,
        settings: Settings,
        metrics: Metrics,
        keys: Keys,
        *,
        crowded: Callable[[], bool],
    ) -> None:
        self._ingest = ingest
        self._metrics = metrics
        self._settings = settings
        self._crowded = crowded
        self._keys = keys
        self._own_hosts = OwnHosts(settings.otlp_http_listen)
        self._memory = Memory(settings.otlp_http_body_bytes)
        self._decoders = ThreadPoolExecutor(
            settings.otlp_http_decoders, thread_name_prefix="spanledger-decode"
        )
        self._large_json = asyncio.Lock()

    def close(self) -> None:
        self._decoders.shutdown(wait=False, cancel_futures=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _headers(scope)
        media_type = _media_type(headers)
        more: list[tuple[bytes, bytes]] = []
        try:
            with self._metrics.answering("http") as answered:
                project = self._project(headers)
                signal = self._signal(scope, headers, media_type)
                if self._crowded():
                    await _refuse_politely(receive)
                written = await self._export(signal, project, headers, media_type, receive)
                if written.rejected:
                    answered.outcome = "partial"
            status, answer = 200, answers.success(signal, written)
        except ClientDisconnect:
            return
        except Exception as raised:  # noqa: BLE001  (whatever it is, the sender gets an answer that tells nothing)
            # No name of this frame may keep the error: its frames keep the body until the garbage collection.
            status, answer, more = _refusal(answers.refusal(raised), headers)
        await _send(send, status, answer, PROTOBUF if media_type != JSON else JSON, more)

    def _project(self, headers: _Headers) -> str:
        """The project that the sender's key is for; raises where it has none that may send."""
        everybody = self._keys.open_to
        if everybody is None:
            return self._keys.sender(headers.get(b"authorization", ()), headers.get(b"x-api-key", ()))
        if not self._settings.insecure and not all(map(self._own_hosts.has, headers.get(b"host", ()))):
            raise Forbidden("this Host is not served here")
        return everybody.project

    def _signal(self, scope: Scope, headers: _Headers, media_type: str | None) -> Signal:
        """The signal that is sent; raises what is wrong with the request as far as its headers tell."""
        signal = _PATHS.get(scope["path"])
        if signal is None:
            raise NotFound(f"nothing is received here; there is {', '.join(_PATHS)}")
        if scope["method"] != "POST":
            raise _NotAllowed(f"{scope['method']} is not allowed here, only POST")
        if media_type is None:
            raise _UnsupportedType(f"the Content-Type must be {PROTOBUF} or {JSON}")
        if _encoding(headers) not in _ENCODINGS:
            raise _UnsupportedEncoding("the Content-Encoding must be gzip or absent")
        for length in headers.get(b"content-length", ()):
            if int(length) > self._settings.max_request_bytes:
                raise too_large(self._settings.max_request_bytes)
        return signal

    async def _export(
        self, signal: Signal, project: str, headers: _Headers, media_type: str | None, receive: Receive
    ) -> Written:
        with self._memory.share() as hold:
            body = await self._read(receive, hold)
            if _ENCODINGS[_encoding(headers)]:
                body = await self._decode(gunzip, body, self._settings.max_request_bytes)
                hold(len(body))
            if media_type == JSON:
                body = await self._from_json(signal, body)
                hold(len(body))
            return await self._ingest.write(body, project=project, table=signal.table)

    async def _read(self, receive: Receive, hold: Callable[[int], None]) -> bytes:
        pieces: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            piece = message.get("body", b"")
            size += len(piece)
            if size > self._settings.max_request_bytes:
                raise too_large(self._settings.max_request_bytes)
            hold(size)
            pieces.append(piece)
            if not message.get("more_body"):
                return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def _from_json(self, signal: Signal, body: bytes) -> bytes:
        if len(body) <= _LARGE_JSON:
            return await self._decode(signal.from_json, body)
        clock = asyncio.get_running_loop().time
        give_up = clock() + self._settings.store_timeout_s
        try:
            async with asyncio.timeout_at(give_up):
                await self._large_json.acquire()
        except TimeoutError:
            raise Busy("other large JSON bodies are being read; protobuf needs not wait for them") from None
        try:
            read = partial(
                read_apart,
                timeout_s=max(0.0, give_up - clock()),
                memory_bytes=_JSON_MEMORY + _JSON_MEMORY_FACTOR * len(body),
            )
            return await self._decode(read, signal.from_json, body)
        finally:
            self._large_json.release()

    async def _decode(self, decode: Callable[..., _Result], *arguments: object) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._decoders, decode, *arguments)


def _headers(scope: Scope) -> _Headers:
    headers: dict[bytes, list[bytes]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name, []).append(value)
    return headers


def _media_type(headers: _Headers) -> str | None:
    """PROTOBUF, JSON, or None where it is neither, or both."""
    sent = {value.partition(b";")[0].strip().lower() for value in headers.get(b"content-type", ())}
    return {PROTOBUF.encode(): PROTOBUF, JSON.encode(): JSON}.get(sent.pop()) if len(sent) == 1 else None


def _encoding(headers: _Headers) -> bytes:
    return b", ".join(headers.get(b"content-encoding", ())).strip().lower()


class _Crowded(Busy):
    """The connection is to be closed after this answer."""


async def _refuse_politely(receive: Receive) -> None:
    """Raise _Crowded after the body: closing with bytes unread could take the answer away with them."""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        more = message.get("more_body", False)
    raise _Crowded("there are too many connections")


def _refusal(error: SpanledgerError, asked: _Headers) -> tuple[int, Message, list[tuple[bytes, bytes]]]:
    """Status, body and headers of the answer to a request that cannot be taken."""
    more: list[tuple[bytes, bytes]] = []
    match error:
        case Busy():
            more.append((b"retry-after", b"%d" % math.ceil(error.retry_after_s)))
        case Unauthenticated():
            more.append((b"www-authenticate", CHALLENGE.encode()))
        case _Refused():
            more += error.headers
    if b"expect" in asked or isinstance(error, _Crowded):
        # One who expects leave to send the body may or may not send it after a refusal.
        more.append(_CLOSE)
    return error.http_status, answers.status(error), more


async def _send(
    send: Send, status: int, answer: Message, media_type: str, more: list[tuple[bytes, bytes]]
) -> None:
    body = answers.encode(answer, media_type)
    headers = [
        (b"date", formatdate(usegmt=True).encode()),
        (b"content-type", media_type.encode()),
        (b"content-length", b"%d" % len(body)),
        *more,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
