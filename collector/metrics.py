"""What the collector counts of itself, in Prometheus terms. docs/metrics.md lists every one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from spanledger.collector.rows.tables import TABLES, Table
from spanledger.schemas.errors import SpanledgerError

Transport = Literal["grpc", "http"]
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_ITEMS = (1, 16, 128, 512, 2048, 8192, 32768)


@dataclass
class Answer:
    """How a sender's request was answered; `ok` until something else is said."""

    outcome: str = "ok"


class Counts:
    """What is counted of the spans, or of the log records."""

    def __init__(self, table: Table, registry: CollectorRegistry) -> None:
        prefix, items = f"spanledger_{table.name}", table.items.capitalize()
        self.received = Counter(
            f"{prefix}_received", f"{items} in requests that could be read.", registry=registry
        )
        self.stored = Counter(f"{prefix}_stored", f"{items} whose insert was committed.", registry=registry)
        self.replayed = Counter(
            f"{prefix}_replayed",
            f"{items} in requests that had been stored already and were answered from memory.",
            registry=registry,
        )
        self.rejected = Counter(
            f"{prefix}_rejected", f"{items} that cannot be stored, by reason.", ["reason"], registry=registry
        )
        self.refused = Counter(
            f"{prefix}_refused",
            f"{items} whose sender was told to come again, by reason.",
            ["reason"],
            registry=registry,
        )
        self.in_batch = Histogram(
            f"spanledger_batch_{table.name}", f"{items} in an insert.", buckets=_ITEMS, registry=registry
        )


class Metrics:
    """The collector's metrics, registered with `registry`. `of`: the counts of each table, by its name."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.otlp_requests = Counter(
            "spanledger_otlp_requests",
            "Requests of senders, by transport and by how they were answered.",
            ["transport", "outcome"],
            registry=registry,
        )
        self.otlp_request_seconds = Histogram(
            "spanledger_otlp_request_seconds",
            "Time from a request's last byte to its answer.",
            ["transport"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.requests = Counter(
            "spanledger_requests",
            "Requests written through the ingest, senders' and the server's own, by outcome.",
            ["outcome"],
            registry=registry,
        )
        self.of = {table.name: Counts(table, registry) for table in TABLES.values()}
        self.discarded_attributes = Counter(
            "spanledger_attributes_discarded",
            "Attributes left out of spans and log records that were stored, by reason.",
            ["reason"],
            registry=registry,
        )
        self.cut_attributes = Counter(
            "spanledger_attributes_cut", "Attribute values stored up to their limit only.", registry=registry
        )
        self.batches = Counter("spanledger_batches", "Inserts, by outcome.", ["outcome"], registry=registry)
        self.waiting_bytes = Gauge(
            "spanledger_waiting_bytes", "Bytes of requests that wait for their insert.", registry=registry
        )
        self.insert_seconds = Histogram(
            "spanledger_insert_seconds", "Time an insert took.", buckets=_SECONDS, registry=registry
        )
        self.decided_calls = Counter(
            "spanledger_calls_decided",
            "Stored calls of which it was decided anew whether they count.",
            registry=registry,
        )
        self.undecided_seconds = Gauge(
            "spanledger_calls_undecided_seconds",
            "For how long the oldest calls wait that may be recorded twice.",
            registry=registry,
        )

    @contextmanager
    def answering(self, transport: Transport) -> Iterator[Answer]:
        """Count a sender's request and its time; what is raised inside decides the outcome.

        An error of ours counts under its gRPC code whatever the transport, and any other as `internal`.
        """
        answer = Answer()
        started = time.perf_counter()
        try:
            yield answer
        except SpanledgerError as error:
            answer.outcome = error.grpc_code.lower()
            raise
        except asyncio.CancelledError:
            answer.outcome = "cancelled"
            raise
        except BaseException:
            answer.outcome = "internal"
            raise
        finally:
            self.otlp_request_seconds.labels(transport).observe(time.perf_counter() - started)
            self.otlp_requests.labels(transport, answer.outcome).inc()
