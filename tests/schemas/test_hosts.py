import pytest

from spanledger.schemas.hosts import provider_of


@pytest.mark.parametrize(
    ("host", "provider"),
    [
        ("api.openai.com", "openai"),
        ("eu.api.openai.com", "openai"),
        ("OUR-NAME.openai.azure.com", "azure.ai.openai"),
        ("x.services.ai.azure.com", "azure.ai.openai"),
        ("bedrock-runtime.us-east-1.amazonaws.com", "aws.bedrock"),
        ("europe-west1-aiplatform.googleapis.com", "gcp.vertex_ai"),
        ("generativelanguage.googleapis.com", "gcp.gemini"),
        ("api.groq.com", "groq"),
        ("openrouter.ai", "openrouter"),
        ("api.z.ai", "zai"),
        ("ollama.com", "ollama"),
        ("api.x.ai.", "x_ai"),
        ("localhost", None),
        ("127.0.0.1", None),
        ("notapi.openai.com.evil.example", None),
        ("notopenrouter.ai", None),
        ("", None),
    ],
)
def test_a_host_names_its_provider_and_nothing_else_is_guessed(host, provider):
    assert provider_of(host) == provider
