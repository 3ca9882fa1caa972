"""query_api.values: every stored value comes out with its type, as valid JSON."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from spanledger.query_api.values import double, merged, money, readable, typed

DEEP = "[" * 5_000 + "]" * 5_000


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"a"', "a"),
        ('"1"', "1"),
        ("1", 1),
        ("1.0", 1.0),
        ("9223372036854775807", 9223372036854775807),
        ("true", True),
        ("null", None),
        ('[1,"1",1.5,[true]]', [1, "1", 1.5, [True]]),
        ('{"@bytes":"AAE="}', {"@bytes": "AAE="}),
        ('{"@double":"nan"}', "NaN"),
        ('[{"@double":"inf"},{"@double":"-inf"}]', ["Infinity", "-Infinity"]),
        ('{"a":{"@double":"nan"},"b":2}', {"a": "NaN", "b": 2}),
        ('{"@map":{"@double":"nan"}}', {"@double": "nan"}),
        ('{"@map":{"@map":{"@double":"nan"}}}', {"@map": "NaN"}),
        ('{"@map":{"@x":{"@map":{"@bytes":1}}}}', {"@x": {"@bytes": 1}}),
        ('{"__proto__":{"a.b":1},"":2}', {"__proto__": {"a.b": 1}, "": 2}),
        ("1e999", "Infinity"),
        ("not json", "not json"),
        (DEEP, DEEP),
    ],
)
def test_stored_json_text_becomes_the_value_it_stands_for(text, value):
    found = typed(text)
    assert found == value
    assert type(found) is type(value)
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(
    ("sent", "value"),
    [
        ('[{"role":"user"}]', [{"role": "user"}]),
        (' {"a": NaN, "b": -Infinity, "c": 1e999}', {"a": "NaN", "b": "-Infinity", "c": "Infinity"}),
        ("[truncated", "[truncated"),
        ("1.10", "1.10"),
        ('"quoted"', '"quoted"'),
        ("", ""),
        (DEEP, DEEP),
        ("[" * 101 + "]" * 101, "[" * 101 + "]" * 101),
        ("[" * 99 + "]" * 99, json.loads("[" * 99 + "]" * 99)),
        ("[" + "9" * 5000 + "]", "[" + "9" * 5000 + "]"),
        ([1], [1]),
        (7, 7),
    ],
)
def test_content_is_parsed_where_that_loses_nothing(sent, value):
    assert readable(sent) == value
    json.dumps(readable(sent), allow_nan=False)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (None, None),
        ("0", "0"),
        ("0E-18", "0"),
        ("1.500000000000000000", "1.5"),
        ("100.000000000000000000", "100"),
        ("1E+2", "100"),
        ("0.000000000000000001", "0.000000000000000001"),
        ("12345678901234567890.123456789012345678", "12345678901234567890.123456789012345678"),
    ],
)
def test_money_keeps_every_digit_in_plain_notation(amount, text):
    assert money(None if amount is None else Decimal(amount)) == text


def test_attributes_of_all_types_become_one_object():
    maps = ({"s": "1"}, {"i": 1}, {"d": 1.0, "n": float("nan"), "m": float("-inf")}, {"b": True})
    found = merged(*maps, {"j": "[1]"}, {"content": '{"@bytes":""}'})
    assert found == {
        "b": True,
        "content": {"@bytes": ""},
        "d": 1.0,
        "i": 1,
        "j": [1],
        "m": "-Infinity",
        "n": "NaN",
        "s": "1",
    }
    assert list(found) == sorted(found)


@pytest.mark.parametrize(
    "text",
    [
        "[18446744073709551615, 18446744073709551616, -9223372036854775808, -9223372036854775809]",
        "[100000000000000000000.5, 0.1, 1e5, -0, -0.0, 5e-324, 2.2250738585072011e-308, 1e400, -1E400]",
        "[NaN, Infinity, -Infinity]",
        '{"a": 1, "b": 2, "a": 3}',
        r'["\ud800", "\udc00x", "\ud83d\ude00", "\u0000", "\u0040double"]',
        '["\x01"]',
        "[01]",
        "[1] x",
        "\x0b[1]",
        "[" * 99 + "]" * 99,
        "[" * 1010 + "]" * 1010,
    ],
)
def test_what_is_read_fast_is_what_python_reads(text):
    def slowly(text):
        try:
            return json.loads(text, parse_float=as_json_can_say, parse_constant=str)
        except (ValueError, RecursionError):
            return text

    def as_json_can_say(number):
        return double(float(number))

    expected = slowly(text) if text.count("[") < 100 else text
    assert repr(readable(text)) == repr(expected)
