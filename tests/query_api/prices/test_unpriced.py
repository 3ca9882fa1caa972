"""Models without a price: what is missing from the ledger's money, most calls first."""

from __future__ import annotations

import pytest
from otlp_requests import SECOND, llm_span, request

from spanledger.schemas.price_api import Unpriced

PATH = "/api/v1/prices/unpriced"
T0 = 1_760_000_000 * SECOND  # 2025-10-09T08:53:20Z


def call(model, at=0, **more):
    made = llm_span(model=model, **more)
    made.start_time_unix_nano, made.end_time_unix_nano = T0 + at * SECOND, T0 + (at + 1) * SECOND
    return made


def test_models_without_a_price_are_listed_with_their_calls_and_tokens(api, ingest):
    ingest(
        request(
            call("gpt-4o-mini"),
            call("house-model", 10, input_tokens=5, output_tokens=1),
            call("house-model", 5, input_tokens=7, output_tokens=2),
            call("other-model", 20, provider="house"),
            call("gpt-4o-mini", 30, input_tokens=None, output_tokens=None),
        )
    )
    found = api.get(PATH).json()
    Unpriced.model_validate(found)
    assert [(row["provider"], row["model"], row["reason"], row["calls"]) for row in found["models"]] == [
        ("openai", "house-model", "unknown_model", 2),
        ("openai", "gpt-4o-mini", "no_usage", 1),
        ("house", "other-model", "unknown_provider", 1),
    ]
    first = found["models"][0]
    assert (first["input_tokens"], first["output_tokens"]) == (12, 3)
    assert (first["first_seen"], first["last_seen"]) == (
        "2025-10-09T08:53:25.000000000Z",
        "2025-10-09T08:53:30.000000000Z",
    )
    assert found["more"] is False


def test_only_calls_of_the_asked_time_and_project_count(api, ingest, make_api):
    ingest(request(call("house-model", 0), call("house-model", 10), call("other-model", 20)))
    query = {"start": "2025-10-09T08:53:25Z", "end": "2025-10-09T08:53:40Z"}
    found = api.get(PATH, params=query).json()["models"]
    assert [(row["model"], row["calls"]) for row in found] == [("house-model", 1)]
    assert make_api(project="another").get(PATH).json()["models"] == []


def test_a_call_that_is_sent_twice_is_one(api, ingest):
    sent = request(call("house-model"))
    ingest(sent)
    ingest(sent)
    assert api.get(PATH).json()["models"][0]["calls"] == 1


def test_where_there_are_more_than_asked_for_that_is_said(api, ingest):
    ingest(request(call("house-model"), call("other-model")))
    found = api.get(PATH, params={"limit": 1}).json()
    assert (len(found["models"]), found["more"]) == (1, True)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"start": "yesterday"}, "an RFC 3339 time"),
        ({"start": "2026-01-02T00:00:00Z", "end": "2026-01-01T00:00:00Z"}, "start must be before end"),
        ({"limit": 0}, "a whole number from 1"),
        ({"tenant": "x"}, "no such parameter; allowed: start, end, limit, project"),
    ],
)
def test_a_wrong_parameter_is_named(idle_api, query, words):
    answer = idle_api.get(PATH, params=query)
    assert answer.status_code == 400
    assert words in answer.json()["detail"]
