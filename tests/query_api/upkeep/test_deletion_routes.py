"""Deletion and retention over the API: what is asked for, what is told, and who may ask."""

from __future__ import annotations

import hashlib
import secrets
import time

import pytest
from otlp_logs import logs_request, record
from otlp_requests import llm_span, request
from processes import wait_until

from spanledger.query_api.upkeep import keeper
from spanledger.schemas.deletion_api import Deletions, DeletionState, RetentionState
from spanledger.schemas.removals import DAY_NS

PATH = "/api/v1/deletions"


def ask(api, **what):
    answer = api.post(PATH, json={"reason": "art. 17", "who": "ann"} | what)
    assert answer.status_code in {200, 202}, answer.text
    DeletionState.model_validate(answer.json())
    return answer.json()


def shown(api, trace):
    return api.get(f"/api/v1/traces/{trace.hex()}").status_code == 200


def test_a_trace_is_in_no_answer_when_the_request_is_answered(api, ingest, ingest_logs):
    trace, other = secrets.token_bytes(16), secrets.token_bytes(16)
    ingest(request(llm_span(trace), llm_span(other)))
    ingest_logs(logs_request(record(trace)))
    assert shown(api, trace)
    told = ask(api, trace_ids=[trace.hex().upper()])
    assert not shown(api, trace)
    assert shown(api, other)
    assert [one["trace_id"] for one in api.get("/api/v1/traces").json()["traces"]] == [other.hex()]
    assert (told["state"], told["traces"], told["spans"], told["logs"]) == ("hidden", 1, 1, 1)
    assert api.get(f"{PATH}/{told['id']}").json()["reason"] == "art. 17"


def test_the_state_goes_on_by_itself_until_it_is_done(make_api, ingest, monkeypatch):
    monkeypatch.setattr(keeper, "SETTLE", keeper.timedelta(0))
    monkeypatch.setattr(keeper.Keeper.__init__, "__kwdefaults__", {"settle": keeper.timedelta(0)})
    api = make_api()
    trace = secrets.token_bytes(16)
    ingest(request(llm_span(trace)))
    told = ask(api, trace_ids=[trace.hex()])
    wait_until(lambda: api.get(f"{PATH}/{told['id']}").json()["state"] == "done", 90)
    done = api.get(f"{PATH}/{told['id']}").json()
    assert done["asked_at"] < done["hidden_at"] <= done["erased_at"] <= done["done_at"]


def test_a_dry_run_counts_and_deletes_nothing(api, ingest, ingest_logs):
    trace = secrets.token_bytes(16)
    ingest(request(llm_span(trace, user__id="ada"), llm_span(trace), llm_span(user__id="ada")))
    ingest_logs(logs_request(record(trace), record(trace)))
    told = ask(api, user="ada", dry_run=True, reason="")
    assert (told["id"], told["state"]) == (None, None)
    assert [told[name] for name in ("traces", "spans", "logs", "cost_changes")] == [2, 3, 2, 0]
    assert shown(api, trace)
    assert api.get(PATH).json() == {"deletions": [], "next_cursor": None}
    wet = ask(api, user="ada")
    assert [wet[name] for name in ("traces", "spans", "logs")] == [2, 3, 2]


def test_copies_of_a_span_count_once(api, ingest):
    sent = request(llm_span(user__id="eve"))
    ingest(sent)
    ingest(sent)
    assert ask(api, user="eve", dry_run=True)["spans"] == 1


def test_two_projects_cannot_delete_or_see_each_others(make_api, ingest, project):
    """The same ids, users and deletions of another project do not exist for it."""
    trace = secrets.token_bytes(16)
    ingest(request(llm_span(trace, user__id="ada", gen_ai__conversation__id="talk")))
    mine, theirs = make_api(), make_api(project=f"{project}-b")
    for what in ({"trace_ids": [trace.hex()]}, {"user": "ada"}, {"conversation": "talk"}):
        assert ask(theirs, dry_run=True, **what)["spans"] == 0
        assert ask(theirs, **what)["spans"] == 0
    assert shown(mine, trace)
    told = ask(mine, trace_ids=[trace.hex()])
    assert theirs.get(f"{PATH}/{told['id']}").status_code == 404
    assert told["id"] not in [one["id"] for one in theirs.get(PATH).json()["deletions"]]


def test_the_journal_tells_newest_first_page_by_page(api):
    made = [ask(api, user=f"user-{n}")["id"] for n in range(5)]
    first = api.get(PATH, params={"limit": 3}).json()
    Deletions.model_validate(first)
    second = api.get(PATH, params={"limit": 3, "cursor": first["next_cursor"]}).json()
    ids = [one["id"] for one in first["deletions"] + second["deletions"]]
    assert ids == made[::-1]
    assert second["next_cursor"] is None
    newest = first["deletions"][0]
    assert newest["subject_sha256"] == hashlib.sha256(f"{made[-1]}\nuser-4".encode()).hexdigest()
    assert "user-4" not in str(first)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "exactly one is needed of trace_ids, user and conversation"),
        ({"user": "a", "conversation": "b"}, "exactly one is needed"),
        ({"trace_ids": ["x"]}, "'x' is no trace id; allowed: 32 hexadecimal digits"),
        ({"trace_ids": ["0" * 32]}, "32 hexadecimal digits, not all 0"),
        ({"trace_ids": ["1" * 32] * 1001}, "a list of up to 1000 ids"),
        ({"user": "a", "reason": " "}, "reason: say why"),
        ({"user": "a" * 1001}, "text of up to 1000 characters"),
        ({"usr": "a"}, "no such parameter; allowed: trace_ids, user, conversation"),
        ({"user": "a", "dry_run": "yes"}, "true or false"),
    ],
)
def test_a_wrong_request_is_refused_with_what_is_allowed(idle_api, body, words):
    answer = idle_api.post(PATH, json={"reason": "x"} | body)
    assert answer.status_code == 400
    assert words in answer.text


def test_a_deletion_that_there_is_not_is_not_found(idle_api):
    assert idle_api.get(f"{PATH}/{'0' * 32}").status_code == 404
    assert idle_api.get(f"{PATH}/x").status_code == 400
    assert idle_api.get(PATH, params={"cursor": "x"}).status_code == 400


def test_hostile_ids_are_texts_like_any_other(api, ingest):
    """What means something to SQL means nothing here."""
    ingest(request(llm_span(user__id="ada")))
    for hostile in ("' OR 1=1 --", "%", "*", "\\", "{id:String}", "ada'", "a\nda", "\u0000"):
        assert ask(api, user=hostile)["traces"] == 0
        assert ask(api, conversation=hostile)["traces"] == 0


def test_retention_is_set_told_and_given_up(make_api):
    api = make_api(retention_days=90)
    path = "/api/v1/retention"
    assert api.get(path).json() | {"kept_from": None} == {
        "days": 90,
        "source": "default",
        "default_days": 90,
        "kept_from": None,
    }
    told = api.put(path, json={"days": 7, "who": "ann"}).json()
    RetentionState.model_validate(told)
    assert (told["days"], told["source"]) == (7, "project")
    assert told["kept_from"][:10] == time.strftime("%Y-%m-%d", time.gmtime(time.time() - 7 * 86_400))
    assert api.put(path, json={"days": None}).json()["kept_from"] is None
    assert api.get(path).json()["days"] is None
    assert api.put(path, json={"days": None, "use_default": True}).json()["source"] == "default"
    assert api.get(path).json()["days"] == 90


def test_retention_of_one_project_is_not_anothers(make_api, project):
    make_api().put("/api/v1/retention", json={"days": 7})
    assert make_api(project=f"{project}-b").get("/api/v1/retention").json()["days"] is None


@pytest.mark.parametrize("days", [0, -1, 36_501, "7", 1.5])
def test_a_wrong_retention_is_refused(idle_api, days):
    answer = idle_api.put("/api/v1/retention", json={"days": days})
    assert answer.status_code == 400
    assert "a whole number from 1 to 36500, or null" in answer.text


def test_what_is_too_old_goes_when_retention_is_set(api, ingest):
    """Without waiting for the next look of the keeper."""
    old, new = llm_span(), llm_span()
    old.start_time_unix_nano = time.time_ns() - 10 * DAY_NS
    ingest(request(old, new))
    api.put("/api/v1/retention", json={"days": 5})
    wait_until(lambda: not shown(api, old.trace_id), 20)
    assert shown(api, new.trace_id)
