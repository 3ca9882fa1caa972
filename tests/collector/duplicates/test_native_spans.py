"""Two records of a call, by an SDK itself and by our instrumentation, as they really are."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from mistralai.client import Mistral
from mistralai.extra.observability import set_tracer_provider
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from spanledger.collector.gate import check
from spanledger.collector.rows.block import Request
from spanledger.instrumentation import instrument, uninstrument
from tests.instrumentation.stubs import mistral as mistral_stub

HELLO: dict[str, Any] = {
    "model": "mistral-small-2603",
    "messages": [{"role": "user", "content": "Will it stay dry?"}],
}


@pytest.fixture
def traced() -> Iterator[tuple[TracerProvider, InMemorySpanExporter]]:
    made, kept = TracerProvider(), InMemorySpanExporter()
    made.add_span_processor(SimpleSpanProcessor(kept))
    instrument(tracer_provider=made)
    yield made, kept
    uninstrument()


def counted(ledger: Any, spans: Any) -> list[tuple[Any, ...]]:
    body = encode_spans(spans).SerializeToString()
    ledger._store.insert([Request(body, ledger.project, time.time_ns(), check(body, 32).spans)])
    ledger.resolve()
    return list(
        ledger._reader.query(
            "SELECT input_tokens, output_tokens, scope_name FROM spans FINAL"
            " WHERE project = {p:String} AND counted",
            parameters={"p": ledger.project},
        ).result_rows
    )


def test_mistrals_own_spans_beside_ours_count_once(ledger, traced):
    """The SDK can record its calls itself; each call still counts once, with what was billed."""
    made, kept = traced
    with mistral_stub.stub() as api, Mistral(api_key="test", server_url=api.root_url) as client:
        set_tracer_provider(client, made)
        client.chat.complete(**HELLO)
        list(client.chat.stream(**HELLO))
        client.embeddings.create(model="mistral-embed", inputs=["a"])
        client.fim.complete(model="codestral-2508", prompt="def f")
        billed = list(api.billed)
    spans = kept.get_finished_spans()
    assert len(spans) == 2 * len(billed)
    found = counted(ledger, spans)
    assert len(found) == len(billed), found
    assert sum(row[0] for row in found) == sum(line["usage"]["prompt_tokens"] for line in billed)
