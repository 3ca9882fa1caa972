"""The view otel_traces: our spans under the names of the OpenTelemetry Collector's ClickHouse exporter."""

from __future__ import annotations

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

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
