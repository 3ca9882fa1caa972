-- Deletion and retention (query_api/upkeep). Of what was deleted the ledger keeps the ids of the traces, so that a copy
-- that is sent again is refused, and when, by whom and why it was asked for; not whose it was.

CREATE TABLE IF NOT EXISTS deletions
(
    project LowCardinality(String),
    deletion String COMMENT 'begins with the time it was asked for, so that ids are in its order',
    kind LowCardinality(String) COMMENT 'trace, user or conversation',
    subject_sha256 String COMMENT 'SHA-256, in hex, of the id of the deletion, a newline and the id of the user or conversation',
    reason String,
    who String,
    state LowCardinality(String) COMMENT 'begun, marked, hidden, erased or done',
    asked_at DateTime64(6, 'UTC'),
    hidden_at Nullable(DateTime64(6, 'UTC')) COMMENT 'since when no answer has it',
    erased_at Nullable(DateTime64(6, 'UTC')) COMMENT 'when the files were written again without it',
    done_at Nullable(DateTime64(6, 'UTC')) COMMENT 'when the old files were gone, too',
    traces UInt64,
    spans UInt64,
    logs UInt64,
    cost_changes UInt64,
    written_at DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(written_at) ORDER BY (project, deletion);

CREATE TABLE IF NOT EXISTS deleted_traces
(
    project LowCardinality(String),
    deletion String,
    trace_id FixedString(16),
    deleted_at DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(deleted_at) ORDER BY (project, deletion, trace_id);

CREATE TABLE IF NOT EXISTS retention
(
    project LowCardinality(String),
    days Nullable(UInt32) COMMENT 'null: for ever',
    by_default Bool COMMENT 'the project has no setting of its own any more',
    who String,
    changed_at DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(changed_at) ORDER BY project;

-- A lightweight delete is refused by a table with projections unless it is said what becomes of them.
ALTER TABLE spans MODIFY SETTING lightweight_mutation_projection_mode = 'rebuild';
ALTER TABLE logs MODIFY SETTING lightweight_mutation_projection_mode = 'rebuild';
ALTER TABLE cost_changes MODIFY SETTING lightweight_mutation_projection_mode = 'rebuild';
