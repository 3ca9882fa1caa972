"""From finished spans to the collector: one processor for a provider, with a queue and a time to exit in."""

import os
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

from opentelemetry.context import Context
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from spanledger.instrumentation.collected import settle
from spanledger.instrumentation.context import ambient
from spanledger.instrumentation.quiet import quietly, say_once, warn_once
from spanledger.schemas import attributes as names

# A process must not wait longer than this for a collector that is away or does not answer.
EXIT_MILLIS = 3_000
# A collector answers with a few bytes.
_ANSWER_LIMIT = 65_536

Signal = Literal["traces", "logs"]


class LedgerProcessor(SpanProcessor):
    """Gives every span what its context says of session, user, tags and metadata, and exports it if asked.

    It stays with its provider for good, because a provider cannot let go of a processor: `active` turns
    it off.
    """

    def __init__(self, exporter: SpanExporter | None = None) -> None:
        self.active = True
        self._batch = BoundedSpans(exporter) if exporter is not None else None

    @property
    def exports(self) -> bool:
        return self._batch is not None

    def start_exporting(self, exporter: SpanExporter) -> None:
        if self._batch is None:
            self._batch = BoundedSpans(exporter)

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
        settle()
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


class Dropped(NamedTuple):
    """Spans and events that were lost since the process began, and where."""

    # More was recorded than could be sent: the queue holds OTEL_BSP_MAX_QUEUE_SIZE spans.
    queue_full: int
    # The collector was away, refused them, or did not answer before the process ended.
    not_delivered: int


class _Losses:
    """The counts behind `dropped`; a process that is forked begins with none."""

    def __init__(self) -> None:
        self._begin()
        if hasattr(os, "register_at_fork"):
            # A lock that another thread holds while forking would stay locked in the child.
            os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self.counts = Dropped(0, 0)

    def add(self, *, queue_full: int = 0, not_delivered: int = 0) -> None:
        with self._lock:
            before = self.counts
            self.counts = Dropped(before.queue_full + queue_full, before.not_delivered + not_delivered)
        if queue_full:
            say_once("more is recorded than the collector takes, so spans are lost; dropped() counts them")
        if not_delivered:
            say_once("the collector is away or refuses spans, so they are lost; dropped() counts them")


_losses = _Losses()


def dropped() -> Dropped:
    """How many spans and events of this process never reached the collector; each kind is logged once."""
    return _losses.counts


class _Bounded:
    """What our batch processors do otherwise than the SDK's: count what is lost, bound the time to exit."""

    _batch_processor: Any

    def is_full(self) -> bool:
        # Asked before the SDK is: it would log every loss, and drop what was recorded first.
        inner = self._batch_processor
        full: bool = len(inner._queue) >= inner._max_queue_size  # noqa: SLF001 - it has no public word for it
        if full:
            _losses.add(queue_full=1)
        return full

    def shutdown(self) -> None:
        inner = self._batch_processor
        try:
            inner.shutdown(timeout_millis=EXIT_MILLIS)
        except (AttributeError, TypeError) as reason:
            warn_once("bounding the time to exit", reason)
            inner.shutdown()
        unsent = len(inner._queue)  # noqa: SLF001
        give_up = getattr(inner._exporter, "give_up", None)  # noqa: SLF001
        unsent += give_up() if callable(give_up) else 0
        if unsent:
            _losses.add(not_delivered=unsent)


class BoundedSpans(_Bounded, BatchSpanProcessor):
    """Spans, in a bounded queue."""

    def on_end(self, span: ReadableSpan) -> None:
        if not self.is_full():
            super().on_end(span)


class BoundedEvents(_Bounded, BatchLogRecordProcessor):
    """Log records, in a bounded queue."""

    def on_emit(self, log_record: Any) -> None:
        if not self.is_full():
            super().on_emit(log_record)


class ProcessExporter(SpanExporter):
    """An OTLP exporter of spans or log records that is made anew in a process forked from this one."""

    def __init__(
        self,
        endpoint: str | None = None,
        headers: Mapping[str, str] | None = None,
        signal: Signal = "traces",
    ) -> None:
        self._make = partial(_otlp_exporter, signal, endpoint, dict(headers or {}))
        # Made now and not with the first spans: those may leave at exit, when no import can start a thread.
        self._exporter = self._make()
        self._pid = os.getpid()
        self._closed = False
        self._sending = 0

    def export(self, spans: Sequence[Any]) -> Any:
        if self._closed:
            return SpanExportResult.FAILURE
        if self._pid != os.getpid():
            self._exporter, self._pid = self._make(), os.getpid()
        self._sending = len(spans)
        delivered = False
        try:
            result = self._exporter.export(spans)
            # The results of spans and of log records are two enumerations with the same names.
            delivered = getattr(result, "name", "") == "SUCCESS"
            return result
        finally:
            lost = 0 if delivered else self.give_up()
            self._sending = 0
            if lost:
                _losses.add(not_delivered=lost)

    def give_up(self) -> int:
        """How many are being sent and were not given up before: nobody waits for them any more."""
        lost, self._sending = self._sending, 0
        return lost

    def shutdown(self) -> None:
        self._closed = True
        if self._pid == os.getpid():
            self._exporter.shutdown()


def exporter_for(
    endpoint: str | None, headers: Mapping[str, str] | None, signal: Signal = "traces"
) -> ProcessExporter | None:
    """An exporter to this address or to the one the OTEL_* variables name; None if they switch export off."""
    switched = os.environ.get("OTEL_TRACES_EXPORTER" if signal == "traces" else "OTEL_LOGS_EXPORTER", "")
    if endpoint is None and switched.strip().lower() == "none":
        return None
    return ProcessExporter(_with_scheme(endpoint), headers, signal)


def _with_scheme(endpoint: str | None) -> str | None:
    # Without a scheme the exporter would insist on TLS.
    return f"http://{endpoint}" if endpoint and "://" not in endpoint else endpoint


def _otlp_exporter(signal: Signal, endpoint: str | None, headers: Mapping[str, str]) -> Any:
    if _protocol(signal).startswith("http"):
        http = _http_exporter(signal, endpoint, headers)
        if http is not None:
            return http
    metadata = tuple((key.lower(), value) for key, value in headers.items()) or None
    if signal == "logs":
        from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter

        return OTLPLogExporter(endpoint=endpoint, headers=metadata)
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=endpoint, headers=metadata)


def _protocol(signal: Signal) -> str:
    general = os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    names_of = {
        "traces": "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        "logs": "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL",
    }
    return os.environ.get(names_of[signal], general).strip().lower()


def _http_exporter(signal: Signal, endpoint: str | None, headers: Mapping[str, str]) -> Any:
    try:
        from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError:
        warn_once("exporting over HTTP", "the OTLP HTTP exporter is not installed, so gRPC is used")
        return None
    kind: Any = OTLPLogExporter if signal == "logs" else OTLPSpanExporter
    address = endpoint and f"{endpoint.rstrip('/')}/v1/{signal}"
    return kind(endpoint=address, headers=dict(headers), session=_session())


def _session() -> Any:
    """A session that goes where it was sent, and does not read what a collector would never answer."""
    import requests

    class Session(requests.Session):
        def request(self, *args: Any, **kwargs: Any) -> requests.Response:
            # A redirect would take our headers, with the key in them, to another host.
            response = super().request(*args, **{**kwargs, "allow_redirects": False, "stream": True})
            if 300 <= response.status_code < 400:
                response.close()
                # The exporter takes whatever is below 400 for success.
                raise requests.TooManyRedirects(f"{response.status_code} of {response.url} is not followed")
            length = response.headers.get("content-length", "")
            if not length.isdecimal() or int(length) > _ANSWER_LIMIT:
                response.close()
                response._content = b""  # noqa: SLF001 - so that nobody reads the rest
            return response

    return Session()
