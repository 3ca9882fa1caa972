"""Cases 42 to 44, 46 and 47: what the search is asked, in every parameter and in JSON."""

from __future__ import annotations

import json
import secrets

import pytest
from otlp_requests import llm_span, request

from spanledger.query_api.search.parameters import ALLOWED_IN_SEARCH, SpanParameters, TraceParameters

HOSTILE = ["x' OR 1=1 --", "\\'", "; DROP TABLE spans", "{x:String}", "%27", "\0", "') UNION SELECT 1 --"]
LISTS = {"spans": SpanParameters, "traces": TraceParameters}
# Any text may stand here; everywhere else what is hostile is no value.
FREE = {"service", "name", "provider", "model", "error_type", "user", "conversation", "experiment"}
FREE |= {"agent", "tool", "tag", "operation", "q"}
both_lists = pytest.mark.parametrize("path", LISTS)


@pytest.fixture(scope="module")
def stored(world):
    """A call in the ledger, by the only name of its service."""
    service = f"service-{secrets.token_hex(8)}"
    call = llm_span(user__id="ann")
    made = request(call, resource={"service.name": service})
    assert world.ways["grpc"].send(made).code == "OK"
    return service, call


def tables(world):
    """What there is, and how much: the same before and after whatever is asked."""
    names = world.sql.query("SELECT name FROM system.tables WHERE database = currentDatabase() ORDER BY name")
    return names.result_rows, world.sql.query("SELECT count() FROM spans").first_row


def refused(answer, place):
    """A 400 in the one form, which names the place and what is allowed there."""
    assert answer.status_code == 400, answer.text
    problem = answer.json()
    assert problem["title"] == "Bad request"
    [error] = problem["errors"]
    assert error["where"] == place, error
    assert error["allowed"], error
    return error


@both_lists
def test_case_42_sql_in_every_parameter_is_text_or_refused(world, stored, path):
    before = tables(world)
    service, call = stored
    for name in LISTS[path].model_fields:
        for text in HOSTILE:
            # Other cases leave spans in this ledger that say such things.
            answer = world.api.get(f"/api/v1/{path}", params={"service": service} | {name: text})
            if name in FREE:
                assert answer.status_code == 200, (name, text, answer.text)
                assert answer.json()[path] == []
            else:
                assert answer.status_code == 400, (name, text, answer.text)
                assert answer.json()["errors"][0]["allowed"]
    assert tables(world) == before
    [found] = world.api.get(f"/api/v1/{path}", params={"service": service}).json()[path]
    assert found["trace_id"] == call.trace_id.hex()


@both_lists
def test_case_42_sql_in_json_is_text_or_refused(world, stored, path):
    before = tables(world)
    ours = {"field": "service", "value": stored[0]}
    for text in HOSTILE:
        of_span = [
            {"field": "name", "value": text},
            {"field": "user", "op": "contains", "value": text},
            {"attribute": text, "value": text},
            {"attribute": text, "op": "in", "value": [text, 1, True], "level": "event"},
            {"text": text},
        ]
        of_span = [{"and": [ours, where]} for where in of_span]
        wheres = of_span if path == "spans" else [{"any_span": where} for where in of_span]
        for where in wheres:
            answer = world.api.post(f"/api/v1/{path}/search", json={"where": where})
            assert answer.status_code == 200, answer.text
            assert answer.json()[path] == []
        for where in (
            {"field": text, "value": 1},
            {"field": "name", "op": text, "value": "x"},
            {"field": "status", "value": text},
            {text: []},
        ):
            answer = world.api.post(f"/api/v1/{path}/search", json={"where": where})
            assert answer.status_code == 400, answer.text
    assert tables(world) == before


@both_lists
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sort", "system.tables"),
        ("sort", "cost, sleep(3)"),
        ("order", "asc, sleep(3)"),
        ("role", "file('/etc/passwd')"),
        ("status", "failed"),
        ("count", "count(*)"),
    ],
)
def test_case_43_what_is_none_of_the_choices_is_refused_with_the_choices(world, path, name, text):
    place = f"query.{name}[0]" if name in ("role", "status") else f"query.{name}"
    error = refused(world.api.get(f"/api/v1/{path}", params={name: text}), place)
    assert error["allowed"] == ALLOWED_IN_SEARCH[name]


@both_lists
def test_case_43_a_filter_that_is_not_in_the_list_is_refused_with_the_list(world, path):
    error = refused(world.api.get(f"/api/v1/{path}", params={"username": "x"}), "query.username")
    assert set(error["allowed"].split(", ")) == {*LISTS[path].model_fields, "project"}
    where = {"field": "system.tables", "value": "x"}
    error = refused(world.api.post(f"/api/v1/{path}/search", json={"where": where}), "body.where.field")
    assert "duration_ms" in error["allowed"].split(", ")


@both_lists
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("limit", "0"),
        ("limit", "-1"),
        ("limit", "1000000000"),
        ("limit", "abc"),
        ("start", "NaN"),
        ("end", "2026-01-31"),
        ("cursor", "x"),
        ("cursor", "A" * 40),
        ("min_duration_ms", "nan"),
        ("min_tokens", "-5"),
        ("max_cost_usd", "1e400"),
        ("attribute[0]", "k like 5"),
        ("q", ""),
    ],
)
def test_case_44_what_is_out_of_bounds_is_refused(world, path, name, text):
    refused(world.api.get(f"/api/v1/{path}", params={name.partition("[")[0]: text}), f"query.{name}")


@both_lists
def test_case_44_bounds_that_run_backward_are_refused_and_a_wide_time_is_answered(world, stored, path):
    def asked(**parameters):
        return world.api.get(f"/api/v1/{path}", params={"service": stored[0], **parameters})

    assert asked(start="2026-01-02T00:00:00Z", end="2026-01-01T00:00:00Z").status_code == 400
    assert asked(min_tokens=5, max_tokens=4).status_code == 400
    assert len(asked(start="2020-01-01T00:00:00Z", end="2030-01-01T00:00:00Z").json()[path]) == 1


@both_lists
def test_case_44_a_cursor_of_another_search_is_refused(world, path):
    user = f"user-{secrets.token_hex(8)}"
    made = [llm_span(user__id=user) for _ in range(3)]
    assert world.ways["grpc"].send(request(*made)).code == "OK"
    page = world.api.get(f"/api/v1/{path}", params={"user": user, "limit": 1}).json()
    cursor = page["next_cursor"]
    for more in ({"user": "other"}, {"user": user, "sort": "cost"}, {"user": user, "order": "asc"}):
        answer = world.api.get(f"/api/v1/{path}", params={**more, "cursor": cursor})
        assert "another search" in refused(answer, "query.cursor")["what"]
    again = world.api.get(f"/api/v1/{path}", params={"user": user, "limit": 5, "cursor": cursor})
    assert len(again.json()[path]) == 2


@both_lists
def test_case_46_filters_that_nothing_fulfils_give_an_empty_list(world, stored, path):
    answer = world.api.get(f"/api/v1/{path}", params={"service": stored[0], "name": "no such span"})
    assert (answer.status_code, answer.json()) == (200, {path: [], "next_cursor": None})


def test_case_46_an_unknown_trace_is_404_in_the_one_form(world):
    answer = world.api.get(f"/api/v1/traces/{secrets.token_hex(16)}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(answer.json()) == {"type", "title", "status", "detail", "instance"}


def test_case_47_what_a_browser_would_run_is_given_as_data(world):
    """In the tree, in lists and in errors: JSON that is not to be taken for anything else."""
    script = "<script>alert(1)</script>"
    link = "[x](javascript:alert(1))"
    call = llm_span(
        user__id=script,
        note=link,
        gen_ai__input__messages=json.dumps(
            [{"role": "user", "parts": [{"type": "text", "content": f"{script}{link}"}]}]
        ),
    )
    call.name = script
    assert world.ways["grpc"].send(request(call, resource={"service.name": link})).code == "OK"
    tree = f"/api/v1/traces/{call.trace_id.hex()}"
    for path in (
        tree,
        "/api/v1/spans",
        "/api/v1/traces",
        "/api/v1/stats",
        "/api/v1/facets",
        f"/api/v1/{script}",
    ):
        answer = world.api.get(path, params={"service": link} if path.endswith("s") else {})
        assert answer.headers["content-type"].partition(";")[0] in {
            "application/json",
            "application/problem+json",
        }
        assert answer.headers["x-content-type-options"] == "nosniff"
    [root] = world.api.get(tree).json()["roots"]
    assert (root["name"], root["user_id"], root["service"]) == (script, script, link)
    assert root["attributes"]["note"] == link
    assert root["input"][0]["parts"][0]["content"] == f"{script}{link}"
