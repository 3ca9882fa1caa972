"""Cases 23 to 26: text of any kind, keys and numbers that mean harm, and very much of it."""

from __future__ import annotations

import json
import secrets

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from otlp_requests import HOSTILE_KEYS, key_values, llm_span, request, span, wire_request, with_invalid_utf8
from transports import JSON, encode

from spanledger.schemas.settings import MIB

ODD_COUNTS = ["abc", -5, "1e400", 1e300, 2.5, True, b"7", ["7"], {"n": 7}, None, ""]
MAX_KEY = 256
MAX_VALUE = MIB


# --- 23: text that is none


@pytest.mark.parametrize("place", with_invalid_utf8())
def test_case_23_invalid_utf8_in_protobuf_is_invalid(world, protobuf_way, place):
    good, bad = span().SerializeToString(), with_invalid_utf8()[place]
    with world.nothing_stored():
        assert protobuf_way.send_body(wire_request(good, bad)).code == "INVALID_ARGUMENT"


def test_case_23_invalid_utf8_in_json_is_invalid(world, json_way):
    body = encode(request(span(name="here")), JSON)
    for bad in (b"\xff\xfe", b"\xed\xa0\x80"):
        with world.nothing_stored():
            assert json_way.send_body(body.replace(b"here", bad)).code == "INVALID_ARGUMENT"


def test_case_23_a_lone_surrogate_in_json_becomes_the_replacement_character(world, json_way):
    sent = span(name="here", attributes={"key": "value"})
    body = encode(request(sent), JSON)
    for word, odd in (
        (b"here", rb"a\ud800b"),
        (b'"key": "key"', rb'"key": "\udfffk"'),
        (b'value"}', rb'v\ud83d"}'),
    ):
        assert word in body
        body = body.replace(word, odd)
    assert json_way.send_body(body).code == "OK"
    node = world.node(sent.trace_id)
    assert node["name"] == "a\ufffdb"
    assert node["attributes"] == {"\ufffdk": "v\ufffd"}


# --- 24: keys


def test_case_24_hostile_keys_and_values_are_text_and_nothing_else(world, way):
    everywhere = {key: key for key in HOSTILE_KEYS}
    sent = span(attributes=everywhere | {"nested": everywhere})
    sent.events.add(name="e").attributes.extend(key_values(everywhere))
    assert way.send(request(sent, resource=everywhere)).code == "OK"
    node = world.node(sent.trace_id)
    assert node["attributes"] == everywhere | {"nested": everywhere}
    assert node["events"][0]["attributes"] == node["resource"]["attributes"] == everywhere


def test_case_24_of_equal_keys_the_last_one_counts(world, way):
    sent = span()
    for value in ("first", 2, "last"):
        sent.attributes.extend(key_values({"k": value}))
    assert way.send(request(sent)).code == "OK"
    assert world.node(sent.trace_id)["attributes"] == {"k": "last"}


def test_case_24_a_key_of_the_limit_is_kept(world, way):
    sent = span(attributes={"k" * MAX_KEY: "v", "ä" * MAX_KEY: "v"})
    assert way.send(request(sent)).code == "OK"
    assert world.node(sent.trace_id)["attributes"] == {"k" * MAX_KEY: "v", "ä" * MAX_KEY: "v"}


@pytest.mark.parametrize("length", [MAX_KEY + 1, 65_536])
def test_case_24_a_longer_key_is_left_out_and_counted(world, way, length):
    sent = span(attributes={"k" * length: "v", "short": 1}, dropped_attributes_count=5)
    assert way.send(request(sent)).code == "OK"
    node = world.node(sent.trace_id)
    assert node["attributes"] == {"short": 1}
    assert node["dropped_attributes_count"] == 6


def test_case_24_more_attributes_than_the_limit_are_left_out_and_counted(world, way):
    sent = span(attributes={f"k{n:04}": n for n in range(1100)})
    assert way.send(request(sent)).code == "OK"
    node = world.node(sent.trace_id)
    assert node["attributes"] == {f"k{n:04}": n for n in range(1024)}
    assert node["dropped_attributes_count"] == 1100 - 1024


# --- 25: counts that are none


def uncounted(world, way, counts: list) -> list:
    """The nodes of calls with these as their counts of tokens, sent together with a good call."""
    trace_id, good = secrets.token_bytes(16), llm_span()
    spans = [llm_span(trace_id, input_tokens=odd, output_tokens=odd) for odd in counts]
    assert way.send(request(good, *spans)) == ("OK", "", 0, ())
    assert world.tree(good.trace_id)["cost_usd"] == "0.00021"
    return world.nodes(trace_id)


def test_case_25_a_token_count_that_is_none_is_unknown_and_costs_nothing_known(world, way):
    nodes = uncounted(world, way, ODD_COUNTS)
    assert len(nodes) == len(ODD_COUNTS)
    for node in nodes:
        usage, cost, odd = node["usage"], node["cost"], node["attributes"].get("gen_ai.usage.input_tokens")
        assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (None,) * 3, odd
        assert (cost["usd"], cost["reason"]) == (None, "no_usage"), odd


def test_case_25_counts_that_are_none_are_left_out_of_every_sum(world, way):
    service = f"odd-{secrets.token_hex(4)}"
    trace_id = secrets.token_bytes(16)
    odd = [llm_span(trace_id, input_tokens=count, output_tokens=count) for count in ODD_COUNTS]
    sent = request(llm_span(trace_id), *odd, resource={"service.name": service})
    assert way.send(sent) == ("OK", "", 0, ())
    (listed,) = world.listed(service=service)
    for trace in (listed, world.tree(trace_id)):
        assert (trace["input_tokens"], trace["output_tokens"], trace["cost_usd"]) == (1000, 100, "0.00021")
        assert (trace["llm_call_count"], trace["unpriced_call_count"]) == (1 + len(odd), len(odd))


@pytest.mark.parametrize("huge", [float(1 << 63), str(1 << 63)])
def test_case_25_a_token_count_of_2_to_the_63_is_unknown(world, way, huge):
    for node in uncounted(world, way, [huge, huge]):
        assert (node["usage"]["input_tokens"], node["cost"]["usd"]) == (None, None)


@pytest.mark.parametrize("odd", ["abc", -5, 1e300], ids=repr)
def test_case_25_one_token_count_that_is_none_makes_the_cost_unknown(world, way, odd):
    sent = llm_span(input_tokens=odd, output_tokens=100)
    assert way.send(request(sent)) == ("OK", "", 0, ())
    node = world.node(sent.trace_id)
    assert (node["usage"]["input_tokens"], node["usage"]["output_tokens"]) == (None, 100)
    assert node["cost"]["usd"] is None


def test_case_25_a_double_of_1e400_in_json_is_no_error(world, json_way):
    sent = llm_span(input_tokens=7.25, output_tokens=7.25)
    body = encode(request(sent), JSON).replace(b"7.25", b"1e400")
    assert json_way.send_body(body) == ("OK", "", 0, ())
    node = world.node(sent.trace_id)
    assert (node["usage"]["input_tokens"], node["cost"]["usd"]) == (None, None)


def test_case_25_an_integer_beyond_64_bits_is_none_of_otlp(world, json_way):
    """It cannot be said in protobuf; text and doubles of that size can, and are stored."""
    body = encode(request(llm_span(input_tokens=77)), JSON).replace(b'"77"', f'"{1 << 63}"'.encode())
    with world.nothing_stored():
        assert json_way.send_body(body).code == "INVALID_ARGUMENT"


def test_case_25_an_unknown_model_is_stored_without_a_cost(world, way):
    sent = llm_span(model="model-that-nobody-sells")
    assert way.send(request(sent)) == ("OK", "", 0, ())
    node = world.node(sent.trace_id)
    assert node["usage"]["input_tokens"] == 1000
    assert (node["cost"]["usd"], node["cost"]["reason"]) == (None, "unknown_model")


# --- 26: very long text


@pytest.mark.slow
def test_case_26_a_prompt_of_20_mib_is_kept_whole_and_the_list_does_not_carry_it(world, way):
    text = "ä€\U0001f600x" * (20 * MIB // 10)
    messages = json.dumps(
        [{"role": "user", "parts": [{"type": "text", "content": text}]}], ensure_ascii=False
    )
    assert len(messages.encode()) > 20 * MIB
    service = f"long-{secrets.token_hex(4)}"
    sent = llm_span(gen_ai__input__messages=messages)
    assert way.send(request(sent, resource={"service.name": service})) == ("OK", "", 0, ())
    node = world.node(sent.trace_id)
    assert node["attributes"]["gen_ai.input.messages"] == messages
    assert node["input"] == json.loads(messages)
    listed = world.api.get("/api/v1/traces", params={"service": service})
    assert [trace["trace_id"] for trace in listed.json()["traces"]] == [sent.trace_id.hex()]
    assert len(listed.content) < 5_000


def cut_attributes() -> tuple[str, Span]:
    text = "ä€\U0001f600x" * (2 * MAX_VALUE // 10)
    return text, span(attributes={"note": text, "short": "whole", "list": ["a" * MAX_VALUE]})


def test_case_26_another_attribute_over_the_limit_is_cut_on_a_character_and_marked(world, way):
    text, sent = cut_attributes()
    assert way.send(request(sent)) == ("OK", "", 0, ())
    kept = world.node(sent.trace_id)["attributes"]
    assert kept["short"] == "whole"
    assert text.startswith(kept["note"])
    assert MAX_VALUE - 4 < len(kept["note"].encode()) <= MAX_VALUE
    assert len(kept["list"]) <= MAX_VALUE
    assert world.rows(sent.trace_id, "arraySort(attributes_cut)") == [(["list", "note"],)]


def test_case_26_the_api_says_which_attributes_were_cut(world, way):
    _, sent = cut_attributes()
    assert way.send(request(sent)).code == "OK"
    assert sorted(world.node(sent.trace_id)["attributes_cut"]) == ["list", "note"]
