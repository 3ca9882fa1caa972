"""The tree of conditions in JSON: what it may be, and errors that name the place."""

from __future__ import annotations

import pytest
from otlp_requests import llm_span, request, span

from spanledger.query_api.search.fields import FIELDS
from spanledger.query_api.search.where import DEEPEST, MOST_CONDITIONS
from spanledger.query_api.search.wholes import TRACE_FIELDS

LEAF = {"field": "name", "value": "x"}


def errors_of(api, path, body):
    answer = api.post(f"/api/v1/{path}/search", json=body)
    assert answer.status_code == 400, answer.text
    return answer.json()["errors"]


def nested(levels, leaf):
    return leaf if levels == 0 else {"not": nested(levels - 1, leaf)}


@pytest.mark.parametrize(
    ("where", "place", "allowed"),
    [
        (5, "body.where", "and, or, not, field, attribute, text"),
        ({}, "body.where", "exactly one of"),
        ({"and": []}, "body.where.and", "at least one condition"),
        ({"and": {}}, "body.where.and", "a list of"),
        (
            {"and": [LEAF, LEAF, LEAF | {"op": "like"}]},
            "body.where.and[2].op",
            "eq, ne, in, not_in, contains",
        ),
        ({"or": [{"not": {"field": "nme"}}]}, "body.where.or[0].not.field", "trace_id, span_id"),
        ({"field": "name", "op": "lt", "value": "x"}, "body.where.op", "starts_with"),
        ({"field": "tokens", "op": "contains", "value": "x"}, "body.where.op", "lt, le, gt, ge"),
        ({"field": "tokens", "value": "5"}, "body.where.value", "a number"),
        ({"field": "tokens", "value": True}, "body.where.value", "a number"),
        ({"field": "cost_usd", "value": "1e400"}, "body.where.value", "decimal string"),
        ({"field": "status", "value": "failed"}, "body.where.value", "ok, error, unset"),
        ({"field": "status", "op": "in", "value": ["ok", 5]}, "body.where.value[1]", "ok, error, unset"),
        ({"field": "counted", "value": "yes"}, "body.where.value", "true, false"),
        ({"field": "name", "value": 5}, "body.where.value", "text of"),
        ({"field": "name", "value": "x" * 1001}, "body.where.value", "text of"),
        ({"field": "name", "value": None}, "body.where.value", "text of"),
        ({"field": "name", "op": "in", "value": []}, "body.where.value", "list of 1 to 100"),
        ({"field": "name"}, "body.where", "a value, or the op exists"),
        ({"field": "name", "op": "exists", "value": "x"}, "body.where.value", "nothing"),
        (LEAF | {"or": [LEAF]}, "body.where", "exactly one of"),
        (LEAF | {"level": "span"}, "body.where.level", "field, op, value"),
        ({"attribute": "k", "level": "trace", "value": 1}, "body.where.level", "span, resource, scope"),
        ({"attribute": 5, "value": 1}, "body.where.attribute", "text of"),
        ({"attribute": "k", "op": "lt", "value": "x"}, "body.where.value", "text, a number"),
        ({"attribute": "k", "value": {"a": 1}}, "body.where.value", "text, a number"),
        ({"text": ""}, "body.where.text", "text of 1 to"),
        ({"any_span": LEAF}, "body.where", "exactly one of"),
        (nested(DEEPEST, LEAF), "body.where" + ".not" * DEEPEST, f"up to {DEEPEST} levels"),
        ({"or": [LEAF] * MOST_CONDITIONS}, f"body.where.or[{MOST_CONDITIONS - 1}]", "in one search"),
    ],
)
def test_an_error_in_a_tree_names_the_place_and_what_is_allowed(idle_api, where, place, allowed):
    [error] = errors_of(idle_api, "spans", {"where": where})
    assert error["where"] == place
    assert allowed in error["allowed"]


@pytest.mark.parametrize(
    ("where", "place", "allowed"),
    [
        ({"text": "x"}, "body.where", "and, or, not, field, any_span"),
        ({"field": "role", "value": "LLM"}, "body.where.field", "unpriced_call_count"),
        ({"any_span": {"field": "tokns", "value": 1}}, "body.where.any_span.field", "tokens"),
        ({"and": [{"any_span": {"any_span": LEAF}}]}, "body.where.and[0].any_span", "attribute"),
        ({"any_span": LEAF, "level": 1}, "body.where.level", "any_span"),
    ],
)
def test_a_tree_for_traces_has_its_own_fields(idle_api, where, place, allowed):
    [error] = errors_of(idle_api, "traces", {"where": where})
    assert error["where"] == place
    assert allowed in error["allowed"]


def test_as_deep_and_as_many_as_allowed_is_answered(idle_api):
    for where in (nested(DEEPEST - 1, LEAF), {"or": [LEAF] * (MOST_CONDITIONS - 1)}):
        assert idle_api.post("/api/v1/spans/search", json={"where": where}).status_code == 200
        answer = idle_api.post("/api/v1/traces/search", json={"where": where})
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("path", ["spans", "traces"])
@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"wher": None}, "body.wher"),
        ({"limit": 0}, "body.limit"),
        ({"sort": "system.tables"}, "body.sort"),
        ({"order": "asc, sleep(3)"}, "body.order"),
        ({"start": "yesterday"}, "body.start"),
        ({"cursor": "x"}, "body.cursor"),
        ([], "body"),
    ],
)
def test_the_rest_of_the_body_is_checked_like_parameters(idle_api, path, body, place):
    [error] = errors_of(idle_api, path, body)
    assert error["where"] == place


@pytest.mark.parametrize("path", ["spans", "traces"])
@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"{",
        b'{"where": {"field": "name", "value": "\\ud800"}}',
        b'{"where": {"attribute": "\\ud800", "value": 1}}',
        b'{"where": {"field": "tokens", "value": 1e999}}',
        b'{"where": {"field": "tokens", "value": NaN}}',
        b'{"where": {"field": "tokens", "value": ' + b"9" * 4000 + b"}}",
        b'{"where": {"field": "cost_usd", "value": ' + b"9" * 4000 + b"}}",
        b'{"where": {"field": "cost_usd", "value": "1e-999999999"}}',
        b'{"where": {"attribute": "k", "value": ' + b"9" * 5000 + b"}}",
        b'{"where": ' + b'{"not": ' * 100_000,
        b'{"cursor": "\\ud800"}',
        b"\xff",
    ],
    ids=["nothing", "half", "surrogate", "key", "endless", "nan", *"1234", "deep", "cursor", "bytes"],
)
def test_a_body_that_is_none_is_refused(idle_api, path, sent):
    headers = {"Content-Type": "application/json"}
    answer = idle_api.post(f"/api/v1/{path}/search", content=sent, headers=headers)
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_search_as_json_takes_no_parameters(idle_api):
    answer = idle_api.post("/api/v1/spans/search?limit=5", json={})
    assert answer.status_code == 400
    assert "no parameters are taken here" in answer.json()["detail"]


@pytest.mark.parametrize("value", [-1, 0.5, 2**63, 2**64, 10**37, -(10**37), 1e300, 5e-324])
@pytest.mark.parametrize("path", ["spans", "traces"])
def test_numbers_of_every_size_can_be_asked_of_every_field(api, ingest, path, value):
    ingest(request(llm_span(input_tokens=10, output_tokens=10), span()))
    fields = TRACE_FIELDS if path == "traces" else FIELDS
    for name, field in fields.items():
        if field.kind == "number":
            found = {}
            for op in ("eq", "lt", "ge"):
                body = {"where": {"field": name, "op": op, "value": value}}
                answer = api.post(f"/api/v1/{path}/search", json=body)
                assert answer.status_code == 200, answer.text
                found[op] = len(answer.json()[path])
            known = {"where": {"field": name, "op": "exists"}}
            assert found["lt"] + found["ge"] == len(
                api.post(f"/api/v1/{path}/search", json=known).json()[path]
            )
            assert found["eq"] <= found["ge"]
