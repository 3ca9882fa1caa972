"""collector.store: bytes of requests become rows, all or none."""

from __future__ import annotations

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


def test_a_request_becomes_rows_of_spans(ingest, reader, project):
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id, span.name = b"t" * 16, b"s" * 8, "hello"
    span.start_time_unix_nano, span.end_time_unix_nano = 1_700_000_000_000_000_000, 1_700_000_000_500_000_001
    ingest(request)
    rows = reader.query(
        "SELECT name, duration_ns, role, cost_usd, cost_reason FROM spans FINAL WHERE project = {p:String}",
        parameters={"p": project},
    ).result_rows
    assert rows == [("hello", 500_000_001, "OTHER", None, "")]
