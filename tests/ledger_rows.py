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

from spanledger.schemas.dialects import CONTENT_KEYS, COUNTED_ROLES, FIELDS, ROLES, Field

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
    row |= {
        field.column: _field(field.kind, field.keys, own) for field in FIELDS if field.column not in _HIDDEN
    }
    row["role"] = ROLES.get(
        row["operation"].decode() if isinstance(row["operation"], bytes) else "", "OTHER"
    ).encode()
    row["finish_reasons"], row["tags"] = list(row["finish_reasons"]), list(row["tags"])
    return row


_HIDDEN = ("cost_origin", "cost_currency")  # they decide about the cost, and are no columns
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
    content = key in CONTENT_KEYS
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


def _field(kind: str, keys: Sequence[str], own: dict[str, AnyValue]) -> Any:
    readers = {"text": _text, "id": _text, "count": count, "number": _number, "money": _money, "texts": _list}
    return readers[kind](_first(keys, own))


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


def _list(value: AnyValue) -> list[Any]:
    if value.WhichOneof("value") != "array_value":
        text = _text(value)
        return [] if isinstance(text, bytes) and not text else [text]
    items = [item for item in value.array_value.values if item.WhichOneof("value")]
    return [
        item.string_value.encode() if item.WhichOneof("value") == "string_value" else Json(item)
        for item in items
    ]


def count(value: AnyValue) -> int | None:
    match value.WhichOneof("value"):
        case "int_value":
            number = value.int_value
        case "double_value" if value.double_value.is_integer():
            number = int(value.double_value)
        case "string_value" if re.fullmatch(r"[0-9]{1,19}", value.string_value):
            number = int(value.string_value)
        case _:
            return None
    return number if 0 <= number <= _NANOSECONDS_MAX else None


_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def _number(value: AnyValue) -> int | None:
    """The bits of a finite double."""
    match value.WhichOneof("value"):
        case "int_value":
            return bits(float(value.int_value))
        case "double_value" if math.isfinite(value.double_value):
            return bits(value.double_value)
        case "string_value" if len(value.string_value) <= 64 and _NUMBER.fullmatch(value.string_value):
            number = float(value.string_value)
            return bits(number) if math.isfinite(number) else None
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
_PRICES_END = 4_291_747_200 * 10**9  # the year 2106


def expected_cost(row: Row, sent: dict[str, AnyValue]) -> Row:
    """The columns of costs of a row whose provider and model are openai's gpt-4o-mini, unknown, or absent."""
    reported = row["cost_reported_usd"]
    read, write = row["cache_read_tokens"] or 0, row["cache_write_tokens"] or 0
    used_input, output = row["input_tokens"], row["output_tokens"]
    if used_input is not None and max(read, write) <= _MOST_TOKENS and read + write > used_input:
        used_input += read + write
    used = used_input is not None or output is not None
    made: Row = {
        "input_tokens": used_input,
        "cost_usd": None,
        "cost_input_usd": None,
        "cost_output_usd": None,
        "cost_source": b"",
        "cost_reason": b"",
    }
    if row["role"].decode() not in COUNTED_ROLES:
        return made | {"cost_reason": b"not_counted" if used else b""}
    named = row["response_model"] or row["request_model"]
    known = _lower(named) == KNOWN_MODEL.encode() and _lower(row["provider"]) == b"openai"
    plain = (used_input or 0) - read
    possible = (
        plain >= 0
        and max(used_input or 0, output or 0) <= _MOST_TOKENS
        and not any(_unreadable(field, row, sent) for field in FIELDS if field.kind == "count")
    )
    priced = row["start_time"] < _PRICES_END
    counts = [_first(field.keys, sent) for field in FIELDS if field.kind == "count"]
    readable = all(count(value) is not None for value in counts if value.WhichOneof("value"))
    computable = known and used and readable and possible and priced
    in_usd = _text(sent.get("gen_ai.usage.cost.currency", AnyValue())) in (b"", b"usd", b"USD")
    preferred = sent.get("gen_ai.usage.cost.source") == AnyValue(string_value="provider")
    if reported is not None and in_usd and (preferred or not computable):
        return made | {"cost_usd": reported, "cost_source": b"reported"}
    if computable:
        of_input = (plain * PRICES["input"] + read * PRICES["cache_read"]) / 10**6
        of_output = (output or 0) * PRICES["output"] / 10**6
        costs = {"cost_input_usd": of_input, "cost_output_usd": of_output, "cost_usd": of_input + of_output}
        return made | costs | {"cost_source": b"computed"}
    if not used:
        reason = b"no_usage"
    elif not named:
        reason = b"no_model"
    elif not known:
        reason = b"unknown_model"
    else:
        reason = b"impossible_usage" if priced else b"unit_not_priced"
    return made | {"cost_reason": reason}


def _unreadable(field: Field, row: Row, sent: dict[str, AnyValue]) -> bool:
    """Whether something was sent for a count, and is none."""
    values = (sent[key] for key in field.keys if key in sent)
    said = (v for v in values if v.WhichOneof("value") and v != AnyValue(string_value=""))
    return row[field.column] is None and next(said, None) is not None


def _lower(text: Any) -> Any:
    return text.lower() if isinstance(text, bytes) else text


def spans_of(sent: Sequence[Sent]) -> Iterator[Span]:
    for one in sent:
        for resource_spans in one.request.resource_spans:
            for scope_spans in resource_spans.scope_spans:
                yield from scope_spans.spans
