"""Content: nowhere by default, where the switches say, in the message form of the conventions."""

import hashlib
import json
from typing import Any

import pytest

from spanledger.instrumentation import content

pytestmark = pytest.mark.usefixtures("by_the_conventions")

HELLO: list[Any] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "hello there Lisbon"},
]
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"the {name}",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
    for name in ("weather", "trains")
]
CONTENT = {"gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.tool.definitions"}
ANSWER = [
    {
        "role": "assistant",
        "parts": [{"type": "text", "content": "You said: hello there Lisbon"}],
        "finish_reason": "stop",
    }
]


def messages(span: Any, which: str) -> Any:
    return json.loads(span.attributes[f"gen_ai.{which}"])


@pytest.mark.parametrize(
    ("own", "otel", "expected"),
    [
        (None, None, (False, False)),
        (None, "NO_CONTENT", (False, False)),
        (None, "SPAN_ONLY", (True, False)),
        (None, "EVENT_ONLY", (False, True)),
        (None, "span_and_event", (True, True)),
        (None, "true", (True, False)),
        (None, "nonsense", (False, False)),
        ("true", None, (True, False)),
        ("false", "SPAN_AND_EVENT", (False, False)),
        ("true", "NO_CONTENT", (True, False)),
    ],
)
def test_the_switches_and_that_ours_wins(monkeypatch, own, otel, expected):
    for name, value in ((content.OWN_SWITCH, own), (content.OTEL_SWITCH, otel)):
        if value is not None:
            monkeypatch.setenv(name, value)
    decided = content.decide()
    assert (decided.span, decided.event) == expected
    assert content.decide(capture=True).span
    assert not content.decide(capture=False).any


def test_messages_are_json_strings_in_the_form_of_the_conventions(spans_with_content, client):
    client.chat.completions.create(model="gpt-4o-mini", messages=HELLO)
    span = spans_with_content.one()
    assert messages(span, "input.messages") == [
        {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
        {"role": "user", "parts": [{"type": "text", "content": "hello there Lisbon"}]},
    ]
    assert messages(span, "output.messages") == ANSWER
    assert "gen_ai.tool.definitions" not in span.attributes


@pytest.mark.parametrize("raw", [False, True])
def test_a_streamed_answer_is_put_together(spans_with_content, client, raw):
    completions = client.chat.completions
    made = (completions.with_raw_response if raw else completions).create(
        model="gpt-4o-mini", messages=HELLO, stream=True, n=2
    )
    list(made.parse() if raw else made)
    assert messages(spans_with_content.one(), "output.messages") == ANSWER * 2


@pytest.mark.parametrize("stream", [False, True])
def test_parallel_tool_calls_keep_their_own_ids_and_arguments(spans_with_content, client, stream):
    answer = client.chat.completions.create(
        model="gpt-4o-mini",
        messages=HELLO,
        tools=TOOLS,
        stream=stream,
        extra_headers={"x-stub-parallel-tools": "2"},
    )
    if stream:
        list(answer)
    span = spans_with_content.one()
    assert span.attributes["gen_ai.response.finish_reasons"] == ("tool_calls",)
    (message,) = messages(span, "output.messages")
    assert message["finish_reason"] == "tool_call"
    assert message["parts"] == [
        {"type": "tool_call", "id": f"call_stub_{number}", "name": name, "arguments": {"city": "Lisbon"}}
        for number, name in enumerate(("weather", "trains"))
    ]
    assert messages(span, "tool.definitions")[0] == {"type": "function", **TOOLS[0]["function"]}


def test_tool_calls_without_an_index_go_to_the_call_that_was_opened_last(spans_with_content, canned):
    def event(call: dict[str, Any]) -> str:
        choice = {"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}
        return json.dumps({"id": "c", "model": "m", "object": "chat.completion.chunk", "choices": [choice]})

    events = [
        event({"id": "a", "function": {"name": "one", "arguments": '{"x"'}}),
        event({"function": {"arguments": ":1}"}}),
        event({"id": "b", "function": {"name": "two", "arguments": "{}"}}),
    ]
    list(canned(events=events).chat.completions.create(model="m", messages=HELLO, stream=True))
    (message,) = messages(spans_with_content.one(), "output.messages")
    assert [(part["id"], part["arguments"]) for part in message["parts"]] == [("a", {"x": 1}), ("b", {})]


def test_a_tools_answer_and_the_models_own_call_are_read_back_from_the_history(spans_with_content, client):
    call = {
        "id": "t1",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"city": "Lisbon"}'},
    }
    history = [
        *HELLO,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "t1", "content": "22 degrees"},
    ]
    client.chat.completions.create(model="gpt-4o-mini", messages=history, tools=TOOLS)
    assert messages(spans_with_content.one(), "input.messages")[2:] == [
        {
            "role": "assistant",
            "parts": [{"type": "tool_call", "id": "t1", "name": "weather", "arguments": {"city": "Lisbon"}}],
        },
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "t1", "response": "22 degrees"}]},
    ]


def test_pictures_and_sounds_become_hash_size_and_type_and_cost_no_text_case_29(spans_with_content, client):
    data = "A" * 100_000
    parts = [
        {"type": "text", "text": "what is this"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
        {"type": "input_audio", "input_audio": {"format": "wav", "data": "UklGRg=="}},
    ]
    client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": parts}])
    text, image, link, audio = messages(spans_with_content.one(), "input.messages")[0]["parts"]
    assert text == {"type": "text", "content": "what is this"}
    assert (image["type"], image["mime_type"], image["content"]) == ("blob", "image/png", "")
    assert (image["size"], image["sha256"]) == (75_000, hashlib.sha256(bytes(75_000)).hexdigest())
    assert link["uri"] == "https://example.org/a.png"
    assert (audio["modality"], audio["mime_type"], audio["content"]) == ("audio", "audio/wav", "")
    assert (audio["size"], audio["sha256"]) == (4, hashlib.sha256(b"RIFF").hexdigest())


def test_in_event_mode_content_is_in_a_log_event_and_not_on_the_span(make_recorded, client, monkeypatch):
    from opentelemetry import _logs

    emitted: list[Any] = []

    class Logger:
        def emit(self, record: Any) -> None:
            emitted.append(record)

    monkeypatch.setattr(_logs, "get_logger", lambda *_args, **_kwargs: Logger())
    monkeypatch.setenv(content.OTEL_SWITCH, "EVENT_ONLY")
    spans = make_recorded()
    client.chat.completions.create(model="gpt-4o-mini", messages=HELLO)
    span = spans.one()
    assert not CONTENT & set(span.attributes)
    (record,) = emitted
    assert record.event_name == "gen_ai.client.inference.operation.details"
    assert record.trace_id == span.context.trace_id
    assert json.loads(record.attributes["gen_ai.output.messages"]) == ANSWER
    assert dict(span.attributes).items() <= dict(record.attributes).items()
