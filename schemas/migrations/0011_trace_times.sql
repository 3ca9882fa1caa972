-- When the spans of a trace start: bounds, so that a trace is found by its id without asking every day's index.
-- Written before the spans themselves, so that they never are too narrow; they may be too wide, where spans
-- were not stored after all, were deleted, or belong to another project's trace of the same id.

CREATE TABLE IF NOT EXISTS trace_times
(
    trace_id FixedString(16),
    first SimpleAggregateFunction(min, DateTime64(9, 'UTC')),
    last SimpleAggregateFunction(max, DateTime64(9, 'UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY trace_id
SETTINGS min_bytes_for_wide_part = 67108864, index_granularity = 1024;
INSERT INTO trace_times
SELECT trace_id, min(start_time), max(start_time) FROM spans GROUP BY trace_id
SETTINGS max_bytes_before_external_group_by = 268435456;

-- The companion of otel_traces, which the exporter keeps so that a trace is found by its id within its time.
CREATE VIEW IF NOT EXISTS otel_traces_trace_id_ts AS
SELECT lower(hex(trace_id)) AS TraceId, toDateTime(min(first), 'UTC') AS Start, toDateTime(max(last), 'UTC') AS End
FROM trace_times
GROUP BY trace_id;
