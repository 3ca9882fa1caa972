"""From finished spans to the collector: one processor for a provider, with a queue and a time to exit in."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from spanledger.instrumentation.context import ambient
from spanledger.instrumentation.quiet import quietly, warn_once
from spanledger.schemas import attributes as names

# A process must not wait longer than this for a collector that is away or does not answer.
EXIT_MILLIS = 3_000


class LedgerProcessor(SpanProcessor):
    """Gives every span what its context says of session, user, tags and metadata, and exports it if asked.

    It stays with its provider for good, because a provider cannot let go of a processor: `active` turns
    it off.
    """

    def __init__(self, exporter: SpanExporter | None = None) -> None:
        self.active = True
        self._batch = _BoundedBatchProcessor(exporter) if exporter is not None else None

    @property
    def exports(self) -> bool:
        return self._batch is not None

    def start_exporting(self, exporter: SpanExporter) -> None:
        if self._batch is None:
            self._batch = _BoundedBatchProcessor(exporter)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        if not self.active:
            return
        with quietly("reading the context of a span"):
            _describe(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        if self.active and self._batch is not None:
            self._batch.on_end(span)

    def shutdown(self) -> None:
        if self._batch is not None:
            with quietly("sending the last spans"):
                self._batch.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._batch is None or self._batch.force_flush(timeout_millis)


def _describe(span: Span, parent_context: Context | None) -> None:
    found = dict(ambient(parent_context))
    if not found:
        return
    present = span.attributes or {}
    if names.OPERATION_NAME in present and names.SESSION_ID in found:
        found[names.CONVERSATION_ID] = found[names.SESSION_ID]
    # What the application set on the span itself says more than what the context says.
    span.set_attributes({key: value for key, value in found.items() if key not in present})


class _BoundedBatchProcessor(BatchSpanProcessor):
    """A batch processor that gives up after `EXIT_MILLIS` at shutdown, where the SDK's own waits for 30 s."""

    def shutdown(self) -> None:
        inner: Any = getattr(self, "_batch_processor", None)
        try:
            inner.shutdown(timeout_millis=EXIT_MILLIS)
        except (AttributeError, TypeError) as reason:
            warn_once("bounding the time to exit", reason)
            super().shutdown()  # type: ignore[no-untyped-call]


class ProcessExporter(SpanExporter):
    """An OTLP exporter that is made anew in a process forked from this one."""

    def __init__(self, endpoint: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        self._endpoint = endpoint
        self._headers = dict(headers or {})
        # Made now and not with the first spans: those may leave at exit, when no import can start a thread.
        self._exporter = _otlp_exporter(endpoint, self._headers)
        self._pid = os.getpid()
        self._closed = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self._closed:
            return SpanExportResult.FAILURE
        if self._pid != os.getpid():
            self._exporter, self._pid = _otlp_exporter(self._endpoint, self._headers), os.getpid()
        return self._exporter.export(spans)

    def shutdown(self) -> None:
        self._closed = True
        if self._pid == os.getpid():
            self._exporter.shutdown()


def exporter_for(endpoint: str | None, headers: Mapping[str, str] | None) -> SpanExporter | None:
    """An exporter to this address or to the one the OTEL_* variables name; None if they switch export off."""
    if endpoint is None and os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none":
        return None
    return ProcessExporter(_with_scheme(endpoint), headers)


def _with_scheme(endpoint: str | None) -> str | None:
    # Without a scheme the exporter would insist on TLS.
    return f"http://{endpoint}" if endpoint and "://" not in endpoint else endpoint


def _otlp_exporter(endpoint: str | None, headers: Mapping[str, str]) -> SpanExporter:
    if _protocol().startswith("http"):
        http = _http_exporter(endpoint, headers)
        if http is not None:
            return http
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    metadata = tuple((key.lower(), value) for key, value in headers.items()) or None
    return OTLPSpanExporter(endpoint=endpoint, headers=metadata)


def _protocol() -> str:
    general = os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    return os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", general).strip().lower()


def _http_exporter(endpoint: str | None, headers: Mapping[str, str]) -> SpanExporter | None:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError:
        warn_once("exporting over HTTP", "the OTLP HTTP exporter is not installed, so gRPC is used")
        return None
    return OTLPSpanExporter(endpoint=endpoint and f"{endpoint.rstrip('/')}/v1/traces", headers=dict(headers))
