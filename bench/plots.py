"""`make plots`: the figures of a benchmark as pictures and tables in docs/performance.md and the README.

The results themselves are kept beside the pictures, so that the pages can be held to them.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.machine import ROOT
from bench.report import Results, machine, sheets

PAGES = (ROOT / "docs" / "performance.md", ROOT / "README.md")
FOLDER = ROOT / "docs" / "performance"
KEPT = FOLDER / "results.json"
_BLOCK = re.compile(r"(?P<begin><!-- bench: (?P<name>\w+) -->\n).*?(?P<end><!-- end -->)", re.DOTALL)
# The same results make the same file.
STYLE = {"svg.hashsalt": "spanledger", "svg.fonttype": "none", "font.size": 9, "axes.spines.top": False}


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.plots", description=__doc__)
    parser.add_argument("results", type=Path, help="what `python -m bench --json FILE` has written")
    results = json.loads(parser.parse_args().results.read_text())
    pages = {page: filled_in(page.read_text(), results) for page in PAGES}
    FOLDER.mkdir(exist_ok=True)
    with mpl.rc_context(STYLE):
        save(rate(results), FOLDER / "rate.svg")
        save(stages(results), FOLDER / "stages.svg")
    KEPT.write_text(json.dumps(results, separators=(",", ":")) + "\n")
    for page, text in pages.items():
        page.write_text(text)


def filled_in(page: str, results: Results) -> str:
    """The page with every block between `<!-- bench: NAME -->` and `<!-- end -->` made anew.

    Raises ValueError where the results have no figures for a block.
    """
    blocks = {sheet.name: sheet.as_markdown() for sheet in sheets(results)}
    blocks["machine"] = machine(results)

    def made(found: re.Match[str]) -> str:
        name = found["name"]
        if name not in blocks:
            raise ValueError(
                f"these results have no figures for {name}: they must be of a whole `make bench`"
            )
        return f"{found['begin']}{blocks[name]}\n{found['end']}"

    return _BLOCK.sub(made, page)


def rate(results: Results) -> Figure:
    """Spans a second over the run, with the parts that were active and the memory of the server."""
    load = results["load"]
    figure = Figure(figsize=(8, 4.6), layout="constrained")
    above, below = figure.subplots(2, sharex=True, height_ratios=(2, 1))
    # The last second is not a whole one.
    seconds, spans = zip(*load["over_time"][:-1], strict=True)
    above.bar([second - 0.5 for second in seconds], spans, width=0.9, color="#4c78a8")
    above.axhline(load["spans_per_second"], color="#222222", linewidth=0.8, linestyle="--")
    above.set_ylabel("spans acknowledged\nin each second")
    above.set_ylim(bottom=0)
    at, parts, memory, *_ = zip(*load["looks"], strict=True)
    below.step(at, parts, where="post", color="#e45756", linewidth=1.2)
    below.set_ylabel("active parts", color="#e45756")
    below.set_ylim(bottom=0)
    below.set_xlabel("seconds")
    other = below.twinx()
    other.plot(at, [size / 2**20 for size in memory], color="#72b7b2", linewidth=1.2)
    other.set_ylabel("memory, MiB", color="#72b7b2")
    other.set_ylim(bottom=0)
    return figure


def stages(results: Results) -> Figure:
    """Each stage's processor time a span beside the server's under load; the same for a lone span."""
    figure = Figure(figsize=(8, 4.4), layout="constrained")
    large, lone = figure.subplots(2, height_ratios=(2, 1))
    costs = results["stages"]
    whole = results["load"]["server_cpu_s_per_million"]
    _stack(large, "each stage alone", [(one["stage"], one["cpu_us"]) for one in costs])
    large.barh("server under load", whole, color="#bab0ac")
    large.text(whole / 2, 1, f"{whole:.1f}", ha="center", va="center")
    large.set_xlabel("processor time, microseconds a span")
    large.invert_yaxis()
    _stack(lone, "one span", [(one["stage"], one["lone_ms"]) for one in costs])
    lone.barh("server, idle", results["load"]["lone"]["answer_ms"]["p50"], color="#bab0ac")
    lone.set_xlabel("time, milliseconds a request of one span (median)")
    lone.invert_yaxis()
    handles, labels = large.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False)
    return figure


_COLOURS = ("#4c78a8", "#f58518", "#e45756", "#72b7b2", "#54a24b", "#eeca3b", "#b279a2", "#ff9da6", "#9d755d")


def _stack(axes: Axes, what: str, parts: list[tuple[str, float]]) -> None:
    left = 0.0
    for n, (name, size) in enumerate(parts):
        # A difference of two measurements may come out below nothing.
        drawn = max(size, 0.0)
        axes.barh(what, drawn, left=left, label=f"{name} {size:.1f}", color=_COLOURS[n % len(_COLOURS)])
        left += drawn


def save(figure: Figure, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
