-- Costs that were worked out again: what each was before, what it is now, who asked for it, when and why. A change is
-- written here first and into the span's row then; it is history once its chunk is here (query_api/prices/reprice.py).

CREATE TABLE IF NOT EXISTS reprice_runs
(
    run String,
    started_at DateTime64(6, 'UTC'),
    finished_at Nullable(DateTime64(6, 'UTC')) COMMENT 'null: it is under way, or was interrupted',
    who String,
    why String,
    project String COMMENT 'empty: every project',
    since DateTime64(9, 'UTC'),
    until DateTime64(9, 'UTC'),
    condition String COMMENT 'what else the spans had to be, as JSON',
    looked_at UInt64,
    changed_spans UInt64,
    difference_usd Decimal(38, 18) COMMENT 'of the costs that count, where both are known',
    written_at DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(written_at) ORDER BY run;

CREATE TABLE IF NOT EXISTS reprice_chunks
(
    run String,
    chunk UInt32,
    since DateTime64(9, 'UTC'),
    until DateTime64(9, 'UTC'),
    first_trace String COMMENT 'of the trace ids, in hex',
    last_trace String,
    changed_spans UInt64,
    applied Bool,
    written_at DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(written_at) ORDER BY (run, chunk);

CREATE TABLE IF NOT EXISTS cost_changes
(
    project LowCardinality(String),
    trace_id FixedString(16),
    span_id FixedString(8),
    start_time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    run LowCardinality(String),
    chunk UInt32,
    changed_at DateTime64(6, 'UTC'),
    old_cost_usd Nullable(Decimal(38, 18)),
    new_cost_usd Nullable(Decimal(38, 18)),
    old_computed_usd Nullable(Decimal(38, 18)),
    new_computed_usd Nullable(Decimal(38, 18)),
    new_input_usd Nullable(Decimal(38, 18)),
    new_output_usd Nullable(Decimal(38, 18)),
    old_source LowCardinality(String),
    new_source LowCardinality(String),
    old_reason LowCardinality(String),
    new_reason LowCardinality(String),
    old_price_model LowCardinality(String),
    new_price_model LowCardinality(String),
    old_price_version LowCardinality(String),
    new_price_version LowCardinality(String)
)
ENGINE = ReplacingMergeTree(changed_at) ORDER BY (project, trace_id, span_id, start_time, run);

-- Of a run that was interrupted the chunks that were applied are history, too.
CREATE VIEW IF NOT EXISTS cost_history AS
SELECT c.* EXCEPT (run, chunk), c.run AS run, r.who AS who, r.why AS why
FROM cost_changes AS c FINAL
INNER JOIN (SELECT run, chunk FROM reprice_chunks FINAL WHERE applied) AS a ON c.run = a.run AND c.chunk = a.chunk
INNER JOIN (SELECT run, who, why FROM reprice_runs FINAL) AS r ON c.run = r.run;
