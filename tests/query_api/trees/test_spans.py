"""A trace as the API shows it: every span, every attribute with its type, every digit."""

from __future__ import annotations

import random
import secrets

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from otlp_logs import logs_request, record
from otlp_requests import SECOND, any_value, key_values, llm_span, request, span
from random_requests import a_request

from spanledger.collector.duplicates.resolve import Resolver
from spanledger.collector.duplicates.watch import Place, Range
from spanledger.collector.gate import check
from spanledger.collector.rows.block import Request
from spanledger.query_api.trees import spans as spans_module
from spanledger.query_api.trees.tree import read_tree, walk
from spanledger.schemas.api import TracePage, TraceTree
from spanledger.schemas.database import connect

T0 = 1_760_000_000 * SECOND


def tree_of(api, trace_id):
    answer = api.get(f"/api/v1/traces/{trace_id.hex()}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    return read_tree(answer.content)


def only_span(api, sent):
    [root] = tree_of(api, sent.trace_id)["roots"]
    return root


EVERY_TYPE = {
    "string": "1",
    "integer": 1,
    "largest": 2**63 - 1,
    "double": 1.0,
    "small": 5e-324,
    "boolean": True,
    "no": False,
    "nothing": None,
    "bytes": b"\x00\xff",
    "strings": ["a", "1"],
    "mixed": ["a", 1, 1.0, True, None, b"\x01"],
    "empty": [],
    "map": {"a": {"b": [1, {"c": 2.0}]}, "": None},
    "marked": {"@bytes": "not bytes"},
    "twice marked": {"@map": {"@double": "nan"}},
    "nan": float("nan"),
    "infinite": [float("inf"), float("-inf")],
    "text": 'quotes " and \\ and \n and \0 and \u2028 𝄞',
}
IN_JSON = EVERY_TYPE | {
    "bytes": {"@bytes": "AP8="},
    "mixed": ["a", 1, 1.0, True, None, {"@bytes": "AQ=="}],
    "nan": "NaN",
    "infinite": ["Infinity", "-Infinity"],
}


def assert_same(found, expected):
    """Equal with equal types: 1, 1.0, "1" and true are four values."""
    assert {key: (type(value), value) for key, value in found.items()} == {
        key: (type(value), value) for key, value in expected.items()
    }
    assert str(found["mixed"]) == str(expected["mixed"])


def test_attributes_keep_their_types_at_every_level(api, ingest):
    sent = span(
        attributes=EVERY_TYPE, dropped_attributes_count=3, dropped_events_count=4, dropped_links_count=5
    )
    event = sent.events.add(name="note", time_unix_nano=T0 + 7, dropped_attributes_count=1)
    event.attributes.extend(key_values(EVERY_TYPE))
    link = sent.links.add(trace_id=b"T" * 16, span_id=b"S" * 8, trace_state="a=b", flags=1)
    link.attributes.extend(key_values(EVERY_TYPE))
    made = request(sent, resource=EVERY_TYPE | {"service.name": "shop"})
    resource_spans = made.resource_spans[0]
    resource_spans.schema_url = "https://example.org/1"
    resource_spans.resource.dropped_attributes_count = 6
    scope = resource_spans.scope_spans[0]
    scope.schema_url = "https://example.org/2"
    scope.scope.version = "1.2"
    scope.scope.dropped_attributes_count = 7
    scope.scope.attributes.extend(key_values(EVERY_TYPE))
    ingest(made)
    found = only_span(api, sent)
    assert_same(found["attributes"], IN_JSON)
    assert_same(found["events"][0].pop("attributes"), IN_JSON)
    assert found["events"] == [
        {"time": "2025-10-09T08:53:20.000000007Z", "name": "note", "dropped_attributes_count": 1}
    ]
    assert_same(found["links"][0].pop("attributes"), IN_JSON)
    assert found["links"] == [
        {
            "trace_id": "54" * 16,
            "span_id": "53" * 8,
            "trace_state": "a=b",
            "flags": 1,
            "dropped_attributes_count": 0,
        }
    ]
    assert_same(found["resource"].pop("attributes"), IN_JSON | {"service.name": "shop"})
    assert found["resource"] == {"schema_url": "https://example.org/1", "dropped_attributes_count": 6}
    assert_same(found["scope"].pop("attributes"), IN_JSON)
    assert found["scope"] == {
        "name": "tests",
        "version": "1.2",
        "schema_url": "https://example.org/2",
        "dropped_attributes_count": 7,
    }
    counts = [found[f"dropped_{what}_count"] for what in ("attributes", "events", "links")]
    assert counts == [3, 4, 5]


def test_keys_are_only_text_and_come_back_verbatim(api, ingest):
    keys = [
        "__proto__",
        "__class__",
        "a.b.__init__",
        "{0.__class__}",
        "'; DROP TABLE spans --",
        "",
        "k" * 256,
    ]
    sent = span(attributes=dict.fromkeys(keys, "v"))
    ingest(request(sent))
    assert only_span(api, sent)["attributes"] == dict.fromkeys(keys, "v")


@pytest.mark.parametrize("values", [("a", "b"), (1, 2), (1.0, 2.0), (True, False), ([1], [2])])
def test_of_a_key_sent_twice_the_last_value_counts(api, ingest, values):
    sent = span()
    made = request(sent)
    resource_spans = made.resource_spans[0]
    stored = resource_spans.scope_spans[0].spans[0]
    for value in values:
        for place in (stored, resource_spans.resource, resource_spans.scope_spans[0].scope):
            place.attributes.add(key="twice").value.CopyFrom(any_value(value))
    ingest(made)
    found = only_span(api, sent)
    for place in (found, found["resource"], found["scope"]):
        assert place["attributes"]["twice"] == values[1]


def test_link_ids_of_any_length_come_back_as_hex(api, ingest):
    sent = span()
    sent.links.add(trace_id=b"\xff\x00", span_id=b"")
    ingest(request(sent))
    [link] = only_span(api, sent)["links"]
    assert (link["trace_id"], link["span_id"]) == ("ff00", "")


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (0, "unspecified"),
        (1, "internal"),
        (2, "server"),
        (3, "client"),
        (4, "producer"),
        (5, "consumer"),
        (99, "unspecified"),
        (-1, "unspecified"),
    ],
)
def test_a_kind_has_its_name_and_its_number(api, ingest, number, name):
    sent = span(kind=number)
    ingest(request(sent))
    found = only_span(api, sent)
    assert (found["kind"], found["kind_number"]) == (name, number)


def test_times_keep_their_nanoseconds(api, ingest):
    sent = span(start_time_unix_nano=T0 + 1, end_time_unix_nano=T0 + 1_500_001)
    ingest(request(sent))
    found = only_span(api, sent)
    assert found["start_time"] == "2025-10-09T08:53:20.000000001Z"
    assert found["end_time"] == "2025-10-09T08:53:20.001500001Z"
    assert found["duration_ms"] == 1.5


@pytest.mark.parametrize("end", [0, T0 - 1])
def test_an_end_before_the_start_is_shown_as_sent_with_no_duration(api, ingest, end):
    sent = span(start_time_unix_nano=T0, end_time_unix_nano=end)
    ingest(request(sent))
    tree = tree_of(api, sent.trace_id)
    assert tree["roots"][0]["duration_ms"] == tree["duration_ms"] == 0
    assert tree["roots"][0]["end_time"] < tree["roots"][0]["start_time"]
    assert tree["end_time"] == tree["start_time"]


def test_a_call_shows_its_usage_and_what_it_costs(api, ingest):
    sent = llm_span(
        input_tokens=1000,
        output_tokens=100,
        gen_ai__usage__cache_read__input_tokens=600,
        gen_ai__usage__reasoning__output_tokens=40,
        gen_ai__response__model="gpt-4o-mini-2024-07-18",
        gen_ai__response__finish_reasons=["stop"],
        spanledger__tags=["a", "b"],
    )
    ingest(request(sent))
    found = only_span(api, sent)
    assert found["role"] == "LLM"
    assert (found["provider"], found["operation"], found["request_model"]) == (
        "openai",
        "chat",
        "gpt-4o-mini",
    )
    assert found["model"] == found["response_model"] == "gpt-4o-mini-2024-07-18"
    assert (found["finish_reasons"], found["tags"]) == (["stop"], ["a", "b"])
    assert found["usage"] == {
        "input_tokens": 1000,
        "output_tokens": 100,
        "total_tokens": 1100,
        "cache_read_tokens": 600,
        "cache_write_tokens": None,
        "reasoning_tokens": 40,
        "input_audio_tokens": None,
        "output_audio_tokens": None,
        "other": {},
        "flags": [],
    }
    assert (found["counted"], found["duplicate_of"]) == (True, None)
    cost = found["cost"]
    assert (cost["usd"], cost["input_usd"], cost["output_usd"]) == ("0.000165", "0.000105", "0.00006")
    assert (cost["source"], cost["reason"], cost["reported_usd"]) == ("computed", None, None)
    assert cost["price_model"] == "openai:gpt-4o-mini"
    assert cost["price_version"]


def test_what_else_is_billed_is_shown_by_its_unit_with_durations_in_seconds(api, ingest):
    sent = llm_span(
        spanledger__usage__web_searches=2,
        spanledger__usage__audio_seconds=1.25,
        spanledger__usage__cache_write_1h_tokens=0,
    )
    ingest(request(sent))
    other = only_span(api, sent)["usage"]["other"]
    assert other == {"audio_seconds": 1.25, "cache_write_1h_tokens": 0, "web_searches": 2}
    assert list(other) == sorted(other)


@pytest.mark.parametrize(
    ("sent", "shown", "flags"),
    [
        ({"gen_ai__usage__cache_read__input_tokens": 3000}, (4000, 100, 4100), ["counted_apart"]),
        ({"input_tokens": 0, "output_tokens": 0}, (None, None, None), ["nothing_used"]),
        ({"gen_ai__usage__reasoning__output_tokens": 101}, (1000, 100, 1100), ["details_exceed_total"]),
        ({"gen_ai__usage__total_tokens": 7}, (1000, 100, 1100), ["total_mismatch"]),
        ({"output_tokens": "many"}, (1000, None, 1000), ["unreadable"]),
        ({"output_tokens": None}, (1000, None, 1000), []),
    ],
)
def test_what_is_odd_about_the_usage_is_said(api, ingest, sent, shown, flags):
    made = llm_span(**sent)
    ingest(request(made))
    usage = only_span(api, made)["usage"]
    assert tuple(usage[f"{name}_tokens"] for name in ("input", "output", "total")) == shown
    assert usage["flags"] == flags


def test_who_says_no_conversation_or_user_has_those_of_the_span_above(api, ingest):
    """However far above, and each of the two by itself; nothing goes up or to a neighbour."""
    ids = {name: name.encode().ljust(8, b".") for name in ("top", "middle", "own", "leaf", "beside", "below")}
    trace_id = secrets.token_bytes(16)

    def named(name: str, parent: str, **attributes: str) -> Span:
        return span(
            trace_id,
            {key.replace("__", "."): value for key, value in attributes.items()},
            name=name,
            span_id=ids[name],
            parent_span_id=ids.get(parent, b""),
        )

    ingest(
        request(
            named("leaf", "own"),
            named("own", "middle", session__id="c-2"),
            named("middle", "top"),
            named("top", "", session__id="c-1", user__id="u-1"),
            named("beside", ""),
            named("below", "beside", user__id="u-2"),
        )
    )
    nodes = [node for _, node in walk(tree_of(api, trace_id)["roots"])]
    assert {node["name"]: (node["conversation_id"], node["user_id"]) for node in nodes} == {
        "top": ("c-1", "u-1"),
        "middle": ("c-1", "u-1"),
        "own": ("c-2", "u-1"),
        "leaf": ("c-2", "u-1"),
        "beside": (None, None),
        "below": (None, "u-2"),
    }


def test_a_second_record_of_a_call_names_the_one_that_counts(api, ingest, target, project):
    trace_id, other_trace = secrets.token_bytes(16), secrets.token_bytes(16)
    best = llm_span(trace_id, gen_ai__response__id="r", gen_ai__usage__cache_read__input_tokens=10)
    again = llm_span(other_trace, gen_ai__response__id="r", session__id="c-1")
    start = best.start_time_unix_nano
    again.start_time_unix_nano, again.end_time_unix_nano = start, start + SECOND
    ingest(request(best, scope="one"))
    ingest(request(again, scope="two"))
    resolver = Resolver(connect(target))
    place = Place(project, "tests", start // (600 * SECOND))
    assert resolver.resolve(place, Range(start, start + SECOND, {trace_id, other_trace})) > 0
    resolver.close()
    found = only_span(api, again)
    assert (found["role"], found["counted"]) == ("LLM", False)
    assert found["duplicate_of"] == {"trace_id": trace_id.hex(), "span_id": best.span_id.hex()}
    assert (found["cost"]["usd"], found["cost"]["reason"]) == (None, "duplicate")
    assert found["cost"]["computed_usd"] == "0.00021"
    counting = only_span(api, best)
    assert (counting["counted"], counting["duplicate_of"]) == (True, None)
    # For whom it was only the other one knows.
    assert counting["conversation_id"] == "c-1"


def test_finish_reasons_are_those_of_the_answers_where_the_span_has_none(api, ingest):
    answers = (
        '[{"role": "assistant", "parts": [], "finish_reason": "length"}, {"role": "assistant", "parts": []}]'
    )
    sent = llm_span(gen_ai__output__messages=answers)
    ingest(request(sent))
    assert only_span(api, sent)["finish_reasons"] == ["length"]
    both = llm_span(gen_ai__output__messages=answers, gen_ai__response__finish_reasons=["stop"])
    ingest(request(both))
    assert only_span(api, both)["finish_reasons"] == ["stop"]
    broken = llm_span(gen_ai__output__messages=answers[:-1])
    ingest(request(broken))
    assert only_span(api, broken)["finish_reasons"] == []


def test_a_reported_cost_keeps_every_digit_up_to_the_total(api, ingest):
    trace_id = secrets.token_bytes(16)
    amounts = ("0.000000000000000001", "12345678901234567.1", "3")
    sent = [llm_span(trace_id, model="house-model", spanledger__cost__total=amount) for amount in amounts]
    ingest(request(*sent))
    tree = tree_of(api, trace_id)
    costs = [root["cost"] for root in tree["roots"]]
    assert {cost["usd"] for cost in costs} == {cost["reported_usd"] for cost in costs} == set(amounts)
    assert {cost["source"] for cost in costs} == {"reported"}
    assert tree["cost_usd"] == "12345678901234570.100000000000000001"


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"model": "house-model"}, "unknown_model"),
        ({"input_tokens": None, "output_tokens": None}, "no_usage"),
    ],
)
def test_a_cost_that_is_not_known_is_null_with_its_reason(api, ingest, attributes, reason):
    sent = llm_span(**attributes)
    ingest(request(sent))
    cost = only_span(api, sent)["cost"]
    assert (cost["usd"], cost["source"], cost["reason"]) == (None, None, reason)


MESSAGES = '[{"role":"user","parts":[{"type":"text","content":"<script>alert(1)</script>"}]}]'


@pytest.mark.parametrize(
    ("attributes", "sides"),
    [
        ({}, (None, None)),
        (
            {"gen_ai.input.messages": MESSAGES, "gen_ai.output.messages": "[cut"},
            (
                [{"role": "user", "parts": [{"type": "text", "content": "<script>alert(1)</script>"}]}],
                "[cut",
            ),
        ),
        (
            {"gen_ai.tool.call.arguments": '{"city":"Oslo"}', "gen_ai.tool.call.result": "12 °C"},
            ({"city": "Oslo"}, "12 °C"),
        ),
        ({"gen_ai.input.messages": [{"role": "user"}]}, ([{"role": "user"}], None)),
    ],
)
def test_input_and_output_are_shown_parsed_where_they_are_json(api, ingest, attributes, sides):
    sent = span(attributes=attributes)
    ingest(request(sent))
    found = only_span(api, sent)
    assert (found["input"], found["output"]) == sides
    assert found["attributes"] == attributes


def test_messages_of_another_dialect_are_shown_in_the_form_of_the_conventions(api, ingest):
    """With where they were found; the attributes stay as they were sent."""
    attributes = {
        "openinference.span.kind": "LLM",
        "llm.input_messages.0.message.role": "system",
        "llm.input_messages.0.message.content": "Be kind.",
        "llm.input_messages.1.message.role": "user",
        "llm.input_messages.1.message.content": "rain?",
        "llm.tools.0.tool.json_schema": '{"type":"function","function":{"name":"weather"}}',
        "output.value": "{cut",
    }
    sent = span(attributes=attributes)
    ingest(request(sent))
    found = only_span(api, sent)
    assert found["input"] == [{"role": "user", "parts": [{"type": "text", "content": "rain?"}]}]
    assert found["output"] == [{"role": "assistant", "parts": [{"type": "text", "content": "{cut"}]}]
    assert found["system_instructions"] == [{"type": "text", "content": "Be kind."}]
    assert found["tool_definitions"] == [{"type": "function", "name": "weather"}]
    assert found["messages_from"] == {
        "input": ["llm.input_messages.N"],
        "output": ["output.value"],
        "system_instructions": ["llm.input_messages.N"],
        "tool_definitions": ["llm.tools.N"],
    }
    assert found["messages_as_sent"] == []
    assert found["attributes"] == attributes


def test_what_is_no_message_is_shown_as_sent_and_marked(api, ingest):
    sent = span(
        attributes={"openinference.span.kind": "CHAIN", "input.value": '{"n": 1}', "output.value": '[{"role'}
    )
    ingest(request(sent))
    found = only_span(api, sent)
    assert (found["input"], found["output"]) == ({"n": 1}, '[{"role')
    assert found["messages_as_sent"] == ["input", "output"]


CHOICE = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Dry."}}


def test_messages_in_log_records_are_those_of_their_span(api, ingest, ingest_logs, project):
    """Whichever order they arrived in; records of another span, project or trace are not."""
    sent, other = llm_span(), llm_span()
    sibling = llm_span(sent.trace_id)
    ingest(request(sent, sibling, other))

    def said(name, body, at, *, of=sent, span_id=None):
        span_id = of.span_id if span_id is None else span_id
        return record(of.trace_id, body, span_id=span_id, event_name=name, time_unix_nano=T0 + at)

    made = logs_request(
        said("gen_ai.choice", CHOICE, 3),
        said("gen_ai.user.message", {"content": "rain?"}, 2),
        said("gen_ai.system.message", {"content": "Be kind."}, 1),
        said("gen_ai.user.message", {"content": "of no span"}, 1, span_id=b""),
        said("unrelated", {"content": "no message"}, 1),
        said("gen_ai.user.message", {"content": "elsewhere"}, 1, of=other),
    )
    ingest_logs(made)
    ingest_logs(
        logs_request(said("gen_ai.user.message", {"content": "of another project"}, 1)), f"{project}-else"
    )
    nodes = {node["span_id"]: node for node in tree_of(api, sent.trace_id)["roots"]}
    found = nodes[sent.span_id.hex()]
    assert found["system_instructions"] == [{"type": "text", "content": "Be kind."}]
    assert found["input"] == [{"role": "user", "parts": [{"type": "text", "content": "rain?"}]}]
    assert found["output"] == [
        {"role": "assistant", "parts": [{"type": "text", "content": "Dry."}], "finish_reason": "stop"}
    ]
    assert found["messages_from"]["output"] == ["gen_ai.choice"]
    assert nodes[sibling.span_id.hex()]["input"] is None


def test_the_details_of_a_call_in_a_log_record_stand_for_the_attributes_of_its_span(api, ingest, ingest_logs):
    sent = llm_span()
    ingest(request(sent))
    blob = {"type": "blob", "mime_type": "image/png", "modality": "image", "content": b"\x00\x01"}
    attributes = {"gen_ai.input.messages": [{"role": "user", "parts": [blob]}]}
    name = "gen_ai.client.inference.operation.details"
    ingest_logs(
        logs_request(
            record(sent.trace_id, None, span_id=sent.span_id, event_name=name, attributes=attributes)
        )
    )
    assert only_span(api, sent)["input"] == [{"role": "user", "parts": [blob | {"content": "AAE="}]}]


def test_a_large_prompt_comes_back_whole_and_the_list_does_not_carry_it(api, ingest):
    prompt = "é𝄞" * 500_000
    sent = llm_span(gen_ai__input__messages=prompt)
    ingest(request(sent))
    assert only_span(api, sent)["input"] == prompt
    assert len(api.get("/api/v1/traces").content) < 2_000


def test_the_answers_are_what_their_models_say(api, ingest):
    sent = llm_span(gen_ai__input__messages=MESSAGES)
    child = span(sent.trace_id, parent_span_id=sent.span_id)
    child.events.add(name="e", time_unix_nano=T0)
    child.links.add(trace_id=b"T" * 16, span_id=b"S" * 8)
    ingest(request(sent, child))
    tree = tree_of(api, sent.trace_id)
    page = api.get("/api/v1/traces").json()
    assert TraceTree.model_validate(tree).model_dump() == tree
    assert TracePage.model_validate(page).model_dump() == page
    assert {key: value for key, value in tree.items() if key != "roots"} == page["traces"][0]


def test_an_id_in_upper_case_is_the_same_id(api, ingest):
    sent = span(trace_id=b"\xab" * 15 + secrets.token_bytes(1))
    ingest(request(sent))
    assert api.get(f"/api/v1/traces/{sent.trace_id.hex().upper()}").json() == tree_of(api, sent.trace_id)


def test_the_tree_does_not_depend_on_how_the_spans_arrived(api, ingest, make_api):
    chance = random.Random(4)
    trace_id = secrets.token_bytes(16)
    ids = [bytes([n] * 8) for n in range(1, 20)]
    spans = [
        Span(
            trace_id=trace_id,
            span_id=span_id,
            parent_span_id=chance.choice([b"", b"\xee" * 8, *ids]),
            name=str(number),
            start_time_unix_nano=T0 + chance.randrange(5),
            end_time_unix_nano=T0 + 9,
        )
        for number, span_id in enumerate(ids)
    ]
    for one in chance.sample(spans, 10):
        ingest(request(one))
    ingest(request(*spans[::-1], *spans))
    scattered = tree_of(api, trace_id)
    names = [node["name"] for _, node in walk(scattered["roots"]) if not node["placeholder"]]
    assert sorted(names) == sorted(map(str, range(19)))
    assert scattered["span_count"] == 19


def test_one_span_id_with_two_starts_is_two_spans(api, ingest):
    first = span(start_time_unix_nano=T0)
    second = span(first.trace_id, span_id=first.span_id, start_time_unix_nano=T0 + 1)
    child = span(first.trace_id, parent_span_id=first.span_id, start_time_unix_nano=T0 + 2)
    ingest(request(child, second, first))
    tree = tree_of(api, first.trace_id)
    assert [(root["start_time"][-4:], len(root["children"])) for root in tree["roots"]] == [
        ("000Z", 1),
        ("001Z", 0),
    ]


def test_a_trace_of_spans_that_are_days_apart_is_whole(api, ingest):
    first = span(start_time_unix_nano=T0)
    last = span(first.trace_id, parent_span_id=first.span_id, start_time_unix_nano=T0 + 40 * 86_400 * SECOND)
    ingest(request(last))
    ingest(request(first))
    assert tree_of(api, first.trace_id)["span_count"] == 2


@pytest.mark.parametrize("deep", [True, False])
def test_large_traces_are_shown_whole(api, ingest, deep):
    trace_id = secrets.token_bytes(16)
    count = 5_000 if deep else 10_000
    spans = [
        Span(
            trace_id=trace_id,
            span_id=(n + 1).to_bytes(8),
            parent_span_id=(n if deep else 1).to_bytes(8) if n else b"",
            name="step",
            start_time_unix_nano=T0 + n,
            end_time_unix_nano=T0 + count,
        )
        for n in range(count)
    ]
    ingest(request(*spans))
    tree = tree_of(api, trace_id)
    depths = [depth for depth, _ in walk(tree["roots"])]
    assert depths == (list(range(count)) if deep else [0] + [1] * (count - 1))


def test_a_trace_beyond_the_limit_is_refused_and_not_cut(api, ingest, monkeypatch):
    monkeypatch.setattr(spans_module, "MOST_SPANS", 2)
    trace_id = secrets.token_bytes(16)
    ingest(request(*(span(trace_id) for _ in range(3))))
    answer = api.get(f"/api/v1/traces/{trace_id.hex()}")
    assert answer.status_code == 422
    assert answer.json()["title"] == "Trace too large"


@pytest.mark.parametrize("seed", range(20))
def test_the_totals_are_those_of_the_list_to_the_digit(api, store, reader, project, seed):
    """They are worked out from the spans that are shown; the list works them out in the database."""
    chance = random.Random(seed)
    trace_id = secrets.token_bytes(16)
    made = a_request(chance, iter(lambda: chance.randbytes(8), None))
    while sum(len(beside.spans) for above in made.resource_spans for beside in above.scope_spans) < 4:
        made.MergeFrom(a_request(chance, iter(lambda: chance.randbytes(8), None)))
    ids = []
    for above in made.resource_spans:
        for beside in above.scope_spans:
            for one in beside.spans:
                one.trace_id, one.parent_span_id = trace_id, chance.choice([b"", b"p" * 8, b"q" * 8, *ids])
                one.start_time_unix_nano = T0 + chance.randrange(3)
                ids.append(one.span_id)
                for attribute in one.attributes:
                    if "cost" in attribute.key:  # a sum beyond what a cost may be is nobody's money
                        attribute.value.CopyFrom(any_value(chance.choice(["0.123456789012345678", 7, 0.1])))
    body = made.SerializeToString()
    store.insert([Request(body, project, 1, check(body, 32).spans, deep=True)])
    tree = tree_of(api, trace_id)
    del tree["roots"]
    assert [tree] == api.get("/api/v1/traces").json()["traces"]


@pytest.mark.parametrize("year", [1971, 2016, 2100])
def test_old_and_future_spans_are_found(api, ingest, year):
    sent = span(start_time_unix_nano=int((year - 1970) * 365.25 * 86_400) * SECOND)
    ingest(request(sent))
    assert tree_of(api, sent.trace_id)["span_count"] == 1
    assert [trace["trace_id"] for trace in api.get("/api/v1/traces").json()["traces"]] == [
        sent.trace_id.hex()
    ]
