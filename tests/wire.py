"""HTTP/1.1 as bytes on a socket, for requests that no client library would send."""

from __future__ import annotations

import socket
import ssl
from typing import NamedTuple, Self


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Wire:
    """A connection to a port of this machine; ten seconds without a byte are a failure."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._socket.close()

    def secure(self, context: ssl.SSLContext) -> None:
        """From here on TLS."""
        self._file.close()
        self._socket = context.wrap_socket(self._socket, server_hostname="localhost")
        self._file = self._socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def head(self, *headers: str, path: str = "/v1/traces", method: str = "POST") -> None:
        """Send a request as far as the end of its headers, protobuf unless they say otherwise."""
        lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
        if not any(header.lower().startswith("content-type") for header in headers):
            lines.append("Content-Type: application/x-protobuf")
        self.send("\r\n".join([*lines, *headers, "", ""]).encode())

    def answer(self) -> Answer:
        status = int(self._file.readline().split()[1])
        headers = {}
        while line := self._file.readline().decode().strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return Answer(status, headers, self._file.read(int(headers.get("content-length", 0))))

    def rest(self) -> bytes:
        """What comes until the server closes the connection."""
        try:
            return self._file.read()
        except (ConnectionResetError, ssl.SSLError):
            return b""


def chunk(data: bytes) -> bytes:
    """A piece of a chunked body; an empty one ends it."""
    return b"%x\r\n%b\r\n" % (len(data), data)
