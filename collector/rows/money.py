"""What each call cost: what was reported, what is computed, which of the two counts, and why none does."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import ROUND_DOWN, Context, Decimal, InvalidOperation
from typing import Any, NamedTuple

import numpy as np

from spanledger.collector.rows import native
from spanledger.collector.rows.columns import LOW, Column
from spanledger.collector.rows.texts import Texts, joined, numbered
from spanledger.schemas.prices.book import PriceBook
from spanledger.schemas.prices.choice import BILLED, COMPUTED, SOURCES, UNKNOWN, choose
from spanledger.schemas.prices.compute import (
    NOT_PRICED,
    NOT_SENT,
    REASONS,
    Costs,
    compute,
    make_costs,
)
from spanledger.schemas.prices.named import Named, entries_of
from spanledger.schemas.prices.units import NUMBERS, TOKEN_UNITS, UNITS

_MONEY = "Nullable(Decimal(38, 18))"
_LARGEST_MONEY = 10**20  # where Decimal(38, 18) ends
_LAST_DIGIT = Decimal(1).scaleb(-18)
_CUT_OFF = Context(prec=60, rounding=ROUND_DOWN)
_DECIMAL = re.compile(rb"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_NONE = np.uint64(0xFFFF_FFFF_FFFF_FFFF)  # in the upper half: no amount
_NOT_COUNTED = REASONS.index("not_counted")


class Pricing(NamedTuple):
    """By what calls are priced: the price book, and which cost counts (schemas/prices/choice.py)."""

    book: PriceBook
    preference: str


class Calls(NamedTuple):
    """What is known of every row: whether it is a call, who answered with what, when, and what that used.

    used: by column of `spans` or unit of the price list, NOT_SENT and UNREADABLE among the counts. origin:
    who worked out what is reported; in_usd: whether it is in dollars.
    """

    counted: Any
    project: Texts
    provider: Texts
    asked: Texts
    answered: Texts
    tier: Texts
    host: Texts
    starts_ns: Any
    used: dict[str, Any]
    origin: Texts
    in_usd: Any


def money_columns(calls: Calls, reported: Any, book: PriceBook, preference: str) -> list[Column]:
    """Name, type and values of the columns of money. `reported`: amounts, see `reported_amounts`."""
    usage = np.full((len(UNITS), len(calls.counted)), NOT_SENT, np.int64)
    for name, counts in calls.used.items():
        usage[NUMBERS[TOKEN_UNITS.get(name, name)]] = counts
    made = make_costs(len(calls.counted))
    compute(usage, _entries(calls, book), calls.starts_ns, book.prices, made)
    used = (usage >= 0).any(axis=0)
    computed = made.rate >= 0
    # An amount in another currency stays among the attributes.
    is_reported = (reported[:, 1] != _NONE) & calls.in_usd
    source = choose(
        computed=computed,
        reported=is_reported & calls.counted,
        billed=calls.origin.among((BILLED,)),
        nothing=(reported == 0).all(axis=1),
        used=used,
        preference=preference,
    )
    of_list = source == COMPUTED
    reason = np.where(source == UNKNOWN, made.reason, 0)
    reason = np.where(calls.counted, reason, np.where(used, _NOT_COUNTED, 0))
    total = np.where(of_list[:, None], made.total, reported)
    return [
        ("cost_usd", _MONEY, native.nullable(source == UNKNOWN, total)),
        ("cost_input_usd", _MONEY, native.nullable(~computed, made.input)),
        ("cost_output_usd", _MONEY, native.nullable(~computed, made.output)),
        ("cost_source", LOW, Texts(list(SOURCES), source).column()),
        ("cost_reason", LOW, Texts(list(REASONS), reason).column()),
        ("cost_reported_usd", _MONEY, native.nullable(~is_reported, reported)),
        ("cost_computed_usd", _MONEY, native.nullable(~computed, made.total)),
        (
            "cost_origin",
            LOW,
            calls.origin.where(~is_reported, Texts([""], np.zeros(len(reported), np.int64))).column(),
        ),
        *_of_list(made, book),
    ]


def _of_list(made: Costs, book: PriceBook) -> list[Column]:
    """Which entry of which list the computed costs are of."""
    rates, numbers = np.unique(made.rate, return_inverse=True)
    entries = [None if rate < 0 else book.rate(rate).entry for rate in rates.tolist()]

    def column(texts: Sequence[str]) -> native.Pieces:
        return numbered(texts, numbers).column()

    return [
        ("price_model", LOW, column([entry.name if entry else "" for entry in entries])),
        ("price_version", LOW, column([entry.applied if entry else "" for entry in entries])),
    ]


def _entries(calls: Calls, book: PriceBook) -> Any:
    """For every row its entry of the price book, or why it has none."""
    names: list[Named] = []

    def number(*parts: str) -> str:
        names.append(Named(*parts))
        return str(len(names) - 1)

    # Spans that are no calls name all sorts of things; nobody is asked about them.
    nobody = Texts([""], np.zeros(len(calls.counted), np.int64))
    texts = (calls.project, calls.provider, calls.asked, calls.answered, calls.tier, calls.host)
    made = joined(number, *(text.where(~calls.counted, nobody) for text in texts))
    entries = np.array(entries_of(book, names), np.int64)
    return np.where(calls.counted, entries[[int(n) for n in made.distinct]][made.numbers], NOT_PRICED)


def reported_amounts(texts: Sequence[bytes | None]) -> Any:
    """For every row the cost that was reported, as 128 bits; _NONE in both halves where none was."""
    amounts = np.full((len(texts), 2), _NONE, np.uint64)
    for row, text in enumerate(texts):
        amount = None if text is None else _amount(text)
        if amount is not None:
            amounts[row] = amount & 0xFFFF_FFFF_FFFF_FFFF, amount >> 64
    return amounts


def _amount(text: bytes) -> int | None:
    """An amount in units of 10^-18, digits behind them cut off; None: no number, negative, or too large."""
    if not _DECIMAL.fullmatch(text):
        return None
    try:
        amount = Decimal(text.decode())
        if amount < 0 or amount >= _LARGEST_MONEY:
            return None
        return int(amount.quantize(_LAST_DIGIT, context=_CUT_OFF).scaleb(18, _CUT_OFF))
    except InvalidOperation:  # an exponent of more digits than a number has
        return None
