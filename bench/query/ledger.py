"""A ledger to ask: spans over many days, stored as the collector stores them, kept for the next run."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench.pipeline import Database, Rows, checked
from bench.requests import Requests
from bench.workload import SPANS_IN_TRACE, Workload
from spanledger.schemas.database import connect, migrate, migrations, parse_target
from spanledger.schemas.prices import load_prices

DAY_NS = 86_400 * 10**9
FIRST_DAY_NS = 1_764_547_200 * 10**9  # 2025-12-01
_MADE = "made.json"
_REQUESTS_IN_INSERT = 64
_SPANS_IN_REQUEST = 512
LARGE_TRACE_SPANS = 10_000
LARGE_TRACE_SEED = 1_000_003
LARGE_TRACE_ID = bytes.fromhex("1a" * 16)


@dataclass(frozen=True)
class Ledger:
    """`spans` spans, evenly over `days` days, and a large trace.

    All days but the last are one part each, as merges leave them.
    """

    spans: int = 10_000_000
    days: int = 30
    distinct: int = 131_072

    @property
    def end_ns(self) -> int:
        return FIRST_DAY_NS + self.days * DAY_NS

    def workload(self) -> Workload:
        """The spans in order of their time. Any of them can be computed again."""
        traces = self.spans // SPANS_IN_TRACE
        return Workload(
            spans=self.spans,
            spans_per_request=_SPANS_IN_REQUEST,
            distinct=self.distinct,
            start_time_ns=FIRST_DAY_NS,
            trace_every_ns=self.days * DAY_NS // traces,
        )

    def requests(self) -> Requests:
        return Requests(self.workload())


def make(ledger: Ledger, folder: Path, say: Callable[[str], None]) -> None:
    """Fill the database in `folder`, unless it was filled with just this before."""
    wanted = {"ledger": asdict(ledger), "migrations": [sql for _, sql in migrations()]}
    marker = folder / _MADE
    with contextlib.suppress(FileNotFoundError, ValueError):
        if json.loads(marker.read_text()) == wanted:
            say(f"the ledger of the last run is there: {folder}")
            return
    shutil.rmtree(folder, ignore_errors=True)
    database = folder / "database"
    target = parse_target(f"chdb://{database}")
    migrate(target)
    with contextlib.closing(connect(target)) as client:
        load_prices(client)
        _fill(ledger, Database(target, client, database), say)
    marker.write_text(json.dumps(wanted))


def _fill(ledger: Ledger, database: Database, say: Callable[[str], None]) -> None:
    rows = Rows(database)
    rows.insert(rows.make(checked([large_trace(ledger)])))
    day, stored = 0, 0
    for batch in _batches(ledger.requests()):
        rows.insert(rows.make(checked(batch)))
        stored += len(batch) * _SPANS_IN_REQUEST
        now = min(ledger.days - 1, stored * ledger.days // ledger.spans)
        while day < now:
            _merge_day(database, day)
            day += 1
            say(f"{stored:,} spans, {day} of {ledger.days} days")


def large_trace(ledger: Ledger) -> bytes:
    """A request with one trace of many spans, on a day in the middle: agents below one root."""
    start_ns = FIRST_DAY_NS + ledger.days // 2 * DAY_NS
    spans = -(-LARGE_TRACE_SPANS // SPANS_IN_TRACE) * SPANS_IN_TRACE
    workload = Workload(
        seed=LARGE_TRACE_SEED,
        spans=spans,
        spans_per_request=spans,
        distinct=spans,
        start_time_ns=start_ns,
        trace_every_ns=10**7,
    )
    request = ExportTraceServiceRequest.FromString(Requests(workload)[0])
    made = request.resource_spans[0].scope_spans[0].spans
    del made[LARGE_TRACE_SPANS:]
    for span in made:
        span.trace_id = LARGE_TRACE_ID
        span.parent_span_id = span.parent_span_id or made[0].span_id
    made[0].parent_span_id = b""
    return request.SerializeToString()


def _merge_day(database: Database, day: int) -> None:
    date = datetime.fromtimestamp(FIRST_DAY_NS // 10**9 + day * 86_400, UTC).date()
    # A day that spans are still sent of would have parts left; what comes late is a part of its own.
    database.client.command(f"OPTIMIZE TABLE spans PARTITION '{date}' FINAL")


def _batches(requests: Requests) -> Iterator[list[bytes]]:
    for first in range(0, len(requests), _REQUESTS_IN_INSERT):
        yield [requests[n] for n in range(first, min(first + _REQUESTS_IN_INSERT, len(requests)))]
