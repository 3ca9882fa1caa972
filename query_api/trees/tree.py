"""Trees: the spans of a trace, each exactly once, in a shape that only the spans decide.

* A span hangs below the span that its parent id names. Where several spans have that id (they differ in
  their start), it is the earliest of them.
* A span whose parent is not stored is marked `orphan`. It is a root; several that name the same parent stand
  below one placeholder for it, which is a root and no span.
* Of the spans of a cycle the earliest is a root, marked `cycle`; a span that is its own parent likewise.
* Roots and children stand by start, then span id; a placeholder stands where its first child would.

Nothing here recurses: a trace may be deeper than any stack.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import orjson

Node = dict[str, Any]
Text = bytes | memoryview  # JSON, or a part of it

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]]|[^\s{}\[\],:"]+')
_OPENED: dict[str, Callable[[], Any]] = {"{": dict, "[": list}
_encode_slowly = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


class Span(NamedTuple):
    """A span as the tree sees it. `fields` is what the caller knows of it."""

    start_ns: int
    span_id: str
    parent_id: str | None
    fields: Any


def build_tree(spans: Iterable[Span]) -> list[Node]:
    """The roots of the trace: nodes with the `span` (None: a placeholder) and the marks of the tree."""
    ordered = sorted(spans, key=lambda span: (span.start_ns, span.span_id))
    earliest: dict[str, int] = {}
    for number, span in enumerate(ordered):
        earliest.setdefault(span.span_id, number)
    parents = [None if span.parent_id is None else earliest.get(span.parent_id) for span in ordered]
    broken = _cut_cycles(parents)
    nodes = [_node(span, parents[n], cycle=n in broken) for n, span in enumerate(ordered)]
    roots: list[Node] = []
    for node, parent in zip(nodes, parents, strict=True):
        (roots if parent is None else nodes[parent]["children"]).append(node)
    return _grouped(roots)


def _grouped(roots: list[Node]) -> list[Node]:
    """Orphans that name the same parent, below one placeholder."""
    siblings: dict[str, list[Node]] = {}
    for root in roots:
        if root["orphan"]:
            siblings.setdefault(root["missing_parent_id"], []).append(root)
    found: list[Node] = []
    for root in roots:
        group = siblings.get(root["missing_parent_id"], [root])
        if len(group) == 1:
            found.append(root)
        elif root is group[0]:
            found.append(
                {"placeholder": True, "span_id": root["missing_parent_id"], "span": None, "children": group}
            )
    return found


def _cut_cycles(parents: list[int | None]) -> set[int]:
    """Take the parent from the first span of every cycle; return those spans."""
    broken: set[int] = set()
    walk_of: dict[int, int] = {}
    for first in range(len(parents)):
        place: int | None = first
        path = []
        while place is not None and place not in walk_of:
            walk_of[place] = first
            path.append(place)
            place = parents[place]
        if place is not None and walk_of[place] == first:
            # The walk came back to itself: what follows `place` in the path is the cycle.
            cut = min(path[path.index(place) :])
            parents[cut] = None
            broken.add(cut)
    return broken


def _node(span: Span, parent: int | None, *, cycle: bool) -> Node:
    orphan = span.parent_id is not None and parent is None and not cycle
    return {
        "placeholder": False,
        "span_id": span.span_id,
        "span": span,
        "orphan": orphan,
        "missing_parent_id": span.parent_id if orphan else None,
        "cycle": cycle,
        "children": [],
    }


def walk(roots: Iterable[Node]) -> Iterator[tuple[int, Node]]:
    """Every node with its depth, parents before children, in the order of the tree; placeholders, too."""
    todo = [(0, root) for root in reversed(list(roots))]
    while todo:
        depth, node = todo.pop()
        yield depth, node
        if node["children"]:
            todo.extend((depth + 1, child) for child in reversed(node["children"]))


def node_text(node: Node) -> bytes:
    """The node of a span without its children."""
    marks = {name: node[name] for name in ("orphan", "missing_parent_id", "cycle")}
    return encode({"placeholder": False, **node["span"].fields, **marks, "children": []})


def tree_text(
    summary: Mapping[str, Any], roots: Iterable[Node], text_of: Callable[[Node], Text] = node_text
) -> list[Text]:
    """The answer as JSON, in parts: the summary's fields, then `roots`. Trees of any depth.

    text_of: the node of a span as JSON, its last member `children` with nothing in it.
    """
    head = encode(summary)
    out: list[Text] = [head[:-1], b"," if len(head) > 2 else b"", b'"roots":[']
    open_at, just_opened = -1, True  # depth of the node whose children are being written
    for depth, node in walk(roots):
        if not just_opened:
            out.append(b"]}" * (open_at - depth + 1) + b",")
        text = _placeholder_text(node) if node["span"] is None else text_of(node)
        just_opened = bool(node["children"])
        open_at = depth if just_opened else depth - 1
        out.append(text[:-2] if just_opened else text)
    out.append(b"]}" * (open_at + 2))
    return out


def _placeholder_text(node: Node) -> bytes:
    return encode({"placeholder": True, "span_id": node["span_id"], "children": []})


def encode(value: Any) -> bytes:
    """A value as JSON in UTF-8, whatever JSON text it was read from."""
    try:
        return orjson.dumps(value)
    except TypeError:
        # Integers beyond 64 bits, halves of surrogate pairs, and more levels than it takes.
        return _encode_slowly(value).encode()


def read_tree(text: str | bytes) -> dict[str, Any]:
    """The answer that `tree_text` wrote, however deep: Python's own reader gives up at some depth."""
    try:
        answer: dict[str, Any] = json.loads(text)
    except RecursionError:
        answer = _read(text if isinstance(text, str) else text.decode())
    return answer


def _read(text: str) -> Any:
    """Valid JSON without recursion. (What is not valid never gets here: it has failed before it was deep.)"""
    top: list[Any] = []
    open_ones: list[Any] = [top]
    keys: list[str | None] = [None]
    for found in _TOKEN.finditer(text):
        word = found.group()
        if word in ("}", "]"):
            open_ones.pop()
            keys.pop()
            continue
        holder = open_ones[-1]
        value = _OPENED[word]() if word in _OPENED else json.loads(word)
        if isinstance(holder, list):
            holder.append(value)
        elif keys[-1] is None:
            keys[-1] = value
            continue
        else:
            holder[keys[-1]] = value
            keys[-1] = None
        if word in _OPENED:
            open_ones.append(value)
            keys.append(None)
    return top[0]
