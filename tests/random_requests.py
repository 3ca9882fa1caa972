"""Random OTLP requests that hold everything at its ends: the same for the same seed."""

from __future__ import annotations

import math
import struct
from random import Random
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from otlp_requests import any_value

from spanledger.schemas.dialects import CONTENT_KEYS, FIELDS

_TEXTS = [
    "",
    "",
    "\x00",
    "a",
    "work",
    "\U0001f600",
    'quote"back\\slash\n\r\t\b\x7f\x1f',
    "é" * 40,
    "x" * 300,
    "\u2028",
]
_KEYS = [
    "",
    "k",
    "k",
    "key",
    "@bytes",
    "@map",
    "@double",
    "@",
    "service.name",
    "user.id",
    "\U0001f600",
    "\x00",
]
_INTEGERS = [0, 1, -1, 7, (1 << 31), (1 << 63) - 1, -(1 << 63), 10**12]
_DOUBLES = [
    0.0,
    -0.0,
    0.1,
    -1.5,
    3.0,
    1e15,
    1e16,
    1e22,
    5e-324,
    2.2250738585072014e-308,
    1.7976931348623157e308,
]
_DOUBLES += [math.nan, math.inf, -math.inf, 0.1 + 0.2, 123456789.123456789, 9.2e18, 9.3e18]
_NUMBERS = [
    "7",
    "007",
    "-7",
    "+7",
    "1.5",
    "1e3",
    "1e-3",
    ".5",
    "5.",
    "5.e1",
    "e5",
    "1e",
    "0x10",
    "1e400",
    "\u0661",
    " 1",
    "1 ",
]
_NUMBERS += [
    "",
    ".",
    "nan",
    "inf",
    "1_000",
    "9223372036854775807",
    "9223372036854775808",
    "9" * 40,
    "-0",
    "0.0",
    "1" * 65,
]
_MONEY = [
    "0.1234567890123456789",
    "99999999999999999999.999999999999999999",
    "1e20",
    "1e19",
    "1.9" + "9" * 40,
    "1e-19",
]
_MONEY += ["12345678901234567890.123456789012345678", "0e30", "1e-400"]
_ENDS = [
    0,
    1,
    (1 << 32) - 1,
    (1 << 63) - 1,
    (1 << 64) - 1,
    ((1 << 32) - 1) * 10**9,
    ((1 << 32) - 1) * 10**9 + 1,
]
_NOW = 1_790_000_000_000_000_001
_KEYS_OF = {
    field.column: [key for key in field.keys if "#" not in key and not key.startswith("event:")]
    for field in FIELDS
}
_COUNTED = [key for field in FIELDS if field.kind == "count" for key in _KEYS_OF[field.column]]
# What is mapped word by word, and so is text here; the others may be anything.
_MAPPED = {
    key
    for field in FIELDS
    if field.kind == "text" and field.column != "experiment_id"
    for key in _KEYS_OF[field.column]
}
_CANONICAL = [*(key for keys in _KEYS_OF.values() for key in keys), *CONTENT_KEYS]


def a_request(chance: Random, span_ids: Any) -> ExportTraceServiceRequest:
    """Up to three resources with up to three scopes with up to four spans; of the spans some are bad."""
    made = ExportTraceServiceRequest()
    for _ in range(chance.choice([0, 1, 1, 2, 3])):
        above = made.resource_spans.add(schema_url=_text(chance))
        if chance.random() < 0.8:
            above.resource.dropped_attributes_count = _uint32(chance)
            above.resource.attributes.extend(_attributes(chance))
        for _ in range(chance.choice([0, 1, 1, 2, 3])):
            beside = above.scope_spans.add(schema_url=_text(chance))
            if chance.random() < 0.8:
                beside.scope.name, beside.scope.version = _text(chance), _text(chance)
                beside.scope.dropped_attributes_count = _uint32(chance)
                beside.scope.attributes.extend(_attributes(chance))
            beside.spans.extend(_span(chance, next(span_ids)) for _ in range(chance.randrange(5)))
    return made


def a_logs_request(chance: Random, span_ids: Any) -> ExportLogsServiceRequest:
    """The like for log records: what would be a span is the record of one."""
    made = ExportLogsServiceRequest()
    for above in a_request(chance, span_ids).resource_spans:
        logs_above = made.resource_logs.add(resource=above.resource, schema_url=above.schema_url)
        for beside in above.scope_spans:
            logs_beside = logs_above.scope_logs.add(scope=beside.scope, schema_url=beside.schema_url)
            for span in beside.spans:
                logs_beside.log_records.add(
                    time_unix_nano=span.start_time_unix_nano,
                    observed_time_unix_nano=span.end_time_unix_nano,
                    severity_number=span.kind % 25,
                    severity_text=span.trace_state,
                    event_name=span.name,
                    body=any_value(a_value(chance)),
                    attributes=span.attributes,
                    dropped_attributes_count=span.dropped_attributes_count,
                    flags=span.flags,
                    trace_id=span.trace_id,
                    span_id=span.span_id,
                )
    return made


def a_value(chance: Random, depth: int = 0) -> Any:
    kind = chance.randrange(10 if depth < 5 else 7)
    match kind:
        case 0:
            return None
        case 1:
            return chance.random() < 0.5
        case 2:
            return chance.choice([*_INTEGERS, chance.randrange(-(1 << 63), 1 << 63), chance.randrange(2000)])
        case 3:
            return chance.choice(
                [*_DOUBLES, struct.unpack("<d", chance.randbytes(8))[0], chance.uniform(-9, 9)]
            )
        case 4:
            return chance.randbytes(chance.randrange(9))
        case 5:
            return chance.choice(_NUMBERS + _MONEY)
        case 6:
            return _text(chance)
        case 7:
            return {_key(chance): a_value(chance, depth + 1) for _ in range(chance.randrange(4))}
        case _:
            return [a_value(chance, depth + 1) for _ in range(chance.randrange(4))]


def _text(chance: Random) -> str:
    if chance.random() < 0.7:
        return chance.choice(_TEXTS)
    codes = (
        chance.choice([chance.randrange(128), chance.randrange(0xD800), chance.randrange(0x10000, 0x110000)])
        for _ in range(chance.randrange(20))
    )
    return "".join(map(chr, codes))


def _key(chance: Random) -> str:
    return chance.choice(_KEYS) if chance.random() < 0.7 else _text(chance)[:200]


def _uint32(chance: Random) -> int:
    return chance.choice([0, 0, 0, 7, chance.randrange(1 << 32), (1 << 32) - 1])


def _int32(chance: Random) -> int:
    return chance.choice([0, 1, 2, 3, 99, -1, -(1 << 31), (1 << 31) - 1])


def _time(chance: Random) -> int:
    return chance.choice(_ENDS) if chance.random() < 0.2 else _NOW + chance.randrange(-(10**12), 10**12)


def _attributes(chance: Random) -> list[KeyValue]:
    """In any order, with keys that are sent twice, and in maps, too."""
    made = [KeyValue(key=_key(chance), value=any_value(a_value(chance))) for _ in range(chance.randrange(6))]
    for pair in made:
        inner = pair.value.kvlist_value.values
        if len(inner) > 1 and chance.random() < 0.5:
            inner[chance.randrange(len(inner))].key = inner[0].key
    return made


def _canonical(chance: Random) -> list[KeyValue]:
    """Attributes that fill columns: mostly with what makes sense there."""
    known = {
        "gen_ai.operation.name": ["chat", "chat", "chat", "embeddings", "execute_tool", "?"],
        "gen_ai.provider.name": ["openai", "openai", "openai", "OpenAI", "nobody"],
        "gen_ai.request.model": ["gpt-4o-mini", "gpt-4o-mini", "no-such-model", "\x00'\\"],
        "gen_ai.response.model": ["gpt-4o-mini", ""],
        "gen_ai.usage.cost.source": ["provider", "client"],
        "gen_ai.usage.cost.currency": ["usd", "USD", "EUR", ""],
        "spanledger.cost.total": ["0.25", 0.25, 1, *_MONEY],
    }
    made = [(key, chance.choice(values)) for key, values in known.items() if chance.random() < 0.6]
    counts = [0, 1, 1000, 2000, "30", 50.0, 10**12, 10**12 + 1, (1 << 63) - 1]
    # Many spellings, of which few are sent together.
    often = chance.choice([0.02, 0.05, 0.2])
    made += [(key, chance.choice(counts)) for key in _COUNTED if chance.random() < often]
    for _ in range(chance.randrange(4)):
        key = chance.choice(_CANONICAL)
        plain = chance.choice([None, True, 7, _text(chance)])
        made.append((key, plain if key in _MAPPED else a_value(chance)))
    chance.shuffle(made)
    return [KeyValue(key=key, value=any_value(value)) for key, value in made]


def _span(chance: Random, span_id: bytes) -> Span:
    made = Span(
        trace_id=chance.randbytes(16)
        if chance.random() < 0.9
        else chance.choice([b"", bytes(16), b"t" * 15]),
        span_id=span_id,
        parent_span_id=chance.choice([b"", b"p" * 8, bytes(8), chance.choice([b"", b"p"])]),
        trace_state=_text(chance),
        flags=_uint32(chance),
        name=_text(chance),
        kind=_int32(chance),
        start_time_unix_nano=_time(chance),
        end_time_unix_nano=_time(chance),
        attributes=_attributes(chance) + _canonical(chance),
        dropped_attributes_count=_uint32(chance),
        dropped_events_count=_uint32(chance),
        dropped_links_count=_uint32(chance),
    )
    for _ in range(chance.choice([0, 0, 1, 2])):
        made.events.add(
            time_unix_nano=_time(chance),
            name=_text(chance),
            attributes=_attributes(chance),
            dropped_attributes_count=_uint32(chance),
        )
    for _ in range(chance.choice([0, 0, 1, 2])):
        made.links.add(
            trace_id=chance.randbytes(chance.choice([0, 16, 17])),
            span_id=chance.randbytes(chance.choice([0, 8])),
            trace_state=_text(chance),
            flags=_uint32(chance),
            attributes=_attributes(chance),
            dropped_attributes_count=_uint32(chance),
        )
    if chance.random() < 0.5:
        made.status.code, made.status.message = _int32(chance), _text(chance)
    return made
