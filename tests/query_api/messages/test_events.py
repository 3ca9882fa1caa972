"""Messages in span events and log records: of the conventions of today, of yesterday, and as attributes."""

from __future__ import annotations

import json

from spanledger.query_api.messages.read import read_messages

CALL = {"type": "tool_call", "id": "c1", "name": "weather", "arguments": {"city": "Lisbon"}}
OPENAI_CALL = {
    "id": "c1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city": "Lisbon"}'},
}


def text(content):
    return {"type": "text", "content": content}


def message(role, *parts, **more):
    return {"role": role, "parts": list(parts), **more}


USER, DRY = message("user", text("rain?")), message("assistant", text("Dry."), finish_reason="stop")
READ = [
    USER,
    message("assistant", CALL),
    message("tool", {"type": "tool_call_response", "id": "c1", "response": "18 degrees"}),
]
BODIES = {
    "gen_ai.system.message": {"content": "Be kind."},
    "gen_ai.user.message": {"content": "rain?"},
    "gen_ai.assistant.message": {"tool_calls": [OPENAI_CALL]},
    "gen_ai.tool.message": {"id": "c1", "content": "18 degrees"},
    "gen_ai.choice": {
        "index": 0,
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": "Dry."},
    },
}


def check(found):
    assert found.system_instructions.value == [text("Be kind.")]
    assert found.input == (READ, ("gen_ai.{system,user,assistant,tool}.message",), False)
    assert found.output == ([DRY], ("gen_ai.choice",), False)


def test_log_records_of_one_message_each():
    check(
        read_messages(
            {}, logs=[{"event_name": name, "body": body, "attributes": {}} for name, body in BODIES.items()]
        )
    )


def test_span_events_with_attributes():
    """Also where structures are JSON text in them."""
    as_text = {
        name: {
            key: value if isinstance(value, str | int) else json.dumps(value) for key, value in body.items()
        }
        for name, body in BODIES.items()
    }
    content = {name: {"gen_ai.event.content": json.dumps(body)} for name, body in BODIES.items()}
    for attributes in (BODIES, as_text, content):
        check(read_messages({}, [{"name": name, "attributes": held} for name, held in attributes.items()]))


def test_choices_stand_by_their_index():
    logs = [
        {
            "event_name": "gen_ai.choice",
            "body": {"index": n, "message": {"content": str(n)}},
            "attributes": {},
        }
        for n in (2, 0, 1)
    ]
    found = read_messages({}, logs=logs).output.value
    assert [one["parts"] for one in found] == [[text("0")], [text("1")], [text("2")]]


def test_the_event_with_all_details():
    """On a log record the messages are structures, and blobs are bytes."""
    blob = {"type": "blob", "mime_type": "image/png", "modality": "image", "content": {"@bytes": "AAE="}}
    attributes = {
        "gen_ai.input.messages": [{"role": "user", "parts": [text("rain?"), blob]}],
        "gen_ai.output.messages": [DRY],
        "gen_ai.system_instructions": [text("Be kind.")],
        "gen_ai.tool.definitions": [{"type": "function", "name": "weather"}],
    }
    name = "gen_ai.client.inference.operation.details"
    for given in (
        {"logs": [{"event_name": name, "body": None, "attributes": attributes}]},
        {"events": [{"name": name, "attributes": attributes}]},
    ):
        found = read_messages({"gen_ai.operation.name": "chat"}, **given)
        assert found.input.value == [message("user", text("rain?"), blob | {"content": "AAE="})]
        assert found.input.source == (f"{name}: gen_ai.input.messages",)
        assert found.output.value == [DRY]
        assert found.system_instructions.value == [text("Be kind.")]
        assert found.tool_definitions.value == [{"type": "function", "name": "weather"}]
    own = read_messages({"gen_ai.input.messages": [USER]}, [{"name": name, "attributes": attributes}])
    assert own.input == ([USER], ("gen_ai.input.messages",), False)


def test_events_of_prompt_and_completion():
    events = [
        {
            "name": "gen_ai.content.prompt",
            "attributes": {"gen_ai.prompt": '[{"role": "user", "content": "rain?"}]'},
        },
        {"name": "gen_ai.content.completion", "attributes": {"gen_ai.completion": "Dry."}},
    ]
    found = read_messages({}, events)
    assert found.input.value == [USER]
    assert found.output.value == [message("assistant", text("Dry."))]


def test_events_as_one_attribute():
    """Logfire and Pydantic AI; an attribute of that name may be somebody else's."""
    listed = [{"event.name": name, **body} for name, body in BODIES.items()]
    for key in ("events", "all_messages_events"):
        found = read_messages({key: json.dumps(listed)})
        assert found.system_instructions.value == [text("Be kind.")]
        assert found.input.value == READ
        assert found.output.value == [DRY]
    assert not any(read_messages({"events": '["signup", "login"]'}))


def test_a_record_without_content_is_a_message_without_parts():
    """So they are sent where content is switched off."""
    logs = [{"event_name": "gen_ai.user.message", "body": None, "attributes": {}}]
    assert read_messages({}, logs=logs).input.value == [message("user")]


def test_spans_with_the_same_keys_are_read_each_by_what_it_has():
    """What is known of keys from one span holds for the next, whose values and events are others."""
    said = {"gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"Hi"}]}]'}
    empty = {"gen_ai.input.messages": "[]"}
    event = {"name": "gen_ai.user.message", "attributes": {"content": "Hello"}}
    spans = [(said, []), (empty, []), (empty, [event]), ({}, [event]), ({}, []), (said, [event])]
    known = {}
    together = [read_messages(attributes, events, (), known) for attributes, events in spans]
    assert together == [read_messages(attributes, events) for attributes, events in spans]
    assert [found.input and found.input.value[0]["parts"][0]["content"] for found in together] == [
        "Hi",
        None,
        "Hello",
        "Hello",
        None,
        "Hi",
    ]
