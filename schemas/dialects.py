"""The dialect table: which attribute keys fill which canonical column, in which order.

This is data: collector/rows looks attributes up in it, so adding a spelling is adding a line here.
Sources: the GenAI semantic conventions (latest, v1.41 and
v1.36) and, for cost, semantic-conventions-genai pull request 443.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["text", "id", "count", "number", "money", "texts"]


class Field(NamedTuple):
    """A canonical column and the attribute keys that fill it: the first that is sent and not empty wins.

    `kind` says how a value is read, whatever type it was sent as: `text` is one of not too many values,
    `id` one of very many, `count` a non-negative integer, `number` a finite double, `money` a decimal with
    18 digits after the point, `texts` a list of texts.
    Where a key is sent twice the last one counts.
    """

    column: str
    kind: Kind
    keys: tuple[str, ...]


FIELDS: tuple[Field, ...] = (
    Field("operation", "text", ("gen_ai.operation.name",)),
    Field("provider", "text", ("gen_ai.provider.name", "gen_ai.system")),
    Field("request_model", "text", ("gen_ai.request.model",)),
    Field("response_model", "text", ("gen_ai.response.model",)),
    Field("response_id", "id", ("gen_ai.response.id",)),
    Field("conversation_id", "id", ("gen_ai.conversation.id", "session.id")),
    Field("user_id", "id", ("user.id", "enduser.id")),
    Field("tool_name", "text", ("gen_ai.tool.name",)),
    Field("agent_name", "text", ("gen_ai.agent.name",)),
    Field("experiment_id", "text", ("spanledger.experiment.id",)),
    Field("error_type", "text", ("error.type",)),
    Field("tags", "texts", ("spanledger.tags",)),
    Field("finish_reasons", "texts", ("gen_ai.response.finish_reasons",)),
    Field("time_to_first_chunk_s", "number", ("gen_ai.response.time_to_first_chunk",)),
    Field("input_tokens", "count", ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens")),
    Field("output_tokens", "count", ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens")),
    Field("cache_read_tokens", "count", ("gen_ai.usage.cache_read.input_tokens",)),
    Field(
        "cache_write_tokens",
        "count",
        ("gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.cache_creation.input_tokens"),
    ),
    Field("reasoning_tokens", "count", ("gen_ai.usage.reasoning.output_tokens",)),
    Field("input_audio_tokens", "count", ("gen_ai.usage.audio.input_tokens",)),
    Field("output_audio_tokens", "count", ("gen_ai.usage.audio.output_tokens",)),
    Field("cost_reported_usd", "money", ("spanledger.cost.total", "gen_ai.usage.cost.amount")),
    Field("cost_origin", "text", ("gen_ai.usage.cost.source",)),
    Field("cost_currency", "text", ("gen_ai.usage.cost.currency",)),
)

# What a span does, by its operation. Only LLM and EMBEDDING spans carry countable usage and cost:
# an agent's or a workflow's usage is the sum of calls that have spans of their own.
ROLES: dict[str, str] = {
    "chat": "LLM",
    "generate_content": "LLM",
    "text_completion": "LLM",
    "embeddings": "EMBEDDING",
    "execute_tool": "TOOL",
    "invoke_agent": "AGENT",
    "create_agent": "AGENT",
    "invoke_workflow": "WORKFLOW",
    "plan": "WORKFLOW",
    "retrieval": "RETRIEVER",
    "fetch_response": "FETCH",
}
COUNTED_ROLES: tuple[str, ...] = ("LLM", "EMBEDDING")

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
)

# Provider names of the conventions (and of older emitters) to the ids of the price list.
PRICE_PROVIDERS: dict[str, str] = {
    "azure.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "az.ai.openai": "azure",
    "az.ai.inference": "azure",
    "aws.bedrock": "aws",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "gemini": "google",
    "vertex_ai": "google",
    "mistral_ai": "mistral",
    "moonshot_ai": "moonshotai",
    "x_ai": "x-ai",
    "xai": "x-ai",
}
