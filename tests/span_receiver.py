"""Programs under `spanledger run` and where their spans go: a real OTLP receiver, and nothing behind it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from spanledger.server import stub_provider


class Receiver(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.endpoint = ""
        self.requests: list[Any] = []
        self.metadata: list[dict[str, Any]] = []

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the name is the protocol's
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        return trace_service_pb2.ExportTraceServiceResponse()

    def spans(self) -> list[Any]:
        scopes = [
            scope
            for request in self.requests
            for sent in request.resource_spans
            for scope in sent.scope_spans
        ]
        return [span for scope in scopes for span in scope.spans]

    def services(self) -> set[str]:
        resources = [sent.resource for request in self.requests for sent in request.resource_spans]
        return {text(resource, "service.name") for resource in resources}


def text(holder: Any, key: str) -> str:
    return next((pair.value.string_value for pair in holder.attributes if pair.key == key), "")


def environment_with(stub: stub_provider.StubProvider, **variables: str) -> dict[str, str]:
    theirs = ("OTEL_", "SPANLEDGER_", "PYTHONPATH")
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(theirs)}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {
        **inherited,
        "PATH": path,
        "OPENAI_BASE_URL": stub.base_url,
        "OPENAI_API_KEY": "sk-test-0123456789",
        **variables,
    }


@contextlib.contextmanager
def receiving() -> Iterator[Receiver]:
    received = Receiver()
    server = grpc.server(ThreadPoolExecutor(max_workers=2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(received, server)
    received.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield received
    finally:
        server.stop(grace=None).wait()
