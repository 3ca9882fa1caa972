"""What the drivers in Python share: the scenario, the exporter, and the steps for an OpenAI client.

Drivers run in environments of their own, so nothing of the project is imported here.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SCENARIO: dict[str, Any] = json.loads((Path(__file__).parent.parent / "scenario.json").read_text())
PLAIN = [
    {"role": "system", "content": SCENARIO["system"]},
    {"role": "user", "content": SCENARIO["question"]},
]
WITH_TOOL = [PLAIN[0], {"role": "user", "content": SCENARIO["tool_question"]}]
FAILING = [{"role": "user", "content": SCENARIO["failing_question"]}]
TOOLS = [{"type": "function", "function": SCENARIO["tool"]}]
CONVERSATION, USER = SCENARIO["conversation_id"], SCENARIO["user_id"]


@contextlib.contextmanager
def tracing() -> Iterator[Any]:
    """A global TracerProvider with the OTLP exporter that the environment configures, flushed at the end."""
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    yield provider
    provider.shutdown()


@contextlib.contextmanager
def logging() -> Iterator[Any]:
    """The same for a LoggerProvider."""
    from opentelemetry._logs import set_logger_provider
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

    provider = LoggerProvider()
    provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    set_logger_provider(provider)
    yield provider
    provider.shutdown()


def openai_chat(client: Any, *, include_usage: bool = True, **more: Any) -> None:
    """Plain, streamed, a tool's round trip, and a failure, by chat completions."""
    import openai

    model = SCENARIO["model"]
    create = client.chat.completions.create
    create(model=model, messages=PLAIN, user=USER, **more)
    options = {"stream_options": {"include_usage": True}} if include_usage else {}
    for _chunk in create(model=model, messages=PLAIN, user=USER, stream=True, **options, **more):
        pass
    asked = create(model=model, messages=WITH_TOOL, tools=TOOLS, user=USER, **more)
    message = asked.choices[0].message
    (call,) = message.tool_calls
    answered = [
        *WITH_TOOL,
        message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": SCENARIO["tool_result"]},
    ]
    create(model=model, messages=answered, tools=TOOLS, user=USER, **more)
    with contextlib.suppress(openai.RateLimitError):
        create(model=model, messages=FAILING, user=USER, **more)


def openai_others(client: Any) -> None:
    """Embeddings and responses, the latter also streamed."""
    client.embeddings.create(model=SCENARIO["embedding_model"], input=SCENARIO["question"], user=USER)
    asked = {
        "model": SCENARIO["model"],
        "instructions": SCENARIO["system"],
        "input": SCENARIO["question"],
        "user": USER,
    }
    client.responses.create(**asked)
    for _event in client.responses.create(**asked, stream=True):
        pass
