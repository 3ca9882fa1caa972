"""What a ledger must have understood of a golden file, made of what the provider billed.

And the proof that a golden file can be held to it: for every counted call, each field stands somewhere in the
spans and log records of that call, but for those that are listed as not sent, which stand nowhere.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Json = dict[str, Any]

TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
FIELDS = (
    "request_model",
    "response_model",
    "response_id",
    *TOKENS,
    "finish_reasons",
    "conversation_id",
    "user_id",
    "stream",
    "error_type",
    "input_messages",
    "output_messages",
)
# One step of a call's request or response is one value of these in every dialect.
_SAME_REASON = {
    "tool_calls": "tool_call",
    "tool-calls": "tool_call",
    "tool_use": "tool_call",
    "tool-call": "tool_call",
    "end_turn": "stop",
    "completed": "stop",
}
_WHO = re.compile(r"conversation|session|thread|user", re.IGNORECASE)
_CALLS = {
    "chat",
    "completion",
    "acompletion",
    "text_completion",
    "generate_content",
    "embeddings",
    "embedding",
}
_STREAM = re.compile(r"stream|first.?chunk|first.?token|completion_start_time", re.IGNORECASE)


def expected(
    billed: list[Json],
    *,
    not_sent: Mapping[str, Mapping[str, str]],
    unseen: Mapping[str, str],
    conversation_id: str,
    user_id: str,
    error_type: str,
) -> Json:
    """The `expected` part of a golden file.

    `not_sent` says by field, and there by step (`*` for all), why the packages do not send it; `unseen` by
    step why they have no span of the call at all.
    """
    calls = []
    for number, call in enumerate(billed):
        if call["step"] in unseen:
            continue
        usage = call["usage"] or dict.fromkeys(TOKENS)
        answer: Json = {
            "billed": number,
            "step": call["step"],
            "provider": call["provider"],
            "request_model": call["request_model"],
            "response_model": call["response_model"],
            "response_id": call["response_id"],
            **{name: usage[name] for name in TOKENS},
            "finish_reasons": call["finish_reasons"],
            "conversation_id": conversation_id,
            "user_id": user_id,
            "stream": call["stream"],
            "error_type": error_type if call["status"] >= 400 else None,
            "input_messages": call["input_messages"],
            "output_messages": call["output_messages"],
        }
        answer["not_sent"] = {
            field: why
            for field in FIELDS
            if (why := _why(not_sent.get(field, {}), call["step"])) and answer[field]
        }
        calls.append(answer)
    missed = [
        {"billed": number, "step": call["step"], "why": unseen[call["step"]]}
        for number, call in enumerate(billed)
        if call["step"] in unseen
    ]
    return {"counted_calls": len(calls), "calls": calls, "unseen": missed}


def _why(by_step: Mapping[str, str], step: str) -> str | None:
    return by_step.get(step) or by_step.get("*")


def contradictions(golden: Json) -> Iterator[str]:
    """Where the telemetry of a golden file and its `expected` part say different things."""
    telemetry = by_call(golden)
    for call in golden["expected"]["calls"]:
        leaves = telemetry[call["billed"]]
        for field in FIELDS:
            if not call[field]:
                continue  # nothing to send
            sent = _stands(field, call, leaves)
            claimed = field not in call["not_sent"]
            if sent != claimed:
                said = "is not sent" if claimed else "is sent, against what is said"
                yield f"{golden['dialect']}, call {call['billed']} ({call['step']}): {field} {said}"


def _stands(field: str, call: Json, leaves: list[tuple[str, Any]]) -> bool:
    value = call[field]
    if field in TOKENS:
        raw = {value} | _raw_counts(field, call)
        return any(_number(leaf) in raw for path, leaf in leaves if re.search("token|usage", path.lower()))
    if field.endswith("_messages"):
        parts = [part for message in value for part in message["parts"]]
        return all(_says(part, leaves) for part in parts)
    if field == "finish_reasons":
        wanted = {_reason(reason) for reason in value}
        paths = re.compile(r"finish_?reason|stop_?reason|\.status$", re.IGNORECASE)
        return wanted <= {_reason(leaf) for path, leaf in leaves if paths.search(path)}
    if field == "stream":
        return any(
            leaf not in {False, "False", "false", None, ""} if _STREAM.search(path) else _names_stream(leaf)
            for path, leaf in leaves
            if isinstance(leaf, bool | str | int | float)
        )
    if field == "error_type":
        return any(
            str(leaf).endswith(value) for path, leaf in leaves if re.search("error|except", path.lower())
        )
    if field == "request_model":
        return any(isinstance(leaf, str) and value in {leaf, leaf.split("/")[-1]} for _, leaf in leaves)
    return any(leaf == value for _, leaf in leaves)


def _reason(value: Any) -> Any:
    text = value.lower().rpartition(".")[2] if isinstance(value, str) else value
    return _SAME_REASON.get(text, text)


def _names_stream(leaf: Any) -> bool:
    """Events and operations that only streams have."""
    return isinstance(leaf, str) and len(leaf) < 60 and bool(_STREAM.search(leaf))


def _raw_counts(field: str, call: Json) -> set[int]:
    """Under which other counts a dialect may send a field: without the part that it counts apart."""
    if field == "input_tokens":
        return {call[field] - call["cache_read_tokens"] - call["cache_write_tokens"]}
    if field == "output_tokens":
        return {call[field] - call["reasoning_tokens"]}
    return set()


def _says(part: Json, leaves: list[tuple[str, Any]]) -> bool:
    if part["type"] == "tool_call":
        wanted = [part["name"]]
        # The name stands among the tools' definitions too; an argument with its value only in a call.
        for name, value in part["arguments"].items():
            if not any(path.endswith(f".{name}") and leaf == value for path, leaf in leaves):
                return False
    else:
        wanted = [str(part["content"] if part["type"] == "text" else part["response"])]
    texts = [leaf for _, leaf in leaves if isinstance(leaf, str)]
    return all(any(word in text for text in texts) for word in wanted)


def _number(leaf: Any) -> Any:
    if isinstance(leaf, str) and re.fullmatch(r"\d{1,9}", leaf):
        return int(leaf)
    return leaf if isinstance(leaf, int | float) and not isinstance(leaf, bool) else None


# --- which telemetry belongs to which call


def by_call(golden: Json) -> list[list[tuple[str, Any]]]:
    """For each billed call, all values of the spans around it and of their events and log records."""
    received = [int(call["received_unix_nano"]) for call in golden["billed"]]
    telemetry: list[list[tuple[str, Any]]] = [[] for _ in received]
    places: dict[str, list[int]] = {}
    for span in spans(golden["requests"]["traces"]):
        calls = calls_of(span, received)
        places[span["spanId"]] = calls
        found = list(_leaves_of_span(span))
        if is_around(span):
            # Who asked may be said around the call; what was asked and billed counts on the call's own span.
            found = [leaf for leaf in found if _WHO.search(leaf[0])]
        for number in calls:
            telemetry[number] += found
    for record in records(golden["requests"]["logs"]):
        for number in places.get(record.get("spanId", ""), []):
            body = value_of(record.get("body") or {})
            fields = {"event": record.get("eventName"), "body": body}
            telemetry[number] += leaves("", fields | attributes_of(record))
    return telemetry


def calls_of(span: Json, received: list[int]) -> list[int]:
    """Those that came in while the span was open; for one with none, the last one before its end."""
    start, end = int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])
    within = [number for number, time in enumerate(received) if start <= time <= end]
    before = [number for number, time in enumerate(received) if time <= end]
    return within or before[-1:]


def is_around(span: Json) -> bool:
    """Whether a span says that it is an agent, a workflow, a tool or a step, and not a call of a model."""
    attributes = attributes_of(span)
    operation = attributes.get("gen_ai.operation.name")
    if operation is not None:
        return operation not in _CALLS
    return (
        attributes.get("openinference.span.kind") in {"CHAIN", "AGENT", "TOOL"}
        or attributes.get("langfuse.observation.type") in {"span", "agent", "chain", "tool"}
        or attributes.get("ai.operationId") in {"ai.generateText", "ai.streamText", "ai.embed", "ai.toolCall"}
        or "traceloop.span.kind" in attributes
    )


def spans(requests: Iterable[Json]) -> Iterator[Json]:
    for request in requests:
        for resource in request.get("resourceSpans", []):
            for scope in resource.get("scopeSpans", []):
                yield from scope.get("spans", [])


def records(requests: Iterable[Json]) -> Iterator[Json]:
    for request in requests:
        for resource in request.get("resourceLogs", []):
            for scope in resource.get("scopeLogs", []):
                yield from scope.get("logRecords", [])


def _leaves_of_span(span: Json) -> Iterator[tuple[str, Any]]:
    yield "name", span["name"]
    yield from leaves("", attributes_of(span))
    for event in span.get("events", []):
        yield "event", event["name"]
        yield from leaves(f"event {event['name']}", attributes_of(event))


def leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """All values with their paths; texts that hold JSON, or what Python prints of it, are looked into."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from leaves(f"{path}.{key}", inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from leaves(path, inner)
    else:
        yield path, value
        if isinstance(value, str) and value[:1] in {"{", "[", '"'}:
            yield from leaves(path, _parsed(value))


def _parsed(text: str) -> Any:
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(text)
        except (ValueError, SyntaxError):
            continue
    return None


def attributes_of(holder: Json) -> Json:
    return {item["key"]: value_of(item.get("value") or {}) for item in holder.get("attributes", [])}


def value_of(sent: Json) -> Any:
    """An AnyValue of OTLP/JSON as Python has it."""
    for kind, value in sent.items():
        if kind == "arrayValue":
            return [value_of(item) for item in value.get("values", [])]
        if kind == "kvlistValue":
            return {item["key"]: value_of(item.get("value") or {}) for item in value.get("values", [])}
        return int(value) if kind == "intValue" else value
    return None
