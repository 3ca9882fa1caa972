-- What stats add up and lists sort by is read by the million: LZ4, which takes a third less processor time to
-- read than the ZSTD of the embedded engine's default, for 12 bytes a span. Texts stay with ZSTD. Parts that
-- are there keep what they have until they are merged.

ALTER TABLE spans
    MODIFY COLUMN trace_id CODEC(LZ4),
    MODIFY COLUMN span_id CODEC(LZ4),
    MODIFY COLUMN start_time CODEC(Delta(8), LZ4),
    MODIFY COLUMN duration_ns CODEC(LZ4),
    MODIFY COLUMN status_code CODEC(LZ4),
    MODIFY COLUMN role CODEC(LZ4),
    MODIFY COLUMN request_model CODEC(LZ4),
    MODIFY COLUMN response_model CODEC(LZ4),
    MODIFY COLUMN counted CODEC(LZ4),
    MODIFY COLUMN time_to_first_chunk_s CODEC(LZ4),
    MODIFY COLUMN input_tokens CODEC(LZ4),
    MODIFY COLUMN output_tokens CODEC(LZ4),
    MODIFY COLUMN cache_read_tokens CODEC(LZ4),
    MODIFY COLUMN cache_write_tokens CODEC(LZ4),
    MODIFY COLUMN reasoning_tokens CODEC(LZ4),
    MODIFY COLUMN input_audio_tokens CODEC(LZ4),
    MODIFY COLUMN output_audio_tokens CODEC(LZ4),
    MODIFY COLUMN cost_usd CODEC(LZ4);
