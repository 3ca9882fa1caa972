"""What a call used, from the counts that its span has: totals include their details, whoever sent them.

The rules are those of DESIGN (rule 6): input tokens include cached ones, output tokens include reasoning.
Counts that cannot be right are flagged and left as they are. The numbers as sent stay in the attributes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

NOT_SENT, UNREADABLE = -1, -2  # instead of a count
MOST = 10**12  # a call with more tokens than this was not made

# What is said about the usage of a span, in the order of its bits.
FLAGS = (
    "counted_apart",  # cached or reasoning tokens were sent beside the total, and were added to it
    "nothing_used",  # zero input and zero output: unknown
    "details_exceed_total",  # more cached or audio tokens than tokens at all
    "total_mismatch",  # input and output are not the total that was sent with them
    "unreadable",  # something was sent that is no count
)
(_APART, _NOTHING, _EXCEEDS, _MISMATCH, _UNREADABLE) = (1 << n for n in range(len(FLAGS)))


class Usage(NamedTuple):
    """For every row: tokens by column (NOT_SENT, UNREADABLE), and FLAGS as bits."""

    tokens: dict[str, Any]
    flags: Any


def normalised(counts: Mapping[str, Any], counted: Any, gemini: Any) -> Usage:
    """Totals that include their details, from the fields of the dialect table.

    counts: by column of FIELDS, an array of a number for each row. counted: which rows are calls. gemini:
    which of them Gemini answered, whose own count of the output leaves out its thoughts.
    """
    sent = {name: np.maximum(values, 0) for name, values in counts.items()}
    flags = np.zeros(len(counted), np.int64)
    tokens = {name: values.copy() for name, values in counts.items() if name not in _AUXILIARY}
    for name, apart in _APART_OF.items():
        tokens[name] = np.where(tokens[name] == NOT_SENT, counts[apart], tokens[name])

    # The provider's own form, where the total is the sum of what stands side by side.
    input_apart = (counts["input_tokens"] == NOT_SENT) & (counts["input_tokens_apart"] >= 0)
    cached = _beside(sent["input_tokens_apart"], sent["cache_read_apart"], sent["cache_write_apart"])
    tokens["input_tokens"] = np.where(
        input_apart, sent["input_tokens_apart"] + cached, tokens["input_tokens"]
    )
    output_apart = (counts["output_tokens"] == NOT_SENT) & (counts["output_tokens_apart"] >= 0)
    thoughts = _beside(sent["output_tokens_apart"], sent["reasoning_apart"])
    tokens["output_tokens"] = np.where(
        output_apart, sent["output_tokens_apart"] + thoughts, tokens["output_tokens"]
    )
    flags |= np.where(input_apart & (cached > 0) | output_apart & (thoughts > 0), _APART, 0)

    # An emitter that counts cached tokens beside the input, not within it, shows by this sum.
    read, write = np.maximum(tokens["cache_read_tokens"], 0), np.maximum(tokens["cache_write_tokens"], 0)
    all_input = tokens["input_tokens"]
    outside = (all_input >= 0) & (read <= MOST) & (write <= MOST) & (read + write > all_input)
    tokens["input_tokens"] = np.where(outside, all_input + read + write, all_input)
    flags |= np.where(outside, _APART, 0)

    # So does one that counts reasoning beside the output, where the total it sends is the sum of the three.
    all_input, output = tokens["input_tokens"], tokens["output_tokens"]
    reasoning, total = tokens["reasoning_tokens"], counts["total_tokens"]
    small = (all_input <= MOST) & (output <= MOST) & (reasoning <= MOST)
    outside = (
        small & (all_input >= 0) & (output >= 0) & (reasoning > 0) & (all_input + output + reasoning == total)
    )
    tokens["output_tokens"] = output = np.where(outside, output + reasoning, output)
    flags |= np.where(outside, _APART, 0)

    # Who sends Gemini's output as it came, and nothing of its thoughts, sends a total that has them.
    missing = np.where(small & (total <= MOST), total - all_input - output, 0)
    thought = gemini & (reasoning == NOT_SENT) & (all_input >= 0) & (output >= 0) & (missing > 0)
    tokens["reasoning_tokens"] = np.where(thought, missing, reasoning)
    tokens["output_tokens"] = output = np.where(thought, output + missing, output)
    flags |= np.where(thought, _APART, 0)

    # No call uses nothing.
    nothing = counted & (all_input == 0) & (output <= 0)
    for name in ("input_tokens", "output_tokens"):
        tokens[name] = np.where(nothing, NOT_SENT, tokens[name])
    flags |= np.where(nothing, _NOTHING, 0)

    all_input, output = tokens["input_tokens"], tokens["output_tokens"]
    for name, whole in (*_WITHIN_INPUT, *_WITHIN_OUTPUT):
        most = tokens[whole]
        flags |= np.where((most >= 0) & (tokens[name] > most), _EXCEEDS, 0)
    both = (all_input >= 0) & (output >= 0) & (total >= 0) & (all_input <= MOST) & (output <= MOST)
    flags |= np.where(both & (all_input + output != total), _MISMATCH, 0)
    for values in counts.values():
        flags |= np.where(values == UNREADABLE, _UNREADABLE, 0)
    return Usage(tokens, flags)


def _beside(count: Any, *others: Any) -> Any:
    """The sum of counts that stand beside one; 0 where one of them all cannot be right."""
    possible = np.logical_and.reduce([values <= MOST for values in (count, *others)])
    return np.where(possible, sum(others), 0)


_AUXILIARY = {
    "input_tokens_apart",
    "output_tokens_apart",
    "cache_read_apart",
    "cache_write_apart",
    "reasoning_apart",
    "total_tokens",
}
_APART_OF = {
    "cache_read_tokens": "cache_read_apart",
    "cache_write_tokens": "cache_write_apart",
    "reasoning_tokens": "reasoning_apart",
}
_WITHIN_INPUT = tuple(
    (name, "input_tokens") for name in ("cache_read_tokens", "cache_write_tokens", "input_audio_tokens")
)
_WITHIN_OUTPUT = tuple((name, "output_tokens") for name in ("reasoning_tokens", "output_audio_tokens"))


def flag_lists(flags: Any) -> tuple[Any, Any]:
    """The flags as the items of an array column: where each row's end, and the numbers of the FLAGS."""
    bits = (flags[:, None] >> np.arange(len(FLAGS))) & 1
    return np.cumsum(bits.sum(axis=1)), np.nonzero(bits)[1]
