"""The view otel_traces: our spans under the names of the OpenTelemetry Collector's ClickHouse exporter."""

from __future__ import annotations

import secrets
import time

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from otlp_requests import request, span

START = 1_790_000_000_123_456_789
# Names and types of the exporter's table (opentelemetry-collector-contrib, clickhouseexporter, traces).
EXPORTER_COLUMNS = {
    "Timestamp": "DateTime64(9, 'UTC')",
    "TraceId": "String",
    "SpanId": "String",
    "ParentSpanId": "String",
    "TraceState": "String",
    "SpanName": "LowCardinality(String)",
    "SpanKind": "LowCardinality(String)",
    "ServiceName": "LowCardinality(String)",
    "ResourceAttributes": "Map(LowCardinality(String), String)",
    "ScopeName": "LowCardinality(String)",
    "ScopeVersion": "LowCardinality(String)",
    "SpanAttributes": "Map(LowCardinality(String), String)",
    "Duration": "UInt64",
    "StatusCode": "LowCardinality(String)",
    "StatusMessage": "String",
    "Events.Timestamp": "Array(DateTime64(9, 'UTC'))",
    "Events.Name": "Array(LowCardinality(String))",
    "Events.Attributes": "Array(Map(LowCardinality(String), String))",
    "Links.TraceId": "Array(String)",
    "Links.SpanId": "Array(String)",
    "Links.TraceState": "Array(String)",
    "Links.Attributes": "Array(Map(LowCardinality(String), String))",
}


def test_the_columns_are_those_of_the_exporter(reader):
    rows = reader.query("DESCRIBE TABLE otel_traces").result_rows
    assert {row[0]: row[1] for row in rows} == EXPORTER_COLUMNS


def test_a_span_reads_as_the_exporter_would_have_stored_it(ingest, reader):
    trace_id = bytes.fromhex("0af7651916cd43dd8448eb211c80319c")
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    resource_spans.resource.attributes.add(key="service.name").value.string_value = "shop"
    resource_spans.resource.attributes.add(key="process.pid").value.int_value = 7
    scope_spans = resource_spans.scope_spans.add()
    scope_spans.scope.name = "library"
    span = scope_spans.spans.add(
        trace_id=trace_id, span_id=b"child---", parent_span_id=b"parent--", name="GET", kind=3
    )
    span.start_time_unix_nano, span.end_time_unix_nano = START, START + 5
    span.status.code, span.status.message = 2, "refused"
    span.attributes.add(key="text").value.string_value = 'a "quoted" word'
    span.attributes.add(key="count").value.int_value = 3
    span.attributes.add(key="ratio").value.double_value = 0.5
    span.attributes.add(key="flag").value.bool_value = True
    span.attributes.add(key="list").value.array_value.values.add().string_value = "x"
    span.attributes.add(key="gen_ai.input.messages").value.string_value = "[]"
    event = span.events.add(time_unix_nano=START + 1, name="exception")
    event.attributes.add(key="exception.type").value.string_value = "Timeout"
    link = span.links.add(trace_id=trace_id, span_id=b"linked--")
    link.attributes.add(key="n").value.int_value = 1
    ingest(request)
    ingest(request)

    rows = reader.query(
        "SELECT * EXCEPT (Timestamp, `Events.Timestamp`), toUnixTimestamp64Nano(Timestamp) AS ns "
        "FROM otel_traces WHERE TraceId = {id:String}",
        parameters={"id": trace_id.hex()},
    )
    assert list(rows.named_results()) == [
        {
            "TraceId": trace_id.hex(),
            "SpanId": b"child---".hex(),
            "ParentSpanId": b"parent--".hex(),
            "TraceState": "",
            "SpanName": "GET",
            "SpanKind": "Client",
            "ServiceName": "shop",
            "ResourceAttributes": {"service.name": "shop", "process.pid": "7"},
            "ScopeName": "library",
            "ScopeVersion": "",
            "SpanAttributes": {
                "text": 'a "quoted" word',
                "count": "3",
                "ratio": "0.5",
                "flag": "true",
                "list": '["x"]',
                "gen_ai.input.messages": "[]",
            },
            "Duration": 5,
            "StatusCode": "Error",
            "StatusMessage": "refused",
            "Events.Name": ["exception"],
            "Events.Attributes": [{"exception.type": "Timeout"}],
            "Links.TraceId": [trace_id.hex()],
            "Links.SpanId": [b"linked--".hex()],
            "Links.TraceState": [""],
            "Links.Attributes": [{"n": "1"}],
            "ns": START,
        }
    ]


# The questions that the exporter's README asks of its traces, about spans of the last hour; in each the
# columns that it names.
COLUMNS = """Timestamp, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName, Duration, StatusCode,
    StatusMessage, toString(SpanAttributes), toString(ResourceAttributes), toString(Events.Name),
    toString(Links.TraceId)"""
OF_SERVICE = f"""SELECT {COLUMNS} FROM otel_traces
WHERE ServiceName = {{service:String}} AND @CONDITION@ AND Timestamp >= NOW() - INTERVAL 1 HOUR LIMIT 100"""
OF_TRACE = f"""WITH {{trace:String}} AS trace_id,
    (SELECT min(Start) FROM otel_traces_trace_id_ts WHERE TraceId = trace_id) AS start,
    (SELECT max(End) + 1 FROM otel_traces_trace_id_ts WHERE TraceId = trace_id) AS end
SELECT {COLUMNS} FROM otel_traces
WHERE TraceId = trace_id AND Timestamp >= start AND Timestamp <= end LIMIT 100"""


@pytest.fixture
def recent(ingest):
    """A service with a call of another service, an error and a slow span; each a trace of its own."""
    service = f"exporter-{secrets.token_hex(4)}"
    spans = {
        "calls": span(name="calls", attributes={"peer.service": "telemetrygen-server"}),
        "fails": span(name="fails", status=Status(code=2)),
        "slow": span(name="slow", end_time_unix_nano=time.time_ns()),
    }
    ingest(request(*spans.values(), resource={"service.name": service}))
    return service, spans


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("SpanAttributes['peer.service'] = 'telemetrygen-server'", "calls"),
        ("StatusCode = 'Error'", "fails"),
        ("Duration > 1 * 1e9", "slow"),
    ],
)
def test_what_the_exporters_readme_asks_of_a_service_is_answered(reader, recent, condition, found):
    service, _ = recent
    sql = OF_SERVICE.replace("@CONDITION@", condition)
    rows = reader.query(sql, parameters={"service": service}).result_rows
    assert [(row[4], row[6]) for row in rows] == [(found, service)]


def test_what_the_exporters_readme_asks_of_a_trace_is_answered(reader, recent):
    _, spans = recent
    trace_id = spans["slow"].trace_id.hex()
    rows = reader.query(OF_TRACE, parameters={"trace": trace_id}).result_rows
    assert [(row[1], row[4]) for row in rows] == [(trace_id, "slow")]
