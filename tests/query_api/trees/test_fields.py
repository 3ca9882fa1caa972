"""query_api.trees.fields: what is not asked for is not given, and content that is not asked for not read."""

from __future__ import annotations

import json

import pytest
from otlp_requests import key_values, llm_span, request, span

from spanledger.query_api.trees.fields import EVERYTHING, GROUPS, chosen_groups
from spanledger.query_api.trees.spans import spans_sql

CONTENT_COLUMNS = ("content_string", "content_json", "events.attributes")
_MESSAGES = json.dumps([{"role": "user", "parts": [{"type": "text", "content": "secret"}]}])


@pytest.fixture
def trace(api, ingest):
    """Ask for a trace that has everything with these fields; the one root."""
    sent = llm_span(gen_ai__input__messages=_MESSAGES, mine=1)
    sent.events.add(name="said", attributes=key_values({"gen_ai.prompt": "secret"}))
    sent.links.add(trace_id=b"l" * 16)
    ingest(request(sent, span(sent.trace_id, parent_span_id=sent.span_id)))

    def ask(query: str):
        answer = api.get(f"/api/v1/traces/{sent.trace_id.hex()}{query}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    return ask


def test_without_content_everything_else_is_as_before(trace):
    whole, without = trace(""), trace("?fields=-content")
    assert "secret" not in json.dumps(without)
    [root], [shown] = whole.pop("roots"), without.pop("roots")
    assert without == whole
    del root["attributes"]["gen_ai.input.messages"], root["events"][0]["attributes"]
    left_out = {"input", "output", "system_instructions", "tool_definitions"}
    left_out |= {"messages_from", "messages_as_sent"}
    for node, found in ((root, shown), (root["children"][0], shown["children"][0])):
        expected = {key: value for key, value in node.items() if key not in left_out and key != "children"}
        assert {key: value for key, value in found.items() if key != "children"} == expected


def test_what_a_tree_is_made_of_is_always_there(trace):
    [root] = trace("?fields=links")["roots"]
    assert root["links"][0]["trace_id"] == "6c" * 16
    assert root["children"][0]["parent_span_id"] == root["span_id"]
    for name in ("name", "kind", "role", "status", "start_time", "duration_ms", "conversation_id", "orphan"):
        assert name in root
    for name in ("input", "attributes", "resource", "scope", "events", "cost", "flags"):
        assert name not in root


@pytest.mark.parametrize("group", GROUPS)
def test_every_group_alone_is_a_part_of_the_whole(trace, group):
    [whole], [part] = trace("")["roots"], trace(f"?fields={group}")["roots"]
    more = {"finish_reasons", "attributes", "events", "children"}  # these say more with content
    assert {key: whole[key] for key in part if key not in more} == {
        key: value for key, value in part.items() if key not in more
    }


def test_content_is_read_only_where_it_is_asked_for():
    for groups in ("-content", "-content,-events", "call", "attributes,events"):
        sql = spans_sql(chosen_groups(groups))
        assert not any(column in sql for column in CONTENT_COLUMNS), groups
    for groups in ("content", "content,call"):
        assert all(column in spans_sql(chosen_groups(groups)) for column in CONTENT_COLUMNS)
    assert chosen_groups(",".join(GROUPS)) == EVERYTHING


@pytest.mark.parametrize("text", ["", "nothing", "call,-links", "-", "call,,links"])
def test_what_is_no_choice_is_refused(text):
    with pytest.raises(ValueError, match=r"no such group|some names have a minus"):
        chosen_groups(text)
