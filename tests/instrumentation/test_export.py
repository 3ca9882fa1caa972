"""Spans leave in the background, in a bounded queue, to the address that was asked for."""

from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from spanledger.instrumentation import export


@pytest.fixture(autouse=True)
def _no_otel_variables(monkeypatch):
    for name in ("ENDPOINT", "TRACES_ENDPOINT", "PROTOCOL", "TRACES_PROTOCOL", "HEADERS", "INSECURE"):
        monkeypatch.delenv(f"OTEL_EXPORTER_OTLP_{name}", raising=False)
    monkeypatch.delenv("OTEL_TRACES_EXPORTER", raising=False)


@pytest.mark.parametrize(
    ("endpoint", "variables", "address", "insecure"),
    [
        (None, {}, "localhost:4317", True),
        ("http://c:1", {}, "c:1", True),
        ("c:1", {}, "c:1", True),
        ("https://c:1", {}, "c:1", False),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://e:2"}, "e:2", True),
        ("http://c:1", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://e:2"}, "c:1", True),
    ],
)
def test_where_spans_go(monkeypatch, endpoint, variables, address, insecure):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    exporter = export.exporter_for(endpoint, {"X-Api-Key": "secret"})
    inner: Any = exporter._exporter
    assert isinstance(inner, GrpcExporter)
    assert (inner._endpoint, inner._insecure) == (address, insecure)
    assert ("x-api-key", "secret") in inner._headers
    exporter.shutdown()
    assert exporter.export(()) is SpanExportResult.FAILURE


def test_the_http_protocol_is_honoured_where_its_exporter_is_installed(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    exporter = export.exporter_for("http://c:4318/", None)
    inner: Any = exporter._exporter
    assert isinstance(inner, HttpExporter)
    assert inner._endpoint == "http://c:4318/v1/traces"
    exporter.shutdown()


def test_export_can_be_switched_off_by_the_environment_but_not_against_an_explicit_endpoint(monkeypatch):
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    assert export.exporter_for(None, None) is None
    asked_for = export.exporter_for("http://c:1", None)
    assert asked_for is not None
    asked_for.shutdown()


class Stuck(SpanExporter):
    """Takes the first batch and never comes back until it is let go."""

    def __init__(self) -> None:
        import threading

        self.let_go = threading.Event()
        self.taken = threading.Event()

    def export(self, spans: Any) -> SpanExportResult:
        self.taken.set()
        self.let_go.wait(20)
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self.let_go.set()


def test_with_a_stuck_collector_the_queue_stays_bounded_and_shutdown_gives_up(monkeypatch):
    import time

    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "64")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8")
    monkeypatch.setattr(export, "EXIT_MILLIS", 300)
    stuck = Stuck()
    processor = export.LedgerProcessor(stuck)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("t")
    for _number in range(8):
        tracer.start_span("s").end()
    assert stuck.taken.wait(5)
    started = time.monotonic()
    for _number in range(500):
        tracer.start_span("s").end()
    assert len(processor._batch._batch_processor._queue) == 64
    assert time.monotonic() - started < 1
    provider.shutdown()
    assert time.monotonic() - started < 3
