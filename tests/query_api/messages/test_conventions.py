"""The conventions' own form comes back as it was sent; only old spellings are brought up to date."""

from __future__ import annotations

import json

import pytest

from spanledger.query_api.messages.read import read_messages

PARTS = [
    {"type": "text", "content": "What is this?"},
    {"type": "reasoning", "content": "hm"},
    {"type": "tool_call", "id": "c1", "name": "weather", "arguments": {"city": "Lisbon"}},
    {"type": "tool_call_response", "id": "c1", "response": {"degrees": [18, None]}},
    {
        "type": "server_tool_call",
        "id": "s1",
        "name": "search",
        "server_tool_call": {"type": "search", "q": "x"},
    },
    {"type": "server_tool_call_response", "id": "s1", "server_tool_call_response": {"type": "search"}},
    {"type": "blob", "mime_type": "image/png", "modality": "image", "content": "AAAA" * 1000},
    {"type": "file", "mime_type": None, "modality": "video", "file_id": "f1"},
    {"type": "uri", "mime_type": "audio/wav", "modality": "audio", "uri": "https://example.org/a.wav"},
    {"type": "compaction", "id": "k1", "content": None},
    {"type": "somebody's own", "anything": [1, {"a": None}]},
]


@pytest.mark.parametrize("wrap", [json.dumps, lambda value: value], ids=["text", "structure"])
def test_every_part_comes_back_unchanged(wrap):
    asked = [{"role": "user", "name": None, "parts": PARTS}, {"role": "critic", "parts": [], "more": 1}]
    answered = [{"role": "assistant", "parts": PARTS, "finish_reason": "compaction"}]
    found = read_messages({"gen_ai.input.messages": wrap(asked), "gen_ai.output.messages": wrap(answered)})
    assert found.input == (asked, ("gen_ai.input.messages",), False)
    assert found.output == (answered, ("gen_ai.output.messages",), False)
    assert found.system_instructions is found.tool_definitions is found.tool is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"content": "hi"}, [{"type": "text", "content": "hi"}]),
        ({"content": None, "parts": []}, []),
        ({"content": [{"type": "text", "text": "hi"}]}, [{"type": "text", "content": "hi"}]),
        ({"parts": ["hi"]}, [{"type": "text", "content": "hi"}]),
        ({"parts": [{"type": "text", "text": "hi"}]}, [{"type": "text", "content": "hi"}]),
        (
            {"parts": [{"type": "tool_call_response", "id": "c", "result": 7}]},
            [{"type": "tool_call_response", "id": "c", "response": 7}],
        ),
        (
            {
                "parts": [
                    {"type": "tool_call_response", "id": "c", "response": [{"type": "text", "text": "7"}]}
                ]
            },
            [{"type": "tool_call_response", "id": "c", "response": "7"}],
        ),
        (
            {"parts": [{"type": "tool_call", "id": "c", "name": "f", "arguments": '{"a":1}'}]},
            [{"type": "tool_call", "id": "c", "name": "f", "arguments": {"a": 1}}],
        ),
        (
            {"parts": [{"type": "blob", "mime_type": "image/png", "content": {"@bytes": "AAE="}}]},
            [{"type": "blob", "mime_type": "image/png", "content": "AAE="}],
        ),
    ],
)
def test_old_spellings_are_brought_up_to_date(old, new):
    [message] = read_messages(
        {"gen_ai.input.messages": json.dumps([{"role": "assistant", **old}])}
    ).input.value
    assert message["role"] == "assistant"
    assert message["parts"] == new


def test_a_finish_reason_has_the_name_of_the_conventions():
    sent = [{"role": "assistant", "parts": [], "finish_reason": reason} for reason in ("tool_calls", "odd")]
    found = read_messages({"gen_ai.output.messages": sent}).output.value
    assert [one["finish_reason"] for one in found] == ["tool_call", "odd"]


def test_the_answers_of_tools_alone_are_the_tools():
    answer = {"type": "tool_call_response", "id": "c", "response": "18"}
    sent = [{"role": "user", "parts": [answer]}, {"role": "user", "parts": [answer, PARTS[0]]}]
    assert [one["role"] for one in read_messages({"gen_ai.input.messages": sent}).input.value] == [
        "tool",
        "user",
    ]


@pytest.mark.parametrize(
    ("sent", "parts"),
    [
        ([{"type": "text", "content": "Be kind."}], [{"type": "text", "content": "Be kind."}]),
        ("Be kind.", [{"type": "text", "content": "Be kind."}]),
        ('["Be kind."]', [{"type": "text", "content": "Be kind."}]),
        ([{"role": "system", "content": "Be kind."}], [{"type": "text", "content": "Be kind."}]),
    ],
)
def test_system_instructions_are_parts(sent, parts):
    found = read_messages({"gen_ai.system_instructions": sent}).system_instructions
    assert found == (parts, ("gen_ai.system_instructions",), False)


SYSTEM = [{"role": "system", "content": "Be kind."}, {"role": "developer", "content": "Be brief."}]
USER = {"role": "user", "parts": [{"type": "text", "content": "hi"}]}


def test_instructions_at_the_beginning_of_the_input_stand_once_and_apart():
    found = read_messages({"gen_ai.input.messages": [*SYSTEM, USER, SYSTEM[0]]})
    assert [part["content"] for part in found.system_instructions.value] == ["Be kind.", "Be brief."]
    assert found.system_instructions.source == ("gen_ai.input.messages",)
    assert [one["role"] for one in found.input.value] == ["user", "system"]


@pytest.mark.parametrize(("apart", "left"), [("Be kind.", []), ("Be quick.", ["system"])])
def test_instructions_in_a_field_of_their_own_come_first(apart, left):
    """The same ones do not stand in both places; others stay where they were said."""
    found = read_messages(
        {
            "gen_ai.input.messages": [SYSTEM[0], USER],
            "gen_ai.system_instructions": [{"type": "text", "content": apart}],
        }
    )
    assert [part["content"] for part in found.system_instructions.value] == [apart]
    assert [one["role"] for one in found.input.value] == [*left, "user"]
