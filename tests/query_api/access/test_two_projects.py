"""Two projects in one ledger: what one has and does changes no answer that the other gets."""

from __future__ import annotations

import json
import secrets
import threading
import time

import pytest
from otlp_logs import logs_request, record
from otlp_requests import llm_span, request
from routes import filled

from spanledger.collector.gate import check
from spanledger.collector.rows.block import Request
from spanledger.collector.rows.tables import TABLES
from spanledger.collector.store import Store
from spanledger.query_api.access.scopes import SCOPE_OF
from spanledger.query_api.turns import ASKING
from spanledger.schemas.settings import Settings

WORD = "aardvark"  # what the other project says of everything
SHARED, THEIRS = bytes.fromhex("ab" * 16), bytes.fromhex("cd" * 16)
CONDITIONS = [*({name: WORD} for name in ("user", "q", "model")), {"sort": "cost"}, {"count": "true"}]
SPAN_WHERES = [
    {"text": WORD},
    {"attribute": "secret", "value": WORD},
    {"not": {"field": "user", "value": WORD}},
]
VIEWS = ["spans", "traces", "llm_calls", "events", "links", "logs", "otel_traces"]
# Not views, and yet there.
TABLES_OF_THE_LEDGER = [
    "api_keys", "cost_changes", "cost_history", "deleted_traces", "deletions", "migrations", "price_lists",
    "price_overrides", "projects", "retention", "trace_times",
]  # fmt: skip


@pytest.fixture
def put(own_target):
    """Store an OTLP request under a project of the guarded ledger."""
    store = Store(own_target, Settings())

    def put(sent, under, table="spans"):
        body = sent.SerializeToString()
        good = check(body, 32, TABLES[table]).spans
        store.insert([Request(body, under, time.time_ns(), good, table=table)])

    yield put
    store.close()


@pytest.fixture
def projects():
    """Two names, of this test alone."""
    return [f"{name}-{secrets.token_hex(4)}" for name in ("mine", "theirs")]


@pytest.fixture
def keys(make_key, projects):
    """A key for each, that may do anything in its project."""
    return [make_key(name, "admin")["key"] for name in projects]


def telling(trace=None):
    """A span that says the word wherever one can stand."""
    names = ("user__id", "gen_ai__conversation__id", "gen_ai__agent__name", "error__type", "secret")
    said = dict.fromkeys(names, WORD)
    return llm_span(trace, model=WORD, provider=WORD, gen_ai__input__messages=WORD, **said)


def reads():
    """Requests that change nothing, one at least for every route that reads a project."""
    for (method, template), needed in SCOPE_OF.items():
        if method == "GET" and needed not in (None, "root") and template.startswith("/api/"):
            path = filled(template.replace("{trace_id}", SHARED.hex()))
            yield method, path.replace("word", WORD), {}
    for path in ("conversation", "user"):
        yield "GET", f"/api/v1/{path}", {"params": {"id": WORD}}
    yield "GET", f"/api/v1/traces/{THEIRS.hex()}", {}
    for path in ("traces", "spans", "stats", "facets"):
        for params in CONDITIONS:
            yield "GET", f"/api/v1/{path}", {"params": params}
    for where in SPAN_WHERES:
        yield "POST", "/api/v1/spans/search", {"json": {"where": where, "count": True}}
        yield "POST", "/api/v1/traces/search", {"json": {"where": {"any_span": where}, "count": True}}
    for view in VIEWS:
        yield "POST", "/api/v1/sql", {"json": {"query": f"SELECT * FROM {view}"}}
    for what in ({"user": WORD}, {"conversation": WORD}, {"trace_ids": [SHARED.hex(), THEIRS.hex()]}):
        yield "POST", "/api/v1/deletions", {"json": {**what, "dry_run": True}}
    for table in ("spans", "logs"):
        params = {"format": "otlp", "table": table}
        yield "GET", f"/api/v1/traces/{SHARED.hex()}", {"params": {"format": "otlp"}}
        yield "GET", "/api/v1/export", {"params": params}


def told(ask, key):
    """What everything that can be asked is answered with, but for the time of the answer."""
    answers = {}
    for method, path, sent in reads():
        answer = ask(key, method, path, **sent)
        assert answer.status_code < 500, (path, answer.text)
        answers[method, path, json.dumps(sent)] = (answer.status_code, answer.content)
    return answers


def test_nothing_that_a_project_has_or_does_is_in_an_answer_to_another(ask, keys, projects, put):
    """Both have a trace of the same id, one of which is deleted: each has its own."""
    mine, theirs = keys
    put(request(llm_span(SHARED)), projects[0])
    before = told(ask, mine)
    assert sum(status == 200 for status, _ in before.values()) > 40
    put(request(telling(SHARED), telling(THEIRS), telling()), projects[1])
    put(logs_request(record(SHARED)), projects[1], "logs")
    assert told(ask, mine) == before
    deletion = ask(theirs, "POST", "/api/v1/deletions", json={"trace_ids": [SHARED.hex()], "reason": WORD})
    assert deletion.status_code == 202
    assert ask(theirs, "PUT", "/api/v1/retention", json={"days": 3}).status_code == 200
    assert ask(theirs, "GET", f"/api/v1/traces/{SHARED.hex()}").status_code == 404
    assert told(ask, mine) == before


def test_of_another_projects_ids_is_said_what_is_said_of_none(ask, keys, make_key, projects):
    """Of deletions, keys and projects: nobody can find out which there are."""
    mine, theirs = keys
    wanted = {"trace_ids": [THEIRS.hex()], "reason": "a"}
    made = ask(theirs, "POST", "/api/v1/deletions", json=wanted).json()["id"]
    key_id = make_key(projects[1], "read")["id"]
    for path, there, none in (
        ("/api/v1/deletions", made, "0" * 32),
        ("/api/v1/projects", projects[1], "nobody"),
        ("/api/v1/traces?project=", projects[1], "nobody"),
    ):
        place = path if path.endswith("=") else f"{path}/"
        answers = [ask(mine, "GET", place + one) for one in (there, none)]
        assert [answer.status_code for answer in answers] == [404, 404]
        assert answers[0].text.replace(there, none) == answers[1].text
    answers = [ask(mine, "DELETE", f"/api/v1/keys/{one}") for one in (key_id, "0" * 12)]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].text.replace(key_id, "0" * 12) == answers[1].text
    page = ask(mine, "GET", "/api/v1/deletions", params={"cursor": "f" * 32}).json()
    assert page["deletions"] == []


@pytest.mark.parametrize("table", TABLES_OF_THE_LEDGER)
def test_no_table_of_the_ledger_is_read_in_sql(ask, keys, own_target, table):
    """Whatever a migration has added: nothing but views can be named."""
    for place in ("", f"{own_target.database}.", f"`{own_target.database}`.", f"{own_target.database}_sql."):
        answer = ask(keys[0], "POST", "/api/v1/sql", json={"query": f"SELECT count() FROM {place}{table}"})
        assert answer.status_code == 400, answer.text
        other = ask(keys[0], "POST", "/api/v1/sql", json={"query": f"SELECT 1 IN {place}{table}"})
        assert other.status_code == 400, other.text


@pytest.mark.parametrize(
    "path",
    ["//api/v1/traces", "/api/v1/traces/", "/api/v1//traces", "/API/v1/traces", "/api/v1/%74races",
     "/api/v1/traces%0a", "/api/v1/keys%0a", "/api/v1/conversations/..%2f..%2fkeys",
     "/api/v1/conversations/../keys", "/api/v1/users/%00", "/api/v1/users/a%0ab", "/api/v1/sql/..;/keys"],
)  # fmt: skip
def test_a_path_in_another_spelling_opens_no_door(ask, make_key, path):
    """It is nothing, or the same route under the same terms."""
    sender = make_key("alpha", "ingest")["key"]
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PROPFIND"):
        assert ask("no-key", method, path).status_code == 401
        assert ask(sender, method, path).status_code in {403, 404, 405}


def test_a_project_with_many_slow_queries_does_not_keep_another_waiting(guarded, make_key):
    """Through the API: what its key says is whose the turn is."""
    readers = guarded.app.state.readers
    entered, leave = threading.Semaphore(0), threading.Event()

    def slow(_client):
        entered.release()
        leave.wait(30)

    async def hold():
        ASKING.set("alpha")
        await readers.run(slow)

    key = make_key("beta", "read")["key"]
    headers = {"X-API-KEY": key}
    assert guarded.get("/api/v1/traces", headers=headers).status_code == 200
    holding = [guarded.portal.start_task_soon(hold) for _ in range(8)]
    for _ in range(3):
        entered.acquire()
    seen = [guarded.get("/api/v1/traces", headers=headers).status_code for _ in range(3)]
    leave.set()
    for one in holding:
        one.result()
    assert seen == [200, 200, 200]


@pytest.mark.parametrize("path", ["traces", "spans", "conversations", "users", "conversations/same"])
def test_a_cursor_of_one_project_is_none_in_another(ask, keys, projects, put, path):
    """It would tell nothing, and go on at a place that this list does not have."""
    for name in projects:
        put(request(*(llm_span(user__id=f"u{n}", gen_ai__conversation__id=f"c{n}") for n in range(3))), name)
        put(request(*(llm_span(gen_ai__conversation__id="same") for _ in range(3))), name)
    cursor = ask(keys[0], "GET", f"/api/v1/{path}", params={"limit": 1}).json()["next_cursor"]
    assert cursor
    own, other = (ask(key, "GET", f"/api/v1/{path}", params={"limit": 1, "cursor": cursor}) for key in keys)
    assert own.status_code == 200
    assert (other.status_code, "belongs to another" in other.text) == (400, True)
