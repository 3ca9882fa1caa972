"""Which dialects are recorded: with which packages, by which driver, and what they leave out.

One entry is one golden file. To add one, pin its packages here, write a driver where none fits, record it and
say what it does not send: the recorder names each field that is missing and each that is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

_OTEL = (
    "opentelemetry-api==1.45.1",
    "opentelemetry-sdk==1.45.1",
    "opentelemetry-exporter-otlp-proto-http==1.45.1",
)
_OTEL_OLD = (
    "opentelemetry-api==1.38.0",
    "opentelemetry-sdk==1.38.0",
    "opentelemetry-exporter-otlp-proto-http==1.38.0",
    "opentelemetry-instrumentation==0.59b0",
    "opentelemetry-semantic-conventions==0.59b0",
)
# By name of the environment. One that is no list of pins is a folder of drivers/ with its package-lock.json.
ENVIRONMENTS: dict[str, tuple[str, ...]] = {
    "current": (
        *_OTEL,
        "openai==3.51.0",
        "anthropic==2.10.0",
        "langchain==1.4.7",
        "langchain-openai==1.7.3",
        "opentelemetry-instrumentation-genai-openai==1.3b0",
        "opentelemetry-instrumentation-genai-anthropic==1.3b0",
        "opentelemetry-util-genai==1.3b0",
        "openinference-instrumentation-openai==0.1.66",
        "openinference-instrumentation-langchain==0.1.80",
        "opentelemetry-instrumentation-openai==0.62.4",
        "opentelemetry-instrumentation-langchain==0.62.4",
    ),
    "openai-v2": (*_OTEL_OLD, "opentelemetry-instrumentation-openai-v2==2.2b0", "openai==1.109.1"),
    "traceloop-old": (*_OTEL_OLD, "opentelemetry-instrumentation-openai==0.47.5", "openai==1.109.1"),
    "langfuse": (*_OTEL, "langfuse==5.0.4", "openai==3.51.0", "langchain==1.4.7", "langchain-openai==1.7.3"),
    "logfire": (*_OTEL, "logfire==5.2.0", "openai==3.51.0", "genai-prices==0.2.3"),
    "litellm": (*_OTEL, "litellm==1.106.2", "mcp==2.3.0"),
    "pydantic-ai": (*_OTEL, "pydantic-ai-slim[openai]==2.68.0"),
    "openlit": (*_OTEL, "openlit==1.45.0", "openai==2.54.0"),
    # MLflow asks for pandas itself only when it is not `skinny`, and imports it all the same.
    "mlflow": (*_OTEL, "mlflow-skinny==3.17.2", "pandas==3.1.1", "openai==3.51.0"),
    "google-adk": ("google-adk==2.13.0", "opentelemetry-exporter-otlp-proto-http==1.44.0"),
    "google-genai": (
        *_OTEL,
        "google-genai==2.34.0",
        "opentelemetry-instrumentation==0.66b1",
        "opentelemetry-semantic-conventions==0.66b1",
        "opentelemetry-instrumentation-google-genai==1.3b0",
        "opentelemetry-instrumentation-google-generativeai==0.62.4",
    ),
    "mistral": (*_OTEL, "mistralai==3.7.0"),
    "vercel6": (),
    "vercel7": (),
}

NotSent = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Dialect:
    """How one golden file is recorded.

    `not_sent` says by field, and there by step (`*` for all), why the packages do not send it; `unseen` by
    step why they have no span of the call. `variables` are added to the driver's environment.
    """

    environment: str
    driver: str
    arguments: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    not_sent: NotSent = field(default_factory=dict)
    unseen: Mapping[str, str] = field(default_factory=dict)
    error_type: str = "RateLimitError"


_CONTENT = {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY"}
_NO_USER = {"user_id": {"*": "the instrumentation has no attribute for it"}}
_NO_CONVERSATION = {"conversation_id": {"*": "the instrumentation has no way to give one"}}
_TRACELOOP_CONVERSATION = {"conversation_id": {"*": "given by the Traceloop SDK, which is not used here"}}
_CHATS = ("plain", "stream", "tool call", "tool answer")
_STREAMS = ("stream", "responses stream")
_LANGCHAIN_STREAM = {
    "response_id": {"stream": "LangChain's own id takes its place"},
    "stream": {"stream": "streams are not told from other calls"},
}
_ADK = {
    "response_id": {"*": "the kit does not read it"},
    "user_id": {"*": "the kit keeps it to its sessions"},
    "stream": {"*": "the kit has no attribute for it"},
}
_NO_RESPONSES = {
    "responses": "the instrumentation does not patch the responses API",
    "responses stream": "the instrumentation does not patch the responses API",
}

DIALECTS: dict[str, Dialect] = {
    "genai-openai": Dialect("current", "openai_sdk.py", ("genai",), _CONTENT, _NO_USER),
    "genai-openai-events": Dialect(
        "current",
        "openai_sdk.py",
        ("genai",),
        {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "EVENT_ONLY"},
        _NO_USER,
    ),
    "openinference-openai": Dialect("current", "openai_sdk.py", ("openinference",)),
    "traceloop-openai": Dialect(
        "current",
        "openai_sdk.py",
        ("traceloop",),
        not_sent=_TRACELOOP_CONVERSATION
        | {"reasoning_tokens": {"stream": "the instrumentation leaves them out of streams"}},
    ),
    "genai-openai-and-openinference": Dialect(
        "current", "openai_sdk.py", ("genai", "openinference"), _CONTENT
    ),
    "openai-v2": Dialect(
        "openai-v2",
        "openai_sdk.py",
        ("openai_v2",),
        {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "true"},
        _NO_USER
        | _NO_CONVERSATION
        | {
            "cache_read_tokens": {"*": "the conventions of then had no attribute for it"},
            "reasoning_tokens": {"*": "the conventions of then had no attribute for it"},
            "stream": {"*": "the conventions of then had no attribute for it"},
        },
        unseen=_NO_RESPONSES,
    ),
    "traceloop-openai-old": Dialect(
        "traceloop-old",
        "openai_sdk.py",
        ("traceloop",),
        not_sent=_TRACELOOP_CONVERSATION
        | {
            "reasoning_tokens": {"stream": "the instrumentation leaves them out of streams"},
            "finish_reasons": {"responses": "the instrumentation reads none from responses"},
            "user_id": {"responses": "the instrumentation reads none from responses"},
        },
        unseen={"responses stream": "the instrumentation makes no span of streamed responses"},
    ),
    "openinference-langchain": Dialect(
        "current", "langchain_chat.py", ("openinference_langchain",), not_sent=_LANGCHAIN_STREAM
    ),
    "openinference-langchain-and-genai-openai": Dialect(
        "current", "langchain_chat.py", ("openinference_langchain", "genai"), _CONTENT
    ),
    "traceloop-langchain": Dialect(
        "current",
        "langchain_chat.py",
        ("traceloop_langchain", "traceloop"),
        not_sent=_LANGCHAIN_STREAM
        | {
            "response_model": {"stream": "streams name the model that was asked for"},
            "reasoning_tokens": {"*": "the instrumentation does not read them"},
        },
    ),
    "langfuse": Dialect(
        "langfuse",
        "langfuse_openai.py",
        not_sent={
            "request_model": dict.fromkeys(
                (*_CHATS, "responses", "responses stream"), "the model that answered takes its place"
            ),
            "response_id": dict.fromkeys((*_CHATS, "responses"), "Langfuse has ids of its own"),
            "finish_reasons": dict.fromkeys(
                ("plain", "tool call", "tool answer"), "Langfuse reads them from streams alone"
            ),
            "error_type": {"*": "Langfuse sends the message alone"},
        },
    ),
    "logfire": Dialect(
        "logfire",
        "logfire_openai.py",
        not_sent={
            "response_model": dict.fromkeys(_STREAMS, "streams name the model that was asked for"),
            "response_id": dict.fromkeys(_STREAMS, "Logfire keeps none of a stream"),
            "finish_reasons": dict.fromkeys(
                ("responses", "responses stream"), "Logfire reads none from responses"
            ),
        },
    ),
    "litellm": Dialect(
        "litellm",
        "litellm_callback.py",
        not_sent={
            "response_model": {"stream": "streams name the model that was asked for"},
            "conversation_id": {"*": "the callback knows no sessions outside of the proxy"},
        },
    ),
    "litellm-v2": Dialect(
        "litellm",
        "litellm_callback.py",
        ("async",),
        _CONTENT | {"LITELLM_OTEL_V2": "true", "OTEL_EXPORTER": "otlp_http"},
        _NO_USER
        | {
            "response_model": {"stream": "streams name the model that was asked for"},
            "reasoning_tokens": {"*": "the callback does not read them"},
        },
    ),
    "pydantic-ai": Dialect(
        "pydantic-ai",
        "pydantic_ai_agent.py",
        not_sent={"input_messages": {"failing": "after a failure the agent's span alone has them"}},
    ),
    "anthropic": Dialect(
        "current",
        "anthropic_sdk.py",
        variables={"ANTHROPIC_OPEN_TELEMETRY_TRACES_CONTENT_MODE": "content"},
        not_sent=_NO_USER
        | _NO_CONVERSATION
        | {"output_messages": {"stream": "the SDK does not collect them from streams"}},
        error_type="rate_limit_error",
    ),
    "anthropic-and-genai-anthropic": Dialect("current", "anthropic_sdk.py", ("genai",), _CONTENT, _NO_USER),
    "genai-anthropic": Dialect(
        "current",
        "anthropic_sdk.py",
        ("genai",),
        _CONTENT | {"ANTHROPIC_OPEN_TELEMETRY": "false"},
        _NO_USER,
    ),
    "openlit": Dialect(
        "openlit",
        "openlit_openai.py",
        not_sent={
            "reasoning_tokens": dict.fromkeys(_CHATS, "the instrumentation reads them from responses alone"),
            "input_messages": {
                "failing": "the instrumentation sends them with an answer alone",
                "tool answer": "the instrumentation leaves out earlier calls of tools",
            },
        },
    ),
    "mistral": Dialect(
        "mistral",
        "mistral_sdk.py",
        variables={"MISTRAL_SDK_TELEMETRY": "global"},
        not_sent=_NO_USER
        | _NO_CONVERSATION
        | {
            "reasoning_tokens": {"*": "the SDK does not read them"},
            "stream": {"*": "the SDK has no attribute for it"},
            "error_type": {"*": "the SDK leaves the status of a refused call unset"},
        },
    ),
    "mlflow": Dialect(
        "mlflow",
        "mlflow_openai.py",
        # The address is never called: without one it would make a database of its own.
        variables={"OTEL_BSP_SCHEDULE_DELAY": "100", "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"},
        not_sent={"conversation_id": {"*": "sessions belong to MLflow's traces, which OTLP does not carry"}},
    ),
    "langfuse-langchain": Dialect(
        "langfuse",
        "langchain_chat.py",
        ("langfuse_langchain",),
        not_sent={
            "response_model": {"stream": "streams name the model that was asked for"},
            "response_id": {"*": "Langfuse has ids of its own"},
            "finish_reasons": {"*": "Langfuse does not read them"},
            "error_type": {"*": "Langfuse sends the message alone"},
        },
    ),
    "google-adk": Dialect(
        "google-adk",
        "google_adk_agent.py",
        variables=_CONTENT | {"OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental"},
        not_sent=_ADK | {"output_messages": {"stream": "each chunk is sent as a message of its own"}},
        error_type="_ResourceExhaustedError",
    ),
    "google-adk-old": Dialect(
        "google-adk",
        "google_adk_agent.py",
        variables={"ADK_TELEMETRY_SCHEMA_VERSION_OPT_IN": "1"},
        not_sent=_ADK | {"input_messages": {"failing": "they are sent with an answer alone"}},
        error_type="_ResourceExhaustedError",
    ),
    "genai-google-genai": Dialect(
        "google-genai", "google_genai_sdk.py", ("genai",), _CONTENT, _NO_USER, error_type="429"
    ),
    "traceloop-gemini": Dialect(
        "google-genai",
        "google_genai_sdk.py",
        ("traceloop",),
        not_sent=_NO_USER
        | _TRACELOOP_CONVERSATION
        | {
            "reasoning_tokens": {"*": "the instrumentation does not read them; the total counts them"},
            "stream": {"*": "the instrumentation has no attribute for it"},
            "output_messages": {"stream": "the text of the last chunk alone is sent"},
        },
        error_type="ClientError",
    ),
    "vercel6": Dialect("vercel6", "vercel.mjs", ("6",), error_type="AI_APICallError"),
    "vercel7": Dialect(
        "vercel7",
        "vercel.mjs",
        ("7",),
        not_sent={"reasoning_tokens": {"*": "only with the option `usage` of its integration"}},
        error_type="AI_APICallError",
    ),
}
