"""The list of spans: every span that fulfils the conditions, once, in the order that was asked for."""

from __future__ import annotations

import random
import secrets
import time
from decimal import Decimal

import pytest
from listing import SPANS
from otlp_requests import HOSTILE_KEYS, SECOND, llm_span, request, span

from spanledger.query_api.search import counts as counts_module
from spanledger.query_api.search import windows as windows_module
from spanledger.query_api.search.cursors import Position
from spanledger.query_api.search.spans import NEWEST_SQL, found_sql

T0 = 1_760_000_000 * SECOND
DAY = 86_400 * SECOND
ids, listed, searched, all_pages = SPANS.ids, SPANS.listed, SPANS.searched, SPANS.all_pages


def test_an_empty_project_has_an_empty_list(api):
    assert listed(api, count=True) == {"spans": [], "next_cursor": None, "count": {"count": 0, "exact": True}}


def test_a_summary_is_flat_and_has_no_content(api, ingest):
    sent = llm_span(
        gen_ai__conversation__id="talk",
        user__id="ann",
        gen_ai__response__model="gpt-4o-mini-2024-07-18",
        gen_ai__input__messages='[{"role": "user", "parts": []}]',
        note="kept",
    )
    sent.start_time_unix_nano, sent.end_time_unix_nano = T0, T0 + 1_500_000
    sent.parent_span_id = secrets.token_bytes(8)
    sent.status.code = 2
    ingest(request(sent, resource={"service.name": "shop"}))
    [found] = listed(api)["spans"]
    assert found == {
        "trace_id": sent.trace_id.hex(),
        "span_id": sent.span_id.hex(),
        "parent_span_id": sent.parent_span_id.hex(),
        "name": "chat gpt-4o-mini",
        "service": "shop",
        "scope": "tests",
        "role": "LLM",
        "operation": "chat",
        "provider": "openai",
        "request_model": "gpt-4o-mini",
        "response_model": "gpt-4o-mini-2024-07-18",
        "status": "error",
        "error_type": None,
        "start_time": "2025-10-09T08:53:20.000000000Z",
        "end_time": "2025-10-09T08:53:20.001500000Z",
        "duration_ms": 1.5,
        "input_tokens": 1000,
        "output_tokens": 100,
        "cost_usd": "0.00021",
        "cost_reason": None,
        "counted": True,
        "conversation_id": "talk",
        "user_id": "ann",
        "experiment_id": None,
        "tool": None,
        "agent": None,
        "tags": [],
    }
    [full] = listed(api, fields="attributes")["spans"]
    attributes = full.pop("attributes")
    assert full == found
    assert attributes["note"] == "kept"
    assert attributes["gen_ai.usage.input_tokens"] == 1000
    assert "gen_ai.input.messages" not in attributes


@pytest.mark.parametrize("order", ["desc", "asc"])
@pytest.mark.parametrize("sort", ["time", "duration", "cost", "tokens"])
def test_pages_show_every_span_once_in_order(api, ingest, monkeypatch, sort, order):
    """Whatever the windows, with equal values, values that are not known, and copies."""
    monkeypatch.setattr(windows_module, "FIRST_ROWS", 3)
    chance, rows, spans = random.Random(3), [], []
    for _ in range(40):
        tokens = chance.choice([None, 10, 10, 2000])
        start = T0 + chance.randrange(3) * DAY + chance.randrange(4)
        made = llm_span(input_tokens=tokens, output_tokens=0) if tokens else span()
        made.trace_id = secrets.token_bytes(16)
        made.start_time_unix_nano, made.end_time_unix_nano = start, start + chance.choice([0, 5, 5, SECOND])
        value = {
            "time": 0,
            "duration": made.end_time_unix_nano - start,
            "cost": None if tokens is None else Decimal(tokens),
            "tokens": tokens,
        }[sort]
        rows.append((value, start, made.trace_id.hex(), made.span_id.hex()))
        spans.append(made)
    ingest(request(*spans[:25]))
    ingest(request(*spans[20:]))
    known = sorted((row for row in rows if row[0] is not None), reverse=order == "desc")
    unknown = sorted((row[1:] for row in rows if row[0] is None), reverse=order == "desc")
    expected = [row[-1] for row in [*known, *unknown]]
    for limit in (3, 7, 40, 500):
        assert all_pages(api, limit=limit, sort=sort, order=order) == expected


def test_pages_stay_right_while_spans_arrive_and_arrive_again(api, ingest):
    older = [span(start_time_unix_nano=T0 + n) for n in range(6)]
    ingest(request(*older))
    first = listed(api, limit=2)
    ingest(request(span(start_time_unix_nano=T0 + DAY), *older))
    second = listed(api, limit=2, cursor=first["next_cursor"])
    ingest(request(span(start_time_unix_nano=T0 + 100), older[0]))
    third = listed(api, limit=2, cursor=second["next_cursor"])
    assert ids(first) + ids(second) + ids(third) == [one.span_id.hex() for one in reversed(older)]
    assert third["next_cursor"] is None


@pytest.mark.parametrize("sort", ["time", "cost"])
def test_the_newest_copy_decides(api, ingest, sort):
    sent = [llm_span(model="old-model") for _ in range(4)]
    ingest(request(*sent))
    assert len(ids(listed(api, model="old-model", sort=sort))) == 4
    for made in sent[:3]:
        made.attributes[2].value.string_value = "new-model"
    time.sleep(0.001)
    ingest(request(*sent))
    assert ids(listed(api, model="old-model", limit=1, sort=sort)) == [sent[3].span_id.hex()]
    assert len(all_pages(api, model="new-model", limit=1, sort=sort)) == 3
    assert listed(api, model="old-model", count=True)["count"] == {"count": 1, "exact": True}


def test_several_conditions_hold_on_one_and_the_same_span(api, ingest):
    trace_id = secrets.token_bytes(16)
    one = span(trace_id, {"a": 1, "b.c:d": 'say "x"'}, name="one")
    other = span(trace_id, {"a": 2, "b.c:d": "y"}, name="two")
    one.events.add(name="e", time_unix_nano=T0).attributes.add(key="in event").value.int_value = 7
    ingest(request(one, other, resource={"service.name": "s", "host.name": "web-1"}))
    assert ids(listed(api, attribute=["a=1", 'b.c:d = "say \\"x\\""'])) == [one.span_id.hex()]
    assert ids(listed(api, attribute=["a=1", "b.c:d=y"])) == []
    assert ids(listed(api, attribute=["a=1", 'event:"in event" >= 7'])) == [one.span_id.hex()]
    assert ids(listed(api, attribute='span:"in event" exists')) == []
    assert ids(listed(api, attribute='a = "1"')) == []
    assert len(ids(listed(api, attribute="resource:host.name starts_with web"))) == 2
    assert ids(listed(api, attribute="a in [2, 3]", name=["one", "two"])) == [other.span_id.hex()]


def test_repeated_parameters_mean_any_of_them(api, ingest):
    spans = [llm_span(model=model) for model in ("a", "b", "c")]
    spans[2].status.code = 2
    ingest(request(*spans))
    asked = {"model": ["a", "c"]}
    assert set(ids(listed(api, **asked))) == {spans[0].span_id.hex(), spans[2].span_id.hex()}
    assert ids(listed(api, **asked, status=["error", "ok"])) == [spans[2].span_id.hex()]


def test_bounds_are_part_of_what_is_asked(api, ingest):
    spans = [llm_span(input_tokens=n, output_tokens=0) for n in (1000, 2000, 3000)]
    for n, made in enumerate(spans):
        made.end_time_unix_nano = made.start_time_unix_nano + (n + 1) * 1_000_000
    ingest(request(*spans, span()))
    middle = [spans[1].span_id.hex()]
    assert ids(listed(api, min_tokens=2000, max_tokens=2000)) == middle
    assert ids(listed(api, min_duration_ms=2, max_duration_ms=2)) == middle
    assert ids(listed(api, min_cost_usd="0.0003", max_cost_usd="0.000300000000000000")) == middle
    assert set(ids(listed(api, max_cost_usd="0.0003"))) == {spans[0].span_id.hex(), *middle}


def test_both_forms_of_a_search_find_the_same(api, ingest):
    spans = [llm_span(model=model, house__level=n) for n, model in enumerate("abcd")]
    spans[1].status.code = 2
    ingest(request(*spans, resource={"service.name": "s"}))
    asked = [
        ({"service": "s"}, {"field": "service", "value": "s"}),
        ({"model": ["a", "b"]}, {"field": "model", "op": "in", "value": ["a", "b"]}),
        ({"status": "error"}, {"field": "status", "value": "error"}),
        ({"attribute": "house.level >= 2"}, {"attribute": "house.level", "op": "ge", "value": 2}),
        (
            {"model": "b", "status": "error", "min_tokens": 5},
            {
                "and": [
                    {"field": "model", "value": "b"},
                    {"field": "status", "value": "error"},
                    {"field": "tokens", "op": "ge", "value": 5},
                ]
            },
        ),
    ]
    for parameters, where in asked:
        found = ids(listed(api, **parameters))
        assert found
        assert found == ids(searched(api, where))
    none_of = {"not": {"or": [{"field": "model", "value": "a"}, {"field": "model", "value": "b"}]}}
    assert set(ids(searched(api, none_of))) == {made.span_id.hex() for made in spans[2:]}
    page = searched(api, none_of, limit=1, sort="cost", count=True, fields=["attributes"])
    assert page["count"] == {"count": 2, "exact": True}
    assert page["spans"][0]["attributes"]["house.level"] in {2, 3}
    rest = searched(api, none_of, limit=1, sort="cost", cursor=page["next_cursor"])
    assert set(ids(page) + ids(rest)) == {made.span_id.hex() for made in spans[2:]}
    assert rest["next_cursor"] is None


def test_a_user_is_that_of_the_span_or_else_of_its_trace(api, ingest):
    trace_id = secrets.token_bytes(16)
    root = span(trace_id, {"user.id": "ann"}, start_time_unix_nano=T0)
    inherits = span(trace_id, parent_span_id=root.span_id, start_time_unix_nano=T0 + 1)
    own = span(trace_id, {"user.id": "bob"}, parent_span_id=root.span_id, start_time_unix_nano=T0 + 2)
    ingest(request(inherits, own))
    ingest(request(root, span()))
    assert ids(listed(api, user="ann")) == [inherits.span_id.hex(), root.span_id.hex()]
    assert ids(listed(api, user="bob")) == [own.span_id.hex()]
    assert ids(listed(api, user=["ann", "bob"])) == [
        own.span_id.hex(),
        inherits.span_id.hex(),
        root.span_id.hex(),
    ]


TEXTS = [
    "service",
    "name",
    "operation",
    "provider",
    "model",
    "error_type",
    "user",
    "conversation",
    "experiment",
    "agent",
    "tool",
    "tag",
    "q",
]
HOSTILE = ["x' OR 1=1 --", "\\'", "; DROP TABLE spans", "{x:String}", "{project:String}", "%27"]
HOSTILE += ["\0", "%", "*", "_"]


@pytest.mark.parametrize("parameter", TEXTS)
def test_free_text_is_literal_in_every_parameter(api, ingest, parameter):
    plain = llm_span(user__id="u", gen_ai__input__messages="hello")
    ingest(request(plain))
    for text in HOSTILE:
        assert ids(listed(api, **{parameter: text})) == []
    assert len(ids(listed(api))) == 1


@pytest.mark.parametrize("text", [*HOSTILE, 'quote"', "back\\slash", "\u202e", "a\tb\nc"])
def test_what_was_sent_is_found_by_it(api, ingest, text):
    hostile = span(None, {text: text, "user.id": text}, name=text)
    ingest(request(hostile, resource={"service.name": text}))
    ingest(request(span()))
    expected = [hostile.span_id.hex()]
    assert ids(listed(api, service=text)) == expected
    assert ids(listed(api, name=text)) == expected
    assert ids(listed(api, user=text)) == expected
    assert ids(searched(api, {"attribute": text, "value": text})) == expected
    assert ids(searched(api, {"field": "name", "op": "contains", "value": text})) == expected


@pytest.mark.parametrize("key", HOSTILE_KEYS)
def test_every_key_can_be_said(api, ingest, key):
    sent = span(None, {key: 5})
    ingest(request(sent, span()))
    assert ids(searched(api, {"attribute": key, "op": "ge", "value": 5})) == [sent.span_id.hex()]


def test_an_estimate_says_that_it_is_one(api, ingest, monkeypatch):
    spans = [span(start_time_unix_nano=T0 + n * SECOND, name="odd" if n % 2 else "even") for n in range(400)]
    ingest(request(*spans))
    assert listed(api, name="odd", limit=1, count=True)["count"] == {"count": 200, "exact": True}
    monkeypatch.setattr(counts_module, "SPAN_ROWS", 100)
    estimate = listed(api, name="odd", limit=1, count=True)["count"]
    assert estimate["exact"] is False
    assert 150 <= estimate["count"] <= 250
    # What is all on one page was counted by showing it.
    assert listed(api, name="odd", limit=500, count=True)["count"] == {"count": 200, "exact": True}


def test_no_list_reads_content_or_the_attributes_of_all_spans():
    for sort in ("time", "duration", "cost", "tokens"):
        sql = found_sql("1", sort, "desc", Position(1, "0" * 32)) + NEWEST_SQL
        assert not [word for word in ("content", "events", "attributes", "links") if word in sql]


def test_a_merged_day_has_each_span_once_until_something_arrives(api, ingest, reader, writer):
    """Then newer copies are looked for again; and always where parts cannot be seen."""
    day = 1_300_000_000 * SECOND  # of no other test
    sent = span(name="before", start_time_unix_nano=day)
    ingest(request(sent))
    ingest(request(span(name="other", start_time_unix_nano=day + 1)))
    writer.command("OPTIMIZE TABLE spans PARTITION '2011-03-13' FINAL")

    def known():
        found = [each for each in windows_module.stored_days(reader) if each.first_ns <= day <= each.last_ns]
        return [(each.rows, each.each_once) for each in found]

    assert known() == [(2, True)]
    assert len(listed(api, name="before")["spans"]) == 1
    sent.name = "after"
    ingest(request(sent))
    assert known() == [(3, False)]
    assert listed(api, name="before")["spans"] == []
    assert len(listed(api, name="after")["spans"]) == 1


def test_days_are_known_where_parts_are_not(api, ingest, reader, monkeypatch):
    """As on a server whose user may not see them; the last second that is stored has both bounds."""
    last_ns = ((1 << 32) - 1) * SECOND - 1
    ingest(request(span(name="now"), span(start_time_unix_nano=last_ns, end_time_unix_nano=last_ns)))
    # Other tests leave spans of that day, too.
    assert last_ns <= windows_module.stored_days(reader)[0].last_ns < (1 << 32) * SECOND
    monkeypatch.setattr(windows_module, "PARTS_SQL", f"SELECT * FROM ({windows_module.PARTS_SQL}) WHERE 0")
    # Other tests leave spans of that day, too.
    assert last_ns <= windows_module.stored_days(reader)[0].last_ns < (1 << 32) * SECOND
    assert not any(day.each_once for day in windows_module.stored_days(reader))
    assert len(listed(api, name="now")["spans"]) == 1


def test_candidates_and_newest_copies_are_found_through_the_indexes(reader, ingest, project):
    made = span(start_time_unix_nano=T0)
    ingest(request(made, *(span(start_time_unix_nano=T0 + n * DAY) for n in range(1, 4))))

    def plan(sql, **parameters):
        rows = reader.query(f"EXPLAIN indexes = 1 {sql}", parameters={"project": project, **parameters})
        return "\n".join(row[0] for row in rows.result_rows)

    used = plan(found_sql("1", "time", "desc", None), since=T0 - 1, until=T0 + 1, most=1)
    assert "toDate(start_time)" in used
    assert "PrimaryKey" in used
    rows = plan(
        NEWEST_SQL,
        hours=[T0 // SECOND // 3600 * 3600],
        first=T0,
        last=T0,
        trace_ids=[made.trace_id.hex()],
        span_ids=[made.span_id.hex()],
    )
    assert "Name: by_trace" in rows
    assert "toStartOfHour(start_time) in 1-element set" in rows


def test_projects_do_not_see_each_other(api, make_api, ingest):
    ingest(request(span(None, {"user.id": "ann"})))
    stranger = make_api(project="another")
    assert len(ids(listed(api, user="ann"))) == 1
    assert listed(stranger, user="ann", count=True)["count"]["count"] == 0
    assert ids(searched(stranger, {"not": {"field": "user", "value": "x"}})) == []
