"""query_api.search.cursors: a cursor comes back as the position it was made from, and nothing else passes."""

from __future__ import annotations

import json
import random
from base64 import urlsafe_b64encode
from decimal import Decimal

import pytest

from spanledger.query_api.search.cursors import Cursor, Position, decode_cursor, encode_cursor, hash_of

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def test_a_cursor_means_the_place_and_the_search_it_was_made_from():
    chance = random.Random(1)
    for _ in range(100):
        value = chance.choice([None, Decimal(chance.randrange(1 << 70)), Decimal("0.000000000000000001")])
        span = chance.choice(["", chance.randbytes(8).hex()])
        position = Position(chance.randrange(1 << 63), chance.randbytes(16).hex(), span, value)
        cursor = Cursor(hash_of("x", chance.random()), position, chance.randrange(1 << 63), 5)
        assert decode_cursor(encode_cursor(cursor)) == cursor


def test_a_cursor_needs_no_escaping_in_a_url():
    text = encode_cursor(Cursor(hash_of("x"), Position((1 << 63) - 1, "ff" * 16)))
    assert text.replace("-", "").replace("_", "").isalnum()


def test_two_searches_have_two_names_and_one_has_one():
    assert hash_of("spans", ("a", 1)) == hash_of("spans", ("a", 1))
    assert len({hash_of("spans", ("a", 1)), hash_of("traces", ("a", 1)), hash_of("spans", ("a", "1"))}) == 3


def packed(*parts):
    return urlsafe_b64encode(json.dumps(parts, separators=(",", ":")).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "A" * 31,
        "A" * 33,
        "!" * 32,
        "é" * 32,
        "A" * 31 + "\n",
        "_" * 32,
        "' OR 1=1 --" + "A" * 21,
        None,
        "A" * 10_000,
        packed(),
        packed("0" * 16, -1, TRACE, "", None, 0, 0),
        packed("0" * 16, 1 << 63, TRACE, "", None, 0, 0),
        packed("0" * 16, True, TRACE, "", None, 0, 0),
        packed("0" * 16, 1, TRACE.upper(), "", None, 0, 0),
        packed("0" * 16, 1, TRACE, "", "nan", 0, 0),
        packed("0" * 16, 1, TRACE, "", "1e5", 0, 0),
        packed("0" * 16, 1, TRACE, "'; DROP TABLE", None, 0, 0),
        packed(["0"], 1, TRACE, "", None, 0, 0),
        packed("0" * 16, 1, TRACE, "", None, 0, 0) + "=",
    ],
)
def test_what_is_no_cursor_is_refused(text):
    with pytest.raises(ValueError, match="not a cursor"):
        decode_cursor(text)


def test_positions_sort_like_the_list_from_its_end():
    older, newer = Position(1, "ff" * 16), Position(2, "00" * 16)
    assert older < newer
    assert Position(1, "00" * 16) < older
