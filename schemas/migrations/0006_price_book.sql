-- Prices as published, row by row: what a person reads here is what a span is priced by. schemas/prices fills
-- and reads the tables; every list that was ever loaded stays, for a span names the one it was priced by.
-- Dictionaries and tables of older ledgers go: which entry a model is, is found in Python.

DROP DICTIONARY IF EXISTS price_match;
DROP DICTIONARY IF EXISTS price_period;
DROP DICTIONARY IF EXISTS price_rate;
DROP TABLE IF EXISTS price_rules;
DROP TABLE IF EXISTS price_periods;
DROP TABLE IF EXISTS price_rates;
DROP TABLE IF EXISTS price_versions;

-- A list is complete once its row is here: it is written last. Of each source the one loaded last counts.
CREATE TABLE IF NOT EXISTS price_lists
(
    price_version LowCardinality(String),
    source LowCardinality(String) COMMENT 'genai-prices, or litellm: asked where the other has no price',
    loaded_at DateTime64(6, 'UTC'),
    providers UInt32,
    models UInt32,
    rates UInt32 COMMENT 'rows of price_list_rates',
    not_understood Array(String) COMMENT 'keys of the file that no price was taken from'
)
ENGINE = ReplacingMergeTree ORDER BY price_version;

CREATE TABLE IF NOT EXISTS price_list_providers
(
    price_version LowCardinality(String),
    position UInt32 COMMENT 'in which order they are tried',
    provider LowCardinality(String),
    name String,
    api_pattern String COMMENT 'regular expression that the beginning of an address matches; empty: none',
    provider_match String COMMENT 'clause, as JSON, that the name of a provider matches; empty: none',
    model_match String COMMENT 'the same for a model that no provider is named with',
    fallbacks Array(String) COMMENT 'providers whose models are tried where this one has none'
)
ENGINE = ReplacingMergeTree ORDER BY (price_version, position);

CREATE TABLE IF NOT EXISTS price_list_models
(
    price_version LowCardinality(String),
    provider LowCardinality(String),
    position UInt32 COMMENT 'in which order they are tried: the first that matches counts',
    model String,
    name String,
    match String COMMENT 'clause, as JSON, that the name of a model matches'
)
ENGINE = ReplacingMergeTree ORDER BY (price_version, provider, position);

-- Of the conditions of a model without a variant the last that holds counts, and the first where none does.
-- Of those with a variant, each price is taken from the first that holds and has it.
CREATE TABLE IF NOT EXISTS price_list_rates
(
    price_version LowCardinality(String),
    provider LowCardinality(String),
    model String,
    variant String COMMENT 'what of the request selects it, as JSON; empty: the standard price',
    condition UInt16 COMMENT 'place among the conditions of the model',
    valid_from Date COMMENT 'UTC; 1970: always',
    time_from String COMMENT 'time of day from which it holds, UTC; empty: all day',
    time_to String COMMENT 'time of day at which it ends; before time_from: over midnight',
    unit LowCardinality(String) COMMENT 'empty: this condition has no price at all',
    tier_start UInt64 COMMENT 'for calls with more input tokens than this, all of them',
    price Decimal(38, 18) COMMENT 'USD for so many units as `per` says',
    per UInt32 COMMENT 'of durations: seconds',
    minimum UInt32 COMMENT 'units that are billed at least where any are'
)
ENGINE = ReplacingMergeTree ORDER BY (price_version, provider, model, variant, condition, unit, tier_start);

-- What somebody has set over the lists. One that is removed stays, marked.
CREATE TABLE IF NOT EXISTS price_overrides
(
    id String,
    project String COMMENT 'empty: every project',
    provider String COMMENT 'empty: any',
    match_kind LowCardinality(String) COMMENT 'equals, starts_with, ends_with, contains or regex',
    match_value String,
    valid_from DateTime('UTC') COMMENT '1970: always',
    valid_to Nullable(DateTime('UTC')) COMMENT 'no longer valid at this second; null: for ever',
    prices String COMMENT 'published prices, as JSON; empty: none, but one of the next two',
    discount_percent Nullable(Decimal(9, 6)) COMMENT 'of what the list says',
    alias String COMMENT 'provider:model by which such a model is priced',
    set_at DateTime64(6, 'UTC'),
    set_by String,
    note String,
    removed Bool,
    removed_at Nullable(DateTime64(6, 'UTC')),
    removed_by String
)
ENGINE = ReplacingMergeTree(removed) ORDER BY id;

ALTER TABLE spans COMMENT COLUMN IF EXISTS cost_reason 'why cost_usd is NULL (REASONS of schemas/prices/compute.py), or empty';
