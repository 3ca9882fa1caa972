"""What a reader finds in `spans`, and what it should find: worked out from protobuf's own objects, by the
promises of schemas/dialects.py, schemas/migrations and collector/rows, with nothing of its code."""

from __future__ import annotations

import base64
import json
import math
import re
import struct
from collections.abc import Iterator, Sequence
from decimal import ROUND_DOWN, Context, Decimal, InvalidOperation
from typing import Any, NamedTuple

from clickhouse_connect.driver.client import Client
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from spanledger.schemas.calls import (
    COUNTED_ROLES,
    dialect_of,
    error_type_of,
    finish_reason_of,
    model_of,
    operation_of,
    provider_of,
    role_of,
    service_tier_of,
)
from spanledger.schemas.dialects import CONTENT_KEYS, CONTENT_PREFIXES, DIALECTS, FIELDS, PLAIN_KEYS

Row = dict[str, Any]
_NANOSECONDS_MAX = (1 << 63) - 1
_START_MAX = ((1 << 32) - 1) * 10**9
_MOST_TOKENS = 10**12
_EXACT = Context(prec=100)
_DIGITS_18 = Decimal(1).scaleb(-18)

# --- what a reader finds


def stored_rows(reader: Client, project: str, table: str = "rows_of_tests.spans") -> dict[bytes, Row]:
    """Every column of every row of a project, by span id; maps as lists of pairs, so that none is hidden."""
    columns = reader.query(
        "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = 'spans' "
        "AND default_kind = ''"
    ).result_rows
    chosen = ", ".join(f"{_exactly(f'`{name}`', kind)} AS c{n}" for n, (name, kind) in enumerate(columns))
    found = reader.query(
        f"SELECT {chosen} FROM {table} WHERE project = {{project:String}}", parameters={"project": project}
    ).result_rows
    rows = [dict(zip((name for name, _ in columns), map(_from_hex, row), strict=True)) for row in found]
    by_id = {row["span_id"]: row for row in rows}
    assert len(by_id) == len(rows)
    return by_id


def _exactly(column: str, kind: str) -> str:
    """An expression that gives a column as it is: text and ids as bytes, times and doubles as their bits."""
    if kind.startswith("Nullable("):
        # Of a NULL any value may stand beneath, so that it is told by a marker.
        inner = _exactly(f"assumeNotNull({column})", kind[9:-1])
        return f"if({column} IS NULL, NULL, {inner})"
    if kind.startswith("Array("):
        return f"arrayMap(x -> {_exactly('x', kind[6:-1])}, {column})"
    if kind.startswith("Map("):
        value = kind[4:-1].split(", ", 1)[1]
        keys = f"arrayMap(k -> {_exactly('k', 'String')}, mapKeys({column}))"
        return f"arrayZip({keys}, arrayMap(v -> {_exactly('v', value)}, mapValues({column})))"
    if "String" in kind:
        return (
            f"concat('0x', hex(toString({column})))"
            if "Fixed" not in kind
            else f"concat('0x', hex({column}))"
        )
    if kind.startswith("DateTime64"):
        return f"toUnixTimestamp64Nano({column})"
    if kind == "Float64":
        return f"reinterpretAsUInt64({column})"
    return column


def _from_hex(value: Any) -> Any:
    if isinstance(value, str):
        assert value.startswith("0x")
        return bytes.fromhex(value[2:])
    if isinstance(value, list | tuple):
        return type(value)(map(_from_hex, value))
    return value


# --- what it should find


class Sent(NamedTuple):
    """A request as it was stored."""

    request: ExportTraceServiceRequest
    project: str
    received_at_ns: int


def good(span: Span) -> bool:
    """Whether a span has what the gate asks for."""
    return (
        len(span.trace_id) == 16
        and any(span.trace_id)
        and len(span.span_id) == 8
        and any(span.span_id)
        and len(span.parent_span_id) in (0, 8)
        and 0 < span.start_time_unix_nano <= _START_MAX
        and span.end_time_unix_nano <= _NANOSECONDS_MAX
    )


def expected_rows(sent: Sequence[Sent]) -> dict[bytes, Row]:
    """Without prices: the columns of costs are `expected_cost`."""
    return {
        span.span_id: _row(one, resource_spans, scope_spans, span)
        for one in sent
        for resource_spans in one.request.resource_spans
        for scope_spans in resource_spans.scope_spans
        for span in scope_spans.spans
        if good(span)
    }


def _row(sent: Sent, above: ResourceSpans, beside: ScopeSpans, span: Span) -> Row:
    own = last_of_each(span.attributes)
    resource = last_of_each(above.resource.attributes)
    maps: dict[str, list[tuple[bytes, Any]]] = {name: [] for name in _MAPS}
    for key, value in own.items():
        name, stored = _attribute(key, value)
        maps[name].append((key.encode(), stored))
    service = resource.get("service.name", AnyValue())
    start, end = span.start_time_unix_nano, span.end_time_unix_nano
    row: Row = {
        "project": sent.project.encode(),
        "received_at": sent.received_at_ns,
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_span_id": span.parent_span_id or bytes(8),
        "trace_state": span.trace_state.encode(),
        "flags": span.flags,
        "name": span.name.encode(),
        "kind": span.kind,
        "start_time": start,
        "end_time": end,
        "duration_ns": max(end - start, 0),
        "status_code": span.status.code,
        "status_message": span.status.message.encode(),
        "service": service.string_value.encode(),
        "scope_name": beside.scope.name.encode(),
        "scope_version": beside.scope.version.encode(),
        "resource_schema_url": above.schema_url.encode(),
        "resource_dropped_attributes_count": above.resource.dropped_attributes_count,
        "scope_schema_url": beside.schema_url.encode(),
        "scope_dropped_attributes_count": beside.scope.dropped_attributes_count,
        "dropped_attributes_count": span.dropped_attributes_count,
        "dropped_events_count": span.dropped_events_count,
        "dropped_links_count": span.dropped_links_count,
        "attributes_cut": [],
        **maps,
        "resource_attributes": _texts(above.resource.attributes),
        "scope_attributes": _texts(beside.scope.attributes),
        "events.time": [min(event.time_unix_nano, _NANOSECONDS_MAX) for event in span.events],
        "events.name": [event.name.encode() for event in span.events],
        "events.attributes": [_texts(event.attributes) for event in span.events],
        "events.dropped_attributes_count": [event.dropped_attributes_count for event in span.events],
        "links.trace_id": [link.trace_id for link in span.links],
        "links.span_id": [link.span_id for link in span.links],
        "links.trace_state": [link.trace_state.encode() for link in span.links],
        "links.flags": [link.flags for link in span.links],
        "links.attributes": [_texts(link.attributes) for link in span.links],
        "links.dropped_attributes_count": [link.dropped_attributes_count for link in span.links],
    }
    row |= _facts(own, beside.scope.name)
    return row


_MAPS = (
    "attributes_string",
    "attributes_int",
    "attributes_double",
    "attributes_bool",
    "attributes_json",
    "content_string",
    "content_json",
)


def last_of_each(attributes: Sequence[KeyValue]) -> dict[str, AnyValue]:
    """Attributes by key in the order in which the ones that count were sent."""
    found: dict[str, AnyValue] = {}
    for pair in attributes:
        found.pop(pair.key, None)
        found[pair.key] = pair.value
    return found


def _attribute(key: str, value: AnyValue) -> tuple[str, Any]:
    """In which map an attribute of a span is, and as what."""
    content = key in CONTENT_KEYS or (
        key.startswith(CONTENT_PREFIXES) and key not in (*_KNOWN, *PLAIN_KEYS, *CONTENT_PREFIXES)
    )
    match value.WhichOneof("value"):
        case "string_value":
            return ("content_string" if content else "attributes_string"), value.string_value.encode()
        case "int_value":
            return "attributes_int", value.int_value
        case "double_value":
            return "attributes_double", bits(value.double_value)
        case "bool_value":
            return "attributes_bool", value.bool_value
        case _:
            return ("content_json" if content else "attributes_json"), Json(value)


def bits(number: float) -> int:
    return int(struct.unpack("<Q", struct.pack("<d", number))[0])


def _texts(attributes: Sequence[KeyValue]) -> list[tuple[bytes, Json]]:
    return [(key.encode(), Json(value)) for key, value in last_of_each(attributes).items()]


# --- JSON text


class Json:
    """Equal to every JSON text that means this value and no other: it is read back and compared."""

    def __init__(self, value: AnyValue) -> None:
        self.meaning = _meaning(value)

    def __eq__(self, other: object) -> bool:
        try:
            return isinstance(other, bytes) and read_json(other.decode()) == self.meaning
        except ValueError:
            return False

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Json({self.meaning!r})"


def _meaning(value: AnyValue) -> tuple[str, Any]:
    """A value with its type, so that 1, 1.0, True and "1" are four."""
    kind = value.WhichOneof("value") or "none"
    match kind:
        case "none":
            return kind, None
        case "double_value" if math.isnan(value.double_value):
            return kind, "nan"
        case "double_value":
            return kind, bits(value.double_value)
        case "array_value":
            return kind, [_meaning(item) for item in value.array_value.values]
        case "kvlist_value":
            return kind, {key: _meaning(v) for key, v in last_of_each(value.kvlist_value.values).items()}
        case _:
            return kind, getattr(value, kind)


def read_json(text: str) -> tuple[str, Any]:
    """The value that stored JSON text means, with its type; an error where a key is in it twice."""
    return _tagged(
        json.loads(
            text, parse_float=float, parse_int=int, parse_constant=_no_constant, object_pairs_hook=_distinct
        )
    )


def _no_constant(name: str) -> Any:
    raise AssertionError(f"{name} is no JSON")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    assert len(found) == len(pairs), "a key is in an object twice"
    return found


def _tagged(value: Any) -> tuple[str, Any]:
    match value:
        case None:
            return "none", None
        case bool():
            return "bool_value", value
        case int():
            return "int_value", value
        case float():
            return "double_value", bits(value)
        case str():
            return "string_value", value
        case list():
            return "array_value", [_tagged(item) for item in value]
        case {"@bytes": str(encoded)} if len(value) == 1:
            return "bytes_value", base64.b64decode(encoded, validate=True)
        case {"@double": str(name)} if len(value) == 1:
            assert name in ("nan", "inf", "-inf")
            return "double_value", "nan" if name == "nan" else bits(float(name))
        case {"@map": dict(inner)} if len(value) == 1:
            return "kvlist_value", {key: _tagged(v) for key, v in inner.items()}
        case dict():
            assert len(value) != 1 or not next(iter(value)).startswith("@")
            return "kvlist_value", {key: _tagged(v) for key, v in value.items()}
    raise AssertionError(f"no JSON: {value!r}")


# --- canonical columns

# Attributes alone: members of JSON and attributes of events are looked at in
# tests/collector/rows/test_facts.py.
_KEYS_OF = {
    field.column: [key for key in field.keys if "#" not in key and not key.startswith("event:")]
    for field in FIELDS
}
_KNOWN = {key for keys in _KEYS_OF.values() for key in keys} | {
    key.partition("#")[0] for field in FIELDS for key in field.keys
}
_COUNTS = [field.column for field in FIELDS if field.kind == "count"]
_TOKENS = [field.column for field in FIELDS if field.kind == "count" and field.stored]
_LISTS = ("tags", "finish_reasons")


def _facts(own: dict[str, AnyValue], scope: str) -> Row:
    """The columns that the dialect table fills, and those that follow from them."""

    def text(column: str) -> str:
        made = _text(_first(_KEYS_OF[column], own))
        assert isinstance(made, bytes), "random requests have texts in what is mapped"
        return made.decode()

    claimed, host = text("provider_claimed"), text("host")
    asked, answered = text("request_model"), text("response_model")
    provider = provider_of(claimed, host, "") or provider_of("", "", answered or asked)
    counts = {column: raw_count(_first(_KEYS_OF[column], own)) for column in _COUNTS}
    operation, kind = text("operation"), text("span_kind")
    role = role_of(operation, kind)
    used = max(
        counts[name]
        for name in ("input_tokens", "output_tokens", "input_tokens_apart", "output_tokens_apart")
    )
    if not operation and not kind and used >= 0 and (asked or answered):
        role = "LLM"
    counted = role in COUNTED_ROLES
    tokens, flags = expected_usage(
        counts, counted=counted, gemini=provider in ("gcp.gemini", "gcp.vertex_ai")
    )
    hints = {
        n
        for n, dialect in enumerate(DIALECTS)
        for key in own
        if dialect.keys and key in (*_KNOWN, *CONTENT_KEYS) and key.startswith(dialect.keys)
    }
    entity, tool, agent = text("entity_name"), text("tool_name"), text("agent_name")
    seconds, millis = (
        _number_in(_first(_KEYS_OF[name], own)) for name in ("time_to_first_chunk_s", "first_chunk_ms")
    )
    first = seconds if seconds is not None else None if millis is None else millis / 1000
    reported = _money(_first(_KEYS_OF["cost_reported_usd"], own))
    dialect = dialect_of(scope, hints)
    row: Row = {name: None if tokens[name] < 0 else tokens[name] for name in _TOKENS}
    row |= {
        "role": role.encode(),
        "operation": operation_of(operation, role).encode(),
        "provider": provider.encode(),
        "provider_claimed": claimed.encode(),
        "request_model": model_of(asked, provider, dialect).encode(),
        "response_model": model_of(answered, provider, dialect).encode(),
        "service_tier": service_tier_of(text("service_tier")).encode(),
        "tool_name": (tool or (entity if role == "TOOL" else "")).encode(),
        "agent_name": (agent or (entity if role == "AGENT" else "")).encode(),
        "error_type": error_type_of(text("error_type")).encode(),
        "dialect": dialect.encode(),
        "tags": _list(_first(_KEYS_OF["tags"], own), commas=True),
        "finish_reasons": [
            finish_reason_of(reason.decode()).encode() if isinstance(reason, bytes) else reason
            for reason in _list(_first(_KEYS_OF["finish_reasons"], own))
        ],
        "time_to_first_chunk_s": None if first is None else bits(first),
        "counted": counted,
        "usage": [],
        "usage_flags": [flag.encode() for flag in flags],
        "duplicate_of": b"",
        "borrowed": [],
        "cost_reported_usd": reported if text("cost_currency").lower() in ("", "usd") else None,
        "cost_origin": b"",
    }
    if row["cost_reported_usd"] is not None:
        row["cost_origin"] = text("cost_origin").lower().encode()
    row |= {
        name: _text(_first(_KEYS_OF[name], own))
        for name in ("experiment_id", "response_id", "conversation_id", "user_id")
    }
    call_id = _text(_first(_KEYS_OF["call_id"], own))
    if isinstance(row["response_id"], bytes) and row["response_id"] == call_id:
        row["response_id"] = b""
    return row


_WITHIN = (
    ("cache_read_tokens", "input_tokens"),
    ("cache_write_tokens", "input_tokens"),
    ("input_audio_tokens", "input_tokens"),
    ("reasoning_tokens", "output_tokens"),
    ("output_audio_tokens", "output_tokens"),
)


def expected_usage(
    counts: dict[str, int], *, counted: bool, gemini: bool
) -> tuple[dict[str, int], list[str]]:
    """The rules of collector/rows/usage.py for one call; -1: not sent, -2: no count."""
    made = dict(counts)
    flags = set()
    for name in ("cache_read", "cache_write", "reasoning"):
        if made[f"{name}_tokens"] == -1:
            made[f"{name}_tokens"] = made[f"{name}_apart"]
    if made["input_tokens"] == -1 and made["input_tokens_apart"] >= 0:
        cached = [max(made[f"cache_{name}_apart"], 0) for name in ("read", "write")]
        beside = sum(cached) if max(made["input_tokens_apart"], *cached) <= _MOST_TOKENS else 0
        made["input_tokens"] = made["input_tokens_apart"] + beside
        flags |= {"counted_apart"} if beside else set()
    if made["output_tokens"] == -1 and made["output_tokens_apart"] >= 0:
        beside = max(made["reasoning_apart"], 0)
        beside = beside if max(made["output_tokens_apart"], beside) <= _MOST_TOKENS else 0
        made["output_tokens"] = made["output_tokens_apart"] + beside
        flags |= {"counted_apart"} if beside else set()
    cached = [max(made[f"cache_{name}_tokens"], 0) for name in ("read", "write")]
    if made["input_tokens"] >= 0 and max(cached) <= _MOST_TOKENS and sum(cached) > made["input_tokens"]:
        made["input_tokens"] += sum(cached)
        flags.add("counted_apart")
    of_input, output, reasoning = (made[f"{name}_tokens"] for name in ("input", "output", "reasoning"))
    possible = max(of_input, output, reasoning) <= _MOST_TOKENS and min(of_input, output) >= 0
    missing = made["total_tokens"] - of_input - output
    if possible and reasoning > 0 and missing == reasoning:
        made["output_tokens"] = output = output + reasoning
        flags.add("counted_apart")
    elif possible and gemini and reasoning == -1 and missing > 0 and made["total_tokens"] <= _MOST_TOKENS:
        made["reasoning_tokens"], made["output_tokens"] = missing, output + missing
        output += missing
        flags.add("counted_apart")
    if counted and of_input == 0 and output <= 0:
        made["input_tokens"] = made["output_tokens"] = -1
        flags.add("nothing_used")
    if any(0 <= made[whole] < made[part] for part, whole in _WITHIN):
        flags.add("details_exceed_total")
    both = made["input_tokens"], made["output_tokens"]
    if (
        min(*both, made["total_tokens"]) >= 0
        and max(both) <= _MOST_TOKENS
        and sum(both) != made["total_tokens"]
    ):
        flags.add("total_mismatch")
    if -2 in counts.values():
        flags.add("unreadable")
    order = ("counted_apart", "nothing_used", "details_exceed_total", "total_mismatch", "unreadable")
    return made, [flag for flag in order if flag in flags]


def _first(keys: Sequence[str], own: dict[str, AnyValue]) -> AnyValue:
    """The value of the first key that is sent and not empty."""
    for key in keys:
        value = own.get(key, AnyValue())
        if value.WhichOneof("value") and value != AnyValue(string_value=""):
            return value
    return AnyValue()


def _text(value: AnyValue) -> Any:
    match value.WhichOneof("value"):
        case None | "bool_value":
            return b""
        case "string_value":
            return value.string_value.encode()
        case "int_value":
            return str(value.int_value).encode()
        case "double_value" if not math.isfinite(value.double_value):
            return b""
        case _:
            return Json(value)


def _list(value: AnyValue, *, commas: bool = False) -> list[Any]:
    if value.WhichOneof("value") != "array_value":
        text = _text(value)
        if commas and isinstance(text, bytes):
            parts = (part.strip(bytes(range(33))) for part in text.split(b","))
            return [part for part in parts if part]
        return [] if isinstance(text, bytes) and not text else [text]
    items = [item for item in value.array_value.values if item.WhichOneof("value")]
    return [
        item.string_value.encode() if item.WhichOneof("value") == "string_value" else Json(item)
        for item in items
    ]


def raw_count(value: AnyValue) -> int:
    """A count, -1 where nothing was sent, -2 where it is no count."""
    if not value.WhichOneof("value"):
        return -1
    made = count(value)
    return -2 if made is None else made


def count(value: AnyValue) -> int | None:
    match value.WhichOneof("value"):
        case "int_value":
            number = value.int_value
        case "double_value" if value.double_value.is_integer():
            number = int(value.double_value)
        case "string_value" if re.fullmatch(r"[0-9]{1,19}", value.string_value):
            number = int(value.string_value)
        case "string_value":
            made = _number_in(value)
            if made is None or made < 0 or not made.is_integer():
                return None
            number = int(made)
        case _:
            return None
    return number if 0 <= number <= _NANOSECONDS_MAX else None


_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def _number_in(value: AnyValue) -> float | None:
    """A finite double."""
    match value.WhichOneof("value"):
        case "int_value":
            return float(value.int_value)
        case "double_value" if math.isfinite(value.double_value):
            return value.double_value
        case "string_value" if len(value.string_value) <= 64 and _NUMBER.fullmatch(value.string_value):
            number = float(value.string_value)
            return number if math.isfinite(number) else None
    return None


def _money(value: AnyValue) -> Decimal | None:
    match value.WhichOneof("value"):
        case "int_value":
            text = str(value.int_value)
        case "double_value":
            text = repr(value.double_value)
        case "string_value" if _NUMBER.fullmatch(value.string_value):
            text = value.string_value
        case _:
            return None
    return amount(text)


def amount(text: str) -> Decimal | None:
    """Dollars with 18 digits after the point, the rest cut off; None where there is no place for them."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    if not number.is_finite() or number < 0 or (number and number.adjusted() >= 20):
        return None
    return number.quantize(_DIGITS_18, rounding=ROUND_DOWN, context=_EXACT) if number else Decimal(0)


# --- costs

# gpt-4o-mini of openai, in dollars a token; what has no price of its own is paid as what includes it.
PRICES = {"input": Decimal("0.15"), "output": Decimal("0.6"), "cache_read": Decimal("0.075")}
KNOWN_MODEL = "gpt-4o-mini"
# Who is in the price list, of those that random requests name.
_LISTED_PROVIDERS = ("openai",)


def expected_cost(row: Row, sent: dict[str, AnyValue]) -> Row:
    """The columns of costs of a row whose provider and model are openai's gpt-4o-mini, unknown, or absent."""
    reported = row["cost_reported_usd"]
    counts = {name: row[name] for name in _TOKENS}
    unreadable = any(raw_count(_first(_KEYS_OF[name], sent)) == -2 for name in _TOKENS)
    used = any(value is not None for value in counts.values())
    nothing: Row = {
        "cost_usd": None,
        "cost_input_usd": None,
        "cost_output_usd": None,
        "cost_computed_usd": None,
        "cost_source": b"",
        "cost_reason": b"",
    }
    if not row["counted"]:
        return nothing | {"cost_reason": b"not_counted" if used else b""}
    reason = _no_cost(row, counts, sent, used=used, unreadable=unreadable)
    made = nothing
    if not reason:
        read = counts["cache_read_tokens"] or 0
        of_input = (
            ((counts["input_tokens"] or 0) - read) * PRICES["input"] + read * PRICES["cache_read"]
        ) / 10**6
        of_output = (counts["output_tokens"] or 0) * PRICES["output"] / 10**6
        made = made | {
            "cost_input_usd": of_input,
            "cost_output_usd": of_output,
            "cost_computed_usd": of_input + of_output,
            "cost_usd": of_input + of_output,
            "cost_source": b"computed",
        }
    billed = sent.get("gen_ai.usage.cost.source") == AnyValue(string_value="provider")
    counts_reported = reported is not None and (billed or used or reported)
    if counts_reported and (billed or reason):
        return made | {"cost_usd": reported, "cost_source": b"reported"}
    return made | {"cost_reason": reason}


def _no_cost(
    row: Row, counts: dict[str, int | None], sent: dict[str, AnyValue], *, used: bool, unreadable: bool
) -> bytes:
    """Why no cost can be computed; empty: it can."""
    named = (row["response_model"] or row["request_model"]).lower()
    known = KNOWN_MODEL.encode() in (named, row["request_model"].lower())
    more = {name: count or 0 for name, count in counts.items()}
    of_input = more["cache_read_tokens"] + more["cache_write_tokens"] + more["input_audio_tokens"]
    of_output = more["reasoning_tokens"] + more["output_audio_tokens"]
    if not used:
        return b"no_usage"
    if not named:
        return b"no_model"
    if not row["provider"] and _text(_first(_KEYS_OF["host"], sent)):
        return b"unknown_provider"
    if row["provider"] not in (b"", *(name.encode() for name in _LISTED_PROVIDERS)):
        return b"unknown_provider"
    if not known:
        return b"unknown_model"
    if unreadable or max(more.values()) > _MOST_TOKENS:
        return b"impossible_usage"
    if counts["input_tokens"] is None and of_input:
        return b"usage_incomplete"
    if more["cache_read_tokens"] > more["input_tokens"]:
        return b"impossible_usage"
    return b"usage_incomplete" if counts["output_tokens"] is None and of_output else b""


def spans_of(sent: Sequence[Sent]) -> Iterator[Span]:
    for one in sent:
        for resource_spans in one.request.resource_spans:
            for scope_spans in resource_spans.scope_spans:
                yield from scope_spans.spans
