"""A provider on loopback for recordings: OpenAI chat, responses and embeddings, Anthropic, and Gemini.

Answers and counts of tokens are those of `spanledger.server.stub_provider`, set so that the scenario's plain
question bills 120 tokens of prompt, 64 of them read from the cache, and 30 of completion, 12 of them
reasoning. Anthropic's messages write 10 tokens to the cache as well, 7 of them for five minutes.

The provider keeps a ledger of its calls, `Ledger.calls`, each in this form:

    step                 the step of the scenario that the call belongs to, read off the request
    api                  openai.chat_completions (or another vendor's that speaks it: /mistral_ai/v1/...),
                         openai.responses, openai.embeddings, anthropic.messages or
                         gcp.gemini.generate_content
    provider             the provider's name in the semantic conventions
    received_unix_nano   when the request came in
    request_model, stream, user, status
    response_id, response_model, finish_reasons      as answered; none where the call failed
    usage                as billed: input_tokens holds the tokens of the cache, output_tokens the reasoning
    raw_usage            as answered, in the API's own form
    input_messages, output_messages                  as seen and answered, in the form of the conventions
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from spanledger.server import stub_provider

Json = dict[str, Any]

SCENARIO: Json = json.loads((Path(__file__).parent / "scenario.json").read_text())
CACHE_READ, CACHE_WRITE, CACHE_WRITE_5M, REASONING = 64, 10, 7, 12
_CREATED = 1_760_000_000
_STOP_REASONS = {"stop": "end_turn", "tool_calls": "tool_use"}


@dataclass
class Ledger:
    """What the provider billed, in order."""

    calls: list[Json] = field(default_factory=list)
    stub: stub_provider.Ledger = field(default_factory=stub_provider.Ledger)


@dataclass
class Asked:
    """A request in the terms of chat completions, whatever API it came by."""

    api: str
    body: Json
    messages: list[Json]
    tools: list[Json]
    user: str | None
    received: int = field(default_factory=time.time_ns)

    @property
    def plain_text(self) -> str:
        return stub_provider._text_of(stub_provider._last_user(self.messages))

    @property
    def stream(self) -> bool:
        return bool(self.body.get("stream"))

    @property
    def step(self) -> str:
        """Which step of the scenario this is: clients cannot be made to say so without leaving traces."""
        if self.plain_text == SCENARIO["failing_question"]:
            return "failing"
        if self.api in {"openai.embeddings", "openai.responses"}:
            return self.api.removeprefix("openai.") + (" stream" if self.stream else "")
        if self.messages and self.messages[-1]["role"] == "tool":
            return "tool answer"
        if self.tools:
            return "tool call"
        return "stream" if self.stream else "plain"


def create_app(ledger: Ledger) -> FastAPI:
    app = FastAPI(title="provider of recordings", openapi_url=None)

    @app.post("/v1/chat/completions")
    @app.post("/{vendor}/v1/chat/completions")
    async def chat(request: Request, vendor: str = "openai") -> Response:
        body = await request.json()
        tools = body.get("tools") or []
        asked = Asked(f"{vendor}.chat_completions", body, body["messages"], tools, body.get("user"))
        if asked.step == "failing":
            return _refused(asked, ledger)
        answer = answer_to(asked, ledger)
        choice = answer["choices"][0]
        bill(asked, ledger, answer, answer["usage"], choice["finish_reason"])
        if asked.stream:
            # Other vendors send the usage unasked, on the last chunk that has a choice.
            headers = {} if vendor == "openai" else {"x-stub-usage-with-choices": "1"}
            return _event_stream(stub_provider._events(answer, body, headers))
        return JSONResponse(answer)

    @app.post("/v1/responses")
    async def responses(request: Request) -> Response:
        body = await request.json()
        asked = Asked(
            "openai.responses", body, _messages_of_responses(body), body.get("tools") or [], body.get("user")
        )
        if asked.step == "failing":
            return _refused(asked, ledger)
        answer = answer_to(asked, ledger)
        response = _response(body, answer, asked)
        bill(asked, ledger, answer | {"id": response["id"]}, response["usage"], response["status"])
        if asked.stream:
            return _event_stream(_typed_events(_response_events(response)))
        return JSONResponse(response)

    @app.post("/v1/embeddings")
    async def embeddings(request: Request) -> Response:
        body = await request.json()
        asked = Asked("openai.embeddings", body, [], [], body.get("user"))
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        tokens = sum(stub_provider.count_tokens(str(text)) for text in texts)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        answer = {"id": None, "model": body["model"], "choices": []}
        bill(asked, ledger, answer, usage, None)
        return JSONResponse(_vectors(body, texts, usage))

    @app.post("/v1/messages")
    async def messages(request: Request) -> Response:
        body = await request.json()
        user = (body.get("metadata") or {}).get("user_id")
        asked = Asked(
            "anthropic.messages", body, _messages_of_anthropic(body), _tools_of_anthropic(body), user
        )
        if asked.step == "failing":
            return _refused(asked, ledger)
        answer = answer_to(asked, ledger)
        message = _anthropic_message(answer, asked)
        answer = answer | {"id": message["id"], "model": message["model"]}
        bill(asked, ledger, answer, message["usage"], message["stop_reason"])
        if asked.stream:
            return _event_stream(_typed_events(_message_events(message)))
        return JSONResponse(message, headers={"request-id": f"req_{message['id']}"})

    @app.post("/{version}/models/{model}:{method}")
    async def generate(version: str, model: str, method: str, request: Request) -> Response:
        body = {**await request.json(), "model": model, "stream": method == "streamGenerateContent"}
        asked = Asked(
            "gcp.gemini.generate_content", body, _messages_of_gemini(body), _tools_of_gemini(body), None
        )
        if asked.step == "failing":
            return _refused(asked, ledger)
        answer = answer_to(asked, ledger)
        response = gemini_response(answer)
        answer = answer | {"id": response["responseId"]}
        bill(asked, ledger, answer, response["usageMetadata"], response["candidates"][0]["finishReason"])
        if asked.stream:
            return _event_stream(_data_only(_gemini_chunks(response)))
        return JSONResponse(response)

    return app


def answer_to(asked: Asked, ledger: Ledger) -> Json:
    """The stub's answer in the form of chat completions, with the scenario's counts."""
    plain = not asked.tools
    cached = CACHE_READ if asked.messages and asked.messages[0]["role"] == "system" else 0
    headers = {"x-stub-cached-tokens": str(cached), "x-stub-reasoning-tokens": str(REASONING)}
    if plain:
        headers["x-stub-text"] = SCENARIO["answer"]
    body = {"model": asked.body["model"], "messages": asked.messages, "tools": asked.tools}
    return stub_provider._answer(body, headers, ledger.stub)


def _refused(asked: Asked, ledger: Ledger) -> Response:
    bill(asked, ledger, None, None, None, status=429)
    error = {"message": "there have been too many questions", "type": "rate_limit_error"}
    if asked.api == "anthropic.messages":
        return JSONResponse({"type": "error", "error": error}, status_code=429)
    if asked.api.startswith("gcp."):
        error = {"code": 429, "message": error["message"], "status": "RESOURCE_EXHAUSTED"}
        return JSONResponse({"error": error}, status_code=429)
    return JSONResponse({"error": error | {"code": "rate_limit_exceeded"}}, status_code=429)


def bill(
    asked: Asked,
    ledger: Ledger,
    answer: Json | None,
    usage: Json | None,
    finish_reason: str | None,
    *,
    status: int = 200,
) -> None:
    answered = answer or {"id": None, "model": None, "choices": []}
    ledger.calls.append(
        {
            "step": asked.step,
            "api": asked.api,
            "provider": asked.api.rpartition(".")[0],
            "received_unix_nano": str(asked.received),
            "request_model": asked.body["model"],
            "stream": asked.stream,
            "user": asked.user,
            "status": status,
            "response_id": answered["id"],
            "response_model": answered["model"],
            "finish_reasons": [finish_reason] if finish_reason else [],
            "usage": billed_usage(usage),
            "raw_usage": usage,
            "input_messages": [in_parts(message) for message in asked.messages],
            "output_messages": [
                in_parts(choice["message"]) | {"finish_reason": finish_reason}
                for choice in answered["choices"]
            ],
        }
    )


def billed_usage(usage: Json | None) -> Json | None:
    """Counts in the sense of the conventions, from the usage of any of the APIs."""
    if usage is None:
        return None
    read, written = usage.get("cache_read_input_tokens"), usage.get("cache_creation_input_tokens")
    if read is not None or written is not None:  # Anthropic: what the cache has is not in input_tokens
        read, written = read or 0, written or 0
        details = usage.get("output_tokens_details") or {}
        return _counts(
            usage["input_tokens"] + read + written,
            usage["output_tokens"],
            read,
            written,
            details.get("thinking_tokens", 0),
        )
    if "promptTokenCount" in usage:  # Gemini: thoughts are not in candidatesTokenCount
        thoughts = usage.get("thoughtsTokenCount", 0)
        read = usage.get("cachedContentTokenCount", 0)
        return _counts(usage["promptTokenCount"], usage["candidatesTokenCount"] + thoughts, read, 0, thoughts)
    inputs = usage.get("prompt_tokens_details") or usage.get("input_tokens_details") or {}
    outputs = usage.get("completion_tokens_details") or usage.get("output_tokens_details") or {}
    return _counts(
        usage.get("prompt_tokens", usage.get("input_tokens")),
        usage.get("completion_tokens", usage.get("output_tokens", 0)),
        inputs.get("cached_tokens", 0),
        0,
        outputs.get("reasoning_tokens", 0),
    )


def _counts(sent: int, answered: int, read: int, written: int, reasoning: int) -> Json:
    return {
        "input_tokens": sent,
        "output_tokens": answered,
        "cache_read_tokens": read,
        "cache_write_tokens": written,
        "reasoning_tokens": reasoning,
    }


def in_parts(message: Json) -> Json:
    """A message of chat completions in the form of the conventions."""
    text = stub_provider._text_of(message)
    if message["role"] == "tool":
        response = {"type": "tool_call_response", "id": message["tool_call_id"], "response": text}
        return {"role": "tool", "parts": [response]}
    parts: list[Json] = [{"type": "text", "content": text}] if text else []
    for call in message.get("tool_calls") or []:
        function = call["function"]
        arguments = json.loads(function["arguments"])
        parts.append(
            {"type": "tool_call", "id": call["id"], "name": function["name"], "arguments": arguments}
        )
    role = "system" if message["role"] == "developer" else message["role"]
    return {"role": role, "parts": parts}


# --- OpenAI responses


def _messages_of_responses(body: Json) -> list[Json]:
    messages = []
    if body.get("instructions"):
        messages.append({"role": "system", "content": body["instructions"]})
    sent = body["input"]
    items = [{"role": "user", "content": sent}] if isinstance(sent, str) else sent
    return messages + [{"role": item["role"], "content": item["content"]} for item in items]


def _response(body: Json, answer: Json, asked: Asked) -> Json:
    number = answer["id"].rpartition("-")[2]
    usage = answer["usage"]
    text = {"type": "output_text", "text": answer["choices"][0]["message"]["content"], "annotations": []}
    message = {
        "type": "message",
        "id": f"msg_stub_{number}",
        "role": "assistant",
        "status": "completed",
        "content": [text],
    }
    return {
        "id": f"resp_stub_{number}",
        "object": "response",
        "created_at": _CREATED,
        "status": "completed",
        "model": answer["model"],
        "service_tier": "default",
        "output": [message],
        "instructions": body.get("instructions"),
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "temperature": 1.0,
        "top_p": 1.0,
        "metadata": {},
        "error": None,
        "incomplete_details": None,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "text": {"format": {"type": "text"}},
        "truncation": "disabled",
        "user": asked.user,
        "usage": {
            "input_tokens": usage["prompt_tokens"],
            "input_tokens_details": {"cached_tokens": usage["prompt_tokens_details"]["cached_tokens"]},
            "output_tokens": usage["completion_tokens"],
            "output_tokens_details": {
                "reasoning_tokens": usage["completion_tokens_details"]["reasoning_tokens"]
            },
            "total_tokens": usage["total_tokens"],
        },
    }


def _response_events(response: Json) -> Iterator[Json]:
    (item,) = response["output"]
    (text,) = item["content"]
    begun = response | {"status": "in_progress", "output": [], "usage": None}
    at = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    empty = item | {"status": "in_progress", "content": []}
    yield {"type": "response.output_item.added", "output_index": 0, "item": empty}
    yield {"type": "response.content_part.added", **at, "part": text | {"text": ""}}
    for piece in stub_provider._pieces({"content": text["text"]}):
        yield {"type": "response.output_text.delta", **at, "delta": piece["content"], "logprobs": []}
    yield {"type": "response.output_text.done", **at, "text": text["text"], "logprobs": []}
    yield {"type": "response.content_part.done", **at, "part": text}
    yield {"type": "response.output_item.done", "output_index": 0, "item": item}
    yield {"type": "response.completed", "response": response}


# --- OpenAI embeddings


def _vectors(body: Json, texts: list[Any], usage: Json) -> Json:
    import base64
    import struct

    values = [0.25, -0.5, 0.125, 0.0625]
    vector: Any = values
    if body.get("encoding_format") == "base64":
        vector = base64.b64encode(struct.pack("<4f", *values)).decode()
    data = [{"object": "embedding", "index": index, "embedding": vector} for index in range(len(texts))]
    return {"object": "list", "data": data, "model": body["model"], "usage": usage}


# --- Anthropic messages


def _messages_of_anthropic(body: Json) -> list[Json]:
    messages: list[Json] = []
    if body.get("system"):
        messages.append({"role": "system", "content": body["system"]})
    for message in body["messages"]:
        messages += _split(message)
    return messages


def _split(message: Json) -> Iterator[Json]:
    """A message of Anthropic's as those of chat completions: results of tools are messages there."""
    content = message["content"]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    for block in blocks:
        if block["type"] == "tool_result":
            yield {"role": "tool", "tool_call_id": block["tool_use_id"], "content": block["content"]}
    texts = [block for block in blocks if block["type"] == "text"]
    calls = [
        {"id": block["id"], "function": {"name": block["name"], "arguments": json.dumps(block["input"])}}
        for block in blocks
        if block["type"] == "tool_use"
    ]
    if texts or calls:
        yield {"role": message["role"], "content": texts, "tool_calls": calls}


def _tools_of_anthropic(body: Json) -> list[Json]:
    return [
        {"function": {"name": tool["name"], "parameters": tool["input_schema"]}}
        for tool in body.get("tools") or []
    ]


def _anthropic_message(answer: Json, asked: Asked) -> Json:
    (choice,) = answer["choices"]
    content: list[Json] = []
    if choice["message"]["content"]:
        content.append({"type": "text", "text": choice["message"]["content"]})
    for call in choice["message"].get("tool_calls") or []:
        arguments = json.loads(call["function"]["arguments"])
        content.append(
            {"type": "tool_use", "id": call["id"], "name": call["function"]["name"], "input": arguments}
        )
    return {
        "id": "msg_stub_" + answer["id"].rpartition("-")[2],
        "type": "message",
        "role": "assistant",
        "model": asked.body["model"] + "-20250929",
        "content": content,
        "stop_reason": _STOP_REASONS[choice["finish_reason"]],
        "stop_sequence": None,
        "usage": anthropic_usage(answer["usage"]),
    }


def anthropic_usage(usage: Json) -> Json:
    read = usage["prompt_tokens_details"]["cached_tokens"]
    written = CACHE_WRITE if read else 0
    for_5m = CACHE_WRITE_5M if read else 0
    return {
        "input_tokens": usage["prompt_tokens"] - read - written,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": for_5m,
            "ephemeral_1h_input_tokens": written - for_5m,
        },
        "output_tokens": usage["completion_tokens"],
        "output_tokens_details": {"thinking_tokens": usage["completion_tokens_details"]["reasoning_tokens"]},
        "service_tier": "standard",
    }


def _message_events(message: Json) -> Iterator[Json]:
    usage = message["usage"]
    begun = {name: value for name, value in usage.items() if name != "output_tokens_details"}
    head = message | {"content": [], "stop_reason": None, "usage": begun | {"output_tokens": 1}}
    yield {"type": "message_start", "message": head}
    for index, block in enumerate(message["content"]):
        empty = block | ({"text": ""} if block["type"] == "text" else {"input": {}})
        yield {"type": "content_block_start", "index": index, "content_block": empty}
        for delta in _deltas(block):
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    ended = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    counted = {name: usage[name] for name in ("output_tokens", "output_tokens_details")}
    yield {"type": "message_delta", "delta": ended, "usage": counted}
    yield {"type": "message_stop"}


def _deltas(block: Json) -> Iterator[Json]:
    if block["type"] == "text":
        for piece in stub_provider._pieces({"content": block["text"]}):
            yield {"type": "text_delta", "text": piece["content"]}
    else:
        for half in stub_provider._halves(json.dumps(block["input"])):
            yield {"type": "input_json_delta", "partial_json": half}


# --- Gemini


def _messages_of_gemini(body: Json) -> list[Json]:
    messages: list[Json] = []
    if body.get("systemInstruction"):
        messages.append({"role": "system", "content": body["systemInstruction"]["parts"]})
    for content in body["contents"]:
        messages += _split_gemini(content)
    return messages


def _split_gemini(content: Json) -> Iterator[Json]:
    """A content of Gemini's as messages of chat completions: calls of tools have no ids there."""
    parts = content["parts"]
    for part in parts:
        if "functionResponse" in part:
            answered = part["functionResponse"]
            result = answered["response"]
            text = str(result["result"]) if result.keys() == {"result"} else json.dumps(result)
            yield {"role": "tool", "tool_call_id": answered.get("id"), "content": text}
    texts = [part for part in parts if "text" in part]
    calls = [
        {
            "id": part["functionCall"].get("id"),
            "function": {
                "name": part["functionCall"]["name"],
                "arguments": json.dumps(part["functionCall"]["args"]),
            },
        }
        for part in parts
        if "functionCall" in part
    ]
    if texts or calls:
        role = "assistant" if content.get("role") == "model" else "user"
        yield {"role": role, "content": texts, "tool_calls": calls}


# The last two are the same, from different versions of the SDK.
_GEMINI_SCHEMAS = ("parameters", "parametersJsonSchema", "parameters_json_schema")


def _tools_of_gemini(body: Json) -> list[Json]:
    declared = [
        function for tool in body.get("tools") or [] for function in tool.get("functionDeclarations") or []
    ]
    return [
        {
            "function": {
                "name": function["name"],
                "parameters": _lower_types(
                    next((function[key] for key in _GEMINI_SCHEMAS if function.get(key)), {})
                ),
            }
        }
        for function in declared
    ]


def _lower_types(schema: Any) -> Any:
    """A schema of Gemini's writes its types in capitals."""
    if not isinstance(schema, dict):
        return schema
    return {
        key: value.lower() if key == "type" and isinstance(value, str) else _lower_types(value)
        for key, value in schema.items()
    }


def gemini_response(answer: Json) -> Json:
    (choice,) = answer["choices"]
    parts: list[Json] = []
    if choice["message"]["content"]:
        parts.append({"text": choice["message"]["content"]})
    for call in choice["message"].get("tool_calls") or []:
        function = call["function"]
        parts.append({"functionCall": {"name": function["name"], "args": json.loads(function["arguments"])}})
        call["id"] = None
    usage = answer["usage"]
    thoughts = usage["completion_tokens_details"]["reasoning_tokens"]
    return {
        "responseId": "gemini-stub-" + answer["id"].rpartition("-")[2],
        "modelVersion": answer["model"],
        "candidates": [{"index": 0, "content": {"role": "model", "parts": parts}, "finishReason": "STOP"}],
        "usageMetadata": {
            "promptTokenCount": usage["prompt_tokens"],
            "cachedContentTokenCount": usage["prompt_tokens_details"]["cached_tokens"],
            "candidatesTokenCount": usage["completion_tokens"] - thoughts,
            "thoughtsTokenCount": thoughts,
            "totalTokenCount": usage["total_tokens"],
        },
    }


def _gemini_chunks(response: Json) -> Iterator[Json]:
    (candidate,) = response["candidates"]
    last = candidate["content"]["parts"][-1]
    texts = [piece["content"] for piece in stub_provider._pieces({"content": last.get("text") or ""})]
    for text in texts[:-1]:
        content = {"role": "model", "parts": [{"text": text}]}
        yield response | {"candidates": [{"index": 0, "content": content}], "usageMetadata": {}}
    parts = [{"text": texts[-1]}] if texts else candidate["content"]["parts"]
    yield response | {"candidates": [candidate | {"content": {"role": "model", "parts": parts}}]}


# --- streams, and running it


def _event_stream(events: AsyncIterator[str]) -> Response:
    return StreamingResponse(events, media_type="text/event-stream")


async def _typed_events(events: Iterator[Json]) -> AsyncIterator[str]:
    for number, event in enumerate(events):
        numbered = event if "message" in event["type"] else event | {"sequence_number": number}
        yield f"event: {event['type']}\ndata: {json.dumps(numbered)}\n\n"


async def _data_only(chunks: Iterator[Json]) -> AsyncIterator[str]:
    for chunk in chunks:
        yield f"data: {json.dumps(chunk)}\n\n"


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """An application in a thread on a free port of loopback: its address, while the block runs."""
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, log_level="critical", lifespan="off", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name=app.title, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{stub_provider._port_of(server, thread)}"
    finally:
        server.should_exit = True
        thread.join(timeout=5)
