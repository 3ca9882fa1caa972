"""The trace list: whole traces, newest first, every one exactly once."""

from __future__ import annotations

import random
import secrets
import time

import pytest
from listing import TRACES
from otlp_requests import SECOND, llm_span, request, span

from spanledger.query_api.extents import of_traces
from spanledger.query_api.search import windows as windows_module
from spanledger.query_api.search.traces import SUMMARY_SQL, candidates_sql
from spanledger.query_api.search.windows import DAYS_SQL
from spanledger.query_api.trees.spans import SPANS_SQL

T0 = 1_760_000_000 * SECOND
DAY = 86_400 * SECOND
ids, listed = TRACES.ids, TRACES.listed


def all_pages(api, **parameters):
    """The ids on all pages, and how many pages there were."""
    pages = TRACES.pages(api, **parameters)
    return [one for page in pages for one in page], len(pages)


def trace_of(*starts, trace_id=None, **fields):
    """Spans of one trace, the first the root and parent of the others."""
    trace_id = trace_id or secrets.token_bytes(16)
    spans = [span(trace_id, start_time_unix_nano=start, **fields) for start in starts]
    for child in spans[1:]:
        child.parent_span_id = spans[0].span_id
    return spans


def test_an_empty_project_has_an_empty_list(api):
    assert listed(api) == {"traces": [], "next_cursor": None}


def test_a_summary_covers_the_whole_trace(api, ingest):
    trace_id = secrets.token_bytes(16)
    root = span(trace_id, {"user.id": "ann"}, name="answer", start_time_unix_nano=T0)
    root.end_time_unix_nano = T0 + 5 * SECOND + 1
    root.status.code = 1
    priced = llm_span(trace_id, model="gpt-4o-mini", input_tokens=1000, output_tokens=100)
    unpriced = llm_span(trace_id, model="house-model", gen_ai__conversation__id="talk")
    embedding = llm_span(trace_id, model="text-embedding-3-small", input_tokens=10, output_tokens=0)
    embedding.attributes[0].value.string_value = "embeddings"
    agent = llm_span(trace_id, input_tokens=9_999)
    agent.attributes[0].value.string_value = "invoke_agent"
    failed = span(trace_id, name="tool")
    failed.status.code = 2
    for n, child in enumerate((priced, unpriced, embedding, agent, failed)):
        child.parent_span_id = root.span_id
        child.start_time_unix_nano = T0 + n * SECOND
        child.end_time_unix_nano = T0 + n * SECOND
    ingest(request(root, priced, unpriced, embedding, agent, failed, resource={"service.name": "shop"}))
    [found] = listed(api)["traces"]
    assert found == {
        "trace_id": trace_id.hex(),
        "root_span_id": root.span_id.hex(),
        "name": "answer",
        "service": "shop",
        "status": "ok",
        "start_time": "2025-10-09T08:53:20.000000000Z",
        "end_time": "2025-10-09T08:53:25.000000001Z",
        "duration_ms": 5000.000001,
        "span_count": 6,
        "error_count": 1,
        "llm_call_count": 2,
        "input_tokens": 2010,
        "output_tokens": 200,
        "cost_usd": "0.0002102",
        "unpriced_call_count": 1,
        "models": ["gpt-4o-mini", "house-model", "text-embedding-3-small"],
        "conversation_id": "talk",
        "user_id": "ann",
        "experiment_id": None,
    }


def test_unknown_cost_and_usage_are_null_and_not_zero(api, ingest):
    ingest(request(llm_span(model="house-model", input_tokens="many", output_tokens=-5)))
    [found] = listed(api)["traces"]
    assert (found["cost_usd"], found["input_tokens"], found["output_tokens"]) == (None, None, None)
    assert found["unpriced_call_count"] == found["llm_call_count"] == 1


def test_tokens_are_summed_beyond_64_bits(api, ingest):
    trace_id = secrets.token_bytes(16)
    ingest(request(*(llm_span(trace_id, model="m", input_tokens=2**63 - 1) for _ in range(3))))
    [found] = listed(api)["traces"]
    assert found["input_tokens"] == 3 * (2**63 - 1)


def test_the_same_bytes_twice_are_one_span_and_one_cost_at_once(api, ingest):
    sent = request(llm_span())
    ingest(sent)
    once = listed(api)
    ingest(sent)
    assert listed(api) == once
    assert once["traces"][0]["span_count"] == 1
    tree = api.get(f"/api/v1/traces/{ids(once)[0]}").json()
    assert len(tree["roots"]) == 1
    assert tree["cost_usd"] == tree["roots"][0]["cost"]["usd"] == once["traces"][0]["cost_usd"]


@pytest.mark.parametrize(
    ("codes", "status", "errors"),
    [((2, 0), "error", 1), ((0, 2), "unset", 1), ((1, 2, 2), "ok", 2), ((99, 0), "unset", 0)],
)
def test_the_status_is_that_of_the_root(api, ingest, codes, status, errors):
    spans = trace_of(*(T0 - n for n in range(len(codes))))
    for one, code in zip(spans, codes, strict=True):
        one.status.code = code
    ingest(request(*reversed(spans)))
    [found] = listed(api)["traces"]
    assert (found["status"], found["error_count"]) == (status, errors)
    assert found["root_span_id"] == spans[0].span_id.hex()
    assert ids(listed(api, status=status)) == [found["trace_id"]]
    assert all(not ids(listed(api, status=other)) for other in {"ok", "error", "unset"} - {status})


def test_before_the_root_is_there_the_earliest_orphan_stands_for_it(api, ingest):
    root, first, second = trace_of(T0, T0 + 2, T0 + 3)
    below = span(root.trace_id, parent_span_id=second.span_id, start_time_unix_nano=T0 + 1)
    ingest(request(below, second, first))
    assert listed(api)["traces"][0]["root_span_id"] == first.span_id.hex()
    ingest(request(root))
    assert listed(api)["traces"][0]["root_span_id"] == root.span_id.hex()


def test_pages_show_every_trace_once_newest_first(api, ingest, monkeypatch):
    # Windows of two spans each, so that their borders fall everywhere.
    monkeypatch.setattr(windows_module, "FIRST_ROWS", 2)
    chance = random.Random(2)
    starts = {}
    spans = []
    for _ in range(40):
        trace_id = chance.randbytes(16)
        # Some start at the same time; some go on for days, across windows and partitions.
        start = T0 + chance.randrange(4) * DAY + chance.randrange(10) * SECOND
        times = [start, *(start + chance.randrange(3 * DAY) for _ in range(chance.randrange(4)))]
        starts[trace_id.hex()] = start
        spans += trace_of(*times, trace_id=trace_id)
    chance.shuffle(spans)
    ingest(request(*spans[:70]))
    ingest(request(*spans[70:]))
    expected = sorted(starts, key=lambda trace_id: (starts[trace_id], trace_id), reverse=True)
    for limit in (3, 7, 40, 500):
        found, pages = all_pages(api, limit=limit)
        assert found == expected
        assert pages == -(-40 // limit)


def test_a_page_stays_where_it_is_while_newer_spans_arrive(api, ingest):
    older = [span(start_time_unix_nano=T0 + n) for n in range(6)]
    ingest(request(*older))
    expected = [one.trace_id.hex() for one in reversed(older)]
    first = listed(api, limit=2)
    ingest(
        request(span(start_time_unix_nano=T0 + DAY), span(older[5].trace_id, start_time_unix_nano=T0 + DAY))
    )
    second = listed(api, limit=2, cursor=first["next_cursor"])
    ingest(request(span(start_time_unix_nano=T0 + 100), *older))
    third = listed(api, limit=2, cursor=second["next_cursor"])
    assert ids(first) + ids(second) + ids(third) == expected
    assert third["next_cursor"] is None


def test_start_and_end_ask_for_the_start_of_the_trace(api, ingest):
    spans = [trace_of(T0 + n * SECOND, T0 + 10 * SECOND) for n in range(3)]
    ingest(request(*(one for trace in spans for one in trace)))
    first, second, third = (trace[0].trace_id.hex() for trace in spans)
    at = "2025-10-09T08:53:2{}Z".format
    assert ids(listed(api, start=at(1))) == [third, second]
    assert ids(listed(api, end=at(1))) == [first]
    assert ids(listed(api, start=at("0.000000001"), end=at(2))) == [second]
    assert ids(listed(api, start=at(5))) == []
    assert listed(api, end=at(1))["traces"][0]["span_count"] == 2


def test_conditions_choose_traces_and_summaries_stay_whole(api, ingest):
    one, other = secrets.token_bytes(16), secrets.token_bytes(16)
    late = llm_span(one, model="gpt-4o", gen_ai__response__model="gpt-4o-2024-08-06")
    late.start_time_unix_nano = late.end_time_unix_nano = T0 + 2 * DAY
    ingest(request(*trace_of(T0, trace_id=one), resource={"service.name": "web"}))
    ingest(request(late, resource={"service.name": "worker"}))
    ingest(request(*trace_of(T0 + SECOND, trace_id=other), resource={"service.name": "web"}))
    assert ids(listed(api, service="web")) == [other.hex(), one.hex()]
    for conditions in (
        {"service": "worker"},
        {"model": "gpt-4o"},
        {"model": "gpt-4o-2024-08-06"},
        {"service": "worker", "model": "gpt-4o", "status": "unset"},
        # The span that matches starts long after the time that is asked for.
        {"model": "gpt-4o", "end": "2025-10-10T00:00:00Z"},
    ):
        [found] = listed(api, **conditions)["traces"]
        assert (found["trace_id"], found["span_count"], found["service"]) == (one.hex(), 2, "web")
    for nothing in (
        {"service": "we"},
        {"service": ""},
        {"model": "house"},
        {"status": "error"},
        # Each of them holds of a span of the trace, and both of none.
        {"service": "web", "model": "gpt-4o"},
    ):
        assert ids(listed(api, **nothing)) == []


def test_pages_of_a_rare_condition_show_every_match_once(api, ingest, monkeypatch):
    monkeypatch.setattr(windows_module, "FIRST_ROWS", 4)
    expected, spans = [], []
    for n in range(60):
        root, child = trace_of(T0 + n * SECOND, T0 + n * SECOND + 1)
        if n % 9 == 0:
            root.status.code = 2
            expected.insert(0, root.trace_id.hex())
        if n % 3 == 0:
            child.status.code = 2
        spans += [root, child]
    ingest(request(*spans))
    assert all_pages(api, limit=2, status="error")[0] == expected


def test_the_newest_version_of_a_span_decides_what_matches(api, ingest):
    sent = llm_span(model="old-model")
    ingest(request(sent))
    assert ids(listed(api, model="old-model")) == [sent.trace_id.hex()]
    corrected = llm_span(sent.trace_id, model="new-model", span_id=None)
    corrected.span_id = sent.span_id
    corrected.start_time_unix_nano = sent.start_time_unix_nano
    time.sleep(0.001)
    ingest(request(corrected))
    assert ids(listed(api, model="old-model")) == []
    assert ids(listed(api, model="new-model")) == [sent.trace_id.hex()]


def test_projects_do_not_see_each_other(api, make_api, ingest):
    sent = span()
    ingest(request(sent))
    stranger = make_api(project="another")
    assert sent.trace_id.hex() not in ids(listed(stranger))
    assert stranger.get(f"/api/v1/traces/{sent.trace_id.hex()}").status_code == 404


INJECTIONS = ["x' OR 1=1 --", "\\'", "'; DROP TABLE spans --", "{x:String}", "%27", "\0", "\ud7ff", "𝄞", "%s"]


@pytest.mark.parametrize("name", ["service", "model"])
def test_free_text_is_only_text(api, ingest, name):
    sent = request(span(), resource={"service.name": INJECTIONS[0]})
    ingest(sent)
    for text in INJECTIONS:
        found = ids(listed(api, **{name: text}))
        assert len(found) == (1 if (name, text) == ("service", INJECTIONS[0]) else 0)
    assert len(ids(listed(api))) == 1


def plan(reader, sql, **parameters):
    rows = reader.query(f"EXPLAIN indexes = 1 {sql}", parameters=parameters).result_rows
    return "\n".join(row[0] for row in rows)


def test_where_to_look_is_known_without_reading_a_row(reader, ingest):
    ingest(request(span()))
    assert "_minmax_count_projection" in plan(reader, DAYS_SQL)


def test_a_window_reads_its_own_time_only(reader, ingest, project):
    ingest(request(*(span(start_time_unix_nano=T0 + n * DAY) for n in range(5))))
    bounds = {"since": T0 - 1, "until": T0 + 1, "after_ns": 1 << 62, "after_id": "f" * 32, "most": 1}
    used = plan(reader, candidates_sql("desc"), project=project, **bounds)
    assert "toDate(start_time)" in used
    assert "PrimaryKey" in used
    assert "ReadFromMergeTree" in used


@pytest.mark.parametrize("sql", [SUMMARY_SQL, SPANS_SQL])
def test_a_trace_is_looked_up_through_the_index_on_trace_ids(reader, ingest, project, sql):
    sent = span()
    ingest(request(sent))
    trace_id = sent.trace_id.hex()
    used = plan(reader, sql, project=project, **of_traces(reader, [trace_id]), copies=[], most=1)
    assert "Name: by_trace" in used
