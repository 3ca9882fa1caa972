"""What the values of the dialect table mean: what a span did, who answered, how it ended, who wrote it."""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import urlsplit

from spanledger.schemas import hosts
from spanledger.schemas.dialects import DIALECTS

# What a span does. Only LLM and EMBEDDING spans carry countable usage and cost: what others say they used is
# the sum of calls that have spans of their own.
ROLES: tuple[str, ...] = (
    "LLM",
    "EMBEDDING",
    "TOOL",
    "AGENT",
    "WORKFLOW",
    "RETRIEVER",
    "RERANK",
    "GUARDRAIL",
    "EVAL",
    "FETCH",
    "OTHER",
)
COUNTED_ROLES: tuple[str, ...] = ("LLM", "EMBEDDING")

# gen_ai.operation.name of the conventions, and of those who put other words there.
OPERATIONS: dict[str, str] = {
    "chat": "LLM",
    "generate_content": "LLM",
    "text_completion": "LLM",
    "completion": "LLM",
    "acompletion": "LLM",
    "responses": "LLM",
    "aresponses": "LLM",
    # Our own instrumentation's words for what the conventions have no name for.
    "image_generation": "LLM",
    "speech": "LLM",
    "transcription": "LLM",
    "translation": "LLM",
    "batch": "LLM",
    "moderation": "GUARDRAIL",
    "embeddings": "EMBEDDING",
    "embedding": "EMBEDDING",
    "aembedding": "EMBEDDING",
    "execute_tool": "TOOL",
    "invoke_agent": "AGENT",
    "create_agent": "AGENT",
    "invoke_workflow": "WORKFLOW",
    "agent_step": "WORKFLOW",
    "plan": "WORKFLOW",
    "retrieval": "RETRIEVER",
    "rerank": "RERANK",
    "fetch_response": "FETCH",
}
# The other ways to say it, in lower case. A span of Vercel's SDK around the one that calls the provider (its
# name does not begin with `do`) repeats the usage of that one.
SPAN_KINDS: dict[str, str] = {
    # OpenInference, Langfuse, LangSmith, MLflow, Traceloop, llm.request.type
    "llm": "LLM",
    "chat_model": "LLM",
    "generation": "LLM",
    "chat": "LLM",
    "completion": "LLM",
    "acompletion": "LLM",
    "embedding": "EMBEDDING",
    "tool": "TOOL",
    "agent": "AGENT",
    "chain": "WORKFLOW",
    "workflow": "WORKFLOW",
    "task": "WORKFLOW",
    "step": "WORKFLOW",
    "retriever": "RETRIEVER",
    "retrieval": "RETRIEVER",
    "reranker": "RERANK",
    "rerank": "RERANK",
    "guardrail": "GUARDRAIL",
    "evaluator": "EVAL",
    # ai.operationId of Vercel's SDK
    "ai.generatetext": "AGENT",
    "ai.streamtext": "AGENT",
    "ai.generateobject": "AGENT",
    "ai.streamobject": "AGENT",
    "ai.embed": "WORKFLOW",
    "ai.embedmany": "WORKFLOW",
    "ai.rerank": "WORKFLOW",
    "ai.generatetext.dogenerate": "LLM",
    "ai.streamtext.dostream": "LLM",
    "ai.generateobject.dogenerate": "LLM",
    "ai.streamobject.dostream": "LLM",
    "ai.embed.doembed": "EMBEDDING",
    "ai.embedmany.doembed": "EMBEDDING",
    "ai.rerank.dorerank": "RERANK",
    "ai.toolcall": "TOOL",
}
# The operation of a span that says what it is in another way.
_OPERATION_OF = {
    "LLM": "chat",
    "EMBEDDING": "embeddings",
    "TOOL": "execute_tool",
    "AGENT": "invoke_agent",
    "WORKFLOW": "invoke_workflow",
    "RETRIEVER": "retrieval",
}
# LiteLLM's span of the HTTP request below its span of the call.
_REPEATED = {("litellm", "raw_gen_ai_request")}

_LONGEST_TIER = 64  # what is longer is no word
# Vercel's SDK names provider and API: `openai.chat`, `anthropic.messages`.
_APIS = re.compile(r"\.(chat|responses|completion|completions|messages|embedding|embeddings|text|image)$")
_BEDROCK_MODEL = re.compile(
    r"^((us|eu|apac|global|au|jp|ca|us-gov)\.)?(anthropic|amazon|meta|mistral|cohere|ai21)\."
)

# Whose models are called so, where nobody says who answered.
_MAKERS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), provider)
    for pattern, provider in (
        (r"^(gpt-|chatgpt-|o[134](-|$)|text-embedding-|dall-e-|whisper-|davinci|babbage)", "openai"),
        (r"^claude-", "anthropic"),
        (r"^gemini-", "gcp.gemini"),
        (r"^(mistral-|ministral-|codestral-|magistral-|pixtral-|open-mi[sx]tral-)", "mistral_ai"),
        (r"^(command-|command$|embed-(english|multilingual)-)", "cohere"),
        (r"^deepseek-", "deepseek"),
        (r"^grok-", "x_ai"),
    )
)

# finish_reason of a message in the conventions, from what providers and libraries say.
FINISH_REASONS: dict[str, str] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "complete": "stop",
    "completed": "stop",
    "finish_reason_stop": "stop",
    "failed": "error",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_call",
    "tool-calls": "tool_call",
    "tool_use": "tool_call",
    "function_call": "tool_call",
    "safety": "content_filter",
    "content-filter": "content_filter",
    "content_filtered": "content_filter",
    "prohibited_content": "content_filter",
    "recitation": "content_filter",
    "refusal": "content_filter",
}


def role_of(operation: str, span_kind: str, *, repeated: bool = False) -> str:
    """One of ROLES; OTHER where neither word is known.

    The operation comes first: a span may be written by two libraries. `repeated`: see `is_repeated`.
    """
    if repeated:
        return "OTHER"
    found = OPERATIONS.get(operation.lower()) or SPAN_KINDS.get(span_kind.lower())
    return found or "OTHER"


def is_repeated(scope: str, name: str) -> bool:
    """Whether spans of this scope and name say once more what the span above them says."""
    return (scope, name) in _REPEATED


def operation_of(operation: str, role: str) -> str:
    """What was sent, else what follows from the role, else nothing."""
    return operation or _OPERATION_OF.get(role, "")


def provider_of(claimed: str, host: str, model: str) -> str:
    """The provider in the conventions' words: whose the host is, where that is known, else who was claimed.

    Where neither is said the form of the model's name may tell.
    """
    return hosts.provider_of(_host_name(host)) or claimed_provider(claimed) or _model_provider(model)


def _model_provider(model: str) -> str:
    """Who answers to a model's name of this form; empty where it tells nothing."""
    prefix = model.partition("/")[0].lower() if "/" in model else ""
    if prefix in hosts.ALIASES or prefix in hosts.ALIASES.values() or prefix == "openrouter":
        return hosts.ALIASES.get(prefix, prefix)
    name = model.lower()
    if _BEDROCK_MODEL.match(name):
        return "aws.bedrock"
    return next((provider for pattern, provider in _MAKERS if pattern.match(name)), "")


def claimed_provider(claimed: str) -> str:
    """A name of a provider in the conventions' words; one that is not known stays, in lower case."""
    name = claimed.strip().lower()
    if name in hosts.ALIASES:
        return hosts.ALIASES[name]
    plain = _APIS.sub("", name)
    return hosts.ALIASES.get(plain, plain)


def _host_name(host: str) -> str:
    """The name in what may be a URL or a name with a port, in lower case."""
    text = host.strip().lower()
    if "//" not in text:
        text = f"//{text}"
    try:
        return urlsplit(text).hostname or ""
    except ValueError:
        return ""


def model_of(model: str, provider: str, dialect: str) -> str:
    """A model's name without the provider that LiteLLM writes before it."""
    prefix, slash, rest = model.partition("/")
    if dialect == "litellm" and slash and rest and claimed_provider(prefix) == provider:
        return rest
    return model


def finish_reason_of(reason: str) -> str:
    """The conventions' word for a finish reason; one that is not known stays as it is."""
    plain = reason.strip('"').lower().removeprefix("finishreason.")
    if plain in ("stop", "length", "content_filter", "tool_call", "error", "compaction"):
        return plain
    return FINISH_REASONS.get(plain, reason)


def service_tier_of(tier: str) -> str:
    """The tier as prices name it; what leaves the choice to the provider is none."""
    plain = tier.lower()
    return "" if plain in ("auto", "standard", "standard_only") or len(plain) > _LONGEST_TIER else plain


def error_type_of(error: str) -> str:
    """An error's name without its module: libraries write `openai.RateLimitError` and `RateLimitError`."""
    module, _, name = error.rpartition(".")
    return name if module and name.isidentifier() and all(map(str.isidentifier, module.split("."))) else error


def dialect_of(scope: str, hints: Collection[int]) -> str:
    """The dialect of a span by its scope, else by what its attributes are called; empty where nothing tells.

    hints: numbers of the DIALECTS whose keys some of its attributes have.
    """
    for n, dialect in enumerate(DIALECTS):
        of_scope = any(
            scope == name or (name.endswith(".") and scope.startswith(name)) for name in dialect.scopes
        )
        if of_scope and (n in hints or not dialect.both):
            return dialect.name
    return next((dialect.name for n, dialect in enumerate(DIALECTS) if n in hints and not dialect.both), "")
