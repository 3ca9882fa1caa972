"""The rest of OpenAI's API beside the chat stub: answers by rules, and a list of what was billed.

Chat completions are those of `spanledger.server.stub_provider`. Each answer tells the usage of the request
header `x-stub-usage` (JSON, in the form of its endpoint), otherwise one token for each word or punctuation
mark. Headers:

    x-stub-status: 429          answer this status
    x-stub-delay-ms: 50         wait before the answer;  x-stub-chunk-delay-ms: before each event
    x-stub-break-after: 2       drop the connection after so many events
    x-stub-error-after: 2       send an error event after so many events
    x-stub-no-usage: 1          report no usage
    x-stub-output: reasoning,message    the items of a response, in this order
    x-stub-status-of-response: failed   how a response ends
    x-stub-polls: 2             so many lookups before a background response has ended
    x-stub-usage: {...}         report, and bill, this usage

A legacy completion is streamed with usage only when `stream_options` ask for it.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse

from spanledger.server import stub_provider
from spanledger.server.stub_provider import BrokenConnectionError, count_tokens

Json = dict[str, Any]

PICTURE = base64.b64encode(b"a picture of a harbour").decode()
SOUND = b"the sound of a harbour " * 200
_DEPLOYMENT = re.compile(r"^/openai/deployments/[^/]+")
_CREATED = 1_760_000_000


@dataclass
class Account:
    """What the provider has billed, and what it keeps for later requests."""

    billed: list[Json] = field(default_factory=list)
    responses: dict[str, Json] = field(default_factory=dict)
    polls: dict[str, int] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    batches: dict[str, Json] = field(default_factory=dict)
    requests: list[Json] = field(default_factory=list)
    last: int = 0

    def next_id(self, prefix: str) -> str:
        self.last += 1
        return f"{prefix}_stub_{self.last:06d}"

    def bill(self, path: str, answer: Json, *, tier: str | None = None, headers: Mapping[str, str]) -> None:
        self.billed.append(
            {
                "path": path,
                "id": answer.get("id"),
                "model": answer.get("model"),
                "tier": tier or answer.get("service_tier"),
                "usage": answer.get("usage"),
                "told": not headers.get("x-stub-no-usage"),
                "tool_usage": answer.get("tool_usage"),
            }
        )


@dataclass(frozen=True)
class Stub:
    """A stub that is running, with what it billed."""

    base_url: str
    root_url: str
    account: Account

    def last(self) -> Json:
        return self.account.billed[-1]

    def forget(self) -> None:
        self.account.billed.clear()
        self.account.requests.clear()


def _usage(headers: Mapping[str, str], default: Json) -> Json:
    return json.loads(headers["x-stub-usage"]) if "x-stub-usage" in headers else default


def _reported(answer: Json, headers: Mapping[str, str]) -> Json:
    return {**answer, "usage": None} if headers.get("x-stub-no-usage") else answer


def _model(asked: Any) -> str:
    return stub_provider.MODELS.get(str(asked), str(asked))


def _failure(headers: Mapping[str, str]) -> Response | None:
    status = headers.get("x-stub-status")
    if status is None:
        return None
    error = {"message": f"the stub was asked for status {status}", "type": "stub", "code": f"stub_{status}"}
    return JSONResponse({"error": error}, status_code=int(status))


async def _events(events: list[Json], headers: Mapping[str, str], *, done: bool) -> AsyncIterator[str]:
    breaks, fails = int(headers.get("x-stub-break-after", -1)), int(headers.get("x-stub-error-after", -1))
    for number, event in enumerate(events):
        if number == breaks:
            raise BrokenConnectionError
        if number == fails:
            error = {"type": "error", "code": "stub", "message": "the stub was asked for one", "param": None}
            yield f"event: error\ndata: {json.dumps({**error, 'sequence_number': number})}\n\n"
            return
        if "x-stub-chunk-delay-ms" in headers:
            await asyncio.sleep(int(headers["x-stub-chunk-delay-ms"]) / 1000)
        name = f"event: {event['type']}\n" if "type" in event else ""
        yield f"{name}data: {json.dumps(event)}\n\n"
    if done:
        yield "data: [DONE]\n\n"


def _stream(events: list[Json], headers: Mapping[str, str], *, done: bool = False) -> Response:
    return StreamingResponse(_events(events, headers, done=done), media_type="text/event-stream")


# --- responses ---------------------------------------------------------------------------------


def _input_text(body: Json) -> str:
    given = body.get("input")
    if isinstance(given, str):
        return given
    texts = []
    for item in given or []:
        content = item.get("content") or item.get("output") or ""
        texts += [content] if isinstance(content, str) else [part.get("text") or "" for part in content]
    return " ".join(texts)


def _answer_text(body: Json) -> str:
    given = body.get("input")
    last = given[-1] if isinstance(given, list) and given else {}
    if isinstance(last, dict) and last.get("type") == "function_call_output":
        return f"The tool says: {last['output']}"
    form = (body.get("text") or {}).get("format") or {}
    if form.get("type") == "json_schema":
        return json.dumps(stub_provider._instance(form["schema"], form["schema"], "Lisbon"))
    return f"You said: {_input_text(body)}"


def _item(kind: str, body: Json, account: Account) -> Json:
    if kind == "message":
        text = {"type": "output_text", "text": _answer_text(body), "annotations": [], "logprobs": []}
        return {
            "id": account.next_id("msg"),
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [text],
        }
    if kind == "refusal":
        return {
            "id": account.next_id("msg"),
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "refusal", "refusal": "I would rather not."}],
        }
    if kind == "reasoning":
        summary = [{"type": "summary_text", "text": "Thinking of harbours."}]
        return {"id": account.next_id("rs"), "type": "reasoning", "summary": summary}
    if kind == "web_search_call":
        action = {"type": "search", "query": "harbours"}
        return {"id": account.next_id("ws"), "type": kind, "status": "completed", "action": action}
    if kind == "file_search_call":
        return {"id": account.next_id("fs"), "type": kind, "status": "completed", "queries": ["harbours"]}
    tool = next(tool for tool in body["tools"] if tool["type"] == "function")
    return {
        "id": account.next_id("fc"),
        "type": "function_call",
        "call_id": account.next_id("call"),
        "name": tool["name"],
        "arguments": json.dumps({"city": "Lisbon"}),
        "status": "completed",
    }


def _kinds(body: Json, headers: Mapping[str, str]) -> list[str]:
    if "x-stub-output" in headers:
        return headers["x-stub-output"].split(",")
    given = body.get("input")
    answered = isinstance(given, list) and given[-1].get("type") == "function_call_output"
    functions = any(tool["type"] == "function" for tool in body.get("tools") or [])
    return ["function_call"] if functions and not answered else ["message"]


def _responses_usage(body: Json, output: list[Json], headers: Mapping[str, str]) -> Json:
    inputs, outputs = count_tokens(_input_text(body)) + 3, count_tokens(json.dumps(output))
    return _usage(
        headers,
        {
            "input_tokens": inputs,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": outputs,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": inputs + outputs,
        },
    )


def _response(body: Json, headers: Mapping[str, str], account: Account) -> Json:
    kinds = _kinds(body, headers)
    output = [_item(kind, body, account) for kind in kinds]
    status = headers.get("x-stub-status-of-response", "completed")
    searches = kinds.count("web_search_call")
    failed = {"code": "server_error", "message": "the stub was asked to fail"}
    return {
        "id": account.next_id("resp"),
        "object": "response",
        "created_at": _CREATED,
        "model": _model(body.get("model")),
        "status": status,
        "background": bool(body.get("background")),
        "error": failed if status == "failed" else None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": body.get("instructions"),
        "metadata": {},
        "output": output if status != "failed" else [],
        "parallel_tool_calls": True,
        "previous_response_id": body.get("previous_response_id"),
        "service_tier": stub_provider._tier(body),
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": body.get("tools") or [],
        "top_p": 1.0,
        "text": {"format": {"type": "text"}},
        "usage": _responses_usage(body, output, headers) if status != "failed" else None,
        **({"tool_usage": {"web_search": {"num_requests": searches}}} if searches else {}),
    }


def _response_events(answer: Json) -> list[Json]:
    begun = {**answer, "status": "in_progress", "output": [], "usage": None, "error": None}
    begun.pop("tool_usage", None)
    events: list[Json] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
    ]
    for place, item in enumerate(answer["output"]):
        events += _item_events(place, item)
    events.append({"type": f"response.{answer['status']}", "response": answer})
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


def _item_events(place: int, item: Json) -> list[Json]:
    where = {"item_id": item["id"], "output_index": place}
    middle: list[Json] = []
    opened = {**item, "status": "in_progress"}
    if item["type"] == "message" and item["content"][0]["type"] == "output_text":
        text, part = item["content"][0]["text"], {**where, "content_index": 0}
        opened["content"] = []
        empty = {**item["content"][0], "text": ""}
        middle = [{"type": "response.content_part.added", **part, "part": empty}]
        for word in re.findall(r"\s*\S+", text):
            middle.append({"type": "response.output_text.delta", **part, "delta": word, "logprobs": []})
        middle.append({"type": "response.output_text.done", **part, "text": text, "logprobs": []})
        middle.append({"type": "response.content_part.done", **part, "part": item["content"][0]})
    elif item["type"] == "function_call":
        opened["arguments"], given = "", item["arguments"]
        for half in (given[:6], given[6:]):
            middle.append({"type": "response.function_call_arguments.delta", **where, "delta": half})
        done = {"arguments": given, "name": item["name"]}
        middle.append({"type": "response.function_call_arguments.done", **where, **done})
    elif item["type"] == "reasoning":
        opened["summary"], part = [], {**where, "summary_index": 0}
        text = item["summary"][0]["text"]
        middle = [{"type": "response.reasoning_summary_text.delta", **part, "delta": text}]
        middle.append({"type": "response.reasoning_summary_text.done", **part, "text": text})
    elif item["type"] == "web_search_call":
        middle = [{"type": "response.web_search_call.searching", **where}]
    added = {"type": "response.output_item.added", "output_index": place, "item": opened}
    return [added, *middle, {"type": "response.output_item.done", "output_index": place, "item": item}]


# --- texts -------------------------------------------------------------------------------------


def _embeddings(body: Json, headers: Mapping[str, str], _account: Account) -> Json:
    given = body["input"] if isinstance(body["input"], list) else [body["input"]]
    size = body.get("dimensions") or 4
    vector: Any = [0.25] * size
    if body.get("encoding_format") == "base64":
        import struct

        vector = base64.b64encode(struct.pack(f"{size}f", *vector)).decode()
    tokens = sum(count_tokens(text) if isinstance(text, str) else 1 for text in given)
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": number, "embedding": vector} for number, _ in enumerate(given)
        ],
        "model": _model(body["model"]),
        "usage": _usage(headers, {"prompt_tokens": tokens, "total_tokens": tokens}),
    }


def _completion(body: Json, headers: Mapping[str, str], account: Account) -> Json:
    prompts = body["prompt"] if isinstance(body["prompt"], list) else [body["prompt"]]
    tokens = sum(count_tokens(prompt) for prompt in prompts if isinstance(prompt, str))
    texts = [f"You said: {prompt}" for prompt in prompts]
    spoken = sum(count_tokens(text) for text in texts)
    usage = {"prompt_tokens": tokens, "completion_tokens": spoken, "total_tokens": tokens + spoken}
    return {
        "id": account.next_id("cmpl"),
        "object": "text_completion",
        "created": _CREATED,
        "model": _model(body["model"]),
        "choices": [
            {"index": number, "text": text, "finish_reason": "stop", "logprobs": None}
            for number, text in enumerate(texts)
        ],
        "usage": _usage(headers, usage),
    }


def _completion_events(answer: Json, body: Json) -> list[Json]:
    head = {name: answer[name] for name in ("id", "object", "created", "model")}
    events = []
    for choice in answer["choices"]:
        words = re.findall(r"\s*\S+", choice["text"])
        for number, word in enumerate(words):
            reason = "stop" if number == len(words) - 1 else None
            events.append({**head, "choices": [{**choice, "text": word, "finish_reason": reason}]})
    if (body.get("stream_options") or {}).get("include_usage"):
        events.append({**head, "choices": [], "usage": answer["usage"]})
    return events


def _chat(body: Json, headers: Mapping[str, str], account: Account) -> Json:
    """For lines of batches only; calls over HTTP are answered by the stub of the server."""
    text = f"You said: {body['messages'][-1]['content']}"
    inputs, outputs = count_tokens(body["messages"][-1]["content"]) + 3, count_tokens(text)
    return {
        "id": account.next_id("chatcmpl"),
        "object": "chat.completion",
        "created": _CREATED,
        "model": _model(body["model"]),
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": inputs, "completion_tokens": outputs, "total_tokens": inputs + outputs},
    }


# --- media -------------------------------------------------------------------------------------


def _image_usage(headers: Mapping[str, str]) -> Json:
    usage = {"input_tokens": 210, "output_tokens": 1000, "total_tokens": 1210}
    usage = {**usage, "input_tokens_details": {"text_tokens": 10, "image_tokens": 200}}
    return _usage(headers, usage)


def _image(body: Json, headers: Mapping[str, str]) -> Json:
    pictures = [{"b64_json": PICTURE} for _ in range(int(body.get("n") or 1))]
    return {"created": _CREATED, "data": pictures, "output_format": "png", "usage": _image_usage(headers)}


def _image_events(kind: str, headers: Mapping[str, str]) -> list[Json]:
    about = {
        "background": "auto",
        "created_at": _CREATED,
        "output_format": "png",
        "quality": "high",
        "size": "1024x1024",
        "b64_json": PICTURE,
    }
    partial = {"type": f"{kind}.partial_image", "partial_image_index": 0, **about}
    return [partial, {"type": f"{kind}.completed", **about, "usage": _image_usage(headers)}]


def _transcription_usage(body: Json, headers: Mapping[str, str]) -> Json:
    if str(body["model"]).startswith("whisper"):
        return _usage(headers, {"type": "duration", "seconds": 12})
    details = {"text_tokens": 4, "audio_tokens": 40}
    usage = {"type": "tokens", "input_tokens": 44, "output_tokens": 6, "total_tokens": 50}
    return _usage(headers, {**usage, "input_token_details": details})


def create_app(account: Account) -> FastAPI:
    app = stub_provider.create_app()

    async def read(request: Request) -> tuple[Json, Mapping[str, str], Response | None]:
        kind = request.headers.get("content-type", "")
        body: Json = {}
        if "multipart" in kind:
            async with request.form() as form:
                for name, value in form.multi_items():
                    body[name] = value if isinstance(value, str) else await value.read()
        elif await request.body():
            body = await request.json()
        account.requests.append({"path": request.url.path, "body": body})
        if "x-stub-delay-ms" in request.headers:
            await asyncio.sleep(int(request.headers["x-stub-delay-ms"]) / 1000)
        return body, request.headers, _failure(request.headers)

    @app.post("/v1/responses")
    async def respond(request: Request) -> Response:
        body, headers, failure = await read(request)
        if failure is not None:
            return failure
        answer = _response(body, headers, account)
        account.bill("/responses", answer, headers=headers)
        account.responses[answer["id"]] = answer
        if body.get("stream"):
            return _stream(_response_events(_reported(answer, headers)), headers)
        if body.get("background"):
            account.polls[answer["id"]] = int(headers.get("x-stub-polls", "1"))
            return JSONResponse({**answer, "status": "queued", "output": [], "usage": None, "error": None})
        return JSONResponse(_reported(answer, headers))

    @app.post("/v1/responses/compact")
    async def compact(request: Request) -> Response:
        body, headers, failure = await read(request)
        answer = {**_response(body, headers, account), "object": "response.compaction"}
        kept = {name: answer[name] for name in ("id", "object", "created_at", "output", "usage")}
        account.bill("/responses/compact", {**kept, "model": body["model"]}, headers=headers)
        return failure or JSONResponse(kept)

    @app.get("/v1/responses/{response_id}")
    async def look_up(response_id: str, request: Request) -> Response:
        answer = account.responses[response_id]
        if request.query_params.get("stream") == "true":
            return _stream(_response_events(answer), request.headers)
        left = account.polls.get(response_id, 0)
        account.polls[response_id] = left - 1
        if left > 0:
            waiting = {"status": "in_progress", "output": [], "usage": None, "error": None}
            return JSONResponse({**answer, **waiting})
        return JSONResponse(answer)

    @app.post("/v1/responses/{response_id}/cancel")
    async def cancel(response_id: str) -> Response:
        return JSONResponse({**account.responses[response_id], "status": "cancelled"})

    @app.get("/v1/responses/{response_id}/input_items")
    async def input_items(response_id: str) -> Json:
        return {"object": "list", "data": [], "has_more": False, "first_id": response_id, "last_id": ""}

    @app.post("/v1/embeddings")
    async def embed(request: Request) -> Response:
        body, headers, failure = await read(request)
        if failure is not None:
            return failure
        answer = _embeddings(body, headers, account)
        account.bill("/embeddings", answer, headers=headers)
        return JSONResponse(_reported(answer, headers))

    @app.post("/v1/completions")
    async def complete_text(request: Request) -> Response:
        body, headers, failure = await read(request)
        if failure is not None:
            return failure
        answer = _completion(body, headers, account)
        asked = bool((body.get("stream_options") or {}).get("include_usage"))
        told = {} if asked or not body.get("stream") else {"x-stub-no-usage": "1"}
        account.bill("/completions", answer, headers={**headers, **told})
        if body.get("stream"):
            return _stream(_completion_events(answer, body), headers, done=True)
        return JSONResponse(_reported(answer, headers))

    @app.post("/v1/images/{kind}")
    async def draw(kind: str, request: Request) -> Response:
        body, headers, failure = await read(request)
        if failure is not None:
            return failure
        answer = _image(body, headers)
        account.bill(f"/images/{kind}", {**answer, "model": body.get("model")}, headers=headers)
        if str(body.get("stream")).lower() == "true":
            event = {"generations": "image_generation", "edits": "image_edit"}[kind]
            return _stream(_image_events(event, headers), headers)
        return JSONResponse(_reported(answer, headers))

    @app.post("/v1/audio/speech")
    async def speak(request: Request) -> Response:
        body, headers, failure = await read(request)
        if failure is not None:
            return failure
        events = body.get("stream_format") == "sse"
        tokens = {"input_tokens": count_tokens(body["input"]), "output_tokens": 90}
        usage = _usage(headers, {**tokens, "total_tokens": sum(tokens.values())})
        characters = {"characters": len(body["input"])}
        used = usage if events else characters
        account.bill("/audio/speech", {"model": body["model"], "usage": used}, headers=headers)
        if events:
            sound = base64.b64encode(SOUND).decode()
            delta = {"type": "speech.audio.delta", "audio": sound}
            return _stream([delta, {"type": "speech.audio.done", "usage": usage}], headers)
        return Response(SOUND, media_type="audio/mpeg")

    @app.post("/v1/audio/{kind}")
    async def transcribe(kind: str, request: Request) -> Response:
        body, headers, failure = await read(request)
        if failure is not None:
            return failure
        usage = _transcription_usage(body, headers)
        told = body.get("response_format", "json") in {"json", "verbose_json", "diarized_json"}
        hidden = {} if told else {"x-stub-no-usage": "1"}
        used = {"model": body["model"], "usage": usage}
        account.bill(f"/audio/{kind}", used, headers={**headers, **hidden})
        if str(body.get("stream")).lower() == "true":
            words = [{"type": "transcript.text.delta", "delta": word} for word in ("Boats", " come")]
            done = {"type": "transcript.text.done", "text": "Boats come", "usage": usage}
            return _stream([*words, done], headers)
        if not told:
            return PlainTextResponse("Boats come")
        verbose = {"language": "english", "duration": 12.0, "segments": []}
        more = verbose if body.get("response_format") == "verbose_json" else {}
        return JSONResponse(_reported({"text": "Boats come", **more, "usage": usage}, headers))

    @app.post("/v1/moderations")
    async def moderate(request: Request) -> Response:
        body, _headers, failure = await read(request)
        result = {
            "flagged": False,
            "categories": {},
            "category_scores": {},
            "category_applied_input_types": {},
        }
        model = body.get("model") or "omni-moderation-latest"
        return failure or JSONResponse({"id": account.next_id("modr"), "model": model, "results": [result]})

    @app.post("/v1/files")
    async def upload(request: Request) -> Response:
        body, _headers, _failed = await read(request)
        file = account.next_id("file")
        account.files[file] = body["file"]
        return JSONResponse({"id": file, "object": "file", "bytes": len(body["file"]), "purpose": "batch"})

    @app.get("/v1/files/{file_id}/content")
    async def download(file_id: str, request: Request) -> Response:
        data = account.files[file_id]
        return _failure(request.headers) or Response(data, media_type="application/octet-stream")

    @app.post("/v1/batches")
    async def make_batch(request: Request) -> Response:
        body, _headers, failure = await read(request)
        batch = {
            "id": account.next_id("batch"),
            "object": "batch",
            "endpoint": body["endpoint"],
            "input_file_id": body["input_file_id"],
            "completion_window": "24h",
            "created_at": _CREATED,
            "status": "validating",
        }
        account.batches[str(batch["id"])] = batch
        return failure or JSONResponse(batch)

    @app.get("/v1/batches/{batch_id}")
    async def batch_of(batch_id: str) -> Json:
        batch = account.batches[batch_id]
        if "output_file_id" not in batch:
            account.batches[batch_id] = batch = _worked_off(batch, account)
        return batch

    @app.get("/v1/batches")
    async def batches() -> Json:
        return {"object": "list", "data": list(account.batches.values()), "has_more": False}

    return app


_ANSWERS = {
    "/v1/chat/completions": _chat,
    "/v1/responses": _response,
    "/v1/embeddings": _embeddings,
    "/v1/completions": _completion,
}


def _worked_off(batch: Json, account: Account) -> Json:
    """The batch with all its requests answered; one that has no model failed, and costs nothing."""
    lines = []
    model = None
    for line in account.files[batch["input_file_id"]].splitlines():
        asked = json.loads(line)
        body: Json = {"error": {"message": "no model", "code": "invalid"}}
        status = 400
        if asked["body"].get("model"):
            body, status = _ANSWERS[batch["endpoint"]](asked["body"], {}, account), 200
            model = asked["body"]["model"]
            account.bill(f"batch {batch['endpoint']}", body, tier="batch", headers={})
        answer = {"status_code": status, "request_id": account.next_id("req"), "body": body}
        about = {"id": account.next_id("batch_req"), "custom_id": asked["custom_id"]}
        lines.append({**about, "response": answer})
    file = account.next_id("file")
    account.files[file] = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    done = {"status": "completed", "completed_at": _CREATED + 60, "output_file_id": file, "model": model}
    return {**batch, **done}


class _Azure:
    """Azure's addresses of the same endpoints: the deployment stands in the path."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope.get("path", "")
        if _DEPLOYMENT.match(path) and not path.endswith("/chat/completions"):
            scope = {**scope, "path": _DEPLOYMENT.sub("/v1", path)}
        elif path.startswith("/openai/") and not _DEPLOYMENT.match(path):
            scope = {**scope, "path": path.replace("/openai/", "/v1/", 1)}
        await self._app(scope, receive, send)


@contextmanager
def running() -> Iterator[Stub]:
    account = Account()
    with stub_provider.running(app=_Azure(create_app(account))) as started:
        yield Stub(started.base_url, started.root_url, account)
