"""The golden files, for tests: what was sent as protobuf messages, and what a ledger must make of it."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanledger.collector import otlp_json

Json = dict[str, Any]

FOLDER = Path(__file__).parent / "golden"


@dataclass(frozen=True)
class Golden:
    """One golden file; `content` is all of it, for what has no name here."""

    dialect: str
    hand_made: bool
    billed: list[Json]
    expected: Json
    content: Json

    @property
    def calls(self) -> list[Json]:
        """The calls that count, in the provider's order: the `calls` of `expected`."""
        calls: list[Json] = self.expected["calls"]
        return calls

    def trace_requests(self) -> list[ExportTraceServiceRequest]:
        """The export requests as they were sent, in order; new messages each time."""
        sent = self.content["requests"]["traces"]
        return [ExportTraceServiceRequest.FromString(otlp_json.traces(_body(request))) for request in sent]

    def log_requests(self) -> list[ExportLogsServiceRequest]:
        """The same for log records; most dialects send none."""
        sent = self.content["requests"]["logs"]
        return [ExportLogsServiceRequest.FromString(otlp_json.logs(_body(request))) for request in sent]

    def span_requests(self, seed: int | None = None) -> list[ExportTraceServiceRequest]:
        """Each span as a request of its own: in the order of sending, or shuffled by a seed."""
        requests = list(_one_by_one(self.trace_requests()))
        if seed is not None:
            random.Random(seed).shuffle(requests)
        return requests

    def __str__(self) -> str:
        return self.dialect


@cache
def golden_files() -> list[Golden]:
    """All golden files by name, read once."""
    return [_read(path) for path in sorted(FOLDER.glob("*.json"))]


def golden_file(dialect: str) -> Golden:
    """The one of a dialect; KeyError names those that there are."""
    found = {golden.dialect: golden for golden in golden_files()}
    if dialect not in found:
        raise KeyError(f"no golden file of {dialect}; there are {', '.join(found)}")
    return found[dialect]


def _read(path: Path) -> Golden:
    content = json.loads(path.read_text())
    return Golden(content["dialect"], content["hand_made"], content["billed"], content["expected"], content)


def _body(request: Json) -> bytes:
    return json.dumps(request).encode()


def _one_by_one(requests: list[ExportTraceServiceRequest]) -> Iterator[ExportTraceServiceRequest]:
    for request in requests:
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    single = ExportTraceServiceRequest()
                    in_resource = single.resource_spans.add(
                        resource=resource.resource, schema_url=resource.schema_url
                    )
                    in_resource.scope_spans.add(scope=scope.scope, schema_url=scope.schema_url, spans=[span])
                    yield single
