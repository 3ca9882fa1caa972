"""OTLP over gRPC: TraceService/Export on raw bytes, so that nothing is decoded twice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from hmac import compare_digest
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from spanledger.collector.ingest import Ingest
from spanledger.schemas.errors import Busy, Misconfigured, SpanledgerError
from spanledger.schemas.settings import Settings

_TRACE_SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
_Handler = Callable[[Any], Awaitable[Any]]


class GrpcReceiver:
    """A gRPC server with the OTLP trace service on settings.grpc_listen."""

    def __init__(self, ingest: Ingest, settings: Settings) -> None:
        self._ingest = ingest
        self._settings = settings
        key = settings.api_key.get_secret_value() if settings.api_key else None
        self._server = grpc.aio.server(
            interceptors=[_KeyCheck(key)] if key else [],
            options=[
                # Counted after decompression by grpc itself, which answers RESOURCE_EXHAUSTED.
                ("grpc.max_receive_message_length", settings.max_request_bytes),
                ("grpc.so_reuseport", 0),
            ],
        )
        handlers = {"Export": grpc.unary_unary_rpc_method_handler(self._export)}
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(_TRACE_SERVICE, handlers),)
        )

    async def start(self) -> int:
        """Listen; return the port. Raises Misconfigured where the address cannot be had."""
        try:
            port = self._server.add_insecure_port(self._settings.grpc_listen)
        except RuntimeError as error:
            raise Misconfigured(
                f"SPANLEDGER_GRPC_LISTEN={self._settings.grpc_listen}: cannot listen there (in use?)"
            ) from error
        await self._server.start()
        return int(port)

    async def stop(self, grace_s: float) -> None:
        """Take no new calls; give those under way `grace_s` seconds."""
        await self._server.stop(grace_s)

    async def _export(self, body: bytes, context: Any) -> bytes:
        try:
            written = await self._ingest.write(body, project=self._settings.project)
        except SpanledgerError as error:
            await _abort(context, error)
            raise  # abort raises; this is for the reader
        if not written.rejected:
            return b""  # an ExportTraceServiceResponse with partial_success unset
        answer = ExportTraceServiceResponse()
        answer.partial_success.rejected_spans = written.rejected
        answer.partial_success.error_message = written.message
        return bytes(answer.SerializeToString())


async def _abort(context: Any, error: SpanledgerError) -> None:
    code = grpc.StatusCode[error.grpc_code]
    trailers: tuple[tuple[str, bytes], ...] = ()
    if isinstance(error, Busy):
        trailers = _retry_trailers(code, error)
    await context.abort(code, str(error), trailing_metadata=trailers)


def _retry_trailers(code: grpc.StatusCode, error: Busy) -> tuple[tuple[str, bytes], ...]:
    """The delay in both places: Go and Java read the status details, Python's exporter the bare RetryInfo."""
    info = RetryInfo(retry_delay=Duration(nanos=0))
    info.retry_delay.FromNanoseconds(int(error.retry_after_s * 1e9))
    status = Status(code=code.value[0], message=str(error))
    detail = AnyMessage()
    detail.Pack(info)
    status.details.append(detail)
    return (
        ("google.rpc.retryinfo-bin", info.SerializeToString()),
        ("grpc-status-details-bin", status.SerializeToString()),
    )


class _KeyCheck(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc ships no types
    """Refuses every call without the key, before its body is read."""

    def __init__(self, key: str) -> None:
        self._key = key.encode()

    async def intercept_service(self, continuation: _Handler, handler_call_details: Any) -> Any:
        for name, value in handler_call_details.invocation_metadata:
            if name == "authorization" and self._is_key(value):
                return await continuation(handler_call_details)
        return grpc.unary_unary_rpc_method_handler(_refuse)

    def _is_key(self, value: str) -> bool:
        scheme, _, key = value.partition(" ")
        return scheme.lower() == "bearer" and compare_digest(key.strip().encode(), self._key)


async def _refuse(_body: bytes, context: Any) -> bytes:
    await context.abort(grpc.StatusCode.UNAUTHENTICATED, "a key is needed: authorization: Bearer KEY")
    return b""
