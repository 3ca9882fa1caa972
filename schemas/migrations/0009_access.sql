-- Projects, and the keys by which programs and people are let into one. A project needs no row here to have spans: the
-- setting SPANLEDGER_PROJECT names one that always is. Of a key only a hash is stored: 256 random bits cannot be guessed,
-- so that no slow hash is needed. A key that is revoked stays, marked, for a ledger that ever had a key stays closed.

CREATE TABLE IF NOT EXISTS projects
(
    name String,
    description String,
    created_at DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree ORDER BY name;

CREATE TABLE IF NOT EXISTS api_keys
(
    id String COMMENT 'not secret: the key shows it behind sl_',
    hash String COMMENT 'SHA-256 of the whole key, in hex',
    project String,
    name String,
    scopes Array(String) COMMENT 'ingest, read, write, admin',
    created_at DateTime64(6, 'UTC'),
    expires_at Nullable(DateTime64(6, 'UTC')) COMMENT 'good for nothing from then on; null: never',
    revoked Bool,
    revoked_at Nullable(DateTime64(6, 'UTC'))
)
ENGINE = ReplacingMergeTree(revoked) ORDER BY id;
