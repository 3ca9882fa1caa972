"""query_api.search.cursors: a cursor comes back as the position it was made from, and nothing else passes."""

from __future__ import annotations

import random

import pytest

from spanledger.query_api.search.cursors import Position, decode_cursor, encode_cursor

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def test_a_cursor_means_the_position_it_was_made_from():
    chance = random.Random(1)
    for _ in range(100):
        position = Position(chance.randrange(1 << 63), chance.randbytes(16).hex())
        assert decode_cursor(encode_cursor(position)) == position


def test_a_cursor_needs_no_escaping_in_a_url():
    text = encode_cursor(Position((1 << 63) - 1, "ff" * 16))
    assert text.replace("-", "").replace("_", "").isalnum()


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
    ],
)
def test_what_is_no_cursor_is_refused(text):
    with pytest.raises(ValueError, match="not a cursor"):
        decode_cursor(text)


def test_positions_sort_like_the_list_from_its_end():
    older, newer = Position(1, "ff" * 16), Position(2, "00" * 16)
    assert older < newer
    assert Position(1, "00" * 16) < older
