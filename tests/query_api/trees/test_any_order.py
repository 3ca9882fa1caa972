"""The same spans give the same answers, whatever order, batches and repetitions they arrive in.

READERS are what must not depend on arrival: another one is a line more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from otlp_requests import SECOND, key_values, request

from spanledger.collector.gate import check
from spanledger.collector.rows.block import Request
from spanledger.query_api.search.traces import Search, list_traces
from spanledger.query_api.stats.parameters import StatsRequest
from spanledger.query_api.stats.stats import stats_json
from spanledger.query_api.trees.spans import trace_json
from spanledger.query_api.trees.tree import encode, read_tree, walk

T0 = 1_760_000_000 * SECOND
TRACE_ID = b"t" * 16
_IDS = [bytes([n] * 8) for n in range(1, 7)]
_MISSING = [b"\xee" * 8, b"\xef" * 8]


class Copy(NamedTuple):
    """A span as it arrived: what it holds, and when it was received."""

    span: Span
    received_at_ns: int


def _tree(client: Client, project: str) -> bytes:
    return b"".join(trace_json(client, project, TRACE_ID.hex()))


def _list_row(client: Client, project: str) -> bytes:
    [row], _ = list_traces(client, project, Search(), limit=2)
    return encode(row)


def _stats(client: Client, project: str) -> bytes:
    asked = StatsRequest(of="spans", group_by=["model", "user", "status"], bucket="minute").asked()
    return stats_json(client, project, asked)


READERS: dict[str, Callable[[Client, str], bytes]] = {
    "tree": _tree,
    "list row": _list_row,
    "stats": _stats,
}

_attributes = st.fixed_dictionaries(
    {},
    optional={
        "gen_ai.operation.name": st.sampled_from(["chat", "embeddings", "execute_tool"]),
        "gen_ai.request.model": st.sampled_from(["gpt-4o-mini", "gpt-4o", "nothing-known"]),
        "gen_ai.provider.name": st.just("openai"),
        "gen_ai.usage.input_tokens": st.integers(0, 5000),
        "gen_ai.usage.output_tokens": st.integers(0, 5000),
        "gen_ai.input.messages": st.sampled_from(['[{"role":"user","content":"Hi"}]', "Hello", "[1]"]),
        "user.id": st.sampled_from(["u-1", "u-2"]),
        "session.id": st.sampled_from(["c-1", "c-2"]),
    },
)
_spans = st.builds(
    lambda span_id, parent, start, length, name, status, attributes: Span(
        trace_id=TRACE_ID,
        span_id=span_id,
        parent_span_id=parent,
        start_time_unix_nano=T0 + start,
        end_time_unix_nano=T0 + start + length,
        name=name,
        status={"code": status},
        attributes=key_values(attributes),
    ),
    st.sampled_from(_IDS),
    st.sampled_from([b"", *_IDS, *_MISSING]),  # cycles, self-parents, missing parents, several roots
    st.integers(0, 3),
    st.integers(-2, 5),
    st.sampled_from(["a", "b", "é"]),
    st.sampled_from([0, 1, 2]),
    _attributes,
)


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[list[Copy], list[list[Copy]], list[list[Copy]]]:
    """Copies of spans, and two ways in which they arrive: in batches, in any order, some of them again.

    Copies of one span may differ; no two that do are received at the same time.
    """
    spans = draw(st.lists(_spans, min_size=1, max_size=9))
    copies = [Copy(span, n) for n, span in enumerate(spans, 1)]
    return copies, draw(_batches(copies)), draw(_batches(copies))


@st.composite
def _batches(draw: st.DrawFn, copies: Sequence[Copy]) -> list[list[Copy]]:
    again = draw(st.lists(st.sampled_from(copies), max_size=4))
    order = draw(st.permutations([*copies, *again]))
    cuts = sorted(draw(st.sets(st.integers(1, len(order)), max_size=3)))
    return [order[a:b] for a, b in zip([0, *cuts], [*cuts, len(order)], strict=True) if a < b]


@pytest.fixture
def answers(store, reader):
    """Store batches in a project of their own; what each of the READERS answers."""

    def answers(batches: Sequence[Sequence[Copy]]) -> dict[str, bytes]:
        project = f"order-{uuid4().hex}"
        for batch in batches:
            store.insert([_request(copy, project) for copy in batch])
        return {name: read(reader, project) for name, read in READERS.items()}

    return answers


def _request(copy: Copy, project: str) -> Request:
    body = request(copy.span).SerializeToString()
    return Request(body, project, copy.received_at_ns, check(body, 32).spans)


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(arrivals())
def test_any_spans_in_any_order_batches_and_repetitions_give_byte_identical_answers(answers, arrival):
    copies, one_way, other_way = arrival
    assert answers(one_way) == answers(other_way)
    found = read_tree(answers(other_way)["tree"])
    nodes = [node for _, node in walk(found["roots"]) if not node["placeholder"]]
    # Of the copies of a span the one that was received last, once.
    newest = {(copy.span.span_id, copy.span.start_time_unix_nano): copy.span for copy in copies}
    assert sorted((node["span_id"], node["name"], node["start_time"][-10:]) for node in nodes) == sorted(
        (span_id.hex(), one.name, f"{start - T0:09}Z") for (span_id, start), one in newest.items()
    )


def test_of_copies_received_at_one_time_the_same_counts_in_any_order(store, reader):
    """Copies in one request, which differ in what they say, or only in their resource or scope."""
    chance = Random(3)
    one = Span(trace_id=TRACE_ID, span_id=b"1" * 8, start_time_unix_nano=T0, name="work")
    said = [request(one, resource={"service.name": name}, scope=scope) for name in "ab" for scope in "xy"]
    for name in ("more", "Work", "é"):
        one.name = name
        said.append(request(one, resource={"service.name": "a"}))
    found = set()
    for _ in range(12):
        chance.shuffle(said)
        together = request()
        for each in said:
            together.MergeFrom(each)
        project = f"order-{uuid4().hex}"
        body = together.SerializeToString()
        store.insert([Request(body, project, 7, check(body, 32).spans)])
        found.add(tuple(read(reader, project) for read in READERS.values()))
    assert len(found) == 1
    [row] = reader.query(
        "SELECT toUnixTimestamp64Nano(received_at) FROM spans FINAL WHERE project = {project:String}",
        parameters={"project": project},
    ).result_rows
    assert row == (7,)


@pytest.mark.slow
@pytest.mark.parametrize(("count", "deep"), [(10_000, False), (5_000, True)])
def test_large_traces_do_not_depend_on_arrival_either(store, reader, count, deep):
    chance = Random(count)
    spans: list[Any] = []
    for n in range(count):
        parent = n if deep else chance.randrange(-1, count + 3)
        spans.append(
            Span(
                trace_id=TRACE_ID,
                span_id=(n + 1).to_bytes(8),
                parent_span_id=max(parent, 0).to_bytes(8) if n else b"",
                start_time_unix_nano=T0 + chance.randrange(1000),
                name=str(n),
                attributes=key_values({"user.id": f"u-{n}"} if chance.random() < 0.01 else {}),
            )
        )
    found = []
    for _ in range(2):
        project = f"order-{uuid4().hex}"
        chance.shuffle(spans)
        arriving = spans + chance.sample(spans, 500)
        for first in range(0, len(arriving), 4_000):
            body = request(*arriving[first : first + 4_000]).SerializeToString()
            store.insert([Request(body, project, 1 + first, check(body, 32).spans)])
        found.append({name: read(reader, project) for name, read in READERS.items()})
    assert found[0] == found[1]
    depths = [depth for depth, node in walk(read_tree(found[0]["tree"])["roots"]) if not node["placeholder"]]
    assert len(depths) == count
    if deep:
        assert max(depths) == count - 1
