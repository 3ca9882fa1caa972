"""Attributes whose members are read: random documents, whole or damaged, as text and as maps."""

from __future__ import annotations

import json
from collections import defaultdict
from random import Random
from typing import Any

from google.protobuf.message import Message
from otlp_requests import key_values

from spanledger.schemas.dialects import FIELDS, UNIT_FIELDS

# By attribute the paths of the members that are asked for.
PATHS: dict[str, list[list[str]]] = defaultdict(list)
for _field in (*FIELDS, *UNIT_FIELDS):
    for _key in _field.keys:
        if "#" in _key:
            PATHS[_key.partition("#")[0]].append(_key.partition("#")[2].split("."))
_LISTS = [key for field in FIELDS if field.kind in ("texts", "list") for key in field.keys if "#" not in key]
_TIMES = [key for field in FIELDS if field.column == "first_chunk_at" for key in field.keys]
_LEAVES: list[Any] = [
    None,
    True,
    0,
    7,
    -1,
    1.5,
    1e300,
    10**25,
    "",
    "7",
    "gpt-4o",
    "a\"b\\c'd\n\x00",
    "é€\U0001f600",
    "[",
    "}",
]
_PIECES = [
    *"{}[]()\"'\\,:= \x00",
    "\\u",
    "\\ud83d",
    "\\ude00",
    "\\u12",
    "null",
    "None",
    "[" * 50,
    '{"usage":' * 20,
]


def add_documents(chance: Random, request: Message) -> None:
    """Give the spans or log records of a request attributes of this kind, beside those that they have."""
    for holder in _holders(request):
        for _ in range(chance.choice([0, 1, 1, 2, 4])):
            key, value = an_attribute(chance)
            holder.attributes.extend(key_values({key: value}))


def _holders(request: Any) -> list[Any]:
    name, inner, items = (
        ("resource_spans", "scope_spans", "spans")
        if hasattr(request, "resource_spans")
        else ("resource_logs", "scope_logs", "log_records")
    )
    return [
        item
        for above in getattr(request, name)
        for beside in getattr(above, inner)
        for item in getattr(beside, items)
    ]


def an_attribute(chance: Random) -> tuple[str, Any]:
    match chance.randrange(10):
        case 0:
            items = [chance.choice(_LEAVES) for _ in range(chance.randrange(4))]
            return chance.choice(_LISTS), spoiled(chance, json.dumps(items))
        case 1:
            return chance.choice(_TIMES), spoiled(chance, '"2026-10-09T08:53:20.25+00:00"')
    key = chance.choice(list(PATHS))
    made = a_document(chance, PATHS[key])
    match chance.randrange(4):
        case 0:
            return key, _with_small_numbers(made)
        case 1:
            return key, spoiled(chance, repr(made))
        case 2:
            return key, json.dumps(made, indent=chance.choice([None, 1]), ensure_ascii=chance.random() < 0.5)
    return key, spoiled(chance, json.dumps(made))


def a_document(chance: Random, paths: list[list[str]]) -> Any:
    """Some of the members, among others that nobody asks for."""
    made: Any = {}
    for path in chance.sample(paths, min(len(paths), chance.randrange(1, 6))):
        made = _put(chance, made, path)
    return made


def _put(chance: Random, into: Any, path: list[str]) -> Any:
    if not path:
        return chance.choice(_LEAVES)
    first, *rest = path
    if first == "[]":
        items = into if isinstance(into, list) else []
        others = [chance.choice(_LEAVES) for _ in range(chance.randrange(2))]
        return [*items, *others, _put(chance, None, rest)]
    members = into if isinstance(into, dict) else {}
    if chance.random() < 0.3:
        members[chance.choice(["", "x", first[:-1], first.upper()])] = chance.choice([*_LEAVES, {first: [1]}])
    return members | {first: _put(chance, members.get(first), rest)}


def _with_small_numbers(value: Any) -> Any:
    """A value that OTLP has: its integers have 64 bits."""
    if isinstance(value, dict):
        return {key: _with_small_numbers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_small_numbers(inner) for inner in value]
    return min(value, 2**63 - 1) if type(value) is int else value


def spoiled(chance: Random, text: str) -> str:
    """Up to three changes that make it no JSON, mostly."""
    for _ in range(chance.choice([0, 1, 1, 2, 3])):
        at = chance.randrange(len(text) + 1)
        behind = at + chance.choice([1, 1, 2, 10])
        match chance.randrange(5):
            case 0:
                text = text[:at]
            case 1:
                text = text[:at] + text[behind:]
            case 2:
                text = text[:at] + text[at:behind] * 2 + text[behind:]
            case _:
                text = text[:at] + chance.choice(_PIECES) + text[at:]
    return text
