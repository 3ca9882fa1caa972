-- A ledger made before the collector wrote blocks of its own has views that nothing feeds, and lacks a column.

DROP VIEW IF EXISTS unpack;
DROP VIEW IF EXISTS recognise;
DROP VIEW IF EXISTS price;
DROP TABLE IF EXISTS ingest;
DROP TABLE IF EXISTS ingest_rows;
DROP TABLE IF EXISTS ingest_fields;
ALTER TABLE spans ADD COLUMN IF NOT EXISTS attributes_cut Array(LowCardinality(String)) COMMENT 'keys of attributes whose values were longer than the limit' AFTER received_at;
ALTER TABLE spans MODIFY SETTING min_parts_to_merge_at_once = 16, merge_max_block_size_bytes = 2000000,
    min_age_to_force_merge_seconds = 86400, min_age_to_force_merge_on_partition_only = 1;
