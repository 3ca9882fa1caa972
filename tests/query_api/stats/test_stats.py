"""Stats: sums, percentiles and groups that anybody can work out again from the spans that were sent."""

from __future__ import annotations

import json
import random
import secrets
from collections import defaultdict
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from otlp_requests import SECOND, llm_span, request, span

from spanledger.query_api.search.conditions import All, Compare
from spanledger.query_api.stats import stats as stats_module
from spanledger.query_api.stats.measures import MEASURES
from spanledger.query_api.stats.stats import GROUPS, Asked, stats_json
from spanledger.schemas.stats_api import Stats

PATH = "/api/v1/stats"
T0 = 1_760_000_000 * SECOND  # 2025-10-09T08:53:20Z
HOUR = 3600 * SECOND
DAY = 24 * HOUR
PRICE = {"gpt-4o-mini": (Decimal("0.00000015"), Decimal("0.0000006"))}


def call(at=0, *, model="gpt-4o-mini", ms=1000, trace_id=None, status=0, **more):
    made = llm_span(trace_id, model=model, **more)
    made.start_time_unix_nano = T0 + round(at * SECOND)
    made.end_time_unix_nano = made.start_time_unix_nano + round(ms * 1_000_000)
    made.status.code = status
    return made


def asked(api, **query):
    answer = api.get(PATH, params=query)
    assert answer.status_code == 200, answer.text
    Stats.model_validate(answer.json())
    return answer.json()


def by_key(answer, measure="calls"):
    return [(*group["key"].values(), group[measure]) for group in answer["groups"]]


def test_an_empty_project_has_nothing_and_that_is_known(api):
    found = asked(api, group_by="model", bucket="day")
    assert (found["groups"], found["other"], found["total"]["buckets"]) == ([], None, [])
    total = found["total"]
    assert (total["calls"], total["errors"], total["cost_usd"], total["input_tokens"]) == (0, 0, "0", 0)
    assert set(total["duration_ms"].values()) == set(total["tokens_per_second"].values()) == {None}


def test_every_measure_is_what_the_calls_sent(api, ingest):
    sent = [
        call(n, ms=100 * (n + 1), input_tokens=10 * n, output_tokens=n + 1, status=2 if n % 4 == 0 else 0)
        for n in range(10)
    ]
    sent[0].attributes.extend(
        llm_span(
            gen_ai__usage__cache_read__input_tokens=0,
            gen_ai__usage__reasoning__output_tokens=1,
            gen_ai__response__time_to_first_chunk=0.25,
        ).attributes[5:]
    )
    ingest(request(*sent, span(name="no call", start_time_unix_nano=T0)))
    total = asked(api)["total"]
    tokens_in, tokens_out = sum(10 * n for n in range(10)), sum(range(1, 11))
    in_usd, out_usd = PRICE["gpt-4o-mini"]
    assert total == {
        "calls": 10,
        "errors": 3,
        "input_tokens": tokens_in,
        "output_tokens": tokens_out,
        "total_tokens": tokens_in + tokens_out,
        "cache_read_tokens": 0,
        "cache_write_tokens": None,
        "reasoning_tokens": 1,
        "input_audio_tokens": None,
        "output_audio_tokens": None,
        "cost_usd": f"{(tokens_in * in_usd + tokens_out * out_usd).normalize():f}",
        "unpriced_calls": 0,
        "duration_ms": {"p50": 600.0, "p95": 1000.0, "p99": 1000.0, "max": 1000.0, "avg": 550.0},
        "time_to_first_chunk_ms": {"p50": 250.0, "p95": 250.0, "p99": 250.0, "max": 250.0, "avg": 250.0},
        "tokens_per_second": {"median": 10.0, "overall": 10.0},
    }


def test_unknown_costs_and_tokens_are_null_and_counted_as_such(api, ingest):
    ingest(request(call(model="house-model", input_tokens="many", output_tokens=-5), call(1)))
    found = asked(api, group_by="model")
    house = next(group for group in found["groups"] if group["key"]["model"] == "house-model")
    assert (house["cost_usd"], house["input_tokens"], house["total_tokens"]) == (None, None, None)
    assert (house["unpriced_calls"], found["total"]["unpriced_calls"]) == (1, 1)
    assert house["tokens_per_second"] == {"median": None, "overall": None}


def test_tokens_are_summed_beyond_64_bits(api, ingest):
    ingest(request(*(call(n, model="m", input_tokens=2**63 - 1) for n in range(3))))
    assert asked(api)["total"]["input_tokens"] == 3 * (2**63 - 1)


def test_replays_and_sums_of_others_never_count(api, ingest):
    agent = call(0, input_tokens=5000)
    agent.attributes[0].value.string_value = "invoke_agent"
    sent = request(agent, call(1), call(2, model="other"))
    ingest(sent)
    once = asked(api, group_by="model", bucket="hour")
    ingest(sent)
    assert asked(api, group_by="model", bucket="hour") == once
    assert (once["total"]["calls"], once["total"]["input_tokens"]) == (2, 2000)


def test_a_second_record_of_a_call_never_counts(api, ingest, writer, project):
    first, second = call(0), call(0)
    ingest(request(first, second))
    writer.command(
        "INSERT INTO spans SELECT * REPLACE (0 AS counted, NULL AS cost_usd, received_at + 1 AS received_at) "
        "FROM spans WHERE project = {project:String} AND span_id = unhex({id:String})",
        parameters={"project": project, "id": second.span_id.hex()},
    )
    total = asked(api)["total"]
    assert (total["calls"], total["input_tokens"], total["cost_usd"]) == (1, 1000, "0.00021")
    assert asked(api, of="spans")["total"]["spans"] == 2


def test_groups_are_in_the_order_that_is_asked_for_with_a_row_for_the_rest(api, ingest):
    sent = [
        call(n, model=f"m{n % 5}", output_tokens=100 if n % 5 == 3 else 1, ms=10 * (n + 1)) for n in range(23)
    ]
    ingest(request(*sent))
    found = asked(api, group_by="model", limit=2, bucket="day")
    assert by_key(found) == [("m0", 5), ("m1", 5)]
    assert (found["other"]["groups"], found["other"]["calls"], found["total"]["calls"]) == (3, 13, 23)
    assert [each["calls"] for each in found["other"]["buckets"]] == [13]
    rest = sorted(10.0 * (n + 1) for n in range(23) if n % 5 > 1)
    assert found["other"]["duration_ms"]["p50"] == rest[13 // 2]
    assert by_key(asked(api, group_by="model", limit=1, order_by="output_tokens"), "output_tokens") == [
        ("m3", 400)
    ]
    assert by_key(asked(api, group_by="model", limit=1, order_by="duration_max")) == [("m2", 5)]
    assert asked(api, group_by="model")["other"] is None


@pytest.mark.parametrize("group_by", [["model"], ["model", "status"]])
def test_groups_that_only_older_days_have_are_known_as_well(api, ingest, group_by):
    """Whether the newest day has few groups is a guess about the others."""
    older = [call(n, model=f"m{n % 4}") for n in range(8)]
    ingest(request(*older, *(call(n + 86_400 * 3, model="m9") for n in range(5))))
    for limit, others in ((1, 4), (4, 1), (5, 0)):
        found = asked(api, group_by=group_by, limit=limit, bucket="day")
        assert (found["groups"][0]["key"]["model"], found["groups"][0]["calls"]) == ("m9", 5)
        assert len(found["groups"]) == limit
        assert (found["other"] or {"groups": 0})["groups"] == others
        shown = sum(group["calls"] for group in found["groups"])
        assert shown + (found["other"] or {"calls": 0})["calls"] == found["total"]["calls"] == 13


def test_groups_may_be_of_several_fields_and_of_every_one(api, ingest):
    ingest(request(call(model="a|b", user__id="1:x"), call(1, model="a", user__id="b|1:x")))
    ingest(request(call(2, status=2, provider="p\\'q", error__type="m.Timeout")))
    found = asked(api, group_by=["model", "user"])
    assert sorted(by_key(found), key=str) == [("a", "b|1:x", 1), ("a|b", "1:x", 1), ("gpt-4o-mini", None, 1)]
    assert asked(api, group_by="error_type")["groups"][1]["key"] == {"error_type": "Timeout"}
    assert by_key(asked(api, group_by="status")) == [("unset", 2), ("error", 1)]
    for field in GROUPS:
        every = asked(api, group_by=field, bucket="day")
        assert sum(group["calls"] for group in every["groups"]) == 3
        assert every["total"]["calls"] == 3


@pytest.mark.parametrize("value", ["o'r\\ 1=1 --", "\t\n\r", "a\x00b", "{x:String}", "%_*", "\U0001f600"])
def test_a_value_stays_as_it_was_sent_whatever_it_holds(api, ingest, value):
    ingest(request(call(user__id=value), call(1, user__id=value), call(2)))
    assert by_key(asked(api, group_by="user", limit=1)) == [(value, 2)]
    assert by_key(asked(api, group_by="user", user=value)) == [(value, 2)]


def test_a_call_belongs_to_the_user_that_its_trace_names(api, ingest):
    trace = secrets.token_bytes(16)
    root = span(trace, {"user.id": "ann"}, start_time_unix_nano=T0 - 2 * DAY)
    later = span(trace, {"user.id": "zoe"}, start_time_unix_nano=T0 - DAY)
    ingest(request(root, later, call(0, trace_id=trace), call(1, trace_id=trace, user__id="bob"), call(2)))
    query = {"start": "2025-10-09T00:00:00Z", "end": "2025-10-10T00:00:00Z"}
    found = asked(api, group_by="user", order_by="cost_usd", **query)
    assert by_key(found, "cost_usd") == [(None, "0.00021"), ("ann", "0.00021"), ("bob", "0.00021")]
    assert by_key(asked(api, group_by="user", user="ann", **query)) == [("ann", 1)]


def test_a_call_with_two_tags_is_in_both_groups_and_once_in_total_and_rest(api, ingest):
    sent = [call(n) for n in range(3)]
    for one, tags in zip(sent, (["x", "y"], ["y", "z", "x"], []), strict=True):
        one.attributes.extend(span(attributes={"tag.tags": tags}).attributes)
    ingest(request(*sent))
    found = asked(api, group_by="tag", bucket="day")
    assert by_key(found) == [("x", 2), ("y", 2), (None, 1), ("z", 1)]
    assert (found["total"]["calls"], found["total"]["buckets"][0]["calls"]) == (3, 3)
    rest = asked(api, group_by="tag", limit=1)["other"]
    assert (rest["groups"], rest["calls"]) == (3, 3)


def test_spans_that_are_no_calls_are_counted_where_that_is_asked_for(api, ingest):
    tool = span(name="search", start_time_unix_nano=T0, end_time_unix_nano=T0 + 5 * SECOND)
    tool.status.code = 2
    ingest(request(tool, call(1)))
    found = asked(api, of="spans", group_by="name")
    assert [(g["key"]["name"], g["spans"], g["calls"], g["errors"]) for g in found["groups"]] == [
        ("chat gpt-4o-mini", 1, 1, 0),
        ("search", 1, 0, 1),
    ]
    assert (found["groups"][1]["cost_usd"], found["groups"][1]["duration_ms"]["p50"]) == (None, 5000.0)
    assert found["total"]["input_tokens"] == 1000


def test_conditions_and_times_choose_the_calls(api, ingest, make_api):
    ingest(request(call(0), call(10), call(20, model="other"), call(30, ms=5000)))
    assert asked(api, model="other")["total"]["calls"] == 1
    assert asked(api, start="2025-10-09T08:53:30Z", end="2025-10-09T08:53:50Z")["total"]["calls"] == 2
    assert asked(api, min_duration_ms=2000)["total"]["calls"] == 1
    assert asked(make_api(project="another"))["total"]["calls"] == 0


def test_the_same_can_be_asked_in_json(api, ingest):
    ingest(request(call(0), call(10, model="other")))
    query = {"group_by": ["model"], "bucket": "hour", "order_by": "cost_usd", "limit": 1}
    assert api.post(PATH, json=query).content == api.get(PATH, params=query).content
    assert api.post(PATH, json={"group": "model"}).status_code == 400


def test_conditions_as_a_tree_hold_beside_the_parameters(api, ingest):
    ingest(request(call(0, ms=10), call(10, model="other"), call(20, model="third", user__id="ann")))
    where = {"or": [{"field": "model", "value": "other"}, {"field": "user", "value": "ann"}]}
    found = api.post(PATH, json={"group_by": ["model"], "where": where}).json()
    assert by_key(found) == [("other", 1), ("third", 1)]
    found = api.post(PATH, json={"where": {"not": where}, "min_duration_ms": 100}).json()
    assert found["total"]["calls"] == 0
    wrong = api.post(PATH, json={"where": {"field": "sleep(3)", "value": 1}})
    assert (wrong.status_code, "body.where.field" in wrong.json()["detail"]) == (400, True)


def test_only_the_measures_that_are_asked_for_are_given(api, ingest):
    ingest(request(call()))
    for measure in MEASURES:
        found = asked(api, measure=measure, group_by="model", order_by="total_tokens", bucket="day")
        assert len(found["total"]) < len(asked(api)["total"])
    assert set(asked(api, measure="cost")["total"]) == {"calls", "errors", "cost_usd", "unpriced_calls"}


# --- buckets


def test_gaps_are_filled_over_the_time_that_is_asked_for(api, ingest):
    ingest(request(call(0), call(2 * 3600)))
    query = {"start": "2025-10-09T07:10:00Z", "end": "2025-10-09T12:00:00Z", "bucket": "hour"}
    found = asked(api, group_by="model", **query)
    for row in (found["total"], found["groups"][0]):
        assert [each["calls"] for each in row["buckets"]] == [0, 1, 0, 1, 0]
        assert [each["cost_usd"] for each in row["buckets"]] == ["0", "0.00021", "0", "0.00021", "0"]
        assert row["buckets"][0]["duration_ms"]["p95"] is None
    assert [each["start"] for each in found["total"]["buckets"]] == [
        f"2025-10-09T{hour:02}:00:00.000000000Z" for hour in range(7, 12)
    ]
    assert len(asked(api, bucket="hour")["total"]["buckets"]) == 3


def test_a_day_on_which_clocks_change_is_one_day(api, ingest):
    # Berlin, 30 March 2025: 23 hours, from 23:00 to 22:00 UTC.
    noon = 1_743_332_400  # 11:00 UTC
    ends = (1_743_289_199, 1_743_289_200, noon, 1_743_371_999, 1_743_372_000)
    ingest(request(*(call(second - T0 // SECOND) for second in ends)))
    found = asked(api, bucket="day", time_zone="Europe/Berlin")["total"]["buckets"]
    assert [(each["local_start"], each["calls"]) for each in found] == [
        ("2025-03-29T00:00:00+01:00", 1),
        ("2025-03-30T00:00:00+01:00", 3),
        ("2025-03-31T00:00:00+02:00", 1),
    ]


# --- the same whatever the order


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_order_batches_and_copies_give_the_same_bytes_which_are_what_python_says(
    data, store, reader, project
):
    """Two projects get the same spans in another order, batches and copies."""
    numbers = random.Random(data.draw(st.integers(0, 2**32)))
    traces = [numbers.randbytes(16) for _ in range(4)]
    sent = []
    for n in range(data.draw(st.integers(1, 40))):
        attributes = {"user__id": numbers.choice(["ann", "bob"])} if numbers.random() < 0.3 else {}
        made = call(
            numbers.randrange(0, 3 * 86_400) + numbers.random(),
            model=numbers.choice(["gpt-4o-mini", "m1", "m2"]),
            ms=numbers.choice([0, 1, 250, numbers.random() * 1e5]),
            trace_id=numbers.choice(traces),
            input_tokens=numbers.choice([0, 7, None, 10**6]),
            output_tokens=numbers.choice([0, 1, 999]),
            status=numbers.choice([0, 1, 2]),
            gen_ai__response__time_to_first_chunk=numbers.choice([0.1, 0.2, numbers.random()]),
            **attributes,
        )
        made.span_id = n.to_bytes(8, "big", signed=False) if n else b"\xff" * 8
        sent.append(made)
    again = sent + numbers.choices(sent, k=5)
    numbers.shuffle(again)
    one, other = f"{project}-{secrets.token_hex(4)}", f"{project}-{secrets.token_hex(4)}"
    stored(store, one, [sent])
    cut = numbers.randrange(len(again) + 1)
    stored(store, other, [again[:cut], again[cut:]])
    chosen = Asked(
        condition=All((Compare("counted", "eq", True),)),
        group_by=("user",),
        bucket="day",
        order=data.draw(st.sampled_from(["calls", "cost_usd", "total_tokens", "duration_p95"])),
        limit=data.draw(st.integers(1, 3)),
    )
    found = stats_json(reader, one, chosen)
    assert found == stats_json(reader, other, chosen)
    check(json.loads(found), sent)


def stored(store, project, batches):
    import time

    from spanledger.collector.gate import check as gate
    from spanledger.collector.rows.block import Request

    for batch in filter(None, batches):
        body = request(*batch).SerializeToString()
        store.insert([Request(body, project, time.time_ns(), gate(body, 10).spans, False)])


def check(found, sent):
    """Every group against sums in plain Python. (Calls within calls are no part of this test.)"""
    firsts = {}
    for one in sorted(sent, key=lambda each: (each.start_time_unix_nano, each.span_id)):
        named = value(one, "user.id")
        if named:
            firsts.setdefault(one.trace_id, named)
    groups = defaultdict(list)
    for one in sent:
        groups[value(one, "user.id") or firsts.get(one.trace_id)].append(one)
    assert found["total"]["calls"] == len(sent)
    assert len(found["groups"]) + (found["other"] or {"groups": 0})["groups"] == len(groups)
    for shown in found["groups"]:
        calls = groups[shown["key"]["user"]]
        assert shown["calls"] == len(calls) == sum(each["calls"] for each in shown["buckets"])
        assert shown["errors"] == sum(one.status.code == 2 for one in calls)
        tokens = [int(t) for one in calls if (t := value(one, "gen_ai.usage.output_tokens")) is not None]
        assert shown["duration_ms"]["max"] == pytest.approx(max(map(taken, calls)), rel=1e-6)
        ordered = sorted(map(taken, calls))
        for level, part in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
            nth = ordered[min(int(part * len(ordered)), len(ordered) - 1)]
            assert shown["duration_ms"][level] == pytest.approx(nth, rel=1e-6)
        assert shown["duration_ms"]["avg"] == pytest.approx(sum(ordered) / len(ordered))
        assert (shown["output_tokens"] or 0) == sum(tokens)


def taken(one):
    return (one.end_time_unix_nano - one.start_time_unix_nano) / 1e6


def value(one, key):
    for pair in one.attributes:
        if pair.key == key and pair.value.WhichOneof("value"):
            return pair.value.string_value or pair.value.int_value
    return None


# --- what is refused


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"group_by": "file('/etc/passwd')"}, "model, provider, service"),
        ({"group_by": "trace_id"}, "model, provider, service"),
        ({"order_by": "calls, sleep(3)"}, "calls, spans, errors"),
        ({"bucket": "fortnight"}, "minute, 5m, hour, day, week, month"),
        ({"time_zone": "../../etc/passwd"}, "an IANA name"),
        ({"time_zone": "Europe"}, "an IANA name"),
        ({"time_zone": "UTC\x00"}, "an IANA name"),
        ({"limit": "0"}, "a whole number from 1 to 500"),
        ({"limit": "1000000000"}, "a whole number from 1 to 500"),
        ({"limit": "abc"}, "a whole number from 1 to 500"),
        ({"start": "NaN"}, "RFC 3339"),
        ({"start": "2026-01-02T00:00:00Z", "end": "2026-01-01T00:00:00Z"}, "start must be before end"),
        ({"of": "traces"}, "calls, spans"),
        ({"measure": "avg(cost_usd)"}, "tokens, cost, duration"),
        ({"sort": "system.tables"}, "no such parameter"),
        (
            {"start": "2016-01-01T00:00:00Z", "end": "2026-01-01T00:00:00Z", "bucket": "minute"},
            "ask for less time, or for a longer bucket",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(idle_api, query, words):
    answer = idle_api.get(PATH, params=query)
    assert answer.status_code == 400
    assert words in answer.json()["detail"]


def test_more_rows_than_an_answer_holds_are_refused(api, ingest):
    ingest(request(*(call(n, model=f"m{n}") for n in range(30))))
    query = {"start": "2025-10-09T00:00:00Z", "end": "2025-10-09T12:00:00Z", "bucket": "minute"}
    assert api.get(PATH, params=query).status_code == 200
    answer = api.get(PATH, params=query | {"group_by": "model", "limit": 500})
    assert answer.status_code == 400
    assert "30 groups in 720 buckets are 22,320 rows" in answer.json()["detail"]


@pytest.mark.parametrize("text", ["x' OR 1=1 --", "\\'", "; DROP TABLE spans", "{x:String}", "%27", "a\x00b"])
@pytest.mark.parametrize("name", ["user", "conversation", "service", "name", "model", "tag", "error_type"])
def test_sql_in_a_free_text_is_a_text(idle_api, name, text):
    assert asked(idle_api, **{name: text}, group_by=["tag", "user"], bucket="day")["total"]["calls"] == 0


def test_percentiles_of_very_many_calls_are_told_to_a_twentieth_of_a_percent(api, ingest, monkeypatch):
    """And everything else is what it is of few: sums, averages and the greatest value."""
    sent = [
        call(n, ms=ms, output_tokens=tokens, gen_ai__response__time_to_first_chunk=ms / 7000)
        for n, (ms, tokens) in enumerate(
            [(0, 5), (0.000001, 1), (0.25, 1), (1234.567, 999), (86_400_000.0, 3)]
        )
    ]
    ingest(request(*sent))
    exact = asked(api, group_by="model", bucket="hour")
    monkeypatch.setattr(stats_module, "_MOST_EXACT", 0)
    close = asked(api, group_by="model", bucket="hour")
    for found, known in zip(_numbers(close), _numbers(exact), strict=True):
        path, value = found
        if path[-1] in {"p50", "p95", "p99", "median"} and isinstance(known[1], float):
            assert (path, value) == (path, pytest.approx(known[1], rel=0.0005, abs=1e-6))
        else:
            assert found == known
    assert close["total"]["duration_ms"]["max"] == 86_400_000.0
    assert close["total"]["duration_ms"]["p99"] <= 86_400_000.0


def _numbers(value, path=()):
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _numbers(each, (*path, key))
    elif isinstance(value, list):
        for n, each in enumerate(value):
            yield from _numbers(each, (*path, n))
    else:
        yield path, value
