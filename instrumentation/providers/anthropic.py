"""The Anthropic SDK: messages of its own API, of Bedrock, Vertex AI and Foundry, and results of batches."""

import base64
import inspect
import json
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from typing import Any, cast

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.util.types import AttributeValue

from spanledger.instrumentation import suppression
from spanledger.instrumentation.calls import Request
from spanledger.instrumentation.invocation import Invocation
from spanledger.instrumentation.patching import Patch
from spanledger.instrumentation.providers import anthropic_messages
from spanledger.instrumentation.providers.anthropic_messages import MessageAccumulator
from spanledger.instrumentation.providers.bedrock_models import model_of
from spanledger.instrumentation.providers.stainless import Call, Following, StainlessInstrumentor
from spanledger.instrumentation.quiet import quietly
from spanledger.instrumentation.reading import field
from spanledger.instrumentation.streams import BodyTap, RecordedAsyncIterator, RecordedIterator, watch_body
from spanledger.schemas import attributes as names
from spanledger.schemas.hosts import provider_of

_MESSAGES = "/v1/messages"
_BATCH_RESULTS = re.compile(r"/v1/messages/batches/([^/?]+)/results(\?|$)")
# The client class decides where it can: such a client may sit in front of any host.
_CLIENTS = {
    "BaseBedrockClient": "aws.bedrock",
    "BaseMantleClient": "aws.bedrock",
    "BaseVertexClient": "gcp.vertex_ai",
    "BaseFoundryClient": "azure.ai.inference",
}
_BEDROCK_EVENTS = "application/vnd.amazon.eventstream"
_BATCH_TIER = "batch"
_HELPER = "x-stainless-stream-helper"
# Batches of which is remembered how far they were read.
_MOST_BATCHES = 1_000


class AnthropicInstrumentor(StainlessInstrumentor):
    """Records the calls of every Anthropic client in this process, those that exist already included."""

    scope = __name__

    def instrumentation_dependencies(self) -> Collection[str]:
        return ("anthropic >= 0.40, < 3",)

    def clients(self) -> Sequence[type]:
        import anthropic

        return anthropic.Anthropic, anthropic.AsyncAnthropic

    def _instrument(self, **kwargs: Any) -> None:
        super()._instrument(**kwargs)
        with quietly("finding the spans of the SDK itself"):
            import anthropic._base_client as base

            if hasattr(base, "start_api_call_span"):
                self._patches += (Patch(base, "start_api_call_span", _share_span),)

    def begin(self, client: Any, options: Any, *, streaming: bool) -> Following | None:
        url = str(options.url)
        if url.partition("?")[0] == _MESSAGES:
            return self._message(client, options, streaming=streaming)
        results = _BATCH_RESULTS.search(url)
        return _BatchResults(self, client, results.group(1)) if results else None

    def _message(self, client: Any, options: Any, *, streaming: bool) -> Call:
        invocation = self.invocation(_read_request(client, options, streaming=streaming))
        accumulator = MessageAccumulator(invocation.policy.any)
        if invocation.request.provider == "aws.bedrock":
            accumulator.billed_model = model_of(invocation.request.model)
        return _MessageCall(invocation, accumulator, options)


def _share_span(
    wrapped: Callable[..., Any], _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Where a call is recorded already, the SDK's own span would be its double: it gets ours to pass on.

    So the SDK still sends the trace context with its request, which is that of our span.
    """
    if not suppression.suppressed():
        return wrapped(*args, **kwargs)
    around = trace.get_current_span().get_span_context()
    return trace.NonRecordingSpan(around) if around.is_valid else None


class _MessageCall(Call):
    def __init__(self, invocation: Invocation, accumulator: MessageAccumulator, options: Any) -> None:
        super().__init__(invocation, accumulator, options)
        self._reads_anew = False
        with quietly("looking for a stream helper"):
            self._reads_anew = _reads_anew(options)

    def deliver(self, result: Any) -> None:
        response = getattr(result, "response", None)
        if not self._reads_anew or response is None:
            super().deliver(result)
            return
        with quietly("reading a response"):
            watch_body(response, self.recording, events=True, reader=self.body_reader(response))
            return
        self.recording.finish()

    def body_reader(self, response: Any) -> type[BodyTap]:
        is_bedrock = str(response.headers.get("content-type", "")).startswith(_BEDROCK_EVENTS)
        return _EventStreamTap if is_bedrock else BodyTap


def _reads_anew(options: Any) -> bool:
    """Whether a stream helper asks whose stream is not the one that it is given."""
    given = options.headers if isinstance(options.headers, Mapping) else {}
    return any(str(name).lower() == _HELPER for name in given) and _helpers_make_streams()


@cache
def _helpers_make_streams() -> bool:
    """Up to version 0.42 a helper throws the stream away and makes its own of the same response."""
    from anthropic.lib.streaming import MessageStream

    return "raw_stream" not in inspect.signature(MessageStream.__init__).parameters


class _EventStreamTap(BodyTap):
    """Bedrock streams the same events in frames of its own."""

    _frames: Any = None

    def _read_events(self) -> None:
        if self._frames is None:
            from botocore.eventstream import EventStreamBuffer

            self._frames = EventStreamBuffer()
        self._frames.add_data(bytes(self._buffer))
        self._buffer.clear()
        for frame in self._frames:
            failure = frame.headers.get(":exception-type") or frame.headers.get(":error-code")
            if failure:
                self._recording.fail(str(failure))
            else:
                self._recording.chunk(json.loads(base64.b64decode(json.loads(frame.payload)["bytes"])))


class _LinesTap(BodyTap):
    """A raw body of JSON lines."""

    def _read_events(self) -> None:
        *lines, rest = self._buffer.split(b"\n")
        self._buffer = bytearray(rest)
        self._read_lines(lines)

    def finish(self) -> None:
        with quietly("reading a raw body"):
            self._read_lines([self._buffer])
        self._recording.finish()

    def _read_lines(self, lines: Sequence[bytearray]) -> None:
        for line in lines:
            if line.strip():
                self._recording.chunk(json.loads(line))


class _Progress:
    """How many results of each batch were recorded: they are a file, whose lines never change their order."""

    def __init__(self) -> None:
        self._recorded: OrderedDict[str, int] = OrderedDict()
        self.unlock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.unlock)

    def unlock(self) -> None:
        """A child may have been forked while another thread held the lock: nobody would release it there."""
        self._lock = threading.Lock()

    def take(self, batch_id: str, line: int) -> bool:
        """Whether this line, counted from zero, is read for the first time in this process."""
        with self._lock:
            recorded = self._recorded.pop(batch_id, 0)
            self._recorded[batch_id] = max(recorded, line + 1)
            if len(self._recorded) > _MOST_BATCHES:
                self._recorded.popitem(last=False)
        return line >= recorded


_PROGRESS = _Progress()


class _BatchResults:
    """The answers of a batch: each is a call, recorded when it is first read, at the batch's price."""

    def __init__(self, instrumentor: AnthropicInstrumentor, client: Any, batch_id: str) -> None:
        self.context = otel_context.get_current()
        self.producing = False
        self._instrumentor = instrumentor
        self._provider = _provider(client)
        self._attributes = {**_server(client), names.METADATA_BATCH_ID: batch_id}
        self._batch_id = batch_id
        self._lines = 0

    def deliver(self, result: Any) -> None:
        with quietly("reading results"):
            inner = getattr(result, "_iterator", None)
            if inner is None:
                watch_body(result.http_response, cast("Any", self), events=True, reader=_LinesTap)
                return
            wrap = RecordedAsyncIterator if hasattr(inner, "__anext__") else RecordedIterator
            result._iterator = wrap(inner, self)  # noqa: SLF001 - as with streams

    def chunk(self, line: Any) -> None:
        with quietly("reading a result"):
            number, self._lines = self._lines, self._lines + 1
            if not _PROGRESS.take(self._batch_id, number):
                return
            result = field(line, "result")
            kind = field(result, "type")
            # What was cancelled never reached a model.
            if kind == "succeeded":
                self._answer(line, field(result, "message"))
            elif kind in {"errored", "expired"}:
                self._start(line).fail(_failure(result) or kind)

    def _answer(self, line: Any, message: Any) -> None:
        invocation = self._start(line)
        accumulator = MessageAccumulator(invocation.policy.any)
        accumulator.add_whole(message)
        response = accumulator.response()
        response.service_tier = response.attributes[names.ANTHROPIC_RESPONSE_SERVICE_TIER] = _BATCH_TIER
        invocation.finish(response)

    def _start(self, line: Any) -> Invocation:
        attributes = {**self._attributes, names.METADATA_CUSTOM_ID: field(line, "custom_id")}
        return self._instrumentor.invocation(
            Request(
                operation=names.OPERATION_CHAT,
                provider=self._provider,
                model=None,
                attributes={key: value for key, value in attributes.items() if value is not None},
            )
        )

    def finish(self) -> None:
        """The lines are recorded one by one; their end says nothing more."""

    def fail(self, error: BaseException | str) -> None:
        """A list of results that breaks off is no failed call."""

    closed = abandon = finish


def _failure(result: Any) -> str | None:
    """The type of the error in an error response, such as invalid_request_error."""
    error = field(result, "error")
    inner = field(error, "error") or error
    kind = field(inner, "type")
    return kind if isinstance(kind, str) else None


def _read_request(client: Any, options: Any, *, streaming: bool) -> Request:
    body = _body(options)
    model = body.get("model")
    attributes = _server(client)
    with quietly("reading a request"):
        attributes[names.CONVERSATION_ID] = field(getattr(client, "_otel", None), "conversation_id")
        attributes.update(anthropic_messages.request_attributes(body))
    return Request(
        operation=names.OPERATION_CHAT,
        provider=_provider(client),
        model=model if isinstance(model, str) else None,
        attributes={key: value for key, value in attributes.items() if value is not None},
        stream=streaming,
        input_messages=lambda: anthropic_messages.input_messages(body),
        system_instructions=lambda: anthropic_messages.system_instructions(body),
        tool_definitions=lambda: anthropic_messages.tool_definitions(body),
    )


def _body(options: Any) -> Mapping[str, Any]:
    """What is sent: the method's own parameters, and over them those of `extra_body`."""
    given, extra = options.json_data, getattr(options, "extra_json", None)
    body = given if isinstance(given, dict) else {}
    return {**body, **extra} if isinstance(extra, Mapping) else body


def _server(client: Any) -> dict[str, AttributeValue | None]:
    with quietly("reading an address"):
        url = client.base_url
        port = url.port or {"https": 443, "http": 80}.get(url.scheme)
        return {names.SERVER_ADDRESS: url.host or None, names.SERVER_PORT: port}
    return {}


def _provider(client: Any) -> str:
    for kind in type(client).__mro__:
        if kind.__name__ in _CLIENTS:
            return _CLIENTS[kind.__name__]
    with quietly("reading an address"):
        return provider_of(client.base_url.host) or "anthropic"
    return "anthropic"
