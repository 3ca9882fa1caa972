"""Whatever stands in any of the keys: nothing raises, and what is shown as messages is messages."""

from __future__ import annotations

import copy
import json
from random import Random
from typing import Any

import pytest

from spanledger.query_api.messages import sources
from spanledger.query_api.messages.events import DETAILS
from spanledger.query_api.messages.read import read_messages
from spanledger.query_api.messages.sent import _KINDS as KINDS
from spanledger.query_api.messages.sent import NUMBERED

SECTIONS = (sources.INPUT, sources.OUTPUT, sources.SYSTEM_INSTRUCTIONS, sources.TOOL_DEFINITIONS)
PLACES = sorted({need for section in SECTIONS for place in section for need in place.needs} - {"events"})
TOOL_KEYS = (*sources.TOOL_ARGUMENTS, *sources.TOOL_RESULT, *sources.TOOL_NAME, *sources.TOOL_CALL_ID)
KEYS = sorted({*(place for place in PLACES if not place.endswith(NUMBERED)), *TOOL_KEYS, "events"})
PREFIXES = [place.removesuffix(NUMBERED) for place in PLACES if place.endswith(NUMBERED)]
KIND_VALUES = ["LLM", "TOOL", "CHAIN", "chat", "execute_tool", "generation", "span", "ai.toolCall", ""]

# What every reader knows, so that what is damaged comes past the first door.
SAMPLES: list[Any] = [
    [
        {"role": "system", "content": "s"},
        {"role": "user", "content": [{"type": "text", "text": "t"}], "name": "n"},
    ],
    [
        {
            "role": "assistant",
            "parts": [{"type": "tool_call", "id": "c", "name": "f", "arguments": "{}"}, {"text": "t"}],
        }
    ],
    [
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}],
        }
    ],
    [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}]}],
    [
        {
            "role": "user",
            "content": [{"type": "file", "file": {"file_id": "f"}}, {"type": "image", "image": "AAAA"}],
        }
    ],
    [
        {
            "role": "assistant",
            "content": [
                {"type": "tool_use", "id": "c", "name": "f", "input": {}},
                {"type": "thinking", "thinking": "t"},
            ],
            "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}],
            "function_call": {"name": "f", "arguments": "{}"},
            "audio": {"id": "a", "transcript": "t", "data": "AA"},
            "reasoning_content": "r",
            "refusal": "r",
        }
    ],
    [
        {
            "role": "tool",
            "tool_call_id": "c",
            "content": [{"type": "tool-result", "toolCallId": "c", "output": {"type": "json", "value": 1}}],
        }
    ],
    [
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c", "content": [{"type": "text", "text": "t"}]}
            ],
        }
    ],
    [
        {
            "role": "user",
            "content": [{"type": "document", "source": {"type": "base64", "media_type": "m", "data": "AA"}}],
        }
    ],
    {
        "system": [{"text": "s"}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"toolResult": {"toolUseId": "c", "content": [{"text": "t"}]}},
                    {"image": {"format": "png", "source": {"bytes": "AA"}}},
                ],
            }
        ],
    },
    {
        "contents": [
            {
                "role": "model",
                "parts": [
                    {"functionCall": {"name": "f", "args": {}}},
                    {"inlineData": {"mimeType": "m", "data": "AA"}},
                ],
            }
        ],
        "config": {"tools": [{"functionDeclarations": [{"name": "f"}]}]},
    },
    {"candidates": [{"content": {"parts": [{"text": "t"}]}, "finishReason": "STOP"}]},
    {"choices": [{"message": {"role": "assistant", "content": "t"}, "finish_reason": "stop"}, {"text": "t"}]},
    {
        "instructions": "i",
        "input": [
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "t"}]},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {
                "type": "function_call_output",
                "call_id": "c",
                "output": [{"type": "output_text", "text": "t"}],
            },
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
    },
    {
        "output": [
            {"type": "message", "content": [{"type": "output_text", "text": "t"}]},
            {"type": "web_search_call"},
            {"type": "mcp_call", "name": "f", "output": "o"},
        ]
    },
    {
        "generations": [
            [
                {
                    "text": "t",
                    "message": {
                        "lc": 1,
                        "type": "constructor",
                        "id": ["AIMessage"],
                        "kwargs": {
                            "content": "t",
                            "additional_kwargs": {"tool_calls": []},
                            "response_metadata": {"finish_reason": "stop"},
                        },
                    },
                }
            ]
        ]
    },
    {
        "outputs": [
            {
                "update": {
                    "messages": [
                        {"type": "ai", "data": {"content": "t", "tool_calls": [{"name": "f", "args": {}}]}}
                    ]
                }
            }
        ]
    },
    {
        "output": {
            "lc": 1,
            "type": "constructor",
            "id": ["ToolMessage"],
            "kwargs": {"type": "tool", "content": "t", "tool_call_id": "c"},
        }
    },
    [
        {"type": "function", "function": {"name": "f", "parameters": {}}},
        {"name": "f", "input_schema": {}},
        {"toolSpec": {"name": "f", "inputSchema": {"json": {}}}},
        {"googleSearch": {}},
    ],
    [
        {"event.name": "gen_ai.user.message", "content": "t"},
        {"event.name": "gen_ai.choice", "index": 0, "message": {"content": "t"}},
    ],
    {
        "message": {
            "role": "user",
            "contents": {"0": {"message_content": {"type": "image", "image": {"image": {"url": "u"}}}}},
            "tool_calls": {"0": {"tool_call": {"function": {"name": "f"}}}},
        }
    },
    {
        "tool": {"json_schema": {"name": "f"}},
        "prompt": {"text": "t"},
        "tool_calls": {"0": {"name": "f"}},
        "role": "user",
        "content": "t",
    },
]
JUNK: list[Any] = [
    *(None, True, 0, 1.5, "", "x", "[", "{}", "[{}]", [], {}, [[]], [None], ["x"], {"a": 1}, {"type": ["x"]}),
    *(
        {"type": "text"},
        {"type": None},
        {"role": 1},
        {"@bytes": "A"},
        {"function": []},
        {"name": {}},
        {"id": []},
    ),
]


def damaged(chance, sample):
    """The sample with some of its members or elements gone, or something else."""
    value = copy.deepcopy(sample)
    for _ in range(chance.randrange(4)):
        holder, key = chance.choice(
            [(holder, key) for holder in holders(value) for key in keys(holder)] or [({0: 0}, 0)]
        )
        if isinstance(holder, dict) and chance.random() < 0.2:
            del holder[key]
        else:
            holder[key] = copy.deepcopy(chance.choice([*JUNK, *SAMPLES]))
    return value


def keys(holder):
    return list(holder) if isinstance(holder, dict) else range(len(holder))


def holders(value):
    found = [value] if isinstance(value, dict | list) else []
    for holder in found:
        found.extend(
            inner for inner in (holder[key] for key in keys(holder)) if isinstance(inner, dict | list)
        )
    return found


def something(chance):
    """Damaged, as a structure or as JSON text, or that cut."""
    value = damaged(chance, chance.choice([*SAMPLES, *JUNK]))
    text = json.dumps(value)
    return chance.choice([value, text, text, json.dumps(text), text[: chance.randrange(len(text) + 1)]])


def flattened(chance, prefix):
    """Keys that spell something damaged."""
    found, todo = (
        {},
        [(f"{prefix}.{chance.choice([0, 7, 'x', '', '٣'])}", damaged(chance, chance.choice(SAMPLES)))],
    )
    while todo:
        key, value = todo.pop()
        if isinstance(value, dict | list) and chance.random() < 0.9:
            todo.extend((f"{key}.{inner}", value[inner]) for inner in keys(value))
        else:
            found[key] = value
    return found


def garbage(chance):
    """Attributes, events and log records."""
    attributes = {chance.choice(KINDS): chance.choice(KIND_VALUES)} if chance.random() < 0.5 else {}
    for _ in range(chance.randrange(4)):
        attributes[chance.choice(KEYS)] = something(chance)
    if chance.random() < 0.4:
        attributes |= flattened(chance, chance.choice(PREFIXES))
    records = [
        {
            "event_name": chance.choice(
                ["gen_ai.choice", "gen_ai.user.message", "gen_ai.tool.message", DETAILS]
            ),
            "body": something(chance),
            "attributes": {chance.choice([*KEYS, "content", "message"]): something(chance)},
        }
        for _ in range(chance.choice([0, 0, 1, 3]))
    ]
    return attributes, records


def is_part(part):
    return isinstance(part, dict) and isinstance(part["type"], str)


def is_message(one):
    return isinstance(one, dict) and isinstance(one["role"], str) and all(map(is_part, one["parts"]))


def is_what_it_says(found, holds):
    return found is None or found.as_sent or all(map(holds, found.value))


@pytest.mark.parametrize("seed", range(10))
def test_whatever_is_sent_is_read_or_marked(seed):
    """What was sent is not changed, and what is read can be said in JSON."""
    chance = Random(seed)
    read = 0
    for _ in range(500):
        attributes, records = garbage(chance)
        before = json.dumps([attributes, records])
        found = read_messages(attributes, (), records)
        assert json.dumps([attributes, records]) == before
        if found.tool is None and (
            found.output is None or found.output.source != ("gen_ai.retrieval.documents",)
        ):
            assert is_what_it_says(found.input, is_message)
            assert is_what_it_says(found.output, is_message)
        assert is_what_it_says(found.system_instructions, is_part)
        assert is_what_it_says(found.tool_definitions, lambda tool: isinstance(tool, dict))
        json.dumps([each and each.value for each in found], allow_nan=False)
        read += sum(1 for each in found if each and not each.as_sent)
    assert read > 200


@pytest.mark.parametrize("key", [key for key in KEYS if key not in ("events", "all_messages_events")])
@pytest.mark.parametrize("broken", ['[{"role": "us', '{"messages": [{"ro', "[" * 100_000])
def test_json_that_is_broken_in_any_key_is_shown_and_marked(key, broken):
    """Keys whose requests hold what is wanted among other things have nothing to show then."""
    read = read_messages({key: broken})
    shown = [
        each
        for each in (read.input, read.output, read.system_instructions, read.tool_definitions, read.tool)
        if each
    ]
    whole = [place.name for section in SECTIONS for place in section]
    if key in whole and shown:
        assert {each.as_sent for each in shown} == {True}
        assert broken in [each.value for each in shown] or read.tool


DEEP = {
    "lists": "[" * 5_000 + "]" * 5_000,
    "objects": '{"content":' * 5_000 + "1" + "}" * 5_000,
    "envelopes": '{"input":' * 5_000 + "1" + "}" * 5_000,
    "results": '[{"role":"user","content":' + '[{"type":"tool_result","tool_use_id":"c","content":' * 2_000,
}


@pytest.mark.parametrize("deep", DEEP.values(), ids=DEEP)
@pytest.mark.parametrize("key", ["gen_ai.input.messages", "input.value", "traceloop.entity.input"])
def test_what_is_too_deep_is_shown_as_sent(deep, key):
    assert read_messages({key: deep}).input == (deep, (key,), True)


def nested(levels):
    value = "core"
    for _ in range(levels):
        value = [{"type": "tool_result", "tool_use_id": "c", "content": value}]
    return [{"role": "user", "content": value}]


@pytest.mark.parametrize(("levels", "as_sent"), [(40, False), (60, True), (5_000, True)])
def test_structures_are_read_as_deep_as_text_is(levels, as_sent):
    found = read_messages({"gen_ai.input.messages": nested(levels)}).input
    assert found.as_sent is as_sent


@pytest.mark.parametrize("large", ["[" + "[]," * 1_000_000 + "[]]", '["' + "x" * (32 * 1024 * 1024) + '"]'])
def test_what_is_too_large_is_shown_as_sent(large):
    assert read_messages({"input.value": large}).input == (large, ("input.value",), True)


def test_a_large_prompt_is_read():
    prompt = "word, " * 300_000
    found = read_messages(
        {"input.value": json.dumps({"messages": [{"role": "user", "content": prompt}]})}
    ).input
    assert found.value == [{"role": "user", "parts": [{"type": "text", "content": prompt}]}]


def test_random_bytes_for_base64_are_a_reference():
    """Cut, url-safe or no base64 at all: the size is that of what can be decoded, or of the text."""
    chance = Random(7)
    for _ in range(200):
        data = "".join(chance.choices("abcXYZ019+/-_=é\n !", k=chance.randrange(40)))
        sent = [
            {
                "role": "user",
                "content": [{"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}],
            }
        ]
        [part] = read_messages({"gen_ai.input.messages": sent}).input.value[0]["parts"]
        assert part["type"] in ("blob", "input_audio")
        assert part["type"] != "blob" or (part["content"] == data and part["size"] <= len(data.encode()))
