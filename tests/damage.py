"""Damages valid requests so that they stay nearly valid: what random bytes never are."""

from __future__ import annotations

import struct
from collections.abc import Callable
from random import Random
from typing import NamedTuple

from otlp_requests import field, nested_arrays, varint

VARINT, FIXED64, BYTES, GROUP, END_GROUP, FIXED32 = 0, 1, 2, 3, 4, 5
_NUMBERS = [0, 1, 127, 128, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]
_TEXTS = [
    b"",
    b"\x00",
    b"\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xc3\xa9" * 9,
    b"x" * 300,
]


class Field(NamedTuple):
    """A field of a message; `content` as it stands on the wire, without the length of BYTES."""

    number: int
    kind: int
    content: bytes

    def encoded(self) -> bytes:
        size = varint(len(self.content)) if self.kind == BYTES else b""
        return varint(self.number << 3 | self.kind) + size + self.content


def damaged(chance: Random, body: bytes) -> bytes:
    """One to four changes: mostly to the tree of messages, whose lengths stay right, else to any bytes."""
    for _ in range(chance.choice([1, 1, 2, 4])):
        body = _tree(chance, body) if chance.random() < 0.8 else _bytes(chance, body)
    return body


def fields_of(message: bytes) -> list[Field] | None:
    """The fields of a message without groups; None where the bytes are no such message."""
    found, at = [], 0
    while at < len(message):
        tag, at = _varint_at(message, at)
        kind = tag & 7
        if at < 0 or not 0 < tag >> 3 < 1 << 29:
            return None
        start = at
        if kind == VARINT:
            _, at = _varint_at(message, at)
        elif kind in (FIXED64, FIXED32):
            at += 8 if kind == FIXED64 else 4
        elif kind == BYTES:
            size, start = _varint_at(message, at)
            at = start + size if start >= 0 else -1
        else:
            return None
        if not 0 <= at <= len(message):
            return None
        found.append(Field(tag >> 3, kind, message[start:at]))
    return found


def _varint_at(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 128:
            return value, at
    return 0, -1


def _tree(chance: Random, message: bytes, depth: int = 0) -> bytes:
    fields = fields_of(message)
    if not fields:
        return _bytes(chance, message) if chance.random() < 0.5 else _some_field(chance).encoded() + message
    at = chance.randrange(len(fields))
    one = fields[at]
    # Down to where the attributes are, as often as to the levels above them.
    if one.kind == BYTES and depth < 9 and chance.random() < 0.75:
        fields[at] = one._replace(content=_tree(chance, one.content, depth + 1))
    else:
        fields[at : at + 1] = chance.choice(_CHANGES)(chance, one)
        if chance.random() < 0.1:
            chance.shuffle(fields)
    return b"".join(one.encoded() for one in fields)


def _some_field(chance: Random) -> Field:
    kind = chance.choice([VARINT, FIXED64, BYTES, FIXED32])
    number = chance.choice([*range(1, 20), 1000, (1 << 29) - 1])
    return Field(number, kind, _some_content(chance, kind))


def _some_content(chance: Random, kind: int) -> bytes:
    number = chance.choice([*_NUMBERS, chance.getrandbits(64)])
    match kind:
        case 0:
            # Longer than it need be, too.
            return varint(number) if chance.random() < 0.8 else _long(chance, number)
        case 1:
            return struct.pack("<Q", number)
        case 5:
            return struct.pack("<I", number & 0xFFFF_FFFF)
    return chance.choice([*_TEXTS, chance.randbytes(chance.randrange(20))])


def _long(chance: Random, number: int) -> bytes:
    short = varint(number)
    more = chance.randrange(1, 11 - len(short)) if len(short) < 10 else 0
    return short if not more else short[:-1] + bytes([short[-1] | 0x80]) + b"\x80" * (more - 1) + b"\x00"


def _another_kind(chance: Random, one: Field) -> list[Field]:
    kind = chance.choice([VARINT, FIXED64, BYTES, FIXED32])
    return [Field(one.number, kind, _some_content(chance, kind))]


def _nested(chance: Random, one: Field) -> list[Field]:
    return [one._replace(kind=BYTES, content=nested_arrays(chance.choice([1, 5, 31, 32, 33, 60, 200])))]


def _wrapped(chance: Random, one: Field) -> list[Field]:
    content = one.content
    for _ in range(chance.randrange(1, 40)):
        content = field(chance.choice([1, 2, 5, 6]), content)
    return [one._replace(kind=BYTES, content=content)]


def _in_a_group(chance: Random, one: Field) -> list[Field]:
    number = chance.choice([one.number, 7, 99])
    return [Field(number, GROUP, one.encoded() + varint(number << 3 | END_GROUP))]


_CHANGES: list[Callable[[Random, Field], list[Field]]] = [
    lambda _, one: [],
    lambda chance, one: [one] * chance.randrange(2, 5),
    lambda chance, one: [one._replace(content=_some_content(chance, one.kind))],
    lambda chance, one: [one._replace(number=chance.randrange(1, 18))],
    lambda chance, one: [one, _some_field(chance)],
    lambda chance, one: [one, one._replace(content=_some_content(chance, one.kind))],
    _another_kind,
    _nested,
    _wrapped,
    _in_a_group,
]


def _bytes(chance: Random, body: bytes) -> bytes:
    at = chance.randrange(len(body) + 1)
    size = chance.choice([1, 1, 2, 8, 40])
    match chance.randrange(6):
        case 0:
            return body[:at]
        case 1:
            return body[:at] + body[at + size :]
        case 2:
            return body[:at] + chance.randbytes(size) + body[at:]
        case 3:
            return body[:at] + chance.randbytes(size) + body[at + size :]
        case 4:
            return body[:at] + body[at : at + size] * 2 + body[at + size :]
        case _:
            return body[:at] + varint(chance.choice(_NUMBERS)) + body[at:]
