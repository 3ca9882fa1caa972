"""The text of the load: the same for a seed, never told twice, and as compressible as language."""

from __future__ import annotations

import zlib
from pydoc_data.topics import topics

from bench.prose import Prose

MEGABYTE = 1 << 20


def shrinks(text: str) -> float:
    return len(text) / len(zlib.compress(text.encode(), 6))


def test_a_seed_always_tells_the_same():
    first, second = Prose(7), Prose(7)
    assert [first.passage(100) for _ in range(20)] == [second.passage(100) for _ in range(20)]
    assert Prose(8).passage(1000) != Prose(7).passage(1000)


def test_it_compresses_like_prose():
    """As English does (2.4 to 3 times), and less than an English manual."""
    shrunk = shrinks(Prose(1).passage(MEGABYTE))
    assert 2.4 < shrunk < shrinks("\n".join(topics.values())[:MEGABYTE])


def test_no_passage_comes_twice_and_each_has_its_length():
    prose = Prose(1)
    passages = [prose.passage(60 + n % 40) for n in range(20_000)]
    assert len(set(passages)) == len(passages)
    assert [len(passage) for passage in passages] == [60 + n % 40 for n in range(20_000)]
