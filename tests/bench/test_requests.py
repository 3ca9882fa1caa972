"""The load: deterministic, as large and as nested as asked for, and no span in it twice."""

from __future__ import annotations

import json
from collections import Counter
from itertools import chain

import numpy as np
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench.ids import Ids
from bench.requests import Requests
from bench.workload import Workload
from spanledger.collector.gate import check
from spanledger.schemas.dialects import CONTENT_KEYS

# One cycle of texts: 16 requests of 64 spans.
SMALL = {"spans": 1024, "spans_per_request": 64, "distinct": 1024}


def spans(body: bytes) -> list:
    request = ExportTraceServiceRequest.FromString(body)
    return [
        span
        for resource_spans in request.resource_spans
        for scope_spans in resource_spans.scope_spans
        for span in scope_spans.spans
    ]


def all_spans(**numbers) -> list:
    return list(chain.from_iterable(spans(body) for body in Requests(Workload(**SMALL | numbers))))


def attributes(span) -> dict:
    return {item.key: item.value for item in span.attributes}


def test_the_same_seed_makes_the_same_bytes():
    first, second = Requests(Workload(**SMALL)), Requests(Workload(**SMALL))
    assert list(first) == list(second)
    assert first[5] == second[5]
    assert Requests(Workload(**SMALL, seed=2))[0] != first[0]


def test_no_span_comes_twice_though_texts_do():
    """Four cycles: texts come again, ids and times do not."""
    many = all_spans(spans=4096)
    assert len({(span.trace_id, span.span_id) for span in many}) == 4096
    assert len({span.span_id for span in many}) == 4096
    assert len({(span.start_time_unix_nano, span.end_time_unix_nano) for span in many}) == 4096
    texts = [text(span) for span in many]
    assert texts[:1024] == texts[1024:2048]


def text(span) -> str:
    return "".join(value.string_value for key, value in attributes(span).items() if key in CONTENT_KEYS)


def test_texts_differ_between_the_spans_of_a_cycle():
    assert len({text(span) for span in all_spans()}) == 1024


@pytest.mark.parametrize("spans_per_request", [1, 24, 512])
def test_ids_can_be_computed_again(spans_per_request):
    sent = Requests(Workload(spans=3072, spans_per_request=spans_per_request, distinct=512))
    many = list(chain.from_iterable(spans(body) for body in sent))
    counters = np.arange(len(many), dtype=np.uint64)
    assert b"".join(span.span_id for span in many) == Ids(1).spans(counters).tobytes()
    assert b"".join(span.trace_id for span in many) == Ids(1).traces(counters).tobytes()


@pytest.mark.parametrize("spans_per_request", [1, 24, 512])
def test_a_trace_is_an_agent_with_its_calls(spans_per_request):
    many = all_spans(spans=3072, spans_per_request=spans_per_request)
    for first in range(0, len(many), 8):
        root, *others = trace = many[first : first + 8]
        assert len({span.trace_id for span in trace}) == 1
        assert root.parent_span_id == b""
        earlier = {root.span_id}
        for span in others:
            assert span.parent_span_id in earlier
            assert root.start_time_unix_nano < span.start_time_unix_nano < span.end_time_unix_nano
            assert span.end_time_unix_nano <= root.end_time_unix_nano
            earlier.add(span.span_id)
        operations = Counter(attributes(span)["gen_ai.operation.name"].string_value for span in trace)
        assert operations == {"invoke_agent": 1, "chat": 5, "execute_tool": 1, "retrieval": 1}


def test_traces_have_several_shapes():
    many = all_spans()
    shapes = {tuple(many[first + n].name.split()[0] for n in range(8)) for first in range(0, len(many), 8)}
    assert len(shapes) > 1


@pytest.mark.parametrize("span_bytes", [1300, 1400, 4000])
def test_spans_are_as_large_as_asked_for_and_vary(span_bytes):
    requests = Requests(Workload(**SMALL | {"spans": 4096, "distinct": 4096}, span_bytes=span_bytes))
    mean = sum(map(len, requests)) / 4096
    assert mean == pytest.approx(span_bytes, rel=0.03)
    sizes = [span.ByteSize() for body in requests for span in spans(body)]
    assert max(sizes) > 1.2 * mean
    assert min(sizes) < 0.9 * mean


@pytest.mark.parametrize("count", [8, 20, 33])
def test_every_span_has_as_many_attributes_as_asked_for(count):
    many = all_spans(attributes=count, span_bytes=2000, errors=0.1, nested=0.1)
    assert {len({item.key for item in span.attributes}) for span in many} == {count}


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
def test_the_share_of_errors_is_the_one_asked_for(share):
    many = all_spans(errors=share)
    failed = [span for span in many if span.status.code == 2]
    assert len(failed) == round(1024 * share)
    assert all(attributes(span)["error.type"].string_value and span.status.message for span in failed)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
def test_the_share_of_nested_spans_is_the_one_asked_for(share):
    nested = [span for span in all_spans(nested=share) if any(map(is_nested, span.attributes))]
    assert len(nested) == round(1024 * share)


def is_nested(item) -> bool:
    value = item.value
    return value.HasField("kvlist_value") or any(
        inner.HasField("array_value") for inner in value.array_value.values
    )


def test_maps_and_arrays_of_arrays_both_occur():
    keys = Counter(item.key for span in all_spans(nested=0.1) for item in span.attributes if is_nested(item))
    assert set(keys) == {"app.options", "app.scores"}


@pytest.mark.parametrize("nested", [0.0, 0.1])
def test_the_gate_lets_all_spans_through(nested):
    for body in Requests(Workload(**SMALL, nested=nested)):
        assert check(body, depth=2) == (64, Counter())


def test_json_carries_the_same_spans():
    numbers = SMALL | {"spans": 2048, "nested": 0.1, "errors": 0.1}
    for binary, in_json in zip(
        Requests(Workload(**numbers)), Requests(Workload(**numbers, encoding="json")), strict=True
    ):
        (resource_spans,) = json.loads(in_json)["resourceSpans"]
        (scope_spans,) = resource_spans["scopeSpans"]
        for span, its in zip(spans(binary), scope_spans["spans"], strict=True):
            assert its["traceId"] == span.trace_id.hex()
            assert its["spanId"] == span.span_id.hex()
            assert its.get("parentSpanId", "") == span.parent_span_id.hex()
            assert its["startTimeUnixNano"] == str(span.start_time_unix_nano)
            assert its["endTimeUnixNano"] == str(span.end_time_unix_nano)
            assert (its["name"], its["kind"]) == (span.name, span.kind)
            assert its.get("status", {}).get("code", 0) == span.status.code
            assert [item["key"] for item in its["attributes"]] == [item.key for item in span.attributes]


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"spans": 0}, "spans is 0"),
        ({"spans_per_request": 0}, "spans_per_request is 0"),
        ({"attributes": 3}, "attributes is 3; a GenAI span has at least 8"),
        ({"nested": 1.5}, "nested is 1.5; it is a share"),
        ({"errors": -0.1}, "errors is -0.1"),
        ({"span_bytes": 500}, "span_bytes is 500; 20 attributes need at least"),
    ],
)
def test_impossible_numbers_are_refused_by_name(numbers, message):
    with pytest.raises(ValueError, match=message):
        Requests(Workload(**SMALL | numbers))
