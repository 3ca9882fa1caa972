"""Whole requests and answers of providers: OpenAI, Anthropic, Gemini, Bedrock, Ollama."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest

from spanledger.query_api.messages.read import read_messages

WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}}
CALL = {"type": "tool_call", "id": "c1", "name": "weather", "arguments": {"city": "Lisbon"}}
ANSWER = {"type": "tool_call_response", "id": "c1", "response": "18 degrees"}
DEFINED = {"type": "function", "name": "weather", "description": "d", "parameters": WEATHER}
PNG = base64.b64encode(b"\x89PNG" * 1000).decode()
PICTURE = {
    "type": "blob",
    "modality": "image",
    "mime_type": "image/png",
    "size": 4000,
    "sha256": hashlib.sha256(b"\x89PNG" * 1000).hexdigest(),
}


def text(content):
    return {"type": "text", "content": content}


def message(role, *parts, **more):
    return {"role": role, "parts": list(parts), **more}


def read(request=None, response=None):
    """What OpenInference's input.value and output.value mean."""
    sent = {"input.value": json.dumps(request), "output.value": json.dumps(response)}
    found = read_messages({"openinference.span.kind": "LLM", **sent})
    assert not any(each.as_sent for each in found if each)
    return found


def test_openai_chat():
    found = read(
        {
            "model": "gpt-4o-mini",
            "messages": [
                {"role": "developer", "content": "Be kind."},
                {
                    "role": "user",
                    "name": "ann",
                    "content": [
                        {"type": "text", "text": "this?"},
                        {
                            "type": "image_url",
                            "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "low"},
                        },
                        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                        {"type": "file", "file": {"file_id": "f1"}},
                        {
                            "type": "file",
                            "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"},
                        },
                    ],
                },
                {
                    "role": "assistant",
                    "content": None,
                    "reasoning_content": "hm",
                    "tool_calls": [
                        {
                            "id": "c1",
                            "type": "function",
                            "function": {"name": "weather", "arguments": '{"city":"Lisbon"}'},
                        },
                        {
                            "id": "c2",
                            "type": "function",
                            "function": {"name": "weather", "arguments": '{"ci'},
                        },
                    ],
                },
                {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "18 degrees"}]},
                {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
            ],
            "tools": [
                {
                    "type": "function",
                    "function": {"name": "weather", "description": "d", "parameters": WEATHER},
                }
            ],
        },
        {
            "id": "chatcmpl-1",
            "choices": [
                {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Dry."}},
                {
                    "index": 1,
                    "finish_reason": "content_filter",
                    "message": {"role": "assistant", "refusal": "No."},
                },
            ],
        },
    )
    assert found.system_instructions.value == [text("Be kind.")]
    zeros = {"size": 3, "sha256": hashlib.sha256(bytes(3)).hexdigest(), "content": "AAAA"}
    assert found.input.value == [
        message(
            "user",
            text("this?"),
            PICTURE | {"detail": "low"},
            {"type": "blob", "modality": "audio", "mime_type": "audio/wav", **zeros},
            {"type": "file", "modality": None, "mime_type": None, "file_id": "f1"},
            {"type": "blob", "modality": None, "mime_type": "application/pdf", "filename": "a.pdf", **zeros},
            name="ann",
        ),
        message(
            "assistant",
            {"type": "reasoning", "content": "hm"},
            CALL,
            CALL | {"id": "c2", "arguments": '{"ci'},
        ),
        message("tool", ANSWER),
        message("assistant", {"type": "refusal", "content": "No."}),
    ]
    assert found.output.value == [
        message("assistant", text("Dry."), finish_reason="stop"),
        message("assistant", {"type": "refusal", "content": "No."}, finish_reason="content_filter"),
    ]
    assert found.tool_definitions.value == [DEFINED]


def test_openai_text_completions():
    found = read({"prompt": "Once upon"}, {"choices": [{"text": " a time", "finish_reason": "length"}]})
    assert found.input.value == [message("user", text("Once upon"))]
    assert found.output.value == [message("assistant", text(" a time"), finish_reason="length")]


def test_openai_audio_is_its_transcript_and_a_reference():
    audio = {"id": "a1", "transcript": "Dry.", "data": "AAAA" * 1000}
    [found] = read(None, {"choices": [{"message": {"role": "assistant", "audio": audio}}]}).output.value
    said, sound = found["parts"]
    assert said == text("Dry.")
    assert (sound["type"], sound["modality"], sound["id"], sound["size"]) == ("blob", "audio", "a1", 3000)
    assert "content" not in sound


def test_openai_responses():
    """What the model made without a word between is one message; a tool's answer is the tool's."""
    thought = {"type": "reasoning", "id": "r1", "summary": [{"type": "summary_text", "text": "hm"}]}
    called = {
        "type": "function_call",
        "id": "i1",
        "call_id": "c1",
        "name": "weather",
        "arguments": '{"city":"Lisbon"}',
    }
    search = {"type": "web_search_call", "id": "w1", "status": "completed"}
    found = read(
        {
            "instructions": "Be kind.",
            "input": [
                {
                    "role": "user",
                    "content": [
                        {"type": "input_text", "text": "rain?"},
                        {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"},
                    ],
                },
                thought,
                called,
                {"type": "function_call_output", "call_id": "c1", "output": "18 degrees"},
            ],
            "tools": [
                {"type": "function", "name": "weather", "description": "d", "parameters": WEATHER},
                {"type": "web_search"},
            ],
        },
        {
            "id": "resp_1",
            "output": [
                search,
                {
                    "type": "message",
                    "role": "assistant",
                    "content": [{"type": "output_text", "text": "Dry."}],
                },
                called,
            ],
        },
    )
    assert found.system_instructions.value == [text("Be kind.")]
    assert found.input.value == [
        message("user", text("rain?"), PICTURE),
        message("assistant", {"type": "reasoning", "content": "hm"}, CALL),
        message("tool", ANSWER),
    ]
    assert found.output.value == [message("assistant", search, text("Dry."), CALL)]
    assert found.tool_definitions.value == [DEFINED, {"type": "web_search"}]


def test_openai_responses_with_text():
    found = read(
        {"input": "rain?"},
        {"output": [{"type": "message", "content": [{"type": "output_text", "text": "No."}]}]},
    )
    assert found.input.value == [message("user", text("rain?"))]
    assert found.output.value == [message("assistant", text("No."))]


def test_anthropic():
    found = read(
        {
            "system": [{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}],
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "image",
                            "source": {"type": "base64", "media_type": "image/png", "data": PNG},
                        },
                        {"type": "image", "source": {"type": "url", "url": "https://e.org/i"}},
                        {
                            "type": "document",
                            "title": "T",
                            "source": {"type": "text", "media_type": "text/plain", "data": "long"},
                        },
                        {"type": "document", "source": {"type": "file", "file_id": "f1"}},
                        {"type": "text", "text": "this?"},
                    ],
                },
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "hm", "signature": "s"},
                        {"type": "redacted_thinking", "data": "x"},
                        {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Lisbon"}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "tool_result",
                            "tool_use_id": "c1",
                            "content": [{"type": "text", "text": "18 degrees"}],
                        },
                        {"type": "tool_result", "tool_use_id": "c2", "content": "broken", "is_error": True},
                    ],
                },
            ],
            "tools": [
                {"name": "weather", "description": "d", "input_schema": WEATHER},
                {"type": "web_search_20250305", "name": "web_search"},
            ],
        },
        {
            "type": "message",
            "role": "assistant",
            "content": [
                {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "q"}},
                {"type": "web_search_tool_result", "tool_use_id": "s1", "content": [{"url": "u"}]},
                {"type": "text", "text": "Dry."},
            ],
            "stop_reason": "end_turn",
        },
    )
    assert found.system_instructions.value == [text("Be kind.")]
    assert found.input.value == [
        message(
            "user",
            PICTURE,
            {"type": "uri", "modality": "image", "mime_type": None, "uri": "https://e.org/i"},
            text("long") | {"title": "T"},
            {"type": "file", "modality": None, "mime_type": None, "file_id": "f1"},
            text("this?"),
        ),
        message(
            "assistant",
            {"type": "reasoning", "content": "hm"},
            {"type": "redacted_thinking", "data": "x"},
            CALL,
        ),
        message(
            "tool", ANSWER, {"type": "tool_call_response", "id": "c2", "response": "broken", "is_error": True}
        ),
    ]
    assert found.output.value == [
        message(
            "assistant",
            {
                "type": "server_tool_call",
                "id": "s1",
                "name": "web_search",
                "server_tool_call": {"type": "web_search", "input": {"query": "q"}},
            },
            {
                "type": "server_tool_call_response",
                "id": "s1",
                "server_tool_call_response": {"type": "web_search_tool_result", "content": [{"url": "u"}]},
            },
            text("Dry."),
            finish_reason="stop",
        )
    ]
    assert found.tool_definitions.value == [DEFINED, {"type": "web_search_20250305", "name": "web_search"}]


GEMINI = {
    "model": "gemini-2.5-flash",
    "contents": [
        {
            "role": "user",
            "parts": [{"text": "this?"}, {"inline_data": {"mime_type": "image/png", "data": PNG}}],
        },
        {
            "role": "model",
            "parts": [
                {"text": "hm", "thought": True},
                {"function_call": {"id": "c1", "name": "weather", "args": {"city": "Lisbon"}}},
            ],
        },
        {
            "role": "user",
            "parts": [{"function_response": {"id": "c1", "name": "weather", "response": {"degrees": 18}}}],
        },
        {"role": "user", "parts": [{"file_data": {"mime_type": "video/mp4", "file_uri": "gs://b/v.mp4"}}]},
    ],
    "config": {
        "system_instruction": "Be kind.",
        "tools": [
            {"function_declarations": [{"name": "weather", "description": "d", "parameters": WEATHER}]}
        ],
    },
}
GEMINI_READ = [
    message("user", text("this?"), PICTURE),
    message("assistant", {"type": "reasoning", "content": "hm"}, CALL),
    message(
        "tool", {"type": "tool_call_response", "id": "c1", "name": "weather", "response": {"degrees": 18}}
    ),
    message("user", {"type": "uri", "modality": "video", "mime_type": "video/mp4", "uri": "gs://b/v.mp4"}),
]


def camel(value):
    """With the names as Gemini's API has them."""
    if isinstance(value, list):
        return [camel(each) for each in value]
    if not isinstance(value, dict):
        return value
    named = {"inline_data": "inlineData", "mime_type": "mimeType", "function_call": "functionCall"}
    named |= {"function_response": "functionResponse", "file_data": "fileData", "file_uri": "fileUri"}
    named |= {"function_declarations": "functionDeclarations", "system_instruction": "systemInstruction"}
    return {named.get(key, key): camel(each) for key, each in value.items()}


@pytest.mark.parametrize("spelled", [GEMINI, camel(GEMINI)], ids=["underscores", "camel"])
def test_gemini(spelled):
    answer = {
        "candidates": [
            {"content": {"role": "model", "parts": [{"text": "Dry."}]}, "finishReason": "MAX_TOKENS"}
        ]
    }
    found = read(spelled, answer)
    assert found.input.value == GEMINI_READ
    assert found.system_instructions.value == [text("Be kind.")]
    assert found.tool_definitions.value == [DEFINED]
    assert found.output.value == [message("assistant", text("Dry."), finish_reason="length")]


def test_google_adk():
    answer = {
        "content": {"role": "model", "parts": [{"text": "Dry."}]},
        "finish_reason": "STOP",
        "partial": False,
    }
    found = read_messages(
        {
            "gen_ai.operation.name": "call_llm",
            "gcp.vertex.agent.llm_request": json.dumps(GEMINI),
            "gcp.vertex.agent.llm_response": json.dumps(answer),
        }
    )
    assert found.input == (GEMINI_READ, ("gcp.vertex.agent.llm_request",), False)
    assert found.output.value == [message("assistant", text("Dry."), finish_reason="stop")]
    assert found.system_instructions.value == [text("Be kind.")]
    assert found.tool_definitions.value == [DEFINED]


def test_bedrock_converse():
    found = read(
        {
            "system": [{"text": "Be kind."}],
            "messages": [
                {
                    "role": "user",
                    "content": [{"text": "this?"}, {"image": {"format": "png", "source": {"bytes": PNG}}}],
                },
                {
                    "role": "assistant",
                    "content": [
                        {"toolUse": {"toolUseId": "c1", "name": "weather", "input": {"city": "Lisbon"}}}
                    ],
                },
                {
                    "role": "user",
                    "content": [{"toolResult": {"toolUseId": "c1", "content": [{"text": "18 degrees"}]}}],
                },
            ],
        },
        {
            "output": {"message": {"role": "assistant", "content": [{"text": "Dry."}]}},
            "stopReason": "end_turn",
        },
    )
    assert found.system_instructions.value == [text("Be kind.")]
    assert found.input.value == [
        message("user", text("this?"), PICTURE),
        message("assistant", CALL),
        message("tool", ANSWER),
    ]
    assert found.output.value == [message("assistant", text("Dry."), finish_reason="stop")]


def test_ollama():
    found = read(
        None, {"message": {"role": "assistant", "content": "Dry.", "thinking": "hm"}, "done_reason": "stop"}
    )
    assert found.output.value == [
        message("assistant", {"type": "reasoning", "content": "hm"}, text("Dry."), finish_reason="stop")
    ]
