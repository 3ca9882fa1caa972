"""From the SDK to the ledger: its columns hold what was billed, and it works out the same cost as we do."""

import json
from decimal import Decimal
from typing import Any

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

from spanledger.instrumentation.providers import openai_batches

HELLO: list[Any] = [{"role": "user", "content": "hello there Lisbon"}]
USED = {
    "input_tokens": 1000,
    "input_tokens_details": {"cached_tokens": 400},
    "output_tokens": 500,
    "output_tokens_details": {"reasoning_tokens": 200},
    "total_tokens": 1500,
}
SEARCHED = {"x-stub-usage": json.dumps(USED), "x-stub-output": "web_search_call,message"}


def call_everything(client: Any) -> None:
    client.chat.completions.create(model="gpt-4o-mini", messages=HELLO, service_tier="priority")
    client.responses.create(model="gpt-4o", input="hello", extra_headers=SEARCHED)
    begun = client.responses.create(model="gpt-4o", input="hello", background=True, extra_headers=SEARCHED)
    for _ in range(3):
        client.responses.retrieve(begun.id)
    client.completions.create(model="gpt-3.5-turbo-instruct", prompt="hello")
    client.embeddings.create(model="text-embedding-3-small", input="hello there")
    client.images.generate(model="gpt-image-1.5", prompt="a harbour")
    client.audio.speech.create(model="tts-1", voice="alloy", input="Boats come.")
    client.audio.transcriptions.create(model="gpt-4o-transcribe", file=("a.wav", b"RIFF"))
    client.audio.transcriptions.create(model="whisper-1", file=("a.wav", b"RIFF"))
    client.moderations.create(input="hello")


def batch(client: Any) -> None:
    body = {"model": "gpt-4o-mini", "messages": HELLO}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body}
    file = client.files.create(file=("in.jsonl", json.dumps(line).encode()), purpose="batch")
    made = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    client.files.content(client.batches.retrieve(made.id).output_file_id)
    openai_batches.settle()


def test_the_ledger_stores_what_was_billed_and_computes_the_same_costs(
    spans, client, ingest, reader, project
):
    call_everything(client)
    batch(client)
    recorded = spans.all()
    ingest(encode_spans(recorded))
    rows = reader.query(
        "SELECT operation, role, input_tokens, output_tokens, cache_read_tokens, reasoning_tokens, usage, "
        "service_tier, counted, cost_reported_usd, cost_computed_usd, lower(hex(span_id)) "
        "FROM spans FINAL WHERE project = {project:String}",
        parameters={"project": project},
    ).result_rows
    assert len(rows) == len(recorded)
    by_id = {row[-1]: row for row in rows}
    priced = 0
    for span in recorded:
        row = by_id[format(span.context.span_id, "016x")]
        attributes = span.attributes
        assert row[0] == attributes["gen_ai.operation.name"]
        assert row[2] == attributes.get("gen_ai.usage.input_tokens")
        assert row[3] == attributes.get("gen_ai.usage.output_tokens")
        if "spanledger.cost.total" in attributes:
            priced += 1
            assert row[8], row
            assert row[9] == row[10] == Decimal(attributes["spanledger.cost.total"]), row
        else:
            assert row[9] is None
            assert row[10] is None
    assert priced == 10
    roles = {row[0]: row[1] for row in rows}
    assert roles["fetch_response"] == "FETCH"
    assert roles["embeddings"] == "EMBEDDING"
    assert {roles[name] for name in ("image_generation", "speech", "transcription", "chat")} == {"LLM"}
    assert sorted(row[2] for row in rows if row[4] == 400) == [1000, 1000]
