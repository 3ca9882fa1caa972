"""What libraries send in keys of their own: Vercel, Langfuse, LangChain, Traceloop, MLflow and more."""

from __future__ import annotations

import json

import pytest

from spanledger.query_api.messages.read import read_messages

WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}}
CALL = {"type": "tool_call", "id": "c1", "name": "weather", "arguments": {"city": "Lisbon"}}
ANSWER = {"type": "tool_call_response", "id": "c1", "response": "18 degrees"}
OPENAI_CALL = {
    "id": "c1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city": "Lisbon"}'},
}
CHAT = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "rain?"}]


def text(content):
    return {"type": "text", "content": content}


def message(role, *parts, **more):
    return {"role": role, "parts": list(parts), **more}


USER, DRY = message("user", text("rain?")), message("assistant", text("Dry."))


def test_vercel_inner_span():
    prompt = [
        {"role": "system", "content": "Be kind."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "rain?"},
                {"type": "file", "mediaType": "image/png", "data": "https://e.org/i"},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "reasoning", "text": "hm"},
                {"type": "tool-call", "toolCallId": "c1", "toolName": "weather", "input": {"city": "Lisbon"}},
            ],
        },
        {
            "role": "tool",
            "content": [
                {
                    "type": "tool-result",
                    "toolCallId": "c1",
                    "toolName": "weather",
                    "output": {"type": "text", "value": "18 degrees"},
                }
            ],
        },
    ]
    found = read_messages(
        {
            "ai.operationId": "ai.generateText.doGenerate",
            "ai.prompt.messages": json.dumps(prompt),
            "ai.prompt.tools": [
                json.dumps(
                    {"type": "function", "name": "weather", "description": "d", "inputSchema": WEATHER}
                )
            ],
            "ai.response.text": "Dry.",
            "ai.response.reasoning": "hm",
            "ai.response.toolCalls": json.dumps(
                [{"toolCallId": "c1", "toolName": "weather", "input": '{"city":"Lisbon"}'}]
            ),
            "ai.response.finishReason": "tool-calls",
        }
    )
    assert found.system_instructions.value == [text("Be kind.")]
    assert found.input.value == [
        message(
            "user",
            text("rain?"),
            {"type": "uri", "modality": "image", "mime_type": "image/png", "uri": "https://e.org/i"},
        ),
        message("assistant", {"type": "reasoning", "content": "hm"}, CALL),
        message("tool", ANSWER | {"name": "weather"}),
    ]
    assert found.output.value == [
        message(
            "assistant", {"type": "reasoning", "content": "hm"}, text("Dry."), CALL, finish_reason="tool_call"
        )
    ]
    assert found.output.source == ("ai.response.*",)
    assert found.tool_definitions.value == [
        {"type": "function", "name": "weather", "description": "d", "parameters": WEATHER}
    ]


@pytest.mark.parametrize(
    "prompt", [{"prompt": "rain?"}, {"messages": [{"role": "user", "content": "rain?"}]}]
)
def test_vercel_outer_span(prompt):
    found = read_messages(
        {
            "ai.operationId": "ai.generateText",
            "ai.prompt": json.dumps({"system": "Be kind.", **prompt}),
            "ai.response.object": '{"dry":true}',
            "ai.response.files": json.dumps([{"mediaType": "image/png", "data": "AAAA"}]),
        }
    )
    assert found.input.value == [USER]
    assert found.system_instructions.value == [text("Be kind.")]
    [said, picture] = found.output.value[0]["parts"]
    assert said == text('{"dry":true}')
    assert (picture["type"], picture["modality"], picture["size"]) == ("blob", "image", 3)


def test_vercel_tool_span():
    found = read_messages(
        {
            "ai.operationId": "ai.toolCall",
            "ai.toolCall.name": "weather",
            "ai.toolCall.id": "c1",
            "ai.toolCall.args": '{"city":"Lisbon"}',
            "ai.toolCall.result": '"18 degrees"',
        }
    )
    assert found.tool.value == {
        "name": "weather",
        "call_id": "c1",
        "arguments": {"city": "Lisbon"},
        "result": "18 degrees",
    }


LANGFUSE_INPUTS = {
    "a list": CHAT,
    "an object with tools": {
        "messages": CHAT,
        "tools": [{"type": "function", "function": {"name": "weather"}}],
    },
    "Responses": {"instructions": "Be kind.", "input": [CHAT[1]]},
    "Responses with text": {"instructions": "Be kind.", "input": "rain?"},
}


@pytest.mark.parametrize("sent", LANGFUSE_INPUTS.values(), ids=LANGFUSE_INPUTS)
def test_langfuse_inputs(sent):
    found = read_messages(
        {"langfuse.observation.type": "generation", "langfuse.observation.input": json.dumps(sent)}
    )
    assert found.input == ([USER], ("langfuse.observation.input",), False)
    assert found.system_instructions.value == [text("Be kind.")]
    tools = found.tool_definitions
    assert (tools.value if tools else None) == (
        [{"type": "function", "name": "weather"}] if "tools" in sent else None
    )


LANGFUSE_OUTPUTS = {
    "text": "Dry.",
    "quoted text": '"Dry."',
    "a message": json.dumps({"role": "assistant", "content": "Dry."}),
    "a list": json.dumps([{"role": "assistant", "content": "Dry."}]),
    "items": json.dumps(
        [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Dry."}]}]
    ),
    "choices": json.dumps({"choices": [{"message": {"role": "assistant", "content": "Dry."}}]}),
}


@pytest.mark.parametrize("sent", LANGFUSE_OUTPUTS.values(), ids=LANGFUSE_OUTPUTS)
def test_langfuse_outputs(sent):
    found = read_messages({"langfuse.observation.type": "generation", "langfuse.observation.output": sent})
    assert found.output == ([DRY], ("langfuse.observation.output",), False)


def test_langfuse_span_that_is_no_call_is_shown_as_sent():
    sent = {
        "langfuse.observation.type": "span",
        "langfuse.observation.input": '{"n": 1}',
        "langfuse.observation.output": "42",
    }
    found = read_messages(sent)
    assert found.input == ('{"n": 1}', ("langfuse.observation.input",), True)
    assert found.output == ("42", ("langfuse.observation.output",), True)


def constructor(name, **kwargs):
    return {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", name], "kwargs": kwargs}


DUMPS = {
    "constructors": [
        constructor("SystemMessage", content="Be kind.", type="system"),
        constructor("HumanMessage", content="rain?", type="human"),
        constructor(
            "AIMessage",
            content="",
            type="ai",
            tool_calls=[{"name": "weather", "args": {"city": "Lisbon"}, "id": "c1", "type": "tool_call"}],
            additional_kwargs={"tool_calls": [OPENAI_CALL]},
        ),
        constructor("ToolMessage", content="18 degrees", type="tool", tool_call_id="c1"),
    ],
    "data": [
        {"type": "system", "data": {"content": "Be kind."}},
        {"type": "human", "data": {"content": "rain?"}},
        {"type": "ai", "data": {"content": "", "additional_kwargs": {"tool_calls": [OPENAI_CALL]}}},
        {"type": "tool", "data": {"content": "18 degrees", "tool_call_id": "c1"}},
    ],
    "members": [
        {"type": "system", "content": "Be kind."},
        {"type": "human", "content": "rain?"},
        {
            "type": "ai",
            "content": [{"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Lisbon"}}],
            "tool_calls": [{"name": "weather", "args": {"city": "Lisbon"}, "id": "c1"}],
        },
        {"type": "tool", "content": "18 degrees", "tool_call_id": "c1"},
    ],
}


@pytest.mark.parametrize("dump", DUMPS.values(), ids=DUMPS)
@pytest.mark.parametrize("batch", [True, False])
def test_langchain_dumps(dump, batch):
    """A call that a dump has twice is one."""
    sent = {"messages": [dump] if batch else dump}
    found = read_messages({"openinference.span.kind": "LLM", "input.value": json.dumps(sent)})
    assert found.input.value == [USER, message("assistant", CALL), message("tool", ANSWER)]
    assert found.system_instructions.value == [text("Be kind.")]


def test_langchain_generations():
    answered = constructor(
        "AIMessage", content="Dry.", type="ai", response_metadata={"finish_reason": "stop"}
    )
    for generation in (
        {"text": "Dry.", "message": answered},
        {"text": "Dry.", "generation_info": {"finish_reason": "stop"}},
    ):
        sent = json.dumps({"generations": [[generation]], "llm_output": {"id": "x"}})
        found = read_messages({"openinference.span.kind": "LLM", "output.value": sent})
        assert found.output.value == [DRY | {"finish_reason": "stop"}]


def test_langgraph_update():
    sent = [{"graph": None, "update": {"messages": [constructor("AIMessage", content="Dry.", type="ai")]}}]
    found = read_messages({"openinference.span.kind": "CHAIN", "output.value": json.dumps(sent)})
    assert found.output.value == [DRY]


def test_langchain_tool_span_has_what_the_tool_said_and_for_which_call():
    said = constructor("ToolMessage", content="18 degrees", type="tool", tool_call_id="c1")
    for output in (said, {"output": said, "kwargs": {}}):
        found = read_messages(
            {
                "openinference.span.kind": "TOOL",
                "tool.name": "weather",
                "input.value": '{"city": "Lisbon"}',
                "output.value": json.dumps(output),
            }
        )
        assert found.tool.value == {
            "name": "weather",
            "call_id": "c1",
            "arguments": {"city": "Lisbon"},
            "result": "18 degrees",
        }
        assert (found.input.value, found.output.value) == ({"city": "Lisbon"}, "18 degrees")


def test_traceloop_entities():
    sent = {"inputs": {"messages": [constructor("HumanMessage", content="rain?", type="human")]}, "tags": []}
    answered = {"outputs": {"messages": [constructor("AIMessage", content="Dry.", type="ai")]}, "kwargs": {}}
    found = read_messages(
        {
            "traceloop.span.kind": "workflow",
            "traceloop.entity.input": json.dumps(sent),
            "traceloop.entity.output": json.dumps(answered),
        }
    )
    assert (found.input.value, found.output.value) == ([USER], [DRY])
    tool = {
        "traceloop.span.kind": "tool",
        "traceloop.entity.name": "weather",
        "traceloop.entity.input": '{"city": "Lisbon"}',
    }
    assert read_messages(tool).tool.value == {
        "name": "weather",
        "call_id": None,
        "arguments": {"city": "Lisbon"},
        "result": None,
    }


@pytest.mark.parametrize("structured", [True, False])
def test_mlflow(structured):
    """Its attributes are JSON text, the kind of the span too."""
    wrap = (lambda value: value) if structured else json.dumps
    found = read_messages(
        {
            "mlflow.spanType": "CHAT_MODEL",
            "mlflow.spanInputs": wrap(
                {"messages": CHAT, "tools": [{"type": "function", "function": {"name": "f"}}]}
            ),
            "mlflow.spanOutputs": wrap({"choices": [{"message": {"role": "assistant", "content": "Dry."}}]}),
        }
    )
    assert (found.input.value, found.output.value) == ([USER], [DRY])
    assert found.system_instructions.value == [text("Be kind.")]
    assert found.tool_definitions.value == [{"type": "function", "name": "f"}]
    asked = wrap({"input": "rain?", "instructions": "i"})
    responses = {"mlflow.spanType": wrap("CHAT_MODEL"), "mlflow.spanInputs": asked}
    assert read_messages(responses).input.value == [USER]
    run = {"mlflow.spanType": wrap("TOOL"), "mlflow.spanInputs": wrap({"city": "Lisbon"})}
    assert read_messages(run).tool.value["arguments"] == {"city": "Lisbon"}


@pytest.mark.parametrize("answer", ["Dry.", '["Dry."]', '[{"role": "assistant", "content": "Dry."}]'])
def test_sentry(answer):
    found = read_messages(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.messages": json.dumps(CHAT),
            "gen_ai.request.available_tools": json.dumps([{"name": "weather", "parameters": WEATHER}]),
            "gen_ai.response.text": answer,
            "gen_ai.response.tool_calls": json.dumps([OPENAI_CALL]),
        }
    )
    assert found.input.value == [USER]
    assert found.output.value == [message("assistant", text("Dry."), CALL)]
    assert found.tool_definitions.value == [{"type": "function", "name": "weather", "parameters": WEATHER}]
    only_calls = read_messages({"gen_ai.response.tool_calls": json.dumps([OPENAI_CALL])})
    assert only_calls.output.value == [message("assistant", CALL)]


def test_openrouter():
    found = read_messages(
        {
            "gen_ai.prompt": json.dumps({"messages": CHAT}),
            "gen_ai.completion": json.dumps({"completion": "Dry."}),
        }
    )
    assert (found.input.value, found.output.value) == ([USER], [DRY])
    assert found.system_instructions.value == [text("Be kind.")]
    called = {"completion": "", "tool_calls": [OPENAI_CALL], "finish_reason": "tool_calls"}
    assert read_messages({"gen_ai.completion": json.dumps(called)}).output.value == [
        message("assistant", CALL, finish_reason="tool_call")
    ]


def test_words_in_plain_text():
    """Also where they begin with a bracket; JSON that was cut is no words."""
    found = read_messages({"gen_ai.prompt": "[INST] rain? [/INST]", "gen_ai.completion": '[{"role": "assis'})
    assert found.input.value == [message("user", text("[INST] rain? [/INST]"))]
    assert found.output == ('[{"role": "assis', ("gen_ai.completion",), True)


def test_pydantic_ai_agent():
    """Its one attribute holds what went in and what came out."""
    whole = [
        {"role": "system", "parts": [text("Be kind.")]},
        USER,
        message("assistant", CALL),
        message(
            "user", {"type": "tool_call_response", "id": "c1", "name": "weather", "result": "18 degrees"}
        ),
        DRY,
    ]
    found = read_messages(
        {
            "gen_ai.operation.name": "invoke_agent",
            "pydantic_ai.all_messages": json.dumps(whole),
            "final_result": "Dry.",
            "model_request_parameters": json.dumps(
                {
                    "function_tools": [
                        {"name": "weather", "parameters_json_schema": WEATHER, "description": None}
                    ]
                }
            ),
        }
    )
    assert found.system_instructions.value == [text("Be kind.")]
    assert found.input.value == [
        USER,
        message("assistant", CALL),
        message("tool", ANSWER | {"name": "weather"}),
    ]
    assert found.output.value == [DRY]
    assert found.tool_definitions.value == [{"type": "function", "name": "weather", "parameters": WEATHER}]
    without = read_messages({"pydantic_ai.all_messages": json.dumps(whole[:4]), "final_result": "Dry."})
    assert without.output == ([DRY], ("final_result",), False)


def test_logfire():
    found = read_messages(
        {
            "request_data": json.dumps({"messages": CHAT, "model": "m"}),
            "response_data": json.dumps({"message": {"role": "assistant", "content": "Dry."}, "usage": None}),
        }
    )
    assert (found.input.value, found.output.value) == ([USER], [DRY])
    assert found.system_instructions.value == [text("Be kind.")]
    assert read_messages({"request_data": '{"model": "m"}'}).input is None


def test_google_adk_tool():
    found = read_messages(
        {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "weather",
            "gen_ai.tool.call.id": "c1",
            "gcp.vertex.agent.tool_call_args": '{"city": "Lisbon"}',
            "gcp.vertex.agent.tool_response": '{"degrees": 18}',
            "gcp.vertex.agent.llm_request": "{}",
        }
    )
    assert found.tool.value == {
        "name": "weather",
        "call_id": "c1",
        "arguments": {"city": "Lisbon"},
        "result": {"degrees": 18},
    }
    assert found.output.value == {"degrees": 18}


def test_retrieved_documents_are_what_came_out():
    documents = [{"id": "d1", "score": 0.5}]
    sent = {"gen_ai.operation.name": "retrieval", "gen_ai.retrieval.documents": json.dumps(documents)}
    assert read_messages(sent).output == (documents, ("gen_ai.retrieval.documents",), False)
    hollow = {"gen_ai.output.messages": [{"role": "assistant", "parts": []}]}
    assert read_messages(sent | hollow).output.value == documents


def test_words_on_a_span_that_is_no_call_are_not_taken_for_a_message():
    found = read_messages(
        {"openinference.span.kind": "CHAIN", "input.value": "rain?", "output.value": '{"messages": []}'}
    )
    assert found.input == ("rain?", ("input.value",), True)
    assert found.output.as_sent


def test_the_first_source_that_can_be_read_counts():
    cut = '[{"role": "user", "parts": [{"type": "te'
    found = read_messages({"gen_ai.input.messages": cut, "ai.prompt.messages": json.dumps(CHAT[1:])})
    assert found.input == ([USER], ("ai.prompt.messages",), False)
    assert read_messages({"gen_ai.input.messages": cut}).input == (cut, ("gen_ai.input.messages",), True)
