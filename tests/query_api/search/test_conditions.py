"""Conditions: the SQL finds the spans that a plain reading of what was sent finds, and no other."""

from __future__ import annotations

import json
import random
import secrets
import time
from decimal import Decimal
from functools import partial
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from otlp_requests import HOSTILE_KEYS, SECOND, key_values, span

from spanledger.collector.gate import check
from spanledger.collector.rows.block import Request
from spanledger.query_api.search.conditions import (
    LEVELS,
    All,
    Any,
    Attribute,
    Compare,
    Not,
    Text,
    compiled,
)
from spanledger.query_api.search.inherited import settled
from spanledger.schemas.settings import Settings

T0 = 1_760_000_000 * SECOND
BIG = 2**53
KEYS = ["k", "a.b:c", *HOSTILE_KEYS]
TEXTS = ["", "a", "A", "%", "_", "*", "\\", "\\'", '"', "'; DROP TABLE spans --", "{x:String}", "%27", "5"]
TEXTS += [
    "true",
    "null",
    "[1]",
    '{"@double":"inf"}',
    "a\0b",
    "a\tb\nc",
    "é𝄞",
    "\u202e",
    "x' OR 1=1 --",
    "nan",
]
NUMBERS = [
    0,
    1,
    -1,
    5,
    BIG,
    BIG + 1,
    -BIG - 1,
    2**63 - 1,
    -(2**63),
    0.5,
    5.0,
    float(BIG),
    -0.1,
    1e300,
    5e-324,
]
SENT = [*TEXTS, *NUMBERS, True, False, float("inf"), float("-inf"), float("nan")]
ASKED = [*TEXTS, *NUMBERS, True, False, 2**64, -(2**70), 10**37]
ORDERS = {
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
}
PIECES = {
    "contains": lambda a, b: b in a,
    "starts_with": lambda a, b: a.startswith(b),
    "ends_with": lambda a, b: a.endswith(b),
}


class Sent(dict):
    """What was sent, by span id; hypothesis need not print it."""

    def __repr__(self):
        return f"{len(self)} spans"


def kind(value):
    return "text" if isinstance(value, str) else "flag" if isinstance(value, bool) else "number"


def fits(sent, op, value):
    """Whether a value that was sent fulfils a comparison: the plain reading."""
    if op == "in":
        return any(fits(sent, "eq", one) for one in value)
    if kind(sent) != kind(value):
        return False
    if op == "eq":
        return sent == value
    return (ORDERS | PIECES)[op](sent, value)


def holds(condition, sent):
    """Whether a span, as a dictionary of what was sent, fulfils a condition."""
    match condition:
        case All(parts):
            return all(holds(part, sent) for part in parts)
        case Any(parts):
            return any(holds(part, sent) for part in parts)
        case Not(part):
            return not holds(part, sent)
        case Compare(_, "ne" | "not_in" as op, _) | Attribute(_, "ne" | "not_in" as op, _, _):
            return not holds(condition._replace(op="eq" if op == "ne" else "in"), sent)
        case Attribute(key, op, value, level):
            values = [
                attributes[key]
                for name in LEVELS
                if level in (None, name)
                for attributes in sent[name]
                if key in attributes
            ]
            return bool(values) if op == "exists" else any(fits(one, op, value) for one in values)
        case Compare(field, op, value):
            found = [one for one in sent["fields"][field] if one != ""]
            return bool(found) if op == "exists" else any(fits(one, op, value) for one in found)


def attribute_sets(chance):
    return {chance.choice(KEYS): chance.choice(SENT) for _ in range(chance.randrange(4))}


def put(store, project, *requests):
    """Store requests under a project, each received later than the one before."""
    for made in requests:
        body = made.SerializeToString()
        checked = check(body, Settings().max_attribute_depth)
        assert not checked.rejected
        store.insert([Request(body, project, time.time_ns(), checked.spans, False)])


def one_request(made, resource, scope):
    request = ExportTraceServiceRequest()
    of_resource = request.resource_spans.add()
    of_resource.resource.attributes.extend(key_values(resource))
    of_scope = of_resource.scope_spans.add()
    of_scope.scope.name = "tests"
    of_scope.scope.attributes.extend(key_values(scope))
    of_scope.spans.append(made)
    return request


@pytest.fixture(scope="module")
def attributes_sent(store):
    """Spans with values of every type at every level, and their project."""
    project, chance, sent = f"test-{uuid4().hex[:12]}", random.Random(5), Sent()
    joined = ExportTraceServiceRequest()
    for n in range(150):
        levels = {
            "span": [attribute_sets(chance)],
            "resource": [attribute_sets(chance)],
            "scope": [attribute_sets(chance)],
            "event": [attribute_sets(chance) for _ in range(chance.randrange(3))],
            "link": [attribute_sets(chance) for _ in range(chance.randrange(3))],
        }
        made = span(None, levels["span"][0], start_time_unix_nano=T0 + n)
        for attributes in levels["event"]:
            made.events.add(name="e", time_unix_nano=T0).attributes.extend(key_values(attributes))
        for attributes in levels["link"]:
            link = made.links.add(trace_id=secrets.token_bytes(16), span_id=secrets.token_bytes(8))
            link.attributes.extend(key_values(attributes))
        joined.MergeFrom(one_request(made, levels["resource"][0], levels["scope"][0]))
        sent[made.span_id.hex()] = levels
    put(store, project, joined)
    return project, sent


def found(reader, project, condition):
    sql = compiled(condition)
    rows = reader.query(
        f"SELECT lower(hex(span_id)), {sql.text} AS fits FROM spans FINAL WHERE project = {{project:String}}",
        parameters={"project": project, **sql.parameters},
    ).result_rows
    assert all(fits in (0, 1) for _, fits in rows), "a condition is true or false and never NULL"
    return {span_id for span_id, fits in rows if fits}


ops_of = {
    "text": ["eq", "ne", *PIECES],
    "number": ["eq", "ne", *ORDERS],
    "flag": ["eq", "ne"],
}


@some.composite
def attribute_conditions(draw):
    key, level = draw(some.sampled_from(KEYS)), draw(some.sampled_from([None, *LEVELS]))
    op = draw(some.sampled_from(["exists", "in", "not_in", "compare", "compare", "compare"]))
    if op == "exists":
        return Attribute(key, "exists", None, level)
    if op != "compare":
        return Attribute(
            key, op, tuple(draw(some.lists(some.sampled_from(ASKED), min_size=1, max_size=4))), level
        )
    value = draw(some.sampled_from(ASKED))
    return Attribute(key, draw(some.sampled_from(ops_of[kind(value)])), value, level)


def trees(leaves):
    return some.recursive(
        leaves,
        lambda inner: some.one_of(
            some.lists(inner, max_size=3).map(All), some.lists(inner, max_size=3).map(Any), inner.map(Not)
        ),
        max_leaves=4,
    )


bounded = partial(
    settings,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@bounded(max_examples=150)
@given(condition=trees(attribute_conditions()))
def test_attributes_of_every_type_and_level_are_compared_as_they_were_sent(
    reader, attributes_sent, condition
):
    project, sent = attributes_sent
    expected = {span_id for span_id, levels in sent.items() if holds(condition, levels)}
    assert found(reader, project, condition) == expected


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("value", [v for v in ASKED if kind(v) == "number"], ids=str)
def test_numbers_are_compared_exactly_at_every_level(reader, attributes_sent, level, value):
    """Integers beyond 2^53, and doubles beside integers: nothing is rounded."""
    project, sent = attributes_sent
    asked = [Attribute("k", op, value, level) for op in ("eq", *ORDERS)]
    for condition in asked:
        expected = {span_id for span_id, levels in sent.items() if holds(condition, levels)}
        assert found(reader, project, condition) == expected


# --- fields

NAMES = ["", "a", "ab", "%", "a_", "{x:String}", "x' OR 1=1 --"]
FIELD_ATTRIBUTES = {
    "provider": "gen_ai.provider.name",
    "request_model": "gen_ai.request.model",
    "response_model": "gen_ai.response.model",
    "tool": "gen_ai.tool.name",
    "agent": "gen_ai.agent.name",
    "error_type": "error.type",
}
INHERITED = {"user": "user.id", "conversation": "gen_ai.conversation.id"}
CODES = {0: "unset", 1: "ok", 2: "error", 7: "unset"}
KINDS = {0: "unspecified", 3: "client", 9: "unspecified"}
TOKENS = [None, 1, 7, BIG + 1]  # of 0 alone the ledger says nothing (docs/dialects.md)


@pytest.fixture(scope="module")
def fields_sent(store):
    """Spans with every kind of field, in traces of three, and their project."""
    project, chance, sent = f"test-{uuid4().hex[:12]}", random.Random(8), Sent()
    joined = ExportTraceServiceRequest()
    for n in range(40):
        trace_id, spans = chance.randbytes(16), []
        for m in range(3):
            texts = {field: chance.choice(NAMES) for field in [*FIELD_ATTRIBUTES, *INHERITED]}
            texts["error_type"] = texts["error_type"].replace(" OR 1=1 --", "")
            named = FIELD_ATTRIBUTES | INHERITED
            attributes = {named[field]: text for field, text in texts.items() if text}
            attributes["gen_ai.operation.name"] = "chat"
            counts = {name: chance.choice(TOKENS) for name in ("input_tokens", "output_tokens")}
            attributes |= {f"gen_ai.usage.{name}": n for name, n in counts.items() if n is not None}
            made = span(
                trace_id, attributes, name=chance.choice(NAMES), start_time_unix_nano=T0 + n * SECOND + m
            )
            made.end_time_unix_nano = made.start_time_unix_nano + chance.choice([0, 1, 500_000, 3 * SECOND])
            made.status.code = chance.choice(list(CODES))
            made.kind = chance.choice(list(KINDS))
            service = chance.choice(NAMES)
            joined.MergeFrom(one_request(made, {"service.name": service}, {}))
            fields = {field: [text] for field, text in texts.items()}
            both = list(counts.values())
            fields |= {
                "provider": [texts["provider"].lower()],  # the ledger has one spelling of each
                "name": [made.name],
                "service": [service],
                "status": [CODES[made.status.code]],
                "kind": [KINDS[made.kind]],
                "role": ["LLM"],
                "trace_id": [trace_id.hex()],
                "span_id": [made.span_id.hex()],
                "model": [texts["response_model"] or texts["request_model"]],
                "duration_ms": [(made.end_time_unix_nano - made.start_time_unix_nano) / 1e6],
                "tokens": [] if both == [None, None] else [sum(n or 0 for n in both)],
                **{name: [] if n is None else [n] for name, n in counts.items()},
            }
            spans.append((made.span_id.hex(), fields))
        for field in INHERITED:
            first = next((fields[field][0] for _, fields in spans if fields[field][0]), "")
            for _, fields in spans:
                fields[field] = [fields[field][0] or first]
        sent |= {span_id: {"fields": fields} for span_id, fields in spans}
    put(store, project, joined)
    return project, sent


@some.composite
def field_conditions(draw):
    texts = [*FIELD_ATTRIBUTES, *INHERITED, "name", "service", "model"]
    field = draw(some.sampled_from([*texts, "status", "kind", "duration_ms", "tokens", "input_tokens"]))
    if field in texts:
        values, ops = NAMES, [*ops_of["text"], "in", "not_in", "exists"]
    elif field == "status":
        values, ops = ["ok", "error", "unset"], ["eq", "ne", "in", "not_in"]
    elif field == "kind":
        values, ops = ["unspecified", "client", "server"], ["eq", "ne", "in", "not_in"]
    else:
        values = [0, 1, 7, 8, 0.5, 3000, BIG, BIG + 1, BIG + 2]
        ops = [*ops_of["number"], "in", "not_in", "exists"]
    op = draw(some.sampled_from(ops))
    if op == "exists":
        return Compare(field, op)
    if op in ("in", "not_in"):
        return Compare(field, op, tuple(draw(some.lists(some.sampled_from(values), min_size=1, max_size=3))))
    return Compare(field, op, draw(some.sampled_from(values)))


@bounded(max_examples=150)
@given(condition=trees(field_conditions()))
def test_fields_are_compared_as_they_were_sent(reader, fields_sent, condition):
    project, sent = fields_sent
    expected = {span_id for span_id, fields in sent.items() if holds(condition, fields)}
    assert found(reader, project, condition) == expected
    assert found(reader, project, settled(reader, project, condition)) == expected


def test_ids_are_found_whole_and_in_any_case_and_nothing_else_is(reader, fields_sent):
    project, sent = fields_sent
    span_id, of_span = next(iter(sent.items()))
    [trace_id] = of_span["fields"]["trace_id"]
    trace = {one for one, other in sent.items() if other["fields"]["trace_id"] == [trace_id]}
    assert found(reader, project, Compare("span_id", "eq", span_id.upper())) == {span_id}
    assert found(reader, project, Compare("trace_id", "in", (trace_id, "no id"))) == trace
    assert found(reader, project, Compare("trace_id", "starts_with", trace_id[:20])) == trace
    for nothing in (span_id[:-1], span_id + "0", "", "'", "0" * 16, "g" * 16):
        assert not found(reader, project, Compare("span_id", "eq", nothing))
        assert found(reader, project, Compare("span_id", "ne", nothing)) == set(sent)
    assert not found(reader, project, Compare("parent_span_id", "eq", "0" * 16))
    assert found(reader, project, Not(Compare("parent_span_id", "exists"))) == set(sent)


@pytest.mark.parametrize("op", ["eq", *ORDERS])
def test_money_is_compared_as_decimals(reader, store, op):
    """A millionth of a cent beside another, which no double tells apart at this size."""
    amounts = [Decimal("0.000150000000000001"), Decimal("0.00015"), Decimal("123456789012.000000000001")]
    project, sent = f"test-{uuid4().hex[:12]}", {}
    for amount in amounts:
        made = span(None, {"gen_ai.operation.name": "chat", "gen_ai.usage.cost": str(amount)})
        put(store, project, one_request(made, {}, {}))
        sent[made.span_id.hex()] = amount
    rows = reader.query(
        "SELECT lower(hex(span_id)), cost_usd FROM spans WHERE project = {project:String}",
        parameters={"project": project},
    ).result_rows
    stored = dict(rows)
    assert all(cost is not None for cost in stored.values())
    for amount in {*amounts, *stored.values()}:
        expected = {span_id for span_id, cost in stored.items() if fits(cost, op, amount)}
        assert found(reader, project, Compare("cost_usd", op, amount)) == expected


# --- content

SAID = 'He said "Ünder\\the" line\nand 100% _*'
MESSAGES = [{"role": "user", "parts": [{"type": "text", "content": SAID}]}]


@pytest.fixture(scope="module")
def content_sent(store):
    project = f"test-{uuid4().hex[:12]}"
    as_text = span(None, {"gen_ai.input.messages": json.dumps(MESSAGES)}, name="text")
    as_unicode = span(
        None, {"gen_ai.input.messages": json.dumps(MESSAGES, ensure_ascii=False)}, name="unicode"
    )
    as_value = span(None, {"gen_ai.output.messages": MESSAGES}, name="value")
    in_event = span(name="event")
    in_event.events.add(name="gen_ai.user.message", time_unix_nano=T0).attributes.extend(
        key_values({"content": SAID})
    )
    beside = span(None, {"note": "He said"}, name="He said")
    for made in (as_text, as_unicode, as_value, in_event, beside):
        put(store, project, one_request(made, {"host": "He said"}, {}))
    return project, {made.span_id.hex() for made in (as_text, as_unicode, as_value, in_event)}


@pytest.mark.parametrize(
    "text", ['said "Ünder', "ünder\\THE", "he SAID", "line\nand", "100% _*", "\\the", '"', "%", "_", "*"]
)
def test_text_is_found_in_content_however_it_was_written(reader, content_sent, text):
    project, spans = content_sent
    assert found(reader, project, Text(text)) == spans
    assert not found(reader, project, All([Text(text), Not(Text(text))]))


@pytest.mark.parametrize("text", ["100%%", "s_id", "He.said", ".*", "\0", "{x:String}", "said  "])
def test_text_is_literal(reader, content_sent, text):
    project, _ = content_sent
    assert not found(reader, project, Text(text))
