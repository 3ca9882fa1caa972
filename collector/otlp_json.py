"""OTLP/JSON into protobuf bytes, so that one gate serves both.

It is protobuf's JSON mapping with the exceptions of the OTLP specification: ids are hex, enums are
integers, unknown fields are ignored, keys are lowerCamelCase only. `google.protobuf.json_format` reads ids
as base64 and takes snake_case keys, so this is a walk of our own over the same descriptors. It writes the
wire format itself: messages that are filled in and serialised are slower, and limited in depth, by which a
request with one value that is too deep would be refused as a whole.
"""

from __future__ import annotations

import binascii
import json
import math
import re
import struct
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanledger.schemas.errors import BadData

# Messages within each other: 130 maps within maps, more than any setting allows. What is deeper is left out,
# so that the gate still sees a value that is too deep and rejects this one span.
_MAX_DEPTH = 400
# An id that is no hex becomes bytes that no id can be, so that the gate rejects this one span and says why.
_NO_ID = b"\xff"
_IDS = frozenset({"trace_id", "span_id", "parent_span_id"})
_DECIMAL = re.compile(r"-?[0-9]{1,20}")
_FLOAT = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?|NaN|-?Infinity")
_SURROGATE = re.compile("[\ud800-\udfff]")
_URL_SAFE = str.maketrans("-_", "+/")
_VARINT, _FIXED64, _SIZED, _FIXED32 = 0, 1, 2, 5  # protobuf's wire types


def traces(body: bytes) -> bytes:
    """The serialised ExportTraceServiceRequest that an OTLP/JSON body stands for.

    Raises BadData naming the place and what is allowed there. What makes a single span unfit is left to the
    gate: an id that is no hex has a wrong length there. A lone surrogate becomes U+FFFD.
    """
    return _decode(body, _TRACES)


def logs(body: bytes) -> bytes:
    """The serialised ExportLogsServiceRequest that an OTLP/JSON body stands for; otherwise as `traces`."""
    return _decode(body, _LOGS)


class _Wrong(Exception):
    """A value that is not allowed where it stands; `path` grows on the way out, innermost first."""

    def __init__(self, value: Any, allowed: str) -> None:
        self.value = value
        self.allowed = allowed
        self.path: list[str | int] = []


_Write = Callable[[Any], bytes]


class _Field(NamedTuple):
    """How a field is written: a scalar by `write`, tag included; a message by its own `fields`."""

    tag: bytes
    repeated: bool
    write: _Write | None
    fields: dict[str, _Field]


def _decode(body: bytes, root: _Field) -> bytes:
    pieces: list[bytes] = []
    try:
        sent = json.loads(body.decode())
        _write_message(pieces, root, sent, 1)
    except RecursionError:
        raise BadData("the body is JSON that is nested too deeply") from None
    except ValueError as error:  # JSONDecodeError, UnicodeDecodeError, a number of thousands of digits
        raise BadData(f"the body is not JSON in UTF-8: {error}") from None
    except _Wrong as wrong:
        raise BadData(_explain(wrong)) from None
    return b"".join(pieces[1:])  # without the tag and the size of what is no field


def _write_message(pieces: list[bytes], field: _Field, sent: Any, depth: int) -> int:
    """Append a message as the value of a field; return how many bytes that is."""
    if not isinstance(sent, dict):
        raise _Wrong(sent, "an object")
    tag, _, _, fields = field
    if depth > _MAX_DEPTH:
        fields = {}
    place, size, key = len(pieces), 0, ""
    pieces.append(b"")
    try:
        for key, value in sent.items():
            inner = fields.get(key)
            if inner is None or value is None:
                continue
            _, repeated, write, _ = inner
            if repeated:
                size += _write_list(pieces, inner, value, depth)
            elif write is not None:
                piece = write(value)
                pieces.append(piece)
                size += len(piece)
            else:
                size += _write_message(pieces, inner, value, depth + 1)
    except _Wrong as wrong:
        wrong.path.append(key)
        raise
    head = pieces[place] = tag + _varint(size)
    return len(head) + size


def _write_list(pieces: list[bytes], field: _Field, sent: Any, depth: int) -> int:
    if not isinstance(sent, list):
        raise _Wrong(sent, "a list")
    write = field.write
    size = index = 0
    try:
        for index, value in enumerate(sent):  # noqa: B007 - used where it fails
            if write is None:
                size += _write_message(pieces, field, value, depth + 1)
            else:
                pieces.append(write(value))
                size += len(pieces[-1])
    except _Wrong as wrong:
        wrong.path.append(index)
        raise
    return size


def _explain(wrong: _Wrong) -> str:
    path = ""
    for step in reversed(wrong.path):
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
    if len(path) > 200:
        path = f"{path[:120]}...{path[-60:]}"
    return f"{path or 'the body'} is {_shown(wrong.value)}; allowed: {wrong.allowed}"


def _shown(value: Any) -> str:
    """A value for a person, without what may be long or nobody else's business."""
    match value:
        case dict():
            return "an object"
        case list():
            return "a list"
        case str() if len(value) > 20:
            return f"a string of {len(value)} characters"
        case _:
            text = json.dumps(value)
            return text if len(text) <= 40 else f"{text[:20]}..."


# --- scalars: from what stands in the JSON to the bytes behind the tag


def _varint(number: int) -> bytes:
    return _SHORT[number] if number < _SHORTS else _long_varint(number)


def _long_varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


_SHORTS = 1 << 14
_SHORT = [_long_varint(number) for number in range(_SHORTS)]


def _text(value: Any) -> bytes:
    try:
        return value.encode()  # type: ignore[no-any-return]
    except UnicodeEncodeError:
        return _SURROGATE.sub("\ufffd", value).encode()
    except AttributeError:
        raise _Wrong(value, "a string") from None


def _id(value: Any) -> bytes:
    try:
        return binascii.unhexlify(value)
    except (TypeError, ValueError):
        return _NO_ID


def _base64(value: Any) -> bytes:
    try:
        digits = value.translate(_URL_SAFE).rstrip("=")
        return binascii.a2b_base64(digits + "=" * (-len(digits) % 4), strict_mode=True)
    except (AttributeError, ValueError):
        raise _Wrong(value, "base64") from None


def _boolean(value: Any) -> bytes:
    if not isinstance(value, bool):
        raise _Wrong(value, "true or false")
    return b"\1" if value else b"\0"


def _double(value: Any) -> bytes:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number and not (isinstance(value, str) and _FLOAT.fullmatch(value)):
        raise _Wrong(value, 'a number, also as a string, "NaN", "Infinity" or "-Infinity"')
    try:
        number = float(value)
    except OverflowError:  # an integer of hundreds of digits; one with an exponent is infinite already
        number = math.inf if value > 0 else -math.inf
    return struct.pack("<d", number)


def _integer(value: Any, least: int, most: int) -> int:
    number = value
    if (isinstance(value, str) and _DECIMAL.fullmatch(value)) or (
        isinstance(value, float) and value.is_integer()
    ):
        number = int(value)
    if type(number) is not int or not least <= number <= most:
        raise _Wrong(value, f"an integer from {least} to {most}, as a number or a string of its digits")
    return number


def _signed(value: Any, bits: int) -> bytes:
    number = _integer(value, -(1 << bits - 1), (1 << bits - 1) - 1)
    return _varint(number & 0xFFFF_FFFF_FFFF_FFFF)


def _uint32(value: Any) -> bytes:
    return _varint(_integer(value, 0, 0xFFFF_FFFF))


def _fixed32(value: Any) -> bytes:
    return struct.pack("<I", _integer(value, 0, 0xFFFF_FFFF))


def _fixed64(value: Any) -> bytes:
    return struct.pack("<Q", _integer(value, 0, 0xFFFF_FFFF_FFFF_FFFF))


def _enum(value: Any, kind: EnumDescriptor) -> bytes:
    known = kind.values_by_name.get(value) if isinstance(value, str) else None
    try:
        return _signed(known.number if known else value, 32)
    except _Wrong:
        raise _Wrong(value, f"an integer, or one of {', '.join(kind.values_by_name)}") from None


# --- fields: from the descriptors to what writes them


_SCALARS: dict[int, tuple[int, _Write]] = {
    FieldDescriptor.TYPE_STRING: (_SIZED, _text),
    FieldDescriptor.TYPE_BYTES: (_SIZED, _base64),
    FieldDescriptor.TYPE_BOOL: (_VARINT, _boolean),
    FieldDescriptor.TYPE_DOUBLE: (_FIXED64, _double),
    FieldDescriptor.TYPE_INT32: (_VARINT, partial(_signed, bits=32)),
    FieldDescriptor.TYPE_INT64: (_VARINT, partial(_signed, bits=64)),
    FieldDescriptor.TYPE_UINT32: (_VARINT, _uint32),
    FieldDescriptor.TYPE_FIXED32: (_FIXED32, _fixed32),
    FieldDescriptor.TYPE_FIXED64: (_FIXED64, _fixed64),
}


def _tables(root: Descriptor) -> dict[str, dict[str, _Field]]:
    """The fields of all messages that can occur in a request, by message and by name in JSON.

    Made once for every type, as AnyValue holds itself.
    """
    tables: dict[str, dict[str, _Field]] = {root.full_name: {}}
    left = [root]
    while left:
        descriptor = left.pop()
        for field in descriptor.fields:
            inner = field.message_type
            if inner is not None and inner.full_name not in tables:
                tables[inner.full_name] = {}
                left.append(inner)
            tables[descriptor.full_name][field.json_name] = _field(field, tables)
    return tables


def _field(field: FieldDescriptor, tables: dict[str, dict[str, _Field]]) -> _Field:
    if field.message_type is not None:
        tag, fields = _varint(field.number << 3 | _SIZED), tables[field.message_type.full_name]
        return _Field(tag, field.is_repeated, None, fields)
    wire_type, convert = _scalar(field)
    tag = _varint(field.number << 3 | wire_type)
    if wire_type == _SIZED:

        def write(value: Any) -> bytes:
            raw = convert(value)
            return tag + _varint(len(raw)) + raw
    else:

        def write(value: Any) -> bytes:
            return tag + convert(value)

    return _Field(tag, field.is_repeated, write, {})


def _scalar(field: FieldDescriptor) -> tuple[int, _Write]:
    if field.type == FieldDescriptor.TYPE_BYTES and field.name in _IDS:
        return _SIZED, _id
    if field.enum_type is not None:
        return _VARINT, partial(_enum, kind=field.enum_type)
    return _SCALARS[field.type]


def _root(request: Descriptor) -> _Field:
    return _Field(b"", repeated=False, write=None, fields=_tables(request)[request.full_name])


_TRACES = _root(ExportTraceServiceRequest.DESCRIPTOR)
_LOGS = _root(ExportLogsServiceRequest.DESCRIPTOR)
