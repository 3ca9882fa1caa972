"""What each span costs, or why that is not known (DESIGN, rule 5).

Amounts are integers of 10^-18 USD, 128 bits wide as in the columns: exact, whatever is added up.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import types

from spanledger.collector.rows.compiled import FLAG, INT, INTS, NOTHING, TABLE, UINT, compiled
from spanledger.schemas.prices import RATES, TIERS

(INPUT, CACHE_READ, CACHE_WRITE, INPUT_AUDIO, OUTPUT, REASONING, OUTPUT_AUDIO, REQUEST) = range(len(RATES))
# A kind without a price of its own is paid as the kind that includes it.
_OF_INPUT = (CACHE_READ, CACHE_WRITE, INPUT_AUDIO)
_OF_OUTPUT = (REASONING, OUTPUT_AUDIO)
NO_PRICE = -1
_UNREADABLE = -2  # a count that was sent and is none: what the call used is not known
_MOST = 10**12  # a call with more tokens than this was not made

SOURCES = ("", "reported", "computed")
REASONS = (
    "",
    "not_counted",
    "no_usage",
    "no_model",
    "unknown_model",
    "unit_not_priced",
    "impossible_usage",
)
(_KNOWN, _NOT_COUNTED, _NO_USAGE, _NO_MODEL, _UNKNOWN_MODEL, _NOT_PRICED, _IMPOSSIBLE) = range(len(REASONS))
_REPORTED, _COMPUTED = 1, 2

_LOW = np.uint64(0xFFFF_FFFF)
_HALF = np.uint64(32)


class Prices(NamedTuple):
    """The price list as arrays.

    Model m has the periods from `first[m]` up to `first[m + 1]`. Period p lasts from second `begins[p]`
    to second `ends[p]`; its tiers begin above `tiers[p]` input tokens (padded with the largest number);
    tier t costs `rates[numbers[p] * TIERS + t]` for each of RATES, NO_PRICE where that has no price.
    """

    first: Any
    begins: Any
    ends: Any
    tiers: Any
    numbers: Any
    rates: Any


class Costs(NamedTuple):
    """For every row: amounts as pairs of 64 bits, the low ones first, and what became of them."""

    total: Any
    input: Any
    output: Any
    all_input: Any  # input tokens, cached ones included; -1: unknown
    source: Any
    reason: Any


_WIDE = types.Array(UINT, 2, "C")
_PRICES = types.NamedTuple((INTS, INTS, INTS, TABLE, INTS, TABLE), Prices)
_COSTS = types.NamedTuple((_WIDE, _WIDE, _WIDE, INTS, INTS, INTS), Costs)
_FLAGS = types.Array(FLAG, 1, "C")


@compiled(NOTHING, _WIDE, INT, INT, INT)
def _add_product(sum_: Any, row: Any, count: Any, price: Any) -> None:
    """Add count * price, neither negative, to the 128 bits of a row."""
    c, p = np.uint64(count), np.uint64(price)
    c_high, c_low, p_high, p_low = c >> _HALF, c & _LOW, p >> _HALF, p & _LOW
    low_low, low_high, high_low = c_low * p_low, c_low * p_high, c_high * p_low
    middle = (low_low >> _HALF) + (low_high & _LOW) + (high_low & _LOW)
    low = (low_low & _LOW) | (middle << _HALF)
    high = c_high * p_high + (low_high >> _HALF) + (high_low >> _HALF) + (middle >> _HALF)
    before = sum_[row, 0]
    sum_[row, 0] = before + low
    carry = np.uint64(1) if sum_[row, 0] < before else np.uint64(0)
    sum_[row, 1] = sum_[row, 1] + high + carry


@compiled(INT, _PRICES, INT, INT, INT)
def _rate(prices: Any, model: Any, start: Any, all_input: Any) -> Any:
    """The row of prices.rates; -1 where the model has none at that time."""
    second = start // 1_000_000_000
    for p in range(prices.first[model], prices.first[model + 1]):
        if prices.begins[p] <= second <= prices.ends[p]:
            tier = 0
            while tier < TIERS - 1 and prices.tiers[p, tier] < all_input:
                tier += 1
            return prices.numbers[p] * TIERS + tier
    return np.int64(-1)


@compiled(NOTHING, TABLE, _FLAGS, INTS, _FLAGS, INTS, _WIDE, _FLAGS, _PRICES, _COSTS)
def compute(
    tokens: Any,
    counted: Any,
    models: Any,
    named: Any,
    starts: Any,
    reported: Any,
    preferred: Any,
    prices: Any,
    costs: Any,
) -> None:
    """Fill `costs`.

    tokens: for each of RATES but the request a row, -1 where not sent, -2 where it is no count. models: of
    the price list, -1 where unknown; named: whether the span names one. reported: 128-bit amounts, the
    largest where there is none; preferred: whether the reported amount is the provider's own, and so beats
    a computed one.
    """
    none = ~np.uint64(0)
    for n in range(len(counted)):
        all_input, output = tokens[INPUT, n], tokens[OUTPUT, n]
        read, write = max(tokens[CACHE_READ, n], 0), max(tokens[CACHE_WRITE, n], 0)
        # An emitter that counts cached tokens beside the input, not within it, shows by this sum.
        if all_input >= 0 and read <= _MOST and write <= _MOST and read + write > all_input:
            all_input += read + write
        costs.all_input[n] = all_input
        costs.source[n] = 0
        costs.reason[n] = _KNOWN
        used = all_input >= 0 or output >= 0
        if not counted[n]:
            costs.reason[n] = _NOT_COUNTED if used else _KNOWN
            continue
        rate = np.int64(-1)
        if models[n] >= 0:
            rate = _rate(prices, models[n], starts[n], all_input)
        priced = rate >= 0 and (
            prices.rates[rate, INPUT] >= 0
            or prices.rates[rate, OUTPUT] >= 0
            or prices.rates[rate, REQUEST] >= 0
        )
        readable = True
        for kind in range(REQUEST):
            readable = readable and tokens[kind, n] > _UNREADABLE
        computable = priced and used and readable and all_input <= _MOST and output <= _MOST
        if computable:
            # Above _MOST a count makes the rest negative however large it is: the sum must not overflow.
            plain_input, plain_output = max(all_input, 0), max(output, 0)
            for kind in _OF_INPUT:
                if prices.rates[rate, kind] >= 0:
                    plain_input -= min(max(tokens[kind, n], 0), _MOST + 1)
            for kind in _OF_OUTPUT:
                if prices.rates[rate, kind] >= 0:
                    plain_output -= min(max(tokens[kind, n], 0), _MOST + 1)
            computable = plain_input >= 0 and plain_output >= 0
        is_reported = reported[n, 1] != none and (not computable or preferred[n])
        if is_reported:
            costs.source[n] = _REPORTED
            costs.total[n, 0], costs.total[n, 1] = reported[n, 0], reported[n, 1]
        elif computable:
            costs.source[n] = _COMPUTED
            row = prices.rates[rate]
            for sum_ in (costs.input, costs.total):
                if row[INPUT] >= 0:
                    _add_product(sum_, n, plain_input, row[INPUT])
                for kind in _OF_INPUT:
                    if row[kind] >= 0:
                        _add_product(sum_, n, max(tokens[kind, n], 0), row[kind])
            for sum_ in (costs.output, costs.total):
                if row[OUTPUT] >= 0:
                    _add_product(sum_, n, plain_output, row[OUTPUT])
                for kind in _OF_OUTPUT:
                    if row[kind] >= 0:
                        _add_product(sum_, n, max(tokens[kind, n], 0), row[kind])
            if row[REQUEST] >= 0:
                _add_product(costs.total, n, 1, row[REQUEST])
        elif not used:
            costs.reason[n] = _NO_USAGE
        elif not named[n]:
            costs.reason[n] = _NO_MODEL
        elif models[n] < 0:
            costs.reason[n] = _UNKNOWN_MODEL
        elif not priced:
            costs.reason[n] = _NOT_PRICED
        else:
            costs.reason[n] = _IMPOSSIBLE
