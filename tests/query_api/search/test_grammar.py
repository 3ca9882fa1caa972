"""The grammar of `attribute`: every level, key, op and typed value can be said, and nothing else passes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as some

from spanledger.query_api.search.conditions import LEVELS, Attribute
from spanledger.query_api.search.grammar import parse_attribute, parse_money

SIGNS = {"=": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("a.b=5", Attribute("a.b", "eq", 5)),
        ("a.b = 5.0", Attribute("a.b", "eq", 5.0)),
        ('a="5"', Attribute("a", "eq", "5")),
        ("a=true", Attribute("a", "eq", True)),
        ("a=yes, it is", Attribute("a", "eq", "yes, it is")),
        ("a != x=y", Attribute("a", "ne", "x=y")),
        ("event:exception.type = ValueError", Attribute("exception.type", "eq", "ValueError", "event")),
        ("span:event:x=1", Attribute("event:x", "eq", 1, "span")),
        ('"event:x"=1', Attribute("event:x", "eq", 1)),
        ("http:x=1", Attribute("http:x", "eq", 1)),
        ('"a = \\"b\\"" >= 0.5', Attribute('a = "b"', "ge", 0.5)),
        ('resource:"" exists', Attribute("", "exists", None, "resource")),
        ("k exists", Attribute("k", "exists")),
        ("k contains 50% of it", Attribute("k", "contains", "50% of it")),
        ("k starts_with 5", Attribute("k", "starts_with", "5")),
        ('k in ["a", 5, true]', Attribute("k", "in", ("a", 5, True))),
        ("k not_in [1]", Attribute("k", "not_in", (1,))),
        ('k=""', Attribute("k", "eq", "")),
        ("k=NaN", Attribute("k", "eq", "NaN")),
        ('k={"a": 1}', Attribute("k", "eq", '{"a": 1}')),
        ('k="null"', Attribute("k", "eq", "null")),
        ("in in [1]", Attribute("in", "in", (1,))),
        ("k=9007199254740993", Attribute("k", "eq", 9007199254740993)),
    ],
)
def test_a_line_means_one_condition(line, meant):
    found = parse_attribute(line)
    assert found == meant
    assert type(found.value) is type(meant.value)


@given(
    key=some.text(some.characters(codec="utf-8"), max_size=20),
    level=some.sampled_from([None, *LEVELS]),
    sign=some.sampled_from(list(SIGNS)),
    value=some.one_of(
        some.integers(-(10**37), 10**37),
        some.floats(allow_nan=False, allow_infinity=False),
        some.text(some.characters(codec="utf-8"), max_size=20),
    ),
)
def test_every_key_and_value_can_be_said_as_json(key, level, sign, value):
    if isinstance(value, str) and sign not in ("=", "!="):
        sign = "="
    line = f"{level + ':' if level else ''}{json.dumps(key)} {sign} {json.dumps(value)}"
    assert parse_attribute(line) == Attribute(key, SIGNS[sign], value, level)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("", "key is missing"),
        ("=5", "key is missing"),
        ('"open = 5', "key is missing"),
        ("k", "no op"),
        ("k like x", "no op"),
        ("k contains", "value is missing"),
        ("k=", "value is missing"),
        ("k exists 5", "takes no value"),
        ("k=null", "null is no value"),
        ('k="x', "JSON string"),
        ("k in 5", "list of 1 to 100"),
        ("k in []", "list of 1 to 100"),
        ("k in [null]", "text, a number"),
        ("k<true", "lt does not compare true and false"),
        ('k<"a"', "lt does not compare text"),
        ("k=1e999", "finite"),
        (f"k={10**38}", "38 digits"),
        ("k=" + "9" * 3000, "38 digits"),
        ('k="\\ud800"', "surrogate"),
        ('"\\ud800"=5', "surrogate"),
        ("k=" + "x" * 1001, "up to 1000"),
        ("x" * 5000, "up to 4000"),
    ],
)
def test_what_is_no_condition_is_refused_with_what_is_wrong(line, what):
    with pytest.raises(ValueError, match=what):
        parse_attribute(line)


@pytest.mark.parametrize("amount", ["nan", "-1", "1e18", "0." + "0" * 18 + "1", "x", True, None, "inf", [1]])
def test_what_is_no_amount_is_refused(amount):
    with pytest.raises(ValueError, match="not a"):
        parse_money(amount)
