"""What the instrumentation's `score` and `feedback` send is stored beside the span that it is of."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import sys
from opentelemetry import trace
from spanledger.instrumentation import feedback, instrument, score, workflow
instrument(endpoint=sys.argv[1], service_name="scored")
with workflow("w"):
    score("relevance", 0.8, label="relevant")
    context = trace.get_current_span().get_span_context()
feedback(True, comment="thanks", trace_id=f"{context.trace_id:032x}", span_id=f"{context.span_id:016x}")
print(f"{context.trace_id:032x} {context.span_id:016x}")
"""


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_scores_and_feedback_are_stored_beside_their_span(collector, reader, rows, protocol):
    """The real exporter in a real process, the real collector and the real tables."""
    port = collector.port if protocol == "grpc" else collector.http_port
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "SPANLEDGER_"))}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, f"http://127.0.0.1:{port}"],
        env={**clean, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == ""
    trace_id, span_id = done.stdout.split()
    found = reader.query(
        "SELECT event_name, lower(hex(span_id)), attributes_string['gen_ai.evaluation.name'], "
        "attributes_double['gen_ai.evaluation.score.value'] FROM logs FINAL "
        "WHERE project = 'over-grpc' AND lower(hex(trace_id)) = {t:String} ORDER BY time",
        parameters={"t": trace_id},
    ).result_rows
    assert found == [
        ("gen_ai.evaluation.result", span_id, "relevance", 0.8),
        ("gen_ai.evaluation.result", span_id, "user_feedback", 1.0),
    ]
    assert rows(bytes.fromhex(trace_id)) == [("invoke_workflow w",)]
