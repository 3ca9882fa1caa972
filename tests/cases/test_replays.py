"""Cases 27 to 29: the same again, the same id anew, and trees of any shape."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor

import pytest
from otlp_requests import SECOND, llm_span, request, span
from transports import encode, open_transports

from spanledger.query_api.trees.tree import read_tree

START = 1_790_000_000 * SECOND


def summary(tree) -> tuple:
    return tree["span_count"], tree["llm_call_count"], tree["input_tokens"], tree["cost_usd"]


# --- 27 and 28: replays


def test_case_27_the_same_request_again_changes_no_answer(world, way):
    service = f"replayed-{secrets.token_hex(4)}"
    sent = llm_span()
    body = encode(request(sent, resource={"service.name": service}), way.encoding)
    answers = []
    for _ in range(3):
        assert way.send_body(body) == ("OK", "", 0, ())
        answers.append((world.tree(sent.trace_id), world.listed(service=service)))
    assert answers[0] == answers[1] == answers[2]
    tree, listed = answers[0]
    assert summary(tree) == (1, 1, 1000, "0.00021")
    assert [summary(trace) for trace in listed] == [(1, 1, 1000, "0.00021")]


def test_case_27_the_same_request_on_all_ways_at_once_is_one_span_with_one_cost(world):
    sent = request(llm_span())
    trace_id = sent.resource_spans[0].scope_spans[0].spans[0].trace_id

    def send(name: str) -> str:
        with open_transports(world.ledger) as ways:
            return ways[name].send(sent).code

    with ThreadPoolExecutor(12) as pool:
        assert set(pool.map(send, list(world.ways) * 8)) == {"OK"}
    assert summary(world.tree(trace_id)) == (1, 1, 1000, "0.00021")


def test_case_28_the_same_id_with_another_start_is_another_span(world, way):
    first = span(name="first", start_time_unix_nano=START)
    again = span(first.trace_id, name="again", span_id=first.span_id, start_time_unix_nano=START + 1)
    for sent in (first, again):
        assert way.send(request(sent)).code == "OK"
    assert world.names(first.trace_id) == ["again", "first"]


# --- 29: trees


def chain(trace_id: bytes, parents: dict[int, int | None]) -> list:
    """Spans by number, each named by it, with the parent that it names; None: a root."""
    return [
        span(
            trace_id,
            name=f"{number:05}",
            span_id=number.to_bytes(8, "big"),
            parent_span_id=b"" if parent is None else parent.to_bytes(8, "big"),
            start_time_unix_nano=START + number,
        )
        for number, parent in parents.items()
    ]


SHAPES = {
    "child before parent": ({2: 1, 3: 2, 1: None}, [1]),
    "orphan": ({1: None, 2: 99, 3: 2}, [1, 2]),
    "self-parent": ({1: None, 2: 2}, [1, 2]),
    "cycle of two": ({1: None, 2: 3, 3: 2, 4: 3}, [1, 2]),
    "two roots": ({1: None, 2: None, 3: 1, 4: 2}, [1, 2]),
    "nothing but a cycle": ({1: 3, 2: 1, 3: 2}, [1]),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_case_29_a_tree_holds_every_span_once_whatever_the_parents_are(world, way, shape):
    parents, roots = SHAPES[shape]
    trace_id = secrets.token_bytes(16)
    for sent in chain(trace_id, parents):  # one by one, in this order
        assert way.send(request(sent)) == ("OK", "", 0, ())
    tree = world.tree(trace_id)
    assert [root["name"] for root in tree["roots"]] == [f"{root:05}" for root in roots]
    assert world.names(trace_id) == [f"{number:05}" for number in sorted(parents)]
    orphans = {node["name"]: node["missing_parent_id"] for node in world.nodes(trace_id) if node["orphan"]}
    assert orphans == ({"00002": (99).to_bytes(8, "big").hex()} if shape == "orphan" else {})


@pytest.mark.slow
def test_case_29_a_trace_of_10008_spans_is_whole(world, way):
    trace_id = secrets.token_bytes(16)
    parents = {number: number // 8 or None for number in range(1, 10_009)}
    assert way.send(request(*chain(trace_id, parents))) == ("OK", "", 0, ())
    assert world.names(trace_id) == [f"{number:05}" for number in parents]
    assert world.tree(trace_id)["span_count"] == 10_008


@pytest.mark.slow
def test_case_29_a_chain_of_5000_spans_is_whole(world, way):
    trace_id = secrets.token_bytes(16)
    parents = {number: number - 1 or None for number in range(1, 5001)}
    assert way.send(request(*reversed(chain(trace_id, parents)))) == ("OK", "", 0, ())
    tree = read_tree(world.api.get(f"/api/v1/traces/{trace_id.hex()}").content)
    depth, nodes = 0, tree["roots"]
    while nodes:
        (node,) = nodes
        depth += 1
        assert node["name"] == f"{depth:05}"
        nodes = node["children"]
    assert depth == 5000
