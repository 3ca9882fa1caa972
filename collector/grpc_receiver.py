"""OTLP over gRPC: Export of every signal's service on raw bytes, so that nothing is decoded twice."""

from __future__ import annotations

from typing import Any

import grpc

from spanledger.collector import answers
from spanledger.collector.ingest import Ingest
from spanledger.collector.metrics import Metrics
from spanledger.collector.signals import SIGNALS, Signal
from spanledger.schemas.errors import Busy, Misconfigured, SpanledgerError
from spanledger.schemas.keys import Keys
from spanledger.schemas.settings import Settings
from spanledger.schemas.tls import Tls

_BY_METHOD = {f"/{signal.grpc_service}/Export": signal for signal in SIGNALS}


class GrpcReceiver:
    """A gRPC server with every signal's service on settings.grpc_listen."""

    def __init__(
        self,
        ingest: Ingest,
        settings: Settings,
        metrics: Metrics,
        *,
        tls: Tls | None = None,
        keys: Keys | None = None,
    ) -> None:
        self._ingest = ingest
        self._settings = settings
        self._metrics = metrics
        self._tls = tls
        self._server = grpc.aio.server(
            options=[
                # Counted after decompression by grpc itself, which answers RESOURCE_EXHAUSTED.
                ("grpc.max_receive_message_length", settings.max_request_bytes),
                ("grpc.so_reuseport", 0),
            ],
        )
        self._server.add_generic_rpc_handlers((_Door(self, keys or Keys(settings)),))

    async def start(self) -> int:
        """Listen; return the port. Raises Misconfigured where the address cannot be had."""
        listen = self._settings.grpc_listen
        try:
            port = (
                self._server.add_insecure_port(listen)
                if self._tls is None
                else self._server.add_secure_port(listen, _credentials(self._tls))
            )
        except RuntimeError as error:
            raise Misconfigured(f"SPANLEDGER_GRPC_LISTEN={listen}: cannot listen there (in use?)") from error
        await self._server.start()
        return int(port)

    async def stop(self, grace_s: float) -> None:
        """Take no new calls; give those under way `grace_s` seconds."""
        await self._server.stop(grace_s)

    def export(self, signal: Signal, project: str) -> Any:
        """What takes one call's request of a signal, for a project."""

        async def export(body: bytes, context: Any) -> bytes:
            try:
                with self._metrics.answering("grpc") as answered:
                    written = await self._ingest.write(body, project=project, table=signal.table)
                    if written.rejected:
                        answered.outcome = "partial"
            except Exception as raised:  # noqa: BLE001  (grpc would tell the sender the text of any exception)
                refusal = _refusal(answers.refusal(raised))
            else:
                return answers.encode(answers.success(signal, written), answers.PROTOBUF)
            # grpc keeps what abort raises, and with it this frame, until the garbage collector comes by; the
            # request must not stay as long.
            del body
            await context.abort(*refusal)
            return b""  # abort raises; this is for the reader

        return grpc.unary_unary_rpc_method_handler(export)

    def refuse(self, error: SpanledgerError) -> Any:
        """What answers one call with an error, whatever it asked for."""
        outcome, refusal = error.grpc_code.lower(), _refusal(error)

        async def refuse(_body: bytes, context: Any) -> bytes:
            self._metrics.otlp_requests.labels("grpc", outcome).inc()
            await context.abort(*refusal)
            return b""

        return grpc.unary_unary_rpc_method_handler(refuse)


def _credentials(tls: Tls) -> Any:
    return grpc.ssl_server_credentials(
        [(tls.key, tls.certificate)],
        root_certificates=tls.client_ca,
        require_client_auth=tls.client_ca is not None,
    )


def _refusal(error: SpanledgerError) -> tuple[grpc.StatusCode, str, tuple[tuple[str, bytes], ...]]:
    """An error as a call's status, words and trailers."""
    trailers = _retry_trailers(error) if isinstance(error, Busy) else ()
    return grpc.StatusCode[error.grpc_code], answers.short(str(error)), trailers


def _retry_trailers(error: Busy) -> tuple[tuple[str, bytes], ...]:
    """The delay in both places: Go and Java read the status details, Python's exporter the bare RetryInfo."""
    return (
        ("google.rpc.retryinfo-bin", answers.retry_info(error).SerializeToString()),
        ("grpc-status-details-bin", answers.status(error).SerializeToString()),
    )


class _Door(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc ships no types
    """Finds what answers a call, before its body is read. Refused is, by whichever method, who has no key
    that may send.
    """

    def __init__(self, receiver: GrpcReceiver, keys: Keys) -> None:
        self._receiver = receiver
        self._keys = keys

    def service(self, handler_call_details: Any) -> Any:
        shown: dict[str, list[bytes]] = {"authorization": [], "x-api-key": []}
        for name, value in handler_call_details.invocation_metadata:
            if name in shown:
                shown[name].append(value.encode())
        try:
            project = self._keys.sender(*shown.values())
        except SpanledgerError as error:
            return self._receiver.refuse(error)
        signal = _BY_METHOD.get(handler_call_details.method)
        return None if signal is None else self._receiver.export(signal, project)
