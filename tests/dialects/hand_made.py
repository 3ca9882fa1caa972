"""Golden files of dialects that cannot be run here, made from the keys that their senders document.

Each has two calls, the scenario's plain question and its call of a tool, billed as the provider of this
folder bills them. They show what a ledger has to read, not that the sender really sends it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.dialects.expected import expected
from tests.dialects.provider import (
    SCENARIO,
    Asked,
    Json,
    Ledger,
    answer_to,
    anthropic_usage,
    bill,
    gemini_response,
)
from tests.otlp_json_printer import otlp_json
from tests.otlp_requests import key_values, span

_BEGINNING = 1_790_000_000_000_000_000
_SECOND = 1_000_000_000
_CONVERSATION, _USER = SCENARIO["conversation_id"], SCENARIO["user_id"]
_PLAIN = [
    {"role": "system", "content": SCENARIO["system"]},
    {"role": "user", "content": SCENARIO["question"]},
]
_WITH_TOOL = [_PLAIN[0], {"role": "user", "content": SCENARIO["tool_question"]}]
_TOOLS = [{"type": "function", "function": SCENARIO["tool"]}]


@dataclass(frozen=True)
class Sender:
    """What a dialect says of a call: `spans` makes its spans from the call, its messages and its answer.

    `change` turns the answer of chat completions into the id, the usage and the finish reason of the API.
    """

    api: str
    model: str
    scope: str
    spans: Callable[[Call], Iterator[Span]]
    change: Callable[[Json], tuple[str, Json, str]]
    resource: Mapping[str, Any] = field(default_factory=lambda: {"service.name": "harbour"})
    not_sent: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Call:
    """One call to be told in a dialect: as billed, with the messages in the API's own form."""

    dialect: str
    billed: Json
    messages: list[Json]
    tools: list[Json]
    answer: Json

    @property
    def usage(self) -> Json:
        usage: Json = self.billed["usage"]
        return usage

    @property
    def raw_usage(self) -> Json:
        usage: Json = self.billed["raw_usage"]
        return usage

    @property
    def finish_reason(self) -> str:
        (reason,) = self.billed["finish_reasons"]
        return str(reason)

    @property
    def trace_id(self) -> bytes:
        return self._id("trace", 16)

    def span(
        self,
        name: str,
        attributes: Mapping[str, Any],
        *,
        part: str = "call",
        parent: str | None = None,
        kind: Span.SpanKind.ValueType = Span.SPAN_KIND_CLIENT,
    ) -> Span:
        """A span of this call; `part` names it for those that it is the parent of."""
        received = int(self.billed["received_unix_nano"])
        return span(
            self.trace_id,
            attributes,
            name=name,
            kind=kind,
            span_id=self._id(part, 8),
            parent_span_id=self._id(parent, 8) if parent else b"",
            start_time_unix_nano=received - _SECOND // 100,
            end_time_unix_nano=received + _SECOND,
            status=Status(code=Status.STATUS_CODE_OK),
        )

    def _id(self, part: str, size: int) -> bytes:
        text = f"{self.dialect} {self.billed['response_id']} {part}"
        return hashlib.sha256(text.encode()).digest()[:size]


def golden(dialect: str, sender: Sender) -> Json:
    """The golden file of a dialect, in the form of a recorded one."""
    ledger, calls = Ledger(), []
    for number, (messages, tools) in enumerate([(_PLAIN, []), (_WITH_TOOL, _TOOLS)]):
        body = {"model": sender.model, "stream": False}
        received = _BEGINNING + number * 10 * _SECOND
        asked = Asked(sender.api, body, messages, tools, _USER, received)
        answer = answer_to(asked, ledger)
        response_id, usage, finish_reason = sender.change(answer)
        bill(asked, ledger, answer | {"id": response_id}, usage, finish_reason)
        calls.append(Call(dialect, ledger.calls[-1], messages, tools, answer["choices"][0]["message"]))
    return {
        "dialect": dialect,
        "hand_made": True,
        "packages": {},
        "requests": {"traces": [_request(sender, calls)], "logs": []},
        "billed": ledger.calls,
        "expected": expected(
            ledger.calls,
            not_sent=sender.not_sent,
            unseen={},
            conversation_id=_CONVERSATION,
            user_id=_USER,
            error_type="",
        ),
    }


def _request(sender: Sender, calls: list[Call]) -> Json:
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.extend(key_values(sender.resource))
    scope = resource.scope_spans.add()
    scope.scope.name = sender.scope
    for call in calls:
        scope.spans.extend(sender.spans(call))
    return otlp_json(request)


def _openai(answer: Json) -> tuple[str, Json, str]:
    return answer["id"], answer["usage"], answer["choices"][0]["finish_reason"]


def _anthropic(answer: Json) -> tuple[str, Json, str]:
    reasons = {"stop": "end_turn", "tool_calls": "tool_use"}
    number = answer["id"].rpartition("-")[2]
    reason = reasons[answer["choices"][0]["finish_reason"]]
    return f"msg_stub_{number}", anthropic_usage(answer["usage"]), reason


def _gemini(answer: Json) -> tuple[str, Json, str]:
    response = gemini_response(answer)
    return response["responseId"], response["usageMetadata"], response["candidates"][0]["finishReason"]


# --- the dialects


def _sentry(call: Call) -> Iterator[Span]:
    """Sentry's SDKs: its own names of counts, costs under names of tokens, messages as the SDK had them."""
    usage, message = call.usage, call.answer
    answered: Json = {"gen_ai.response.text": message["content"]} if message["content"] else {}
    if message.get("tool_calls"):
        answered["gen_ai.response.tool_calls"] = json.dumps(message["tool_calls"])
        answered["gen_ai.request.available_tools"] = json.dumps(call.tools)
    yield call.span(
        f"chat {call.billed['request_model']}",
        {
            "sentry.op": "gen_ai.chat",
            "sentry.origin": "auto.ai.openai",
            "gen_ai.operation.name": "chat",
            "gen_ai.system": "openai",
            "gen_ai.request.model": call.billed["request_model"],
            "gen_ai.request.messages": json.dumps(call.messages),
            "gen_ai.response.id": call.billed["response_id"],
            "gen_ai.response.model": call.billed["response_model"],
            "gen_ai.response.finish_reasons": json.dumps([call.finish_reason]),
            **answered,
            "gen_ai.usage.input_tokens": usage["input_tokens"],
            "gen_ai.usage.input_tokens.cached": usage["cache_read_tokens"],
            "gen_ai.usage.output_tokens": usage["output_tokens"],
            "gen_ai.usage.output_tokens.reasoning": usage["reasoning_tokens"],
            "gen_ai.usage.total_tokens": usage["input_tokens"] + usage["output_tokens"],
            "gen_ai.cost.input_tokens": 0.0000132,
            "gen_ai.cost.output_tokens": 0.000018,
            "gen_ai.cost.total_tokens": 0.0000312,
            "gen_ai.conversation.id": _CONVERSATION,
            "user.id": _USER,
        },
    )


def _openrouter(call: Call) -> Iterator[Span]:
    """OpenRouter Broadcast: three spans of a call, the outermost alone with counts; costs are text."""
    usage, message = call.usage, call.answer
    completion = {"completion": message["content"] or "", "tool_calls": message.get("tool_calls") or []}
    yield call.span(
        "LLM Generation",
        {
            "span.type": "generation",
            "span.level": "DEFAULT",
            "gen_ai.operation.name": "chat",
            "gen_ai.system": "openai",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": call.billed["request_model"],
            "gen_ai.response.model": call.billed["response_model"],
            "gen_ai.response.id": call.billed["response_id"],
            "gen_ai.response.finish_reason": call.finish_reason,
            "gen_ai.response.finish_reasons": json.dumps([call.finish_reason]),
            "gen_ai.prompt": json.dumps({"messages": call.messages, "tools": call.tools}),
            "gen_ai.completion": json.dumps(completion),
            "gen_ai.usage.input_tokens": usage["input_tokens"],
            "gen_ai.usage.input_tokens.cached": usage["cache_read_tokens"],
            "gen_ai.usage.output_tokens": usage["output_tokens"],
            "gen_ai.usage.output_tokens.reasoning": usage["reasoning_tokens"],
            "gen_ai.usage.total_tokens": usage["input_tokens"] + usage["output_tokens"],
            "gen_ai.usage.input_cost": "0.0000132",
            "gen_ai.usage.output_cost": "0.000018",
            "gen_ai.usage.total_cost": "0.0000312",
            "session.id": _CONVERSATION,
            "user.id": _USER,
            "trace.metadata.openrouter.source": "openrouter",
            "trace.metadata.openrouter.provider_name": "OpenAI",
            "trace.metadata.openrouter.provider_slug": "openai",
            "trace.metadata.openrouter.finish_reason": call.finish_reason,
            "trace.metadata.openrouter.first_token_ms": 412,
        },
    )
    nothing = {
        "gen_ai.usage.input_tokens": 0,
        "gen_ai.usage.output_tokens": 0,
        "gen_ai.usage.total_cost": "-0.0",
    }
    yield call.span("generation", {"span.type": "generation", **nothing}, part="generation", parent="call")
    attempt = {
        "gen_ai.operation.name": "chat",
        "gen_ai.response.id": f"{call.billed['response_id']}:attempt-0",
    }
    yield call.span("provider attempt 1: OpenAI", attempt | nothing, part="attempt", parent="call")


def _langfuse_flat(call: Call) -> Iterator[Span]:
    """Langfuse's generation with counts given by hand as Anthropic answers them: none of them in another."""
    raw, message = call.raw_usage, call.answer
    usage = {
        "input": raw["input_tokens"],
        "output": raw["output_tokens"],
        "cache_read_input_tokens": raw["cache_read_input_tokens"],
        "cache_creation_input_tokens": raw["cache_creation_input_tokens"],
    }
    yield call.span(
        "harbour",
        {
            "langfuse.observation.type": "generation",
            "langfuse.observation.model.name": call.billed["request_model"],
            "langfuse.observation.input": json.dumps(call.messages),
            "langfuse.observation.output": json.dumps(message),
            "langfuse.observation.usage_details": json.dumps(usage),
            "langfuse.observation.metadata.finish_reason": json.dumps(call.finish_reason),
            "langfuse.observation.metadata.ls_provider": json.dumps("anthropic"),
            "session.id": _CONVERSATION,
            "user.id": _USER,
        },
        kind=Span.SPAN_KIND_INTERNAL,
    )


def _thoughts_apart(call: Call) -> Iterator[Span]:
    """A Gemini emitter after the conventions that leaves thoughts out of the output, as the API does."""
    raw = call.raw_usage
    yield call.span(
        f"generate_content {call.billed['request_model']}",
        {
            "gen_ai.operation.name": "generate_content",
            "gen_ai.system": "gemini",
            "gen_ai.request.model": call.billed["request_model"],
            "gen_ai.response.id": call.billed["response_id"],
            "gen_ai.response.model": call.billed["response_model"],
            "gen_ai.response.finish_reasons": [call.finish_reason],
            "gen_ai.usage.input_tokens": raw["promptTokenCount"],
            "gen_ai.usage.cache_read.input_tokens": raw["cachedContentTokenCount"],
            "gen_ai.usage.output_tokens": raw["candidatesTokenCount"],
            "gen_ai.usage.reasoning.output_tokens": raw["thoughtsTokenCount"],
            "gen_ai.usage.total_tokens": raw["totalTokenCount"],
            "gen_ai.input.messages": json.dumps(call.billed["input_messages"]),
            "gen_ai.output.messages": json.dumps(call.billed["output_messages"]),
            "gen_ai.conversation.id": _CONVERSATION,
            "user.id": _USER,
        },
    )


_CHAT = "openai.chat_completions"
_SENDERS: dict[str, Sender] = {
    "sentry": Sender(_CHAT, "gpt-4o-mini", "sentry.openai", _sentry, _openai),
    "openrouter-broadcast": Sender(
        _CHAT, "openai/gpt-4o-mini", "openrouter", _openrouter, _openai, {"service.name": "openrouter"}
    ),
    "langfuse-anthropic-flat": Sender(
        "anthropic.messages",
        "claude-sonnet-4-5",
        "langfuse-sdk",
        _langfuse_flat,
        _anthropic,
        not_sent={
            "response_id": {"*": "Langfuse has ids of its own"},
            "reasoning_tokens": {"*": "they are not among the counts that were given"},
        },
    ),
    "gemini-thoughts-apart": Sender(
        "gcp.gemini.generate_content",
        "gemini-2.5-flash",
        "opentelemetry.instrumentation.google_genai",
        _thoughts_apart,
        _gemini,
    ),
}
HAND_MADE: dict[str, Callable[[], Json]] = {
    name: (lambda name=name, sender=sender: golden(name, sender)) for name, sender in _SENDERS.items()
}
