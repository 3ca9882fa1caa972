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

from rich.console import Console
from rich.table import Table

from bench.load import Measured, send
from bench.requests import SPANS
from spanledger.server.demo import running_server


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
    ours, engine = [], []
    for number in range(1, chosen.rounds + 1):
        ours.append(grpc_round(chosen.connections, chosen.in_flight, requests))
        engine.append(arrow_round(requests * SPANS))
        console.print(
            f"round {number}: {ours[-1].spans_per_second:,.0f} spans/s; Arrow {engine[-1]:,.0f} rows/s"
        )
    one_each = grpc_round(chosen.connections, 1, max(requests // 4, 1))
    alone = grpc_round(1, 1, 20)
    console.print(report(ours, engine, one_each, alone, chosen))


def grpc_round(connections: int, in_flight: int, requests: int) -> Measured:
    """A fresh server and database each time, so that no round pays for the merges of another."""
    with (
        tempfile.TemporaryDirectory(prefix="spanledger-bench-") as folder,
        running_server(Path(folder) / "database") as (api, otlp),
    ):
        address = otlp.removeprefix("http://")
        asyncio.run(send(address, connections=1, in_flight=1, requests=4))  # the engine starts its threads
        measured = asyncio.run(send(address, connections=connections, in_flight=in_flight, requests=requests))
        stored = api.metric("spanledger_spans_stored_total")
    if stored != (requests + 4) * SPANS:
        raise RuntimeError(f"{stored} spans are stored, {(requests + 4) * SPANS} were acknowledged")
    return measured


def arrow_round(spans: int) -> float:
    command = [sys.executable, "-m", "bench.arrow", str(spans)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def report(
    ours: list[Measured], engine: list[float], one_each: Measured, alone: Measured, chosen: argparse.Namespace
) -> Table:
    table = Table(title=f"{os.cpu_count()} cores, {SPANS}-span requests; medians of {chosen.rounds} rounds")
    for heading in ("what", "spans/s", "answer p50", "answer p99"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    rate = statistics.median(m.spans_per_second for m in ours)
    many = f"gRPC, {chosen.connections} connections, {chosen.in_flight} in flight on each"
    table.add_row(many, f"{rate:,.0f}", *_times(sorted(ours)[len(ours) // 2]))
    table.add_row("the same rows as Arrow, two writers", f"{statistics.median(engine):,.0f}", "", "")
    table.add_row("ratio", f"{rate / statistics.median(engine):.2f}", "", "")
    few = f"gRPC, {chosen.connections} connections, one in flight on each"
    table.add_row(few, f"{one_each.spans_per_second:,.0f}", *_times(one_each))
    table.add_row("one connection, one request at a time", f"{alone.spans_per_second:,.0f}", *_times(alone))
    return table


def _times(measured: Measured) -> tuple[str, str]:
    return f"{measured.median_s * 1000:,.0f} ms", f"{measured.p99_s * 1000:,.0f} ms"


if __name__ == "__main__":
    main()
