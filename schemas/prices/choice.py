"""Which cost of a call counts: what was reported with it, or what is computed."""

from __future__ import annotations

from typing import Any

import numpy as np

SOURCES = ("", "reported", "computed")
UNKNOWN, REPORTED, COMPUTED = range(len(SOURCES))

BILLED = "provider"  # the origin of a reported cost that is the provider's own bill

# The setting: what comes first; the other counts where that is not known. With `provider` the provider's own
# bill comes first, then what is computed, then what anybody else reports; with `reported` what is reported,
# by whomever; with `computed` what is computed.
PREFERENCES = ("provider", "reported", "computed")


def choose(*, computed: Any, reported: Any, billed: Any, nothing: Any, used: Any, preference: str) -> Any:
    """The number of the source, of SOURCES, for every row; all arguments but the last are flags of each row.

    computed, reported: whether that cost is known. billed: whether what is reported is the provider's own
    bill. nothing: whether zero is reported. used: whether the call says what it used. Libraries report zero
    for calls of which they know nothing, so that a zero of theirs counts only where something was used.
    """
    known = reported & (billed | used | ~nothing)
    if preference == "provider":
        first = known & (billed | ~computed)
    elif preference == "reported":
        first = known
    else:
        first = known & ~computed
    return np.where(first, REPORTED, np.where(computed, COMPUTED, UNKNOWN))
