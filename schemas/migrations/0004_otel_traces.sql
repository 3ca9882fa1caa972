-- The ledger under the column names and types of the OpenTelemetry Collector's ClickHouse exporter, so
-- that dashboards made for its table read our spans. Duplicates are merged (FINAL).

CREATE VIEW IF NOT EXISTS otel_traces AS
WITH
    -- A string without its quotes, everything else as its JSON text.
    (v -> if(startsWith(v, '"'), JSONExtractString(v), v)) AS plain
SELECT
    start_time AS Timestamp,
    lower(hex(trace_id)) AS TraceId,
    lower(hex(span_id)) AS SpanId,
    if(parent_span_id = toFixedString('', 8), '', lower(hex(parent_span_id))) AS ParentSpanId,
    trace_state AS TraceState,
    name AS SpanName,
    toLowCardinality(transform(kind, [1, 2, 3, 4, 5], ['Internal', 'Server', 'Client', 'Producer', 'Consumer'], 'Unspecified')) AS SpanKind,
    service AS ServiceName,
    CAST(mapApply((k, v) -> (k, plain(v)), resource_attributes), 'Map(LowCardinality(String), String)') AS ResourceAttributes,
    scope_name AS ScopeName,
    scope_version AS ScopeVersion,
    CAST(mapConcat(
        attributes_string,
        mapApply((k, v) -> (k, toString(v)), attributes_int),
        mapApply((k, v) -> (k, toString(v)), attributes_double),
        mapApply((k, v) -> (k, toString(v)), attributes_bool),
        attributes_json, content_string, content_json), 'Map(LowCardinality(String), String)') AS SpanAttributes,
    duration_ns AS Duration,
    toLowCardinality(transform(status_code, [1, 2], ['Ok', 'Error'], 'Unset')) AS StatusCode,
    status_message AS StatusMessage,
    `events.time` AS `Events.Timestamp`,
    `events.name` AS `Events.Name`,
    arrayMap(a -> CAST(mapApply((k, v) -> (k, plain(v)), a), 'Map(LowCardinality(String), String)'), `events.attributes`) AS `Events.Attributes`,
    arrayMap(i -> lower(hex(i)), `links.trace_id`) AS `Links.TraceId`,
    arrayMap(i -> lower(hex(i)), `links.span_id`) AS `Links.SpanId`,
    `links.trace_state` AS `Links.TraceState`,
    arrayMap(a -> CAST(mapApply((k, v) -> (k, plain(v)), a), 'Map(LowCardinality(String), String)'), `links.attributes`) AS `Links.Attributes`
FROM spans FINAL;
