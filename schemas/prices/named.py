"""Which entry of the price book a call has, by the names that it bears."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from spanledger.schemas.prices.book import Key, PriceBook
from spanledger.schemas.prices.compute import NO_MODEL, UNKNOWN_MODEL


class Named(NamedTuple):
    """What a call says of who answered; '' for what it does not say."""

    project: str
    provider: str
    asked: str
    answered: str
    tier: str
    host: str


def entries_of(book: PriceBook, names: Sequence[Named]) -> list[int]:
    """The number of the entry of each, or why it has none (compute.py)."""
    keys = keys_of(book, names)
    known = book.entries(key for key in keys if key.model)
    return [known[key] if key.model else NO_MODEL for key in keys]


def keys_of(book: PriceBook, names: Sequence[Named]) -> list[Key]:
    """By what each is looked up: by the model that answered, and where no list has that one, by the model
    that was asked for, as of deployments that bear a name of their own.
    """
    answered = [_key(name, name.answered or name.asked) for name in names]
    asked = [_key(name, name.asked) for name in names]
    known = book.entries(key for key in (*answered, *asked) if key.model)
    return [
        second
        if first.model and second.model and known[first] == UNKNOWN_MODEL and known[second] >= 0
        else first
        for first, second in zip(answered, asked, strict=True)
    ]


def _key(name: Named, model: str) -> Key:
    # Who names the provider needs no address.
    return Key(name.project, name.provider, model, name.tier, "" if name.provider else name.host)
