"""Facets: the values to filter by are those that spans have, and no prompt is among them."""

from __future__ import annotations

import pytest
from otlp_requests import HOSTILE_KEYS, SECOND, llm_span, request, span

from spanledger.query_api.stats import facets as facets_module
from spanledger.schemas.stats_api import AttributeFacets, Facets

PATH = "/api/v1/facets"
ATTRIBUTES = "/api/v1/facets/attributes"
T0 = 1_760_000_000 * SECOND


def asked(api, path=PATH, **query):
    answer = api.get(path, params=query)
    assert answer.status_code == 200, answer.text
    (Facets if path == PATH else AttributeFacets).model_validate(answer.json())
    return answer.json()


def values(answer):
    return {
        each["field"]: [(one["value"], one["count"]) for one in each["values"]]
        for each in answer["facets"]
        if each["values"]
    }


def attributes(answer):
    return {(each["level"], each["key"]): each for each in answer["attributes"]}


def at(second, made):
    made.start_time_unix_nano = T0 + second * SECOND
    made.end_time_unix_nano = T0 + (second + 1) * SECOND
    return made


def test_an_empty_project_has_none(api):
    assert values(asked(api)) == {}
    assert asked(api, ATTRIBUTES)["attributes"] == []


def test_every_field_has_its_values_with_counts_and_a_replay_changes_none(api, ingest):
    failed = at(1, span(name="search", attributes={"error.type": "Timeout", "tag.tags": ["a", "b", "a"]}))
    failed.status.code = 2
    sent = request(at(0, llm_span(user__id="ann")), failed, at(2, llm_span(model="m2")))
    ingest(sent)
    ingest(sent)
    found = asked(api)
    assert found["spans"] == {"count": 3, "exact": True}
    assert values(found) == {
        "service": [("tests", 3)],
        "name": [("chat gpt-4o-mini", 1), ("chat m2", 1), ("search", 1)],
        "role": [("LLM", 2), ("OTHER", 1)],
        "operation": [("chat", 2)],
        "provider": [("openai", 2)],
        "model": [("gpt-4o-mini", 1), ("m2", 1)],
        "status": [("unset", 2), ("error", 1)],
        "error_type": [("Timeout", 1)],
        "user": [("ann", 1)],
        "tag": [("a", 1), ("b", 1)],
    }
    assert values(asked(api, role="LLM", limit=1))["model"] == [("gpt-4o-mini", 1)]
    assert next(each["more"] for each in asked(api, limit=1)["facets"] if each["field"] == "model")
    assert values(asked(api, end="2025-10-09T08:53:21Z"))["model"] == [("gpt-4o-mini", 1)]


def test_attributes_have_their_level_types_and_values(api, ingest):
    own = {"text": "x", "count": 3, "share": 0.5, "on": True, "list": [1, 2]}
    one = at(0, span(attributes=own))
    one.events.add(name="e").attributes.extend(span(attributes={"of.event": "secret"}).attributes)
    one.links.add(trace_id=bytes(16), span_id=bytes(8)).attributes.extend(
        span(attributes={"of.link": 7}).attributes
    )
    other = at(1, span(attributes={"text": "x", "count": "three"}))
    ingest(request(one, other, resource={"service.name": "s", "port": 80, "host": "h"}))
    found = attributes(asked(api, ATTRIBUTES))
    assert found["span", "text"]["values"] == [{"value": "x", "count": 2}]
    assert found["span", "count"]["types"] == ["int", "string"]
    assert [each["value"] for each in found["span", "count"]["values"]] == ["three", 3]
    assert [each["value"] for each in found["span", "share"]["values"]] == [0.5]
    assert [each["value"] for each in found["span", "on"]["values"]] == [True]
    assert (found["span", "list"]["types"], found["span", "list"]["values"]) == (["other"], [])
    assert found["resource", "port"]["values"] == [{"value": 80, "count": 2}]
    assert found["resource", "host"]["values"] == [{"value": "h", "count": 2}]
    assert found["event", "of.event"]["values"] == []
    assert found["link", "of.link"]["values"] == [{"value": 7, "count": 1}]
    only = asked(api, ATTRIBUTES, key="count", level="span")["attributes"]
    assert only == [found["span", "count"]]


def test_no_prompt_and_no_long_text_is_among_the_values(api, ingest):
    prompt = '[{"role":"user","parts":[{"type":"text","content":"my secret"}]}]'
    ingest(request(at(0, llm_span(gen_ai__input__messages=prompt, note="n" * 5000))))
    answer = api.get(ATTRIBUTES)
    assert "secret" not in answer.text
    found = attributes(answer.json())
    assert found["span", "gen_ai.input.messages"]["count"] == 1
    assert (found["span", "note"]["count"], found["span", "note"]["values"]) == (1, [])


def test_keys_and_values_are_given_as_they_were_sent(api, ingest):
    ingest(request(at(0, span(attributes={key: key for key in HOSTILE_KEYS}))))
    found = attributes(asked(api, ATTRIBUTES))
    assert {key: found["span", key]["values"][0]["value"] for key in HOSTILE_KEYS} == {
        key: key for key in HOSTILE_KEYS
    }
    assert len(asked(api, ATTRIBUTES, key=HOSTILE_KEYS[5])["attributes"]) == 1


def test_of_much_a_part_is_looked_at_and_that_is_said(api, ingest, monkeypatch):
    ingest(request(*(at(n, llm_span(model=f"m{n % 2}")) for n in range(400))))
    monkeypatch.setattr(facets_module, "VALUE_ROWS", 100)
    monkeypatch.setattr(facets_module, "ATTRIBUTE_ROWS", 100)
    found = asked(api)
    assert found["spans"]["exact"] is False
    assert 350 <= found["spans"]["count"] <= 450
    assert {value for value, _ in values(found)["model"]} == {"m0", "m1"}
    assert asked(api, ATTRIBUTES)["spans"]["exact"] is False


@pytest.mark.parametrize("path", [PATH, ATTRIBUTES])
@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"limit": "0"}, "a whole number from 1 to 500"),
        ({"field": "file('x')"}, "no such parameter"),
        ({"level": "body", "key": "x"}, ""),
        ({"status": "x' OR 1=1 --"}, "ok, error, unset"),
    ],
)
def test_what_cannot_be_is_refused(idle_api, path, query, words):
    answer = idle_api.get(path, params=query)
    assert answer.status_code == 400
    assert words in answer.json()["detail"]
