"""The gate: looks at a request's bytes and says which of its spans or log records can be stored, so that one
bad one harms no other.

A pure function without I/O. Nothing is changed: what leaves the bad spans out asks the same questions
of the same bytes (collector/rows/scan.py).
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np

from spanledger.collector.rows.requests import scan_request
from spanledger.collector.rows.scan import GOOD, HEAD, NOT_UTF8, STACK
from spanledger.collector.rows.tables import SPANS, Table
from spanledger.schemas.errors import BadData


class Checked(NamedTuple):
    """How many spans (or log records) of a request can be stored, and how many cannot, by reason."""

    spans: int
    rejected: Counter[str]


class AllRejected(BadData):
    """Every span or log record of a request is rejected, for these reasons."""

    def __init__(self, items: str, rejected: Counter[str]) -> None:
        super().__init__(f"none of the {rejected.total()} {items} can be stored: {explain(rejected)}")
        self.rejected = rejected


def check(body: bytes, depth: int, table: Table = SPANS) -> Checked:
    """Check an export request for a table; raises BadData where none of it can be stored,
    AllRejected where that is for its spans or log records.

    A span needs a trace id of 16 bytes and a span id of 8, neither all zero, no parent id or one of 8
    bytes (opentelemetry-proto, trace.proto), and a start from 1970 to 2106. A log record needs a time, or an
    observed one, of these years, and ids that are absent or as long; all zero, they count as absent
    (logs.proto). The values of both must nest no more than `depth` levels.
    """
    counts = np.zeros(len(table.faults) + 1, np.int64)
    head, stack = np.empty(HEAD, np.int64), np.empty(STACK * depth, np.int64)
    found = scan_request(np.frombuffer(body, np.uint8), table.what, counts, head, stack)
    if found != GOOD:
        wrong = "a string is not valid UTF-8" if found == NOT_UTF8 else "the bytes are no valid protobuf"
        raise BadData(f"not an OTLP {table.request}: {wrong}")
    count, *by_fault = counts.tolist()
    rejected = Counter({fault: bad for fault, bad in zip(table.faults, by_fault, strict=True) if bad})
    if count and rejected.total() == count:
        raise AllRejected(table.items, rejected)
    return Checked(count - rejected.total(), rejected)


def explain(rejected: Counter[str]) -> str:
    """The reasons with their counts, for a person: `2 with a trace_id that is not 16 bytes long; ...`."""
    return "; ".join(f"{count} with {_WORDS[reason]}" for reason, count in rejected.most_common())


# Few and fixed: they are labels of a metric, and what is sent must not decide how many series there are.
REASONS = {
    "trace_id_length": "a trace_id that is not 16 bytes long",
    "trace_id_zero": "a trace_id that is all zero",
    "span_id_length": "a span_id that is not 8 bytes long",
    "span_id_zero": "a span_id that is all zero",
    "parent_span_id_length": "a parent_span_id that is neither absent nor 8 bytes long",
    "start_time_missing": "no start_time_unix_nano",
    "start_time_range": "a start_time_unix_nano after February 2106",
    "end_time_range": "an end_time_unix_nano after April 2262",
    "attribute_depth": "an attribute value that nests too deep",
    "time_missing": "neither time_unix_nano nor observed_time_unix_nano",
    "time_range": "a time_unix_nano after February 2106",
    "observed_time_range": "an observed_time_unix_nano after April 2262",
    "value_depth": "a body or attribute value that nests too deep",
}
# Why what is good is not stored all the same (schemas/removals.py).
REMOVED = {
    "deleted": "a trace_id that was deleted",
    "expired": "a time from before what the project keeps",
}
_WORDS = REASONS | REMOVED
