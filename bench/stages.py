"""The cost of each stage alone: `python -m bench.stages` prints a JSON list.

The engine's are measured as the difference that each makes: blocks are inserted into a table that keeps
nothing, then into the real one without merges, then with.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import grpc

from bench.pipeline import TABLE, Database, Rows, checked, fresh_database
from bench.requests import Requests
from bench.sender import Load, send
from bench.transports import EXPORT
from bench.watch import cpu_seconds, wait_until_idle
from bench.workload import Workload
from spanledger.collector.rows.block import Block

_SPANS_IN_REQUEST = 512
_REQUESTS_IN_INSERT = 64

_Prepared = TypeVar("_Prepared")


class Cost(NamedTuple):
    """Processor and wall time a span of a large insert, in microseconds; wall and processor time of a
    request of one span, in milliseconds. Medians."""

    cpu_us: float
    wall_us: float
    lone_ms: float
    lone_cpu_ms: float

    def less(self, other: Cost) -> Cost:
        return Cost(*(mine - its for mine, its in zip(self, other, strict=True)))


class Effort(NamedTuple):
    """How much each stage is measured: large inserts (32,768 spans), for merges so many, lone requests."""

    inserts: int = 4
    merged_inserts: int = 32
    lone: int = 40


class Feed:
    """Requests without an end, no span twice: as many as make a large insert, or one of a single span."""

    def __init__(self) -> None:
        self._large = iter(Requests(Workload(spans=10**9, spans_per_request=_SPANS_IN_REQUEST)))
        self._lone = iter(Requests(Workload(seed=2, spans=10**9, spans_per_request=1, distinct=512)))

    def large(self) -> list[bytes]:
        return [next(self._large) for _ in range(_REQUESTS_IN_INSERT)]

    def lone(self) -> list[bytes]:
        return [next(self._lone)]


def stages(effort: Effort) -> list[dict[str, Any]]:
    """All stages in the order of a span's way, each with its name and its own cost."""
    feed = Feed()
    costs = {"raw gRPC": raw_grpc(effort), "gate": _measured(feed, effort, lambda bodies: bodies, checked)}
    with fresh_database() as database:
        costs |= engine(database, feed, effort)
    return [
        {"stage": name} | {what: round(value, 3) for what, value in cost._asdict().items()}
        for name, cost in costs.items()
    ]


def raw_grpc(effort: Effort) -> Cost:
    """The transport with a handler that answers at once; the processor time is the server's."""
    large = Workload(spans=effort.inserts * _REQUESTS_IN_INSERT * _SPANS_IN_REQUEST)
    lone = Workload(seed=2, spans=effort.lone * 10, spans_per_request=1, distinct=512)
    with _answering_at_once() as (pid, address):
        cpu, wall, _ = _sent(pid, address, large, Load())
        lone_cpu, _, median = _sent(pid, address, lone, Load(connections=1, in_flight=1))
    return Cost(
        cpu / large.stored_spans * 1e6,
        wall / large.stored_spans * 1e6,
        median * 1e3,
        lone_cpu / lone.stored_spans * 1e3,
    )


def _sent(pid: int, address: str, workload: Workload, load: Load) -> tuple[float, float, float]:
    requests = Requests(workload)
    cpu, started = cpu_seconds(pid), time.perf_counter()
    seen = asyncio.run(send(address, requests, load))
    wall = time.perf_counter() - started
    return cpu_seconds(pid) - cpu, wall, statistics.median(seen.answered_in)


@contextmanager
def _answering_at_once() -> Iterator[tuple[int, str]]:
    command = [sys.executable, "-m", "bench.stages", "--answer-grpc"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.pid, f"127.0.0.1:{server.stdout.readline().strip()}"
        finally:
            server.terminate()


async def answer_grpc() -> None:
    """Acknowledge everything and keep nothing, until the end of the process; prints the port."""

    async def export(_body: bytes, _context: Any) -> bytes:
        return b""

    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
    service, method = EXPORT.strip("/").split("/")
    handlers = {method: grpc.unary_unary_rpc_method_handler(export)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


def engine(database: Database, feed: Feed, effort: Effort) -> dict[str, Cost]:
    """What it takes to make rows, and what ClickHouse takes to read, to store and to merge them."""
    client, rows = database.client, Rows(database)

    def block(bodies: list[bytes]) -> Block:
        return rows.make(checked(bodies))

    made = _measured(feed, effort, checked, rows.make)
    client.command(f"CREATE TABLE kept_nowhere AS {TABLE} ENGINE = Null")
    parsed = _measured(feed, effort, block, lambda made: rows.insert(made, "kept_nowhere"))
    client.command(f"SYSTEM STOP MERGES {TABLE}")
    stored = _measured(feed, effort, block, rows.insert)
    client.command(f"TRUNCATE TABLE {TABLE}")
    client.command(f"SYSTEM START MERGES {TABLE}")
    cpu_us, wall_us = _merging(rows, feed, effort)
    merged = stored._replace(cpu_us=cpu_us, wall_us=wall_us)
    return {"rows": made, "parse": parsed, "store": stored.less(parsed), "merges": merged.less(stored)}


def _measured(
    feed: Feed,
    effort: Effort,
    prepare: Callable[[list[bytes]], _Prepared],
    act: Callable[[_Prepared], object],
) -> Cost:
    """The cost of `act`, on what `prepare` makes of requests."""
    act(prepare(feed.large()))
    act(prepare(feed.lone()))
    large = [_timed(act, prepare(feed.large())) for _ in range(effort.inserts)]
    lone = [_timed(act, prepare(feed.lone())) for _ in range(effort.lone)]
    spans = _REQUESTS_IN_INSERT * _SPANS_IN_REQUEST
    return Cost(
        statistics.median(cpu for cpu, _ in large) / spans * 1e6,
        statistics.median(wall for _, wall in large) / spans * 1e6,
        statistics.median(wall for _, wall in lone) * 1e3,
        statistics.median(cpu for cpu, _ in lone) * 1e3,
    )


def _timed(act: Callable[[_Prepared], object], prepared: _Prepared) -> tuple[float, float]:
    """Seconds, processor (of all threads) and wall."""
    cpu, wall = time.process_time(), time.perf_counter()
    act(prepared)
    return time.process_time() - cpu, time.perf_counter() - wall


def _merging(rows: Rows, feed: Feed, effort: Effort) -> tuple[float, float]:
    """Microseconds a span, processor and wall, of many inserts and all merges that follow from them."""
    making = inserting = 0.0
    cpu = time.process_time()
    for _ in range(effort.merged_inserts):
        own = time.thread_time()
        block = rows.make(checked(feed.large()))
        making += time.thread_time() - own
        started = time.perf_counter()
        rows.insert(block)
        inserting += time.perf_counter() - started
    wait_until_idle(os.getpid(), at_most_s=300)
    cpu = time.process_time() - cpu - making
    spans = effort.merged_inserts * _REQUESTS_IN_INSERT * _SPANS_IN_REQUEST
    return cpu / spans * 1e6, inserting / spans * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.stages", description=__doc__)
    for name, default in Effort()._asdict().items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default)
    parser.add_argument("--answer-grpc", action="store_true", help="be the server that keeps nothing")
    chosen = parser.parse_args()
    if chosen.answer_grpc:
        asyncio.run(answer_grpc())
    else:
        effort = Effort(**{name: getattr(chosen, name) for name in Effort._fields})
        json.dump(stages(effort), sys.stdout)


if __name__ == "__main__":
    main()
