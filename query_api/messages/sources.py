"""Where the messages of a span stand, in the order in which they are looked for (as docs/messages.md says).

The first source that can be read counts. Where none can, the first that was sent is shown as it was sent.
A key alone is an attribute; `key.N` are attributes with numbers in their keys, `event: key` is an attribute
of a span event or log record.
"""

from __future__ import annotations

from functools import partial

from spanledger.query_api.messages import chat, events, flattened, sentry, tools, vercel
from spanledger.query_api.messages.envelopes import (
    REQUEST,
    RESPONSE,
    SYSTEM,
    TOOLS,
    instructions,
    request,
    response,
)
from spanledger.query_api.messages.history import answer, documents, history
from spanledger.query_api.messages.sent import (
    Source,
    attribute,
    holder,
    numbered,
    of_event,
    picked,
    records,
    together,
    within,
)

_asked = partial(chat.messages, role="user")
_answered = partial(chat.messages, role="assistant")

INPUT: tuple[Source, ...] = (
    # The conventions
    attribute("gen_ai.input.messages", _asked),
    of_event(events.DETAILS, "gen_ai.input.messages", _asked),
    # OpenInference
    numbered("llm.input_messages", partial(flattened.openinference, role="user")),
    attribute("llm.input_messages", partial(flattened.openinference, role="user")),
    # Traceloop, LiteLLM
    numbered("gen_ai.prompt", partial(flattened.traceloop, role="user")),
    # Vercel, inner
    attribute("ai.prompt.messages", _asked),
    # Langfuse
    holder("langfuse.observation.input", request),
    # OpenInference, raw
    holder("input.value", request),
    # The conventions up to v1.36
    records("gen_ai.{system,user,assistant,tool}.message", events.MESSAGES, events.messages),
    # OpenRouter; the conventions up to v1.27, OpenLIT
    attribute("gen_ai.prompt", request),
    of_event("gen_ai.content.prompt", "gen_ai.prompt", request),
    # Traceloop, oldest; OpenInference of text completions
    numbered("llm.prompts", partial(flattened.prompts, role="user")),
    attribute("llm.prompts", partial(flattened.prompts, role="user")),
    # Vercel, outer
    attribute("ai.prompt", request),
    # Traceloop
    holder("traceloop.entity.input", request),
    # Google ADK
    attribute("gcp.vertex.agent.llm_request", request),
    # Sentry
    attribute("gen_ai.request.messages", request),
    # MLflow
    holder("mlflow.spanInputs", request),
    # Pydantic AI
    attribute("pydantic_ai.all_messages", history),
    attribute("all_messages_events", events.inputs),
    attribute("events", events.inputs),
    # Logfire
    within("request_data", REQUEST, request),
)

OUTPUT: tuple[Source, ...] = (
    attribute("gen_ai.output.messages", _answered),
    of_event(events.DETAILS, "gen_ai.output.messages", _answered),
    attribute("gen_ai.retrieval.documents", documents),
    numbered("llm.output_messages", partial(flattened.openinference, role="assistant")),
    attribute("llm.output_messages", partial(flattened.openinference, role="assistant")),
    numbered("gen_ai.completion", partial(flattened.traceloop, role="assistant")),
    together("ai.response.*", vercel.RESPONSE, vercel.answered),
    together("ai.result.*", vercel.RESULT, vercel.answered),
    holder("langfuse.observation.output", response),
    holder("output.value", response),
    records("gen_ai.choice", (events.CHOICE,), events.messages),
    attribute("gen_ai.completion", response),
    of_event("gen_ai.content.completion", "gen_ai.completion", response),
    numbered("llm.choices", partial(flattened.prompts, role="assistant")),
    numbered("llm.completions", partial(flattened.prompts, role="assistant")),
    together("gen_ai.response.*", sentry.RESPONSE, sentry.answered),
    holder("traceloop.entity.output", response),
    attribute("gcp.vertex.agent.llm_response", response),
    holder("mlflow.spanOutputs", response),
    attribute("pydantic_ai.all_messages", answer),
    attribute("final_result", response),
    attribute("all_messages_events", events.outputs),
    attribute("events", events.outputs),
    within("response_data", RESPONSE, response),
)

# Where none of these is, it is the messages of the system at the beginning of the input.
SYSTEM_INSTRUCTIONS: tuple[Source, ...] = (
    attribute("gen_ai.system_instructions", instructions),
    of_event(events.DETAILS, "gen_ai.system_instructions", instructions),
    *(
        within(key, SYSTEM, instructions)
        for key in (
            "input.value",
            "langfuse.observation.input",
            "ai.prompt",
            "gen_ai.prompt",
            "traceloop.entity.input",
            "gcp.vertex.agent.llm_request",
            "mlflow.spanInputs",
            "request_data",
        )
    ),
)

TOOL_DEFINITIONS: tuple[Source, ...] = (
    attribute("gen_ai.tool.definitions", tools.definitions),
    of_event(events.DETAILS, "gen_ai.tool.definitions", tools.definitions),
    numbered("llm.tools", tools.flattened),
    attribute("llm.tools", tools.flattened),
    attribute("ai.prompt.tools", tools.definitions),
    numbered("llm.request.functions", tools.flattened),
    attribute("gen_ai.request.available_tools", tools.definitions),
    *(
        within(key, TOOLS, tools.definitions)
        for key in (
            "langfuse.observation.input",
            "input.value",
            "llm.invocation_parameters",
            "gen_ai.prompt",
            "traceloop.entity.input",
            "gcp.vertex.agent.llm_request",
            "mlflow.spanInputs",
            "request_data",
        )
    ),
    # Langfuse with LangChain: behind the messages
    picked("langfuse.observation.input", tools.among_messages, tools.definitions),
    within("model_request_parameters", ("function_tools", "output_tools"), tools.definitions),
)

# The run of a tool. OpenInference's `tool.parameters` may be the schema of the arguments: input.value is not.
TOOL_NAME = ("gen_ai.tool.name", "tool.name", "ai.toolCall.name", "traceloop.entity.name")
TOOL_CALL_ID = ("gen_ai.tool.call.id", "tool.id", "tool_call.id", "ai.toolCall.id")
TOOL_ARGUMENTS = (
    "gen_ai.tool.call.arguments",
    "input.value",
    "tool.parameters",
    "ai.toolCall.args",
    "traceloop.entity.input",
    "gcp.vertex.agent.tool_call_args",
    "langfuse.observation.input",
    "mlflow.spanInputs",
    "gen_ai.tool.input",
    "tool_arguments",
)
TOOL_RESULT = (
    "gen_ai.tool.call.result",
    "output.value",
    "ai.toolCall.result",
    "traceloop.entity.output",
    "gcp.vertex.agent.tool_response",
    "langfuse.observation.output",
    "mlflow.spanOutputs",
    "gen_ai.tool.output",
    "tool_response",
)
