"""Export of a ledger into files, and import of these into an empty one: identical rows, and how fast.

`python -m bench.transfer` (a million spans; or `--spans 100000`). Two servers, one after the other, each with
the memory that it used at most; both are asked through `spanledger export` and `spanledger import`.
"""

from __future__ import annotations

import argparse
import hashlib
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from bench.machine import facts
from bench.served import Served, running_server

_SPANS_IN_REQUEST = 512
_FORMATS = ("jsonl", "parquet", "otlp")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spans", type=int, default=1_000_000)
    spans = parser.parse_args().spans // _SPANS_IN_REQUEST * _SPANS_IN_REQUEST
    table = Table(title=f"{spans:,} spans")
    for name in ("what", "seconds", "spans/s", "MB", "server's memory, MiB", "rows are identical"):
        table.add_column(name, justify="left" if name == "what" else "right")
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="spanledger-bench-") as place:
        folder = Path(place)
        files = {form: folder / f"all.{form}" for form in _FORMATS}
        with _server(folder / "first") as (served, url):
            _run("bench.sender", served.address("grpc"), "--spans", spans)
            for form, file in files.items():
                seconds = _timed("export", file, "--format", form, "--api", url)
                table.add_row(*_row(f"export {form}", spans, seconds, file, served), "")
        expected = _rows(files["jsonl"])
        for form in ("jsonl", "parquet"):
            with _server(folder / form) as (served, url):
                seconds = _timed("import", files[form], "--api", url)
                cells = _row(f"import {form}", spans, seconds, files[form], served)
                again = folder / f"again-{form}.jsonl"
                _timed("export", again, "--api", url)
                same = _rows(again) == expected and expected[0] == spans
                wrong += not same
                table.add_row(*cells, "yes" if same else "NO")
    machine = facts()
    console = Console()
    console.print(f"{machine['cores']} cores, commit {machine['commit']}")
    console.print(table)
    sys.exit(1 if wrong else 0)


def _row(what: str, spans: int, seconds: float, file: Path, served: Served) -> tuple[str, ...]:
    memory = psutil.Process(served.pid).memory_info().rss >> 20
    rate, size = f"{spans / seconds:,.0f}", f"{file.stat().st_size / 1e6:,.0f}"
    return what, f"{seconds:.1f}", rate, size, f"{memory:,}"


def _rows(file: Path) -> tuple[int, str]:
    """How many rows a file of lines has, and a hash of them, in their order."""
    found, count = hashlib.sha256(), 0
    with file.open("rb") as lines:
        for line in lines:
            if not line.startswith(b'{"spanledger_'):
                found.update(line)
                count += 1
    return count, found.hexdigest()


@contextmanager
def _server(folder: Path) -> Iterator[tuple[Served, str]]:
    folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    with running_server(folder, {"api_listen": listen}) as served:
        yield served, f"http://{listen}"


def _timed(*words: object) -> float:
    started = time.perf_counter()
    _run("spanledger.server.cli", *words)
    return time.perf_counter() - started


def _run(module: str, *words: object) -> None:
    command = [sys.executable, "-m", module, *map(str, words)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


if __name__ == "__main__":
    main()
