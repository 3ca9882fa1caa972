"""The figures of a run as a table, whether ours are the lowest, and where the page has them."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator
from typing import NamedTuple

from bench.instrumentation.contenders import CONTENDERS, OURS
from bench.report import MIB, Results, Sheet

KINDS = {
    "call": "a call, µs",
    "stream": "a stream of 100 chunks, µs",
    "concurrent": "a call of 50 at once, async, µs",
}
MEMORY = {
    "most": "memory at most during 10,000 calls, MiB",
    "kept": "memory kept after 10,000 calls, MiB",
    "whole": "memory of the process, MiB",
}
CONTENT = ("off", "on")
_BLOCK = re.compile(r"(?<=<!-- instrumentation -->\n).*?(?=<!-- end -->)", re.DOTALL)


class Row(NamedTuple):
    """What was added, by contender; the median of the rounds."""

    what: str
    bare: float
    added: dict[str, float]

    @property
    def lowest(self) -> bool:
        """Whether nobody adds less than we do, in the digits that are shown."""
        return round(self.added[OURS], 1) <= min(round(value, 1) for value in self.added.values())


def rows(results: Results) -> Iterator[Row]:
    for content in CONTENT:
        for kind, what in KINDS.items():
            rounds = {name: found["time"][kind] for name, found in results["contenders"].items()}
            bare = [one["bare"] for of_one in rounds.values() for one in of_one]
            added = {
                name: statistics.median(one[content] - one["bare"] for one in of_one) / 1000
                for name, of_one in rounds.items()
            }
            yield Row(f"{what}, content {content}", statistics.median(bare) / 1000, added)
        for part, what in MEMORY.items():
            measured = {name: found["memory"] for name, found in results["contenders"].items()}
            bare_bytes = statistics.median(one["bare"][part] for one in measured.values())
            more = {name: (one[content][part] - one["bare"][part]) / MIB for name, one in measured.items()}
            yield Row(f"{what}, content {content}", bare_bytes / MIB, more)


def sheet(results: Results) -> Sheet:
    names = list(results["contenders"])
    lines = [
        [
            row.what,
            f"{row.bare:,.1f}",
            *(f"{row.added[name]:,.1f}" for name in names),
            "yes" if row.lowest else "NO",
        ]
        for row in rows(results)
    ]
    headings = ("added to", "bare", *(CONTENDERS[name].title for name in names), "ours lowest")
    return Sheet("instrumentation", "What an instrumentation adds to a bare client", headings, lines)


def not_lowest(results: Results) -> list[str]:
    return [row.what for row in rows(results) if not row.lowest]


def machine(results: Results) -> str:
    facts = results["machine"]
    versions = ", ".join(
        f"{CONTENDERS[name].package} {found['version']}"
        for name, found in results["contenders"].items()
        if name != OURS
    )
    return (
        f"Medians of {results['rounds']} rounds, measured {facts['measured_at'][:10]} at commit "
        f"`{facts['commit']}` on {facts['cores']} cores ({facts['processor']}, {facts['system']}) with "
        f"Python {facts['python']}, {versions}; load average before: {facts['load_average_before']:.2f}."
    )


def filled_in(page: str, results: Results) -> str:
    """The page with its table of this benchmark made anew."""
    made = f"{sheet(results).as_markdown()}\n\n{machine(results)}\n"
    return _BLOCK.sub(lambda _: made, page)
