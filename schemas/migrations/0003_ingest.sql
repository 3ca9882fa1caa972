-- Made by `python -m spanledger.schemas.ingest_sql`; change that, not this.

CREATE TABLE IF NOT EXISTS ingest
(
    project String,
    received_at UInt64,
    request Tuple(resource_spans Array(Tuple(resource Tuple(attributes Array(Tuple(key String, value Tuple(value Enum8('none' = 0, 'string' = 1, 'bool' = 2, 'int' = 3, 'double' = 4, 'array' = 5, 'bytes' = 7, 'json' = 100), string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String, array_value Tuple(values Array(Tuple(value Enum8('none' = 0, 'string' = 1, 'bool' = 2, 'int' = 3, 'double' = 4, 'bytes' = 7), string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String))), json_value String))), dropped_attributes_count UInt32), schema_url String, scope_spans Array(Tuple(scope Tuple(name String, version String, attributes Array(Tuple(key String, value Tuple(value Enum8('none' = 0, 'string' = 1, 'bool' = 2, 'int' = 3, 'double' = 4, 'array' = 5, 'bytes' = 7, 'json' = 100), string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String, array_value Tuple(values Array(Tuple(value Enum8('none' = 0, 'string' = 1, 'bool' = 2, 'int' = 3, 'double' = 4, 'bytes' = 7), string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String))), json_value String))), dropped_attributes_count UInt32), schema_url String, spans Array(Tuple(trace_id String, span_id String, trace_state String, parent_span_id String, name String, kind Int32, start_time_unix_nano UInt64, end_time_unix_nano UInt64, attributes Array(Tuple(key String, value Tuple(value Enum8('none' = 0, 'string' = 1, 'bool' = 2, 'int' = 3, 'double' = 4, 'array' = 5, 'bytes' = 7, 'json' = 100), string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String, array_value Tuple(values Array(Tuple(value Enum8('none' = 0, 'string' = 1, 'bool' = 2, 'int' = 3, 'double' = 4, 'bytes' = 7), string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String))), json_value String))), dropped_attributes_count UInt32, events Array(Tuple(time_unix_nano UInt64, name String, attributes Array(Tuple(key String, value Tuple(value Enum8('none' = 0, 'string' = 1, 'bool' = 2, 'int' = 3, 'double' = 4, 'array' = 5, 'bytes' = 7, 'json' = 100), string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String, array_value Tuple(values Array(Tuple(value Enum8('none' = 0, 'string' = 1, 'bool' = 2, 'int' = 3, 'double' = 4, 'bytes' = 7), string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String))), json_value String))), dropped_attributes_count UInt32)), dropped_events_count UInt32, links Array(Tuple(trace_id String, span_id String, trace_state String, flags UInt32, attributes Array(Tuple(key String, value Tuple(value Enum8('none' = 0, 'string' = 1, 'bool' = 2, 'int' = 3, 'double' = 4, 'array' = 5, 'bytes' = 7, 'json' = 100), string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String, array_value Tuple(values Array(Tuple(value Enum8('none' = 0, 'string' = 1, 'bool' = 2, 'int' = 3, 'double' = 4, 'bytes' = 7), string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String))), json_value String))), dropped_attributes_count UInt32)), dropped_links_count UInt32, status Tuple(message String, code Int32), flags UInt32))))))),
    rewritten Bool
)
ENGINE = Null;

CREATE TABLE IF NOT EXISTS ingest_rows ENGINE = Null EMPTY AS
WITH (v -> multiIf(tupleElement(v, 'value') = 'string', toJSONString(tupleElement(v, 'string_value')), tupleElement(v, 'value') = 'int', toString(tupleElement(v, 'int_value')), tupleElement(v, 'value') = 'bool', toString(tupleElement(v, 'bool_value')), tupleElement(v, 'value') = 'double', if(isFinite(tupleElement(v, 'double_value')), concat(toString(tupleElement(v, 'double_value')), if(tupleElement(v, 'double_value') = trunc(tupleElement(v, 'double_value')) AND abs(tupleElement(v, 'double_value')) < 1e15, '.0', '')), concat('{"@double":"', toString(tupleElement(v, 'double_value')), '"}')), tupleElement(v, 'value') = 'bytes', concat('{"@bytes":"', base64Encode(tupleElement(v, 'bytes_value')), '"}'), tupleElement(v, 'value') = 'array', concat('[', arrayStringConcat(arrayMap(e -> multiIf(tupleElement(e, 'value') = 'string', toJSONString(tupleElement(e, 'string_value')), tupleElement(e, 'value') = 'int', toString(tupleElement(e, 'int_value')), tupleElement(e, 'value') = 'bool', toString(tupleElement(e, 'bool_value')), tupleElement(e, 'value') = 'double', if(isFinite(tupleElement(e, 'double_value')), concat(toString(tupleElement(e, 'double_value')), if(tupleElement(e, 'double_value') = trunc(tupleElement(e, 'double_value')) AND abs(tupleElement(e, 'double_value')) < 1e15, '.0', '')), concat('{"@double":"', toString(tupleElement(e, 'double_value')), '"}')), tupleElement(e, 'value') = 'bytes', concat('{"@bytes":"', base64Encode(tupleElement(e, 'bytes_value')), '"}'), 'null'), tupleElement(tupleElement(v, 'array_value'), 'values')), ','), ']'), tupleElement(v, 'value') = 'json' AND rewritten, tupleElement(v, 'json_value'), 'null')) AS value_json
SELECT
    tupleElement(attributes, 'key') AS `keys`,
    tupleElement(values, 'value') AS `types`,
    tupleElement(values, 'string_value') AS `strings`,
    tupleElement(values, 'int_value') AS `ints`,
    tupleElement(values, 'double_value') AS `doubles`,
    tupleElement(values, 'bool_value') AS `bools`,
    arrayMap(v -> if(tupleElement(v, 'value') IN ('none', 'array', 'bytes', 'json'), value_json(v), ''), values) AS `jsons`,
    `started`,
    tuple(
    project,
    fromUnixTimestamp64Nano(toInt64(received_at), 'UTC'),
    service,
    resource_attributes,
    resource_schema_url,
    resource_dropped_attributes_count,
    scope_name,
    scope_version,
    scope_attributes,
    scope_schema_url,
    scope_dropped_attributes_count,
    tupleElement(s, 'trace_state'),
    tupleElement(s, 'flags'),
    tupleElement(s, 'name'),
    tupleElement(s, 'kind'),
    tupleElement(s, 'dropped_attributes_count'),
    tupleElement(s, 'dropped_events_count'),
    tupleElement(s, 'dropped_links_count'),
    toFixedString(tupleElement(s, 'trace_id'), 16),
    toFixedString(tupleElement(s, 'span_id'), 8),
    toFixedString(tupleElement(s, 'parent_span_id'), 8),
    started,
    fromUnixTimestamp64Nano(toInt64(tupleElement(s, 'end_time_unix_nano')), 'UTC'),
    if(tupleElement(s, 'end_time_unix_nano') > tupleElement(s, 'start_time_unix_nano'), tupleElement(s, 'end_time_unix_nano') - tupleElement(s, 'start_time_unix_nano'), 0),
    tupleElement(tupleElement(s, 'status'), 'code'),
    tupleElement(tupleElement(s, 'status'), 'message'),
    arrayMap(t -> fromUnixTimestamp64Nano(toInt64(least(t, 9223372036854775807)), 'UTC'), tupleElement(events, 'time_unix_nano')),
    arraySlice(attributes_beside, 1, length(events)),
    arraySlice(attributes_beside, length(events) + 1),
    tupleElement(events, 'name'),
    tupleElement(events, 'dropped_attributes_count'),
    tupleElement(links, 'trace_id'),
    tupleElement(links, 'span_id'),
    tupleElement(links, 'trace_state'),
    tupleElement(links, 'flags'),
    tupleElement(links, 'dropped_attributes_count')) AS sent
FROM
(SELECT *,
    tupleElement(attributes, 'value') AS `values`,
    fromUnixTimestamp64Nano(toInt64(tupleElement(s, 'start_time_unix_nano')), 'UTC') AS `started`,
    arrayMap(x -> mapFromArrays(tupleElement(x, 'key'), arrayMap(v -> value_json(v), tupleElement(x, 'value'))), arrayConcat(tupleElement(events, 'attributes'), tupleElement(links, 'attributes'))) AS `attributes_beside`
FROM
(SELECT *,
    tupleElement(s, 'attributes') AS `attributes`,
    tupleElement(s, 'events') AS `events`,
    tupleElement(s, 'links') AS `links`
FROM
(SELECT project, received_at, rewritten,
    attributes_above[1] AS `resource_attributes`,
    tupleElement(rs, 'schema_url') AS `resource_schema_url`,
    tupleElement(tupleElement(rs, 'resource'), 'dropped_attributes_count') AS `resource_dropped_attributes_count`,
    tupleElement(tupleElement(ss, 'scope'), 'name') AS `scope_name`,
    tupleElement(tupleElement(ss, 'scope'), 'version') AS `scope_version`,
    attributes_above[2] AS `scope_attributes`,
    tupleElement(ss, 'schema_url') AS `scope_schema_url`,
    tupleElement(tupleElement(ss, 'scope'), 'dropped_attributes_count') AS `scope_dropped_attributes_count`,
    JSONExtractString(attributes_above[1]['service.name']) AS service,
    arrayJoin(tupleElement(ss, 'spans')) AS s
FROM
(SELECT *,
    arrayMap(x -> mapFromArrays(tupleElement(x, 'key'), arrayMap(v -> value_json(v), tupleElement(x, 'value'))), [tupleElement(tupleElement(rs, 'resource'), 'attributes'), tupleElement(tupleElement(ss, 'scope'), 'attributes')]) AS `attributes_above`
FROM
(SELECT *, arrayJoin(tupleElement(rs, 'scope_spans')) AS ss
FROM
(SELECT project, received_at, rewritten, arrayJoin(tupleElement(request, 'resource_spans')) AS rs
FROM ingest))))));

CREATE TABLE IF NOT EXISTS ingest_fields ENGINE = Null EMPTY AS
WITH (v -> multiIf(tupleElement(v, 'value') = 'string', toJSONString(tupleElement(v, 'string_value')), tupleElement(v, 'value') = 'int', toString(tupleElement(v, 'int_value')), tupleElement(v, 'value') = 'bool', toString(tupleElement(v, 'bool_value')), tupleElement(v, 'value') = 'double', if(isFinite(tupleElement(v, 'double_value')), concat(toString(tupleElement(v, 'double_value')), if(tupleElement(v, 'double_value') = trunc(tupleElement(v, 'double_value')) AND abs(tupleElement(v, 'double_value')) < 1e15, '.0', '')), concat('{"@double":"', toString(tupleElement(v, 'double_value')), '"}')), tupleElement(v, 'value') = 'bytes', concat('{"@bytes":"', base64Encode(tupleElement(v, 'bytes_value')), '"}'), tupleElement(v, 'value') = 'array', concat('[', arrayStringConcat(arrayMap(e -> multiIf(tupleElement(e, 'value') = 'string', toJSONString(tupleElement(e, 'string_value')), tupleElement(e, 'value') = 'int', toString(tupleElement(e, 'int_value')), tupleElement(e, 'value') = 'bool', toString(tupleElement(e, 'bool_value')), tupleElement(e, 'value') = 'double', if(isFinite(tupleElement(e, 'double_value')), concat(toString(tupleElement(e, 'double_value')), if(tupleElement(e, 'double_value') = trunc(tupleElement(e, 'double_value')) AND abs(tupleElement(e, 'double_value')) < 1e15, '.0', '')), concat('{"@double":"', toString(tupleElement(e, 'double_value')), '"}')), tupleElement(e, 'value') = 'bytes', concat('{"@bytes":"', base64Encode(tupleElement(e, 'bytes_value')), '"}'), 'null'), tupleElement(tupleElement(v, 'array_value'), 'values')), ','), ']'), tupleElement(v, 'value') = 'json' AND rewritten, tupleElement(v, 'json_value'), 'null')) AS value_json
SELECT
    `sent`,
    `started`,
    transform(t_operation, ['chat', 'generate_content', 'text_completion', 'embeddings', 'execute_tool', 'invoke_agent', 'create_agent', 'invoke_workflow', 'plan', 'retrieval', 'fetch_response'], ['LLM', 'LLM', 'LLM', 'EMBEDDING', 'TOOL', 'AGENT', 'AGENT', 'WORKFLOW', 'WORKFLOW', 'RETRIEVER', 'FETCH'], 'OTHER') AS `role`,
    t_provider AS `provider`,
    t_request_model AS `request_model`,
    t_response_model AS `response_model`,
    toUInt64OrNull(t_input_tokens) AS `input_tokens`,
    toUInt64OrNull(t_output_tokens) AS `output_tokens`,
    toUInt64OrNull(t_cache_read_tokens) AS `cache_read_tokens`,
    toUInt64OrNull(t_cache_write_tokens) AS `cache_write_tokens`,
    toUInt64OrNull(t_reasoning_tokens) AS `reasoning_tokens`,
    toUInt64OrNull(t_input_audio_tokens) AS `input_audio_tokens`,
    toUInt64OrNull(t_output_audio_tokens) AS `output_audio_tokens`,
    if(toDecimal128OrNull(t_cost_reported_usd, 18) >= 0, toDecimal128OrNull(t_cost_reported_usd, 18), NULL) AS `cost_reported_usd`,
    t_cost_origin AS `cost_origin`,
    t_cost_currency AS `cost_currency`,
    tuple(
    mapFromArrays(arrayFilter((k, h) -> h = 1, keys, homes), arrayFilter((v, h) -> h = 1, strings, homes)),
    mapFromArrays(arrayFilter((k, h) -> h = 2, keys, homes), arrayFilter((v, h) -> h = 2, ints, homes)),
    mapFromArrays(arrayFilter((k, h) -> h = 3, keys, homes), arrayFilter((v, h) -> h = 3, doubles, homes)),
    mapFromArrays(arrayFilter((k, h) -> h = 4, keys, homes), arrayFilter((v, h) -> h = 4, bools, homes)),
    mapFromArrays(arrayFilter((k, h) -> h = 5, keys, homes), arrayFilter((v, h) -> h = 5, jsons, homes)),
    mapFromArrays(arrayFilter((k, h) -> h = 6, keys, homes), arrayFilter((v, h) -> h = 6, strings, homes)),
    mapFromArrays(arrayFilter((k, h) -> h = 7, keys, homes), arrayFilter((v, h) -> h = 7, jsons, homes)),
    t_operation,
    t_response_id,
    t_conversation_id,
    t_user_id,
    t_tool_name,
    t_agent_name,
    t_experiment_id,
    t_error_type,
    if(startsWith(t_tags, '['), JSONExtract(t_tags, 'Array(String)'), if(t_tags = '', [], [t_tags])),
    if(startsWith(t_finish_reasons, '['), JSONExtract(t_finish_reasons, 'Array(String)'), if(t_finish_reasons = '', [], [t_finish_reasons])),
    if(isFinite(toFloat64OrNull(t_time_to_first_chunk_s)), toFloat64OrNull(t_time_to_first_chunk_s), NULL)) AS found
FROM
(SELECT
    `sent`,
    `started`,
    `keys`,
    `strings`,
    `ints`,
    `doubles`,
    `bools`,
    `jsons`,
    `homes`,
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
    arrayMap(r -> r % 4294967296, ranks) AS `places`,
    arrayMap((t, c) -> multiIf(c = 65280, 0, t = 'string', if(c < 51200, 1, 6), t = 'int', 2, t = 'double', 3, t = 'bool', 4, if(c < 51200, 5, 7)), types, codes) AS `homes`
FROM
(SELECT *,
    arrayMap((c, t, s, i, d, j) -> multiIf(c = 0 OR c >= 51200, '', t = 'string', s, t = 'int', toString(i), t = 'double', toString(d), j), codes, types, strings, ints, doubles, jsons) AS `texts`,
    arraySort(arrayFilter(r -> r > 0, arrayMap((c, t, s, i) -> if(c = 0 OR c >= 51200 OR t = 'none' OR (t = 'string' AND empty(s)), 0, toUInt64(c) * 4294967296 + i), codes, types, strings, arrayEnumerate(codes)))) AS `ranks`
FROM
(SELECT *,
    if(empty(again), known, arrayMap((c, a) -> if(a, 65280, c), known, again)) AS `codes`
FROM
(SELECT *,
    arrayMap(k -> transform(k, ['gen_ai.operation.name', 'gen_ai.provider.name', 'gen_ai.system', 'gen_ai.request.model', 'gen_ai.response.model', 'gen_ai.response.id', 'gen_ai.conversation.id', 'session.id', 'user.id', 'enduser.id', 'gen_ai.tool.name', 'gen_ai.agent.name', 'spanledger.experiment.id', 'error.type', 'spanledger.tags', 'gen_ai.response.finish_reasons', 'gen_ai.response.time_to_first_chunk', 'gen_ai.usage.input_tokens', 'gen_ai.usage.prompt_tokens', 'gen_ai.usage.output_tokens', 'gen_ai.usage.completion_tokens', 'gen_ai.usage.cache_read.input_tokens', 'gen_ai.usage.cache_write.input_tokens', 'gen_ai.usage.cache_creation.input_tokens', 'gen_ai.usage.reasoning.output_tokens', 'gen_ai.usage.audio.input_tokens', 'gen_ai.usage.audio.output_tokens', 'spanledger.cost.total', 'gen_ai.usage.cost.amount', 'gen_ai.usage.cost.source', 'gen_ai.usage.cost.currency', 'gen_ai.input.messages', 'gen_ai.output.messages', 'gen_ai.system_instructions', 'gen_ai.tool.definitions', 'gen_ai.tool.call.arguments', 'gen_ai.tool.call.result', 'gen_ai.retrieval.documents', 'gen_ai.prompt', 'gen_ai.completion'], [256, 512, 513, 768, 1024, 1280, 1536, 1537, 1792, 1793, 2048, 2304, 2560, 2816, 3072, 3328, 3584, 3840, 3841, 4096, 4097, 4352, 4608, 4609, 4864, 5120, 5376, 5632, 5633, 5888, 6144, 51200, 51201, 51202, 51203, 51204, 51205, 51206, 51207, 51208], 0), keys) AS `known`,
    if(arrayUniq(keys) = length(keys), [], arrayMap((k, i) -> has(arraySlice(keys, i + 1), k), keys, arrayEnumerate(keys))) AS `again`
FROM
(SELECT * FROM ingest_rows))))));

CREATE MATERIALIZED VIEW IF NOT EXISTS price TO spans AS
SELECT
    tupleElement(sent, 1) AS `project`,
    tupleElement(sent, 2) AS `received_at`,
    tupleElement(sent, 3) AS `service`,
    tupleElement(sent, 4) AS `resource_attributes`,
    tupleElement(sent, 5) AS `resource_schema_url`,
    tupleElement(sent, 6) AS `resource_dropped_attributes_count`,
    tupleElement(sent, 7) AS `scope_name`,
    tupleElement(sent, 8) AS `scope_version`,
    tupleElement(sent, 9) AS `scope_attributes`,
    tupleElement(sent, 10) AS `scope_schema_url`,
    tupleElement(sent, 11) AS `scope_dropped_attributes_count`,
    tupleElement(sent, 12) AS `trace_state`,
    tupleElement(sent, 13) AS `flags`,
    tupleElement(sent, 14) AS `name`,
    tupleElement(sent, 15) AS `kind`,
    tupleElement(sent, 16) AS `dropped_attributes_count`,
    tupleElement(sent, 17) AS `dropped_events_count`,
    tupleElement(sent, 18) AS `dropped_links_count`,
    tupleElement(sent, 19) AS `trace_id`,
    tupleElement(sent, 20) AS `span_id`,
    tupleElement(sent, 21) AS `parent_span_id`,
    tupleElement(sent, 22) AS `start_time`,
    tupleElement(sent, 23) AS `end_time`,
    tupleElement(sent, 24) AS `duration_ns`,
    tupleElement(sent, 25) AS `status_code`,
    tupleElement(sent, 26) AS `status_message`,
    tupleElement(sent, 27) AS `events.time`,
    tupleElement(sent, 28) AS `events.attributes`,
    tupleElement(sent, 29) AS `links.attributes`,
    tupleElement(sent, 30) AS `events.name`,
    tupleElement(sent, 31) AS `events.dropped_attributes_count`,
    tupleElement(sent, 32) AS `links.trace_id`,
    tupleElement(sent, 33) AS `links.span_id`,
    tupleElement(sent, 34) AS `links.trace_state`,
    tupleElement(sent, 35) AS `links.flags`,
    tupleElement(sent, 36) AS `links.dropped_attributes_count`,
    tupleElement(found, 1) AS `attributes_string`,
    tupleElement(found, 2) AS `attributes_int`,
    tupleElement(found, 3) AS `attributes_double`,
    tupleElement(found, 4) AS `attributes_bool`,
    tupleElement(found, 5) AS `attributes_json`,
    tupleElement(found, 6) AS `content_string`,
    tupleElement(found, 7) AS `content_json`,
    tupleElement(found, 8) AS `operation`,
    tupleElement(found, 9) AS `response_id`,
    tupleElement(found, 10) AS `conversation_id`,
    tupleElement(found, 11) AS `user_id`,
    tupleElement(found, 12) AS `tool_name`,
    tupleElement(found, 13) AS `agent_name`,
    tupleElement(found, 14) AS `experiment_id`,
    tupleElement(found, 15) AS `error_type`,
    tupleElement(found, 16) AS `tags`,
    tupleElement(found, 17) AS `finish_reasons`,
    tupleElement(found, 18) AS `time_to_first_chunk_s`,
    `role`,
    `provider`,
    `request_model`,
    `response_model`,
    all_input AS `input_tokens`,
    `output_tokens`,
    `cache_read_tokens`,
    `cache_write_tokens`,
    `reasoning_tokens`,
    `input_audio_tokens`,
    `output_audio_tokens`,
    `cost_reported_usd`,
    if(computed, computed_input, NULL) AS `cost_input_usd`,
    if(computed, computed_output, NULL) AS `cost_output_usd`,
    multiIf(reported, cost_reported_usd, computed, computed_input + computed_output + ifNull(tupleElement(rate, 8), 0), NULL) AS `cost_usd`,
    multiIf(reported, 'reported', computed, 'computed', '') AS `cost_source`,
    multiIf(reported OR computed, '', NOT counted, if(used, 'not_counted', ''), NOT used, 'no_usage', model = '', 'no_model', matched_model = '', 'unknown_model', NOT priced, 'unit_not_priced', 'impossible_usage') AS `cost_reason`,
    if(computed, matched_model, '') AS `price_model`,
    if(computed, period.1, '') AS `price_version`
FROM
(SELECT *,
    toInt64(ifNull(all_input, 0)) - n_cache_read - n_cache_write - n_input_audio AS `n_input`,
    toInt64(ifNull(output_tokens, 0)) - n_reasoning - n_output_audio AS `n_output`,
    counted AND priced AND used AND n_input >= 0 AND n_output >= 0 AS `computable`,
    counted AND cost_reported_usd IS NOT NULL AND lower(cost_currency) IN ('', 'usd') AND (NOT computable OR cost_origin = 'provider') AS `reported`,
    computable AND NOT reported AS `computed`,
    n_input * ifNull(tupleElement(rate, 1), 0) + n_cache_read * ifNull(tupleElement(rate, 2), 0) + n_cache_write * ifNull(tupleElement(rate, 3), 0) + n_input_audio * ifNull(tupleElement(rate, 4), 0) AS `computed_input`,
    n_output * ifNull(tupleElement(rate, 5), 0) + n_reasoning * ifNull(tupleElement(rate, 6), 0) + n_output_audio * ifNull(tupleElement(rate, 7), 0) AS `computed_output`
FROM
(SELECT *,
    if(tupleElement(rate, 2) IS NULL, 0, toInt64(ifNull(cache_read_tokens, 0))) AS `n_cache_read`,
    if(tupleElement(rate, 3) IS NULL, 0, toInt64(ifNull(cache_write_tokens, 0))) AS `n_cache_write`,
    if(tupleElement(rate, 4) IS NULL, 0, toInt64(ifNull(input_audio_tokens, 0))) AS `n_input_audio`,
    if(tupleElement(rate, 6) IS NULL, 0, toInt64(ifNull(reasoning_tokens, 0))) AS `n_reasoning`,
    if(tupleElement(rate, 7) IS NULL, 0, toInt64(ifNull(output_audio_tokens, 0))) AS `n_output_audio`,
    tupleElement(rate, 1) IS NOT NULL OR tupleElement(rate, 5) IS NOT NULL OR tupleElement(rate, 8) IS NOT NULL AS `priced`,
    all_input IS NOT NULL OR output_tokens IS NOT NULL AS `used`
FROM
(SELECT *,
    dictGet('{database}.price_rate', ('input', 'cache_read', 'cache_write', 'input_audio', 'output', 'reasoning', 'output_audio', 'request'), period.2 * 16 + arrayCount(start -> start < all_input, period.3)) AS `rate`
FROM
(SELECT *,
    dictGet('{database}.price_period', ('price_version', 'period', 'tier_starts'), tuple(matched_model), toDateTime(started)) AS `period`
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
(SELECT * FROM ingest_fields)))))));

CREATE MATERIALIZED VIEW IF NOT EXISTS recognise TO ingest_fields AS
WITH (v -> multiIf(tupleElement(v, 'value') = 'string', toJSONString(tupleElement(v, 'string_value')), tupleElement(v, 'value') = 'int', toString(tupleElement(v, 'int_value')), tupleElement(v, 'value') = 'bool', toString(tupleElement(v, 'bool_value')), tupleElement(v, 'value') = 'double', if(isFinite(tupleElement(v, 'double_value')), concat(toString(tupleElement(v, 'double_value')), if(tupleElement(v, 'double_value') = trunc(tupleElement(v, 'double_value')) AND abs(tupleElement(v, 'double_value')) < 1e15, '.0', '')), concat('{"@double":"', toString(tupleElement(v, 'double_value')), '"}')), tupleElement(v, 'value') = 'bytes', concat('{"@bytes":"', base64Encode(tupleElement(v, 'bytes_value')), '"}'), tupleElement(v, 'value') = 'array', concat('[', arrayStringConcat(arrayMap(e -> multiIf(tupleElement(e, 'value') = 'string', toJSONString(tupleElement(e, 'string_value')), tupleElement(e, 'value') = 'int', toString(tupleElement(e, 'int_value')), tupleElement(e, 'value') = 'bool', toString(tupleElement(e, 'bool_value')), tupleElement(e, 'value') = 'double', if(isFinite(tupleElement(e, 'double_value')), concat(toString(tupleElement(e, 'double_value')), if(tupleElement(e, 'double_value') = trunc(tupleElement(e, 'double_value')) AND abs(tupleElement(e, 'double_value')) < 1e15, '.0', '')), concat('{"@double":"', toString(tupleElement(e, 'double_value')), '"}')), tupleElement(e, 'value') = 'bytes', concat('{"@bytes":"', base64Encode(tupleElement(e, 'bytes_value')), '"}'), 'null'), tupleElement(tupleElement(v, 'array_value'), 'values')), ','), ']'), tupleElement(v, 'value') = 'json' AND rewritten, tupleElement(v, 'json_value'), 'null')) AS value_json
SELECT
    `sent`,
    `started`,
    transform(t_operation, ['chat', 'generate_content', 'text_completion', 'embeddings', 'execute_tool', 'invoke_agent', 'create_agent', 'invoke_workflow', 'plan', 'retrieval', 'fetch_response'], ['LLM', 'LLM', 'LLM', 'EMBEDDING', 'TOOL', 'AGENT', 'AGENT', 'WORKFLOW', 'WORKFLOW', 'RETRIEVER', 'FETCH'], 'OTHER') AS `role`,
    t_provider AS `provider`,
    t_request_model AS `request_model`,
    t_response_model AS `response_model`,
    toUInt64OrNull(t_input_tokens) AS `input_tokens`,
    toUInt64OrNull(t_output_tokens) AS `output_tokens`,
    toUInt64OrNull(t_cache_read_tokens) AS `cache_read_tokens`,
    toUInt64OrNull(t_cache_write_tokens) AS `cache_write_tokens`,
    toUInt64OrNull(t_reasoning_tokens) AS `reasoning_tokens`,
    toUInt64OrNull(t_input_audio_tokens) AS `input_audio_tokens`,
    toUInt64OrNull(t_output_audio_tokens) AS `output_audio_tokens`,
    if(toDecimal128OrNull(t_cost_reported_usd, 18) >= 0, toDecimal128OrNull(t_cost_reported_usd, 18), NULL) AS `cost_reported_usd`,
    t_cost_origin AS `cost_origin`,
    t_cost_currency AS `cost_currency`,
    tuple(
    mapFromArrays(arrayFilter((k, h) -> h = 1, keys, homes), arrayFilter((v, h) -> h = 1, strings, homes)),
    mapFromArrays(arrayFilter((k, h) -> h = 2, keys, homes), arrayFilter((v, h) -> h = 2, ints, homes)),
    mapFromArrays(arrayFilter((k, h) -> h = 3, keys, homes), arrayFilter((v, h) -> h = 3, doubles, homes)),
    mapFromArrays(arrayFilter((k, h) -> h = 4, keys, homes), arrayFilter((v, h) -> h = 4, bools, homes)),
    mapFromArrays(arrayFilter((k, h) -> h = 5, keys, homes), arrayFilter((v, h) -> h = 5, jsons, homes)),
    mapFromArrays(arrayFilter((k, h) -> h = 6, keys, homes), arrayFilter((v, h) -> h = 6, strings, homes)),
    mapFromArrays(arrayFilter((k, h) -> h = 7, keys, homes), arrayFilter((v, h) -> h = 7, jsons, homes)),
    t_operation,
    t_response_id,
    t_conversation_id,
    t_user_id,
    t_tool_name,
    t_agent_name,
    t_experiment_id,
    t_error_type,
    if(startsWith(t_tags, '['), JSONExtract(t_tags, 'Array(String)'), if(t_tags = '', [], [t_tags])),
    if(startsWith(t_finish_reasons, '['), JSONExtract(t_finish_reasons, 'Array(String)'), if(t_finish_reasons = '', [], [t_finish_reasons])),
    if(isFinite(toFloat64OrNull(t_time_to_first_chunk_s)), toFloat64OrNull(t_time_to_first_chunk_s), NULL)) AS found
FROM
(SELECT
    `sent`,
    `started`,
    `keys`,
    `strings`,
    `ints`,
    `doubles`,
    `bools`,
    `jsons`,
    `homes`,
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
    arrayMap(r -> r % 4294967296, ranks) AS `places`,
    arrayMap((t, c) -> multiIf(c = 65280, 0, t = 'string', if(c < 51200, 1, 6), t = 'int', 2, t = 'double', 3, t = 'bool', 4, if(c < 51200, 5, 7)), types, codes) AS `homes`
FROM
(SELECT *,
    arrayMap((c, t, s, i, d, j) -> multiIf(c = 0 OR c >= 51200, '', t = 'string', s, t = 'int', toString(i), t = 'double', toString(d), j), codes, types, strings, ints, doubles, jsons) AS `texts`,
    arraySort(arrayFilter(r -> r > 0, arrayMap((c, t, s, i) -> if(c = 0 OR c >= 51200 OR t = 'none' OR (t = 'string' AND empty(s)), 0, toUInt64(c) * 4294967296 + i), codes, types, strings, arrayEnumerate(codes)))) AS `ranks`
FROM
(SELECT *,
    if(empty(again), known, arrayMap((c, a) -> if(a, 65280, c), known, again)) AS `codes`
FROM
(SELECT *,
    arrayMap(k -> transform(k, ['gen_ai.operation.name', 'gen_ai.provider.name', 'gen_ai.system', 'gen_ai.request.model', 'gen_ai.response.model', 'gen_ai.response.id', 'gen_ai.conversation.id', 'session.id', 'user.id', 'enduser.id', 'gen_ai.tool.name', 'gen_ai.agent.name', 'spanledger.experiment.id', 'error.type', 'spanledger.tags', 'gen_ai.response.finish_reasons', 'gen_ai.response.time_to_first_chunk', 'gen_ai.usage.input_tokens', 'gen_ai.usage.prompt_tokens', 'gen_ai.usage.output_tokens', 'gen_ai.usage.completion_tokens', 'gen_ai.usage.cache_read.input_tokens', 'gen_ai.usage.cache_write.input_tokens', 'gen_ai.usage.cache_creation.input_tokens', 'gen_ai.usage.reasoning.output_tokens', 'gen_ai.usage.audio.input_tokens', 'gen_ai.usage.audio.output_tokens', 'spanledger.cost.total', 'gen_ai.usage.cost.amount', 'gen_ai.usage.cost.source', 'gen_ai.usage.cost.currency', 'gen_ai.input.messages', 'gen_ai.output.messages', 'gen_ai.system_instructions', 'gen_ai.tool.definitions', 'gen_ai.tool.call.arguments', 'gen_ai.tool.call.result', 'gen_ai.retrieval.documents', 'gen_ai.prompt', 'gen_ai.completion'], [256, 512, 513, 768, 1024, 1280, 1536, 1537, 1792, 1793, 2048, 2304, 2560, 2816, 3072, 3328, 3584, 3840, 3841, 4096, 4097, 4352, 4608, 4609, 4864, 5120, 5376, 5632, 5633, 5888, 6144, 51200, 51201, 51202, 51203, 51204, 51205, 51206, 51207, 51208], 0), keys) AS `known`,
    if(arrayUniq(keys) = length(keys), [], arrayMap((k, i) -> has(arraySlice(keys, i + 1), k), keys, arrayEnumerate(keys))) AS `again`
FROM
(SELECT * FROM ingest_rows))))));

CREATE MATERIALIZED VIEW IF NOT EXISTS unpack TO ingest_rows AS
WITH (v -> multiIf(tupleElement(v, 'value') = 'string', toJSONString(tupleElement(v, 'string_value')), tupleElement(v, 'value') = 'int', toString(tupleElement(v, 'int_value')), tupleElement(v, 'value') = 'bool', toString(tupleElement(v, 'bool_value')), tupleElement(v, 'value') = 'double', if(isFinite(tupleElement(v, 'double_value')), concat(toString(tupleElement(v, 'double_value')), if(tupleElement(v, 'double_value') = trunc(tupleElement(v, 'double_value')) AND abs(tupleElement(v, 'double_value')) < 1e15, '.0', '')), concat('{"@double":"', toString(tupleElement(v, 'double_value')), '"}')), tupleElement(v, 'value') = 'bytes', concat('{"@bytes":"', base64Encode(tupleElement(v, 'bytes_value')), '"}'), tupleElement(v, 'value') = 'array', concat('[', arrayStringConcat(arrayMap(e -> multiIf(tupleElement(e, 'value') = 'string', toJSONString(tupleElement(e, 'string_value')), tupleElement(e, 'value') = 'int', toString(tupleElement(e, 'int_value')), tupleElement(e, 'value') = 'bool', toString(tupleElement(e, 'bool_value')), tupleElement(e, 'value') = 'double', if(isFinite(tupleElement(e, 'double_value')), concat(toString(tupleElement(e, 'double_value')), if(tupleElement(e, 'double_value') = trunc(tupleElement(e, 'double_value')) AND abs(tupleElement(e, 'double_value')) < 1e15, '.0', '')), concat('{"@double":"', toString(tupleElement(e, 'double_value')), '"}')), tupleElement(e, 'value') = 'bytes', concat('{"@bytes":"', base64Encode(tupleElement(e, 'bytes_value')), '"}'), 'null'), tupleElement(tupleElement(v, 'array_value'), 'values')), ','), ']'), tupleElement(v, 'value') = 'json' AND rewritten, tupleElement(v, 'json_value'), 'null')) AS value_json
SELECT
    tupleElement(attributes, 'key') AS `keys`,
    tupleElement(values, 'value') AS `types`,
    tupleElement(values, 'string_value') AS `strings`,
    tupleElement(values, 'int_value') AS `ints`,
    tupleElement(values, 'double_value') AS `doubles`,
    tupleElement(values, 'bool_value') AS `bools`,
    arrayMap(v -> if(tupleElement(v, 'value') IN ('none', 'array', 'bytes', 'json'), value_json(v), ''), values) AS `jsons`,
    `started`,
    tuple(
    project,
    fromUnixTimestamp64Nano(toInt64(received_at), 'UTC'),
    service,
    resource_attributes,
    resource_schema_url,
    resource_dropped_attributes_count,
    scope_name,
    scope_version,
    scope_attributes,
    scope_schema_url,
    scope_dropped_attributes_count,
    tupleElement(s, 'trace_state'),
    tupleElement(s, 'flags'),
    tupleElement(s, 'name'),
    tupleElement(s, 'kind'),
    tupleElement(s, 'dropped_attributes_count'),
    tupleElement(s, 'dropped_events_count'),
    tupleElement(s, 'dropped_links_count'),
    toFixedString(tupleElement(s, 'trace_id'), 16),
    toFixedString(tupleElement(s, 'span_id'), 8),
    toFixedString(tupleElement(s, 'parent_span_id'), 8),
    started,
    fromUnixTimestamp64Nano(toInt64(tupleElement(s, 'end_time_unix_nano')), 'UTC'),
    if(tupleElement(s, 'end_time_unix_nano') > tupleElement(s, 'start_time_unix_nano'), tupleElement(s, 'end_time_unix_nano') - tupleElement(s, 'start_time_unix_nano'), 0),
    tupleElement(tupleElement(s, 'status'), 'code'),
    tupleElement(tupleElement(s, 'status'), 'message'),
    arrayMap(t -> fromUnixTimestamp64Nano(toInt64(least(t, 9223372036854775807)), 'UTC'), tupleElement(events, 'time_unix_nano')),
    arraySlice(attributes_beside, 1, length(events)),
    arraySlice(attributes_beside, length(events) + 1),
    tupleElement(events, 'name'),
    tupleElement(events, 'dropped_attributes_count'),
    tupleElement(links, 'trace_id'),
    tupleElement(links, 'span_id'),
    tupleElement(links, 'trace_state'),
    tupleElement(links, 'flags'),
    tupleElement(links, 'dropped_attributes_count')) AS sent
FROM
(SELECT *,
    tupleElement(attributes, 'value') AS `values`,
    fromUnixTimestamp64Nano(toInt64(tupleElement(s, 'start_time_unix_nano')), 'UTC') AS `started`,
    arrayMap(x -> mapFromArrays(tupleElement(x, 'key'), arrayMap(v -> value_json(v), tupleElement(x, 'value'))), arrayConcat(tupleElement(events, 'attributes'), tupleElement(links, 'attributes'))) AS `attributes_beside`
FROM
(SELECT *,
    tupleElement(s, 'attributes') AS `attributes`,
    tupleElement(s, 'events') AS `events`,
    tupleElement(s, 'links') AS `links`
FROM
(SELECT project, received_at, rewritten,
    attributes_above[1] AS `resource_attributes`,
    tupleElement(rs, 'schema_url') AS `resource_schema_url`,
    tupleElement(tupleElement(rs, 'resource'), 'dropped_attributes_count') AS `resource_dropped_attributes_count`,
    tupleElement(tupleElement(ss, 'scope'), 'name') AS `scope_name`,
    tupleElement(tupleElement(ss, 'scope'), 'version') AS `scope_version`,
    attributes_above[2] AS `scope_attributes`,
    tupleElement(ss, 'schema_url') AS `scope_schema_url`,
    tupleElement(tupleElement(ss, 'scope'), 'dropped_attributes_count') AS `scope_dropped_attributes_count`,
    JSONExtractString(attributes_above[1]['service.name']) AS service,
    arrayJoin(tupleElement(ss, 'spans')) AS s
FROM
(SELECT *,
    arrayMap(x -> mapFromArrays(tupleElement(x, 'key'), arrayMap(v -> value_json(v), tupleElement(x, 'value'))), [tupleElement(tupleElement(rs, 'resource'), 'attributes'), tupleElement(tupleElement(ss, 'scope'), 'attributes')]) AS `attributes_above`
FROM
(SELECT *, arrayJoin(tupleElement(rs, 'scope_spans')) AS ss
FROM
(SELECT project, received_at, rewritten, arrayJoin(tupleElement(request, 'resource_spans')) AS rs
FROM ingest))))));
