"""Makes calls with one instrumentation or none and says what they took: `python calls.py NAME on|off|bare`.

on and off are about content. It runs in the environment of that instrumentation, which has nothing of this
project unless it is ours. What to do comes in line by line as JSON, and so do the answers:

    {"do": "time", "kind": "call", "calls": 100}
    {"do": "memory", "calls": 10000}
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import importlib
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import openai
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

try:  # what the SDK has its HTTP client from, older ones the latter
    import httpx2 as httpx
except ImportError:
    import httpx  # type: ignore[no-redef]

CHUNKS = 100
AT_ONCE = 50
MODEL = "gpt-4o-mini"
_QUESTION = {
    "model": MODEL,
    "messages": [
        {"role": "system", "content": "You answer in plain words, shortly, and name what you do not know."},
        {"role": "user", "content": "How do the tides of a harbour depend on moon, sun and wind? " * 8},
    ],
    "temperature": 0.2,
    "max_tokens": 400,
}
_USAGE = {"prompt_tokens": 131, "completion_tokens": 98, "total_tokens": 229}
_HEAD = {"id": "chatcmpl-1", "created": 1767600000, "model": f"{MODEL}-2024-07-18"}
_TEXT = "The tide is higher when moon and sun pull in one line. "
_WORDS = [_TEXT[n % 11 * 5 :][:5] for n in range(CHUNKS - 3)]


def _answer() -> bytes:
    message = {"role": "assistant", "content": "".join(_WORDS)}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    body = {**_HEAD, "object": "chat.completion", "choices": [choice], "usage": _USAGE}
    return json.dumps(body).encode()


def _chunk(delta: dict[str, str] | None, finish: str | None = None) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    usage = _USAGE if delta is None else None
    body = {**_HEAD, "object": "chat.completion.chunk", "choices": choices, "usage": usage}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


ANSWER = _answer()
STREAM = [
    _chunk({"role": "assistant", "content": ""}),
    *(_chunk({"content": word}) for word in _WORDS),
    _chunk({}, "stop"),
    _chunk(None),
    b"data: [DONE]\n\n",
]


class _Events(httpx.SyncByteStream):
    def __iter__(self) -> Iterator[bytes]:
        return iter(STREAM)


def _respond(request: httpx.Request) -> httpx.Response:
    if b'"stream":true' in request.content.replace(b" ", b""):
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=_Events())
    return httpx.Response(200, headers={"content-type": "application/json"}, content=ANSWER)


class _Stub(httpx.BaseTransport):
    """The provider, inside the process: no socket and no second process, whose time would be noise."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return _respond(request)


class _AsyncStub(httpx.AsyncBaseTransport):
    """The same; it lets the other calls run before it answers."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)
        return _respond(request)


class Discarded(SpanExporter):
    """Counts spans and lets them go."""

    spans = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans += len(spans)
        return SpanExportResult.SUCCESS


class Clients:
    def __init__(self) -> None:
        address = "http://127.0.0.1:9/v1"
        settings: dict[str, Any] = {"api_key": "sk-bench", "base_url": address, "max_retries": 0}
        self.plain = openai.OpenAI(http_client=openai.DefaultHttpxClient(transport=_Stub()), **settings)
        transport = _AsyncStub()
        http = openai.DefaultAsyncHttpxClient(transport=transport)
        self.asynchronous = openai.AsyncOpenAI(http_client=http, **settings)

    def call(self, calls: int) -> None:
        for _ in range(calls):
            self.plain.chat.completions.create(**_QUESTION)

    def stream(self, calls: int) -> None:
        for _ in range(calls):
            seen = sum(
                1
                for _ in self.plain.chat.completions.create(
                    **_QUESTION, stream=True, stream_options={"include_usage": True}
                )
            )
            assert seen == CHUNKS, seen

    def concurrent(self, calls: int) -> None:
        async def run() -> None:
            create = self.asynchronous.chat.completions.create
            for _ in range(calls // AT_ONCE):
                await asyncio.gather(*(create(**_QUESTION) for _ in range(AT_ONCE)))

        asyncio.run(run())


BARE = "bare"
_MODULES = {
    "genai-openai": "opentelemetry.instrumentation.genai.openai",
    "traceloop": "opentelemetry.instrumentation.openai",
    "openinference": "openinference.instrumentation.openai",
}


def _instrument(name: str, provider: TracerProvider, *, content: bool) -> None:
    """Switch one on; the others are told by their variables whether content is recorded."""
    if name == "spanledger":
        from spanledger.instrumentation import instrument

        instrument(tracer_provider=provider, capture_content=content)
    else:
        importlib.import_module(_MODULES[name]).OpenAIInstrumentor().instrument(tracer_provider=provider)


class Child:
    """A process with the clients of one instrumentation."""

    def __init__(self, name: str, *, content: bool) -> None:
        self._exporter = Discarded()
        self._processor = BatchSpanProcessor(self._exporter)
        self._clients = Clients()
        if name == "logfire":
            self._instrument_by_logfire()
        elif name != BARE:
            provider = TracerProvider()
            provider.add_span_processor(self._processor)
            _instrument(name, provider, content=content)

    def _instrument_by_logfire(self) -> None:
        """It makes a provider of its own, and has no switch for content."""
        import logfire

        processors = [self._processor]
        logfire.configure(
            send_to_logfire=False, console=False, metrics=False, additional_span_processors=processors
        )
        logfire.instrument_openai(self._clients.plain)
        logfire.instrument_openai(self._clients.asynchronous)

    def time(self, kind: str, calls: int) -> dict[str, Any]:
        """Nanoseconds of processor time a call, of all threads; and how many spans a call was."""
        make = getattr(self._clients, kind)
        before = self._exporter.spans
        gc.collect()
        started = time.process_time_ns()
        make(calls)
        self._processor.force_flush()
        took = time.process_time_ns() - started
        return {"ns": took / calls, "spans": (self._exporter.spans - before) / calls}

    def memory(self, calls: int) -> dict[str, Any]:
        """Bytes that the process is larger by, at most while it makes calls of all kinds and after them."""
        self._mixed(max(calls // 10, AT_ONCE * 10))
        self._processor.force_flush()
        before = resident()
        forget_peak()
        self._mixed(calls)
        most = peak()
        self._processor.force_flush()
        after = resident()
        return {"most": most - before, "kept": after - before, "whole": after}

    def _mixed(self, calls: int) -> None:
        self._clients.call(calls // 2)
        self._clients.concurrent(calls // 2 // AT_ONCE * AT_ONCE)
        self._clients.stream(calls // 50)


def resident() -> int:
    """Bytes in memory, after what is not needed was given back."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def peak() -> int:
    """Bytes in memory at most since `forget_peak`."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024


def main() -> None:
    name, content = sys.argv[1:]
    child = Child(BARE if content == BARE else name, content=content == "on")
    for line in sys.stdin:
        asked = json.loads(line)
        answer = getattr(child, asked.pop("do"))(**asked)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
