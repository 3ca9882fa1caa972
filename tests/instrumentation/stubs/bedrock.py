"""A local bedrock-runtime: Converse and InvokeModel with bodies of many makers, whole and in event streams.

Tokens: a word or a punctuation mark is one token. Text repeats the last text that was asked. What else is
wanted is a JSON object in the first text of the request, behind `STUB `:

    status, code  answer this status with an error of AWS's form
    delay_ms      wait before the answer; chunk_delay_ms: before each event
    break_after   drop the connection after so many events; error_after: send an exception instead
    tools         call so many tools at once, their arguments interleaved
    usage         counts instead of the stub's own, by the names of Converse
    uncounted     tell no counts in headers and metrics

`bills` has what was billed, in order: request id, model, operation, stream and usage (names of Converse).
"""

import asyncio
import base64
import itertools
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from spanledger.server.stub_provider import BrokenConnectionError, StubProvider, count_tokens, running
from tests.instrumentation.stubs import anthropic
from tests.instrumentation.stubs.eventstream import frame

Json = dict[str, Any]
EVENTS = "application/vnd.amazon.eventstream"


class BedrockStub:
    def __init__(self) -> None:
        self.bills: list[Json] = []
        self._numbers = itertools.count(1)

    def bill(self, model: str, operation: str, usage: Json, *, stream: bool) -> Json:
        billed = {
            "id": f"request-{next(self._numbers):06d}",
            "model": model,
            "operation": operation,
            "stream": stream,
            "usage": usage,
        }
        self.bills.append(billed)
        return billed


def create_app(stub: BedrockStub) -> FastAPI:
    app = FastAPI(openapi_url=None)

    @app.post("/model/{rest:path}")
    async def model(rest: str, request: Request) -> Response:
        name, _, operation = rest.rpartition("/")
        body = await request.json()
        plan = plan_of(body)
        await asyncio.sleep(plan.get("delay_ms", 0) / 1000)
        if "status" in plan:
            headers = {"x-amzn-ErrorType": plan["code"]}
            return JSONResponse(
                {"message": "the stub was asked"}, status_code=plan["status"], headers=headers
            )
        answer = _converse if operation.startswith("converse") else _invoke
        return answer(stub, unquote(name), operation, body, plan)

    return app


def plan_of(body: Json) -> Json:
    said = _said(body)
    return json.loads(said.removeprefix("STUB ")) if said.startswith("STUB ") else {}


def _said(body: Json) -> str:
    for name in ("prompt", "inputText", "message"):
        if body.get(name):
            return str(body[name])
    if body.get("texts"):
        return str(body["texts"][0])
    content = (body.get("messages") or [{}])[-1].get("content", "nothing")
    return (
        content
        if isinstance(content, str)
        else next((b["text"] for b in content if b.get("text")), "nothing")
    )


def _usage(body: Json, said: str, plan: Json) -> Json:
    asked = count_tokens(json.dumps({key: value for key, value in body.items() if key != "system"}))
    return plan.get("usage") or {"inputTokens": asked, "outputTokens": count_tokens(said)}


def _converse(stub: BedrockStub, model: str, operation: str, body: Json, plan: Json) -> Response:
    said = plan.get("text") or f"You said: {_said(body)}"
    blocks, reason = _blocks(body, plan, said)
    usage = _usage(body, said, plan)
    total = sum(usage.get(name, 0) for name in ("inputTokens", "outputTokens"))
    billed = stub.bill(model, operation, usage, stream=operation == "converse-stream")
    headers = {"x-amzn-RequestId": billed["id"]}
    reported = {**usage, "totalTokens": total}
    if operation == "converse":
        answer = {
            "output": {"message": {"role": "assistant", "content": blocks}},
            "stopReason": reason,
            "usage": reported,
            "metrics": {"latencyMs": 1},
        }
        return JSONResponse(answer, headers=headers)
    events = [
        *_converse_events(blocks, reason),
        ("metadata", {"usage": reported, "metrics": {"latencyMs": 1}}),
    ]
    sent = _frames([frame(payload, event=name) for name, payload in events], plan)
    return StreamingResponse(sent, media_type=EVENTS, headers=headers)


def _blocks(body: Json, plan: Json, said: str) -> tuple[list[Json], str]:
    thought: list[Json] = []
    if plan.get("thinking"):
        thought = [{"reasoningContent": {"reasoningText": {"text": plan["thinking"], "signature": "c2ln"}}}]
    tools = (body.get("toolConfig") or {}).get("tools") or []
    if not plan.get("tools"):
        return [*thought, {"text": said}], "end_turn"
    named = [tools[number % len(tools)]["toolSpec"]["name"] for number in range(plan["tools"])]
    calls = [
        {"toolUse": {"toolUseId": f"t{number}", "name": name, "input": {"city": f"Lisbon {number}"}}}
        for number, name in enumerate(named)
    ]
    return [*thought, *calls], "tool_use"


def _converse_events(blocks: list[Json], reason: str) -> Iterator[tuple[str, Json]]:
    yield "messageStart", {"role": "assistant"}
    for index, block in enumerate(blocks):
        if "toolUse" in block:
            start = {name: block["toolUse"][name] for name in ("toolUseId", "name")}
            yield "contentBlockStart", {"contentBlockIndex": index, "start": {"toolUse": start}}
    for turn in itertools.zip_longest(*(list(_pieces(block)) for block in blocks)):
        for index, piece in enumerate(turn):
            if piece is not None:
                yield "contentBlockDelta", {"contentBlockIndex": index, "delta": piece}
    for index in range(len(blocks)):
        yield "contentBlockStop", {"contentBlockIndex": index}
    yield "messageStop", {"stopReason": reason}


def _pieces(block: Json) -> Iterator[Json]:
    if "text" in block:
        yield from ({"text": piece} for piece in re.findall(r"\s*\S+", block["text"]))
    elif "toolUse" in block:
        text = json.dumps(block["toolUse"]["input"])
        for half in (text[: len(text) // 2], text[len(text) // 2 :]):
            yield {"toolUse": {"input": half}}
    else:
        held = block["reasoningContent"]["reasoningText"]
        yield {"reasoningContent": {"text": held["text"]}}
        yield {"reasoningContent": {"signature": held["signature"]}}


def _invoke(stub: BedrockStub, model: str, operation: str, body: Json, plan: Json) -> Response:
    stream = operation == "invoke-with-response-stream"
    said = plan.get("text") or f"You said: {_said(body)}"
    usage = _usage(body, said, plan)
    maker = next(maker for name, maker in MAKERS.items() if name in model)
    whole, pieces = maker(model, body, said, usage)
    if "embed" in model:
        usage = {"inputTokens": usage["inputTokens"]}
    billed = stub.bill(model, operation, usage, stream=stream)
    headers = {"x-amzn-RequestId": billed["id"]}
    counts = {name: usage[key] for name, key in _COUNTS.items() if key in usage and not plan.get("uncounted")}
    if not stream:
        told = {f"X-Amzn-Bedrock-{name}-Token-Count": str(count) for name, count in counts.items()}
        return Response(json.dumps(whole), media_type="application/json", headers={**headers, **told})
    if counts and "anthropic" not in model:
        metrics = {f"{name.replace('-', '')}TokenCount": count for name, count in counts.items()}
        metrics = {name[0].lower() + name[1:]: count for name, count in metrics.items()}
        pieces[-1] = {**pieces[-1], "amazon-bedrock-invocationMetrics": metrics}
    chunks = [{"bytes": base64.b64encode(json.dumps(piece).encode()).decode()} for piece in pieces]
    sent = _frames([frame(chunk, event="chunk") for chunk in chunks], plan)
    headers["x-amzn-bedrock-content-type"] = "application/json"
    return StreamingResponse(sent, media_type=EVENTS, headers=headers)


_COUNTS = {
    "Input": "inputTokens",
    "Output": "outputTokens",
    "Cache-Read-Input": "cacheReadInputTokens",
    "Cache-Write-Input": "cacheWriteInputTokens",
}


async def _frames(frames: list[bytes], plan: Json) -> AsyncIterator[bytes]:
    for number, sent in enumerate(frames):
        if number == plan.get("break_after"):
            raise BrokenConnectionError
        if number == plan.get("error_after"):
            yield frame({"message": "too much"}, exception="throttlingException")
            return
        await asyncio.sleep(plan.get("chunk_delay_ms", 0) / 1000)
        yield sent


def _anthropic(model: str, _body: Json, said: str, usage: Json) -> tuple[Json, list[Json]]:
    counts = {
        "input_tokens": usage["inputTokens"],
        "output_tokens": usage["outputTokens"],
        "cache_read_input_tokens": usage.get("cacheReadInputTokens", 0),
        "cache_creation_input_tokens": usage.get("cacheWriteInputTokens", 0),
    }
    message = {
        "id": "msg_bdrk_1",
        "type": "message",
        "role": "assistant",
        "model": anthropic.short_name(model),
        "content": [{"type": "text", "text": said}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": counts,
    }
    return message, list(anthropic.events(message))


def _nova(_model: str, _body: Json, said: str, usage: Json) -> tuple[Json, list[Json]]:
    counts = {
        "inputTokens": usage["inputTokens"],
        "outputTokens": usage["outputTokens"],
        "cacheReadInputTokenCount": usage.get("cacheReadInputTokens", 0),
        "cacheWriteInputTokenCount": usage.get("cacheWriteInputTokens", 0),
    }
    blocks = [{"text": said}]
    whole = {"output": {"message": {"role": "assistant", "content": blocks}}, "stopReason": "end_turn"}
    events = [{name: payload} for name, payload in _converse_events(blocks, "end_turn")]
    return {**whole, "usage": counts}, [*events, {"metadata": {"usage": counts}}]


def _titan(_model: str, _body: Json, said: str, usage: Json) -> tuple[Json, list[Json]]:
    result = {"tokenCount": usage["outputTokens"], "outputText": said, "completionReason": "FINISH"}
    whole = {"inputTextTokenCount": usage["inputTokens"], "results": [result]}
    first = {"outputText": said[:4], "index": 0, "completionReason": None, "inputTextTokenCount": None}
    last = {
        "outputText": said[4:],
        "index": 0,
        "completionReason": "FINISH",
        "inputTextTokenCount": usage["inputTokens"],
        "totalOutputTextTokenCount": usage["outputTokens"],
    }
    return whole, [first, last]


def _titan_embedding(_model: str, _body: Json, _said: str, usage: Json) -> tuple[Json, list[Json]]:
    return {"embedding": [0.7125] * 64, "inputTextTokenCount": usage["inputTokens"]}, []


def _llama(_model: str, _body: Json, said: str, usage: Json) -> tuple[Json, list[Json]]:
    whole = {
        "generation": said,
        "prompt_token_count": usage["inputTokens"],
        "generation_token_count": usage["outputTokens"],
        "stop_reason": "stop",
    }
    first = {**whole, "generation": said[:4], "generation_token_count": 1, "stop_reason": None}
    return whole, [first, {**whole, "generation": said[4:], "prompt_token_count": None}]


def _mistral(_model: str, body: Json, said: str, usage: Json) -> tuple[Json, list[Json]]:
    if "messages" in body:
        message = {"role": "assistant", "content": said}
        counts = {"prompt_tokens": usage["inputTokens"], "completion_tokens": usage["outputTokens"]}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return {"id": "m1", "object": "chat.completion", "choices": [choice], "usage": counts}, []
    halves = [(said[:4], None), (said[4:], "stop")]
    pieces = [{"outputs": [{"text": text, "stop_reason": reason}]} for text, reason in halves]
    return {"outputs": [{"text": said, "stop_reason": "stop"}]}, pieces


def _cohere(_model: str, body: Json, said: str, _usage: Json) -> tuple[Json, list[Json]]:
    if "message" in body:
        whole = {"text": said, "generation_id": "g1", "response_id": "r1", "finish_reason": "COMPLETE"}
        words = [{"event_type": "text-generation", "text": piece} for piece in (said[:4], said[4:])]
        end = {"event_type": "stream-end", "finish_reason": "COMPLETE", "response": whole}
        return whole, [*words, {**end, "is_finished": True}]
    generation = {"id": "g1", "text": said, "finish_reason": "COMPLETE"}
    pieces = [{"text": said[:4], "is_finished": False}, {"text": said[4:], "finish_reason": "COMPLETE"}]
    return {"id": "r1", "generations": [generation], "prompt": body.get("prompt")}, pieces


def _cohere_embedding(_model: str, body: Json, _said: str, _usage: Json) -> tuple[Json, list[Json]]:
    vectors = [[0.7125] * 64 for _ in body["texts"]]
    return {
        "id": "e1",
        "embeddings": vectors,
        "response_type": "embeddings_floats",
        "texts": body["texts"],
    }, []


# The first whose name is in the model's id.
MAKERS: dict[str, Callable[[str, Json, str, Json], tuple[Json, list[Json]]]] = {
    "anthropic.": _anthropic,
    "amazon.nova": _nova,
    "amazon.titan-embed": _titan_embedding,
    "amazon.titan": _titan,
    "meta.": _llama,
    "mistral.": _mistral,
    "cohere.embed": _cohere_embedding,
    "cohere.": _cohere,
    "application-inference-profile": _anthropic,
}


@contextmanager
def serving() -> Iterator[tuple[BedrockStub, StubProvider]]:
    """The stub in a thread on a free port, stopped at the end of the block."""
    stub = BedrockStub()
    with running(app=create_app(stub)) as provider:
        yield stub, provider
