"""A sender of OTLP over gRPC for tests: bytes in, the server's answer out, errors as values."""

from __future__ import annotations

from typing import NamedTuple, Self

import grpc
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


class Answer(NamedTuple):
    """What came back: the code's name, the words with it, how many spans were refused, and the trailers."""

    code: str
    message: str
    rejected: int
    trailers: dict[str, bytes | str]

    @property
    def delays(self) -> list[float]:
        """The seconds to wait, from the bare trailer and from the status details, in that order."""
        bare = self.trailers.get("google.rpc.retryinfo-bin")
        found = [_seconds(RetryInfo.FromString(bare))] if isinstance(bare, bytes) else []
        details = self.trailers.get("grpc-status-details-bin")
        return found + (_delays(Status.FromString(details)) if isinstance(details, bytes) else [])


def _delays(status: Status) -> list[float]:
    infos = [RetryInfo() for _ in status.details]
    return [_seconds(info) for info, detail in zip(infos, status.details, strict=True) if detail.Unpack(info)]


def _seconds(info: RetryInfo) -> float:
    return info.retry_delay.ToMilliseconds() / 1000


class Sender:
    """A channel to one server."""

    def __init__(
        self,
        port: int,
        *,
        key: str | None = None,
        gzip: bool = False,
        metadata: tuple[tuple[str, str], ...] = (),
    ) -> None:
        # Channels of one process share a connection otherwise, and after a restart its back-off.
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1)]
        self._channel = grpc.insecure_channel(
            f"127.0.0.1:{port}", options, grpc.Compression.Gzip if gzip else grpc.Compression.NoCompression
        )
        self._metadata = ((("authorization", f"Bearer {key}"),) if key else ()) + metadata

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def send(
        self, sent: bytes | ExportTraceServiceRequest, *, method: str = EXPORT, timeout: float = 30
    ) -> Answer:
        """The answer to a request, given as a message or as bytes."""
        body = sent if isinstance(sent, bytes) else sent.SerializeToString()
        call = self._channel.unary_unary(method, None, ExportTraceServiceResponse.FromString)
        try:
            answer, ended = call.with_call(body, timeout, self._metadata)
        except grpc.RpcError as error:
            return Answer(error.code().name, error.details(), 0, dict(error.trailing_metadata() or ()))
        partial = answer.partial_success
        assert answer.HasField("partial_success") == bool(partial.rejected_spans or partial.error_message)
        return Answer(
            "OK", partial.error_message, partial.rejected_spans, dict(ended.trailing_metadata() or ())
        )
