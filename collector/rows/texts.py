"""Texts of rows: the distinct ones, and which of them each row has. What is asked of a text is asked once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from spanledger.collector.rows import native

_MOST_PAIRS = 1 << 20  # combinations that are looked up in an array


class Texts(NamedTuple):
    """A text for every row: the distinct ones, and each row's number among them."""

    distinct: list[str]
    numbers: Any

    def column(self) -> native.Pieces:
        """As a LowCardinality(String)."""
        return native.low_cardinality(
            native.texts(text.encode() for text in self.distinct), len(self.distinct), self.numbers
        )

    def mapped(self, of: Callable[[str], str]) -> Texts:
        """What a function makes of the texts."""
        return numbered([of(text) for text in self.distinct], self.numbers)

    def where(self, condition: Any, other: Texts) -> Texts:
        """The other text where the condition holds for a row."""
        numbers = np.where(condition, other.numbers + len(self.distinct), self.numbers)
        return numbered([*self.distinct, *other.distinct], numbers)

    def is_empty(self) -> Any:
        """For every row whether its text is empty."""
        return np.array([not text for text in self.distinct], np.bool_)[self.numbers]

    def among(self, texts: Sequence[str]) -> Any:
        """For every row whether its text is one of these."""
        return np.array([text in texts for text in self.distinct], np.bool_)[self.numbers]


def numbered(texts: Sequence[str], numbers: Any) -> Texts:
    """Texts that may be equal, each under one number."""
    distinct = {text: n for n, text in enumerate(dict.fromkeys(texts))}
    return Texts(list(distinct), np.array([distinct[text] for text in texts], np.int64)[numbers])


def joined(of: Callable[..., str], *texts: Texts) -> Texts:
    """What a function makes of several texts of a row; it is called once for each combination."""
    size = 1
    key = np.zeros(len(texts[0].numbers), np.int64)
    for text in texts:
        key = key * len(text.distinct) + text.numbers
        size *= len(text.distinct)
    if size <= _MOST_PAIRS:
        seen = np.zeros(size, np.bool_)
        seen[key] = True
        keys = np.flatnonzero(seen)
        place = np.empty(size, np.int64)
        place[keys] = np.arange(len(keys))
        numbers = place[key]
    else:
        keys, numbers = np.unique(key, return_inverse=True)
    made = []
    for rest in keys.tolist():
        parts = []
        for text in reversed(texts):
            rest, n = divmod(rest, len(text.distinct))  # noqa: PLW2901
            parts.append(text.distinct[n])
        made.append(of(*reversed(parts)))
    return numbered(made, numbers)
