"""Conversations and users: everything of one together, wherever it lies, and turn by turn."""

from __future__ import annotations

import json
import secrets
from urllib.parse import quote

import pytest
from otlp_requests import SECOND, llm_span, request, span

from spanledger.query_api.search import windows as windows_module
from spanledger.schemas.sessions_api import ConversationDetail, ConversationPage, UserDetail, UserPage

CONVERSATIONS = "/api/v1/conversations"
USERS = "/api/v1/users"
T0 = 1_760_000_000 * SECOND  # 2025-10-09T08:53:20Z
DAY = 86_400
MODELS = {CONVERSATIONS: ConversationPage, USERS: UserPage}


def at(second, made):
    made.start_time_unix_nano = T0 + round(second * SECOND)
    made.end_time_unix_nano = T0 + round((second + 1) * SECOND)
    return made


def messages(role, *texts):
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]} for text in texts])


def turn(second, *, conversation="talk", user="", asked="hello", answered="hi", model="gpt-4o-mini"):
    """A trace: a root that names conversation and user, and a call below it that names neither."""
    trace = secrets.token_bytes(16)
    names = {"gen_ai.conversation.id": conversation, "user.id": user}
    root = at(second, span(trace, {key: value for key, value in names.items() if value}, name="turn"))
    call = llm_span(
        trace,
        model=model,
        gen_ai__input__messages=messages("user", asked),
        gen_ai__output__messages=messages("assistant", answered),
    )
    call.parent_span_id = root.span_id
    return [root, at(second + 0.5, call)]


def listed(api, path=CONVERSATIONS, **query):
    answer = api.get(path, params=query)
    assert answer.status_code == 200, answer.text
    MODELS[path].model_validate(answer.json())
    return answer.json()


def ids(page):
    return [each["id"] for each in page.get("conversations", page.get("users"))]


def pages(api, path=CONVERSATIONS, **query):
    found = []
    while True:
        page = listed(api, path, **query)
        found.append(ids(page))
        if page["next_cursor"] is None:
            return found
        query["cursor"] = page["next_cursor"]


def joined(lists):
    return [each for one in lists for each in one]


def detail(api, session_id, path=CONVERSATIONS, **query):
    answer = api.get(f"{path}/{quote(session_id, safe='')}", params=query)
    assert answer.status_code == 200, answer.text
    (ConversationDetail if path == CONVERSATIONS else UserDetail).model_validate(answer.json())
    return answer.json()


def test_a_conversation_is_all_spans_of_its_traces(api, ingest):
    first, second = turn(0, user="ann"), turn(2 * DAY, model="house-model")
    second[1].status.code = 2
    ingest(request(*first, *second))
    [found] = listed(api)["conversations"]
    assert found == {
        "id": "talk",
        "traces": 2,
        "first_time": "2025-10-09T08:53:20.000000000Z",
        "last_time": "2025-10-11T08:53:21.500000000Z",
        "duration_ms": 172_801_500.0,
        "spans": 4,
        "calls": 2,
        "errors": 1,
        "input_tokens": 2000,
        "output_tokens": 200,
        "total_tokens": 2200,
        **dict.fromkeys(("cache_read_tokens", "cache_write_tokens", "reasoning_tokens")),
        **dict.fromkeys(("input_audio_tokens", "output_audio_tokens")),
        "cost_usd": "0.00021",
        "unpriced_calls": 1,
        "models": ["gpt-4o-mini", "house-model"],
        "last_named_at": "2025-10-11T08:53:20.000000000Z",
    }
    assert [each["traces"] for each in listed(api, USERS)["users"]] == [1]


def test_replays_change_nothing(api, ingest):
    sent = request(*turn(0, user="ann"), *turn(5))
    ingest(sent)
    before = listed(api), listed(api, USERS), detail(api, "talk"), detail(api, "ann", USERS)
    ingest(sent)
    assert (listed(api), listed(api, USERS), detail(api, "talk"), detail(api, "ann", USERS)) == before


def test_a_call_that_names_its_own_conversation_is_of_that_one(api, ingest):
    root, call = turn(0)
    apart = at(0.7, llm_span(root.trace_id, gen_ai__conversation__id="other"))
    ingest(request(root, call, apart))
    found = {each["id"]: (each["traces"], each["calls"]) for each in listed(api)["conversations"]}
    assert found == {"talk": (1, 1), "other": (1, 1)}


@pytest.mark.parametrize("rows", [1, 7, 20_000])
def test_every_one_stands_in_the_list_once_newest_first(api, ingest, monkeypatch, rows):
    monkeypatch.setattr(windows_module, "FIRST_ROWS", rows)
    spans = []
    for n in range(30):  # each of ten is named three times, days apart
        spans += turn((n * 7 % 30) * 3000, conversation=f"c{n % 10}", user=f"u{n % 4}")
    ingest(request(*spans))
    last = {f"c{n % 10}": 0 for n in range(10)}
    for n in range(30):
        last[f"c{n % 10}"] = max(last[f"c{n % 10}"], n * 7 % 30)
    expected = sorted(last, key=lambda name: -last[name])
    assert joined(pages(api, limit=3)) == expected
    assert [len(page) for page in pages(api, limit=4)] == [4, 4, 2]
    assert sorted(joined(pages(api, USERS, limit=1))) == ["u0", "u1", "u2", "u3"]


def test_those_that_were_named_at_the_same_time_are_not_lost_between_pages(api, ingest):
    ingest(request(*(each for n in range(9) for each in turn(0, conversation=f"c{n}"))))
    found = pages(api, limit=2)
    assert sorted(joined(found)) == [f"c{n}" for n in range(9)]
    assert len(found) == 5


def test_new_activity_moves_nothing_between_pages(api, ingest):
    ingest(request(*(each for n in range(6) for each in turn(n, conversation=f"c{n}"))))
    first = listed(api, limit=3)
    ingest(request(*turn(100, conversation="c6")))
    assert ids(listed(api, limit=3, cursor=first["next_cursor"])) == ["c2", "c1", "c0"]


def test_time_and_user_choose_conversations(api, ingest):
    ingest(request(*turn(0, user="ann"), *turn(DAY, conversation="b", user="bob"), *turn(2 * DAY)))
    query = {"start": "2025-10-10T00:00:00Z", "end": "2025-10-11T00:00:00Z"}
    assert ids(listed(api, **query)) == ["b"]
    assert ids(listed(api)) == ["talk", "b"]
    assert ids(listed(api, user="bob")) == ["b"]
    assert ids(listed(api, user="nobody")) == []
    assert listed(api, end="2025-10-09T12:00:00Z")["conversations"][0]["traces"] == 2


def test_turns_are_in_order_with_what_was_said(api, ingest):
    long = "why " * 400
    history = [("user", "one"), ("assistant", "two"), ("user", "three")]
    late = turn(10, asked=long, answered="because")
    again = turn(20)
    again[1].attributes[5].value.string_value = json.dumps(
        [{"role": role, "parts": [{"type": "text", "content": text}]} for role, text in history]
    )
    ingest(request(*again, *turn(0, asked="hello", answered="hi"), *late))
    found = detail(api, "talk")
    assert [(each["input"], each["output"]) for each in found["turns"]] == [
        ("hello", "hi"),
        (long[:499] + "…", "because"),
        ("three", "hi"),
    ]
    assert [each["trace_id"] for each in found["turns"]][1] == late[0].trace_id.hex()
    assert {(each["name"], each["calls"], each["cost_usd"]) for each in found["turns"]} == {
        ("turn", 1, "0.00021")
    }
    assert (found["traces"], found["calls"], found["cost_usd"]) == (3, 3, "0.00063")


def test_the_first_question_and_the_last_answer_of_a_turn_are_shown(api, ingest):
    root, call = turn(0, asked="what is 1+1?", answered="let me see")
    last = turn(0, asked="tool said 2", answered="it is 2")[1]
    last.trace_id, last.parent_span_id = root.trace_id, root.span_id
    ingest(request(root, call, at(5, last)))
    [found] = detail(api, "talk")["turns"]
    assert (found["input"], found["output"]) == ("what is 1+1?", "it is 2")


def test_a_turn_without_calls_shows_what_its_first_span_says(api, ingest):
    attributes = {"session.id": "s", "input.value": "plain question", "output.value": "plain answer"}
    ingest(request(at(0, span(attributes=attributes | {"openinference.span.kind": "CHAIN"}))))
    [found] = detail(api, "s")["turns"]
    assert (found["input"], found["output"], found["calls"]) == ("plain question", "plain answer", 0)


def test_turns_come_in_pages(api, ingest):
    sent = [turn(n) for n in range(7)]
    ingest(request(*(each for one in sent for each in one)))
    found, query = [], {"limit": 3}
    while True:
        page = detail(api, "talk", **query)
        found.append([each["trace_id"] for each in page["turns"]])
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert [len(each) for each in found] == [3, 3, 1]
    assert joined(found) == [one[0].trace_id.hex() for one in sent]


def test_a_user_has_all_traces_and_the_conversations(api, ingest):
    ingest(request(*turn(0, user="ann"), *turn(10, conversation="b", user="ann"), *turn(20, user="bob")))
    found = detail(api, "ann", USERS)
    assert (found["traces"], found["calls"], found["cost_usd"]) == (2, 2, "0.00042")
    assert ids(found) == ["b", "talk"]  # by when the user was there
    assert ids(listed(api, USERS)) == ["bob", "ann"]


HOSTILE = [
    "a/b/../c",
    "x' OR 1=1 --",
    "\\'",
    "{x:String}",
    "a\x00b",
    "?id=1#x",
    "\U0001f600",
    "n" * 10_000,
]


@pytest.mark.parametrize("name", HOSTILE)
def test_an_id_may_be_any_text(api, ingest, name):
    ingest(request(*turn(0, conversation=name, user=name), *turn(1)))
    assert detail(api, name)["id"] == detail(api, name, USERS)["id"] == name
    assert [each["calls"] for each in detail(api, name)["turns"]] == [1]
    assert name in ids(listed(api))
    assert ids(listed(api, USERS)) == [name]


# (The test client decodes a path twice, so that a percent sign is tried here only.)
@pytest.mark.parametrize("name", ["..", ".", "/", "a//b", "%27 %2F", *HOSTILE])
def test_an_id_that_a_path_cannot_hold_can_be_asked_for_as_a_parameter(api, ingest, name):
    ingest(request(*turn(0, conversation=name, user=name), *turn(1)))
    for path in ("/api/v1/conversation", "/api/v1/user"):
        answer = api.get(path, params={"id": name})
        assert (answer.status_code, answer.json()["id"], answer.json()["calls"]) == (200, name, 1)


@pytest.mark.parametrize("path", [CONVERSATIONS, USERS])
def test_what_is_not_there_is_not_found(idle_api, path):
    for name in ("nobody", "' OR ''='", "a/b"):
        answer = idle_api.get(f"{path}/{quote(name, safe='')}")
        assert (answer.status_code, answer.json()["title"]) == (404, "Not found")
    assert ids(listed(idle_api, path)) == []


def test_projects_do_not_see_each_other(api, ingest, make_api):
    ingest(request(*turn(0, user="ann")))
    other = make_api(project="another")
    assert (ids(listed(other)), ids(listed(other, USERS))) == ([], [])
    assert other.get(f"{CONVERSATIONS}/talk").status_code == 404


@pytest.mark.parametrize(
    ("path", "query", "words"),
    [
        (CONVERSATIONS, {"limit": "0"}, "a whole number from 1 to 500"),
        (CONVERSATIONS, {"limit": "x"}, "a whole number from 1 to 500"),
        (CONVERSATIONS, {"cursor": "x"}, "the next_cursor of an earlier answer"),
        (CONVERSATIONS, {"sort": "system.tables"}, "no such parameter"),
        (USERS, {"user": "x"}, "no such parameter"),
        (USERS, {"start": "2026-01-02T00:00:00Z", "end": "2026-01-01T00:00:00Z"}, "start must be before end"),
        (f"{CONVERSATIONS}/x", {"limit": "501"}, "a whole number from 1 to 500"),
        (f"{USERS}/x", {"limit": "5"}, "no parameters are taken here"),
        ("/api/v1/user", {}, "1 to 20,000 characters"),
        ("/api/v1/user", {"id": ""}, "1 to 20,000 characters"),
        ("/api/v1/user", {"id": "n" * 20_001}, "1 to 20,000 characters"),
    ],
)
def test_what_cannot_be_is_refused(idle_api, path, query, words):
    answer = idle_api.get(path, params=query)
    assert answer.status_code == 400
    assert words in answer.json()["detail"]


def test_a_cursor_of_another_list_is_refused(api, ingest):
    ingest(request(*(each for n in range(3) for each in turn(n, conversation=f"c{n}", user=f"u{n}"))))
    cursor = listed(api, limit=1)["next_cursor"]
    answer = api.get(USERS, params={"cursor": cursor})
    assert answer.status_code == 400
    assert "it belongs to another list" in answer.json()["detail"]
