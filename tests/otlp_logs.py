"""OTLP log requests for tests."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from otlp_requests import any_value, key_values

EXPORT_LOGS = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"


def record(trace_id: bytes | None = None, body: Any = "said", **fields: Any) -> LogRecord:
    """A valid record of a minute ago, in a trace and a span of its own."""
    made = LogRecord(
        trace_id=secrets.token_bytes(16) if trace_id is None else trace_id,
        span_id=fields.pop("span_id", secrets.token_bytes(8)),
        time_unix_nano=fields.pop("time_unix_nano", time.time_ns() - 60 * 10**9),
        attributes=key_values(fields.pop("attributes", {})),
        **fields,
    )
    if body is not None:
        made.body.CopyFrom(any_value(body))
    return made


def logs_request(
    *records: LogRecord, resource: Mapping[str, Any] | None = None, scope: str = "tests"
) -> ExportLogsServiceRequest:
    """A request with the records under one resource and one scope."""
    made = ExportLogsServiceRequest()
    resource_logs = made.resource_logs.add()
    resource_logs.resource.attributes.extend(key_values(resource or {"service.name": "tests"}))
    scope_logs = resource_logs.scope_logs.add()
    scope_logs.scope.name = scope
    scope_logs.log_records.extend(records)
    return made
