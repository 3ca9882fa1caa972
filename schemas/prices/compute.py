"""What each call costs, or why that is not known.

Amounts are integers of 10^-18 USD, 128 bits wide as in the columns: exact, whatever is added up.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import types

from spanledger.schemas.compiled import FLAG, INT, INTS, NOTHING, TABLE, UINT, compiled
from spanledger.schemas.prices.units import NUMBERS, OVERLAPS, PARTS, UNITS

# Counts that are none: not sent, and sent but unreadable.
NOT_SENT, UNREADABLE = -1, -2
# Entries that are none.
UNKNOWN_MODEL, UNKNOWN_PROVIDER, NO_MODEL, NOT_PRICED = -1, -2, -3, -4

REASONS = (
    "",
    "not_counted",
    "duplicate",
    "no_usage",
    "no_model",
    "unknown_provider",
    "unknown_model",
    "unit_not_priced",
    "impossible_usage",
    "usage_incomplete",
)
(
    KNOWN,
    _NOT_COUNTED,
    _DUPLICATE,
    _NO_USAGE,
    _NO_MODEL,
    _UNKNOWN_PROVIDER,
    _UNKNOWN_MODEL,
    _UNIT_NOT_PRICED,
    _IMPOSSIBLE,
    _INCOMPLETE,
) = range(len(REASONS))

MOST = 10**12  # a call that used more of anything was not made
REST = 10**6  # rests of prices in 10^-18 USD: what is published for a million tokens has no more digits
MICROSECONDS = 10**6  # durations are counted in them, and priced by the second
_DAY_S = 86_400
_SENT, _BAD = 1, 2
_INPUT, _REQUESTS = NUMBERS["input_tokens"], NUMBERS["requests"]
_AUDIO, _INPUT_AUDIO = NUMBERS["audio_seconds"], NUMBERS["input_audio_seconds"]
_COUNTED = np.array([number for number in range(len(UNITS)) if number != _REQUESTS])
_DURATION = np.array([unit.family == "durations" for unit in UNITS])
_OF_INPUT = np.array([unit.direction == "input" for unit in UNITS])
_OF_OUTPUT = np.array([unit.direction == "output" for unit in UNITS])
# Of each unit what is part of it, and the pairs of units whose overlap it is, in rows of the same length.
_PARTS = np.full((len(UNITS), max(len(parts) for parts in PARTS) + 1), -1)
_PAIRS = np.full((len(UNITS), 2), -1)
for _number, _parts in enumerate(PARTS):
    _PARTS[_number, : len(_parts)] = _parts
for _one, _other, _both in OVERLAPS:
    if _both is not None:
        _PAIRS[_both] = _one, _other

_LOW = np.uint64(0xFFFF_FFFF)
_HALF = np.uint64(32)


class Prices(NamedTuple):
    """Prices as arrays.

    Entry e has the periods from `first[e]` up to `first[e + 1]`; the first that holds counts. Period p holds
    from second `begins[p]` up to `ends[p]`, at seconds of the day from `day_from[p]` up to `day_to[p]` (over
    midnight where that is less). Its tiers begin above the numbers of input tokens from
    `tiers[tier_first[p]]` up to `tiers[tier_first[p + 1]]`; the row of rates is `rates[p]`, or, past the n-th
    of them, `rates[p] + n`. Less than 0 in `rates`: the period has no price, as if it were such an entry.

    Row r of the rates has the prices from `price_first[r]` up to `price_first[r + 1]`: of unit `units[k]`,
    for one of it (a second, of durations), `amounts[k]` times 10^-18 USD and `rests[k]` times 10^-24; most
    specific units first. The units with a price that are part of that one are `parts[part_first[k]]` up to
    `parts[part_first[k + 1]]`. At least `minimum[r]` microseconds of audio are billed where any are.
    """

    first: Any
    begins: Any
    ends: Any
    day_from: Any
    day_to: Any
    tier_first: Any
    tiers: Any
    rates: Any
    price_first: Any
    units: Any
    amounts: Any
    rests: Any
    part_first: Any
    parts: Any
    minimum: Any


class Costs(NamedTuple):
    """For every row: amounts as pairs of 64 bits, the low ones first; the row of rates, -1: none; the reason.

    `billed`: of the last row how many of each unit were billed, where it has a price.
    """

    total: Any
    input: Any
    output: Any
    rate: Any
    reason: Any
    billed: Any


_WIDE = types.Array(UINT, 2, "C")
_PRICES = types.NamedUniTuple(INTS, len(Prices._fields), Prices)
_COSTS = types.NamedTuple((_WIDE, _WIDE, _WIDE, INTS, INTS, INTS), Costs)
_PAIR = types.UniTuple(UINT, 2)


def make_costs(rows: int) -> Costs:
    """Room for the costs of so many rows."""
    total, of_input, of_output = (np.empty((rows, 2), np.uint64) for _ in range(3))
    rate, reason = (np.empty(rows, np.int64) for _ in range(2))
    return Costs(total, of_input, of_output, rate, reason, np.zeros(len(UNITS), np.int64))


@compiled(_PAIR, UINT, UINT, inline=True)
def _product(c: Any, p: Any) -> Any:
    """The low and the high 64 bits of c * p."""
    c_high, c_low, p_high, p_low = c >> _HALF, c & _LOW, p >> _HALF, p & _LOW
    low_low, low_high, high_low = c_low * p_low, c_low * p_high, c_high * p_low
    middle = (low_low >> _HALF) + (low_high & _LOW) + (high_low & _LOW)
    high = c_high * p_high + (low_high >> _HALF) + (high_low >> _HALF) + (middle >> _HALF)
    return (low_low & _LOW) | (middle << _HALF), high


@compiled(_PAIR, UINT, UINT, UINT, UINT, inline=True)
def _sum(low: Any, high: Any, more_low: Any, more_high: Any) -> Any:
    """The sum of two numbers of 128 bits."""
    low += more_low
    return low, high + more_high + (np.uint64(1) if low < more_low else np.uint64(0))


@compiled(_PAIR, INT, INT, inline=True)
def _of_duration(microseconds: Any, price: Any) -> Any:
    """What so many microseconds cost at a price for a second; what is less than 10^-18 USD is cut off."""
    whole, rest = microseconds // MICROSECONDS, microseconds % MICROSECONDS
    # Each of these products has less than 64 bits.
    part = rest * (price // MICROSECONDS) + rest * (price % MICROSECONDS) // MICROSECONDS
    low, high = _product(np.uint64(whole), np.uint64(price))
    return _sum(low, high, np.uint64(part), np.uint64(0))


@compiled(INT, _PRICES, INT, INT, inline=True)
def _period(prices: Any, entry: Any, start: Any) -> Any:
    """The period of an entry that holds at a time; -1: none does."""
    second = start // 1_000_000_000
    for p in range(prices.first[entry], prices.first[entry + 1]):
        if prices.begins[p] <= second < prices.ends[p]:
            day_from, day_to = prices.day_from[p], prices.day_to[p]
            if day_from == 0 and day_to == _DAY_S:
                return p
            time_of_day = second % _DAY_S
            if day_to < day_from:
                if time_of_day >= day_from or time_of_day < day_to:
                    return p
            elif day_from <= time_of_day < day_to:
                return p
    return np.int64(-1)


@compiled(FLAG, TABLE, INT, INT)
def _is_incomplete(usage: Any, n: Any, unit: Any) -> Any:
    """Whether a unit that was not sent is needed: a part of it was sent, or the two it is the overlap of."""
    for part in _PARTS[unit]:
        if part < 0:
            break
        if usage[part, n] > 0:
            return True
    one, other = _PAIRS[unit]
    return one >= 0 and usage[one, n] > 0 and usage[other, n] > 0


@compiled(FLAG, TABLE, INT, INT)
def _part_sent(usage: Any, n: Any, unit: Any) -> Any:
    for part in _PARTS[unit]:
        if part < 0:
            break
        if usage[part, n] >= 0:
            return True
    return False


@compiled(INT, TABLE, INT, _PRICES, INT, _COSTS)
def _price(usage: Any, n: Any, prices: Any, rate: Any, costs: Any) -> Any:
    """Fill the amounts of row n by a row of the rates; return the reason why it cannot be."""
    input_low, input_high = np.uint64(0), np.uint64(0)
    output_low, output_high = np.uint64(0), np.uint64(0)
    other_low, other_high = np.uint64(0), np.uint64(0)
    covered = False
    seconds = np.int64(-1)
    if prices.minimum[rate] > 0:
        seconds = usage[_AUDIO, n] if usage[_AUDIO, n] > 0 else usage[_INPUT_AUDIO, n]
        if seconds > 0:
            seconds = max(seconds, prices.minimum[rate])
    for k in range(prices.price_first[rate], prices.price_first[rate + 1]):
        unit = prices.units[k]
        count = usage[unit, n]
        if unit == _REQUESTS:
            count = np.int64(1)
        elif seconds >= 0 and (unit == _AUDIO or unit == _INPUT_AUDIO):
            count = seconds
        if count < 0:
            if _is_incomplete(usage, n, unit):
                return np.int64(_INCOMPLETE)
            covered = covered or _part_sent(usage, n, unit)
            count = np.int64(0)
        else:
            covered = True
        for at in range(prices.part_first[k], prices.part_first[k + 1]):
            count -= costs.billed[prices.parts[at]]
        if count < 0:
            return np.int64(_IMPOSSIBLE)
        costs.billed[unit] = count
        if count == 0:
            continue
        amount, rest = prices.amounts[k], prices.rests[k]
        if _DURATION[unit]:
            low, high = _of_duration(count, amount)
            rest = count * rest // (REST * MICROSECONDS)
        else:
            low, high = _product(np.uint64(count), np.uint64(amount))
            rest = count * rest // REST if rest else rest
        if rest:
            low, high = _sum(low, high, np.uint64(rest), np.uint64(0))
        if _OF_INPUT[unit]:
            input_low, input_high = _sum(input_low, input_high, low, high)
        elif _OF_OUTPUT[unit]:
            output_low, output_high = _sum(output_low, output_high, low, high)
        else:
            other_low, other_high = _sum(other_low, other_high, low, high)
    if not covered:
        return np.int64(_UNIT_NOT_PRICED)
    costs.input[n, 0], costs.input[n, 1] = input_low, input_high
    costs.output[n, 0], costs.output[n, 1] = output_low, output_high
    low, high = _sum(input_low, input_high, output_low, output_high)
    costs.total[n, 0], costs.total[n, 1] = _sum(low, high, other_low, other_high)
    return np.int64(KNOWN)


@compiled(FLAG, _PRICES, INT, inline=True)
def _by_request(prices: Any, rate: Any) -> Any:
    """Whether a row of rates has a price for the request itself."""
    for k in range(prices.price_first[rate], prices.price_first[rate + 1]):
        if prices.units[k] == _REQUESTS:
            return True
    return False


@compiled(NOTHING, TABLE, INTS, INTS, _PRICES, _COSTS)
def compute(usage: Any, entries: Any, starts: Any, prices: Any, costs: Any) -> None:
    """Fill `costs` (of make_costs) for every row.

    usage: for each of UNITS a row of counts, NOT_SENT and UNREADABLE among them; durations in microseconds.
    entries: of `prices`, or one of the numbers above for what is none. starts: nanoseconds since 1970. A row
    whose entry is NOT_PRICED gets neither cost nor reason.
    """
    rows = len(entries)
    # First along the units, as they lie in memory; the reasons are not known yet and lend their place.
    for n in range(rows):
        costs.reason[n] = 0
    for unit in _COUNTED:
        for n in range(rows):
            count = usage[unit, n]
            if count >= 0:
                costs.reason[n] |= _SENT
            if count < NOT_SENT or count > MOST:
                costs.reason[n] |= _BAD
    for n in range(rows):
        sent, bad = costs.reason[n] & _SENT != 0, costs.reason[n] & _BAD != 0
        costs.reason[n] = KNOWN
        costs.rate[n] = -1
        costs.total[n, 0], costs.total[n, 1] = np.uint64(0), np.uint64(0)
        costs.input[n, 0], costs.input[n, 1] = np.uint64(0), np.uint64(0)
        costs.output[n, 0], costs.output[n, 1] = np.uint64(0), np.uint64(0)
        entry = entries[n]
        if entry == NOT_PRICED:
            continue
        rate = np.int64(0)
        tiered = False
        if entry >= 0:
            period = _period(prices, entry, starts[n])
            if period < 0:
                costs.reason[n] = _UNIT_NOT_PRICED if sent else _NO_USAGE
                continue
            rate = prices.rates[period]
            if rate < 0:
                entry = rate
            else:
                all_input = usage[_INPUT, n]
                for at in range(prices.tier_first[period], prices.tier_first[period + 1]):
                    tiered = True
                    if prices.tiers[at] >= all_input:
                        break
                    rate += 1
        if not sent and (entry < 0 or not _by_request(prices, rate)):
            costs.reason[n] = _NO_USAGE
        elif entry == NO_MODEL:
            costs.reason[n] = _NO_MODEL
        elif entry == UNKNOWN_PROVIDER:
            costs.reason[n] = _UNKNOWN_PROVIDER
        elif entry < 0:
            costs.reason[n] = _UNKNOWN_MODEL
        elif prices.price_first[rate] == prices.price_first[rate + 1]:
            costs.reason[n] = _UNIT_NOT_PRICED
        elif bad:
            costs.reason[n] = _IMPOSSIBLE
        elif tiered and usage[_INPUT, n] < 0 and _is_incomplete(usage, n, _INPUT):
            costs.reason[n] = _INCOMPLETE
        else:
            costs.reason[n] = _price(usage, n, prices, rate, costs)
            if costs.reason[n] == KNOWN:
                costs.rate[n] = rate
