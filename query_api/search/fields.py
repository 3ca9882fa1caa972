"""Fields: what spans are searched, grouped and sorted by, each with the expression that gives it.

The expressions read columns of `spans`. They are constants: nothing that a caller sends becomes part of
one.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

from spanledger.schemas.api import Kind as SpanKind
from spanledger.schemas.api import Status
from spanledger.schemas.calls import ROLES

Kind = Literal["text", "texts", "number", "money", "choice", "flag"]


class Field(NamedTuple):
    """`sql` gives '' for a text that was not sent, NULL for a number that is not known.

    `inherited`: where a span does not say it, the rest of its trace does. `choices`: the only values there
    are.
    """

    kind: Kind
    sql: str
    meaning: str
    inherited: bool = False
    choices: tuple[str, ...] = ()


def _choice(sql: str, meaning: str, *choices: str) -> Field:
    return Field("choice", sql, meaning, choices=choices)


_STATUS = "transform(status_code, [1, 2], ['ok', 'error'], 'unset')"
_KINDS = "['internal', 'server', 'client', 'producer', 'consumer']"
_KIND = f"transform(kind, [1, 2, 3, 4, 5], {_KINDS}, 'unspecified')"
_PARENT = "if(parent_span_id = toFixedString('', 8), '', lower(hex(parent_span_id)))"
_TOKENS = (
    "if(input_tokens IS NULL AND output_tokens IS NULL, NULL, "
    "ifNull(input_tokens, 0) + ifNull(output_tokens, 0))"
)

FIELDS: dict[str, Field] = {
    "trace_id": Field("text", "lower(hex(trace_id))", "The trace, 32 hex digits."),
    "span_id": Field("text", "lower(hex(span_id))", "The span, 16 hex digits."),
    "parent_span_id": Field("text", _PARENT, "The span above, 16 hex digits; empty: a root."),
    "name": Field("text", "name", "The span's name."),
    "service": Field("text", "service", "service.name of what sent it."),
    "scope": Field("text", "scope_name", "The instrumentation that made it."),
    "dialect": Field("text", "dialect", "Whose spelling it is written in."),
    "kind": _choice(_KIND, "The span's kind.", *get_args(SpanKind)),
    "role": _choice("role", "What it is: a call of a model, of a tool ...", *ROLES),
    "operation": Field("text", "operation", "gen_ai.operation.name."),
    "provider": Field("text", "provider", "Who answered."),
    "model": Field(
        "text",
        "if(response_model = '', request_model, response_model)",
        "The model that answered, else the one that was asked for.",
    ),
    "request_model": Field("text", "request_model", "The model that was asked for."),
    "response_model": Field("text", "response_model", "The model that answered."),
    "response_id": Field("text", "response_id", "The provider's id of the answer."),
    "service_tier": Field("text", "service_tier", "batch, flex, priority ..."),
    "status": _choice(_STATUS, "The span's status.", *get_args(Status)),
    "error_type": Field("text", "error_type", "error.type, without its module."),
    "user": Field("text", "user_id", "The end user, of the span or else of its trace.", inherited=True),
    "conversation": Field(
        "text", "conversation_id", "The conversation, of the span or else of its trace.", inherited=True
    ),
    "experiment": Field(
        "text", "experiment_id", "The experiment, of the span or else of its trace.", inherited=True
    ),
    "tool": Field("text", "tool_name", "The tool that ran."),
    "agent": Field("text", "agent_name", "The agent that worked."),
    "tag": Field("texts", "tags", "A tag of the span."),
    "finish_reason": Field("texts", "finish_reasons", "Why an answer ended."),
    "event": Field("texts", "events.name", "The name of an event during the span."),
    "duration_ms": Field("number", "duration_ns / 1e6", "Milliseconds from start to end."),
    "time_to_first_chunk_s": Field("number", "time_to_first_chunk_s", "Seconds to the first chunk."),
    "input_tokens": Field("number", "input_tokens", "Tokens that went in, cached ones included."),
    "output_tokens": Field("number", "output_tokens", "Tokens that came out, reasoning included."),
    "tokens": Field("number", _TOKENS, "Tokens in and out."),
    "cache_read_tokens": Field("number", "cache_read_tokens", "Tokens read from a cache."),
    "cache_write_tokens": Field("number", "cache_write_tokens", "Tokens written to a cache."),
    "reasoning_tokens": Field("number", "reasoning_tokens", "Tokens of reasoning."),
    "cost_usd": Field("money", "cost_usd", "What the call costs, US dollars."),
    "cost_reason": Field("text", "cost_reason", "Why its cost is not known; empty: it is."),
    "counted": Field("flag", "counted", "Whether totals count it: a call, and no second record of one."),
}
