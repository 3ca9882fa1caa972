"""What the tests ask Bedrock's stub for, and what the price list takes for it."""

import json
from decimal import Decimal
from typing import Any

import genai_prices

ACCESS: dict[str, Any] = {
    "aws_access_key_id": "AKIDEXAMPLE",
    "aws_secret_access_key": "a-secret-of-nobody",
    "region_name": "us-east-1",
}
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
GLOBAL = "global.anthropic.claude-sonnet-4-5-20250929-v1:0"
NOVA = "amazon.nova-pro-v1:0"
TITAN = "amazon.titan-text-express-v1"
LLAMA = "us.meta.llama3-3-70b-instruct-v1:0"
MISTRAL = "mistral.mistral-large-2402-v1:0"
COHERE = "cohere.command-r-plus-v1:0"
WORDS = "hello there Lisbon"
TOOLS: dict[str, Any] = {
    "tools": [
        {
            "toolSpec": {
                "name": name,
                "description": f"the {name}",
                "inputSchema": {"json": {"type": "object", "properties": {"city": {"type": "string"}}}},
            }
        }
        for name in ("weather", "trains")
    ]
}


def words(**wishes: Any) -> str:
    """What is asked, or how the stub shall answer it."""
    return f"STUB {json.dumps(wishes)}" if wishes else WORDS


def converse(model: str = CLAUDE, **wishes: Any) -> dict[str, Any]:
    return {"modelId": model, "messages": [{"role": "user", "content": [{"text": words(**wishes)}]}]}


def invoke(model: str = CLAUDE, form: str = "messages", **wishes: Any) -> dict[str, Any]:
    """A body of the model's maker."""
    said = words(**wishes)
    if "anthropic" in model or "profile" in model:
        version = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 100}
        body: dict[str, Any] = {**version, "messages": [{"role": "user", "content": said}]}
    elif "nova" in model:
        body = {
            "messages": [{"role": "user", "content": [{"text": said}]}],
            "inferenceConfig": {"maxTokens": 100, "topK": 20},
        }
    elif "titan" in model:
        body = {"inputText": said}
        if "embed" not in model:
            body["textGenerationConfig"] = {"maxTokenCount": 100, "temperature": 0, "stopSequences": ["END"]}
    elif "cohere.embed" in model:
        body = {"texts": [said], "input_type": "search_query"}
    elif "cohere" in model:
        body = {"message": said, "max_tokens": 100, "p": 0.5}
    elif form == "messages" and "mistral" in model:
        body = {"messages": [{"role": "user", "content": said}], "max_tokens": 100}
    else:
        body = {"prompt": said, "max_gen_len": 100, "top_p": 1}
    return {"modelId": model, "body": json.dumps(body)}


def price_of(billed: dict[str, Any]) -> Decimal:
    """The price of one bill, by the price list's own reader of Bedrock's usage."""
    usage = {"outputTokens": 0, **billed["usage"]}
    extracted = genai_prices.extract_usage({"usage": usage, "model": billed["model"]}, provider_id="aws")
    return genai_prices.calc_price(extracted.usage, billed["model"], provider_id="aws").total_price


def total_input(billed: dict[str, Any]) -> int:
    names = ("inputTokens", "cacheReadInputTokens", "cacheWriteInputTokens")
    return sum(billed["usage"].get(name, 0) for name in names)
