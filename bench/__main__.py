"""`make bench`: spans a second acknowledged through gRPC, beside the same rows inserted as Arrow.

The two are measured in turn, several times, because other work may share the machine; the medians and
their ratio are what to quote. Acknowledged means committed and visible.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from bench.load import Measured, send
from bench.requests import SPANS
from spanledger.server.demo import running_server

# The same rows as a prepared Arrow table, two writers, with the engine's setting optimize_on_insert.
ENGINE = {"Arrow, the engine's defaults": 1, "Arrow, our insert settings": 0}


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument(
        "--spans", type=int, default=262_144, help="spans in a measurement (default: %(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each (default: %(default)s)")
    parser.add_argument("--connections", type=int, default=8, help="gRPC connections (default: %(default)s)")
    parser.add_argument(
        "--in-flight", type=int, default=8, help="unanswered requests on each (default: %(default)s)"
    )
    chosen = parser.parse_args()
    console = Console(width=100)
    requests = max(chosen.spans // SPANS, 1)
    ours: list[Round] = []
    engine: dict[str, list[float]] = {what: [] for what in ENGINE}
    for number in range(1, chosen.rounds + 1):
        ours.append(grpc_round(chosen.connections, chosen.in_flight, requests))
        rates = []
        for what, optimize_on_insert in ENGINE.items():
            engine[what].append(arrow_round(requests * SPANS, optimize_on_insert))
            rates.append(f"{engine[what][-1]:,.0f}")
        spans = f"{ours[-1].measured.spans_per_second:,.0f}"
        console.print(f"round {number}: gRPC {spans} spans/s, Arrow {' and '.join(rates)} rows/s")
    few = grpc_round(chosen.connections, 1, max(requests // 4, 1))
    alone = grpc_round(1, 1, 20)
    console.print(report(ours, engine, few, alone, chosen))


class Round(NamedTuple):
    """One measurement, and what it took of the server: processor time a million spans, memory at its end."""

    measured: Measured
    cpu_s: float
    resident_bytes: float


def grpc_round(connections: int, in_flight: int, requests: int) -> Round:
    """A fresh server and database each time, so that no round pays for the merges of another."""
    with (
        tempfile.TemporaryDirectory(prefix="spanledger-bench-") as folder,
        running_server(Path(folder) / "database") as (api, otlp),
    ):
        address = otlp.removeprefix("http://")
        asyncio.run(send(address, connections=1, in_flight=1, requests=4))  # the engine starts its threads
        cpu_before = api.metric("process_cpu_seconds_total")
        measured = asyncio.run(send(address, connections=connections, in_flight=in_flight, requests=requests))
        cpu = api.metric("process_cpu_seconds_total") - cpu_before
        resident = api.metric("process_resident_memory_bytes")
        stored = api.metric("spanledger_spans_stored_total")
    if stored != (requests + 4) * SPANS:
        raise RuntimeError(f"{stored} spans are stored, {(requests + 4) * SPANS} were acknowledged")
    return Round(measured, cpu / (requests * SPANS) * 1e6, resident)


def arrow_round(spans: int, optimize_on_insert: int) -> float:
    command = [sys.executable, "-m", "bench.arrow", str(spans), str(optimize_on_insert)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def report(
    ours: list[Round], engine: dict[str, list[float]], few: Round, alone: Round, chosen: argparse.Namespace
) -> Table:
    table = Table(title=f"{os.cpu_count()} cores, {SPANS}-span requests; medians of {chosen.rounds} rounds")
    for heading in ("what", "spans/s", "answer p50", "p99", "CPU s/M spans", "memory"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    middle = sorted(ours)[len(ours) // 2]
    rate = middle.measured.spans_per_second
    table.add_row(
        f"gRPC, {chosen.connections} connections, {chosen.in_flight} in flight each", *_cells(middle)
    )
    table.add_row(f"gRPC, {chosen.connections} connections, 1 in flight each", *_cells(few))
    table.add_row("gRPC, 1 connection, 1 in flight", *_cells(alone))
    for what, rates in engine.items():
        median = statistics.median(rates)
        table.add_row(f"{what}; ours is {rate / median:.2f} of it", f"{median:,.0f}", "", "", "", "")
    return table


def _cells(result: Round) -> tuple[str, ...]:
    measured = result.measured
    return (
        f"{measured.spans_per_second:,.0f}",
        f"{measured.median_s * 1000:,.0f} ms",
        f"{measured.p99_s * 1000:,.0f} ms",
        f"{result.cpu_s:.1f}",
        f"{result.resident_bytes / 2**20:,.0f} MiB",
    )


if __name__ == "__main__":
    main()
