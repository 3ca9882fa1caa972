"""The questions: each as a request to the API and as the SQL that one who knows the tables would write."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode

import numpy as np

from bench.ids import Ids
from bench.query.ledger import DAY_NS, FIRST_DAY_NS, LARGE_TRACE_ID, Ledger
from bench.workload import SPANS_IN_TRACE

PROJECT = "default"
_MODELS = ("gpt-4o", "gpt-4o-mini", "gpt-5", "claude-sonnet-4-5", "gemini-2.5-pro")


class Asked(NamedTuple):
    """A path with its query, and the SQL with its parameters."""

    path: str
    sql: str
    parameters: dict[str, Any]


class Question(NamedTuple):
    """`ask` makes one of its kind, a different one each time. Bounds in milliseconds, for p50 and p95."""

    name: str
    ask: Callable[[random.Random], Asked]
    p50_ms: float
    p95_ms: float
    times: int = 60


# The columns of a list row, as far as they are stored: no content and no attributes.
_LIST = """
    lower(hex(trace_id)), lower(hex(span_id)), lower(hex(parent_span_id)), name, service, role, provider,
    request_model, response_model, status_code, error_type, toUnixTimestamp64Nano(start_time),
    toUnixTimestamp64Nano(end_time), duration_ns, input_tokens, output_tokens, cost_usd, user_id,
    conversation_id, tags
"""
_IN_TIME = """
    project = {project:String}
    AND start_time >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')
    AND start_time < fromUnixTimestamp64Nano({until:Int64}, 'UTC')
"""
_WHOLE = "SELECT * FROM spans FINAL WHERE project = {project:String} AND trace_id = unhex({trace:String})"
# All that a row of the list tells.
_NEWEST = f"""
WITH newest AS (
    SELECT trace_id FROM spans FINAL WHERE {_IN_TIME}
    GROUP BY trace_id ORDER BY min(start_time) DESC, trace_id DESC LIMIT 50
)
SELECT
    lower(hex(trace_id)) AS id, min(start_time) AS start, max(greatest(start_time, end_time)), count(),
    argMin(
        (lower(hex(span_id)), name, service, status_code),
        (
            multiIf(
                parent_span_id = toFixedString('', 8), 0,
                (trace_id, parent_span_id) NOT IN (SELECT trace_id, span_id FROM spans WHERE {_IN_TIME}), 1,
                2
            ),
            start_time,
            span_id
        )
    ),
    countIf(status_code = 2), countIf(counted AND role = 'LLM'), sumIf(input_tokens, counted),
    sumIf(output_tokens, counted), sumIf(cost_usd, counted), countIf(counted AND cost_usd IS NULL),
    arraySort(groupUniqArrayIf(if(response_model = '', request_model, response_model), response_model != '')),
    argMinIf(conversation_id, (start_time, span_id), conversation_id != ''),
    argMinIf(user_id, (start_time, span_id), user_id != ''),
    argMinIf(experiment_id, (start_time, span_id), experiment_id != '')
FROM spans FINAL WHERE {_IN_TIME} AND trace_id IN newest GROUP BY trace_id ORDER BY start DESC
"""
_PAGE = f"SELECT {_LIST} FROM spans FINAL WHERE {_IN_TIME} AND (@WHERE@) ORDER BY start_time DESC LIMIT 50"
_STATS = f"""
SELECT response_model AS model, toDate(start_time) AS day, count(), countIf(status_code = 2),
    sum(input_tokens), sum(output_tokens), sum(cache_read_tokens), sum(cache_write_tokens),
    sum(reasoning_tokens), sum(cost_usd), countIf(cost_usd IS NULL),
    quantiles(0.5, 0.95, 0.99)(duration_ns), avg(duration_ns), max(duration_ns),
    quantiles(0.5, 0.95, 0.99)(time_to_first_chunk_s), avg(time_to_first_chunk_s), max(time_to_first_chunk_s),
    median(output_tokens / duration_ns), sum(output_tokens) / sum(duration_ns)
FROM spans FINAL WHERE {_IN_TIME} AND counted GROUP BY model, day ORDER BY model, day
"""


def questions(ledger: Ledger, phrases: Sequence[str]) -> list[Question]:
    """All of them. `phrases`: some that stand in few prompts or answers."""
    ids = Ids(ledger.workload().seed)
    traces = ledger.spans // SPANS_IN_TRACE

    def trace(chance: random.Random) -> Asked:
        return _trace(_trace_id(ids, chance.randrange(traces)))

    def newest(_: random.Random) -> Asked:
        until = ledger.end_ns
        # A person would look at the last minutes; 50 traces began within two.
        return Asked("/api/v1/traces?limit=50", _NEWEST, _time(until - 240 * 10**9, until + DAY_NS))

    def filtered(chance: random.Random) -> Asked:
        model = chance.choice(_MODELS)
        where = "(request_model = {model:String} OR response_model = {model:String}) AND status_code = 2"
        return _page(ledger, chance, {"model": model, "status": "error"}, where, {"model": model})

    def attribute(chance: random.Random) -> Asked:
        tenant, step = f"tenant-{chance.randrange(40)}", chance.randrange(12)
        asked = [f'span:app.tenant = "{tenant}"', f"span:app.step = {step}", 'span:app.variant = "control"']
        where = (
            "attributes_string['app.tenant'] = {tenant:String} AND attributes_int['app.step'] = {step:Int64} "
            "AND attributes_string['app.variant'] = 'control'"
        )
        return _page(ledger, chance, {"attribute": asked}, where, {"tenant": tenant, "step": step})

    def text(chance: random.Random) -> Asked:
        phrase = chance.choice(phrases)
        where = (
            "(content_json['gen_ai.input.messages'] ILIKE {like:String} "
            "OR content_json['gen_ai.output.messages'] ILIKE {like:String} "
            "OR content_string['gen_ai.input.messages'] ILIKE {like:String} "
            "OR content_string['gen_ai.output.messages'] ILIKE {like:String})"
        )
        return _page(ledger, chance, {"q": phrase}, where, {"like": f"%{phrase}%"})

    def stats(_: random.Random) -> Asked:
        since, until = FIRST_DAY_NS, ledger.end_ns
        path = f"/api/v1/stats?group_by=model&bucket=day&start={_moment(since)}&end={_moment(until)}"
        return Asked(path, _STATS, _time(since, until))

    return [
        Question("trace by id", trace, 25, 60),
        Question("newest page of 50 traces", newest, 40, 100),
        Question("page of spans by model, error and a day", filtered, 50, 120),
        Question("page of spans by three attributes in a day", attribute, 80, 200),
        Question("page of spans by text in a day", text, 250, 600, 30),
        Question("stats by model and day over all days", stats, 800, 1500, 10),
        Question("tree of 10,000 spans", lambda _: _trace(LARGE_TRACE_ID.hex()), 800, 1500, 10),
    ]


def _trace(trace_id: str) -> Asked:
    return Asked(f"/api/v1/traces/{trace_id}", _WHOLE, {"project": PROJECT, "trace": trace_id})


def _trace_id(ids: Ids, number: int) -> str:
    return ids.traces(np.array([number * SPANS_IN_TRACE], dtype=np.uint64)).tobytes().hex()


def _page(
    ledger: Ledger, chance: random.Random, asked: Mapping[str, Any], where: str, more: Mapping[str, Any]
) -> Asked:
    day = chance.randrange(ledger.days - 1)
    since = FIRST_DAY_NS + day * DAY_NS
    query = {"start": _moment(since), "end": _moment(since + DAY_NS), "limit": 50, **asked}
    path = f"/api/v1/spans?{urlencode(query, doseq=True)}"
    return Asked(path, _PAGE.replace("@WHERE@", where), _time(since, since + DAY_NS) | dict(more))


def _time(since: int, until: int) -> dict[str, Any]:
    return {"project": PROJECT, "since": since, "until": until}


def _moment(ns: int) -> str:
    return datetime.fromtimestamp(ns / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
