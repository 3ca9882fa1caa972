"""The search for traces: whole traces by what they amount to and by the spans they have."""

from __future__ import annotations

import random
import secrets
import time
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from listing import TRACES
from otlp_requests import SECOND, llm_span, request, span

from spanledger.query_api.search import counts as counts_module
from spanledger.query_api.search import traces as traces_module
from spanledger.query_api.search import windows as windows_module
from spanledger.query_api.search.conditions import All, Attribute, Compare
from spanledger.query_api.search.traces import SUMMARY_SQL, Search, list_traces
from spanledger.query_api.search.wholes import AllOf, AnyOf, AnySpan, NotOf, Whole
from spanledger.query_api.times import format_time

T0 = 1_760_000_000 * SECOND
HOUR = 3600 * SECOND
DAY = 86_400 * SECOND
ids, listed, searched, all_pages = TRACES.ids, TRACES.listed, TRACES.searched, TRACES.all_pages


def pages_of(reader, project, search, limit):
    found, after = [], None
    while True:
        shown, after = list_traces(reader, project, search, limit=limit, after=after)
        found += [summary["trace_id"] for summary in shown]
        if after is None:
            return found


# --- any tree of conditions, beside a plain reading of what was sent


class Sent(dict):
    def __repr__(self):
        return f"{len(self)} traces"


@pytest.fixture
def traces_sent(ingest, project):
    """Traces of one to four spans over days, some of which were corrected; what counts, by trace."""
    chance, sent, first, second = random.Random(4), Sent(), [], []
    for _ in range(30):
        trace_id = chance.randbytes(16)
        start = T0 + chance.randrange(4) * DAY + chance.randrange(8) * SECOND
        spans = []
        for n in range(chance.randrange(1, 5)):
            made = llm_span(
                trace_id,
                model="gpt-4o-mini",
                input_tokens=chance.choice([10, 20]),
                output_tokens=0,
                level=chance.choice([1, 2]),
            )
            made.name = chance.choice("abc")
            made.start_time_unix_nano = start + (chance.choice([0, 1, DAY]) if n else 0)
            made.end_time_unix_nano = made.start_time_unix_nano + chance.choice([0, SECOND])
            made.status.code = chance.choice([0, 2])
            if n:
                made.parent_span_id = spans[0].span_id
            spans.append(made)
            first.append(type(made).FromString(made.SerializeToString()))
            if chance.random() < 0.3:
                made.name = chance.choice("abc")
                second.append(made)
        sent[trace_id.hex()] = spans
    ingest(request(*first))
    time.sleep(0.001)
    ingest(request(*second))
    return sent


def level_of(made):
    return next(each.value.int_value for each in made.attributes if each.key == "level")


def span_fits(condition, made):
    match condition:
        case All(parts):
            return all(span_fits(part, made) for part in parts)
        case Compare("name", "eq", value):
            return made.name == value
        case Compare("status", "eq", value):
            return (made.status.code == 2) == (value == "error")
        case Attribute("level", "ge", value, _):
            return level_of(made) >= value


def trace_fits(where, spans):
    match where:
        case AllOf(parts):
            return all(trace_fits(part, spans) for part in parts)
        case AnyOf(parts):
            return any(trace_fits(part, spans) for part in parts)
        case NotOf(part):
            return not trace_fits(part, spans)
        case AnySpan(condition):
            return any(span_fits(condition, made) for made in spans)
        case Whole("status", _, value):
            return (spans[0].status.code == 2) == (value == "error")
        case Whole(field, op, value):
            start = min(made.start_time_unix_nano for made in spans)
            fact = {
                "duration_ms": (max(made.end_time_unix_nano for made in spans) - start) / 1e6,
                "span_count": len(spans),
                "tokens": sum(tokens_of(made) for made in spans),
            }[field]
            return {"ge": fact >= value, "le": fact <= value, "ne": fact != value}[op]


def tokens_of(made):
    return next(each.value.int_value for each in made.attributes if each.key == "gen_ai.usage.input_tokens")


on_span = some.one_of(
    some.sampled_from("abc").map(lambda name: Compare("name", "eq", name)),
    some.sampled_from(["error", "unset"]).map(lambda status: Compare("status", "eq", status)),
    some.sampled_from([1, 2, 3]).map(lambda level: Attribute("level", "ge", level)),
)
on_trace = some.one_of(
    some.lists(on_span, max_size=2).map(lambda parts: AnySpan(All(parts))),
    some.sampled_from(["error", "unset"]).map(lambda status: Whole("status", "eq", status)),
    some.builds(
        Whole,
        some.sampled_from(["duration_ms", "span_count", "tokens"]),
        some.sampled_from(["ge", "le", "ne"]),
        some.sampled_from([0, 1, 2, 3, 20, 40, 1000.0, DAY / 1e6]),
    ),
)
trees = some.recursive(
    on_trace,
    lambda inner: some.one_of(
        some.lists(inner, max_size=3).map(AllOf), some.lists(inner, max_size=3).map(AnyOf), inner.map(NotOf)
    ),
    max_leaves=4,
)


@settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    where=trees,
    order=some.sampled_from(["desc", "asc"]),
    limit=some.sampled_from([4, 50]),
    bounds=some.sampled_from([(0, 10), (1, 2), (0, 2), (1, 10)]),
    most_found=some.sampled_from([1, 3, 2000]),
    first_rows=some.sampled_from([2, 20_000]),
    most_crossed=some.sampled_from([0, 500_000]),
)
def test_every_tree_of_conditions_finds_what_a_plain_reading_finds(
    reader, project, traces_sent, *, where, order, limit, bounds, most_found, first_rows, most_crossed
):
    """In order and once each, whatever the windows are, and however few spans are looked at at once."""
    since, until = (T0 + day * DAY for day in bounds)
    starts = {
        trace_id: min(made.start_time_unix_nano for made in spans) for trace_id, spans in traces_sent.items()
    }
    expected = sorted(
        (
            trace_id
            for trace_id, spans in traces_sent.items()
            if since <= starts[trace_id] < until and trace_fits(where, spans)
        ),
        key=lambda trace_id: (starts[trace_id], trace_id),
        reverse=order == "desc",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(traces_module, "_MOST_FOUND", most_found)
        patch.setattr(traces_module, "_MOST_CROSSED", most_crossed)
        patch.setattr(windows_module, "FIRST_ROWS", first_rows)
        search = Search(where, since, until, order=order)
        assert pages_of(reader, project, search, limit) == expected


def test_what_fits_is_asked_of_one_and_the_same_span(api, ingest):
    trace_id = secrets.token_bytes(16)
    one = span(trace_id, {"tool": "x"}, name="a")
    other = span(trace_id, {"tool": "y"}, name="b")
    ingest(request(one, other))
    assert ids(listed(api, name="a", attribute="tool = x")) == [trace_id.hex()]
    assert ids(listed(api, name="a", attribute="tool = y")) == []
    both = {
        "and": [
            {"any_span": {"field": "name", "value": "a"}},
            {"any_span": {"attribute": "tool", "value": "y"}},
        ]
    }
    assert ids(searched(api, both)) == [trace_id.hex()]
    assert ids(searched(api, {"and": [both, {"not": {"any_span": {"field": "name", "value": "b"}}}]})) == []


def test_the_spans_of_a_trace_that_fit_may_start_after_the_time_that_is_asked_for(api, ingest, monkeypatch):
    """Also when many do, of several traces, and the trace itself started long before.

    The traces start an hour apart: to look through so few spans at once, times are halved until they are.
    """
    monkeypatch.setattr(traces_module, "_MOST_FOUND", 8)
    expected = []
    for n in range(4):
        root = span(name="root", start_time_unix_nano=T0 + n * HOUR)
        late = [
            span(root.trace_id, name="late", parent_span_id=root.span_id, start_time_unix_nano=T0 + day * DAY)
            for day in (2, 3, 4, 5)
        ]
        ingest(request(root, *late))
        expected.insert(0, root.trace_id.hex())
    for parameters in ({}, {"end": format_time(T0 + DAY)}, {"end": format_time(T0 + 3 * DAY)}, {"limit": 1}):
        assert all_pages(api, name="late", **parameters) == expected
    assert all_pages(api, name="late", start=format_time(T0 + 4 * HOUR)) == []


def test_copies_that_do_not_count_hide_none_that_does(api, ingest):
    """Of a trace more spans fitted once than are looked at, and one still does."""
    trace_id = secrets.token_bytes(16)
    spans = [span(trace_id, name="old", start_time_unix_nano=T0 + n) for n in range(8)]
    ingest(request(*spans))
    for made in spans[1:]:
        made.name = "new"
    time.sleep(0.001)
    ingest(request(*spans))
    assert ids(listed(api, name="old")) == [trace_id.hex()]
    spans[0].name = "new"
    time.sleep(0.001)
    ingest(request(*spans))
    assert ids(listed(api, name="old")) == []
    assert ids(listed(api, name="new")) == [trace_id.hex()]


def test_totals_are_those_of_the_whole_trace(api, ingest):
    trace_id = secrets.token_bytes(16)
    calls = [llm_span(trace_id, input_tokens=1000, output_tokens=0) for _ in range(3)]
    for n, call in enumerate(calls):
        call.start_time_unix_nano = T0 + n * DAY
        call.end_time_unix_nano = call.start_time_unix_nano
    ingest(request(*calls))
    ingest(request(*calls))
    expected = [trace_id.hex()]
    fits = [{"min_tokens": 3000, "max_tokens": 3000}, {"min_cost_usd": "0.00045", "max_cost_usd": "0.00045"}]
    fits.append({"min_duration_ms": 2 * 86_400_000, "max_duration_ms": 2 * 86_400_000})
    for parameters in fits:
        for end in ({}, {"end": format_time(T0 + 1)}):
            assert ids(listed(api, **parameters, **end)) == expected
    for parameters in ({"min_tokens": 3001}, {"max_tokens": 2999}, {"max_cost_usd": "0.000449999"}):
        assert ids(listed(api, **parameters)) == []


def test_a_user_is_that_of_the_span_or_else_of_the_trace(api, ingest):
    root = span(attributes={"user.id": "ann"}, name="root", start_time_unix_nano=T0)
    child = span(root.trace_id, name="child", parent_span_id=root.span_id, start_time_unix_nano=T0 + 1)
    ingest(request(root, child))
    assert ids(listed(api, user="ann", name="child")) == [root.trace_id.hex()]
    assert ids(listed(api, user="bob")) == []


# --- by totals


def summed(chance, tokens):
    """A trace of two calls, with as many tokens in all; None: unknown."""
    trace_id, start = chance.randbytes(16), time.time_ns() - chance.randrange(1, 20) * DAY
    if tokens is None:
        return [span(trace_id, start_time_unix_nano=start, end_time_unix_nano=start)]
    made = [llm_span(trace_id, input_tokens=part, output_tokens=0) for part in (1, tokens - 1)]
    for each in made:
        each.start_time_unix_nano = start
        each.end_time_unix_nano = start + tokens
    return made


@pytest.mark.parametrize("order", ["desc", "asc"])
@pytest.mark.parametrize("sort", ["duration", "cost", "tokens"])
def test_totals_sort_traces_with_the_unknown_last(api, ingest, sort, order):
    chance, rows, spans = random.Random(6), [], []
    for _ in range(30):
        tokens = chance.choice([None, 5, 5, 70, 900])
        made = summed(chance, tokens)
        spans += made
        value = 0 if tokens is None and sort == "duration" else tokens
        rows.append((value, made[0].trace_id.hex()))
    chance.shuffle(spans)
    ingest(request(*spans[:30]))
    ingest(request(*spans[20:]))
    known = sorted((row for row in rows if row[0] is not None), reverse=order == "desc")
    unknown = sorted((row[1] for row in rows if row[0] is None), reverse=order == "desc")
    expected = [row[1] for row in known] + unknown
    for limit in (4, 500):
        assert all_pages(api, limit=limit, sort=sort, order=order) == expected
    some_of_them = all_pages(api, limit=4, sort=sort, order=order, min_tokens=50)
    assert some_of_them == [one for one in expected if one in some_of_them]
    assert len(some_of_them) == sum(row[0] in (70, 900) for row in rows if sort != "duration") or (
        sort == "duration"
    )


def test_sorted_by_totals_pages_stay_right_while_spans_arrive(api, ingest):
    chance = random.Random(7)
    traces = [summed(chance, tokens) for tokens in (60, 50, 40, 30, 20, 10)]
    ingest(request(*(one for trace in traces for one in trace)))
    first = listed(api, sort="tokens", limit=2)
    # The smallest becomes the largest, one that was shown becomes smaller, another arrives.
    late = llm_span(traces[5][0].trace_id, input_tokens=5000, output_tokens=0)
    late.start_time_unix_nano = traces[5][0].start_time_unix_nano
    ingest(request(late, *summed(chance, 45)))
    second = listed(api, sort="tokens", limit=2, cursor=first["next_cursor"])
    third = listed(api, sort="tokens", limit=2, cursor=second["next_cursor"])
    expected = [trace[0].trace_id.hex() for trace in traces]
    assert ids(first) + ids(second) + ids(third) == expected
    assert third["next_cursor"] is None
    assert third["traces"][1]["input_tokens"] == 5010
    assert ids(listed(api, sort="tokens", limit=1)) == expected[-1:]


def test_what_is_summed_up_is_bounded(api, ingest):
    old = summed(random.Random(8), 10)
    for each in old:
        each.start_time_unix_nano -= 40 * DAY
    ingest(request(*old))
    assert ids(listed(api)) == [old[0].trace_id.hex()]
    assert ids(listed(api, sort="cost")) == []
    start = format_time(old[0].start_time_unix_nano)
    assert ids(listed(api, sort="cost", end=format_time(old[0].start_time_unix_nano + 1))) == ids(listed(api))
    answer = api.get("/api/v1/traces", params={"sort": "cost", "start": start})
    assert answer.status_code == 400
    [error] = answer.json()["errors"]
    assert (error["where"], "31 days" in error["allowed"]) == ("query.start", True)


def test_sorted_by_totals_a_trace_that_began_before_is_left_out(api, ingest):
    now = time.time_ns()
    trace = [span(start_time_unix_nano=now - 5 * DAY)]
    trace.append(span(trace[0].trace_id, start_time_unix_nano=now - 3 * DAY))
    ingest(request(*trace))
    assert ids(listed(api, sort="duration", start=format_time(now - 4 * DAY))) == []
    assert ids(listed(api, sort="duration", end=format_time(now - 4 * DAY))) == [trace[0].trace_id.hex()]


# --- counts


def test_counts_are_exact_where_little_is_stored_and_else_say_that_they_are_not(api, ingest, monkeypatch):
    spans = []
    for n in range(120):
        root = span(name="odd" if n % 2 else "even", start_time_unix_nano=T0 + n * SECOND)
        spans += [root, span(root.trace_id, start_time_unix_nano=T0 + n * SECOND + 1)]
    ingest(request(*spans))
    assert listed(api, name="odd", limit=1, count=True)["count"] == {"count": 60, "exact": True}
    assert listed(api, limit=1, count=True, sort="tokens", end=format_time(T0 + DAY))["count"]["count"] == 120
    monkeypatch.setattr(counts_module, "TRACE_ROWS", 80)
    estimate = listed(api, name="odd", limit=1, count=True)["count"]
    assert estimate["exact"] is False
    assert 45 <= estimate["count"] <= 75
    assert "count" not in listed(api, name="odd", limit=1)


def test_summaries_read_no_content_and_no_attributes():
    assert not [word for word in ("content", "events", "attributes", "links") if word in SUMMARY_SQL]


def test_money_in_json_is_a_decimal(api, ingest):
    made = llm_span(input_tokens=1000, output_tokens=0)
    ingest(request(made))
    for value in ("0.00015", 0.00015):
        where = {"field": "cost_usd", "op": "eq", "value": value}
        assert ids(searched(api, where)) == [made.trace_id.hex()]
    assert Decimal(searched(api)["traces"][0]["cost_usd"]) == Decimal("0.00015")
