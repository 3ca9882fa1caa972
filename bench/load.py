"""Sends requests over gRPC connections and counts the spans that were acknowledged."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import NamedTuple

import grpc

from bench.requests import SPANS, fresh_requests

_EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


class Measured(NamedTuple):
    """Acknowledged spans a second; how long an answer took, median and 99th percentile, in seconds."""

    spans_per_second: float
    median_s: float
    p99_s: float


async def send(address: str, *, connections: int, in_flight: int, requests: int) -> Measured:
    """Send `requests` requests over `connections` connections with `in_flight` unanswered ones on each."""
    bodies = list(fresh_requests(requests))
    answered: list[float] = []

    async def connection() -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(address, options=options) as channel:
            export = channel.unary_unary(_EXPORT)

            async def one_after_the_other() -> None:
                while bodies:
                    body = bodies.pop()
                    started = time.perf_counter()
                    if await export(body, timeout=30) != b"":
                        raise RuntimeError("spans were rejected")
                    answered.append(time.perf_counter() - started)

            await asyncio.gather(*(one_after_the_other() for _ in range(in_flight)))

    started = time.perf_counter()
    await asyncio.gather(*(connection() for _ in range(connections)))
    took = time.perf_counter() - started
    quantiles = statistics.quantiles(answered, n=100) if len(answered) > 1 else answered * 99
    return Measured(len(answered) * SPANS / took, statistics.median(answered), quantiles[98])
