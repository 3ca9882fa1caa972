"""schemas.prices.compute: what a call costs is exact, or absent for a reason of the closed list.

test_parity.py compares the costs of all models with those of genai-prices.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from spanledger.schemas.prices.compute import (
    MOST,
    NO_MODEL,
    NOT_PRICED,
    NOT_SENT,
    REASONS,
    UNKNOWN_MODEL,
    UNKNOWN_PROVIDER,
    UNREADABLE,
    Prices,
    compute,
    make_costs,
)
from spanledger.schemas.prices.units import NUMBERS, PARTS, SPECIFIC_FIRST, UNITS

LAST = (1 << 63) - 1
ALWAYS = (-(1 << 62), 1 << 62, 0, 86_400)
NOON = 1_700_000_000 // 86_400 * 86_400 + 43_200


def prices(
    *periods: tuple[tuple[int, int, int, int], dict[int, dict[str, int]]],
    minimum: int = 0,
    rests: Mapping[str, int] = MappingProxyType({}),
) -> Prices:
    """One entry: of each period when it holds, and by tier start the price of one of each unit."""
    made: dict[str, list[int]] = {name: [] for name in Prices._fields}
    made |= {"first": [0, len(periods)], "tier_first": [0], "price_first": [0], "part_first": [0]}
    for (begins, ends, day_from, day_to), tiers in periods:
        made["begins"].append(begins)
        made["ends"].append(ends)
        made["day_from"].append(day_from)
        made["day_to"].append(day_to)
        made["rates"].append(len(made["minimum"]))
        made["tiers"] += [start for start in tiers if start]
        made["tier_first"].append(len(made["tiers"]))
        for rates in tiers.values():
            priced = [unit for unit in SPECIFIC_FIRST if UNITS[unit].name in rates]
            for unit in priced:
                made["units"].append(unit)
                made["amounts"].append(rates[UNITS[unit].name])
                made["rests"].append(rests.get(UNITS[unit].name, 0))
                made["parts"] += [part for part in PARTS[unit] if part in priced]
                made["part_first"].append(len(made["parts"]))
            made["price_first"].append(len(made["units"]))
            made["minimum"].append(minimum)
    return Prices(**{name: np.array(values, np.int64) for name, values in made.items()})


def priced(rates: dict[str, int], **more: Any) -> Prices:
    return prices((ALWAYS, {0: rates}), **more)


def computed(of: Prices, usage: dict[str, int], *, entry: int = 0, second: int = NOON, nanosecond: int = 0):
    """Total, input and output in 10^-18 USD, and the row of rates; or the reason."""
    counts = np.full((len(UNITS), 1), NOT_SENT, np.int64)
    for name, count in usage.items():
        counts[NUMBERS[name], 0] = count
    costs = make_costs(1)
    start = np.array([second * 10**9 + nanosecond], np.int64)
    compute(counts, np.array([entry], np.int64), start, of, costs)
    wide = [int(pair[0, 0]) | int(pair[0, 1]) << 64 for pair in (costs.total, costs.input, costs.output)]
    reason = REASONS[costs.reason[0]]
    if costs.rate[0] < 0:
        assert wide == [0, 0, 0]
        return reason
    assert reason == ""
    return *wide, int(costs.rate[0])


@pytest.mark.parametrize("seed", range(200))
def test_amounts_are_exact_to_the_last_of_128_bits(seed):
    """Products and sums of counts and prices up to the largest, with every carry between the halves."""
    chance = Random(seed)
    counts = [0, 1, MOST - 1, MOST, chance.randrange(MOST), 0xFFFF_FFFF, 1 << 32]
    amounts = [0, 1, LAST, LAST - 1, 1 << 62, 0xFFFF_FFFF, 1 << 32, chance.randrange(LAST)]
    names = ("input_tokens", "output_tokens", "cache_read_tokens", "output_reasoning_tokens", "web_searches")
    usage = {name: chance.choice(counts) for name in names}
    usage["cache_read_tokens"] = min(usage["cache_read_tokens"], usage["input_tokens"])
    usage["output_reasoning_tokens"] = min(usage["output_reasoning_tokens"], usage["output_tokens"])
    rates = {name: chance.choice(amounts) for name in (*names, "requests")}
    read, reasoning = usage["cache_read_tokens"], usage["output_reasoning_tokens"]
    of_input = (usage["input_tokens"] - read) * rates["input_tokens"] + read * rates["cache_read_tokens"]
    of_output = (usage["output_tokens"] - reasoning) * rates["output_tokens"]
    of_output += reasoning * rates["output_reasoning_tokens"]
    total = of_input + of_output + usage["web_searches"] * rates["web_searches"] + rates["requests"]
    assert computed(priced(rates), usage) == (total, of_input, of_output, 0)


@pytest.mark.parametrize("seed", range(100))
def test_durations_are_billed_by_the_microsecond_and_cut_off_at_the_last_digit(seed):
    chance = Random(seed)
    count = chance.choice([0, 1, 999_999, 1_000_000, 1_000_001, MOST, MOST - 1, chance.randrange(MOST)])
    amount = chance.choice([0, 1, LAST, 10**6, 10**6 - 1, 30_833_333_333_333, chance.randrange(LAST)])
    found = computed(priced({"audio_seconds": amount}), {"audio_seconds": count})
    assert found == (count * amount // 10**6, 0, 0, 0)


@pytest.mark.parametrize("count", [0, 1, 2, 333_333, 10**6, MOST - 1, MOST])
def test_prices_have_six_digits_more_than_amounts(count):
    """A price that is published with 18 digits for a million tokens is not rounded."""
    of = priced(
        {"input_tokens": LAST, "audio_seconds": 5}, rests={"input_tokens": 999_999, "audio_seconds": 7}
    )
    exact = count * (LAST * 10**6 + 999_999) // 10**6
    assert computed(of, {"input_tokens": count}) == (exact, exact, 0, 0)
    assert computed(of, {"audio_seconds": count})[0] == count * 5 // 10**6 + count * 7 // 10**12


@pytest.mark.parametrize(
    ("usage", "billed"),
    [
        ({"audio_seconds": 1}, 10_000_000),
        ({"audio_seconds": 9_999_999}, 10_000_000),
        ({"audio_seconds": 10_000_001}, 10_000_001),
        ({"input_audio_seconds": 1}, 10_000_000),
        ({"audio_seconds": 0, "input_audio_seconds": 20_000_000}, 20_000_000),
        ({"audio_seconds": 20_000_000, "input_audio_seconds": 5}, 20_000_000),
        ({"audio_seconds": 0}, 0),
    ],
)
def test_a_minimum_is_billed_of_audio_however_it_was_counted_but_not_of_none(usage, billed):
    of = priced({"audio_seconds": 10**12, "input_audio_seconds": 10**12}, minimum=10_000_000)
    assert computed(of, usage)[0] == billed * 10**6


@pytest.mark.parametrize(
    ("rates", "usage", "reason"),
    [
        ({"input_tokens": 5}, {}, "no_usage"),
        ({"cache_read_tokens": 5}, {"input_tokens": 5}, "unit_not_priced"),
        ({"audio_seconds": 5}, {"input_tokens": 5, "output_tokens": 1}, "unit_not_priced"),
        ({}, {"input_tokens": 5}, "unit_not_priced"),
        ({"input_tokens": 5}, {"input_tokens": MOST + 1}, "impossible_usage"),
        ({"output_tokens": 5}, {"output_tokens": LAST}, "impossible_usage"),
        ({"input_tokens": 5}, {"input_tokens": 1, "web_searches": UNREADABLE}, "impossible_usage"),
        ({"input_tokens": 5}, {"input_tokens": UNREADABLE}, "no_usage"),
        (
            {"input_tokens": 5, "cache_read_tokens": 1},
            {"input_tokens": 10, "cache_read_tokens": 11},
            "impossible_usage",
        ),
        ({"input_tokens": 5, "cache_read_tokens": 1}, {"cache_read_tokens": 11}, "usage_incomplete"),
        ({"output_tokens": 5}, {"output_audio_tokens": 1}, "usage_incomplete"),
        (
            dict.fromkeys(
                ("input_tokens", "input_audio_tokens", "cache_read_tokens", "cache_audio_read_tokens"), 5
            ),
            {"input_tokens": 10, "input_audio_tokens": 3, "cache_read_tokens": 3},
            "usage_incomplete",
        ),
    ],
)
def test_a_cost_that_cannot_be_known_has_a_reason(rates, usage, reason):
    assert computed(priced(rates), usage) == reason


@pytest.mark.parametrize(
    ("entry", "usage", "reason"),
    [
        (UNKNOWN_MODEL, {"input_tokens": 1}, "unknown_model"),
        (UNKNOWN_PROVIDER, {"input_tokens": 1}, "unknown_provider"),
        (NO_MODEL, {"input_tokens": 1}, "no_model"),
        (NO_MODEL, {}, "no_usage"),
        (UNKNOWN_MODEL, {"input_tokens": UNREADABLE}, "no_usage"),
        (NOT_PRICED, {"input_tokens": 1}, ""),
        (NOT_PRICED, {}, ""),
    ],
)
def test_a_row_without_an_entry_has_its_reason_and_one_that_is_not_to_be_priced_none(entry, usage, reason):
    assert computed(priced({"input_tokens": 5}), usage, entry=entry) == reason


def test_a_call_of_no_tokens_costs_zero_and_a_price_of_the_request_needs_no_tokens():
    rates = {"input_tokens": 5, "output_tokens": 7}
    assert computed(priced(rates), {"input_tokens": 0, "output_tokens": 0}) == (0, 0, 0, 0)
    assert computed(priced(rates | {"requests": 3}), {}) == (3, 0, 0, 0)
    assert computed(priced(rates | {"requests": 3}), {"input_tokens": 2, "requests": 9}) == (13, 10, 0, 0)


def test_what_has_no_price_of_its_own_is_paid_as_what_includes_it():
    rates = {"input_tokens": 5, "output_tokens": 7, "cache_write_tokens": 2}
    usage = {
        "input_tokens": 100,
        "cache_read_tokens": 10,
        "cache_write_tokens": 20,
        "cache_write_1h_tokens": 15,
        "output_tokens": 10,
        "output_reasoning_tokens": 9,
        "web_searches": 4,
    }
    assert computed(priced(rates), usage) == (80 * 5 + 20 * 2 + 70, 440, 70, 0)


@pytest.mark.parametrize(("count", "tier"), [(0, 0), (999, 0), (1000, 0), (1001, 1), (5000, 1), (5001, 2)])
def test_a_tier_is_for_the_whole_call_once_its_input_is_past_the_start(count, tier):
    of = prices((ALWAYS, {0: {"input_tokens": 7}, 1000: {"input_tokens": 11}, 5000: {"input_tokens": 13}}))
    assert computed(of, {"input_tokens": count}) == (
        count * (7, 11, 13)[tier],
        count * (7, 11, 13)[tier],
        0,
        tier,
    )


def test_of_several_periods_the_first_that_holds_counts():
    night = (NOON, NOON + 10 * 86_400, 79_200, 21_600)  # 22:00 to 06:00
    of = prices(
        (night, {0: {"input_tokens": 2}}),
        ((NOON, NOON + 10 * 86_400, 0, 86_400), {0: {"input_tokens": 3}}),
    )
    midnight = NOON + 43_200
    by_second = {
        NOON - 1: "unit_not_priced",
        NOON: 3,
        midnight - 7_201: 3,
        midnight - 7_200: 2,
        midnight: 2,
        midnight + 21_599: 2,
        midnight + 21_600: 3,
        NOON + 10 * 86_400: "unit_not_priced",
    }
    for second, price in by_second.items():
        found = computed(of, {"input_tokens": 1}, second=second, nanosecond=999_999_999)
        assert (found if isinstance(found, str) else found[0]) == price, second


def test_a_period_may_say_that_there_is_no_price():
    of = priced({"input_tokens": 5})
    of.rates[0] = UNKNOWN_MODEL
    assert computed(of, {"input_tokens": 5}) == "unknown_model"
    assert computed(of, {}) == "no_usage"


def test_rows_of_a_block_do_not_touch_each_other():
    """Whatever their order: what the row before left behind is not seen."""
    of = prices((ALWAYS, {0: {"input_tokens": 7, "cache_read_tokens": 1}, 1000: {"input_tokens": 11}}))
    chance = Random(7)
    usages = [
        {
            name: count
            for name in ("input_tokens", "cache_read_tokens")
            if (count := chance.randint(-2, 1500)) != -1
        }
        for _ in range(500)
    ]
    counts = np.full((len(UNITS), 500), NOT_SENT, np.int64)
    for row, usage in enumerate(usages):
        for name, count in usage.items():
            counts[NUMBERS[name], row] = count
    costs = make_costs(500)
    zeros = np.zeros(500, np.int64)
    compute(counts, zeros, zeros, of, costs)
    for row, usage in enumerate(usages):
        alone = computed(of, usage, second=0)
        total = alone[0] if not isinstance(alone, str) else 0
        reason = alone if isinstance(alone, str) else ""
        assert (int(costs.total[row, 0]), REASONS[costs.reason[row]]) == (total, reason)
