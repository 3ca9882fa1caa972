"""The kinds of telemetry that are received. What both transports need to know of one is its entry here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from spanledger.collector import otlp_json
from spanledger.collector.rows import tables


@dataclass(frozen=True)
class Signal:
    """A kind of telemetry: where it is sent, what is sent and answered, and how it is stored.

    `rejected_field`: the field of the response's partial_success that counts what was refused.
    `from_json`: an OTLP/JSON body to the bytes of a `request`; raises BadData.
    `table`: where it is stored, and how.
    """

    name: str
    http_path: str
    grpc_service: str
    request: type[Message]
    response: type[Message]
    rejected_field: str
    from_json: Callable[[bytes], bytes]
    table: tables.Table


TRACES = Signal(
    name="traces",
    http_path="/v1/traces",
    grpc_service="opentelemetry.proto.collector.trace.v1.TraceService",
    request=ExportTraceServiceRequest,
    response=ExportTraceServiceResponse,
    rejected_field="rejected_spans",
    from_json=otlp_json.traces,
    table=tables.SPANS,
)

LOGS = Signal(
    name="logs",
    http_path="/v1/logs",
    grpc_service="opentelemetry.proto.collector.logs.v1.LogsService",
    request=ExportLogsServiceRequest,
    response=ExportLogsServiceResponse,
    rejected_field="rejected_log_records",
    from_json=otlp_json.logs,
    table=tables.LOGS,
)

SIGNALS = (TRACES, LOGS)
