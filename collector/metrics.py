"""What the collector counts of itself, in Prometheus terms."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SPANS = (1, 16, 128, 512, 2048, 8192, 32768)


class Metrics:
    """The collector's metrics, registered with `registry`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "spanledger_requests",
            "Export requests, by how they were answered.",
            ["outcome"],
            registry=registry,
        )
        self.received = Counter(
            "spanledger_spans_received", "Spans in requests that could be read.", registry=registry
        )
        self.stored = Counter(
            "spanledger_spans_stored", "Spans whose insert was committed.", registry=registry
        )
        self.rejected = Counter(
            "spanledger_spans_rejected",
            "Spans that cannot be stored, by reason.",
            ["reason"],
            registry=registry,
        )
        self.batches = Counter("spanledger_batches", "Inserts, by outcome.", ["outcome"], registry=registry)
        self.waiting_bytes = Gauge(
            "spanledger_waiting_bytes", "Bytes of requests that wait for their insert.", registry=registry
        )
        self.insert_seconds = Histogram(
            "spanledger_insert_seconds", "Time an insert took.", buckets=_SECONDS, registry=registry
        )
        self.batch_spans = Histogram(
            "spanledger_batch_spans", "Spans in an insert.", buckets=_SPANS, registry=registry
        )
