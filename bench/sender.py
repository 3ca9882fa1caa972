"""The process that sends a workload, and what it saw: `python -m bench.sender ADDRESS` prints a JSON object.

Requests are made while they are sent. A request that is refused is sent again until it is acknowledged, as
exporters do, so that at the end every span of the workload is acknowledged.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple, get_args

from bench.requests import Requests
from bench.transports import PROTOCOLS, Connection, ProtocolName, Refused, connection
from bench.workload import add_workload, chosen_workload

_TIMEOUT_S = 10.0  # of an exporter, by the OTLP specification
_GIVE_UP_AFTER_S = 60.0
_FIRST_DELAY_S = 0.1


class Load(NamedTuple):
    """How a workload is sent."""

    protocol: ProtocolName = "grpc"
    connections: int = 8
    in_flight: int = 12
    replays: float = 0.0
    pause_s: float = 0.0
    rate: float = 0.0


_HELP = {
    "protocol": "what carries the spans",
    "connections": "connections to the server",
    "in_flight": "unanswered requests on each connection",
    "replays": "share of requests that are sent once more when they are acknowledged",
    "pause_s": "seconds between an answer and the next request",
    "rate": "spans a second that are due, whatever is answered; 0 for as many as are acknowledged",
}


@dataclass
class Seen:
    """What came back: when each request was acknowledged, and how long its answer took; in seconds.

    An answer takes from when its request is sent, or from when it was due where a rate is given.
    """

    acknowledged_at: list[float] = field(default_factory=list)
    answered_in: list[float] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    replays: int = 0


async def send(address: str, requests: Requests, load: Load) -> Seen:
    """Send all of them. Raises Rejected, and Refused where a request is still refused after a minute."""
    seen = Seen()
    due = _due(requests, load)
    async with AsyncExitStack() as stack:
        connections = [
            await stack.enter_async_context(connection(load.protocol, address, _TIMEOUT_S))
            for _ in range(load.connections)
        ]
        async with asyncio.TaskGroup() as group:
            for one in connections * load.in_flight:
                group.create_task(_one_after_the_other(one, requests, due, load, seen))
    return seen


def _due(requests: Requests, load: Load) -> Iterator[tuple[int, float]]:
    """Each request's number and when it is to be sent; at once where no rate is given."""
    began = time.perf_counter()
    apart = requests.workload.spans_per_request / load.rate if load.rate else 0.0
    return ((number, began + number * apart if load.rate else 0.0) for number in range(len(requests)))


async def _one_after_the_other(
    to: Connection, requests: Requests, due: Iterator[tuple[int, float]], load: Load, seen: Seen
) -> None:
    for number, at in due:
        if load.pause_s:
            await asyncio.sleep(load.pause_s)
        body = requests[number]
        if at:
            await asyncio.sleep(at - time.perf_counter())
        started = at or time.perf_counter()
        await _until_acknowledged(to, body, seen)
        seen.acknowledged_at.append(time.perf_counter())
        seen.answered_in.append(seen.acknowledged_at[-1] - started)
        if int((number + 1) * load.replays) > int(number * load.replays):
            await _until_acknowledged(to, body, seen)
            seen.replays += 1


async def _until_acknowledged(to: Connection, body: bytes, seen: Seen) -> None:
    delay = _FIRST_DELAY_S
    deadline = time.monotonic() + _GIVE_UP_AFTER_S
    while True:
        try:
            return await to.send(body)
        except Refused as refused:
            seen.refused[str(refused)] += 1
            if time.monotonic() + delay > deadline:
                raise
        await asyncio.sleep(delay)
        delay = min(delay * 2, 2.0)


def report(seen: Seen, *, spans_per_request: int, started: float, cpu_s: float) -> dict[str, Any]:
    """The figures of a run that began at `started` (by time.perf_counter)."""
    ends = [at - started for at in seen.acknowledged_at]
    spans = len(ends) * spans_per_request
    return {
        "spans": spans,
        "seconds": round(ends[-1], 4),
        "spans_per_second": round(spans / ends[-1], 1),
        "tenths": tenths(ends, spans_per_request),
        "answer_ms": percentiles(seen.answered_in),
        "cpu_s": round(cpu_s, 3),
        "refused": dict(seen.refused),
        "replayed_requests": seen.replays,
        "over_time": _each_second(ends, spans_per_request),
        "answer_ms_over_time": _answers_over_time(ends, seen.answered_in),
    }


def tenths(ends: list[float], spans_per_request: int) -> list[float]:
    """Spans a second in each tenth of the requests, in the order in which they were acknowledged."""
    borders = sorted({round(len(ends) * n / 10) for n in range(11)})
    times = [0.0, *ends]
    return [
        round((border - before) * spans_per_request / max(times[border] - times[before], 1e-9), 1)
        for before, border in pairwise(borders)
    ]


def percentiles(seconds: list[float]) -> dict[str, float]:
    """In milliseconds."""
    if len(seconds) == 1:
        seconds = seconds * 2
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    found = {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98], "most": max(seconds)}
    return {name: round(value * 1000, 2) for name, value in found.items()}


def _each_second(ends: list[float], spans_per_request: int) -> list[list[float]]:
    """(end of a second since the start, spans acknowledged in it)."""
    counts = Counter(int(end) for end in ends)
    return [[second + 1, counts[second] * spans_per_request] for second in range(int(ends[-1]) + 1)]


def _answers_over_time(ends: list[float], answered_in: list[float]) -> list[list[float]]:
    """(end of ten seconds since the start, median and 99th percentile of their answers in milliseconds)."""
    tens: dict[int, list[float]] = {}
    for end, took in zip(ends, answered_in, strict=True):
        tens.setdefault(int(end // 10), []).append(took)
    found = {ten: percentiles(took) for ten, took in sorted(tens.items())}
    return [[(ten + 1) * 10, one["p50"], one["p99"]] for ten, one in found.items()]


def add_load(parser: argparse.ArgumentParser, **defaults: Any) -> None:
    """A flag for each number of a Load, with its defaults where `defaults` has no other."""
    group = parser.add_argument_group("sender")
    for name, default in Load(**defaults)._asdict().items():
        group.add_argument(
            f"--{name.replace('_', '-')}",
            type=type(default),
            choices=get_args(ProtocolName) if name == "protocol" else None,
            default=default,
            help=f"{_HELP[name]} (default: %(default)s)",
        )


def chosen_load(chosen: argparse.Namespace) -> Load:
    return Load(**{name: getattr(chosen, name) for name in Load._fields})


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.sender", description=__doc__)
    parser.add_argument("address", help="host:port of the server")
    parser.add_argument(
        "--wait", action="store_true", help="say `ready` and begin when a line comes on standard input"
    )
    add_load(parser)
    add_workload(parser)
    chosen = parser.parse_args()
    load = chosen_load(chosen)
    workload = chosen_workload(parser, chosen, PROTOCOLS[load.protocol])
    requests = Requests(workload)
    if chosen.wait:
        print("ready", flush=True)
        sys.stdin.readline()
    started, cpu = time.perf_counter(), time.process_time()
    seen = asyncio.run(send(chosen.address, requests, load))
    cpu = time.process_time() - cpu
    figures = report(seen, spans_per_request=workload.spans_per_request, started=started, cpu_s=cpu)
    json.dump(figures, sys.stdout)


if __name__ == "__main__":
    main()
