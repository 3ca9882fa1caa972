"""Run in an environment of its own: calls of one version of the SDK, and whether each left its span.

Prints a JSON object: of each check, null or what was wrong. What a version does not have yet is left out.
"""

import asyncio
import json
import sys
from typing import Any

import openai
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from spanledger.instrumentation import instrument, uninstrument

HELLO: list[Any] = [{"role": "user", "content": "hello there Lisbon"}]
ASK: dict[str, Any] = {"model": "gpt-4o-mini", "messages": HELLO}
USAGE: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}

exporter = InMemorySpanExporter()
client = openai.OpenAI(max_retries=0)


class Wrong(Exception):
    pass


def span_of(operation: str, inputs: int | None, outputs: int | None = None) -> Any:
    spans = exporter.get_finished_spans()
    exporter.clear()
    if len(spans) != 1:
        raise Wrong(f"{len(spans)} spans")
    found = spans[0].attributes
    for key, expected in (
        ("gen_ai.operation.name", operation),
        ("gen_ai.usage.input_tokens", inputs),
        ("gen_ai.usage.output_tokens", outputs),
    ):
        if expected is not None and found.get(key) != expected:
            raise Wrong(f"{key} is {found.get(key)!r}, not {expected!r}")
    if inputs is not None and "spanledger.cost.total" not in found:
        raise Wrong(f"no cost: {found.get('spanledger.cost.reason')}")
    return found


def chat() -> None:
    answer = client.chat.completions.create(**ASK)
    span_of("chat", answer.usage.prompt_tokens, answer.usage.completion_tokens)


def stream() -> None:
    chunks = list(client.chat.completions.create(**ASK, **USAGE))
    span_of("chat", chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens)


def break_off() -> None:
    for _chunk in client.chat.completions.create(**ASK, stream=True):
        break
    import gc

    from spanledger.instrumentation import collected

    gc.collect()
    # What a collection dropped ends at the next call or here.
    collected.settle()
    span_of("chat", None)


def hidden() -> None:
    instrument(include_usage=True)
    try:
        if not all(chunk.choices for chunk in client.chat.completions.create(**ASK, stream=True)):
            raise Wrong("the chunk with usage was seen")
        span_of("chat", 6, 6)
    finally:
        instrument(include_usage=False)


def raw() -> None:
    answer = client.chat.completions.with_raw_response.create(**ASK).parse()
    span_of("chat", answer.usage.prompt_tokens)
    with client.chat.completions.with_streaming_response.create(**ASK) as response:
        response.parse()
    span_of("chat", answer.usage.prompt_tokens)


def parse() -> None:
    import pydantic

    class Trip(pydantic.BaseModel):
        city: str

    completions = getattr(client.chat.completions, "parse", None) or client.beta.chat.completions.parse
    answer = completions(**ASK, response_format=Trip)
    if answer.choices[0].message.parsed != Trip(city="Lisbon"):
        raise Wrong("not parsed")
    span_of("chat", answer.usage.prompt_tokens)


def asynchronous() -> None:
    async def run() -> Any:
        async with openai.AsyncOpenAI(max_retries=0) as made:
            answer = await made.chat.completions.create(**ASK)
            span_of("chat", answer.usage.prompt_tokens)
            return [chunk async for chunk in await made.chat.completions.create(**ASK, **USAGE)]

    span_of("chat", asyncio.run(run())[-1].usage.prompt_tokens)


def responses() -> None:
    answer = client.responses.create(model="gpt-4o-mini", input="hello")
    span_of("chat", answer.usage.input_tokens, answer.usage.output_tokens)
    for event in client.responses.create(model="gpt-4o-mini", input="hello", stream=True):
        last = event
    span_of("chat", last.response.usage.input_tokens)


def embeddings() -> None:
    answer = client.embeddings.create(model="text-embedding-3-small", input="hello there")
    if answer.data[0].embedding != [0.25] * 4:
        raise Wrong("the vector is another")
    span_of("embeddings", 2)


def images() -> None:
    client.images.generate(model="gpt-image-1", prompt="a harbour")
    span_of("image_generation", 210, 1000)


def speech() -> None:
    client.audio.speech.create(model="tts-1", voice="alloy", input="Boats")
    if span_of("speech", None)["spanledger.usage.input_characters"] != 5:
        raise Wrong("characters")


def transcription() -> None:
    client.audio.transcriptions.create(model="gpt-4o-transcribe", file=("a.wav", b"RIFF"))
    span_of("transcription", 44, 6)


def error() -> None:
    try:
        client.chat.completions.create(**ASK, extra_headers={"x-stub-status": "429"})
    except openai.RateLimitError:
        span_of("chat", None)
    else:
        raise Wrong("no exception")


def undone() -> None:
    uninstrument()
    client.chat.completions.create(**ASK)
    if exporter.get_finished_spans():
        raise Wrong("a span after uninstrument")


CHECKS = (
    chat,
    stream,
    break_off,
    hidden,
    raw,
    parse,
    asynchronous,
    responses,
    embeddings,
    images,
    speech,
    transcription,
    error,
    undone,
)


def main() -> None:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrument(tracer_provider=provider)
    outcome: dict[str, str | None] = {}
    for check in CHECKS:
        if check is responses and not hasattr(client, "responses"):
            continue
        exporter.clear()
        try:
            check()
        except Exception as problem:  # noqa: BLE001 - each is told
            outcome[check.__name__] = f"{type(problem).__name__}: {problem}"
        else:
            outcome[check.__name__] = None
    json.dump(outcome, sys.stdout)


main()
