"""A local provider that speaks OpenAI's chat protocol with answers that can be computed by hand.

Tokens: a word or a punctuation mark is one token; a message costs three more. A first message of at least
32 tokens is cached when the same model has seen it before. Models whose names start with `o<digit>` or
`gpt-5` add 16 reasoning tokens to the completion.

Answers: text repeats the last user message; a request with tools gets a call of the first tool, and text once
the last message is a tool's; `response_format: json_schema` gets the smallest object that fits. A string in
arguments or objects is the last word of the last user message, a number is 1, a boolean is true.

Request headers, which an unmodified client sends with `extra_headers`:

    x-stub-status: 429        answer this status; with x-stub-times, only so often for each x-stub-key
    x-stub-delay-ms: 50       wait before the answer;  x-stub-chunk-delay-ms: before each chunk
    x-stub-break-after: 2     drop the connection after so many chunks
    x-stub-error-after: 2     send an error event after so many chunks
    x-stub-parallel-tools: 2  call so many tools at once, their arguments interleaved in a stream
    x-stub-text: ...          answer this text
    x-stub-model: ...         claim this model answered
    x-stub-cached-tokens, x-stub-reasoning-tokens, x-stub-audio-tokens: 64    report these counts
    x-stub-no-usage: 1        report no usage
    x-stub-usage-with-choices: 1    stream the usage on the last chunk that has choices

`GET /stub/calls` lists id, model, stream and usage of each answer in order, `DELETE` forgets them.
"""

import asyncio
import json
import re
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

Json = dict[str, Any]

_TOKEN = re.compile(r"\w+|[^\w\s]")
_MESSAGE_TOKENS = 3
_CACHEABLE_TOKENS = 32
_REASONING_TOKENS = 16
_CREATED = 1_760_000_000
# The provider answers with the dated name of a model, as the real one does.
MODELS = {
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-4.1": "gpt-4.1-2025-04-14",
    "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
    "gpt-4.1-nano": "gpt-4.1-nano-2025-04-14",
    "gpt-5": "gpt-5-2025-08-07",
    "gpt-5-mini": "gpt-5-mini-2025-08-07",
    "o3-mini": "o3-mini-2025-01-31",
    "o4-mini": "o4-mini-2025-04-16",
}


class BrokenConnectionError(Exception):
    """Raised inside a stream so that the server drops the connection."""


@dataclass
class Ledger:
    """What the provider remembers: its answers, the prompts it cached, the failures it has still to give."""

    calls: list[Json] = field(default_factory=list)
    prefixes: set[tuple[str, str]] = field(default_factory=set)
    failures: Counter[str] = field(default_factory=Counter)
    answers: int = 0

    def next_id(self) -> str:
        self.answers += 1
        return f"chatcmpl-stub-{self.answers:06d}"


def count_tokens(text: str) -> int:
    return len(_TOKEN.findall(text))


def create_app() -> FastAPI:
    app = FastAPI(title="spanledger stub provider", openapi_url=None)
    ledger = Ledger()

    @app.post("/v1/chat/completions")
    @app.post("/openai/deployments/{deployment}/chat/completions")
    async def complete(request: Request) -> Response:
        body = await request.json()
        deployment = request.path_params.get("deployment")
        await _pause(request.headers, "x-stub-delay-ms")
        if await request.is_disconnected():
            # Nobody waits any more, so nothing is answered and nothing is billed.
            return Response(status_code=499)
        return _complete({"model": deployment, **body}, request.headers, ledger)

    @app.get("/v1/models")
    async def models() -> Json:
        listed = [{"id": name, "object": "model", "created": _CREATED, "owned_by": "stub"} for name in MODELS]
        return {"object": "list", "data": listed}

    @app.get("/stub/calls")
    async def calls() -> list[Json]:
        return ledger.calls

    @app.delete("/stub/calls")
    async def forget() -> Json:
        ledger.calls.clear()
        return {}

    return app


def _complete(body: Json, headers: Mapping[str, str], ledger: Ledger) -> Response:
    failure = _failure(headers, ledger)
    if failure is not None:
        return failure
    answer = _answer(body, headers, ledger)
    ledger.calls.append(
        {
            "id": answer["id"],
            "model": answer["model"],
            "request_model": body.get("model"),
            "stream": bool(body.get("stream")),
            "usage": answer["usage"],
        }
    )
    if body.get("stream"):
        return StreamingResponse(_events(answer, body, headers), media_type="text/event-stream")
    if headers.get("x-stub-no-usage"):
        answer = {**answer, "usage": None}
    return JSONResponse(answer, headers={"x-request-id": f"req-{answer['id']}"})


def _failure(headers: Mapping[str, str], ledger: Ledger) -> Response | None:
    status = headers.get("x-stub-status")
    if status is None:
        return None
    times = headers.get("x-stub-times")
    if times is not None:
        key = headers.get("x-stub-key", "")
        ledger.failures[key] += 1
        if ledger.failures[key] > int(times):
            return None
    error = {
        "message": f"the stub was asked for status {status}",
        "type": "stub_error",
        "code": f"stub_{status}",
    }
    return JSONResponse({"error": error}, status_code=int(status))


async def _pause(headers: Mapping[str, str], name: str) -> None:
    if name in headers:
        await asyncio.sleep(int(headers[name]) / 1000)


def _answer(body: Json, headers: Mapping[str, str], ledger: Ledger) -> Json:
    asked = str(body.get("model"))
    message, finish_reason = _message(body, headers)
    choices = [
        {"index": index, "message": message, "finish_reason": finish_reason, "logprobs": None}
        for index in range(body.get("n") or 1)
    ]
    return {
        "id": ledger.next_id(),
        "object": "chat.completion",
        "created": _CREATED,
        "model": headers.get("x-stub-model") or MODELS.get(asked, asked),
        "service_tier": _tier(body),
        "system_fingerprint": "fp_stub",
        "choices": choices,
        "usage": _usage(body, headers, message, ledger),
    }


def _tier(body: Json) -> str:
    asked = body.get("service_tier")
    return asked if asked in {"flex", "priority", "scale"} else "default"


def _message(body: Json, headers: Mapping[str, str]) -> tuple[Json, str]:
    messages, tools = body.get("messages") or [], body.get("tools") or []
    tool_answered = bool(messages) and messages[-1].get("role") == "tool"
    word = _last_word(messages)
    if tools and not tool_answered and body.get("tool_choice") != "none":
        wanted = int(headers.get("x-stub-parallel-tools", "1"))
        calls = [_tool_call(tools[number % len(tools)], number, word) for number in range(wanted)]
        return {"role": "assistant", "content": None, "refusal": None, "tool_calls": calls}, "tool_calls"
    text = headers.get("x-stub-text") or _text(body, messages, word, tool_answered=tool_answered)
    return {"role": "assistant", "content": text, "refusal": None}, "stop"


def _text(body: Json, messages: list[Json], word: str, *, tool_answered: bool) -> str:
    response_format = body.get("response_format") or {}
    if response_format.get("type") == "json_schema":
        schema = response_format["json_schema"]["schema"]
        return json.dumps(_instance(schema, schema, word))
    if response_format.get("type") == "json_object":
        return json.dumps({"answer": word})
    if tool_answered:
        return f"The tool says: {_text_of(messages[-1])}"
    return f"You said: {_text_of(_last_user(messages))}"


def _tool_call(tool: Json, number: int, word: str) -> Json:
    function = tool["function"]
    schema = function.get("parameters") or {}
    arguments = json.dumps(_instance(schema, schema, word))
    called = {"name": function["name"], "arguments": arguments}
    return {"id": f"call_stub_{number}", "type": "function", "function": called}


def _instance(schema: Json, root: Json, word: str) -> Any:
    """The smallest value that fits a JSON schema."""
    if "$ref" in schema:
        return _instance(_resolve(schema["$ref"], root), root, word)
    if "enum" in schema:
        return schema["enum"][0]
    for union in ("anyOf", "oneOf", "allOf"):
        if schema.get(union):
            return _instance(schema[union][0], root, word)
    kind = schema.get("type", "object")
    if kind == "object":
        properties = schema.get("properties") or {}
        return {name: _instance(value, root, word) for name, value in properties.items()}
    if kind == "array":
        return [_instance(schema.get("items") or {"type": "string"}, root, word)]
    return {"string": word, "integer": 1, "number": 1.0, "boolean": True}.get(kind)


def _resolve(reference: str, root: Json) -> Json:
    found: Any = root
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return dict(found)


def _text_of(message: Json) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "".join(part.get("text") or "" for part in content or [])


def _last_user(messages: list[Json]) -> Json:
    return next((message for message in reversed(messages) if message.get("role") == "user"), {})


def _last_word(messages: list[Json]) -> str:
    words = re.findall(r"\w+", _text_of(_last_user(messages)))
    return words[-1] if words else "nothing"


def _usage(body: Json, headers: Mapping[str, str], message: Json, ledger: Ledger) -> Json:
    model, messages = str(body.get("model")), body.get("messages") or []
    sizes = [count_tokens(_text_of(sent)) + _MESSAGE_TOKENS for sent in messages]
    calls = [call["function"] for call in message.get("tool_calls") or []]
    answer = count_tokens(message.get("content") or "")
    answer += sum(count_tokens(call["name"] + " " + call["arguments"]) for call in calls)
    reasons = re.match(r"o\d|gpt-5", model) is not None
    reasoning = int(headers.get("x-stub-reasoning-tokens", _REASONING_TOKENS if reasons else 0))
    completion = answer * (body.get("n") or 1) + reasoning
    prompt = sum(sizes)
    cached = int(headers.get("x-stub-cached-tokens", _cached(model, messages, sizes, ledger)))
    audio = int(headers.get("x-stub-audio-tokens", 0))
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": audio},
        "completion_tokens_details": {"reasoning_tokens": reasoning, "audio_tokens": 0},
    }


def _cached(model: str, messages: list[Json], sizes: list[int], ledger: Ledger) -> int:
    if not messages or sizes[0] < _CACHEABLE_TOKENS + _MESSAGE_TOKENS:
        return 0
    prefix = (model, _text_of(messages[0]))
    if prefix in ledger.prefixes:
        return sizes[0]
    ledger.prefixes.add(prefix)
    return 0


async def _events(answer: Json, body: Json, headers: Mapping[str, str]) -> AsyncIterator[str]:
    break_after = int(headers.get("x-stub-break-after", -1))
    error_after = int(headers.get("x-stub-error-after", -1))
    for number, chunk in enumerate(_chunks(answer, body, headers)):
        if number == break_after:
            raise BrokenConnectionError
        if number == error_after:
            error = {"message": "the stub was asked for an error", "type": "server_error", "code": "stub"}
            yield f"data: {json.dumps({'error': error})}\n\n"
            return
        await _pause(headers, "x-stub-chunk-delay-ms")
        yield f"data: {json.dumps(chunk)}\n\n"
    yield "data: [DONE]\n\n"


def _chunks(answer: Json, body: Json, headers: Mapping[str, str]) -> Iterator[Json]:
    with_usage = bool((body.get("stream_options") or {}).get("include_usage"))
    on_last_choice = bool(headers.get("x-stub-usage-with-choices"))
    kept = {name: answer[name] for name in ("id", "created", "model", "service_tier", "system_fingerprint")}
    head = {**kept, "object": "chat.completion.chunk", **({"usage": None} if with_usage else {})}
    deltas = list(_deltas(answer["choices"]))
    for position, choice in enumerate(deltas):
        last = position == len(deltas) - 1
        extra = {"usage": answer["usage"]} if last and on_last_choice else {}
        yield {**head, "choices": [choice], **extra}
    if with_usage and not on_last_choice:
        yield {**head, "choices": [], "usage": answer["usage"]}


def _deltas(choices: list[Json]) -> Iterator[Json]:
    for choice in choices:
        deltas = [{"role": "assistant", "content": ""}, *_pieces(choice["message"])]
        for delta in deltas:
            yield {"index": choice["index"], "delta": delta, "finish_reason": None}
        yield {"index": choice["index"], "delta": {}, "finish_reason": choice["finish_reason"]}


def _pieces(message: Json) -> Iterator[Json]:
    """Text word by word; tool calls begun one after the other, then their arguments in turns."""
    for word in re.findall(r"\s*\S+", message.get("content") or ""):
        yield {"content": word}
    calls = message.get("tool_calls") or []
    for index, call in enumerate(calls):
        opened = {**call, "index": index, "function": {**call["function"], "arguments": ""}}
        yield {"tool_calls": [opened]}
    halves = [_halves(call["function"]["arguments"]) for call in calls]
    for half in range(2):
        for index, arguments in enumerate(halves):
            yield {"tool_calls": [{"index": index, "function": {"arguments": arguments[half]}}]}


def _halves(text: str) -> tuple[str, str]:
    return text[: len(text) // 2], text[len(text) // 2 :]


def serve(host: str = "127.0.0.1", port: int = 8399) -> None:
    """Run in the foreground until interrupted."""
    uvicorn.run(create_app(), host=host, port=port, log_level="warning")


@dataclass(frozen=True)
class StubProvider:
    """A stub that is running: where it listens, and a fresh view of what it answered."""

    base_url: str
    root_url: str

    def calls(self) -> list[Json]:
        answered: list[Json] = _fetch(f"{self.root_url}/stub/calls")
        return answered

    def forget(self) -> None:
        _fetch(f"{self.root_url}/stub/calls", method="DELETE")


def _fetch(url: str, method: str = "GET") -> Any:
    from urllib.request import ProxyHandler, build_opener
    from urllib.request import Request as UrlRequest

    # No proxy: the address is always this machine's.
    opener = build_opener(ProxyHandler({}))
    with opener.open(UrlRequest(url, method=method), timeout=5) as answer:  # noqa: S310 - our own address
        return json.load(answer)


@contextmanager
def running(host: str = "127.0.0.1", app: FastAPI | None = None) -> Iterator[StubProvider]:
    """The provider, or another one, in a thread on a free port, stopped at the end of the block."""
    config = uvicorn.Config(
        app or create_app(),
        host=host,
        port=0,
        log_level="critical",
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="stub-provider", daemon=True)
    thread.start()
    try:
        port = _port_of(server, thread)
        yield StubProvider(f"http://{host}:{port}/v1", f"http://{host}:{port}")
    finally:
        server.should_exit = True
        thread.join(timeout=5)


def _port_of(server: uvicorn.Server, thread: threading.Thread) -> int:
    deadline = time.monotonic() + 10
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise RuntimeError("the stub provider did not start")
        time.sleep(0.01)
    return int(server.servers[0].sockets[0].getsockname()[1])


if __name__ == "__main__":
    serve()
