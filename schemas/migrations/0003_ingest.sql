-- Made by `python -m spanledger.schemas.ingest_sql`; change that, not this.

CREATE TABLE IF NOT EXISTS ingest
(
    project String,
    received_at UInt64,
    request Tuple(resource_spans Array(Tuple(resource Tuple(attributes Array(Tuple(key String, value Tuple(value Enum8('none' = 0, 'string' = 1, 'bool' = 2, 'int' = 3, 'double' = 4, 'array' = 5, 'bytes' = 7, 'json' = 100), string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String, array_value Tuple(values Array(Tuple(value Enum8('none' = 0, 'string' = 1, 'bool' = 2, 'int' = 3, 'double' = 4, 'bytes' = 7), string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String))), json_value String))), dropped_attributes_count UInt32), schema_url String, scope_spans Array(Tuple(scope Tuple(name String, version String, attributes Array(Tuple(key String, value Tuple(value Enum8('none' = 0, 'string' = 1, 'bool' = 2, 'int' = 3, 'double' = 4, 'array' = 5, 'bytes' = 7, 'json' = 100), string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String, array_value Tuple(values Array(Tuple(value Enum8('none' = 0, 'string' = 1, 'bool' = 2, 'int' = 3, 'double' = 4, 'bytes' = 7), string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String))), json_value String))), dropped_attributes_count UInt32), schema_url String, spans Array(Tuple(trace_id String, span_id String, trace_state String, parent_span_id String, name String, kind Int32, start_time_unix_nano UInt64, end_time_unix_nano UInt64, attributes Array(Tuple(key String, value Tuple(value Enum8('none' = 0, 'string' = 1, 'bool' = 2, 'int' = 3, 'double' = 4, 'array' = 5, 'bytes' = 7, 'json' = 100), string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String, array_value Tuple(values Array(Tuple(value Enum8('none' = 0, 'string' = 1, 'bool' = 2, 'int' = 3, 'double' = 4, 'bytes' = 7), string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String))), json_value String))), dropped_attributes_count UInt32, events Array(Tuple(time_unix_nano UInt64, name String, attributes Array(Tuple(key String, value Tuple(value Enum8('none' = 0, 'string' = 1, 'bool' = 2, 'int' = 3, 'double' = 4, 'array' = 5, 'bytes' = 7, 'json' = 100), string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String, array_value Tuple(values Array(Tuple(value Enum8('none' = 0, 'string' = 1, 'bool' = 2, 'int' = 3, 'double' = 4, 'bytes' = 7), string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String))), json_value String))), dropped_attributes_count UInt32)), dropped_events_count UInt32, links Array(Tuple(trace_id String, span_id String, trace_state String, flags UInt32, attributes Array(Tuple(key String, value Tuple(value Enum8('none' = 0, 'string' = 1, 'bool' = 2, 'int' = 3, 'double' = 4, 'array' = 5, 'bytes' = 7, 'json' = 100), string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String, array_value Tuple(values Array(Tuple(value Enum8('none' = 0, 'string' = 1, 'bool' = 2, 'int' = 3, 'double' = 4, 'bytes' = 7), string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String))), json_value String))), dropped_attributes_count UInt32)), dropped_links_count UInt32, status Tuple(message String, code Int32), flags UInt32))))))),
    rewritten Bool
)
ENGINE = Null;

CREATE TABLE IF NOT EXISTS ingest_rows AS spans ENGINE = Null;

ALTER TABLE ingest_rows
    ADD COLUMN IF NOT EXISTS keys Array(String),
    ADD COLUMN IF NOT EXISTS types Array(Enum8('none' = 0, 'string' = 1, 'bool' = 2, 'int' = 3, 'double' = 4, 'array' = 5, 'bytes' = 7, 'json' = 100)),
    ADD COLUMN IF NOT EXISTS strings Array(String),
    ADD COLUMN IF NOT EXISTS ints Array(Int64),
    ADD COLUMN IF NOT EXISTS doubles Array(Float64),
    ADD COLUMN IF NOT EXISTS bools Array(Bool),
    ADD COLUMN IF NOT EXISTS jsons Array(String);

CREATE TABLE IF NOT EXISTS ingest_fields AS spans ENGINE = Null;

ALTER TABLE ingest_fields
    ADD COLUMN IF NOT EXISTS cost_origin LowCardinality(String),
    ADD COLUMN IF NOT EXISTS cost_currency LowCardinality(String);

CREATE MATERIALIZED VIEW IF NOT EXISTS price TO spans AS
WITH (v -> multiIf(v.value = 'string', toJSONString(v.string_value), v.value = 'int', toString(v.int_value), v.value = 'bool', if(v.bool_value, 'true', 'false'), v.value = 'double', multiIf(NOT isFinite(v.double_value), concat('{"@double":"', toString(v.double_value), '"}'), v.double_value = trunc(v.double_value) AND abs(v.double_value) < 1e15, concat(toString(v.double_value), '.0'), toString(v.double_value)), v.value = 'bytes', concat('{"@bytes":"', base64Encode(v.bytes_value), '"}'), v.value = 'array', concat('[', arrayStringConcat(arrayMap(e -> multiIf(e.value = 'string', toJSONString(e.string_value), e.value = 'int', toString(e.int_value), e.value = 'bool', if(e.bool_value, 'true', 'false'), e.value = 'double', multiIf(NOT isFinite(e.double_value), concat('{"@double":"', toString(e.double_value), '"}'), e.double_value = trunc(e.double_value) AND abs(e.double_value) < 1e15, concat(toString(e.double_value), '.0'), toString(e.double_value)), e.value = 'bytes', concat('{"@bytes":"', base64Encode(e.bytes_value), '"}'), 'null'), v.array_value.values), ','), ']'), v.value = 'json' AND rewritten, v.json_value, 'null')) AS value_json
SELECT
    `project`, `received_at`, `service`, `resource_attributes`, `resource_schema_url`, `resource_dropped_attributes_count`, `scope_name`, `scope_version`, `scope_attributes`, `scope_schema_url`, `scope_dropped_attributes_count`, `trace_state`, `flags`, `name`, `kind`, `dropped_attributes_count`, `dropped_events_count`, `dropped_links_count`, `trace_id`, `span_id`, `parent_span_id`, `start_time`, `end_time`, `duration_ns`, `status_code`, `status_message`, `events.time`, `events.name`, `events.dropped_attributes_count`, `events.attributes`, `links.trace_id`, `links.span_id`, `links.trace_state`, `links.flags`, `links.dropped_attributes_count`, `links.attributes`, `attributes_string`, `attributes_int`, `attributes_double`, `attributes_bool`, `attributes_json`, `content_string`, `content_json`, `operation`, `provider`, `request_model`, `response_model`, `response_id`, `conversation_id`, `user_id`, `tool_name`, `agent_name`, `experiment_id`, `error_type`, `tags`, `finish_reasons`, `time_to_first_chunk_s`, `output_tokens`, `cache_read_tokens`, `cache_write_tokens`, `reasoning_tokens`, `input_audio_tokens`, `output_audio_tokens`, `cost_reported_usd`, `role`, x0 AS `input_tokens`,
    x1 AS `cost_input_usd`,
    x2 AS `cost_output_usd`,
    x3 AS `cost_usd`,
    x4 AS `cost_source`,
    x5 AS `cost_reason`,
    x6 AS `price_model`,
    x7 AS `price_version`
FROM
(SELECT
    `project`, `received_at`, `service`, `resource_attributes`, `resource_schema_url`, `resource_dropped_attributes_count`, `scope_name`, `scope_version`, `scope_attributes`, `scope_schema_url`, `scope_dropped_attributes_count`, `trace_state`, `flags`, `name`, `kind`, `dropped_attributes_count`, `dropped_events_count`, `dropped_links_count`, `trace_id`, `span_id`, `parent_span_id`, `start_time`, `end_time`, `duration_ns`, `status_code`, `status_message`, `events.time`, `events.name`, `events.dropped_attributes_count`, `events.attributes`, `links.trace_id`, `links.span_id`, `links.trace_state`, `links.flags`, `links.dropped_attributes_count`, `links.attributes`, `attributes_string`, `attributes_int`, `attributes_double`, `attributes_bool`, `attributes_json`, `content_string`, `content_json`, `operation`, `provider`, `request_model`, `response_model`, `response_id`, `conversation_id`, `user_id`, `tool_name`, `agent_name`, `experiment_id`, `error_type`, `tags`, `finish_reasons`, `time_to_first_chunk_s`, `output_tokens`, `cache_read_tokens`, `cache_write_tokens`, `reasoning_tokens`, `input_audio_tokens`, `output_audio_tokens`, `cost_reported_usd`, `role`, all_input AS `x0`,
    if(computed, computed_input, NULL) AS `x1`,
    if(computed, computed_output, NULL) AS `x2`,
    multiIf(reported, cost_reported_usd, computed, computed_input + computed_output, NULL) AS `x3`,
    multiIf(reported, 'reported', computed, 'computed', '') AS `x4`,
    multiIf(reported OR computed, '', NOT counted, if(used, 'not_counted', ''), NOT used, 'no_usage', model = '', 'no_model', NOT priced, 'unknown_model', 'impossible_usage') AS `x5`,
    if(computed, matched_model, '') AS `x6`,
    if(computed, period.1, '') AS `x7`
FROM
(SELECT *,
    computable AND NOT reported AS `computed`,
    n_input * ifNull(p_input, 0) + n_cache_read * ifNull(p_cache_read, 0) + n_cache_write * ifNull(p_cache_write, 0) + n_input_audio * ifNull(p_input_audio, 0) AS `computed_input`,
    n_output * ifNull(p_output, 0) + n_reasoning * ifNull(p_reasoning, 0) + n_output_audio * ifNull(p_output_audio, 0) AS `computed_output`
FROM
(SELECT *,
    counted AND cost_reported_usd IS NOT NULL AND lower(cost_currency) IN ('', 'usd') AND (NOT computable OR cost_origin = 'provider') AS `reported`
FROM
(SELECT *,
    counted AND priced AND used AND n_input >= 0 AND n_output >= 0 AS `computable`
FROM
(SELECT *,
    toInt64(ifNull(all_input, 0)) - n_cache_read - n_cache_write - n_input_audio AS `n_input`,
    toInt64(ifNull(output_tokens, 0)) - n_reasoning - n_output_audio AS `n_output`
FROM
(SELECT *,
    if(p_cache_read IS NULL, 0, toInt64(ifNull(cache_read_tokens, 0))) AS `n_cache_read`,
    if(p_cache_write IS NULL, 0, toInt64(ifNull(cache_write_tokens, 0))) AS `n_cache_write`,
    if(p_input_audio IS NULL, 0, toInt64(ifNull(input_audio_tokens, 0))) AS `n_input_audio`,
    if(p_reasoning IS NULL, 0, toInt64(ifNull(reasoning_tokens, 0))) AS `n_reasoning`,
    if(p_output_audio IS NULL, 0, toInt64(ifNull(output_audio_tokens, 0))) AS `n_output_audio`,
    p_input IS NOT NULL OR p_output IS NOT NULL AS `priced`,
    all_input IS NOT NULL OR output_tokens IS NOT NULL AS `used`
FROM
(SELECT *,
    rate.1 AS `p_input`,
    rate.2 AS `p_cache_read`,
    rate.3 AS `p_cache_write`,
    rate.4 AS `p_input_audio`,
    rate.5 AS `p_output`,
    rate.6 AS `p_reasoning`,
    rate.7 AS `p_output_audio`
FROM
(SELECT *,
    dictGet('{database}.price_rate', ('input', 'cache_read', 'cache_write', 'input_audio', 'output', 'reasoning', 'output_audio'), period.2 * 16 + arrayCount(start -> start < all_input, period.3)) AS `rate`
FROM
(SELECT *,
    dictGet('{database}.price_period', ('price_version', 'period', 'tier_starts'), tuple(matched_model), toDateTime(start_time)) AS `period`
FROM
(SELECT *,
    dictGet('{database}.price_match', 'price_model', (if(counted AND model != '', concat(price_provider, '/', model), ''))::LowCardinality(String)) AS `matched_model`
FROM
(SELECT *,
    has(['LLM', 'EMBEDDING'], role) AS `counted`,
    lower(if(response_model = '', request_model, response_model)) AS `model`,
    if(ifNull(cache_read_tokens, 0) + ifNull(cache_write_tokens, 0) > input_tokens, input_tokens + ifNull(cache_read_tokens, 0) + ifNull(cache_write_tokens, 0), input_tokens) AS `all_input`,
    transform(lower(provider), ['azure.ai.openai', 'azure.ai.inference', 'az.ai.openai', 'az.ai.inference', 'aws.bedrock', 'gcp.gemini', 'gcp.gen_ai', 'gcp.vertex_ai', 'gemini', 'vertex_ai', 'mistral_ai', 'moonshot_ai', 'x_ai', 'xai'], ['azure', 'azure', 'azure', 'azure', 'aws', 'google', 'google', 'google', 'google', 'google', 'mistral', 'moonshotai', 'x-ai', 'x-ai'], lower(provider)) AS `price_provider`
FROM
(SELECT * FROM ingest_fields))))))))))));

CREATE MATERIALIZED VIEW IF NOT EXISTS recognise TO ingest_fields AS
WITH (v -> multiIf(v.value = 'string', toJSONString(v.string_value), v.value = 'int', toString(v.int_value), v.value = 'bool', if(v.bool_value, 'true', 'false'), v.value = 'double', multiIf(NOT isFinite(v.double_value), concat('{"@double":"', toString(v.double_value), '"}'), v.double_value = trunc(v.double_value) AND abs(v.double_value) < 1e15, concat(toString(v.double_value), '.0'), toString(v.double_value)), v.value = 'bytes', concat('{"@bytes":"', base64Encode(v.bytes_value), '"}'), v.value = 'array', concat('[', arrayStringConcat(arrayMap(e -> multiIf(e.value = 'string', toJSONString(e.string_value), e.value = 'int', toString(e.int_value), e.value = 'bool', if(e.bool_value, 'true', 'false'), e.value = 'double', multiIf(NOT isFinite(e.double_value), concat('{"@double":"', toString(e.double_value), '"}'), e.double_value = trunc(e.double_value) AND abs(e.double_value) < 1e15, concat(toString(e.double_value), '.0'), toString(e.double_value)), e.value = 'bytes', concat('{"@bytes":"', base64Encode(e.bytes_value), '"}'), 'null'), v.array_value.values), ','), ']'), v.value = 'json' AND rewritten, v.json_value, 'null')) AS value_json
SELECT
    `project`, `received_at`, `service`, `resource_attributes`, `resource_schema_url`, `resource_dropped_attributes_count`, `scope_name`, `scope_version`, `scope_attributes`, `scope_schema_url`, `scope_dropped_attributes_count`, `trace_state`, `flags`, `name`, `kind`, `dropped_attributes_count`, `dropped_events_count`, `dropped_links_count`, `trace_id`, `span_id`, `parent_span_id`, `start_time`, `end_time`, `duration_ns`, `status_code`, `status_message`, `events.time`, `events.name`, `events.dropped_attributes_count`, `events.attributes`, `links.trace_id`, `links.span_id`, `links.trace_state`, `links.flags`, `links.dropped_attributes_count`, `links.attributes`, x0 AS `attributes_string`,
    x1 AS `attributes_int`,
    x2 AS `attributes_double`,
    x3 AS `attributes_bool`,
    x4 AS `attributes_json`,
    x5 AS `content_string`,
    x6 AS `content_json`,
    x7 AS `operation`,
    x8 AS `provider`,
    x9 AS `request_model`,
    x10 AS `response_model`,
    x11 AS `response_id`,
    x12 AS `conversation_id`,
    x13 AS `user_id`,
    x14 AS `tool_name`,
    x15 AS `agent_name`,
    x16 AS `experiment_id`,
    x17 AS `error_type`,
    x18 AS `tags`,
    x19 AS `finish_reasons`,
    x20 AS `time_to_first_chunk_s`,
    x21 AS `input_tokens`,
    x22 AS `output_tokens`,
    x23 AS `cache_read_tokens`,
    x24 AS `cache_write_tokens`,
    x25 AS `reasoning_tokens`,
    x26 AS `input_audio_tokens`,
    x27 AS `output_audio_tokens`,
    x28 AS `cost_reported_usd`,
    x29 AS `cost_origin`,
    x30 AS `cost_currency`,
    x31 AS `role`
FROM
(SELECT
    `project`, `received_at`, `service`, `resource_attributes`, `resource_schema_url`, `resource_dropped_attributes_count`, `scope_name`, `scope_version`, `scope_attributes`, `scope_schema_url`, `scope_dropped_attributes_count`, `trace_state`, `flags`, `name`, `kind`, `dropped_attributes_count`, `dropped_events_count`, `dropped_links_count`, `trace_id`, `span_id`, `parent_span_id`, `start_time`, `end_time`, `duration_ns`, `status_code`, `status_message`, `events.time`, `events.name`, `events.dropped_attributes_count`, `events.attributes`, `links.trace_id`, `links.span_id`, `links.trace_state`, `links.flags`, `links.dropped_attributes_count`, `links.attributes`, mapFromArrays(arrayFilter((k, t, c) -> t = 'string' AND c < 51200, keys, types, codes), arrayFilter((v, t, c) -> t = 'string' AND c < 51200, strings, types, codes))::Map(LowCardinality(String), String) AS `x0`,
    mapFromArrays(arrayFilter((k, t, c) -> t = 'int' AND c < 51200, keys, types, codes), arrayFilter((v, t, c) -> t = 'int' AND c < 51200, ints, types, codes))::Map(LowCardinality(String), Int64) AS `x1`,
    mapFromArrays(arrayFilter((k, t, c) -> t = 'double' AND c < 51200, keys, types, codes), arrayFilter((v, t, c) -> t = 'double' AND c < 51200, doubles, types, codes))::Map(LowCardinality(String), Float64) AS `x2`,
    mapFromArrays(arrayFilter((k, t, c) -> t = 'bool' AND c < 51200, keys, types, codes), arrayFilter((v, t, c) -> t = 'bool' AND c < 51200, bools, types, codes))::Map(LowCardinality(String), Bool) AS `x3`,
    mapFromArrays(arrayFilter((k, t, c) -> t IN ('none', 'array', 'bytes', 'json') AND c < 51200, keys, types, codes), arrayFilter((v, t, c) -> t IN ('none', 'array', 'bytes', 'json') AND c < 51200, jsons, types, codes))::Map(LowCardinality(String), String) AS `x4`,
    mapFromArrays(arrayFilter((k, t, c) -> t = 'string' AND c >= 51200, keys, types, codes), arrayFilter((v, t, c) -> t = 'string' AND c >= 51200, strings, types, codes))::Map(LowCardinality(String), String) AS `x5`,
    mapFromArrays(arrayFilter((k, t, c) -> t IN ('none', 'array', 'bytes', 'json') AND c >= 51200, keys, types, codes), arrayFilter((v, t, c) -> t IN ('none', 'array', 'bytes', 'json') AND c >= 51200, jsons, types, codes))::Map(LowCardinality(String), String) AS `x6`,
    t_operation AS `x7`,
    t_provider AS `x8`,
    t_request_model AS `x9`,
    t_response_model AS `x10`,
    t_response_id AS `x11`,
    t_conversation_id AS `x12`,
    t_user_id AS `x13`,
    t_tool_name AS `x14`,
    t_agent_name AS `x15`,
    t_experiment_id AS `x16`,
    t_error_type AS `x17`,
    if(startsWith(t_tags, '['), JSONExtract(t_tags, 'Array(String)'), if(t_tags = '', [], [t_tags])) AS `x18`,
    if(startsWith(t_finish_reasons, '['), JSONExtract(t_finish_reasons, 'Array(String)'), if(t_finish_reasons = '', [], [t_finish_reasons])) AS `x19`,
    if(isFinite(toFloat64OrNull(t_time_to_first_chunk_s)), toFloat64OrNull(t_time_to_first_chunk_s), NULL) AS `x20`,
    toUInt64OrNull(t_input_tokens) AS `x21`,
    toUInt64OrNull(t_output_tokens) AS `x22`,
    toUInt64OrNull(t_cache_read_tokens) AS `x23`,
    toUInt64OrNull(t_cache_write_tokens) AS `x24`,
    toUInt64OrNull(t_reasoning_tokens) AS `x25`,
    toUInt64OrNull(t_input_audio_tokens) AS `x26`,
    toUInt64OrNull(t_output_audio_tokens) AS `x27`,
    toDecimal128OrNull(t_cost_reported_usd, 18) AS `x28`,
    t_cost_origin AS `x29`,
    t_cost_currency AS `x30`,
    transform(t_operation, ['chat', 'generate_content', 'text_completion', 'embeddings', 'execute_tool', 'invoke_agent', 'create_agent', 'invoke_workflow', 'plan', 'retrieval', 'fetch_response'], ['LLM', 'LLM', 'LLM', 'EMBEDDING', 'TOOL', 'AGENT', 'AGENT', 'WORKFLOW', 'WORKFLOW', 'RETRIEVER', 'FETCH'], 'OTHER') AS `x31`
FROM
(SELECT *,
    texts[places[indexOf(slots, 1)]] AS `t_operation`,
    texts[places[indexOf(slots, 2)]] AS `t_provider`,
    texts[places[indexOf(slots, 3)]] AS `t_request_model`,
    texts[places[indexOf(slots, 4)]] AS `t_response_model`,
    texts[places[indexOf(slots, 5)]] AS `t_response_id`,
    texts[places[indexOf(slots, 6)]] AS `t_conversation_id`,
    texts[places[indexOf(slots, 7)]] AS `t_user_id`,
    texts[places[indexOf(slots, 8)]] AS `t_tool_name`,
    texts[places[indexOf(slots, 9)]] AS `t_agent_name`,
    texts[places[indexOf(slots, 10)]] AS `t_experiment_id`,
    texts[places[indexOf(slots, 11)]] AS `t_error_type`,
    texts[places[indexOf(slots, 12)]] AS `t_tags`,
    texts[places[indexOf(slots, 13)]] AS `t_finish_reasons`,
    texts[places[indexOf(slots, 14)]] AS `t_time_to_first_chunk_s`,
    texts[places[indexOf(slots, 15)]] AS `t_input_tokens`,
    texts[places[indexOf(slots, 16)]] AS `t_output_tokens`,
    texts[places[indexOf(slots, 17)]] AS `t_cache_read_tokens`,
    texts[places[indexOf(slots, 18)]] AS `t_cache_write_tokens`,
    texts[places[indexOf(slots, 19)]] AS `t_reasoning_tokens`,
    texts[places[indexOf(slots, 20)]] AS `t_input_audio_tokens`,
    texts[places[indexOf(slots, 21)]] AS `t_output_audio_tokens`,
    texts[places[indexOf(slots, 22)]] AS `t_cost_reported_usd`,
    texts[places[indexOf(slots, 23)]] AS `t_cost_origin`,
    texts[places[indexOf(slots, 24)]] AS `t_cost_currency`
FROM
(SELECT *,
    arrayMap(r -> intDiv(r, 1099511627776), ranks) AS `slots`,
    arrayMap(r -> 4294967295 - r % 4294967296, ranks) AS `places`
FROM
(SELECT *,
    arrayMap((c, t, s, i, d, j) -> multiIf(c = 0 OR c >= 51200, '', t = 'string', s, t = 'int', toString(i), t = 'double', toString(d), j), codes, types, strings, ints, doubles, jsons) AS `texts`,
    arraySort(arrayFilter(r -> r > 0, arrayMap((c, t, s, i) -> if(c = 0 OR c >= 51200 OR t = 'none' OR (t = 'string' AND empty(s)), 0, toUInt64(c) * 4294967296 + 4294967295 - i), codes, types, strings, arrayEnumerate(codes)))) AS `ranks`
FROM
(SELECT *,
    arrayMap(k -> transform(k, ['gen_ai.operation.name', 'gen_ai.provider.name', 'gen_ai.system', 'gen_ai.request.model', 'gen_ai.response.model', 'gen_ai.response.id', 'gen_ai.conversation.id', 'session.id', 'user.id', 'enduser.id', 'gen_ai.tool.name', 'gen_ai.agent.name', 'spanledger.experiment.id', 'error.type', 'spanledger.tags', 'gen_ai.response.finish_reasons', 'gen_ai.response.time_to_first_chunk', 'gen_ai.usage.input_tokens', 'gen_ai.usage.prompt_tokens', 'gen_ai.usage.output_tokens', 'gen_ai.usage.completion_tokens', 'gen_ai.usage.cache_read.input_tokens', 'gen_ai.usage.cache_write.input_tokens', 'gen_ai.usage.cache_creation.input_tokens', 'gen_ai.usage.reasoning.output_tokens', 'gen_ai.usage.audio.input_tokens', 'gen_ai.usage.audio.output_tokens', 'spanledger.cost.total', 'gen_ai.usage.cost.amount', 'gen_ai.usage.cost.source', 'gen_ai.usage.cost.currency', 'gen_ai.input.messages', 'gen_ai.output.messages', 'gen_ai.system_instructions', 'gen_ai.tool.definitions', 'gen_ai.tool.call.arguments', 'gen_ai.tool.call.result', 'gen_ai.retrieval.documents', 'gen_ai.prompt', 'gen_ai.completion'], [256, 512, 513, 768, 1024, 1280, 1536, 1537, 1792, 1793, 2048, 2304, 2560, 2816, 3072, 3328, 3584, 3840, 3841, 4096, 4097, 4352, 4608, 4609, 4864, 5120, 5376, 5632, 5633, 5888, 6144, 51200, 51201, 51202, 51203, 51204, 51205, 51206, 51207, 51208], 0), keys) AS `codes`
FROM
(SELECT * FROM ingest_rows))))));

CREATE MATERIALIZED VIEW IF NOT EXISTS unpack TO ingest_rows AS
WITH (v -> multiIf(v.value = 'string', toJSONString(v.string_value), v.value = 'int', toString(v.int_value), v.value = 'bool', if(v.bool_value, 'true', 'false'), v.value = 'double', multiIf(NOT isFinite(v.double_value), concat('{"@double":"', toString(v.double_value), '"}'), v.double_value = trunc(v.double_value) AND abs(v.double_value) < 1e15, concat(toString(v.double_value), '.0'), toString(v.double_value)), v.value = 'bytes', concat('{"@bytes":"', base64Encode(v.bytes_value), '"}'), v.value = 'array', concat('[', arrayStringConcat(arrayMap(e -> multiIf(e.value = 'string', toJSONString(e.string_value), e.value = 'int', toString(e.int_value), e.value = 'bool', if(e.bool_value, 'true', 'false'), e.value = 'double', multiIf(NOT isFinite(e.double_value), concat('{"@double":"', toString(e.double_value), '"}'), e.double_value = trunc(e.double_value) AND abs(e.double_value) < 1e15, concat(toString(e.double_value), '.0'), toString(e.double_value)), e.value = 'bytes', concat('{"@bytes":"', base64Encode(e.bytes_value), '"}'), 'null'), v.array_value.values), ','), ']'), v.value = 'json' AND rewritten, v.json_value, 'null')) AS value_json
SELECT
    x0 AS `project`,
    x1 AS `received_at`,
    x2 AS `service`,
    x3 AS `resource_attributes`,
    x4 AS `resource_schema_url`,
    x5 AS `resource_dropped_attributes_count`,
    x6 AS `scope_name`,
    x7 AS `scope_version`,
    x8 AS `scope_attributes`,
    x9 AS `scope_schema_url`,
    x10 AS `scope_dropped_attributes_count`,
    x11 AS `trace_state`,
    x12 AS `flags`,
    x13 AS `name`,
    x14 AS `kind`,
    x15 AS `dropped_attributes_count`,
    x16 AS `dropped_events_count`,
    x17 AS `dropped_links_count`,
    x18 AS `trace_id`,
    x19 AS `span_id`,
    x20 AS `parent_span_id`,
    x21 AS `start_time`,
    x22 AS `end_time`,
    x23 AS `duration_ns`,
    x24 AS `status_code`,
    x25 AS `status_message`,
    x26 AS `keys`,
    x27 AS `types`,
    x28 AS `strings`,
    x29 AS `ints`,
    x30 AS `doubles`,
    x31 AS `bools`,
    x32 AS `jsons`,
    x33 AS `events.time`,
    x34 AS `events.name`,
    x35 AS `events.dropped_attributes_count`,
    x36 AS `events.attributes`,
    x37 AS `links.trace_id`,
    x38 AS `links.span_id`,
    x39 AS `links.trace_state`,
    x40 AS `links.flags`,
    x41 AS `links.dropped_attributes_count`,
    x42 AS `links.attributes`
FROM
(SELECT
    project AS `x0`,
    fromUnixTimestamp64Nano(toInt64(received_at), 'UTC') AS `x1`,
    service AS `x2`,
    resource_attributes AS `x3`,
    resource_schema_url AS `x4`,
    resource_dropped_attributes_count AS `x5`,
    scope_name AS `x6`,
    scope_version AS `x7`,
    scope_attributes AS `x8`,
    scope_schema_url AS `x9`,
    scope_dropped_attributes_count AS `x10`,
    s.trace_state AS `x11`,
    s.flags AS `x12`,
    s.name AS `x13`,
    s.kind AS `x14`,
    s.dropped_attributes_count AS `x15`,
    s.dropped_events_count AS `x16`,
    s.dropped_links_count AS `x17`,
    toFixedString(s.trace_id, 16) AS `x18`,
    toFixedString(s.span_id, 8) AS `x19`,
    toFixedString(s.parent_span_id, 8) AS `x20`,
    fromUnixTimestamp64Nano(toInt64(s.start_time_unix_nano), 'UTC') AS `x21`,
    fromUnixTimestamp64Nano(toInt64(s.end_time_unix_nano), 'UTC') AS `x22`,
    if(s.end_time_unix_nano > s.start_time_unix_nano, s.end_time_unix_nano - s.start_time_unix_nano, 0) AS `x23`,
    s.status.code AS `x24`,
    s.status.message AS `x25`,
    s.attributes.key AS `x26`,
    s.attributes.value.value AS `x27`,
    s.attributes.value.string_value AS `x28`,
    s.attributes.value.int_value AS `x29`,
    s.attributes.value.double_value AS `x30`,
    s.attributes.value.bool_value AS `x31`,
    arrayMap(v -> if(v.value IN ('none', 'array', 'bytes', 'json'), value_json(v), ''), s.attributes.value) AS `x32`,
    arrayMap(t -> fromUnixTimestamp64Nano(toInt64(least(t, 9223372036854775807)), 'UTC'), s.events.time_unix_nano) AS `x33`,
    s.events.name AS `x34`,
    s.events.dropped_attributes_count AS `x35`,
    arrayMap(x -> mapFromArrays(x.attributes.key, arrayMap(v -> value_json(v), x.attributes.value)), s.events) AS `x36`,
    s.links.trace_id AS `x37`,
    s.links.span_id AS `x38`,
    s.links.trace_state AS `x39`,
    s.links.flags AS `x40`,
    s.links.dropped_attributes_count AS `x41`,
    arrayMap(x -> mapFromArrays(x.attributes.key, arrayMap(v -> value_json(v), x.attributes.value)), s.links) AS `x42`
FROM
(SELECT project, received_at, rewritten, service, resource_attributes, resource_schema_url, resource_dropped_attributes_count,
    ss.scope.name AS `scope_name`,
    ss.scope.version AS `scope_version`,
    mapFromArrays(ss.scope.attributes.key, arrayMap(v -> value_json(v), ss.scope.attributes.value))::Map(LowCardinality(String), String) AS `scope_attributes`,
    ss.schema_url AS `scope_schema_url`,
    ss.scope.dropped_attributes_count AS `scope_dropped_attributes_count`,
    arrayJoin(ss.spans) AS s
FROM
(SELECT project, received_at, rewritten,
    mapFromArrays(rs.resource.attributes.key, arrayMap(v -> value_json(v), rs.resource.attributes.value))::Map(LowCardinality(String), String) AS `resource_attributes`,
    rs.schema_url AS `resource_schema_url`,
    rs.resource.dropped_attributes_count AS `resource_dropped_attributes_count`,
    JSONExtractString(resource_attributes['service.name']) AS service,
    arrayJoin(rs.scope_spans) AS ss
FROM
(SELECT project, received_at, rewritten, arrayJoin(request.resource_spans) AS rs FROM ingest))));
