"""What a span of one call may, should and must carry: the table of attributes of each operation.

    from tests.instrumentation.conventions import check

    check(spans.one(), "chat")
    check(spans.one(), "chat", without={names.RESPONSE_ID})  # the provider tells no id

The keys are those of the conventions for generative AI (client inference spans) and of our own namespace, as
they stand in schemas/attributes.py. A key that the conventions know and the table does not is added to the
table, with the operations that may carry it; nothing is ever left out of the check by the caller but what is
recommended.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from spanledger.schemas import attributes as names


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)


def _is_decimal(value: Any) -> bool:
    """A decimal in plain notation."""
    return isinstance(value, str) and value.replace(".", "", 1).isdecimal()


# Name of a type of value, and what is one.
_TYPES: dict[str, Any] = {
    "a text": lambda value: isinstance(value, str) and bool(value),
    "an integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "a count": _is_count,
    "a double": lambda value: isinstance(value, float),
    "a number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "true": lambda value: value is True,
    "a list of texts": _is_texts,
    "a decimal in plain notation": _is_decimal,
    "any scalar or list": lambda value: isinstance(value, str | bool | int | float | list | tuple),
    "parts as JSON": lambda value: _fault_of_parts(_json(value)) is None,
    "messages as JSON": lambda value: _fault_of_messages(_json(value)) is None,
    "definitions as JSON": lambda value: _fault_of_definitions(_json(value)) is None,
}

_SAMPLING = {
    names.REQUEST_MAX_TOKENS: "an integer",
    names.REQUEST_TEMPERATURE: "a double",
    names.REQUEST_TOP_P: "a double",
    names.REQUEST_TOP_K: "an integer",
    names.REQUEST_SEED: "an integer",
    names.REQUEST_STOP_SEQUENCES: "a list of texts",
    names.REQUEST_FREQUENCY_PENALTY: "a double",
    names.REQUEST_PRESENCE_PENALTY: "a double",
    names.REQUEST_CHOICE_COUNT: "an integer",
    names.REQUEST_REASONING_LEVEL: "a text",
    names.REQUEST_PREVIOUS_RESPONSE_ID: "a text",
    names.PROMPT_NAME: "a text",
    names.PROMPT_VERSION: "a text",
}
_STREAMING = {names.REQUEST_STREAM: "true", names.RESPONSE_TIME_TO_FIRST_CHUNK: "a double"}
_INPUT_USAGE = {
    names.USAGE_INPUT_TOKENS: "a count",
    names.USAGE_CACHE_READ_INPUT_TOKENS: "a count",
    names.USAGE_CACHE_WRITE_INPUT_TOKENS: "a count",
    names.USAGE_TEXT_INPUT_TOKENS: "a count",
    names.USAGE_IMAGE_INPUT_TOKENS: "a count",
    names.USAGE_AUDIO_INPUT_TOKENS: "a count",
    names.USAGE_VIDEO_INPUT_TOKENS: "a count",
    names.USAGE_TEXT_CACHE_READ_INPUT_TOKENS: "a count",
    names.USAGE_IMAGE_CACHE_READ_INPUT_TOKENS: "a count",
    names.USAGE_AUDIO_CACHE_READ_INPUT_TOKENS: "a count",
}
_OUTPUT_USAGE = {
    names.USAGE_OUTPUT_TOKENS: "a count",
    names.USAGE_REASONING_OUTPUT_TOKENS: "a count",
    names.USAGE_TEXT_OUTPUT_TOKENS: "a count",
    names.USAGE_IMAGE_OUTPUT_TOKENS: "a count",
    names.USAGE_AUDIO_OUTPUT_TOKENS: "a count",
    names.USAGE_VIDEO_OUTPUT_TOKENS: "a count",
}
_UNITS = {
    names.USAGE_ESTIMATED: "true",
    names.USAGE_CACHE_WRITE_5M_TOKENS: "a count",
    names.USAGE_CACHE_WRITE_1H_TOKENS: "a count",
    names.USAGE_WEB_SEARCHES: "a count",
    names.USAGE_STORAGE_SEARCHES: "a count",
    names.USAGE_AUDIO_SECONDS: "a number",
    names.USAGE_INPUT_AUDIO_SECONDS: "a number",
    names.USAGE_INPUT_CHARACTERS: "a count",
    names.USAGE_OUTPUT_CITATION_TOKENS: "a count",
    names.USAGE_INPUT_DOCUMENT_PAGES: "a count",
    names.USAGE_INPUT_ANNOTATED_DOCUMENT_PAGES: "a count",
    names.USAGE_SEARCH_UNITS: "a number",
}
_INPUT = {names.SYSTEM_INSTRUCTIONS: "parts as JSON", names.INPUT_MESSAGES: "messages as JSON"}
_OUTPUT = {names.OUTPUT_MESSAGES: "messages as JSON"}
_TOOLS = {names.TOOL_DEFINITIONS: "definitions as JSON"}
_FINISH = {names.RESPONSE_FINISH_REASONS: "a list of texts"}
_OUTPUT_TYPE = {names.OUTPUT_TYPE: "a text"}
_EMBEDDING = {
    names.REQUEST_ENCODING_FORMATS: "a list of texts",
    names.EMBEDDINGS_DIMENSION_COUNT: "an integer",
}
# A call is priced or says why it is not.
_PRICED = {
    names.COST_AMOUNT: "a double",
    names.COST_CURRENCY: "a text",
    names.COST_SOURCE: "a text",
    names.COST_TOTAL: "a decimal in plain notation",
    names.COST_INPUT: "a decimal in plain notation",
    names.COST_OUTPUT: "a decimal in plain notation",
    names.COST_PRICE_VERSION: "a text",
}
_COST = {**_PRICED, names.COST_REASON: "a text"}
# What a call of any kind may carry.
_EVERY = {
    names.OPERATION_NAME: "a text",
    names.PROVIDER_NAME: "a text",
    names.REQUEST_MODEL: "a text",
    names.RESPONSE_ID: "a text",
    names.RESPONSE_MODEL: "a text",
    names.CONVERSATION_ID: "a text",
    names.SERVER_ADDRESS: "a text",
    names.SERVER_PORT: "a count",
    names.ERROR_TYPE: "a text",
    names.USER_ID: "a text",
    names.SESSION_ID: "a text",
    names.OPENAI_API_TYPE: "a text",
    names.OPENAI_REQUEST_SERVICE_TIER: "a text",
    names.OPENAI_RESPONSE_SERVICE_TIER: "a text",
    names.RESPONSE_SERVICE_TIER: "a text",
    names.OPENAI_RESPONSE_SYSTEM_FINGERPRINT: "a text",
    names.TAGS: "a list of texts",
    names.EXPERIMENT_ID: "a text",
}
_PREFIXES = {
    names.METADATA_PREFIX: "any scalar or list",
    names.PROMPT_VARIABLE_PREFIX: "a text",
}
_GENERATION = {
    **_SAMPLING,
    **_STREAMING,
    **_INPUT_USAGE,
    **_OUTPUT_USAGE,
    **_UNITS,
    **_COST,
    **_INPUT,
    **_OUTPUT,
    **_TOOLS,
    **_FINISH,
    **_OUTPUT_TYPE,
}

_REQUIRED = (names.OPERATION_NAME, names.PROVIDER_NAME)
_SERVER = (names.SERVER_ADDRESS, names.SERVER_PORT)
_ANSWERED = (*_SERVER, names.REQUEST_MODEL, names.RESPONSE_ID, names.RESPONSE_MODEL)
_TOKENS = (names.USAGE_INPUT_TOKENS, names.USAGE_OUTPUT_TOKENS)


@dataclass(frozen=True)
class Operation:
    """The keys of one operation: `allowed` with their types, and of these what must and should be there.

    What is not allowed is forbidden. Recommended keys are asked of calls that succeeded.
    """

    allowed: Mapping[str, str]
    recommended: Collection[str] = _ANSWERED
    required: Collection[str] = _REQUIRED
    priced: bool = True

    @property
    def types(self) -> dict[str, str]:
        return {**_EVERY, **self.allowed}


_GENERATED = Operation(_GENERATION, (*_ANSWERED, names.RESPONSE_FINISH_REASONS, *_TOKENS))
_MEDIA = {
    **_STREAMING,
    **_INPUT_USAGE,
    **_OUTPUT_USAGE,
    **_UNITS,
    **_COST,
    **_INPUT,
    **_OUTPUT,
    **_OUTPUT_TYPE,
}
_MEDIA_ASKED = (*_SERVER, names.REQUEST_MODEL)

OPERATIONS: dict[str, Operation] = {
    names.OPERATION_CHAT: _GENERATED,
    names.OPERATION_TEXT_COMPLETION: _GENERATED,
    names.OPERATION_GENERATE_CONTENT: _GENERATED,
    names.OPERATION_EMBEDDINGS: Operation(
        {**_EMBEDDING, **_INPUT_USAGE, **_UNITS, **_COST, **_INPUT},
        (*_MEDIA_ASKED, names.RESPONSE_MODEL, names.USAGE_INPUT_TOKENS),
    ),
    names.OPERATION_RERANK: Operation(
        {**_INPUT_USAGE, **_OUTPUT_USAGE, **_UNITS, **_COST, **_INPUT}, _MEDIA_ASKED
    ),
    names.OPERATION_OCR: Operation({**_UNITS, **_COST, **_INPUT, **_OUTPUT}, _MEDIA_ASKED),
    # An image, speech or a transcription may be billed by the piece: then there are no tokens.
    names.OPERATION_IMAGE_GENERATION: Operation(
        {**_MEDIA, names.REQUEST_CHOICE_COUNT: "an integer"}, _MEDIA_ASKED
    ),
    names.OPERATION_SPEECH: Operation(_MEDIA, (*_MEDIA_ASKED, names.OUTPUT_TYPE)),
    names.OPERATION_TRANSCRIPTION: Operation({**_MEDIA, names.REQUEST_TEMPERATURE: "a double"}, _MEDIA_ASKED),
    names.OPERATION_TRANSLATION: Operation({**_MEDIA, names.REQUEST_TEMPERATURE: "a double"}, _MEDIA_ASKED),
    names.OPERATION_MODERATION: Operation(
        {**_COST, **_INPUT, **_OUTPUT, **_INPUT_USAGE}, _MEDIA_ASKED, priced=False
    ),
    # No tokens and no cost: the call that made the answer has them.
    names.OPERATION_FETCH_RESPONSE: Operation(
        {**_STREAMING, **_OUTPUT, **_INPUT, **_FINISH}, (*_SERVER, names.RESPONSE_ID), priced=False
    ),
    names.OPERATION_BATCH: Operation(
        {**_INPUT_USAGE, **_OUTPUT_USAGE, **_UNITS, **_COST, **_FINISH, **_INPUT, **_OUTPUT},
        (*_SERVER, names.RESPONSE_ID),
        priced=False,
    ),
}


def check(span: ReadableSpan, operation: str, *, without: Collection[str] = ()) -> None:
    """Fails, in words, unless the span is one call of this operation as the conventions want it.

    `without` names recommended keys that this provider or this answer does not have; they must be absent.
    """
    assert operation in OPERATIONS, f"{operation!r} is no operation; there are {', '.join(OPERATIONS)}"
    faults = faults_of(span, operation)
    attributes = span.attributes or {}
    ended_early = "error" in (attributes.get(names.RESPONSE_FINISH_REASONS) or ())
    if span.status.status_code is not StatusCode.ERROR and not ended_early:
        recommended = set(OPERATIONS[operation].recommended)
        faults += [
            f"{key} is recommended and missing" for key in sorted(recommended - {*without, *attributes})
        ]
    faults += [f"{key} is said to be absent and is there" for key in sorted(without) if key in attributes]
    assert not faults, f"{span.name}:\n  " + "\n  ".join(faults)


def check_all(spans: Collection[ReadableSpan]) -> None:
    """The same, but for what is recommended, of every span that is a call: for many calls of many kinds."""
    for span in spans:
        operation = str((span.attributes or {}).get(names.OPERATION_NAME))
        faults = faults_of(span, operation)
        assert not faults, f"{span.name}:\n  " + "\n  ".join(faults)


def faults_of(span: ReadableSpan, operation: str) -> list[str]:
    """What is wrong with a span, without what is only recommended."""
    if operation not in OPERATIONS:
        return [f"{operation!r} is no operation; there are {', '.join(OPERATIONS)}"]
    table, attributes = OPERATIONS[operation], dict(span.attributes or {})
    faults = [f"{key} is required and missing" for key in table.required if key not in attributes]
    faults += [fault for key in attributes if (fault := _fault_of_key(key, attributes[key], operation))]
    faults += _faults_of_form(span, operation, attributes)
    faults += _faults_of_usage(attributes)
    faults += _faults_of_cost(attributes, priced=table.priced)
    return faults


def _fault_of_key(key: str, value: Any, operation: str) -> str | None:
    kind = OPERATIONS[operation].types.get(key)
    if kind is None:
        kind = next((kind for prefix, kind in _PREFIXES.items() if key.startswith(prefix)), None)
    if kind is None:
        elsewhere = sorted(name for name, table in OPERATIONS.items() if key in table.types)
        if elsewhere:
            return f"{key} is forbidden here; it belongs to {', '.join(elsewhere)}"
        ours = key.startswith(("gen_ai.", "spanledger.", "openai."))
        return f"{key} is a key that neither the conventions nor we know" if ours else None
    return None if _TYPES[kind](value) else f"{key} must be {kind} and is {value!r}"


def _faults_of_form(span: ReadableSpan, operation: str, attributes: Mapping[str, Any]) -> list[str]:
    model = attributes.get(names.REQUEST_MODEL)
    wanted = f"{operation} {model}" if model else operation
    failed = span.status.status_code is StatusCode.ERROR
    rules = {
        f"the name must be {wanted!r} and is {span.name!r}": span.name == wanted,
        f"the kind must be CLIENT and is {span.kind}": span.kind is SpanKind.CLIENT,
        "the status of a success must be left unset": span.status.status_code is not StatusCode.OK,
        "error.type must be there exactly when the status is an error": failed
        == (names.ERROR_TYPE in attributes),
        f"the operation must be {operation!r}": attributes.get(names.OPERATION_NAME) == operation,
        "a time to the first chunk is for streams": names.RESPONSE_TIME_TO_FIRST_CHUNK not in attributes
        or names.REQUEST_STREAM in attributes,
    }
    return [fault for fault, holds in rules.items() if not holds]


def _faults_of_usage(attributes: Mapping[str, Any]) -> list[str]:
    """Every detail is a part of its whole."""
    faults = []
    for whole in (names.USAGE_INPUT_TOKENS, names.USAGE_OUTPUT_TOKENS):
        side = whole.rpartition(".")[2]
        parts = [
            key for key in {**_INPUT_USAGE, **_OUTPUT_USAGE} if key != whole and key.endswith(f".{side}")
        ]
        faults += [
            f"{key} = {attributes[key]} is more than its whole, {whole} = {attributes.get(whole)}"
            for key in parts
            if key in attributes and attributes[key] > attributes.get(whole, 0)
        ]
    return faults


def _faults_of_cost(attributes: Mapping[str, Any], *, priced: bool) -> list[str]:
    present = [key for key in _PRICED if key in attributes]
    if names.COST_REASON in attributes:
        return [f"{key} stands beside a reason for no cost" for key in present]
    if not present:
        return ["there is neither a cost nor a reason for none"] if priced else []
    return [f"{key} is missing beside the rest of a cost" for key in _PRICED if key not in attributes]


def _json(text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return None


def _fault_of_parts(parts: Any) -> str | None:
    if not isinstance(parts, list):
        return "parts are a list"
    wrong = next((part for part in parts if not isinstance(part, dict) or not part.get("type")), None)
    return None if wrong is None else f"a part has a type, unlike {wrong!r}"


def _fault_of_messages(messages: Any) -> str | None:
    if not isinstance(messages, list):
        return "messages are a list"
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            return f"a message has a role, unlike {message!r}"
        fault = _fault_of_parts(message.get("parts"))
        if fault:
            return fault
    return None


def _fault_of_definitions(definitions: Any) -> str | None:
    if not isinstance(definitions, list):
        return "definitions are a list"
    wrong = next((item for item in definitions if not isinstance(item, dict) or not item.get("type")), None)
    return None if wrong is None else f"a definition has a type, unlike {wrong!r}"
