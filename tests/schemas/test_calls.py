"""schemas.calls: what the words of libraries and providers mean."""

from __future__ import annotations

import pytest

from spanledger.schemas.calls import (
    COUNTED_ROLES,
    FINISH_REASONS,
    OPERATIONS,
    ROLES,
    SPAN_KINDS,
    claimed_provider,
    dialect_of,
    error_type_of,
    finish_reason_of,
    is_repeated,
    model_of,
    operation_of,
    provider_of,
    role_of,
    service_tier_of,
)
from spanledger.schemas.dialects import DIALECTS
from spanledger.schemas.hosts import ALIASES, HOSTS

# --- roles


@pytest.mark.parametrize(
    ("operation", "kind", "role"),
    [
        ("chat", "", "LLM"),
        ("Chat", "", "LLM"),
        ("generate_content", "", "LLM"),
        ("aresponses", "", "LLM"),
        ("embeddings", "", "EMBEDDING"),
        ("execute_tool", "", "TOOL"),
        ("invoke_agent", "", "AGENT"),
        ("invoke_workflow", "", "WORKFLOW"),
        ("retrieval", "", "RETRIEVER"),
        ("rerank", "", "RERANK"),
        ("fetch_response", "", "FETCH"),
        ("", "LLM", "LLM"),
        ("", "CHAT_MODEL", "LLM"),
        ("", "generation", "LLM"),
        ("", "CHAIN", "WORKFLOW"),
        ("", "GUARDRAIL", "GUARDRAIL"),
        ("", "EVALUATOR", "EVAL"),
        ("", "ai.generateText", "AGENT"),
        ("", "ai.generateText.doGenerate", "LLM"),
        ("", "ai.embed", "WORKFLOW"),
        ("", "ai.embed.doEmbed", "EMBEDDING"),
        ("", "ai.toolCall", "TOOL"),
        ("chat", "AGENT", "LLM"),
        ("a new word", "LLM", "LLM"),
        ("a new word", "another", "OTHER"),
        ("", "", "OTHER"),
    ],
)
def test_the_role_follows_from_the_operation_else_from_the_kind(operation, kind, role):
    assert role_of(operation, kind) == role


def test_every_word_has_one_of_the_roles_and_is_in_lower_case():
    for words in (OPERATIONS, SPAN_KINDS):
        assert set(words.values()) <= set(ROLES)
        assert [word for word in words if word != word.lower()] == []
    assert set(COUNTED_ROLES) <= set(ROLES)


def test_a_span_that_repeats_the_one_above_it_is_no_call():
    assert is_repeated("litellm", "raw_gen_ai_request")
    assert not is_repeated("litellm", "litellm_request")
    assert not is_repeated("other", "raw_gen_ai_request")
    assert role_of("chat", "LLM", repeated=True) == "OTHER"


def test_the_operation_is_what_was_sent_else_follows_from_the_role():
    assert operation_of("generate_content", "LLM") == "generate_content"
    assert operation_of("", "LLM") == "chat"
    assert operation_of("", "OTHER") == ""
    # Who says it in another way means the same.
    assert all(role_of(operation_of("", role), "") == role for role in ROLES if operation_of("", role))


# --- providers

# Of each of the conventions' names what was seen in its place.
SEEN = {
    "openai": "openai openai.chat openai.responses openai-chat OpenAI openai.embedding",
    "azure.ai.openai": "azure az.ai.openai azure.openai azure_openai azure-openai.chat",
    "azure.ai.inference": "az.ai.inference azure_ai",
    "anthropic": "anthropic anthropic.messages claude",
    "aws.bedrock": "bedrock bedrock_converse amazon-bedrock aws AWS aws_bedrock",
    "gcp.vertex_ai": "vertex_ai vertexai google.vertex gcp.vertex.agent google_vertexai google.vertex.chat",
    "gcp.gemini": "gemini google.generative-ai google gcp.gen_ai google_genai google-gla",
    "mistral_ai": "mistral mistralai mistral.chat mistral_ai",
    "x_ai": "xai xai.chat x_ai",
    "cohere": "cohere Cohere cohere_chat",
    "groq": "groq Groq",
    "deepseek": "deepseek",
    "perplexity": "perplexity",
    "together": "together together_ai",
    "fireworks": "fireworks fireworks_ai",
    "openrouter": "openrouter",
    "ollama": "ollama",
    "moonshot_ai": "moonshot moonshotai moonshot_ai",
    "ibm.watsonx.ai": "watsonx ibm.watsonx.ai",
}


@pytest.mark.parametrize(
    ("seen", "name"), [(seen, name) for name, names in SEEN.items() for seen in names.split()]
)
def test_a_provider_has_one_name_however_it_is_called(seen, name):
    assert claimed_provider(seen) == provider_of(seen, "", "") == name


def test_names_of_providers_are_settled_at_once():
    """What is made of a name stays it, and no name is in the table that lower case would not find."""
    assert [name for name in ALIASES if name != name.lower()] == []
    assert [name for name in ALIASES.values() if claimed_provider(name) != name] == []
    assert claimed_provider(" My-Gateway ") == "my-gateway"
    assert claimed_provider("my.chat.gateway") == "my.chat.gateway"


@pytest.mark.parametrize(
    ("host", "provider"),
    [
        ("api.openai.com", "openai"),
        ("eu.api.openai.com", "openai"),
        ("https://api.openai.com/v1/chat/completions?x=1", "openai"),
        ("API.OPENAI.COM:443", "openai"),
        ("https://key@api.anthropic.com", "anthropic"),
        ("shop.openai.azure.com", "azure.ai.openai"),
        ("shop.cognitiveservices.azure.com", "azure.ai.openai"),
        ("shop.azure-api.net", "azure.ai.openai"),
        ("shop.services.ai.azure.com", "azure.ai.openai"),
        ("aiplatform.googleapis.com", "gcp.vertex_ai"),
        ("us-central1-aiplatform.googleapis.com", "gcp.vertex_ai"),
        ("generativelanguage.googleapis.com", "gcp.gemini"),
        ("bedrock-runtime.eu-west-1.amazonaws.com", "aws.bedrock"),
        ("bedrock-runtime-fips.us-gov-west-1.amazonaws.com", "aws.bedrock"),
        ("bedrock-runtime.cn-north-1.amazonaws.com.cn", "aws.bedrock"),
        ("openrouter.ai", "openrouter"),
    ],
)
def test_who_answered_is_whose_host_it_is_whatever_is_claimed(host, provider):
    """A client of one provider may have the address of another."""
    assert provider_of("claimed", host, "claude-x") == provider


@pytest.mark.parametrize(
    "host",
    [
        "",
        "localhost:11434",
        "127.0.0.1",
        "https://[::1]:80/",
        "http://[broken",
        "api.openai.com.example.org",
        "notapi.openai.com",
        "bedrock-runtime.example.org",
        "https://example.org/api.openai.com",
    ],
)
def test_a_host_of_nobody_known_leaves_what_is_claimed(host):
    assert provider_of("Anthropic", host, "gpt-4o") == "anthropic"


def test_every_host_of_the_table_is_its_providers():
    """None of them hides a later one."""
    for ending, provider in HOSTS:
        for host in (ending, f"shop.{ending}"):
            assert provider_of("", host, "") == provider


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("gpt-4o", "openai"),
        ("o1", "openai"),
        ("o3-mini", "openai"),
        ("text-embedding-3-small", "openai"),
        ("Claude-sonnet-4-5", "anthropic"),
        ("gemini-2.5-pro", "gcp.gemini"),
        ("open-mixtral-8x7b", "mistral_ai"),
        ("command-r", "cohere"),
        ("deepseek-chat", "deepseek"),
        ("grok-4", "x_ai"),
        ("anthropic.claude-3-5-sonnet-20240620-v1:0", "aws.bedrock"),
        ("eu.anthropic.claude-3-5-sonnet-20240620-v1:0", "aws.bedrock"),
        ("global.amazon.nova-lite-v1:0", "aws.bedrock"),
        ("azure/gpt-4o", "azure.ai.openai"),
        ("vertex_ai/gemini-2.5-pro", "gcp.vertex_ai"),
        ("openrouter/anthropic/claude-sonnet-4", "openrouter"),
        ("openai/gpt-4o", "openai"),
        ("o1x", ""),
        ("my-gpt-4o", ""),
        ("somebody/claude-x", ""),
        ("", ""),
    ],
)
def test_where_nobody_is_named_the_models_name_may_tell(model, provider):
    assert provider_of("", "", model) == provider


@pytest.mark.parametrize(
    ("model", "provider", "dialect", "name"),
    [
        ("openai/gpt-4o", "openai", "litellm", "gpt-4o"),
        ("azure/my-deployment", "azure.ai.openai", "litellm", "my-deployment"),
        ("openrouter/anthropic/claude-x", "openrouter", "litellm", "anthropic/claude-x"),
        ("anthropic/claude-x", "openrouter", "litellm", "anthropic/claude-x"),
        ("openai/", "openai", "litellm", "openai/"),
        ("openai/gpt-4o", "openai", "otel", "openai/gpt-4o"),
        ("gpt-4o", "openai", "litellm", "gpt-4o"),
    ],
)
def test_litellm_writes_the_provider_before_the_model(model, provider, dialect, name):
    assert model_of(model, provider, dialect) == name


# --- how it ended


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("stop", "stop"),
        ("STOP", "stop"),
        ("end_turn", "stop"),
        ("COMPLETE", "stop"),
        ("completed", "stop"),
        ("FinishReason.STOP", "stop"),
        ("FINISH_REASON_STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("max_output_tokens", "length"),
        ("tool_calls", "tool_call"),
        ("tool-calls", "tool_call"),
        ("tool_use", "tool_call"),
        ("function_call", "tool_call"),
        ("SAFETY", "content_filter"),
        ("content-filter", "content_filter"),
        ('"stop"', "stop"),
        ("pause_turn", "pause_turn"),
        ("Some Other", "Some Other"),
        ("", ""),
    ],
)
def test_a_finish_reason_is_the_conventions_word_else_as_sent(reason, word):
    assert finish_reason_of(reason) == word
    assert finish_reason_of(word) == word


def test_every_finish_reason_of_the_table_is_found():
    assert {reason: finish_reason_of(reason.upper()) for reason in FINISH_REASONS} == FINISH_REASONS


@pytest.mark.parametrize(
    ("tier", "name"),
    [("batch", "batch"), ("Priority", "priority"), ("flex", "flex"), ("scale", "scale")]
    + [(none, "") for none in ("auto", "standard", "STANDARD_ONLY", "", "x" * 65)],
)
def test_a_tier_is_a_word_and_what_leaves_the_choice_to_the_provider_is_none(tier, name):
    assert service_tier_of(tier) == name


@pytest.mark.parametrize(
    ("error", "name"),
    [
        ("openai.RateLimitError", "RateLimitError"),
        ("a.b.c_d.E1", "E1"),
        ("RateLimitError", "RateLimitError"),
        ("429", "429"),
        ("4.2.9", "4.2.9"),
        ("timed out.", "timed out."),
        ("Error. Try again", "Error. Try again"),
        ("example.org/x", "example.org/x"),
        (".E", ".E"),
        ("", ""),
    ],
)
def test_an_errors_name_has_no_module(error, name):
    assert error_type_of(error) == name


# --- who wrote it

NUMBER = {dialect.name: n for n, dialect in reversed(list(enumerate(DIALECTS))) if not dialect.both}


@pytest.mark.parametrize(
    ("scope", "hints", "dialect"),
    [
        ("opentelemetry.instrumentation.genai.openai", [], "otel-genai"),
        ("opentelemetry.instrumentation.openai_v2", ["otel-1.36"], "otel-1.36"),
        ("opentelemetry.instrumentation.openai.v1", range(len(DIALECTS)), "traceloop"),
        # Any instrumentation's scope begins so.
        ("opentelemetry.instrumentation.httpx", [], ""),
        ("openinference.instrumentation.openai", [], "openinference"),
        ("openinference", [], ""),
        ("ai", [], "vercel-6"),
        ("ai.x", [], ""),
        ("gen_ai", ["langfuse"], "vercel-7"),
        ("mine", ["openinference"], "openinference"),
        ("mine", ["otel-1.36"], "otel-1.36"),
        ("mine", ["otel", "langfuse"], "langfuse"),
        ("", [], ""),
    ],
)
def test_the_dialect_is_that_of_the_scope_else_of_the_keys(scope, hints, dialect):
    numbers = [NUMBER[hint] if isinstance(hint, str) else hint for hint in hints]
    assert dialect_of(scope, numbers) == dialect
