"""The load: OTLP requests of 512 spans of about 1.4 kB, each span with 20 attributes."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

SPANS = 512
_SPANS_IN_TRACE = 8
_MODELS = {
    "gpt-4o-mini": "openai",
    "gpt-4o": "openai",
    "gpt-5": "openai",
    "claude-sonnet-4-5": "anthropic",
    "gemini-2.5-pro": "gcp.gemini",
}
_RESOURCE = {
    "service.name": "bench",
    "service.version": "1.4.2",
    "deployment.environment.name": "production",
    "host.name": "host-1",
    "process.pid": 4242,
    "telemetry.sdk.language": "python",
    "telemetry.sdk.name": "opentelemetry",
    "telemetry.sdk.version": "1.45.1",
}
_MARK = b"\xf0spanld\xf1"  # the first half of every trace id in a template


def fresh_requests(count: int, *, seed: int = 0) -> Iterator[bytes]:
    """`count` serialised requests, none of whose spans was ever sent before."""
    templates = [_template(seed + n) for n in range(8)]
    for n in range(count):
        yield templates[n % len(templates)].replace(_MARK, os.urandom(8))


def _template(seed: int) -> bytes:
    chance = random.Random(seed)
    words = [
        "".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 10))) for _ in range(4000)
    ]
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    for key, value in _RESOURCE.items():
        _set(resource_spans.resource, key, value)
    scope_spans = resource_spans.scope_spans.add()
    scope_spans.scope.name, scope_spans.scope.version = "spanledger.instrumentation", "0.1.0"
    now = time.time_ns()
    root = b""
    for n in range(SPANS):
        if n % _SPANS_IN_TRACE == 0:
            trace_id, root = _MARK + chance.randbytes(8), b""
        model = chance.choice(list(_MODELS))
        span = scope_spans.spans.add(
            trace_id=trace_id, span_id=chance.randbytes(8), parent_span_id=root, name=f"chat {model}", kind=3
        )
        root = root or span.span_id
        span.start_time_unix_nano = now - chance.randrange(60_000_000_000)
        span.end_time_unix_nano = span.start_time_unix_nano + chance.randrange(100_000_000, 9_000_000_000)
        for key, value in _attributes(chance, words, model).items():
            _set(span, key, value)
    return request.SerializeToString()


def _attributes(chance: random.Random, words: list[str], model: str) -> dict[str, Any]:
    input_tokens = chance.randint(50, 5000)
    message = '[{{"role":"{}","parts":[{{"type":"text","content":"{}"}}]}}]'
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": _MODELS[model],
        "gen_ai.request.model": model,
        "gen_ai.response.model": model,
        "gen_ai.response.id": f"chatcmpl-{chance.randbytes(12).hex()}",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.response.time_to_first_chunk": round(chance.random(), 4),
        "gen_ai.request.temperature": 0.7,
        "gen_ai.request.max_tokens": 512,
        "gen_ai.request.stream": True,
        "gen_ai.usage.input_tokens": input_tokens,
        "gen_ai.usage.output_tokens": chance.randint(1, 800),
        "gen_ai.usage.cache_read.input_tokens": input_tokens // 2,
        "gen_ai.conversation.id": f"conversation-{chance.randrange(5000)}",
        "user.id": f"user-{chance.randrange(500)}",
        "server.address": "api.openai.com",
        "server.port": 443,
        "openai.api.type": "chat_completions",
        "gen_ai.input.messages": message.format("user", " ".join(chance.choices(words, k=38))),
        "gen_ai.output.messages": message.format("assistant", " ".join(chance.choices(words, k=30))),
    }


def _set(holder: Any, key: str, value: Any) -> None:
    target = holder.attributes.add(key=key).value
    match value:
        case bool():
            target.bool_value = value
        case int():
            target.int_value = value
        case float():
            target.double_value = value
        case list():
            for item in value:
                target.array_value.values.add().string_value = item
        case _:
            target.string_value = value
