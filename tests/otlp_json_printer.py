"""OTLP/JSON from protobuf messages, for tests: written by the specification, not by the decoder."""

from __future__ import annotations

import math
from base64 import b64encode
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

_IDS = ("traceId", "spanId", "parentSpanId")
_64_BITS = (FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_UINT64, FieldDescriptor.TYPE_FIXED64)


def otlp_json(message: Message) -> dict[str, Any]:
    """A message as the object that OTLP/JSON has for it: hex ids, enums and small integers as numbers, large
    integers as strings, lowerCamelCase keys."""
    printed: dict[str, Any] = {}
    for field, value in message.ListFields():
        one = value if field.is_repeated else [value]
        items = [_printed(field, item) for item in one]
        printed[field.json_name] = items if field.is_repeated else items[0]
    return printed


def _printed(field: FieldDescriptor, value: Any) -> Any:
    if isinstance(value, Message):
        return otlp_json(value)
    if isinstance(value, bytes):
        return value.hex() if field.json_name in _IDS else b64encode(value).decode()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return str(value) if field.type in _64_BITS else value
