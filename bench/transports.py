"""Connections that send serialised requests with as little work as can be: the server has the same cores."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Literal, Protocol, Self

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from bench.workload import Encoding

ProtocolName = Literal["grpc", "http-protobuf", "http-json"]
PROTOCOLS: dict[ProtocolName, Encoding] = {
    "grpc": "protobuf",
    "http-protobuf": "protobuf",
    "http-json": "json",
}

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_PATH = "/v1/traces"
_TRIES_AGAIN = {429, 502, 503, 504}  # as the OTLP specification has it


class Refused(Exception):
    """Not stored; the same bytes may be sent again. The text is the reason in a word."""


class Rejected(Exception):
    """The server will not store this, now or later."""


class Connection(Protocol):
    """One connection; `send` returns when the spans are acknowledged, and raises Refused or Rejected."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def send(self, body: bytes) -> None: ...


class GrpcConnection:
    """A channel with a connection of its own; any number of requests at the same time."""

    def __init__(self, address: str, timeout_s: float) -> None:
        self._channel = grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
        self._export: Callable[..., Awaitable[bytes]] = self._channel.unary_unary(EXPORT)
        self._timeout_s = timeout_s

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()

    async def send(self, body: bytes) -> None:
        try:
            answer = await self._export(body, timeout=self._timeout_s)
        except grpc.aio.AioRpcError as error:
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                raise Refused(error.code().name.lower()) from None
            raise Rejected(f"{error.code().name}: {error.details()}") from None
        if answer:
            _check(ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans)


class HttpConnection:
    """HTTP/1.1 with keep-alive, on the bare socket streams. HTTP has one request at a time on a connection,
    so as many sockets are opened as requests are sent at the same time."""

    def __init__(self, address: str, timeout_s: float, encoding: Encoding) -> None:
        self._host, _, port = address.rpartition(":")
        self._port = int(port)
        self._timeout_s = timeout_s
        self._encoding = encoding
        self._head = (
            f"POST {_PATH} HTTP/1.1\r\nHost: {address}\r\n"
            f"Content-Type: application/{'json' if encoding == 'json' else 'x-protobuf'}\r\n"
        )
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for _reader, writer in self._idle:
            writer.close()
            await writer.wait_closed()

    async def send(self, body: bytes) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                status, answer = await self._exchange(body)
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            raise Refused(type(error).__name__) from None
        if status in _TRIES_AGAIN:
            raise Refused(str(status))
        if status != 200:
            raise Rejected(f"{status}: {answer[:200].decode(errors='replace')}")
        _check(self._rejected_spans(answer))

    async def _exchange(self, body: bytes) -> tuple[int, bytes]:
        reader, writer = self._idle.pop() if self._idle else await self._connect()
        try:
            writer.write(f"{self._head}Content-Length: {len(body)}\r\n\r\n".encode())
            writer.write(body)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            status_line, *lines = head.split("\r\n")
            fields = dict(line.split(": ", 1) for line in lines if line)
            answer = await reader.readexactly(int(fields["content-length"]))
        except BaseException:
            writer.close()
            raise
        if fields.get("connection") == "close":
            writer.close()
        else:
            self._idle.append((reader, writer))
        return int(status_line.split(" ")[1]), answer

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self._host, self._port)

    def _rejected_spans(self, answer: bytes) -> int:
        if self._encoding == "json":
            return int(json.loads(answer or b"{}").get("partialSuccess", {}).get("rejectedSpans", 0))
        return ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans


def _check(rejected: int) -> None:
    if rejected:
        raise Rejected(f"{rejected} spans were rejected")


def connection(protocol: ProtocolName, address: str, timeout_s: float) -> Connection:
    """A connection to `host:port`."""
    if protocol == "grpc":
        return GrpcConnection(address, timeout_s)
    return HttpConnection(address, timeout_s, PROTOCOLS[protocol])
