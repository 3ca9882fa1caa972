"""collector.rows.usage: totals include their details, whoever counted them, and what is odd is said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from spanledger.collector.rows.usage import FLAGS, MOST, NOT_SENT, UNREADABLE, flag_lists, normalised
from spanledger.schemas.dialects import FIELDS

COUNTS = [field.column for field in FIELDS if field.kind == "count"]
SHORT = {"total": "total_tokens"} | {
    name.removesuffix("_tokens"): name for name in COUNTS if name != "total_tokens"
}


def used(*, counted: bool = True, gemini: bool = False, **sent: int) -> tuple[dict[str, int], list[str]]:
    """The tokens that one call has then, but for those that it has not, and its flags."""
    [made] = used_by([sent], counted=counted, gemini=gemini)
    return made


def used_by(
    calls: list[dict[str, int]], *, counted: bool = True, gemini: bool = False
) -> list[tuple[dict[str, int], list[str]]]:
    columns: dict[str, Any] = {
        name: np.array([call.get(short, NOT_SENT) for call in calls], np.int64)
        for short, name in SHORT.items()
    }
    before = {name: values.copy() for name, values in columns.items()}
    rows = len(calls)
    made = normalised(columns, np.full(rows, counted), np.full(rows, gemini))
    assert all((columns[name] == before[name]).all() for name in columns), "counts as sent stay"
    ends, numbers = flag_lists(made.flags)
    items = np.split(numbers, ends[:-1])
    return [
        (
            {
                name.removesuffix("_tokens"): int(values[row])
                for name, values in made.tokens.items()
                if values[row] != NOT_SENT
            },
            [FLAGS[n] for n in items[row]],
        )
        for row in range(rows)
    ]


def test_totals_that_include_their_details_stay_as_they_are():
    sent = {
        "input": 120,
        "output": 30,
        "cache_read": 70,
        "cache_write": 10,
        "reasoning": 12,
        "input_audio": 5,
    }
    assert used(**sent, total=150) == (sent, [])
    assert used() == ({}, [])
    assert used(input=7) == ({"input": 7}, [])


def test_counts_that_stand_side_by_side_are_added_up():
    """Anthropic's own usage object: input_tokens beside what was read from and written to the cache."""
    assert used(input_tokens_apart=10, output=5, cache_read_apart=70, cache_write_apart=20) == (
        {"input": 100, "output": 5, "cache_read": 70, "cache_write": 20},
        ["counted_apart"],
    )
    # Gemini's and Langfuse's: thoughts beside the answer.
    assert used(input=9, output_tokens_apart=5, reasoning_apart=7) == (
        {"input": 9, "output": 12, "reasoning": 7},
        ["counted_apart"],
    )


def test_without_details_there_is_nothing_to_add_and_nothing_to_say():
    assert used(input_tokens_apart=10, output_tokens_apart=5) == ({"input": 10, "output": 5}, [])
    assert used(input_tokens_apart=10, output=1, cache_read_apart=0) == (
        {"input": 10, "output": 1, "cache_read": 0},
        [],
    )


def test_a_total_that_was_sent_comes_before_counts_side_by_side():
    assert used(input=100, input_tokens_apart=10, output=5, output_tokens_apart=3, cache_read_apart=70) == (
        {"input": 100, "output": 5, "cache_read": 70},
        [],
    )


def test_a_detail_under_its_own_name_comes_before_one_that_stands_beside():
    assert used(input=100, output=5, cache_read=60, cache_read_apart=70)[0]["cache_read"] == 60
    assert used(input=100, output=5, reasoning_apart=4)[0]["reasoning"] == 4


def test_more_cached_tokens_than_input_were_counted_beside_it():
    assert used(input=10, output=5, cache_read=70, cache_write=20) == (
        {"input": 100, "output": 5, "cache_read": 70, "cache_write": 20},
        ["counted_apart"],
    )
    assert used(input=100, output=5, cache_read=70, cache_write=30)[1] == []
    assert used(input=0, output=5, cache_read=70)[0]["input"] == 70


def test_reasoning_was_counted_beside_the_output_where_the_total_has_all_three():
    assert used(input=10, output=5, reasoning=7, total=22) == (
        {"input": 10, "output": 12, "reasoning": 7},
        ["counted_apart"],
    )
    assert used(input=10, output=12, reasoning=7, total=22) == (
        {"input": 10, "output": 12, "reasoning": 7},
        [],
    )


def test_what_is_missing_in_geminis_output_are_its_thoughts():
    assert used(gemini=True, input=10, output=5, total=22) == (
        {"input": 10, "output": 12, "reasoning": 7},
        ["counted_apart"],
    )
    assert used(gemini=True, input=10, output=12, total=22) == ({"input": 10, "output": 12}, [])
    assert used(gemini=False, input=10, output=5, total=22) == (
        {"input": 10, "output": 5},
        ["total_mismatch"],
    )
    # Where it says how much it thought, nothing is worked out.
    assert used(gemini=True, input=10, output=5, reasoning=1, total=22) == (
        {"input": 10, "output": 5, "reasoning": 1},
        ["total_mismatch"],
    )


@pytest.mark.parametrize(
    "sent", [{"input": 0, "output": 0}, {"input": 0}, {"input": 0, "output": 0, "total": 0}]
)
def test_no_call_uses_nothing(sent):
    assert used(**sent) == ({}, ["nothing_used"])
    # What is no call may.
    assert used(counted=False, **sent)[1] == []


def test_zero_on_one_side_is_a_count():
    """Embeddings have no output."""
    assert used(input=7, output=0) == ({"input": 7, "output": 0}, [])
    assert used(input=0, output=7) == ({"input": 0, "output": 7}, [])
    assert used(output=0) == ({"output": 0}, [])


@pytest.mark.parametrize(
    "sent",
    [
        {"input": 10, "output": 5, "input_audio": 11},
        {"input": 10, "output": 5, "reasoning": 6},
        {"input": 10, "output": 5, "output_audio": 6},
        {"input": 10, "output": 5, "cache_read": MOST + 1},
    ],
)
def test_more_details_than_tokens_are_flagged_and_stay(sent):
    assert used(**sent) == (sent, ["details_exceed_total"])


def test_a_total_that_is_another_is_flagged():
    assert used(input=10, output=5, total=16)[1] == ["total_mismatch"]
    assert used(input=10, output=5, total=15)[1] == []
    assert used(input=10, total=16)[1] == []


def test_what_is_no_count_is_flagged_and_nothing_is_made_of_it():
    assert used(input=UNREADABLE, output=5) == ({"input": UNREADABLE, "output": 5}, ["unreadable"])
    assert used(input=10, output=5, total=UNREADABLE) == ({"input": 10, "output": 5}, ["unreadable"])
    assert used(input_tokens_apart=UNREADABLE, cache_read_apart=7) == ({"cache_read": 7}, ["unreadable"])
    assert used(input=UNREADABLE, input_tokens_apart=10, cache_read=7)[0]["input"] == UNREADABLE


LARGEST = 2**63 - 1


@pytest.mark.parametrize("name", SHORT)
def test_no_count_is_so_large_that_a_sum_turns_round(name):
    """Whatever is sent beside it; a count that was sent as a total stays."""
    apart = {"input_tokens_apart": 10, "output_tokens_apart": 5}
    large = dict.fromkeys(SHORT, LARGEST)
    large_apart = large | {"input": NOT_SENT, "output": NOT_SENT}
    for others in ({}, {"input": 10, "output": 5}, apart, large, large_apart):
        for gemini in (False, True):
            tokens, _ = used(gemini=gemini, **(others | {name: LARGEST}))
            assert set(tokens.values()) <= {10, 5, LARGEST}, (others, tokens)


def test_flags_stand_in_their_order_and_each_call_has_its_own():
    calls = [
        {"input": 10, "output": 5, "cache_read": 70, "reasoning": 6, "total": 1, "input_audio": UNREADABLE},
        {"input": 1, "output": 1},
        {"input": 0, "output": 0},
    ]
    assert [flags for _, flags in used_by(calls)] == [
        ["counted_apart", "details_exceed_total", "total_mismatch", "unreadable"],
        [],
        ["nothing_used"],
    ]
