"""A local Anthropic: messages, batches and counts, as its own API, Bedrock and Vertex AI serve them.

Tokens: a word or a punctuation mark is one token. Text repeats the last user message; a request with tools
gets calls of the tools in turn, and text once the last message has a tool's result. What else is wanted
stands as JSON in the header `x-stub`, which an unmodified client sends with `extra_headers`:

    status        answer this status with an error of Anthropic's form
    delay_ms      wait before the answer; chunk_delay_ms: before each event
    break_after   drop the connection after so many events
    error_after   send an error event after so many events
    tools         call so many tools at once, their arguments interleaved in a stream
    text          answer this text; thinking: think this first
    usage         merge these fields into the usage, after the stub's own count
    blocks        put these content blocks before the text
    model         claim this model answered

`bills` has what was billed, in order: id, model asked for and answered, stream, usage, and whether all of the
answer was sent.
"""

import asyncio
import base64
import itertools
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from spanledger.server.stub_provider import BrokenConnectionError, StubProvider, count_tokens, running
from tests.instrumentation.stubs.eventstream import frame

Json = dict[str, Any]

ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}


class AnthropicStub:
    """The state of one running stub."""

    def __init__(self) -> None:
        self.bills: list[Json] = []
        # What a batch answered, which never changes.
        self.results: dict[str, str] = {}
        self.batches: dict[str, list[Json]] = {}
        self.last_headers: Json = {}
        self._numbers = itertools.count(1)

    def message(self, body: Json, plan: Json) -> Json:
        number = next(self._numbers)
        blocks, reason = answer_blocks(body, plan)
        model = plan.get("model") or body.get("model")
        return {
            "id": f"msg_stub_{number:06d}",
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": blocks,
            "stop_reason": reason,
            "stop_sequence": None,
            "usage": usage_of(body, blocks, plan),
        }

    def bill(self, message: Json, body: Json, *, stream: bool) -> Json:
        billed = {
            "id": message["id"],
            "model": message["model"],
            "asked": body.get("model"),
            "stream": stream,
            "usage": message["usage"],
            "sent": not stream,
        }
        self.bills.append(billed)
        return billed


def answer_blocks(body: Json, plan: Json) -> tuple[list[Json], str]:
    blocks: list[Json] = list(plan.get("blocks", []))
    if plan.get("thinking"):
        blocks.append({"type": "thinking", "thinking": plan["thinking"], "signature": "c2lnbmF0dXJl"})
    messages, tools = body.get("messages") or [], body.get("tools") or []
    wanted = plan.get("tools", 1 if tools and not _has_result(messages) else 0)
    if tools and wanted:
        word = _text(messages).split()[-1]
        for number in range(wanted):
            tool = tools[number % len(tools)]
            called = {
                "type": "tool_use",
                "id": f"toolu_{number}",
                "name": tool["name"],
                "input": {"city": word},
            }
            blocks.append(called)
        return blocks, "tool_use"
    form = (body.get("output_config") or {}).get("format") or body.get("output_format")
    text = plan.get("text") or ('{"city": "Lisbon"}' if form else f"You said: {_text(messages)}")
    return [*blocks, {"type": "text", "text": text}], "end_turn"


def _has_result(messages: list[Json]) -> bool:
    last = messages[-1]["content"] if messages else ""
    return isinstance(last, list) and any(block.get("type") == "tool_result" for block in last)


def _text(messages: list[Json]) -> str:
    content = messages[-1]["content"] if messages else "nothing"
    if isinstance(content, str):
        return content
    return " ".join(block["text"] for block in content if block.get("type") == "text") or "nothing"


def usage_of(body: Json, blocks: list[Json], plan: Json) -> Json:
    asked = sum(count_tokens(json.dumps(message["content"])) for message in body.get("messages") or [])
    written = sum(count_tokens(json.dumps(block)) for block in blocks)
    return {
        "input_tokens": asked,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": written,
        "service_tier": "standard",
        **plan.get("usage", {}),
    }


def events(message: Json) -> Iterator[Json]:
    """A message as the events of a stream; arguments of tools that are called together come in turns."""
    first = {**message["usage"], "output_tokens": 1}
    first.pop("output_tokens_details", None)
    yield {
        "type": "message_start",
        "message": {**message, "content": [], "stop_reason": None, "usage": first},
    }
    yield {"type": "ping"}
    started = list(enumerate(message["content"]))
    for index, block in started:
        yield {"type": "content_block_start", "index": index, "content_block": _opening(block)}
    turns = itertools.zip_longest(*(list(_deltas(block)) for _, block in started))
    for turn in turns:
        for index, delta in enumerate(turn):
            if delta is not None:
                yield {"type": "content_block_delta", "index": index, "delta": delta}
    for index, _ in started:
        yield {"type": "content_block_stop", "index": index}
    usage = {key: value for key, value in message["usage"].items() if key in _FINAL_USAGE}
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": message["stop_reason"], "stop_sequence": None},
        "usage": usage,
    }
    yield {"type": "message_stop"}


_FINAL_USAGE = {
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "output_tokens_details",
    "server_tool_use",
    "iterations",
}


def _opening(block: Json) -> Json:
    empty = {"text": {"text": ""}, "thinking": {"thinking": "", "signature": ""}, "tool_use": {"input": {}}}
    empty["server_tool_use"] = empty["tool_use"]
    opened = {**block, **empty.get(block["type"], {})}
    opened.pop("citations", None)
    return opened


def _deltas(block: Json) -> Iterator[Json]:
    if block["type"] == "text":
        for piece in re.findall(r"\s*\S+", block["text"]):
            yield {"type": "text_delta", "text": piece}
        for citation in block.get("citations", []):
            yield {"type": "citations_delta", "citation": citation}
    elif block["type"] == "thinking":
        for piece in re.findall(r"\s*\S+", block["thinking"]):
            yield {"type": "thinking_delta", "thinking": piece}
        yield {"type": "signature_delta", "signature": block["signature"]}
    elif block["type"] in {"tool_use", "server_tool_use"}:
        text = json.dumps(block["input"])
        for half in (text[: len(text) // 2], text[len(text) // 2 :]):
            yield {"type": "input_json_delta", "partial_json": half}


def error_body(kind: str) -> Json:
    return {"type": "error", "error": {"type": kind, "message": f"the stub was asked for {kind}"}}


def create_app(stub: AnthropicStub) -> FastAPI:
    app = FastAPI(openapi_url=None)

    @app.post("/v1/messages")
    async def messages(request: Request) -> Response:
        body = await request.json()
        return await _answer(stub, body, request, stream=bool(body.get("stream")))

    @app.post("/model/{model}/{operation}")
    async def bedrock(model: str, operation: str, request: Request) -> Response:
        body = {**await request.json(), "model": model}
        stream = operation == "invoke-with-response-stream"
        return await _answer(stub, body, request, stream=stream, framed=stream, named=short_name(model))

    @app.post("/projects/{project}/locations/{region}/publishers/anthropic/models/{model_and_method}")
    async def vertex(project: str, region: str, model_and_method: str, request: Request) -> Response:
        model, method = model_and_method.split(":")
        body = {**await request.json(), "model": model}
        return await _answer(stub, body, request, stream=method.startswith("stream"))

    @app.post("/v1/messages/count_tokens")
    async def count(request: Request) -> Json:
        return {"input_tokens": count_tokens(json.dumps((await request.json())["messages"]))}

    @app.post("/v1/messages/batches")
    async def start_batch(request: Request) -> Json:
        identifier = f"msgbatch_{uuid4().hex}"
        stub.batches[identifier] = (await request.json())["requests"]
        return _batch(identifier, request)

    @app.get("/v1/messages/batches/{identifier}")
    async def batch(identifier: str, request: Request) -> Json:
        return _batch(identifier, request)

    @app.get("/v1/messages/batches/{identifier}/results")
    async def results(identifier: str) -> Response:
        if identifier not in stub.results:
            lines = [_result(stub, asked) for asked in stub.batches[identifier]]
            stub.results[identifier] = "".join(json.dumps(line) + "\n" for line in lines)
        return Response(stub.results[identifier], media_type="application/x-jsonl")

    return app


def short_name(model: str) -> str:
    """The name that Bedrock's answers give a model: without region, vendor and version."""
    return re.sub(r"-v\d+(:\d+)?$", "", model.rpartition("anthropic.")[2])


def _batch(identifier: str, request: Request) -> Json:
    counts = {"canceled": 0, "errored": 0, "expired": 0, "processing": 0, "succeeded": 1}
    moment = "2026-11-01T00:00:00Z"
    return {
        "id": identifier,
        "type": "message_batch",
        "processing_status": "ended",
        "request_counts": counts,
        "created_at": moment,
        "expires_at": moment,
        "ended_at": moment,
        "archived_at": None,
        "cancel_initiated_at": None,
        "results_url": f"{request.base_url}v1/messages/batches/{identifier}/results",
    }


def _result(stub: AnthropicStub, asked: Json) -> Json:
    """Requests whose id starts with another kind of result end so."""
    kind = asked["custom_id"].partition("-")[0]
    if kind in {"canceled", "expired"}:
        return {"custom_id": asked["custom_id"], "result": {"type": kind}}
    if kind == "errored":
        failed = {"type": "errored", "error": error_body("invalid_request_error")}
        return {"custom_id": asked["custom_id"], "result": failed}
    message = stub.message(asked["params"], {"usage": {"service_tier": "batch"}})
    stub.bill(message, asked["params"], stream=False)
    return {"custom_id": asked["custom_id"], "result": {"type": "succeeded", "message": message}}


async def _answer(
    stub: AnthropicStub,
    body: Json,
    request: Request,
    *,
    stream: bool,
    framed: bool = False,
    named: str | None = None,
) -> Response:
    stub.last_headers = dict(request.headers)
    plan = json.loads(request.headers.get("x-stub", "{}"))
    await asyncio.sleep(plan.get("delay_ms", 0) / 1000)
    if "status" in plan:
        status = plan["status"]
        return JSONResponse(error_body(ERROR_TYPES.get(status, "api_error")), status_code=status)
    message = stub.message(body, {"model": named, **plan} if named else plan)
    billed = stub.bill(message, body, stream=stream)
    if not stream:
        return JSONResponse(message, headers={"request-id": f"req_{message['id']}"})
    sent = _sent(message, plan, billed, framed=framed)
    media_type = "application/vnd.amazon.eventstream" if framed else "text/event-stream"
    return StreamingResponse(sent, media_type=media_type, headers={"request-id": f"req_{message['id']}"})


async def _sent(message: Json, plan: Json, billed: Json, *, framed: bool) -> AsyncIterator[bytes]:
    for number, event in enumerate(events(message)):
        if number == plan.get("break_after"):
            raise BrokenConnectionError
        if number == plan.get("error_after"):
            if framed:
                yield frame({"message": "stopped"}, exception="modelStreamErrorException")
            else:
                yield _sse(error_body("overloaded_error"))
            return
        if event["type"] == "message_stop":
            billed["sent"] = True
        await asyncio.sleep(plan.get("chunk_delay_ms", 0) / 1000)
        if framed:
            yield frame({"bytes": base64.b64encode(json.dumps(event).encode()).decode()}, event="chunk")
        else:
            yield _sse(event)


def _sse(event: Json) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


@contextmanager
def serving() -> Iterator[tuple[AnthropicStub, StubProvider]]:
    """The stub in a thread on a free port, stopped at the end of the block."""
    stub = AnthropicStub()
    with running(app=create_app(stub)) as provider:
        yield stub, provider
