"""The dialect table: which attribute keys fill which canonical column, in which order.

Instrumentations spell the same fact differently, and each spells it differently from version to version. This
is data: collector/rows makes numbers of it and looks attributes up in them, so adding a spelling is adding a
line here and a golden file in tests/dialects. What the values then mean stands in schemas/calls.py.

Sources: the GenAI semantic conventions (latest, v1.41, v1.36 and older); semantic-conventions-genai pull
request 443 for cost; for the others what their released packages send (tests/dialects/golden).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["text", "id", "count", "number", "money", "texts", "list"]


class Field(NamedTuple):
    """A canonical fact and the keys that fill it: the first that is sent and not empty wins.

    A key is that of an attribute. `key#a.b.[].c` is a member of the JSON object that the attribute `key`
    holds, sent as text or as a map ([] is any item of an array; the first that is there counts). `event:key`
    is that of an attribute of one of the span's events.

    `kind` says how a value is read, whatever type it was sent as: `text` is one of not too many values, `id`
    one of very many, `count` a non-negative integer, `number` a finite double, `money` a decimal with 18
    digits after the point, `texts` a list of texts, also as the text of a JSON array; `list` the same, also
    as one text with commas. Where a key is sent twice the last one counts.

    `stored`: whether the fact is a column of `spans` by itself. The others are read to work out columns.
    """

    column: str
    kind: Kind
    keys: tuple[str, ...]
    stored: bool = True


# Attributes that hold a provider's usage object as it came: of Langfuse, Logfire, OpenInference and MLflow
# (in the whole answer), and LiteLLM (as Python prints it).
_RAW = (
    "langfuse.observation.usage_details#",
    "gen_ai.usage.raw#",
    "output.value#usage.",
    "mlflow.spanOutputs#usage.",
    "metadata.usage_object#",
)


def _raw(*members: str) -> tuple[str, ...]:
    """The keys of members of a usage object, wherever it is."""
    return tuple(holder + member for member in members for holder in _RAW)


_ASSOCIATION = "traceloop.association.properties"
_VERCEL = "ai.telemetry.metadata"

FIELDS: tuple[Field, ...] = (
    # --- what the span is
    Field("operation", "text", ("gen_ai.operation.name",)),
    Field(
        "span_kind",
        "text",
        (
            "openinference.span.kind",
            "langfuse.observation.type",
            "ai.operationId",
            "traceloop.span.kind",
            "llm.request.type",
            "gen_ai.span.kind",
            "mlflow.spanType",
            "langsmith.span.kind",
        ),
        stored=False,
    ),
    # --- who answered, and with what
    Field(
        "provider_claimed",
        "text",
        (
            "gen_ai.provider.name",
            "gen_ai.system",
            "llm.provider",
            "llm.system",
            "ai.model.provider",
            f"{_ASSOCIATION}.ls_provider",
            "metadata#ls_provider",
            "mlflow.llm.provider",
        ),
    ),
    Field(
        "host",
        "text",
        ("server.address", "url.full", "gen_ai.openai.api_base", "hidden_params#api_base"),
        stored=False,
    ),
    Field(
        "request_model",
        "text",
        (
            "gen_ai.request.model",
            "llm.request.model_name",
            "llm.invocation_parameters#model",
            "llm.invocation_parameters#model_name",
            "ai.model.id",
            "litellm.provider.model",
            "embedding.model_name",
            "langfuse.observation.metadata.ls_model_name",
            "langfuse.observation.model.name",
            "mlflow.spanInputs#model",
            "mlflow.llm.model",
            "model_name",
        ),
    ),
    Field(
        "response_model",
        "text",
        (
            "gen_ai.response.model",
            "llm.response.model_name",
            # Of a LangChain stream the attribute has the name that was asked for.
            "output.value#generations.[].[].message.kwargs.response_metadata.model_name",
            "output.value#generations.[].[].generation_info.model_name",
            "llm.model_name",
            "ai.response.model",
            "output.value#model",
            "output.value#llm_output.model_name",
            "langfuse.observation.model.name",
            "mlflow.spanOutputs#model",
            "mlflow.llm.model",
        ),
    ),
    Field(
        "response_id",
        "id",
        (
            "gen_ai.response.id",
            "ai.response.id",
            "gen_ai.response_id",
            "output.value#id",
            # LangChain's own ids (`lc_run--...`) say nothing of the provider's answer; these do.
            "output.value#llm_output.id",
            "output.value#generations.[].[].message.kwargs.response_metadata.id",
            "llm.openai.id",
            "langfuse.observation.metadata.id",
            "mlflow.spanOutputs#id",
        ),
    ),
    # LiteLLM gives its own id where the provider gave none.
    Field("call_id", "id", ("litellm.call_id",), stored=False),
    Field(
        "service_tier",
        "text",
        (
            "openai.response.service_tier",
            "gen_ai.openai.response.service_tier",
            "anthropic.response.service_tier",
            "aws.bedrock.response.service_tier",
            "spanledger.response.service_tier",
            *_raw("service_tier"),
            "output.value#service_tier",
            "openai.request.service_tier",
            "gen_ai.openai.request.service_tier",
            "gen_ai.request.service_tier",
            "llm.invocation_parameters#service_tier",
        ),
    ),
    # --- for whom
    Field(
        "conversation_id",
        "id",
        (
            "gen_ai.conversation.id",
            "session.id",
            f"{_VERCEL}.sessionId",
            f"{_VERCEL}.threadId",
            f"{_VERCEL}.conversationId",
            "ai.settings.context.sessionId",
            "ai.settings.context.conversationId",
            f"{_ASSOCIATION}.session_id",
            f"{_ASSOCIATION}.thread_id",
            f"{_ASSOCIATION}.conversation_id",
            "metadata#session_id",
            "metadata#thread_id",
            "metadata#conversation_id",
            "gcp.vertex.agent.session_id",
            "langsmith.trace.session_id",
            "langfuse.session.id",
            "metadata.session_id",
            "litellm.metadata.session_id",
            "mlflow.trace.session",
        ),
    ),
    Field(
        "user_id",
        "id",
        (
            "user.id",
            "enduser.id",
            "gen_ai.user",
            "llm.user",
            "gen_ai.request.user",
            f"{_VERCEL}.userId",
            "ai.settings.context.userId",
            f"{_ASSOCIATION}.user_id",
            "metadata#user_id",
            "litellm.end_user.id",
            "metadata.user_api_key_end_user_id",
            "metadata.user_id",
            "langfuse.user.id",
            "llm.invocation_parameters#user",
            "mlflow.trace.user",
            "mlflow.spanInputs#user",
        ),
    ),
    Field(
        "tool_name",
        "text",
        ("gen_ai.tool.name", "tool.name", "ai.toolCall.name"),
    ),
    Field("agent_name", "text", ("gen_ai.agent.name", "agent.name", "agent_name", "graph.node.id")),
    Field("entity_name", "text", ("traceloop.entity.name",), stored=False),
    Field("experiment_id", "text", ("spanledger.experiment.id",)),
    Field(
        "error_type",
        "text",
        ("error.type", "event:exception.type", "litellm.provider.error.code"),
    ),
    Field(
        "tags",
        "list",
        (
            "spanledger.tags",
            "langfuse.trace.tags",
            "tag.tags",
            f"{_VERCEL}.tags",
            "logfire.tags",
            "langsmith.span.tags",
        ),
    ),
    # --- how it ended
    Field(
        "finish_reasons",
        "texts",
        (
            "gen_ai.response.finish_reasons",
            "gen_ai.response.finish_reason",
            "llm.finish_reason",
            "ai.response.finishReason",
            "gen_ai.completion.0.finish_reason",
            "output.value#choices.[].finish_reason",
            "output.value#stop_reason",
            # Of OpenAI's responses: why one is incomplete, else how it ended.
            "output.value#incomplete_details.reason",
            "output.value#status",
            "output.value#generations.[].[].generation_info.finish_reason",
            "langfuse.observation.metadata.finish_reason",
            "langfuse.observation.metadata.status",
            "mlflow.spanOutputs#choices.[].finish_reason",
            "mlflow.spanOutputs#incomplete_details.reason",
            "mlflow.spanOutputs#status",
            "anthropic.message.stop_reason",
            "llm.response.finish_reason",
            "llm.response.stop_reason",
        ),
    ),
    Field(
        "time_to_first_chunk_s",
        "number",
        (
            "gen_ai.response.time_to_first_chunk",
            "gen_ai.client.operation.time_to_first_chunk",
            "gen_ai.server.time_to_first_token",
            "gen_ai.usage.ttft",
        ),
    ),
    Field(
        "first_chunk_ms", "number", ("ai.response.msToFirstChunk", "ai.stream.msToFirstChunk"), stored=False
    ),
    Field("first_chunk_at", "id", ("langfuse.observation.completion_start_time",), stored=False),
    # --- what it used. Totals include their details.
    Field(
        "input_tokens",
        "count",
        (
            "gen_ai.usage.input_tokens",
            "gen_ai.usage.prompt_tokens",
            "llm.token_count.prompt",
            "ai.usage.inputTokens",
            "ai.usage.promptTokens",
            "ai.usage.tokens",
            *_raw("prompt_tokens", "promptTokenCount", "prompt_token_count"),
            "llm.usage.prompt_tokens",
            "llm.token.counts.prompt",
            "mlflow.chat.tokenUsage#input_tokens",
        ),
    ),
    Field(
        "output_tokens",
        "count",
        (
            "gen_ai.usage.output_tokens",
            "gen_ai.usage.completion_tokens",
            "llm.token_count.completion",
            "ai.usage.outputTokens",
            "ai.usage.completionTokens",
            *_raw("completion_tokens", "output_tokens"),
            "llm.usage.completion_tokens",
            "llm.token.counts.completion",
            "mlflow.chat.tokenUsage#output_tokens",
        ),
    ),
    Field(
        "cache_read_tokens",
        "count",
        (
            "gen_ai.usage.cache_read.input_tokens",
            "gen_ai.usage.cache_read_input_tokens",
            "gen_ai.usage.cache_read_tokens",
            "gen_ai.usage.input_tokens.cached",
            "gen_ai.usage.details.cache_read_tokens",
            "gen_ai.usage.details.cached_tokens",
            "llm.token_count.prompt_details.cache_read",
            "llm.token_count.prompt_details.cache_input",
            "ai.usage.inputTokenDetails.cacheReadTokens",
            "ai.usage.cachedInputTokens",
            *_raw(
                "prompt_tokens_details.cached_tokens",
                "input_tokens_details.cached_tokens",
                "cachedContentTokenCount",
                "cached_content_token_count",
            ),
            "mlflow.chat.tokenUsage#cache_read_input_tokens",
        ),
    ),
    Field(
        "cache_write_tokens",
        "count",
        (
            "gen_ai.usage.cache_write.input_tokens",
            "gen_ai.usage.cache_creation.input_tokens",
            "gen_ai.usage.cache_creation_input_tokens",
            "gen_ai.usage.cache_write_tokens",
            "gen_ai.usage.cache_write_input_tokens",
            "gen_ai.usage.input_tokens.cache_write",
            "gen_ai.usage.details.cache_write_tokens",
            "llm.token_count.prompt_details.cache_write",
            "ai.usage.inputTokenDetails.cacheWriteTokens",
            *_raw("prompt_tokens_details.cache_write_tokens"),
            "mlflow.chat.tokenUsage#cache_creation_input_tokens",
        ),
    ),
    Field(
        "reasoning_tokens",
        "count",
        (
            "gen_ai.usage.reasoning.output_tokens",
            "gen_ai.usage.reasoning_tokens",
            "gen_ai.usage.output_tokens.reasoning",
            "gen_ai.usage.details.reasoning_tokens",
            "llm.token_count.completion_details.reasoning",
            "ai.usage.outputTokenDetails.reasoningTokens",
            "ai.usage.reasoningTokens",
            "llm.usage.reasoning_tokens",
            "gen_ai.usage.experimental.reasoning_tokens",
            *_raw("completion_tokens_details.reasoning_tokens", "output_tokens_details.reasoning_tokens"),
        ),
    ),
    Field(
        "input_audio_tokens",
        "count",
        (
            "gen_ai.usage.audio.input_tokens",
            "gen_ai.usage.details.input_audio_tokens",
            "llm.token_count.prompt_details.audio",
            "ai.usage.inputTokenDetails.audioTokens",
            *_raw("prompt_tokens_details.audio_tokens", "input_tokens_details.audio_tokens"),
        ),
    ),
    Field(
        "output_audio_tokens",
        "count",
        (
            "gen_ai.usage.audio.output_tokens",
            "gen_ai.usage.details.output_audio_tokens",
            "llm.token_count.completion_details.audio",
            "ai.usage.outputTokenDetails.audioTokens",
            *_raw("completion_tokens_details.audio_tokens", "output_tokens_details.audio_tokens"),
        ),
    ),
    # Counts that stand beside each other and not within: the total is their sum. They are read where no total
    # was sent: a provider's own usage object of Anthropic or Gemini, and Langfuse's flat form.
    Field(
        "input_tokens_apart",
        "count",
        _raw("input_tokens", "input"),
        stored=False,
    ),
    Field(
        "cache_read_apart",
        "count",
        _raw("cache_read_input_tokens", "input_cached_tokens", "input_cache_read"),
        stored=False,
    ),
    Field(
        "cache_write_apart",
        "count",
        _raw("cache_creation_input_tokens", "input_cache_creation"),
        stored=False,
    ),
    Field(
        "output_tokens_apart",
        "count",
        _raw("output", "candidatesTokenCount", "candidates_token_count"),
        stored=False,
    ),
    Field(
        "reasoning_apart",
        "count",
        _raw("output_reasoning_tokens", "output_reasoning", "thoughtsTokenCount", "thoughts_token_count"),
        stored=False,
    ),
    # What the sender says that input and output are together: to see whether they are.
    Field(
        "total_tokens",
        "count",
        (
            "gen_ai.usage.total_tokens",
            "llm.usage.total_tokens",
            "llm.token_count.total",
            "ai.usage.totalTokens",
            *_raw("total_tokens", "totalTokenCount", "total_token_count", "total"),
            "mlflow.chat.tokenUsage#total_tokens",
        ),
        stored=False,
    ),
    # --- what it cost, as the sender says. `cost_origin`: who worked it out, `provider` or `local`.
    Field(
        "cost_reported_usd",
        "money",
        (
            "spanledger.cost.total",
            "gen_ai.usage.cost.amount",
            "operation.cost",
            "gen_ai.cost.total_cost",
            "gen_ai.usage.total_cost",
            "gen_ai.usage.cost",
            "llm.cost.total",
            "litellm.cost.total",
            "langfuse.observation.cost_details#total",
            "hidden_params#response_cost",
            "mlflow.llm.cost#total_cost",
            # Sentry's name for dollars.
            "gen_ai.cost.total_tokens",
            "ai.total_cost",
        ),
    ),
    Field("cost_origin", "text", ("gen_ai.usage.cost.source",), stored=False),
    Field("cost_currency", "text", ("gen_ai.usage.cost.currency",), stored=False),
)

# What else providers bill, by the names of the price list (schemas/prices/units.py). They are the entries of
# the column `usage`. Durations may have a fraction of a second.
UNIT_FIELDS: tuple[Field, ...] = (
    Field(
        "cache_write_5m_tokens",
        "count",
        (
            "spanledger.usage.cache_write_5m_tokens",
            "anthropic.usage.cache_creation.ephemeral_5m_input_tokens",
            *_raw("cache_creation.ephemeral_5m_input_tokens"),
        ),
    ),
    Field(
        "cache_write_1h_tokens",
        "count",
        (
            "spanledger.usage.cache_write_1h_tokens",
            "anthropic.usage.cache_creation.ephemeral_1h_input_tokens",
            *_raw("cache_creation.ephemeral_1h_input_tokens"),
        ),
    ),
    Field(
        "cache_audio_read_tokens",
        "count",
        (
            "gen_ai.usage.audio.cache_read.input_tokens",
            *_raw("prompt_tokens_details.cached_tokens_details.audio_tokens"),
            *_raw("input_token_details.cached_tokens_details.audio_tokens"),
        ),
    ),
    Field(
        "input_image_tokens",
        "count",
        (
            "gen_ai.usage.image.input_tokens",
            "llm.token_count.prompt_details.image",
            *_raw("prompt_tokens_details.image_tokens", "input_tokens_details.image_tokens"),
        ),
    ),
    Field(
        "output_image_tokens",
        "count",
        (
            "gen_ai.usage.image.output_tokens",
            "llm.token_count.completion_details.image",
            *_raw("completion_tokens_details.image_tokens", "output_tokens_details.image_tokens"),
        ),
    ),
    Field("cache_image_read_tokens", "count", ("gen_ai.usage.image.cache_read.input_tokens",)),
    Field("input_video_tokens", "count", ("gen_ai.usage.video.input_tokens",)),
    Field("output_video_tokens", "count", ("gen_ai.usage.video.output_tokens",)),
    Field("output_citation_tokens", "count", ("spanledger.usage.output_citation_tokens",)),
    Field(
        "web_searches",
        "count",
        ("spanledger.usage.web_searches", *_raw("server_tool_use.web_search_requests", "num_search_queries")),
    ),
    Field("storage_searches", "count", ("spanledger.usage.storage_searches",)),
    Field("audio_seconds", "number", ("spanledger.usage.audio_seconds",)),
    Field("input_audio_seconds", "number", ("spanledger.usage.input_audio_seconds",)),
    Field("input_characters", "count", ("spanledger.usage.input_characters",)),
    Field("input_text_messages", "count", ("spanledger.usage.input_text_messages",)),
    Field("input_document_pages", "count", ("spanledger.usage.input_document_pages",)),
    Field("input_annotated_document_pages", "count", ("spanledger.usage.input_annotated_document_pages",)),
)

# Span events that happen when the first piece of an answer arrives.
FIRST_CHUNK_EVENTS: tuple[str, ...] = (
    "First Token Stream Event",
    "ai.stream.firstChunk",
    "gen_ai.content.completion.chunk",
    "llm.content.completion.chunk",
)

# Attributes that hold prompts, completions and tool traffic. They are kept out of the attribute maps,
# in maps of their own, so that a search over attributes does not read them and nothing is stored twice.
CONTENT_KEYS: tuple[str, ...] = (
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.system_instructions",
    "gen_ai.tool.definitions",
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.call.result",
    "gen_ai.retrieval.documents",
    "gen_ai.prompt",
    "gen_ai.completion",
    "gen_ai.content.prompt",
    "gen_ai.content.completion",
    "gen_ai.request.messages",
    "gen_ai.response.text",
    "gen_ai.request.available_tools",
    "gen_ai.response.tool_calls",
    "input.value",
    "output.value",
    "ai.prompt",
    "ai.prompt.messages",
    "ai.prompt.tools",
    "ai.response.text",
    "ai.response.object",
    "ai.response.reasoning",
    "ai.response.toolCalls",
    "ai.response.files",
    "ai.toolCall.args",
    "ai.toolCall.result",
    "ai.values",
    "langfuse.observation.input",
    "langfuse.observation.output",
    "langfuse.trace.input",
    "langfuse.trace.output",
    "traceloop.entity.input",
    "traceloop.entity.output",
    "request_data",
    "response_data",
    "all_messages_events",
    "pydantic_ai.all_messages",
    "final_result",
    "tool_arguments",
    "tool_response",
    "llm.request.body",
    "llm.response.body",
    "gcp.vertex.agent.llm_request",
    "gcp.vertex.agent.llm_response",
    "gcp.vertex.agent.tool_call_args",
    "gcp.vertex.agent.tool_response",
    "mlflow.spanInputs",
    "mlflow.spanOutputs",
)
# The same, spread over many keys: those that begin so.
CONTENT_PREFIXES: tuple[str, ...] = (
    "gen_ai.prompt.",
    "gen_ai.completion.",
    "llm.input_messages.",
    "llm.output_messages.",
    "llm.prompts.",
    "llm.completions.",
    "llm.tools.",
    "llm.request.functions.",
)
# Keys that begin so and are none.
PLAIN_KEYS: tuple[str, ...] = ("gen_ai.prompt.name", "gen_ai.prompt.version", "gen_ai.prompt.id")


# A key that fills a column stands among the plain ones, whatever it begins with.
_OWN_KEYS = frozenset(
    (*PLAIN_KEYS, *(key.partition("#")[0] for field in (*FIELDS, *UNIT_FIELDS) for key in field.keys))
)


def is_content(key: str) -> bool:
    """Whether an attribute of this key is content: kept apart from the others, in `content_string` and
    `content_json`.
    """
    if key in CONTENT_KEYS or key in _OWN_KEYS:
        return key in CONTENT_KEYS
    return key.startswith(CONTENT_PREFIXES) and key not in CONTENT_PREFIXES


class Dialect(NamedTuple):
    """How to recognise who wrote a span: by its scope, where that is one of `scopes` (or begins with one that
    ends with a point), else by an attribute that begins with one of `keys`; by both at once, where `both`.
    The first in the order of DIALECTS that is recognised by its scope is it, else the first by a key.
    """

    name: str
    scopes: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    both: bool = False


DIALECTS: tuple[Dialect, ...] = (
    Dialect("spanledger", ("spanledger.",), ("spanledger.",)),
    Dialect("anthropic", ("com.anthropic.sdk.python",)),
    Dialect("mistral", ("mistralai_sdk_tracer",)),
    Dialect("otel-genai", ("opentelemetry.instrumentation.genai.", "opentelemetry.util.genai.")),
    # The conventions up to v1.36, whose content is in log events.
    Dialect(
        "otel-1.36",
        (
            "opentelemetry.instrumentation.openai_v2",
            "opentelemetry.instrumentation.vertexai_v2",
            "opentelemetry.instrumentation.botocore.",
            "opentelemetry.instrumentation.google_genai",
        ),
    ),
    Dialect("langfuse", ("langfuse-sdk",), ("langfuse.observation.",)),
    Dialect("openinference", ("openinference.instrumentation.",), ("openinference.", "llm.token_count.")),
    Dialect("logfire", ("logfire.", "logfire"), ("logfire.",)),
    Dialect("pydantic-ai", ("pydantic-ai",)),
    Dialect("litellm", ("litellm", "litellm."), ("litellm.", "hidden_params")),
    Dialect("vercel-7", ("gen_ai",)),
    Dialect("vercel-6", ("ai",), ("ai.operationId", "ai.model.", "ai.usage.")),
    Dialect("google-adk", ("gcp.vertex.agent",), ("gcp.vertex.agent.",)),
    Dialect("mlflow", ("mlflow", "mlflow."), ("mlflow.",)),
    Dialect("openlit", ("openlit", "openlit.")),
    Dialect("openrouter", ("openrouter",)),
    Dialect("sentry", ("sentry", "sentry."), ("gen_ai.usage.input_tokens.cached", "gen_ai.cost.")),
    # Its scopes are called as those of all of OpenTelemetry's instrumentations.
    Dialect("traceloop", ("opentelemetry.instrumentation.",), ("gen_ai.", "llm.", "traceloop."), both=True),
    Dialect("traceloop", ("traceloop.tracer",), ("traceloop.", "llm.request.type", "llm.usage.")),
    Dialect("langsmith", ("langsmith",), ("langsmith.",)),
    # Of nobody that is known, by its keys.
    Dialect("otel", keys=("gen_ai.provider.name",)),
    Dialect("otel-1.36", keys=("gen_ai.",)),
)
