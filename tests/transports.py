"""The three ways in, behind one face: a request is sent, the answer is held to OTLP's rules for its transport
and comes back in gRPC's words."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import httpx
from google.protobuf import json_format
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from otlp_json_printer import otlp_json
from otlp_sender import Sender
from processes import Ledger

PROTOBUF, JSON = "application/x-protobuf", "application/json"
# What a sender does next is the same for both of a pair.
_CODES = {
    200: "OK",
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    404: "UNIMPLEMENTED",
    413: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}


class Reply(NamedTuple):
    """A code of gRPC's, its words, how many spans were refused, and the delays that were asked for."""

    code: str
    message: str = ""
    rejected: int = 0
    delays: tuple[float, ...] = ()


class Transport(Protocol):
    """One way in. `send_body` takes a body in `encoding`."""

    name: str
    encoding: str

    def send_body(self, body: bytes) -> Reply: ...

    def send(self, request: ExportTraceServiceRequest) -> Reply:
        return self.send_body(encode(request, self.encoding))


class Grpc(Transport):
    name, encoding = "grpc", PROTOBUF

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def send_body(self, body: bytes) -> Reply:
        answer = self._sender.send(body, timeout=60)
        return Reply(answer.code, answer.message, answer.rejected, tuple(answer.delays))


class Http(Transport):
    def __init__(self, client: httpx.Client, encoding: str) -> None:
        self.encoding = encoding
        self.name = "http-json" if encoding == JSON else "http-protobuf"
        self.client = client

    def send_body(self, body: bytes, **headers: str) -> Reply:
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        return reply(post(self.client, body, self.encoding, **named))


@contextlib.contextmanager
def open_transports(ledger: Ledger) -> Iterator[dict[str, Transport]]:
    """All ways into a ledger, by their names."""
    with ledger.sender() as sender, http_client(ledger) as client:
        ways = (Grpc(sender), Http(client, PROTOBUF), Http(client, JSON))
        yield {way.name: way for way in ways}


def http_client(ledger: Ledger) -> httpx.Client:
    # To load the certificates of authorities takes longer than most tests here.
    return httpx.Client(base_url=ledger.otlp_http, trust_env=False, verify=False, timeout=60)


def post(client: httpx.Client, body: Any, encoding: str, **headers: str) -> httpx.Response:
    return client.post("/v1/traces", content=body, headers={"Content-Type": encoding} | headers)


def encode(request: ExportTraceServiceRequest, encoding: str) -> bytes:
    return json.dumps(otlp_json(request)).encode() if encoding == JSON else request.SerializeToString()


def reply(answer: httpx.Response) -> Reply:
    """What an answer of OTLP/HTTP says, which must be in the encoding of its request."""
    encoding = answer.request.headers["Content-Type"].partition(";")[0].strip().lower()
    assert answer.headers["Content-Type"].partition(";")[0] == encoding
    assert len(answer.content) < 4 * 1024 * 1024
    code = _CODES[answer.status_code]
    if code != "OK":
        status = _decoded(answer, Status())
        assert status.message
        delay = answer.headers.get("Retry-After")
        return Reply(code, status.message, 0, (float(delay),) if delay else ())
    response = _decoded(answer, ExportTraceServiceResponse())
    partial = response.partial_success
    assert response.HasField("partial_success") == bool(partial.rejected_spans or partial.error_message)
    return Reply(code, partial.error_message, partial.rejected_spans)


def _decoded(answer: httpx.Response, message: Any) -> Any:
    if answer.headers["Content-Type"].startswith(JSON):
        return json_format.Parse(answer.content, message)
    message.ParseFromString(answer.content)
    return message
