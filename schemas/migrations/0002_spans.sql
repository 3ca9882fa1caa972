-- The ledger: one row a span. Identity is (project, trace_id, span_id, start_time); the newest
-- received_at wins. The hour in the sorting key makes a search by time read what it asks for, and the
-- trace id behind it keeps a trace's spans together.

CREATE TABLE IF NOT EXISTS spans
(
    project LowCardinality(String),
    trace_id FixedString(16),
    span_id FixedString(8),
    parent_span_id FixedString(8) COMMENT 'zeros: a root',
    trace_state String,
    flags UInt32,
    name LowCardinality(String),
    kind Int32 COMMENT 'as sent: 0 unspecified, 1 internal, 2 server, 3 client, 4 producer, 5 consumer',
    start_time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    end_time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    duration_ns UInt64 COMMENT '0 where the span ended before it started',
    status_code Int32 COMMENT 'as sent: 0 unset, 1 ok, 2 error',
    status_message String CODEC(ZSTD(1)),
    service LowCardinality(String),
    scope_name LowCardinality(String),
    scope_version LowCardinality(String),

    -- Attributes by type. attributes_json: JSON text of arrays, maps, bytes and values without a type.
    attributes_string Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    attributes_int Map(LowCardinality(String), Int64),
    attributes_double Map(LowCardinality(String), Float64),
    attributes_bool Map(LowCardinality(String), Bool),
    attributes_json Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    -- Prompts, completions and tool traffic: the attributes named in schemas/dialects.py, kept here only.
    content_string Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    content_json Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    -- The levels above and beside the span hold JSON text for every value: a string is quoted, a double
    -- has a point, so the type can be read from it.
    resource_attributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    resource_schema_url LowCardinality(String),
    resource_dropped_attributes_count UInt32,
    scope_attributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    scope_schema_url LowCardinality(String),
    scope_dropped_attributes_count UInt32,
    dropped_attributes_count UInt32,
    events Nested
    (
        time DateTime64(9, 'UTC'),
        name LowCardinality(String),
        attributes Map(LowCardinality(String), String),
        dropped_attributes_count UInt32
    ),
    dropped_events_count UInt32,
    links Nested
    (
        trace_id String,
        span_id String,
        trace_state String,
        flags UInt32,
        attributes Map(LowCardinality(String), String),
        dropped_attributes_count UInt32
    ),
    dropped_links_count UInt32,

    role LowCardinality(String) COMMENT 'LLM, EMBEDDING, TOOL, AGENT, WORKFLOW, RETRIEVER, FETCH or OTHER',
    operation LowCardinality(String),
    provider LowCardinality(String),
    request_model LowCardinality(String),
    response_model LowCardinality(String),
    response_id String CODEC(ZSTD(1)),
    conversation_id String CODEC(ZSTD(1)),
    user_id String CODEC(ZSTD(1)),
    tool_name LowCardinality(String),
    agent_name LowCardinality(String),
    experiment_id LowCardinality(String),
    error_type LowCardinality(String),
    tags Array(LowCardinality(String)),
    finish_reasons Array(LowCardinality(String)),
    time_to_first_chunk_s Nullable(Float64),

    -- Totals include their details: cached tokens are part of the input, reasoning is part of the output.
    input_tokens Nullable(UInt64),
    output_tokens Nullable(UInt64),
    cache_read_tokens Nullable(UInt64),
    cache_write_tokens Nullable(UInt64),
    reasoning_tokens Nullable(UInt64),
    input_audio_tokens Nullable(UInt64),
    output_audio_tokens Nullable(UInt64),

    cost_usd Nullable(Decimal(38, 18)) COMMENT 'NULL: unknown, for the reason in cost_reason',
    cost_input_usd Nullable(Decimal(38, 18)),
    cost_output_usd Nullable(Decimal(38, 18)),
    cost_source LowCardinality(String) COMMENT 'computed, reported or empty',
    cost_reason LowCardinality(String) COMMENT 'no_usage, no_model, unknown_model, unit_not_priced, impossible_usage, not_counted or empty',
    cost_reported_usd Nullable(Decimal(38, 18)),
    price_model LowCardinality(String) COMMENT 'the entry of the price list, provider:model',
    price_version LowCardinality(String),

    received_at DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    attributes_cut Array(LowCardinality(String)) COMMENT 'keys of attributes whose values were longer than the limit',

    input_messages String ALIAS if(mapContains(content_json, 'gen_ai.input.messages'), content_json['gen_ai.input.messages'], content_string['gen_ai.input.messages']),
    output_messages String ALIAS if(mapContains(content_json, 'gen_ai.output.messages'), content_json['gen_ai.output.messages'], content_string['gen_ai.output.messages']),

    -- A page of 50 traces asks for 50 ids at once, and each may err: one in a hundred would read half of all.
    INDEX by_trace trace_id TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(received_at)
PARTITION BY toDate(start_time)
ORDER BY (project, toStartOfHour(start_time), trace_id, span_id, start_time)
-- A wide part is some 300 files here, and creating them for every insert took a quarter of all processor
-- time: what an insert writes stays in one file. What merges make of it is wide, for only wide parts are
-- merged column by column, which takes half of the time of row by row.
-- The more parts each merge takes, the less often a row is rewritten; a day that is over becomes one part. A merge
-- holds a block of each of its parts in memory, so blocks are small.
-- A row is read with its granule: 2,048 rows are a compromise between one trace and a page of fifty. It cannot be
-- altered, so ledgers made before keep 8,192.
SETTINGS index_granularity = 2048, min_bytes_for_wide_part = 67108864, vertical_merge_algorithm_min_rows_to_activate = 8192,
    min_parts_to_merge_at_once = 16, merge_max_block_size_bytes = 2000000,
    min_age_to_force_merge_seconds = 86400, min_age_to_force_merge_on_partition_only = 1;
