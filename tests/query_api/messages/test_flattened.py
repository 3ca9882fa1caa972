"""OpenInference's and Traceloop's keys: a structure spelled in names, with numbers that may be missing."""

from __future__ import annotations

import json

from spanledger.query_api.messages.read import read_messages

CALL = {"type": "tool_call", "id": "c1", "name": "weather", "arguments": {"city": "Lisbon"}}


def text(content):
    return {"type": "text", "content": content}


def test_openinference_messages_with_every_member():
    message = "llm.input_messages.{}.message."
    call = message + "tool_calls.{}.tool_call."
    found = read_messages(
        {
            message.format(0) + "role": "user",
            message.format(0) + "contents.0.message_content.type": "text",
            message.format(0) + "contents.0.message_content.text": "What is this?",
            message.format(0) + "contents.1.message_content.type": "image",
            message.format(0) + "contents.1.message_content.image.image.url": "https://example.org/a.png",
            message.format(0) + "contents.2.message_content.type": "reasoning",
            message.format(0) + "contents.2.message_content.text": "hm",
            message.format(1) + "role": "assistant",
            call.format(1, 0) + "id": "c1",
            call.format(1, 0) + "function.name": "weather",
            call.format(1, 0) + "function.arguments": '{"city": "Lisbon"}',
            message.format(2) + "role": "tool",
            message.format(2) + "tool_call_id": "c1",
            message.format(2) + "content": "18 degrees",
            message.format(3) + "role": "assistant",
            message.format(3) + "function_call_name": "weather",
            message.format(3) + "function_call_arguments_json": '{"city": "Lisbon"}',
            "llm.output_messages.0.message.role": "assistant",
            "llm.output_messages.0.message.content": "Dry.",
        }
    )
    assert found.input.value == [
        {
            "role": "user",
            "parts": [
                text("What is this?"),
                {"type": "uri", "modality": "image", "mime_type": None, "uri": "https://example.org/a.png"},
                {"type": "reasoning", "content": "hm"},
            ],
        },
        {"role": "assistant", "parts": [CALL]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "18 degrees"}]},
        {"role": "assistant", "parts": [CALL | {"id": None}]},
    ]
    assert found.output.value == [{"role": "assistant", "parts": [text("Dry.")]}]
    assert found.input.source == ("llm.input_messages.N",)


def test_numbers_are_sorted_as_numbers_and_holes_do_not_end_the_list():
    """A stream of Responses begins at 1; after 9 comes 10."""
    keys = [f"llm.output_messages.{n}.message.content" for n in (1, 10, 9, 200)]
    found = read_messages({key: key.split(".")[2] for key in sorted(keys)})
    assert [one["parts"] for one in found.output.value] == [[text(n)] for n in ("1", "9", "10", "200")]
    assert {one["role"] for one in found.output.value} == {"assistant"}


def test_openinference_messages_that_were_sent_as_a_structure():
    sent = [{"message.role": "user", "message.content": "hi"}, {"message": {"role": "user", "content": "ho"}}]
    for value in (sent, json.dumps(sent)):
        found = read_messages({"llm.input_messages": value}).input.value
        assert [one["parts"] for one in found] == [[text("hi")], [text("ho")]]


def test_openinference_tools_and_prompts_of_completions():
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    tool = {"type": "function", "function": {"name": "weather", "description": "d", "parameters": schema}}
    found = read_messages(
        {
            "llm.tools.0.tool.json_schema": json.dumps(tool),
            "llm.tools.3.tool.json_schema": json.dumps({"name": "tide", "input_schema": schema}),
            "llm.prompts.0.prompt.text": "Once upon",
            "llm.choices.0.completion.text": " a time",
        }
    )
    assert found.tool_definitions.value == [
        {"type": "function", "name": "weather", "description": "d", "parameters": schema},
        {"type": "function", "name": "tide", "parameters": schema},
    ]
    assert found.input.value == [{"role": "user", "parts": [text("Once upon")]}]
    assert found.output.value == [{"role": "assistant", "parts": [text(" a time")]}]


def test_prompts_of_completions_as_a_list():
    found = read_messages({"llm.prompts": ["Once upon"], "openinference.span.kind": "LLM"})
    assert found.input.value == [{"role": "user", "parts": [text("Once upon")]}]


def test_traceloop_prompts_completions_and_functions():
    found = read_messages(
        {
            "gen_ai.prompt.0.role": "user",
            "gen_ai.prompt.0.content": json.dumps(
                [
                    {"type": "text", "text": "this?"},
                    {"type": "image_url", "image_url": {"url": "https://e.org/i"}},
                ]
            ),
            "gen_ai.prompt.1.role": "assistant",
            "gen_ai.prompt.1.tool_calls.0.id": "c1",
            "gen_ai.prompt.1.tool_calls.0.name": "weather",
            "gen_ai.prompt.1.tool_calls.0.arguments": '{"city": "Lisbon"}',
            "gen_ai.prompt.2.role": "tool",
            "gen_ai.prompt.2.tool_call_id": "c1",
            "gen_ai.prompt.2.content": "18 degrees",
            "gen_ai.prompt.name": "not a message",
            "gen_ai.completion.0.role": "assistant",
            "gen_ai.completion.0.content": "Dry.",
            "gen_ai.completion.0.finish_reason": "stop",
            "llm.request.functions.0.name": "weather",
            "llm.request.functions.0.description": "d",
            "llm.request.functions.0.parameters": '{"type": "object"}',
        }
    )
    assert found.input.value == [
        {
            "role": "user",
            "parts": [
                text("this?"),
                {"type": "uri", "modality": "image", "mime_type": None, "uri": "https://e.org/i"},
            ],
        },
        {"role": "assistant", "parts": [CALL]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "18 degrees"}]},
    ]
    assert found.output.value == [{"role": "assistant", "parts": [text("Dry.")], "finish_reason": "stop"}]
    assert found.tool_definitions.value == [
        {"name": "weather", "description": "d", "parameters": {"type": "object"}, "type": "function"}
    ]


def test_the_oldest_traceloop_keys():
    found = read_messages(
        {"llm.prompts.0.role": "user", "llm.prompts.0.content": "hi", "llm.completions.0.content": "ho"}
    )
    assert found.input.value == [{"role": "user", "parts": [text("hi")]}]
    assert found.output.value == [{"role": "assistant", "parts": [text("ho")]}]


def test_litellm_sends_tool_calls_beside_messages_without_parts():
    found = read_messages(
        {
            "gen_ai.output.messages": '[{"role": "assistant", "parts": [], "finish_reason": "tool_calls"}]',
            "gen_ai.completion.0.role": "assistant",
            "gen_ai.completion.0.function_call.name": "weather",
            "gen_ai.completion.0.function_call.arguments": '{"city": "Lisbon"}',
        }
    )
    assert found.output.value == [
        {"role": "assistant", "parts": [CALL | {"id": None}], "finish_reason": "tool_call"}
    ]
    assert found.output.source == ("gen_ai.output.messages", "gen_ai.completion.N")


def test_litellm_mixes_parts_with_the_members_of_openai():
    sent = [
        {
            "role": "assistant",
            "parts": [text("")],
            "tool_calls": [{"id": "c1", "function": {"name": "weather", "arguments": '{"city": "Lisbon"}'}}],
        },
        {"role": "tool", "tool_call_id": "c1", "parts": [text("18 degrees")]},
    ]
    assert read_messages({"gen_ai.input.messages": json.dumps(sent)}).input.value == [
        {"role": "assistant", "parts": [CALL]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "18 degrees"}]},
    ]


def test_keys_that_spell_no_messages_are_shown_as_they_were_sent():
    sent = {"llm.input_messages.0": 7, "llm.input_messages.1.message.role": "user"}
    found = read_messages(sent).input
    assert found == (sent, ("llm.input_messages.N",), True)


def test_ten_thousand_keys_are_read_whole():
    keys = {f"llm.input_messages.{n}.message.content": str(n) for n in range(0, 20_000, 2)}
    found = read_messages(keys).input.value
    assert [one["parts"][0]["content"] for one in found] == [str(n) for n in range(0, 20_000, 2)]


def test_a_key_of_a_thousand_levels_is_no_structure():
    deep = "llm.input_messages.0" + ".x" * 1_000
    assert read_messages({deep: "y"}).input == ({deep: "y"}, ("llm.input_messages.N",), True)
