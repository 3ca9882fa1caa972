-- Log records, beside the spans: several instrumentations send prompts, completions and the results of
-- evaluations as events. A record has no identity of its own in OTLP, so `id` is a hash of what was sent:
-- the same record sent twice is one. Attributes stand as in `spans`, so that a span's content can come from
-- either.

CREATE TABLE IF NOT EXISTS logs
(
    project LowCardinality(String),
    time DateTime64(9, 'UTC') COMMENT 'when it happened; where that is not said, when it was observed' CODEC(Delta(8), ZSTD(1)),
    observed_time DateTime64(9, 'UTC') COMMENT '1970: not said' CODEC(Delta(8), ZSTD(1)),
    id FixedString(16) COMMENT 'XXH3 of the record, its scope and its resource, as sent',
    trace_id FixedString(16) COMMENT 'zeros: of no trace',
    span_id FixedString(8) COMMENT 'zeros: of no span',
    flags UInt32,
    severity_number Int32 COMMENT 'as sent: 1-4 trace, 5-8 debug, 9-12 info, 13-16 warn, 17-20 error, 21-24 fatal; 0 not said',
    severity_text LowCardinality(String),
    event_name LowCardinality(String) COMMENT 'of the record, else of its attribute event.name',
    body String COMMENT 'JSON text, whatever it is: a string is quoted; empty: none' CODEC(ZSTD(1)),
    service LowCardinality(String),
    scope_name LowCardinality(String),
    scope_version LowCardinality(String),

    -- As in `spans`.
    attributes_string Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    attributes_int Map(LowCardinality(String), Int64),
    attributes_double Map(LowCardinality(String), Float64),
    attributes_bool Map(LowCardinality(String), Bool),
    attributes_json Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    content_string Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    content_json Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    dropped_attributes_count UInt32,
    resource_attributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    resource_schema_url LowCardinality(String),
    resource_dropped_attributes_count UInt32,
    scope_attributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    scope_schema_url LowCardinality(String),
    scope_dropped_attributes_count UInt32,

    received_at DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    attributes_cut Array(LowCardinality(String)) COMMENT 'keys of attributes whose values were longer than the limit',

    INDEX by_trace trace_id TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(received_at)
PARTITION BY toDate(time)
ORDER BY (project, toStartOfHour(time), trace_id, span_id, time, id)
-- Merges as of the spans, see there.
SETTINGS min_bytes_for_wide_part = 67108864, vertical_merge_algorithm_min_rows_to_activate = 8192,
    min_parts_to_merge_at_once = 16, merge_max_block_size_bytes = 2000000,
    min_age_to_force_merge_seconds = 86400, min_age_to_force_merge_on_partition_only = 1;
