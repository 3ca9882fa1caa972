"""Pricing anew over the API: what is asked for, how it goes on line by line, and how it ends."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from spanledger.query_api.prices import routes
from spanledger.query_api.prices.reprice import Progress
from spanledger.schemas.errors import Busy
from spanledger.schemas.price_api import RepriceProgress, RepriceRuns

PATH = "/api/v1/prices/reprice"
ASKED = {"start": "2026-01-01T00:00:00Z", "end": "2026-02-01T00:00:00Z", "reason": "contract 7", "who": "ada"}
BY_MODEL = [
    {
        "provider": "openai",
        "model": "gpt-4o",
        "spans": 3,
        "old_usd": Decimal("0.5"),
        "new_usd": Decimal("0.25"),
    }
]


def progress(done, *, finished=False):
    difference = Decimal("-0.000000000000000001") * done
    return Progress("run-1", done, 10, done // 2, difference, finished, BY_MODEL if finished else [])


@pytest.fixture
def engine(monkeypatch):
    """An engine that counts to ten; what it was asked for, and whether it was closed."""
    seen = {"closed": threading.Event()}

    def reprice(client, plan, preference):
        seen.update(plan=plan, preference=preference, one=client.command("SELECT 1"))
        try:
            yield progress(5)
            if "fails" in plan.why:
                raise Busy("the database went away")
            yield progress(10, finished=True)
        finally:
            seen["closed"].set()

    monkeypatch.setattr(routes, "reprice", reprice)
    return seen


def lines(answer):
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


def test_every_step_is_a_line_and_the_last_is_the_result(api, engine):
    first, last = lines(api.post(PATH, json=ASKED))
    for line in (first, last):
        RepriceProgress.model_validate(line)
    assert (first["done_spans"], first["finished"], first["by_model"]) == (5, False, [])
    assert (last["done_spans"], last["total_spans"], last["finished"]) == (10, 10, True)
    assert first["difference_usd"] == "-0.000000000000000005"
    assert last["by_model"] == [BY_MODEL[0] | {"old_usd": "0.5", "new_usd": "0.25"}]
    assert engine["closed"].wait(5)


def test_the_engine_gets_what_was_asked_for(make_api, engine, project):
    api = make_api(cost_preference="computed")
    lines(api.post(PATH, json=ASKED | {"provider": "openai", "model": "gpt-4o", "unpriced_only": True}))
    assert engine["plan"]._asdict() == {
        "since_ns": 1_767_225_600 * 10**9,
        "until_ns": 1_769_904_000 * 10**9,
        "provider": "openai",
        "model": "gpt-4o",
        "unpriced_only": True,
        "who": "ada",
        "why": "contract 7",
        "dry_run": False,
        "project": project,
    }
    assert (engine["preference"], engine["one"]) == ("computed", 1)
    lines(api.post(PATH, json={"start": ASKED["start"], "end": ASKED["end"], "dry_run": True}))
    assert (engine["plan"].dry_run, engine["plan"].why) == (True, "")


def test_a_failure_under_way_is_the_last_line_and_the_next_request_is_served(api, engine):
    first, last = lines(api.post(PATH, json=ASKED | {"reason": "fails"}))
    assert first["done_spans"] == 5
    assert last == {"error": "the database went away"}
    assert engine["closed"].wait(5)
    assert lines(api.post(PATH, json=ASKED))[-1]["finished"] is True


def test_what_fails_at_once_is_an_answer_like_any_other(api, monkeypatch):
    def reprice(*_):
        raise Busy("the database is away")

    monkeypatch.setattr(routes, "reprice", reprice)
    answer = api.post(PATH, json=ASKED)
    assert (answer.status_code, answer.json()["detail"]) == (503, "the database is away")


def test_while_one_prices_anew_others_are_told_to_wait(api, monkeypatch):
    started, go_on = threading.Event(), threading.Event()

    def reprice(*_):
        started.set()
        go_on.wait(20)
        yield progress(10, finished=True)

    monkeypatch.setattr(routes, "reprice", reprice)
    monkeypatch.setattr(api.app.state.writer, "_patience_s", 0.05)
    running = threading.Thread(target=lambda: api.post(PATH, json=ASKED))
    running.start()
    try:
        assert started.wait(10)
        answer = api.post("/api/v1/prices/overrides", json={"match_value": "x", "discount_percent": "1"})
        assert answer.status_code == 503
        assert answer.json()["detail"] == "Another request is writing prices, or the rows of an import"
        assert api.get("/api/v1/prices/lists").status_code == 200
    finally:
        go_on.set()
        running.join()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"start": "yesterday"}, "start: not a time"),
        ({"end": "2025-01-01T00:00:00Z"}, "start must be before end"),
        ({"reason": " "}, "reason: say why"),
        ({"start": None}, "body.start"),
        ({"dry_run": "yes"}, "allowed: true or false"),
        ({"modle": "x"}, "no such parameter; allowed: start, end, provider, model"),
    ],
)
def test_a_wrong_request_is_refused_with_what_is_allowed(api, engine, change, words):
    answer = api.post(PATH, json=ASKED | change)
    assert answer.status_code == 400
    assert words in answer.json()["detail"]
    assert "plan" not in engine


def test_the_repricings_there_were_are_told_newest_first(api, writer, project):
    names = (
        "run",
        "started_at",
        "finished_at",
        "who",
        "why",
        "since",
        "until",
        "condition",
        "changed_spans",
        "difference_usd",
    )
    since, until = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
    for number, finished in ((1, until), (2, None)):
        started = datetime(2026, 3, number, 12, tzinfo=UTC)
        row = [f"{project}-{number}", started, finished, "ada", "contract 7", since, until, "provider openai"]
        writer.insert("reprice_runs", [[*row, 4, Decimal("-0.5")]], column_names=names)
    found = api.get("/api/v1/prices/reprices").json()
    RepriceRuns.model_validate(found)
    ours = [run for run in found["runs"] if run["run"].startswith(project)]
    assert [run["run"] for run in ours] == [f"{project}-2", f"{project}-1"]
    assert ours[1] == {
        "run": f"{project}-1",
        "started_at": "2026-03-01T12:00:00.000000000Z",
        "finished_at": "2026-02-01T00:00:00.000000000Z",
        "who": "ada",
        "why": "contract 7",
        "since": "2026-01-01T00:00:00.000000000Z",
        "until": "2026-02-01T00:00:00.000000000Z",
        "condition": "provider openai",
        "changed_spans": 4,
        "difference_usd": "-0.5",
    }
    assert ours[0]["finished_at"] is None
