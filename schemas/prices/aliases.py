"""Names of providers as they are sent, and those that price lists have for them."""

from __future__ import annotations

# Names of the conventions, of older emitters and of LiteLLM. They come before the clauses of a list, by which
# azure.ai.openai would be OpenAI.
PROVIDERS: dict[str, str] = {
    "anthropic.messages": "anthropic",
    "aws.bedrock": "aws",
    "aws_bedrock": "aws",
    "az.ai.inference": "azure",
    "az.ai.openai": "azure",
    "azure-openai": "azure",
    "azure-openai.chat": "azure",
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "azure.openai": "azure",
    "azure_ai": "azure",
    "azure_openai": "azure",
    "azure_text": "azure",
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "bedrock_mantle": "aws",
    "claude": "anthropic",
    "cohere_chat": "cohere",
    "fireworks_ai": "fireworks",
    "fireworks_ai-embedding-models": "fireworks",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex.agent": "google",
    "gcp.vertex_ai": "google",
    "gemini": "google",
    "github_copilot": "github-copilot",
    "google.generative-ai": "google",
    "google.vertex": "google",
    "ibm.watsonx.ai": "watsonx",
    "mistral.chat": "mistral",
    "mistral_ai": "mistral",
    "mistralai": "mistral",
    "moonshot": "moonshotai",
    "moonshot_ai": "moonshotai",
    "openai-chat": "openai",
    "openai.chat": "openai",
    "openai.responses": "openai",
    "text-completion-openai": "openai",
    "together.ai": "together",
    "together_ai": "together",
    "vertexai": "google",
    "voyage": "voyageai",
    "x_ai": "x-ai",
    "xai": "x-ai",
    "xai.chat": "x-ai",
}
# LiteLLM has a name for each family of models on Vertex AI.
_BEGINNINGS = {"vertex_ai": "google"}


def price_provider(name: str) -> str:
    """The name that price lists have for a provider named in lower case; else the same name."""
    name = name.strip()
    for beginning, provider in _BEGINNINGS.items():
        if name.startswith(beginning):
            return provider
    return PROVIDERS.get(name, name)
