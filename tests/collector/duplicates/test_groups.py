"""collector.duplicates.groups: which records are of one call, whatever order they come in."""

from __future__ import annotations

from itertools import permutations
from random import Random

import pytest

from spanledger.collector.duplicates.groups import Decision, Record, decide

MS = 1_000_000
TRACE, OTHER_TRACE = b"t" * 16, b"u" * 16


def record(span: str, start: int = 0, end: int = 100, **given) -> Record:
    """A call of gpt-4o by one process, its times in milliseconds."""
    defaults = {
        "trace_id": TRACE,
        "parent_id": bytes(8),
        "role": "LLM",
        "scope": "one",
        "instance": "app 1",
        "response_id": "",
        "models": frozenset({"gpt-4o"}),
        "prompt": 1,
        "input_tokens": 120,
        "output_tokens": 30,
        "details": 0,
        "priced": True,
        "failed": False,
        "opened_ns": None,
    }
    if "opened_ns" in given:
        given["opened_ns"] *= MS
    if "parent" in given:
        given["parent_id"] = span_id(given.pop("parent"))
    return Record(
        span_id=span_id(span), start_ns=(1000 + start) * MS, end_ns=(1000 + end) * MS, **(defaults | given)
    )


def span_id(name: str) -> bytes:
    return name.encode().ljust(8, b".")


def counted(records, parents=None) -> dict[str, str]:
    """For every record, by its name: `counts`, `sum`, or the name of the one that counts in its place."""
    made = None
    some = (
        list(permutations(records))
        if len(records) < 6
        else [Random(n).sample(records, len(records)) for n in range(50)]
    )
    for order in some:
        decisions = decide(order, parents or {})
        shown = {key[1].rstrip(b".").decode(): _shown(decision) for key, decision in decisions.items()}
        assert made is None or shown == made
        made = shown
    return made


def _shown(decision: Decision) -> str:
    if decision.counts:
        return "counts"
    return "sum" if decision.duplicate_of is None else decision.duplicate_of[1].rstrip(b".").decode()


def test_a_call_that_is_recorded_once_counts():
    assert counted(
        [record("a"), record("b", 200, 300), record("c", 0, 100, scope="two", models=frozenset({"x"}))]
    ) == {
        "a": "counts",
        "b": "counts",
        "c": "counts",
    }


@pytest.mark.parametrize("trace", [TRACE, OTHER_TRACE])
def test_two_records_with_one_response_id_are_one_call_in_one_trace_or_two(trace):
    outer = record("outer", 0, 110, response_id="r1", scope="langchain", trace_id=trace)
    inner = record("inner", 5, 100, response_id="r1", details=2)
    assert counted([outer, inner]) == {"outer": "inner", "inner": "counts"}


def test_one_response_id_at_two_times_is_two_calls():
    """A cache that gives a stored answer again."""
    records = [record("a", response_id="r1"), record("b", 5_000, 5_100, response_id="r1")]
    assert counted(records) == {"a": "counts", "b": "counts"}


def test_one_response_id_with_different_usage_is_two_calls():
    records = [record("a", response_id="r1"), record("b", response_id="r1", input_tokens=7)]
    assert counted(records) == {"a": "counts", "b": "counts"}


def test_the_record_that_knows_what_was_used_counts():
    request = record(
        "a", response_id="r1", input_tokens=None, output_tokens=None, priced=False, user_id="u", details=3
    )
    assert counted([request, record("b", response_id="r1", scope="two")]) == {"a": "b", "b": "counts"}


def test_without_a_response_id_the_time_the_model_and_the_usage_tell():
    outer = record(
        "outer", 0, 120, scope="langchain", trace_id=OTHER_TRACE, models=frozenset({"gpt-4o", "gpt-4o-2024"})
    )
    inner = record("inner", 10, 110, response_id="r1", models=frozenset({"gpt-4o"}))
    assert counted([outer, inner]) == {"outer": "inner", "inner": "counts"}


@pytest.mark.parametrize(
    "change",
    [
        {"instance": "app 2"},
        {"scope": "langchain"},
        {"models": frozenset({"claude"})},
        {"input_tokens": 121},
        {"output_tokens": None},
        {"role": "EMBEDDING"},
        {"start": -200, "end": 20},
        {"response_id": "r2"},
    ],
)
def test_what_differs_in_any_of_these_is_another_call(change):
    outer = record("outer", 0, 120, scope="langchain", trace_id=OTHER_TRACE)
    inner = {"start": 10, "end": 110, "response_id": "r1", "scope": "openai"} | change
    if change.get("response_id"):
        outer = outer._replace(response_id="r1")
    assert set(counted([outer, record("inner", **inner)]).values()) == {"counts"}


def test_equal_calls_side_by_side_are_paired_one_to_one():
    """Four calls with one prompt at once, each seen by two instrumentations: four calls."""
    records = []
    for n in range(4):
        records.append(record(f"o{n}", n, 200 + n, scope="langchain", trace_id=bytes([n + 1] * 16)))
        records.append(record(f"i{n}", n + 1, 199 + n, scope="openai", response_id=f"r{n}"))
    assert counted(records) == {f"o{n}": f"i{n}" for n in range(4)} | {f"i{n}": "counts" for n in range(4)}


def test_a_failed_call_that_two_saw_is_one_call():
    failed = {"input_tokens": None, "output_tokens": None, "failed": True, "priced": False}
    records = [
        record("outer", 0, 120, scope="langchain", **failed),
        record("inner", 10, 110, user_id="u", **failed),
    ]
    assert counted(records) == {"outer": "inner", "inner": "counts"}


def test_a_call_within_a_call_is_the_same_one():
    records = [
        record("outer", 0, 300, scope="wrapper"),
        record("inner", 10, 200, scope="openai", parent="outer", response_id="r1", input_tokens=119),
    ]
    assert counted(records) == {"outer": "inner", "inner": "counts"}


def test_three_levels_of_one_call_count_once():
    records = [
        record("a", 0, 300, scope="langchain", response_id="r1"),
        record("b", 10, 200, scope="official", parent="a", response_id="r1", details=1),
        record("c", 20, 190, scope="native", parent="b", response_id="r1", details=4),
    ]
    assert counted(records) == {"a": "c", "b": "c", "c": "counts"}


def test_what_stands_between_two_records_of_a_call_does_not_matter_unless_it_does_something_else():
    records = [
        record("outer", 0, 300, scope="x"),
        record("inner", 10, 200, scope="y", parent="http", output_tokens=9),
    ]
    http = {(TRACE, span_id("http")): (span_id("outer"), "OTHER")}
    assert counted(records, http) == {"outer": "inner", "inner": "counts"}
    tool = {(TRACE, span_id("http")): (span_id("outer"), "TOOL")}
    assert counted(records, tool) == {"outer": "counts", "inner": "counts"}


def test_a_record_above_several_calls_is_their_sum():
    records = [
        record("outer", 0, 500, scope="framework", input_tokens=240, output_tokens=60),
        record("first", 10, 200, parent="outer", response_id="r1"),
        record("second", 210, 400, parent="outer", response_id="r2"),
    ]
    assert counted(records) == {"outer": "sum", "first": "counts", "second": "counts"}


def test_a_record_above_one_call_that_two_saw_is_that_call():
    records = [
        record("outer", 0, 500, scope="framework"),
        record("first", 10, 200, parent="outer", scope="official", response_id="r1", details=2),
        record("second", 20, 190, parent="outer", scope="other", response_id="r1"),
    ]
    assert counted(records) == {"outer": "first", "first": "counts", "second": "first"}


def test_a_sum_counts_where_nothing_below_it_says_what_it_used():
    nothing = {"input_tokens": None, "output_tokens": None, "priced": False}
    records = [
        record("outer", 0, 500, scope="framework"),
        record("first", 10, 200, parent="outer", **nothing),
        record("second", 210, 400, parent="outer", **nothing),
    ]
    assert counted(records) == {"outer": "counts", "first": "outer", "second": "outer"}


def test_spans_that_are_each_others_parents_are_decided_too():
    records = [record("a", parent="b"), record("b", parent="a", scope="two"), record("c", parent="c")]
    assert sorted(counted(records).values()) in (["a", "counts", "counts"], ["b", "counts", "counts"])


STREAM = {"scope": "logfire.openai"}
REQUEST = STREAM | {"input_tokens": None, "output_tokens": None, "priced": False}


def test_the_end_of_a_stream_belongs_to_its_request():
    """Without a parent each of the two is a trace of its own."""
    records = [
        record("request", 0, 20, **REQUEST),
        record("end", 900, 900, trace_id=OTHER_TRACE, opened_ns=1021, **STREAM),
    ]
    assert counted(records) == {"request": "end", "end": "counts"}


def test_of_two_streams_each_has_its_own_end():
    records = [
        record("request1", 0, 20, **REQUEST),
        record("request2", 5, 40, **REQUEST),
        record("end1", 900, 900, opened_ns=1021, **STREAM),
        record("end2", 500, 500, opened_ns=1041, **STREAM),
    ]
    assert counted(records) == {"request1": "end1", "request2": "end2", "end1": "counts", "end2": "counts"}


@pytest.mark.parametrize(
    "change", [{"prompt": 2}, {"instance": "app 2"}, {"models": frozenset({"x"})}, {"opened_ns": 9_000}]
)
def test_the_end_of_another_stream_does_not(change):
    end = STREAM | {"opened_ns": 1021} | change
    records = [record("request", 0, 20, **REQUEST), record("end", 900, 900, **end)]
    assert counted(records) == {"request": "counts", "end": "counts"}


@pytest.mark.parametrize("apart", [0, 3_000])
def test_an_id_that_many_records_bear_at_once_is_none(apart):
    """A mock that always answers the same, one call after the other or all at once."""
    records = [record(f"{n}", n * apart, n * apart + 10, response_id="r1") for n in range(5_000)]
    assert sum(decision.counts for decision in decide(records, {}).values()) == 5_000


def test_many_calls_that_are_alike_are_decided_in_bounded_time():
    records = [record(f"o{n}", n % 50, 500 + n % 50, scope="langchain") for n in range(2_000)]
    records += [record(f"i{n}", n % 50, 500 + n % 50, response_id=f"r{n}") for n in range(2_000)]
    assert 2_000 <= sum(decision.counts for decision in decide(records, {}).values()) < 4_000


def test_the_record_that_counts_says_for_whom_though_only_another_knows():
    outer = record("outer", 0, 120, response_id="r1", scope="langchain", user_id="u", conversation_id="c")
    inner = record("inner", 5, 100, response_id="r1", details=2, conversation_id="d")
    decisions = decide([outer, inner], {})
    assert decisions[inner.key] == Decision(True, None, "d", "u")
    assert decisions[outer.key] == Decision(False, inner.key, "c", "u")
