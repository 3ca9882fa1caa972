"""Columns of a table as they stand in files: in Arrow, which Parquet is made of, and in lines of JSON.

The types come from the database, so that a column which a migration adds is exported and imported, too.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

import pyarrow as pa
from clickhouse_connect.driver.client import Client

from spanledger.schemas.calls import ROLES
from spanledger.schemas.prices.choice import SOURCES
from spanledger.schemas.prices.compute import REASONS

# Bytes in a String: hex in JSON.
_BYTES = {"links.trace_id", "links.span_id", "duplicate_of"}
# The time in the sorting key, whose hours end in February 2106.
_KEY_TIMES = {"start_time", "time"}
_LATEST_KEY = 0xFFFF_FFFF * 10**9
_PRECISION, _SCALE = 38, 18
# Costs are worked out anew for all projects at once, by these words: another would end that for everybody.
_WORDS = {"role": ROLES, "cost_source": SOURCES, "cost_reason": REASONS}
# Clocks of two ledgers may differ. A time beyond that would win over whatever comes later, for ever.
_AHEAD_NS = 86_400 * 10**9

Read = Callable[[Any], Any]


class NotAllowedError(ValueError):
    """A value that a column does not take; its text says what is allowed."""


class Column(NamedTuple):
    """A column: its type in Arrow, the expression that gives it for JSON, and what reads that again.

    `read` raises NotAllowedError with what is allowed; `words`: all that a text may be, where that is little.
    """

    name: str
    arrow: pa.DataType
    as_json: str
    read: Read
    words: Sequence[str] | None = None


def columns_of(client: Client, table: str) -> list[Column]:
    """The columns of `spans` or `logs` that are stored, in the order of the table."""
    found = client.query(
        "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = {table:String} "
        "AND default_kind != 'ALIAS' ORDER BY position",
        parameters={"table": table},
    ).result_rows
    return [_column(name, kind) for name, kind in found]


def _column(name: str, kind: str) -> Column:
    arrow, as_json, read = _typed(name, kind)
    return Column(name, arrow, as_json(f"`{name}`"), read, _WORDS.get(name))


def _typed(name: str, kind: str) -> tuple[pa.DataType, Callable[[str], str], Read]:
    """The type in Arrow, what makes an expression one for JSON, and what reads the JSON."""
    outer, inner = _parts(kind)
    if outer == "LowCardinality":
        return _typed(name, inner[0])
    if outer == "Nullable":
        arrow, as_json, read = _typed(name, inner[0])
        return arrow, as_json, lambda value: None if value is None else read(value)
    if outer == "Array":
        arrow, as_json, read = _typed(name, inner[0])
        return pa.list_(arrow), lambda x: f"arrayMap(x -> {as_json('x')}, {x})", _list_of(read)
    if outer == "Map":
        arrow, as_json, read = _typed(name, inner[1])
        if inner[1] == "Float64":
            # JSON has no NaN and no infinity.
            as_json = "toString({})".format
        return (
            pa.map_(pa.string(), arrow),
            lambda x: f"mapApply((k, v) -> (k, {as_json('v')}), {x})",
            _map_of(_double if inner[1] == "Float64" else read),
        )
    return _scalar(name, outer, inner)


def _scalar(name: str, kind: str, inner: Sequence[str]) -> tuple[pa.DataType, Callable[[str], str], Read]:
    if kind == "FixedString":
        size = int(inner[0])
        return pa.binary(size), "lower(hex({}))".format, _bytes(size)
    if kind == "String" and name in _BYTES:
        return pa.binary(), "lower(hex({}))".format, _bytes(None)
    if kind == "String" and name in _WORDS:
        return pa.string(), "{}".format, _word(_WORDS[name])
    if kind == "DateTime64":
        latest = _LATEST_KEY if name in _KEY_TIMES else (1 << 63) - 1
        read = _received if name == "received_at" else _integer(0, latest)
        return pa.timestamp("ns", "UTC"), "toUnixTimestamp64Nano({})".format, read
    if kind == "Decimal":
        return pa.decimal128(_PRECISION, _SCALE), "toString({})".format, _decimal
    arrow, read = _SCALARS[kind]
    return arrow, "{}".format, read


def _parts(kind: str) -> tuple[str, list[str]]:
    """The name of a type and what stands in its brackets, at the outermost commas."""
    found = re.fullmatch(r"(\w+)(?:\((.*)\))?", kind)
    assert found, kind  # noqa: S101 - as the database spells types
    inner, depth = [""], 0
    for sign in found[2] or "":
        depth += {"(": 1, ")": -1}.get(sign, 0)
        if sign == "," and not depth:
            inner.append("")
        else:
            inner[-1] += sign
    return found[1], [part.strip() for part in inner]


# --- reading JSON


def _text(value: Any) -> Any:
    if not isinstance(value, str):
        raise NotAllowedError("text")
    return value


def _word(words: Sequence[str]) -> Read:
    def read(value: Any) -> Any:
        if value not in words:
            raise NotAllowedError(", ".join(word or "nothing" for word in words))
        return value

    return read


def _truth(value: Any) -> Any:
    if not isinstance(value, bool):
        raise NotAllowedError("true or false")
    return value


def _integer(least: int, most: int) -> Read:
    def read(value: Any) -> Any:
        number = int(value) if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,20}", value) else value
        if type(number) is not int or not least <= number <= most:
            raise NotAllowedError(f"a whole number from {least} to {most}")
        return number

    return read


def _received(value: Any) -> Any:
    return _integer(0, time.time_ns() + _AHEAD_NS)(value)


def _double(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise NotAllowedError("a number, or a number as text")
    try:
        return float(value)
    except ValueError:
        raise NotAllowedError("a number, or a number as text") from None


def _decimal(value: Any) -> Decimal:
    try:
        amount = Decimal(value) if isinstance(value, str) and len(value) < 2 * _PRECISION else None
    except InvalidOperation:
        amount = None
    if amount is None or not amount.is_finite() or not _fits(amount):
        raise NotAllowedError(
            f"a decimal number as text, of {_PRECISION - _SCALE} digits and {_SCALE} behind the point"
        )
    return amount


def _fits(amount: Decimal) -> bool:
    exponent = amount.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -_SCALE and amount.adjusted() < _PRECISION - _SCALE


def _bytes(size: int | None) -> Read:
    def read(value: Any) -> bytes:
        try:
            found = bytes.fromhex(value) if isinstance(value, str) else None
        except ValueError:
            found = None
        if found is None or (size is not None and len(found) != size):
            raise NotAllowedError("hexadecimal digits" if size is None else f"{2 * size} hexadecimal digits")
        return found

    return read


def _list_of(read: Read) -> Read:
    def read_list(value: Any) -> Any:
        if not isinstance(value, list):
            raise NotAllowedError("a list")
        return [read(item) for item in value]

    return read_list


def _map_of(read: Read) -> Read:
    def read_map(value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise NotAllowedError("an object")
        return [(key, read(item)) for key, item in value.items()]

    return read_map


_SCALARS: dict[str, tuple[pa.DataType, Read]] = {
    "String": (pa.string(), _text),
    "Bool": (pa.bool_(), _truth),
    "Int32": (pa.int32(), _integer(-(1 << 31), (1 << 31) - 1)),
    "UInt32": (pa.uint32(), _integer(0, (1 << 32) - 1)),
    "Int64": (pa.int64(), _integer(-(1 << 63), (1 << 63) - 1)),
    "UInt64": (pa.uint64(), _integer(0, (1 << 64) - 1)),
    "Float64": (pa.float64(), _double),
}
