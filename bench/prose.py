"""Text that compresses like prose: words and phrases by the frequency law of language, in varied sentences.

A megabyte of it shrinks 2.7 times with gzip, as English Wikipedia does; manuals shrink 3 to 4 times.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import accumulate, islice

_COMMON = """
    the of and to a in is that for it as was with be by on not he his but at are this have from or had an
    they which one you were all her she there would their we him been has when who will no more if out so
    up said what its about than into them can only other time new some could these two may first then do
    any like my now over such our man me even most made after also did many off before must well back
    through years much where your way down should because long each just state those people too how good
"""
_ONSETS = "b c d f g h j k l m n p r s t v w br ch cl cr dr fl gr pl pr sh sp st str th tr"
_NUCLEI = "a e i o u a e i o ea ee io ou"
_CODAS = ("", "", "", "", "n", "r", "s", "t", "l", "d", "m", "nd", "nt", "st", "ck", "ng", "ly")
_ENDS = (". ", ". ", ". ", "? ", ": ", ".\n\n")
_WORDS = 2500
_PHRASES = 1000  # what is said again and again: "on the other hand"
_SHARE_OF_PHRASES = 0.1
_AT_ONCE = 20_000


class Prose:
    """An endless text, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        words = [*_COMMON.split(), *self._made_up(_WORDS - len(_COMMON.split()))]
        # Zipf's law with Mandelbrot's shift.
        weights = [1 / (rank + 2.7) for rank in range(_WORDS)]
        phrases = [
            " ".join(self._chance.choices(words, weights, k=self._chance.randint(2, 5)))
            for _ in range(_PHRASES)
        ]
        # How often a phrase comes also falls with its rank; together they make up a fixed share.
        phrase_weights = [1 / (rank + 100) for rank in range(_PHRASES)]
        scale = sum(weights) / sum(phrase_weights) * _SHARE_OF_PHRASES / (1 - _SHARE_OF_PHRASES)
        self._vocabulary = words + phrases
        self._weights = list(accumulate(weights + [weight * scale for weight in phrase_weights]))
        self._sentences = self._endless()

    def passage(self, characters: int) -> str:
        """The next `characters` characters; no sentence is told twice."""
        parts: list[str] = []
        have = 0
        while have < characters:
            parts.append(next(self._sentences))
            have += len(parts[-1])
        return "".join(parts)[:characters]

    def _endless(self) -> Iterator[str]:
        chance = self._chance
        while True:
            words = iter(chance.choices(self._vocabulary, cum_weights=self._weights, k=_AT_ONCE))
            while clause := list(islice(words, chance.randint(3, 22))):
                comma = len(clause) // 2
                if comma > 3 and chance.random() < 0.5:
                    clause[comma] += ","
                yield " ".join(clause).capitalize() + chance.choice(_ENDS)

    def _made_up(self, count: int) -> list[str]:
        chance = self._chance
        made: dict[str, None] = {}
        while len(made) < count:
            # The rarer a word, the longer.
            syllables = 1 + (len(made) > 150) + (len(made) > 1000 and chance.random() < 0.2)
            made["".join(self._syllable() for _ in range(syllables))] = None
        return list(made)

    def _syllable(self) -> str:
        chance = self._chance
        return chance.choice(_ONSETS.split()) + chance.choice(_NUCLEI.split()) + chance.choice(_CODAS)
