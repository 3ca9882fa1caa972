"""collector.rows.requests: of requests with faults and limits, what is stored and what is told."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from ledger_rows import Row, Sent, stored_rows
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from otlp_requests import field, key_values, llm_span, nested_arrays, request, span, wire_request

from spanledger.collector.rows.block import Block
from spanledger.schemas.dialects import CONTENT_KEYS

GOOD = span(name="good").SerializeToString()


@pytest.mark.parametrize("depth", [33, 40, 49, 1_000, 100_000])
@pytest.mark.parametrize("spans", [[], [span(span_id=b"bad").SerializeToString()]], ids=["none", "bad"])
@pytest.mark.parametrize("place", ["resource", "scope"])
def test_a_resource_or_scope_too_deep_without_a_good_span_harms_nobody(
    put_spans, reader, place, spans, depth
):
    """No span of theirs is counted as too deep, so nothing but their own bytes says that they are."""
    attribute = field(1, b"deep") + field(2, nested_arrays(depth))
    resource = field(1, field(1, attribute)) if place == "resource" else b""
    scope = field(1, field(3, attribute)) if place == "scope" else b""
    bad = field(1, resource + field(2, scope + b"".join(field(2, one) for one in spans)))
    project = uuid4().hex
    more = span(name="more").SerializeToString()
    put_spans([Sent(wire_request(GOOD) + bad + wire_request(more), project, 1)])
    assert {row["name"] for row in stored_rows(reader, project).values()} == {b"good", b"more"}


# --- limits


def limited(put_spans, reader, sent, **limits) -> tuple[Block, Row]:
    """What is stored of a request with one good span, and what is said of its attributes."""
    project = uuid4().hex
    block = put_spans([Sent(sent, project, 1)], **limits)
    (row,) = stored_rows(reader, project).values()
    return block, row


PLACES = ["span", "resource", "scope", "event", "link"]


def with_attributes(place: str, attributes: dict[str, Any]) -> ExportTraceServiceRequest:
    made = request(span(), resource={"service.name": "s"})
    above = made.resource_spans[0]
    sent = above.scope_spans[0].spans[0]
    sent.events.add(name="e")
    sent.links.add(trace_id=b"l" * 16)
    holders = {
        "span": sent,
        "resource": above.resource,
        "scope": above.scope_spans[0].scope,
        "event": sent.events[0],
        "link": sent.links[0],
    }
    holders[place].attributes.extend(key_values(attributes))
    return made


def texts_in(place: str, row: Row) -> dict[bytes, Any]:
    """The attributes of a holder, a span's without their types."""
    if place == "span":
        maps = ("string", "int", "double", "bool", "json")
        return {key: value for name in maps for key, value in row[f"attributes_{name}"]}
    stored = row[
        {"resource": "resource_attributes", "scope": "scope_attributes"}.get(place, f"{place}s.attributes")
    ]
    return dict(stored if place in ("resource", "scope") else stored[0])


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("x" * 16, "x" * 16),
        ("x" * 17, "x" * 16),
        ("x" * 15 + "é", "x" * 15),
        ("x" * 14 + "é", "x" * 14 + "é"),
        ("x" * 13 + "\U0001f600", "x" * 13),
        ("\U0001f600" * 4, "\U0001f600" * 4),
        ("\U0001f600" * 5, "\U0001f600" * 4),
        ("x" * 100_000, "x" * 16),
    ],
)
def test_a_string_longer_than_the_limit_is_cut_on_a_whole_character_and_its_key_noted(
    put_spans, reader, place, text, kept
):
    sent = with_attributes(place, {"long": text, "short": "y"})
    block, row = limited(put_spans, reader, sent, value_bytes=16)
    stored = texts_in(place, row)[b"long"].decode()
    assert stored == (kept if place == "span" else f'"{kept}"')
    assert row["attributes_cut"] == ([b"long"] if kept != text else [])
    assert block.cut == (kept != text)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("value", [["é" * 10, "y"], {"k": ["x" * 50]}, b"x" * 50, [1.5] * 9], ids=repr)
def test_a_value_whose_json_text_is_longer_becomes_a_string_that_holds_how_it_begins(
    put_spans, reader, place, value
):
    _, whole = limited(put_spans, reader, with_attributes(place, {"long": value}))
    block, row = limited(
        put_spans, reader, with_attributes(place, {"long": value, "short": [1]}), value_bytes=17
    )
    kept = json.loads(texts_in(place, row)[b"long"])
    begins = texts_in(place, whole)[b"long"].decode()
    assert isinstance(kept, str)
    assert begins.startswith(kept)
    assert 14 <= len(kept.encode()) <= 17
    assert texts_in(place, row)[b"short"] == b"[1]"
    assert (row["attributes_cut"], block.cut) == ([b"long"], 1)


@pytest.mark.parametrize("key", CONTENT_KEYS)
@pytest.mark.parametrize("value", ["x" * 1000, ["x" * 1000]], ids=["text", "list"])
def test_content_of_a_span_is_kept_whole(put_spans, reader, key, value):
    block, row = limited(put_spans, reader, request(span(attributes={key: value})), value_bytes=16)
    name = "content_string" if isinstance(value, str) else "content_json"
    assert row[name] == [
        (key.encode(), value.encode() if isinstance(value, str) else b'["%s"]' % (b"x" * 1000))
    ]
    assert (row["attributes_cut"], block.cut) == ([], 0)


@pytest.mark.parametrize("place", PLACES[1:])
def test_content_of_an_event_is_kept_whole_and_elsewhere_it_is_a_value_like_others(put_spans, reader, place):
    """Older conventions have prompts in events; a resource's attributes stand on all of its spans."""
    sent = with_attributes(place, {"gen_ai.prompt": "x" * 1000})
    block, row = limited(put_spans, reader, sent, value_bytes=16)
    size = 1000 if place == "event" else 16
    assert texts_in(place, row)[b"gen_ai.prompt"] == b'"%s"' % (b"x" * size)
    assert block.cut == (place != "event")


def test_what_is_cut_on_resource_and_scope_is_noted_on_each_of_their_spans_and_no_others(put_spans, reader):
    project = uuid4().hex
    first = request(span(name="a"), span(name="b", attributes={"own": "x" * 20}), resource={"r": "x" * 20})
    first.resource_spans[0].scope_spans[0].scope.attributes.extend(key_values({"s": "x" * 20}))
    first.resource_spans[0].scope_spans.add().spans.append(span(name="c"))
    first.MergeFrom(request(span(name="d")))
    block = put_spans([Sent(first, project, 1)], value_bytes=16)
    cut = {row["name"]: row["attributes_cut"] for row in stored_rows(reader, project).values()}
    assert cut == {b"a": [b"r", b"s"], b"b": [b"r", b"s", b"own"], b"c": [b"r"], b"d": []}
    assert block.cut == 3


def test_columns_of_attributes_hold_no_more_than_the_attributes(put_spans, reader):
    """Else the limit would be none: a text of any size would be in a column with few values."""
    sent = llm_span(model="m" * 50, spanledger__tags=["t" * 50, "u"], user__id="u" * 50)
    _, row = limited(put_spans, reader, request(sent, resource={"service.name": "s" * 50}), value_bytes=16)
    assert (row["request_model"], row["user_id"], row["service"]) == (b"m" * 16, b"u" * 16, b"s" * 16)
    assert row["tags"] == [b"t" * 16, b"u"]


@pytest.mark.parametrize("place", PLACES)
def test_attributes_above_the_number_are_dropped_and_counted(put_spans, reader, place):
    there = {"service.name": 1} if place == "resource" else {}
    sent = with_attributes(place, {f"k{n:02}": n for n in range(20)})
    block, row = limited(put_spans, reader, sent, attributes=12)
    assert len(texts_in(place, row)) == 12
    assert f"k{11 - len(there):02}".encode() in texts_in(place, row)
    assert dropped_in(place, row) == block.dropped_count == 8 + len(there)


def dropped_in(place: str, row: Row) -> int:
    name = {"span": "dropped_attributes_count", "event": "events.dropped_attributes_count"}
    name |= {"link": "links.dropped_attributes_count"}
    found = row[name.get(place, f"{place}_dropped_attributes_count")]
    return found[0] if isinstance(found, list) else found


@pytest.mark.parametrize("place", PLACES)
def test_attributes_with_longer_keys_are_dropped_and_counted_by_characters_not_bytes(
    put_spans, reader, place
):
    keys = ["k" * 8, "k" * 9, "é" * 8, "é" * 9, "\U0001f600" * 8, "\U0001f600" * 9]
    sent = with_attributes(place, dict.fromkeys(keys, 1))
    block, row = limited(put_spans, reader, sent, key_characters=8)
    left = [key for key in keys if len(key) <= 8]
    assert sorted(texts_in(place, row)) == sorted(key.encode() for key in left)
    # The key service.name of the resource is too long, too.
    assert block.dropped_key_length == 3 + 1
    assert dropped_in(place, row) == 3 + (place == "resource")


def test_dropped_counts_add_to_what_the_sender_dropped_and_end_where_the_column_ends(put_spans, reader):
    sent = with_attributes("span", {f"k{n}": n for n in range(3)})
    sent.resource_spans[0].scope_spans[0].spans[0].dropped_attributes_count = 5
    _, row = limited(put_spans, reader, sent, attributes=1)
    assert row["dropped_attributes_count"] == 7
    sent.resource_spans[0].scope_spans[0].spans[0].dropped_attributes_count = (1 << 32) - 1
    _, row = limited(put_spans, reader, sent, attributes=1)
    assert row["dropped_attributes_count"] == (1 << 32) - 1


@pytest.mark.parametrize("place", PLACES)
def test_values_too_deep_take_their_spans_out_and_leave_the_neighbours(put_spans, reader, place):
    project = uuid4().hex
    sent = with_attributes(place, {"deep": [[[[["x"]]]]]})
    sent.resource_spans[0].scope_spans[0].spans[0].name = "deep"
    both = request(span(name="before"))
    both.MergeFrom(sent)
    both.MergeFrom(request(span(name="after")))
    both.resource_spans[1].scope_spans.add().spans.append(span(name="other scope"))
    put_spans([Sent(both, project, 1)], depth=4)
    names = {row["name"] for row in stored_rows(reader, project).values()}
    assert names == {b"before", b"after"} | ({b"other scope"} if place != "resource" else set())


# --- messages sent twice


def test_of_a_resource_or_scope_sent_twice_no_key_stands_twice(put_spans, reader):
    """Protobuf merges them, and of two equal keys the last one counts."""
    once = field(1, key_values({"a": 1, "both": "first"})[0].SerializeToString())
    once += field(1, key_values({"both": "first"})[0].SerializeToString())
    twice = field(1, key_values({"both": "second"})[0].SerializeToString())
    body = field(1, field(1, once) + field(1, twice) + field(2, field(2, GOOD)))
    _, row = limited(put_spans, reader, body)
    assert row["resource_attributes"] in (
        [(b"a", b"1"), (b"both", b'"second"')],
        [(b"both", b'"second"')],
    )
