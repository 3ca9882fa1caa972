"""`make soak`: minutes of load at half of what the ledger takes: memory flat, parts few, no span lost.

The results and their picture are written to docs/performance, and the table to docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from rich.console import Console

from bench.machine import ROOT, facts
from bench.plots import STYLE, save
from bench.report import Results, Sheet, Target, machine
from bench.runs import Figures, Run
from bench.sender import add_load, chosen_load
from bench.workload import Workload

FOLDER = ROOT / "docs" / "performance"
PAGE = ROOT / "docs" / "performance.md"
_BLOCK = re.compile(r"(?<=<!-- soak -->\n).*?(?=<!-- end -->)", re.DOTALL)
_MEASURED_SPANS = 400_000
_SHARE = 0.5
_LOOKS = 120
MIB = 1024 * 1024


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (default: %(default)s)")
    parser.add_argument(
        "--folder",
        type=Path,
        default=FOLDER,
        help="of the results and the picture; where it is not docs/performance, the page stays as it is",
    )
    add_load(parser)
    chosen = parser.parse_args()
    load = chosen_load(chosen)
    console = Console(width=max(Console().width, 100))
    results: Figures = {"machine": facts(), "minutes": chosen.minutes}
    if not load.rate:
        console.print("[dim]a short measurement, half of whose rate the soak has ...[/dim]")
        measured = Run(Workload(seed=2, spans=_MEASURED_SPANS), load).measure()["spans_per_second"]
        load = load._replace(rate=round(measured * _SHARE, -2))
        results["measured_spans_per_second"] = measured
    spans = int(load.rate * chosen.minutes * 60)
    console.print(f"[dim]{chosen.minutes:g} minutes at {load.rate:,.0f} spans a second ...[/dim]")
    every_s = chosen.minutes * 60 / _LOOKS
    results |= Run(Workload(spans=spans), load, looks_every_s=every_s, looks_at_disk=True).measure()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    (chosen.folder / "soak.json").write_text(json.dumps(results, separators=(",", ":")) + "\n")
    with mpl.rc_context(STYLE):
        save(picture(results), chosen.folder / "soak.svg")
    if chosen.folder == FOLDER:
        PAGE.write_text(filled_in(PAGE.read_text(), results))
    console.print(sheet(results).as_table())
    if missed := [row[0] for row in sheet(results).rows if row[-1] == "NO"]:
        sys.exit(f"not met: {'; '.join(missed)}")


def _fifth(results: Results, number: int, column: int) -> list[float]:
    """A column of the looks in one of five equal parts of the soak, counted from 1."""
    looks = results["looks"]
    whole = looks[-1][0]
    return [look[column] for look in looks if (number - 1) * whole <= look[0] * 5 <= number * whole]


def _grown(column: int, of: Callable[[list[float]], float]) -> Callable[[Results], float]:
    """How many times what the second fifth had is what the last has; the first is the start."""
    return lambda results: of(_fifth(results, 5, column)) / of(_fifth(results, 2, column))


def _share_of_due(results: Results) -> float:
    return float(results["spans_per_second"] / results["load"]["rate"])


_PARTS, _MEMORY = 1, 2  # the columns of a look
_MOST_PARTS = 300  # of the 1,000 active parts in a partition from which the engine delays inserts
TARGETS = (
    Target("acknowledged, of what was due", _share_of_due, ">=", 0.98, "{:.3f}"),
    Target("memory in the last fifth, times that in the second", _grown(_MEMORY, max), "<=", 1.2, "{:.2f}"),
    Target("most active parts", lambda r: r["parts_most"], "<=", _MOST_PARTS, "{:,.0f}"),
    Target(
        "active parts in the last fifth, times those in the second, medians",
        _grown(_PARTS, statistics.median),
        "<=",
        1.5,
        "{:.2f}",
    ),
    Target("lost spans", lambda r: r["lost"], "<=", 0, "{:,.0f}"),
    Target("spans that answers hold twice", lambda r: r["duplicates"], "<=", 0, "{:,.0f}"),
)


def sheet(results: Results) -> Sheet:
    """What is promised and what came of it, and what else was seen."""
    answer = results["answer_ms"]
    seen = {
        "minutes": f"{results['seconds'] / 60:.1f}",
        "spans acknowledged": f"{results['spans']:,}",
        "spans a second": f"{results['spans_per_second']:,.0f}",
        "answer, median and p99, ms": f"{answer['p50']:,.0f}; {answer['p99']:,.0f}",
        "requests refused and sent again": f"{sum(results['refused'].values()):,}",
        "memory at most, MiB": f"{results['memory_most_bytes'] / MIB:,.0f}",
        "bytes on disk a span, at the end": f"{results['looks'][-1][3] / results['visible']:,.0f}",
        "server's processor seconds a million spans": f"{results['server_cpu_s_per_million']:.1f}",
        "cores that others took": f"{results['others_cpu_share']:.2f}",
    }
    rows = [[what, "", found, ""] for what, found in seen.items()]
    return Sheet(
        "soak",
        "The soak",
        ("what", "promised", "seen", "met"),
        rows + [target.row(results) for target in TARGETS],
    )


def filled_in(page: str, results: Results) -> str:
    """The page with its table of the soak made anew."""
    made = f"{sheet(results).as_markdown()}\n\n{machine({'machine': results['machine'], 'quick': False})}\n"
    return _BLOCK.sub(lambda _: made, page)


def picture(results: Results) -> Figure:
    """Over the minutes: spans acknowledged, answers, memory, and parts with the size on disk."""
    figure = Figure(figsize=(8, 7.5), layout="constrained")
    rate, answers, memory, parts = figure.subplots(4, sharex=True)
    # The last second is not a whole one.
    seconds, spans = zip(*results["over_time"][:-1], strict=True)
    rate.plot([second / 60 for second in seconds], spans, color="#4c78a8", linewidth=0.8)
    rate.axhline(results["load"]["rate"], color="#222222", linewidth=0.8, linestyle="--")
    rate.set_ylabel("spans acknowledged\nin each second")
    ends, median, worst = zip(*results["answer_ms_over_time"], strict=True)
    answers.step([end / 60 for end in ends], worst, color="#f58518", linewidth=1.2, label="p99")
    answers.step([end / 60 for end in ends], median, color="#4c78a8", linewidth=1.2, label="median")
    answers.set_ylabel("answer, ms")
    answers.legend(frameon=False, loc="upper right")
    at, part_counts, resident, disk = zip(*results["looks"], strict=True)
    minutes = [second / 60 for second in at]
    memory.plot(minutes, [size / MIB for size in resident], color="#72b7b2", linewidth=1.2)
    memory.set_ylabel("memory, MiB")
    parts.step(minutes, part_counts, where="post", color="#e45756", linewidth=1.2)
    parts.set_ylabel("active parts", color="#e45756")
    parts.set_xlabel("minutes")
    size = parts.twinx()
    size.plot(minutes, [size_now / MIB for size_now in disk], color="#54a24b", linewidth=1.2)
    size.set_ylabel("on disk, MiB", color="#54a24b")
    for axes in (rate, answers, memory, parts, size):
        axes.set_ylim(bottom=0)
    return figure


if __name__ == "__main__":
    main()
