"""`make bench-query`: questions to ten million stored spans, through HTTP, beside the same SQL by hand.

Asked of an idle server, and while spans arrive; then what memory the server takes for twenty clients at once.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.machine import ROOT, facts
from bench.query.asking import Crowd, timed
from bench.query.by_hand import SEED
from bench.query.ledger import Ledger, make
from bench.query.questions import Question, questions
from bench.report import Sheet
from bench.sender import percentiles
from bench.served import Served, running_server
from bench.watch import memory_bytes

_PARTS = ("by-hand", "idle", "busy", "memory")
_RATE = 10_000
_EXPORT = "/api/v1/export?format=jsonl"
_CROWD = 20
_MOST_MEMORY = 2**30
Figures = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.query", description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "bench-data", help="where the ledger is kept")
    for name, field in Ledger.__dataclass_fields__.items():
        parser.add_argument(f"--{name}", type=int, default=field.default, help="(default: %(default)s)")
    parser.add_argument("--only", nargs="+", choices=_PARTS, default=_PARTS)
    parser.add_argument("--questions", nargs="*", help="those whose name contains one of these")
    parser.add_argument("--crowd-seconds", type=float, default=60.0)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    chosen = parser.parse_args()
    console = Console(width=max(Console().width, 120))
    ledger = Ledger(chosen.spans, chosen.days, chosen.distinct)
    make(ledger, chosen.folder, lambda what: console.print(f"[dim]{what}[/dim]"))
    results: Figures = {"machine": facts(), "spans": ledger.spans}
    for part in measured(ledger, chosen):
        results |= part
        if chosen.json:
            chosen.json.write_text(json.dumps(results) + "\n")
    for sheet in sheets(results):
        console.print(sheet.as_table())
    if missed := [row[0] for sheet in sheets(results) for row in sheet.rows if "NO" in row[-1]]:
        sys.exit(f"not met: {'; '.join(missed)}")


def measured(ledger: Ledger, chosen: argparse.Namespace) -> Iterator[Figures]:
    """The results, part by part."""
    whole = "by-hand" in chosen.only
    by_hand = _by_hand(chosen.folder, ledger, None if whole else [])
    asked = [
        one
        for one in questions(ledger, by_hand["phrases"])
        if not chosen.questions or any(part in one.name for part in chosen.questions)
    ]
    bounds = {one.name: [one.p50_ms, one.p95_ms] for one in asked}
    yield {"by_hand": by_hand["by_hand"], "bounds": bounds}
    with running_server(chosen.folder, {}) as served:
        if "idle" in chosen.only:
            yield {"idle": _asked(served, asked)}
        if "memory" in chosen.only:
            yield {"memory": _memory(served, asked, chosen.crowd_seconds)}
        if "busy" in chosen.only:
            with _spans_arriving(served, ledger):
                busy = _asked(served, asked)
            yield {"busy": busy}


def _by_hand(folder: Path, ledger: Ledger, only: Sequence[str] | None) -> Figures:
    numbers = [f"--{name}={getattr(ledger, name)}" for name in Ledger.__dataclass_fields__]
    command = [sys.executable, "-m", "bench.query.by_hand", str(folder), *numbers]
    if only is not None:
        command += ["--only", "", *only]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE)
    found: Figures = json.loads(done.stdout)
    return found


def _asked(served: Served, asked: Sequence[Question]) -> Figures:
    return {one.name: percentiles(timed(served.api, one, SEED)) for one in asked}


@contextmanager
def _spans_arriving(served: Served, ledger: Ledger) -> Iterator[None]:
    """While this is open spans arrive that are newer than all that are stored, so many a second."""
    command = [
        *(sys.executable, "-m", "bench.sender", served.address("grpc")),
        *("--rate", str(_RATE), "--spans", str(_RATE * 600), "--connections", "2", "--in-flight", "2"),
        # Of a seed and a time that no run before had, so that nothing arrives twice.
        *("--seed", str(2_000_000 + served.pid), "--start-time-ns", str(ledger.end_ns + served.pid * 10**9)),
        *("--trace-every-ns", str(8 * 10**9 // _RATE), "--wait"),
    ]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as sender:
        assert sender.stdin is not None
        assert sender.stdout is not None
        sender.stdout.readline()
        sender.stdin.write("go\n")
        sender.stdin.flush()
        try:
            threading.Event().wait(5)
            yield
        finally:
            sender.terminate()


def _memory(served: Served, asked: Sequence[Question], seconds: float) -> Figures:
    """The most that the server held while many page, plot and export at once."""
    by_name = {one.name: one for one in asked}
    pages = [one for name, one in by_name.items() if "page" in name or "trace by id" in name]
    plots = [one for name, one in by_name.items() if "stats" in name]
    clients: list[Question | str] = [_EXPORT] * 4
    clients += plots * 4
    clients += (pages * _CROWD)[: _CROWD - len(clients)]
    crowd = Crowd(served.api, clients)
    most = 0
    done = threading.Event()

    def look() -> None:
        nonlocal most
        while not done.wait(0.2):
            most = max(most, memory_bytes(served.pid, "VmRSS"))

    watcher = threading.Thread(target=look)
    watcher.start()
    before = memory_bytes(served.pid, "VmRSS")
    crowd.run(seconds)
    done.set()
    watcher.join()
    return {
        "clients": len(clients),
        "before_bytes": before,
        "most_bytes": most,
        "answers": crowd.answers,
        "refused": crowd.refused[:10],
        "refused_count": len(crowd.refused),
    }


def sheets(results: Figures) -> list[Sheet]:
    found = []
    headings = ("question", "p50 ms", "p95 ms", "aim", "by hand p50", "p95", "of by hand", "met")
    for part in ("idle", "busy"):
        if part in results:
            times = 1 if part == "idle" else 2
            title = f"{results['spans']:,} spans, " + (
                "idle" if times == 1 else f"{_RATE:,} spans/s arriving"
            )
            rows = [_row(name, results, part, times) for name in results[part]]
            found.append(Sheet(part, title, headings, rows))
    if "memory" in results:
        one = results["memory"]
        row = [
            f"{one['clients']} clients at once",
            f"{one['most_bytes'] / 2**20:,.0f}",
            f"{one['before_bytes'] / 2**20:,.0f}",
            f"{one['answers']:,}",
            f"{one['refused_count']:,}",
            "yes" if one["most_bytes"] < _MOST_MEMORY else "NO",
        ]
        headings = ("memory of the server", "most MiB", "before", "answers", "refused", "below 1 GiB")
        found.append(Sheet("memory", "Paging, plotting and exporting", headings, [row]))
    return found


def _row(name: str, results: Figures, part: str, times: int) -> list[str]:
    took: Mapping[str, float] = results[part][name]
    by_hand: Mapping[str, float] | None = results["by_hand"].get(name)
    p50, p95 = (bound * times for bound in results["bounds"][name])
    met = took["p50"] <= p50 and took["p95"] <= p95
    ratio = took["p50"] / by_hand["p50"] if by_hand else None
    if part == "idle" and ratio is not None:
        met = met and ratio <= 2
    return [
        name,
        f"{took['p50']:,.1f}",
        f"{took['p95']:,.1f}",
        f"{p50:,.0f} / {p95:,.0f}",
        f"{by_hand['p50']:,.1f}" if by_hand else "",
        f"{by_hand['p95']:,.1f}" if by_hand else "",
        f"{ratio:.2f}" if ratio is not None else "",
        "yes" if met else "NO",
    ]


if __name__ == "__main__":
    main()
