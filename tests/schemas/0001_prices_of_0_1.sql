-- Prices: what one token costs, for which model, from when, by which published list.
-- Every list that was ever loaded stays (a span names the version it was priced by); the dictionaries
-- serve the one loaded last. schemas/prices.py fills the tables.

CREATE TABLE IF NOT EXISTS price_versions
(
    price_version LowCardinality(String),
    loaded_at DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree ORDER BY price_version;

-- Match rules in the order in which they are tried: the lowest id that matches `provider/model` wins.
-- A rule with a parent matches only where its parent does.
CREATE TABLE IF NOT EXISTS price_rules
(
    price_version LowCardinality(String),
    id UInt64,
    parent_id UInt64,
    regexp String,
    keys Array(String),
    values Array(String)
)
ENGINE = ReplacingMergeTree ORDER BY (price_version, id);

-- One row for each span of time in which a model's prices do not change. `tier_starts`: a request with
-- more input tokens than the n-th of them pays tier n for all of its tokens.
CREATE TABLE IF NOT EXISTS price_periods
(
    price_version LowCardinality(String),
    price_model LowCardinality(String),
    valid_from DateTime('UTC'),
    valid_to DateTime('UTC'),
    period UInt64,
    tier_starts Array(UInt64)
)
ENGINE = ReplacingMergeTree ORDER BY (price_version, price_model, valid_from);

-- USD for one token, and for one request. NULL: this kind of token has no price of its own and is paid as
-- its parent kind is (cached input as input, reasoning as output).
CREATE TABLE IF NOT EXISTS price_rates
(
    price_version LowCardinality(String),
    rate UInt64 COMMENT 'period * 16 + tier',
    input Nullable(Decimal(38, 18)),
    cache_read Nullable(Decimal(38, 18)),
    cache_write Nullable(Decimal(38, 18)),
    input_audio Nullable(Decimal(38, 18)),
    output Nullable(Decimal(38, 18)),
    reasoning Nullable(Decimal(38, 18)),
    output_audio Nullable(Decimal(38, 18)),
    request Nullable(Decimal(38, 18))
)
ENGINE = ReplacingMergeTree ORDER BY (price_version, rate);

CREATE DICTIONARY IF NOT EXISTS price_match
(
    regexp String,
    price_model String DEFAULT ''
)
PRIMARY KEY regexp
SOURCE(CLICKHOUSE({credentials} QUERY 'SELECT id, parent_id, regexp, keys, values FROM {database}.price_rules FINAL WHERE price_version = (SELECT argMax(price_version, loaded_at) FROM {database}.price_versions) ORDER BY id'))
LAYOUT(REGEXP_TREE)
LIFETIME(0);

CREATE DICTIONARY IF NOT EXISTS price_period
(
    price_model String,
    valid_from DateTime,
    valid_to DateTime,
    price_version String,
    period UInt64,
    tier_starts Array(UInt64)
)
PRIMARY KEY price_model
SOURCE(CLICKHOUSE({credentials} QUERY 'SELECT price_model, valid_from, valid_to, price_version, period, tier_starts FROM {database}.price_periods FINAL WHERE price_version = (SELECT argMax(price_version, loaded_at) FROM {database}.price_versions)'))
LAYOUT(COMPLEX_KEY_RANGE_HASHED())
RANGE(MIN valid_from MAX valid_to)
LIFETIME(0);

CREATE DICTIONARY IF NOT EXISTS price_rate
(
    rate UInt64,
    input Nullable(Decimal(38, 18)),
    cache_read Nullable(Decimal(38, 18)),
    cache_write Nullable(Decimal(38, 18)),
    input_audio Nullable(Decimal(38, 18)),
    output Nullable(Decimal(38, 18)),
    reasoning Nullable(Decimal(38, 18)),
    output_audio Nullable(Decimal(38, 18)),
    request Nullable(Decimal(38, 18))
)
PRIMARY KEY rate
SOURCE(CLICKHOUSE({credentials} QUERY 'SELECT rate, input, cache_read, cache_write, input_audio, output, reasoning, output_audio, request FROM {database}.price_rates FINAL WHERE price_version = (SELECT argMax(price_version, loaded_at) FROM {database}.price_versions)'))
LAYOUT(HASHED())
LIFETIME(0);
