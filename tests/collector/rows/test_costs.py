"""collector.rows.costs: what a span costs is exact, or absent for a reason. (tests/schemas/test_prices.py
compares the costs of all models with those of genai-prices.)"""

from __future__ import annotations

from decimal import Decimal
from random import Random
from uuid import uuid4

import numpy as np
import pytest
from ledger_rows import Sent, amount, stored_rows
from otlp_requests import llm_span, request

from spanledger.collector.rows.costs import NO_PRICE, RATES, REASONS, SOURCES, Costs, Prices, compute
from spanledger.schemas.prices import TIERS

NONE = (1 << 128) - 1
LAST = (1 << 63) - 1
MOST = 10**12
COLUMNS = ("cost_usd", "cost_input_usd", "cost_output_usd", "cost_source", "cost_reason")


def computed(rates: dict[str, int], tokens: dict[str, int], reported: int = NONE, *, preferred: bool = False):
    """Total, input and output in units of 10^-18, source and reason of one LLM call."""
    table = np.full((TIERS, len(RATES)), NO_PRICE, np.int64)
    for name, rate in rates.items():
        table[:, [*RATES].index(name)] = rate
    prices = Prices(
        first=np.array([0, 1], np.int64),
        begins=np.array([0], np.int64),
        ends=np.array([LAST], np.int64),
        tiers=np.full((1, TIERS), LAST, np.int64),
        numbers=np.array([0], np.int64),
        rates=table,
    )
    counts = np.array([[tokens.get(name, -1)] for name in RATES if name != "request"], np.int64)
    made = Costs(*(np.zeros((1, 2), np.uint64) for _ in range(3)), *(np.zeros(1, np.int64) for _ in range(3)))
    yes, no = np.array([True]), np.array([False])
    start = np.array([10**18], np.int64)
    known = np.array([[reported & LAST * 2 + 1, reported >> 64]], np.uint64)
    model = np.array([0 if rates else -1], np.int64)
    compute(counts, yes, model, yes, start, known, yes if preferred else no, prices, made)
    wide = [int(pair[0, 0]) | int(pair[0, 1]) << 64 for pair in (made.total, made.input, made.output)]
    return *wide, SOURCES[made.source[0]], REASONS[made.reason[0]]


@pytest.mark.parametrize("seed", range(200))
def test_amounts_are_exact_to_the_last_of_128_bits(seed):
    """Products and sums of counts and prices up to the largest, with every carry between the halves."""
    chance = Random(seed)
    counts = [0, 1, MOST - 1, MOST, chance.randrange(MOST), 0xFFFF_FFFF, 1 << 32]
    prices = [0, 1, LAST, LAST - 1, 1 << 62, 0xFFFF_FFFF, 1 << 32, chance.randrange(LAST)]
    tokens = {name: chance.choice(counts) for name in ("input", "output", "cache_read", "reasoning")}
    tokens["cache_read"] = min(tokens["cache_read"], tokens["input"])
    tokens["reasoning"] = min(tokens["reasoning"], tokens["output"])
    rates = {
        name: chance.choice(prices) for name in ("input", "output", "cache_read", "reasoning", "request")
    }
    of_input = (tokens["input"] - tokens["cache_read"]) * rates["input"] + tokens["cache_read"] * rates[
        "cache_read"
    ]
    of_output = (tokens["output"] - tokens["reasoning"]) * rates["output"] + tokens["reasoning"] * rates[
        "reasoning"
    ]
    total = of_input + of_output + rates["request"]
    assert computed(rates, tokens) == (total, of_input, of_output, "computed", "")


def test_a_call_of_no_tokens_costs_zero_and_that_is_known():
    assert computed({"input": 5, "output": 7}, {"input": 0, "output": 0}) == (0, 0, 0, "computed", "")


@pytest.mark.parametrize(
    ("rates", "tokens", "reason"),
    [
        ({"input": 5}, {}, "no_usage"),
        ({}, {"input": 5}, "unknown_model"),
        ({"cache_read": 5}, {"input": 5}, "unit_not_priced"),
        ({"input": 5}, {"input": MOST + 1}, "impossible_usage"),
        ({"output": 5}, {"output": LAST}, "impossible_usage"),
        ({"input": 5, "input_audio": 1}, {"input": 10, "input_audio": 11}, "impossible_usage"),
        ({"output": 5, "reasoning": 1}, {"output": 10, "reasoning": 11}, "impossible_usage"),
    ],
)
def test_a_cost_that_cannot_be_known_has_a_reason(rates, tokens, reason):
    assert computed(rates, tokens) == (0, 0, 0, "", reason)


@pytest.mark.parametrize(
    "kinds", [("cache_read", "cache_write"), ("cache_read", "cache_write", "input_audio")]
)
def test_counts_whose_sum_overflows_make_no_cost(kinds):
    tokens = {"input": 1000, "output": 10} | dict.fromkeys(kinds, LAST)
    rates = {"input": 5, "output": 7} | dict.fromkeys(kinds, 1)
    assert computed(rates, tokens) == (0, 0, 0, "", "impossible_usage")


@pytest.mark.parametrize("kinds", [("reasoning",), ("reasoning", "output_audio")])
def test_counts_of_output_whose_sum_overflows_make_no_cost(kinds):
    tokens = {"input": 1000, "output": 10} | dict.fromkeys(kinds, LAST)
    rates = {"input": 5, "output": 7} | dict.fromkeys(kinds, 1)
    assert computed(rates, tokens) == (0, 0, 0, "", "impossible_usage")


def test_a_reported_cost_stands_where_none_can_be_computed_or_where_it_is_the_providers():
    tokens, rates = {"input": 10, "output": 1}, {"input": 5, "output": 7}
    assert computed(rates, tokens, 99) == (57, 50, 7, "computed", "")
    assert computed(rates, tokens, 99, preferred=True) == (99, 0, 0, "reported", "")
    assert computed({}, tokens, 99) == (99, 0, 0, "reported", "")
    assert computed({}, tokens, 10**38 - 1) == (10**38 - 1, 0, 0, "reported", "")
    assert computed({}, tokens, 0) == (0, 0, 0, "reported", "")


@pytest.mark.parametrize(
    "text",
    [
        "0",
        "-0",
        "0.0",
        "0e30",
        "1e-18",
        "1e-19",
        "1.9999999999999999999999999999999999",
        "0.1234567890123456789",
        "12345678901234567890.123456789012345678",
        "99999999999999999999.999999999999999999",
        "99999999999999999999.9999999999999999999",
        "100000000000000000000",
        "1e20",
        "1e999999999999999999999999",
        "1e-999999999999999999999999",
        "1" + "0" * 5000,
        "0." + "0" * 5000 + "1",
        "5.",
        ".5",
        "+5",
        "-1e-30",
        "1_000",
        "\u0661",
        " 1",
        "1 ",
        "1\n",
        "0x10",
        "Infinity",
        "sNaN",
    ],
)
def test_a_reported_cost_has_eighteen_digits_and_the_rest_is_cut_off(put_spans, reader, text):
    project = uuid4().hex
    put_spans([Sent(request(llm_span(model="unknown", spanledger__cost__total=text)), project, 1)])
    (row,) = stored_rows(reader, project).values()
    plain = text.isascii() and text.strip() == text and not {*text} & {*"_xyN"}
    wanted = amount(text) if plain else None
    if wanted is not None and text.startswith("-") and wanted:
        wanted = None
    assert row["cost_reported_usd"] == row["cost_usd"] == wanted
    assert (row["cost_source"], row["cost_reason"]) == (
        (b"", b"unknown_model") if wanted is None else (b"reported", b"")
    )


def test_a_currency_other_than_dollars_is_kept_out_of_the_cost(put_spans, reader):
    project = uuid4().hex
    more = {"spanledger__cost__total": "3", "gen_ai__usage__cost__currency": "EUR"}
    put_spans([Sent(request(llm_span(model="unknown", **more)), project, 1)])
    (row,) = stored_rows(reader, project).values()
    assert (row["cost_reported_usd"], row["cost_usd"]) == (Decimal(3), None)
