"""Names of the span attributes that our instrumentation writes, kept as our own constants.

The generated constants of the conventions are frozen at an old version and marked deprecated,
so the living names stand here once. This module imports nothing of ours.
"""

from typing import Final

# --- GenAI conventions: operation and request -------------------------------------------------
OPERATION_NAME: Final = "gen_ai.operation.name"
PROVIDER_NAME: Final = "gen_ai.provider.name"
CONVERSATION_ID: Final = "gen_ai.conversation.id"
OUTPUT_TYPE: Final = "gen_ai.output.type"
REQUEST_MODEL: Final = "gen_ai.request.model"
REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
REQUEST_TEMPERATURE: Final = "gen_ai.request.temperature"
REQUEST_TOP_P: Final = "gen_ai.request.top_p"
REQUEST_TOP_K: Final = "gen_ai.request.top_k"
REQUEST_SEED: Final = "gen_ai.request.seed"
REQUEST_STOP_SEQUENCES: Final = "gen_ai.request.stop_sequences"
REQUEST_FREQUENCY_PENALTY: Final = "gen_ai.request.frequency_penalty"
REQUEST_PRESENCE_PENALTY: Final = "gen_ai.request.presence_penalty"
REQUEST_CHOICE_COUNT: Final = "gen_ai.request.choice.count"
REQUEST_STREAM: Final = "gen_ai.request.stream"
REQUEST_REASONING_LEVEL: Final = "gen_ai.request.reasoning.level"
REQUEST_PREVIOUS_RESPONSE_ID: Final = "gen_ai.request.previous_response.id"
REQUEST_ENCODING_FORMATS: Final = "gen_ai.request.encoding_formats"
EMBEDDINGS_DIMENSION_COUNT: Final = "gen_ai.embeddings.dimension.count"
PROMPT_NAME: Final = "gen_ai.prompt.name"
PROMPT_VERSION: Final = "gen_ai.prompt.version"
PROMPT_VARIABLE_PREFIX: Final = "gen_ai.prompt.variable."

# --- GenAI conventions: response and usage ----------------------------------------------------
RESPONSE_ID: Final = "gen_ai.response.id"
RESPONSE_MODEL: Final = "gen_ai.response.model"
RESPONSE_FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
RESPONSE_TIME_TO_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"

# Input tokens include the cached ones, output tokens include reasoning; the rest are parts of them.
USAGE_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
USAGE_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
USAGE_CACHE_READ_INPUT_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
USAGE_CACHE_WRITE_INPUT_TOKENS: Final = "gen_ai.usage.cache_write.input_tokens"
USAGE_REASONING_OUTPUT_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
USAGE_TEXT_INPUT_TOKENS: Final = "gen_ai.usage.text.input_tokens"
USAGE_TEXT_OUTPUT_TOKENS: Final = "gen_ai.usage.text.output_tokens"
USAGE_IMAGE_INPUT_TOKENS: Final = "gen_ai.usage.image.input_tokens"
USAGE_IMAGE_OUTPUT_TOKENS: Final = "gen_ai.usage.image.output_tokens"
USAGE_AUDIO_INPUT_TOKENS: Final = "gen_ai.usage.audio.input_tokens"
USAGE_AUDIO_OUTPUT_TOKENS: Final = "gen_ai.usage.audio.output_tokens"
USAGE_VIDEO_INPUT_TOKENS: Final = "gen_ai.usage.video.input_tokens"
USAGE_VIDEO_OUTPUT_TOKENS: Final = "gen_ai.usage.video.output_tokens"
USAGE_TEXT_CACHE_READ_INPUT_TOKENS: Final = "gen_ai.usage.text.cache_read.input_tokens"
USAGE_IMAGE_CACHE_READ_INPUT_TOKENS: Final = "gen_ai.usage.image.cache_read.input_tokens"
USAGE_AUDIO_CACHE_READ_INPUT_TOKENS: Final = "gen_ai.usage.audio.cache_read.input_tokens"

# --- GenAI conventions: content, only when it is switched on ----------------------------------
SYSTEM_INSTRUCTIONS: Final = "gen_ai.system_instructions"
INPUT_MESSAGES: Final = "gen_ai.input.messages"
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
TOOL_DEFINITIONS: Final = "gen_ai.tool.definitions"

# --- GenAI conventions: the structure of an application ---------------------------------------
WORKFLOW_NAME: Final = "gen_ai.workflow.name"
AGENT_NAME: Final = "gen_ai.agent.name"
AGENT_ID: Final = "gen_ai.agent.id"
AGENT_DESCRIPTION: Final = "gen_ai.agent.description"
TOOL_NAME: Final = "gen_ai.tool.name"
TOOL_TYPE: Final = "gen_ai.tool.type"
TOOL_DESCRIPTION: Final = "gen_ai.tool.description"
TOOL_CALL_ID: Final = "gen_ai.tool.call.id"
TOOL_CALL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"
TOOL_CALL_RESULT: Final = "gen_ai.tool.call.result"

OPERATION_CHAT: Final = "chat"
OPERATION_TEXT_COMPLETION: Final = "text_completion"
OPERATION_GENERATE_CONTENT: Final = "generate_content"
OPERATION_EMBEDDINGS: Final = "embeddings"
# Looks up an answer that an earlier call paid for: it never carries tokens or a cost.
OPERATION_FETCH_RESPONSE: Final = "fetch_response"
OPERATION_INVOKE_WORKFLOW: Final = "invoke_workflow"
OPERATION_INVOKE_AGENT: Final = "invoke_agent"
OPERATION_EXECUTE_TOOL: Final = "execute_tool"
# Names of our own where the conventions have none.
OPERATION_RERANK: Final = "rerank"
OPERATION_IMAGE_GENERATION: Final = "image_generation"
OPERATION_SPEECH: Final = "speech"
OPERATION_TRANSCRIPTION: Final = "transcription"
OPERATION_TRANSLATION: Final = "translation"
OPERATION_OCR: Final = "ocr"
OPERATION_MODERATION: Final = "moderation"
# What one model used in one batch that has ended, as one call.
OPERATION_BATCH: Final = "batch"

EVENT_INFERENCE_DETAILS: Final = "gen_ai.client.inference.operation.details"
EVENT_EVALUATION: Final = "gen_ai.evaluation.result"
EVALUATION_NAME: Final = "gen_ai.evaluation.name"
EVALUATION_SCORE: Final = "gen_ai.evaluation.score.value"
EVALUATION_LABEL: Final = "gen_ai.evaluation.score.label"
EVALUATION_EXPLANATION: Final = "gen_ai.evaluation.explanation"

METRIC_DURATION: Final = "gen_ai.client.operation.duration"
METRIC_TOKENS: Final = "gen_ai.client.token.usage"
METRIC_TIME_TO_FIRST_CHUNK: Final = "gen_ai.client.operation.time_to_first_chunk"
TOKEN_TYPE: Final = "gen_ai.token.type"  # noqa: S105 - of no secret

# --- OpenAI and general conventions -----------------------------------------------------------
OPENAI_API_TYPE: Final = "openai.api.type"
OPENAI_REQUEST_SERVICE_TIER: Final = "openai.request.service_tier"
OPENAI_RESPONSE_SERVICE_TIER: Final = "openai.response.service_tier"
OPENAI_RESPONSE_SYSTEM_FINGERPRINT: Final = "openai.response.system_fingerprint"
ANTHROPIC_RESPONSE_SERVICE_TIER: Final = "anthropic.response.service_tier"
BEDROCK_RESPONSE_SERVICE_TIER: Final = "aws.bedrock.response.service_tier"
# Of a provider for which the conventions have no key of its own.
RESPONSE_SERVICE_TIER: Final = "spanledger.response.service_tier"
AWS_REQUEST_ID: Final = "aws.request_id"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
ERROR_TYPE: Final = "error.type"
USER_ID: Final = "user.id"
SESSION_ID: Final = "session.id"

# --- Cost: names of an open proposal to the conventions, so each stands in one place ----------
COST_AMOUNT: Final = "gen_ai.usage.cost.amount"
COST_CURRENCY: Final = "gen_ai.usage.cost.currency"
COST_SOURCE: Final = "gen_ai.usage.cost.source"
COST_SOURCE_LOCAL: Final = "local"

# --- Our namespace ----------------------------------------------------------------------------
# Exact decimal strings in plain notation: the doubles above lose exactness.
COST_TOTAL: Final = "spanledger.cost.total"
COST_INPUT: Final = "spanledger.cost.input"
COST_OUTPUT: Final = "spanledger.cost.output"
COST_PRICE_VERSION: Final = "spanledger.cost.price_version"
COST_REASON: Final = "spanledger.cost.reason"
# What a provider bills beside tokens in and out, by the names of the price list (schemas/prices/units.py).
USAGE_UNIT_PREFIX: Final = "spanledger.usage."
# True: counted here, because the provider did not say what it counted.
USAGE_ESTIMATED: Final = "spanledger.usage.estimated"
# What else is billed, by the names of the price list.
USAGE_CACHE_WRITE_5M_TOKENS: Final = "spanledger.usage.cache_write_5m_tokens"
USAGE_CACHE_WRITE_1H_TOKENS: Final = "spanledger.usage.cache_write_1h_tokens"
USAGE_WEB_SEARCHES: Final = "spanledger.usage.web_searches"
USAGE_STORAGE_SEARCHES: Final = "spanledger.usage.storage_searches"
USAGE_AUDIO_SECONDS: Final = "spanledger.usage.audio_seconds"
USAGE_INPUT_AUDIO_SECONDS: Final = "spanledger.usage.input_audio_seconds"
USAGE_INPUT_CHARACTERS: Final = "spanledger.usage.input_characters"
USAGE_INPUT_DOCUMENT_PAGES: Final = "spanledger.usage.input_document_pages"
USAGE_INPUT_ANNOTATED_DOCUMENT_PAGES: Final = "spanledger.usage.input_annotated_document_pages"
# Of rerankers; the price list has no price for them.
USAGE_SEARCH_UNITS: Final = "spanledger.usage.search_units"
USAGE_OUTPUT_CITATION_TOKENS: Final = "spanledger.usage.output_citation_tokens"
TAGS: Final = "spanledger.tags"
METADATA_PREFIX: Final = "spanledger.metadata."
# Of an answer in a batch: the batch, and the name that the application gave the request.
METADATA_BATCH_ID: Final = METADATA_PREFIX + "batch_id"
METADATA_CUSTOM_ID: Final = METADATA_PREFIX + "custom_id"
EXPERIMENT_ID: Final = "spanledger.experiment.id"

# Why a call carries no cost; the list is closed.
REASON_NO_MODEL: Final = "no_model"
REASON_UNKNOWN_MODEL: Final = "unknown_model"
REASON_UNKNOWN_PROVIDER: Final = "unknown_provider"
REASON_NO_USAGE: Final = "no_usage"
REASON_INVALID_USAGE: Final = "invalid_usage"
REASON_NO_PRICES: Final = "no_prices"
COST_REASONS: Final = (
    REASON_NO_MODEL,
    REASON_UNKNOWN_MODEL,
    REASON_UNKNOWN_PROVIDER,
    REASON_NO_USAGE,
    REASON_INVALID_USAGE,
    REASON_NO_PRICES,
)
