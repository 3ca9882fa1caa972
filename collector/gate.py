"""The gate: looks at a request's bytes and lets through what can be stored, so that one bad span harms
nobody else's.

A pure function without I/O. A request leaves in the canonical encoding of the fields that we know, so
that what was checked is what is stored: a field sent twice, a number too large for its type, two values
in one attribute, a packed start time are read by ClickHouse in other ways than by protobuf, if at all.
"""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError, EncodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from spanledger.schemas.errors import BadData
from spanledger.schemas.otlp_pb2 import Request

_MAX_START = 0xFFFF_FFFF * 10**9  # February 2106, where the DateTime of the sorting key's hours ends
_MAX_END = (1 << 63) - 1  # the year 2262, where DateTime64(9) ends


class Checked(NamedTuple):
    """What the gate lets through.

    `body`: a serialised request of `spans` spans. `rejected`: how many were taken out, by reason.
    `rewritten`: whether nested values became JSON text, which the ingest view must know.
    """

    body: bytes
    spans: int
    rejected: Counter[str]
    rewritten: bool = False


class _Place(NamedTuple):
    """Where a span stands in a request."""

    resource: int
    scope: int
    span: int


def check(body: bytes) -> Checked:
    """Check an ExportTraceServiceRequest; raises BadData where none of it can be stored.

    A span needs a trace id of 16 bytes and a span id of 8, neither all zero, no parent id or one of 8
    bytes (opentelemetry-proto, trace.proto), and a start from 1970 to 2106.
    """
    try:
        request = Request.FromString(body)
    except DecodeError as error:
        raise BadData(f"not an OTLP ExportTraceServiceRequest: {error}") from None
    request.DiscardUnknownFields()
    count, bad = _inspect(request)
    if bad and len(bad) == count:
        reasons = Counter(reason for _, reason in bad)
        raise BadData(f"none of the {count} spans can be stored: {explain(reasons)}")
    if not bad:
        try:
            return Checked(request.SerializeToString(), count, Counter())
        except EncodeError:
            pass  # a Nested is there, whose required field never is (schemas/otlp.proto)
    return _rewrite(request, body, count, bad)


def explain(rejected: Counter[str]) -> str:
    """The reasons with their counts, for a person: `2 with a trace_id that is not 16 bytes long; ...`."""
    return "; ".join(f"{count} with {REASONS[reason]}" for reason, count in rejected.most_common())


# Few and fixed: they are labels of a metric, and what is sent must not decide how many series there are.
REASONS = {
    "trace_id_length": "a trace_id that is not 16 bytes long",
    "trace_id_zero": "a trace_id that is all zero",
    "span_id_length": "a span_id that is not 8 bytes long",
    "span_id_zero": "a span_id that is all zero",
    "parent_span_id_length": "a parent_span_id that is neither absent nor 8 bytes long",
    "start_time_missing": "no start_time_unix_nano",
    "start_time_range": "a start_time_unix_nano after February 2106",
    "end_time_range": "an end_time_unix_nano after April 2262",
}


def _inspect(request: Any) -> tuple[int, list[tuple[_Place, str]]]:
    """How many spans there are, and which of them cannot be stored, and why.

    The innermost loop runs for every span that comes in: it only compares, and asks for the reason later.
    """
    count = 0
    bad = []
    for r, resource_spans in enumerate(request.resource_spans):
        for s, scope_spans in enumerate(resource_spans.scope_spans):
            spans = scope_spans.spans
            count += len(spans)
            for n, span in enumerate(spans):
                trace_id, span_id, parent_id = span.trace_id, span.span_id, span.parent_span_id
                if (
                    len(trace_id) != 16
                    or len(span_id) != 8
                    or len(parent_id) not in (0, 8)
                    or not 0 < span.start_time_unix_nano <= _MAX_START
                    or span.end_time_unix_nano > _MAX_END
                    or trace_id == b"\0" * 16
                    or span_id == b"\0" * 8
                ):
                    bad.append((_Place(r, s, n), _reason(span)))
    return count, bad


def _reason(span: Any) -> str:
    wrong = {
        "trace_id_length": len(span.trace_id) != 16,
        "trace_id_zero": not any(span.trace_id),
        "span_id_length": len(span.span_id) != 8,
        "span_id_zero": not any(span.span_id),
        "parent_span_id_length": len(span.parent_span_id) not in (0, 8),
        "start_time_missing": span.start_time_unix_nano == 0,
        "start_time_range": span.start_time_unix_nano > _MAX_START,
        "end_time_range": span.end_time_unix_nano > _MAX_END,
    }
    return next(reason for reason, is_so in wrong.items() if is_so)


def _rewrite(request: Any, body: bytes, count: int, bad: list[tuple[_Place, str]]) -> Checked:
    """The request without its bad spans and with nested values as JSON text."""
    try:
        # The same bytes with AnyValue as deep as it was sent.
        whole = ExportTraceServiceRequest.FromString(body)
    except DecodeError as error:
        raise BadData(f"attribute values are nested too deeply: {error}") from None
    for place, _ in reversed(bad):
        for message in (request, whole):
            del message.resource_spans[place.resource].scope_spans[place.scope].spans[place.span]
    for flat, deep in zip(_attribute_lists(request), _attribute_lists(whole), strict=True):
        for ours, theirs in zip(flat, deep, strict=True):
            if _is_nested(theirs.value):
                ours.value.json_value = json_text(theirs.value)
            elif ours.value.HasField("json_value"):
                # An unknown field to OTLP, and so as if it were not there.
                ours.value.Clear()
    reasons = Counter(reason for _, reason in bad)
    return Checked(request.SerializeToString(), count - len(bad), reasons, rewritten=True)


def _attribute_lists(request: Any) -> Iterator[Any]:
    for resource_spans in request.resource_spans:
        yield resource_spans.resource.attributes
        for scope_spans in resource_spans.scope_spans:
            yield scope_spans.scope.attributes
            for span in scope_spans.spans:
                yield span.attributes
                for event in span.events:
                    yield event.attributes
                for link in span.links:
                    yield link.attributes


def _is_nested(value: AnyValue) -> bool:
    which = value.WhichOneof("value")
    if which == "kvlist_value":
        return True
    return which == "array_value" and any(
        item.WhichOneof("value") in ("kvlist_value", "array_value") for item in value.array_value.values
    )


def json_text(value: AnyValue) -> str:
    """A value as the JSON text that `spans` holds.

    What JSON lacks is an object with a single key: `{"@bytes": base64}`, `{"@double": "nan"}`; a map of
    the sender's whose only key starts with @ is put into `{"@map": ...}`, so that each can be told apart.
    """
    return json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"))


def _plain(value: AnyValue) -> Any:
    match value.WhichOneof("value"):
        case "kvlist_value":
            items = {item.key: _plain(item.value) for item in value.kvlist_value.values}
            escaped = len(items) == 1 and next(iter(items)).startswith("@")
            return {"@map": items} if escaped else items
        case "array_value":
            return [_plain(item) for item in value.array_value.values]
        case "double_value" if not math.isfinite(value.double_value):
            return {"@double": str(value.double_value)}
        case "bytes_value":
            return {"@bytes": b64encode(value.bytes_value).decode()}
        case None | "string_value_strindex":
            return None
        case which:
            return getattr(value, which)
