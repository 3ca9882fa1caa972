"""`make bench-instrumentation`: what each instrumentation of the OpenAI SDK adds to a call, in one run.

Every one has an environment of its own under `.bench/` (the first run needs the package registries), with the
same SDKs beside it. Each is measured against a bare client of its own environment, in turns.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.instrumentation.contenders import CONTENDERS, environment
from bench.instrumentation.table import filled_in, not_lowest, sheet
from bench.machine import ROOT, facts
from bench.report import Results

PAGE = ROOT / "docs" / "performance.md"
KEPT = ROOT / "docs" / "performance" / "instrumentation.json"
_SCRIPT = Path(__file__).parent / "calls.py"
# How many calls of each kind are timed in one turn: a twentieth of a second or so.
_CALLS = {"call": 60, "stream": 6, "concurrent": 100}
_ROUNDS, _QUICK_ROUNDS = 15, 5
_MEMORY_CALLS, _QUICK_MEMORY_CALLS = 10_000, 1_000
MODES = ("bare", "off", "on")


class Child:
    """A process that makes calls in one way, in the environment of one contender."""

    def __init__(self, python: Path, name: str, mode: str) -> None:
        self.name, self.mode = name, mode
        own = CONTENDERS[name].variables.get(mode, {})
        # Every process orders its dictionaries and sets in the same way.
        variables = {"PATH": os.environ["PATH"], "PYTHONHASHSEED": "0", "PYTHONWARNINGS": "ignore", **own}
        command = [python, _SCRIPT, name, mode]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            command, env=variables, cwd=_SCRIPT.parent, text=True, stdin=pipe, stdout=pipe
        )

    def ask(self, **what: Any) -> dict[str, float]:
        """Raises RuntimeError if it ends without an answer; why stands on standard error."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(what) + "\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name}, {self.mode}: ended without an answer")
        answer: dict[str, float] = json.loads(line)
        spans = answer.get("spans")
        if spans is not None and (spans == 0) != (self.mode == "bare"):
            raise RuntimeError(f"{self.name}, {self.mode}: {spans} spans a call")
        return answer

    def end(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()


@contextmanager
def child(python: Path, name: str, mode: str) -> Iterator[Child]:
    started = Child(python, name, mode)
    try:
        yield started
    finally:
        started.end()


def times(pythons: dict[str, Path], rounds: int) -> Results:
    """For each contender and kind of call: nanoseconds of each round, by mode."""
    found: Results = {name: {kind: [] for kind in _CALLS} for name in pythons}
    with ExitStack() as stack:
        children = {
            name: [stack.enter_context(child(python, name, mode)) for mode in MODES]
            for name, python in pythons.items()
        }
        # The first round warms up.
        for number in range(rounds + 1):
            for name, own in children.items():
                for kind, calls in _CALLS.items():
                    took = {one.mode: one.ask(do="time", kind=kind, calls=calls)["ns"] for one in own}
                    if number:
                        found[name][kind].append(took)
    return found


def memory(pythons: dict[str, Path], calls: int) -> Results:
    """For each contender: bytes by mode, each in a process that did nothing else."""

    def measured(one: tuple[str, str]) -> dict[str, float]:
        name, mode = one
        with child(pythons[name], name, mode) as started:
            return started.ask(do="memory", calls=calls)

    asked = [(name, mode) for name in pythons for mode in MODES]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        answers = dict(zip(asked, pool.map(measured, asked), strict=True))
    return {name: {mode: answers[name, mode] for mode in MODES} for name in pythons}


def measure(environments: dict[str, tuple[Path, str]], *, rounds: int, memory_calls: int) -> Results:
    pythons = {name: python for name, (python, _) in environments.items()}
    before = facts()
    timed, sizes = times(pythons, rounds), memory(pythons, memory_calls)
    return {
        "machine": before,
        "rounds": rounds,
        "contenders": {
            name: {"version": version, "time": timed[name], "memory": sizes[name]}
            for name, (_, version) in environments.items()
        },
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="bench.instrumentation", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a minute, for a first impression; nothing kept")
    quick = parser.parse_args(arguments).quick
    console = Console(width=max(Console().width, 160))
    console.print("[dim]environments ...[/dim]")
    environments = {name: environment(name) for name in CONTENDERS}
    console.print("[dim]calls ...[/dim]")
    results = measure(
        environments,
        rounds=_QUICK_ROUNDS if quick else _ROUNDS,
        memory_calls=_QUICK_MEMORY_CALLS if quick else _MEMORY_CALLS,
    )
    console.print(sheet(results).as_table())
    if quick:
        return
    KEPT.write_text(json.dumps(results, separators=(",", ":")) + "\n")
    PAGE.write_text(filled_in(PAGE.read_text(), results))
    if missed := not_lowest(results):
        sys.exit(f"ours is not the lowest in: {'; '.join(missed)}")


if __name__ == "__main__":
    main()
