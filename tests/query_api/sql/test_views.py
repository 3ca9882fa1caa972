"""The views: friendly, whole, each row once, and of one mind with the rest of the API."""

from __future__ import annotations

import secrets
import time

import pytest
from clickhouse_connect.driver.client import Client
from otlp_requests import SECOND, llm_span, request, span

from spanledger.query_api.sql.views import VIEWS, database_of_views, make_views

T0 = 1_760_000_000 * SECOND


@pytest.fixture
def found(api):
    """Ask the test's own project; give the rows."""

    def asked(query, **more):
        answer = api.post("/api/v1/sql", json={"query": query, **more})
        assert answer.status_code == 200, answer.text
        return answer.json()["rows"]

    return asked


def listed(api):
    return {trace["trace_id"]: trace for trace in api.get("/api/v1/traces").json()["traces"]}


def as_listed(row):
    """A row of `traces` in the form of the list of traces."""
    return {
        **{
            name: row[name]
            for name in ("trace_id", "root_span_id", "name", "status", "models", "duration_ms")
        },
        **{
            name: int(row[name])
            for name in ("span_count", "error_count", "llm_call_count", "unpriced_call_count")
        },
        **{name: None if row[name] is None else int(row[name]) for name in ("input_tokens", "output_tokens")},
        **{name: f"{row[name].replace(' ', 'T')}Z" for name in ("start_time", "end_time")},
        "service": row["service"] or None,
        "cost_usd": row["cost_usd"] and row["cost_usd"].rstrip("0").rstrip("."),
        "conversation_id": row["conversation"] or None,
        "user_id": row["user"] or None,
        "experiment_id": row["experiment"] or None,
    }


def trees():
    """Traces of every shape: one root, several, orphans alone, a cycle, a parent that is elsewhere."""
    whole, several, orphans, cycle, mixed = (secrets.token_bytes(16) for _ in range(5))
    root = span(whole, {"user.id": "ann"}, name="answer", start_time_unix_nano=T0)
    root.status.code = 1
    call = llm_span(whole, gen_ai__conversation__id="talk")
    embedding = llm_span(whole, model="text-embedding-3-small", input_tokens=10, output_tokens=0)
    embedding.attributes[0].value.string_value = "embeddings"
    unpriced = llm_span(whole, model="house-model")
    for n, child in enumerate((call, embedding, unpriced)):
        child.parent_span_id, child.start_time_unix_nano = root.span_id, T0 + n * SECOND
        child.end_time_unix_nano = T0 + n * SECOND
    tops = [span(several, name=f"top {n}", start_time_unix_nano=T0 + (9 - n) * SECOND) for n in range(3)]
    lost = [span(orphans, name=f"lost {n}", start_time_unix_nano=T0 + (5 - n) * SECOND) for n in range(3)]
    lost[0].parent_span_id, lost[1].parent_span_id = b"\1" * 8, b"\2" * 8
    lost[2].parent_span_id = lost[0].span_id  # the earliest, but its parent is there
    lost[0].status.code = 2
    ring = [span(cycle, name=f"ring {n}", start_time_unix_nano=T0 + n * SECOND) for n in range(2)]
    ring[0].parent_span_id, ring[1].parent_span_id = ring[1].span_id, ring[0].span_id
    late = span(mixed, name="late root", start_time_unix_nano=T0 + 50 * SECOND)
    early = span(mixed, name="early orphan", start_time_unix_nano=T0)
    early.parent_span_id = b"\3" * 8
    return [root, call, embedding, unpriced, *tops, *lost, *ring, late, early]


def test_a_row_of_traces_is_the_row_of_the_list(api, ingest, found):
    """Whatever tree the spans make, sent once or twice: the same numbers."""
    spans = trees()
    ingest(request(*spans, resource={"service.name": "shop"}))
    ingest(request(*spans[2:7], resource={"service.name": "shop"}))
    rows = {row["trace_id"]: as_listed(row) for row in found("SELECT * FROM traces")}
    assert rows == listed(api)
    assert len(rows) == 5


def test_llm_calls_are_the_calls_that_count(api, ingest, found):
    """No agent's sum of its calls, no tool, and each call once."""
    trace_id = secrets.token_bytes(16)
    call = llm_span(trace_id)
    agent = llm_span(trace_id, input_tokens=9_999)
    agent.attributes[0].value.string_value = "invoke_agent"
    ingest(request(call, agent, span(trace_id)))
    ingest(request(call))
    [row] = found("SELECT span_id, model, cost_usd, input_tokens, total_tokens, status FROM llm_calls")
    assert row == {
        "span_id": call.span_id.hex(),
        "model": "gpt-4o-mini",
        "cost_usd": "0.00021",
        "input_tokens": "1000",
        "total_tokens": "1100",
        "status": "unset",
    }
    [counts] = found("SELECT count() AS spans, countIf(counted) AS counted FROM spans")
    assert counts == {"spans": "3", "counted": "1"}


def test_spans_are_friendly(ingest, found):
    """Ids as hex, words for numbers, attributes as text beside those that are numbers."""
    sent = span(
        None, {"a": "x", "n": 7, "f": 1.5, "b": True, "l": [1, 2], "gen_ai.input.messages": "[]"}, kind=3
    )
    sent.events.add(name="said", time_unix_nano=T0)
    ingest(request(sent, resource={"service.name": "shop", "zone": "eu"}))
    [row] = found("SELECT * FROM spans")
    assert (row["trace_id"], row["span_id"], row["parent_span_id"]) == (
        sent.trace_id.hex(),
        sent.span_id.hex(),
        "",
    )
    assert (row["kind"], row["status"], row["service"]) == ("client", "unset", "shop")
    assert row["attributes"] == {"a": "x", "n": "7", "f": "1.5", "b": "true", "l": "[1,2]"}
    assert row["attributes_number"] == {"n": 7, "f": 1.5}
    assert row["content"] == {"gen_ai.input.messages": "[]"}
    assert row["input_messages"] == "[]"
    assert row["resource_attributes"] == {"service.name": "shop", "zone": "eu"}
    assert (row["duration_ms"], row["cost_usd"], row["input_tokens"]) == (1000, None, None)
    [event] = found("SELECT span_id, name, toUnixTimestamp64Nano(time) AS at FROM events")
    assert event == {"span_id": sent.span_id.hex(), "name": "said", "at": str(T0)}


def test_start_and_end_bound_what_is_looked_at(ingest, found):
    """Also for traces, whose own start is known only after summing up."""
    early, late = (span(name=f"at {n}", start_time_unix_nano=T0 + n * SECOND) for n in (0, 60))
    ingest(request(early, late))
    bounds = {"start": "2025-10-09T08:53:30Z", "end": "2025-10-09T08:55:00Z"}
    for view in ("spans", "traces"):
        assert [row["name"] for row in found(f"SELECT name FROM {view}", **bounds)] == ["at 60"]
    assert found("SELECT SpanName FROM otel_traces", start="2025-10-09T08:54:30Z") == []


def test_the_schema_is_what_the_database_has(api, writer: Client, target):
    """Every column with its type and what it means, here and in the database's own tables."""
    make_views(writer, target.database)
    told = api.get("/api/v1/sql/schema").json()["views"]
    assert [view["name"] for view in told] == [
        "traces", "spans", "llm_calls", "events", "links", "logs", "otel_traces",
    ]  # fmt: skip
    stored = writer.query(
        "SELECT table, name, type, comment FROM system.columns WHERE database = {views:String} "
        "ORDER BY position",
        parameters={"views": database_of_views(target.database)},
    ).result_rows
    for view in told:
        columns = [(column["name"], column["type"], column["comment"]) for column in view["columns"]]
        assert columns == [row[1:] for row in stored if row[0] == view["name"]]
        assert view["comment"]
        assert all(comment for _, _, comment in columns)


def test_a_column_has_the_type_that_it_is_said_to_have(writer: Client, target):
    for view in VIEWS:
        made = writer.query(f"DESCRIBE ({view.select(target.database)})").result_rows
        plain = [(name, kind.replace("LowCardinality(String)", "String")) for name, kind, *_ in made]
        assert plain == [(c.name, c.type.replace("LowCardinality(String)", "String")) for c in view.columns]


def test_a_condition_on_the_time_reads_those_days_alone(writer: Client, target, ingest):
    """Through the view the engine still knows which parts it needs."""
    make_views(writer, target.database)
    ingest(request(span(start_time_unix_nano=T0), span(start_time_unix_nano=time.time_ns())))
    plan = writer.query(
        f"EXPLAIN indexes = 1 SELECT name FROM {database_of_views(target.database)}.llm_calls "
        "WHERE start_time >= '2025-10-09' AND start_time < '2025-10-10'"
    ).result_rows
    text = "\n".join(row[0] for row in plan)
    assert "Condition: and((toDate(start_time) in" in text
    assert "project" in text.partition("PrimaryKey")[2]
