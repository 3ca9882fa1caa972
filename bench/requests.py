"""OTLP requests of a workload, made cheaply: the texts are serialised once, ids and times are stamped in."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from google.protobuf.json_format import MessageToDict
from numpy.typing import NDArray
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench.ids import Bytes, Counters, Ids
from bench.traces import Made, any_value, make_traces
from bench.workload import SPANS_IN_TRACE, Workload

_RESOURCE = {
    "service.name": "bench",
    "service.version": "1.4.2",
    "deployment.environment.name": "production",
    "host.name": "host-1",
    "process.pid": 4242,
    "telemetry.sdk.language": "python",
    "telemetry.sdk.name": "opentelemetry",
    "telemetry.sdk.version": "1.45.1",
}
Times = NDArray[np.uint64]


class Requests:
    """The requests of a workload: `requests[n]` is the n-th one's body, the same whenever it is asked for.

    No two of them share a span.
    """

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self._size = workload.spans_per_request
        self._ids = Ids(workload.seed)
        spans = list(chain.from_iterable(make_traces(workload)))
        self._templates = [
            self._template(first, spans[first : first + self._size])
            for first in range(0, workload.cycle, self._size)
        ]

    def __len__(self) -> int:
        return self.workload.requests

    def __iter__(self) -> Iterator[bytes]:
        return (self[number] for number in range(len(self)))

    def __getitem__(self, number: int) -> bytes:
        if not 0 <= number < len(self):
            raise IndexError(number)
        template = self._templates[number % len(self._templates)]
        counters = np.arange(number * self._size, (number + 1) * self._size, dtype=np.uint64)
        body = template.body.copy()
        body[template.places] = self._stamp(counters, template).encoded(self.workload.encoding)
        return body.tobytes()

    def _stamp(self, counters: Counters, template: _Template) -> _Stamp:
        traces = counters // np.uint64(SPANS_IN_TRACE)
        began = traces * np.uint64(self.workload.trace_every_ns) + np.uint64(self.workload.start_time_ns)
        parents = traces[template.children] * np.uint64(SPANS_IN_TRACE) + template.parents
        return _Stamp(
            self._ids.traces(counters),
            self._ids.spans(counters),
            self._ids.spans(parents),
            began + template.starts,
            began + template.ends,
        )

    def _template(self, first: int, made: list[Made]) -> _Template:
        """The request that these spans would make as the first of their cycle, and where its ids stand."""
        counters = np.arange(first, first + len(made), dtype=np.uint64)
        children = [n for n, span in enumerate(made) if span.parent is not None]
        template = _Template(
            children=np.array(children, dtype=np.intp),
            parents=np.array([made[n].parent for n in children], dtype=np.uint64),
            starts=np.array([span.start_ns for span in made], dtype=np.uint64),
            ends=np.array([span.end_ns for span in made], dtype=np.uint64),
        )
        stamp = self._stamp(counters, template)
        encoding = self.workload.encoding
        message = _message(made, stamp, children)
        body = message.SerializeToString() if encoding == "protobuf" else _json(message)
        return template._replace(
            body=np.frombuffer(body, dtype=np.uint8), places=_find(body, stamp, children, encoding)
        )


class _Template(NamedTuple):
    """A serialised request, and where in it the bytes of a stamp go.

    `children`: the spans that have a parent; `parents`: its position in the trace. Times count from the
    start of the trace.
    """

    children: NDArray[np.intp]
    parents: Counters
    starts: Times
    ends: Times
    body: Bytes = np.empty(0, dtype=np.uint8)
    places: NDArray[np.intp] = np.empty(0, dtype=np.intp)


class _Stamp(NamedTuple):
    """What tells a request from others made of the same template. A parent for the children only."""

    traces: Bytes
    spans: Bytes
    parents: Bytes
    starts: Times
    ends: Times

    def encoded(self, encoding: str) -> Bytes:
        """All fields one after the other, each with all of its spans."""
        write = _BINARY if encoding == "protobuf" else _TEXT
        return np.concatenate([write[value.dtype](value).ravel() for value in self])


def _hex(ids: Bytes) -> Bytes:
    return np.frombuffer(ids.tobytes().hex().encode(), dtype=np.uint8).reshape(len(ids), -1)


def _decimal(times: Times) -> Bytes:
    return times.astype("S19").view(np.uint8).reshape(-1, 19)


def _little_endian(times: Times) -> Bytes:
    return times.astype("<u8").view(np.uint8).reshape(-1, 8)


# How values are written, one a row: ids (bytes) and times.
_Writers = dict[np.dtype[Any], Callable[[Any], Bytes]]
_BINARY: _Writers = {np.dtype(np.uint8): lambda ids: ids, np.dtype(np.uint64): _little_endian}
_TEXT: _Writers = {np.dtype(np.uint8): _hex, np.dtype(np.uint64): _decimal}


def _find(body: bytes, stamp: _Stamp, children: list[int], encoding: str) -> NDArray[np.intp]:
    """The place of every byte of `stamp.encoded`, for a body that was made with this stamp."""
    write = _BINARY if encoding == "protobuf" else _TEXT
    traces, spans, parents, starts, ends = (write[value.dtype](value) for value in stamp)
    row_of_child = {n: row for row, n in enumerate(children)}
    places: tuple[list[int], ...] = ([], [], [], [], [])
    at = 0
    for n in range(len(spans)):
        wanted = [(0, traces[n]), (1, spans[n]), (3, starts[n]), (4, ends[n])]
        if n in row_of_child:
            wanted.insert(2, (2, parents[row_of_child[n]]))
        for field, value in wanted:
            at = body.index(value.tobytes(), at)
            places[field].append(at)
            at += len(value)
    return np.concatenate(
        [
            (np.array(found, dtype=np.intp)[:, None] + np.arange(value.shape[1])).ravel()
            for found, value in zip(places, (traces, spans, parents, starts, ends), strict=True)
        ]
    )


def _message(made: list[Made], stamp: _Stamp, children: list[int]) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    for key, value in _RESOURCE.items():
        any_value(resource_spans.resource.attributes.add(key=key).value, value)
    scope_spans = resource_spans.scope_spans.add()
    scope_spans.scope.name, scope_spans.scope.version = "bench.agent", "0.1.0"
    for n, one in enumerate(made):
        span = scope_spans.spans.add()
        span.CopyFrom(one.span)
        span.trace_id, span.span_id = stamp.traces[n].tobytes(), stamp.spans[n].tobytes()
        span.start_time_unix_nano, span.end_time_unix_nano = int(stamp.starts[n]), int(stamp.ends[n])
    for n, parent in zip(children, stamp.parents, strict=True):
        scope_spans.spans[n].parent_span_id = parent.tobytes()
    return request


def _json(request: ExportTraceServiceRequest) -> bytes:
    """As OTLP has it: unlike protobuf's own JSON with ids in hex and enums as numbers."""
    whole = MessageToDict(request, use_integers_for_enums=True)
    for resource_spans in whole["resourceSpans"]:
        for scope_spans in resource_spans["scopeSpans"]:
            scope_spans["spans"] = [_json_span(span) for span in scope_spans["spans"]]
    return json.dumps(whole, separators=(",", ":")).encode()


def _json_span(span: dict[str, Any]) -> dict[str, Any]:
    for key in ("traceId", "spanId", "parentSpanId"):
        if key in span:
            span[key] = base64.b64decode(span[key]).hex()
    return span
