"""uvicorn's HTTP/1.1 protocol on httptools, bounded in time and in bytes.

uvicorn waits for ever for a client that sends a header a minute, httptools collects headers without end, and
together they queue as many requests as a client cares to send without reading an answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sized
from http import HTTPStatus

import httptools
import uvicorn
from google.rpc.code_pb2 import Code
from google.rpc.status_pb2 import Status
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from spanledger.collector.answers import PROTOBUF, encode
from spanledger.schemas.settings import Settings

# Of headers, and of what stands between the pieces of a chunked body.
_MAX_OVERHEAD = 64 * 1024
_MAX_PIPELINED = 64


class _Flow(FlowControl):
    """Does not read on while whole requests wait in the connection's pipeline."""

    def __init__(self, transport: asyncio.Transport, pipeline: Sized) -> None:
        super().__init__(transport)
        self._pipeline = pipeline

    def resume_reading(self) -> None:
        if not self._pipeline:
            super().resume_reading()


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection. It is aborted where its client takes longer than the settings say: for the headers of
    a request, for its body, for reading the answers, or for closing.
    """

    def __init__(self, *, settings: Settings, config: uvicorn.Config, server_state: ServerState) -> None:
        super().__init__(config, server_state, app_state={})
        self._settings = settings
        self._deadline: asyncio.TimerHandle | None = None  # of the message that is being received
        self._write_deadline: asyncio.TimerHandle | None = None
        self._overhead = 0  # bytes received since the last byte of a body
        self._in_headers = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        self.flow = _Flow(transport, self.pipeline)
        if len(self.connections) > 2 * self._settings.otlp_http_connections:
            # Those beyond the limit are told so once their headers are here; this is beyond that too.
            transport.abort()
        self._give(self._settings.otlp_http_header_timeout_s)

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._deadline, self._write_deadline, self.timeout_keep_alive_task):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._deadline is None:
            self._give(self._settings.otlp_http_header_timeout_s)
        self._unset_keepalive_if_required()
        self._overhead += len(data)
        try:
            self._feed(data)
        except httptools.HttpParserError:
            self._give_up(HTTPStatus.BAD_REQUEST, "this is no HTTP/1.1 request")
            return
        if self._overhead > _MAX_OVERHEAD:
            message = f"the headers are larger than {_MAX_OVERHEAD} bytes"
            self._give_up(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, message)

    def _feed(self, data: bytes) -> None:
        while data:
            try:
                self.parser.feed_data(data)
                data = b""
            except httptools.HttpParserUpgrade as upgrade:
                # httptools ends such a request after its headers, as if it had no body. Clients that offer
                # HTTP/2 in this way, as Java's does, expect the offer to be ignored.
                data = self._head_without_upgrade() + data[upgrade.args[0] :]
                self.parser = httptools.HttpRequestParser(self)

    def _head_without_upgrade(self) -> bytes:
        method = self.parser.get_method()
        if method == b"CONNECT":
            raise httptools.HttpParserInvalidMethodError("no proxy is here")
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (method, self.url, version)]
        lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    def on_header(self, name: bytes, value: bytes) -> None:
        # What comes after a chunked body are trailers, which nobody may take for headers.
        if self._in_headers:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._in_headers = False
        self._overhead = 0
        self._give(self._settings.otlp_http_body_timeout_s)
        super().on_headers_complete()
        if len(self.pipeline) > _MAX_PIPELINED:
            raise httptools.HttpParserError("too many requests at once")  # ends the parsing of those to come

    def on_body(self, body: bytes) -> None:
        self._overhead = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._in_headers = True
        self._overhead = 0
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._give(self._settings.otlp_http_header_timeout_s)

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._give(self._settings.otlp_http_header_timeout_s)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_deadline = self.loop.call_later(
            self._settings.otlp_http_body_timeout_s, self.transport.abort
        )

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_deadline is not None:
            self._write_deadline.cancel()

    def _give(self, seconds: float) -> None:
        """Abort the connection unless it has come further after so many seconds."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(seconds, self.transport.abort)

    def _give_up(self, status: HTTPStatus, message: str) -> None:
        """Answer what is no request, and close."""
        body = encode(Status(code=Code.INVALID_ARGUMENT, message=message), PROTOBUF)
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: {PROTOBUF}\r\n"
        head += f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        self.transport.write(head.encode() + body)
        self.transport.close()
        self._give(self._settings.otlp_http_header_timeout_s)
