-- What the dialect table finds beyond the conventions, and which calls count (schemas/dialects.py, schemas/calls.py).

ALTER TABLE spans
    ADD COLUMN IF NOT EXISTS dialect LowCardinality(String) COMMENT 'whose spelling the span is written in, empty where nothing tells' AFTER scope_version,
    ADD COLUMN IF NOT EXISTS provider_claimed LowCardinality(String) COMMENT 'as sent: `provider` is worked out of it, the host and the model' AFTER provider,
    ADD COLUMN IF NOT EXISTS service_tier LowCardinality(String) COMMENT 'batch, flex, priority ...: what the price may depend on' AFTER response_model,
    ADD COLUMN IF NOT EXISTS usage Map(LowCardinality(String), UInt64) COMMENT 'what else is billed, by the units of the price list, durations in microseconds' AFTER output_audio_tokens,
    ADD COLUMN IF NOT EXISTS usage_flags Array(LowCardinality(String)) COMMENT 'counted_apart, nothing_used, details_exceed_total, total_mismatch, unreadable' AFTER usage,
    ADD COLUMN IF NOT EXISTS counted Bool COMMENT 'a call that counts: an LLM or embedding span that is no second record of another' AFTER usage_flags,
    ADD COLUMN IF NOT EXISTS duplicate_of String COMMENT 'trace id and span id, 24 bytes, of the record of the same call that counts' AFTER counted,
    ADD COLUMN IF NOT EXISTS borrowed Array(LowCardinality(String)) COMMENT 'columns that say what only another record of the call knows' AFTER duplicate_of,
    ADD COLUMN IF NOT EXISTS cost_computed_usd Nullable(Decimal(38, 18)) COMMENT 'by the price list, whichever cost counts' AFTER cost_reported_usd,
    ADD COLUMN IF NOT EXISTS cost_origin LowCardinality(String) COMMENT 'who worked the reported cost out: provider, local or empty' AFTER cost_computed_usd;
