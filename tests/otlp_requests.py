"""OTLP requests for tests: spans with ids of their own, every kind of attribute value, raw wire bytes."""

from __future__ import annotations

import secrets
import struct
import time
from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

SECOND = 1_000_000_000
# Keys that mean something to somebody: a template, a shell, SQL, JavaScript, Python.
HOSTILE_KEYS = [
    "",
    "__proto__",
    "__class__",
    "a.b.__init__",
    "{0.__class__}",
    "'; DROP TABLE spans --",
    "k\x00nul",
    'quote"back\\slash`tick',
    "{x:String}",
    "%27 %s ${x}",
    "\U0001f600 \u202e",
]


def span(trace_id: bytes | None = None, attributes: Mapping[str, Any] | None = None, **fields: Any) -> Span:
    """A valid span of a trace of its own, that started a minute ago and took a second."""
    start = fields.pop("start_time_unix_nano", time.time_ns() - 60 * SECOND)
    return Span(
        trace_id=secrets.token_bytes(16) if trace_id is None else trace_id,
        span_id=fields.pop("span_id", None) or secrets.token_bytes(8),
        name=fields.pop("name", "work"),
        start_time_unix_nano=start,
        end_time_unix_nano=fields.pop("end_time_unix_nano", start + SECOND),
        attributes=key_values(attributes or {}),
        **fields,
    )


def llm_span(
    trace_id: bytes | None = None,
    *,
    model: str = "gpt-4o-mini",
    input_tokens: Any = 1000,
    output_tokens: Any = 100,
    provider: str = "openai",
    **more: Any,
) -> Span:
    """A chat completion as the conventions describe it; `more` are further attributes, `.` for `__`."""
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": model,
        "gen_ai.usage.input_tokens": input_tokens,
        "gen_ai.usage.output_tokens": output_tokens,
    }
    attributes |= {key.replace("__", "."): value for key, value in more.items()}
    return span(trace_id, attributes, name=f"chat {model}")


def request(
    *spans: Span, resource: Mapping[str, Any] | None = None, scope: str = "tests"
) -> ExportTraceServiceRequest:
    """A request with the spans under one resource and one scope."""
    made = ExportTraceServiceRequest()
    resource_spans = made.resource_spans.add()
    resource_spans.resource.attributes.extend(key_values(resource or {"service.name": "tests"}))
    scope_spans = resource_spans.scope_spans.add()
    scope_spans.scope.name = scope
    scope_spans.spans.extend(spans)
    return made


def key_values(attributes: Mapping[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=any_value(value)) for key, value in attributes.items()]


def any_value(value: Any) -> AnyValue:
    """A Python value as OTLP has it; None is a value without a type."""
    made = AnyValue()
    match value:
        case None:
            pass
        case bool():
            made.bool_value = value
        case int():
            made.int_value = value
        case float():
            made.double_value = value
        case str():
            made.string_value = value
        case bytes():
            made.bytes_value = value
        case Mapping():
            made.kvlist_value.SetInParent()
            made.kvlist_value.values.extend(key_values(value))
        case Sequence():
            made.array_value.SetInParent()
            made.array_value.values.extend(any_value(item) for item in value)
        case _:
            raise TypeError(f"no OTLP value for {value!r}")
    return made


def nested_arrays(depth: int) -> bytes:
    """The bytes of an AnyValue of arrays within arrays, as deep as one likes."""
    body = AnyValue(string_value="core").SerializeToString()
    for _ in range(depth):
        body = field(5, field(1, body))
    return body


def with_invalid_utf8() -> dict[str, bytes]:
    """A span's bytes by the place in which they have bytes that are no text."""
    whole, bad = span().SerializeToString(), b"\xff\xfe"
    return {
        "name": whole + field(5, bad),
        "status": whole + field(15, field(2, bad)),
        "key": whole + field(9, field(1, bad)),
        "value": whole + field(9, field(1, b"k") + field(2, field(1, bad))),
    }


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field as it is on the wire."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def fixed64(number: int, value: int) -> bytes:
    return varint(number << 3 | 1) + struct.pack("<Q", value)


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def wire_request(*spans: bytes) -> bytes:
    """A request whose spans are given as the bytes of their messages."""
    return field(1, field(2, b"".join(field(2, body) for body in spans)))
