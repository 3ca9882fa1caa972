"""The OpenAI SDK: a table of endpoints, and how to read their requests, responses and chunks."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from opentelemetry import context as otel_context
from opentelemetry.util.types import AttributeValue

from spanledger.instrumentation import options as settings
from spanledger.instrumentation.calls import Accumulator, Message, Request
from spanledger.instrumentation.invocation import Invocation
from spanledger.instrumentation.providers import (
    openai_background,
    openai_batches,
    openai_chat,
    openai_media,
    openai_responses,
    openai_texts,
    openai_usage,
)
from spanledger.instrumentation.providers.stainless import Call, Following, StainlessInstrumentor
from spanledger.instrumentation.quiet import quietly
from spanledger.instrumentation.streams import BodyTap, Recording, watch_body
from spanledger.schemas import attributes as names
from spanledger.schemas.hosts import provider_of

Json = Mapping[str, Any]


def _no_messages(_body: Json) -> list[Message]:
    return []


def _no_attributes(_body: Json) -> dict[str, AttributeValue | None]:
    return {}


def _of_content(kind: Callable[[bool], Accumulator]) -> Callable[[bool, Json], Accumulator]:
    """Most answers are read without a look at the request."""
    return lambda content, _body: kind(content)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One kind of call: its name in the conventions and the readers of its bodies.

    `accumulator` is told whether content is kept, and the body; `asks_usage`: a stream tells usage if asked.
    """

    operation: str
    accumulator: Callable[[bool, Json], Accumulator]
    api_type: str | None = None
    attributes: Callable[[Json], dict[str, AttributeValue | None]] = _no_attributes
    input_messages: Callable[[Json], list[Message]] = _no_messages
    system_instructions: Callable[[Json], list[Message]] = _no_messages
    tool_definitions: Callable[[Json], list[Message]] = _no_messages
    asks_usage: bool = False


_CHAT = Endpoint(
    operation=names.OPERATION_CHAT,
    api_type="chat_completions",
    attributes=openai_chat.request_attributes,
    input_messages=openai_chat.input_messages,
    tool_definitions=openai_chat.tool_definitions,
    accumulator=_of_content(openai_chat.ChatAccumulator),
    asks_usage=True,
)
_RESPONSES = Endpoint(
    operation=names.OPERATION_CHAT,
    api_type="responses",
    attributes=openai_responses.request_attributes,
    input_messages=openai_responses.input_messages,
    system_instructions=openai_responses.system_instructions,
    tool_definitions=openai_responses.tool_definitions,
    accumulator=_of_content(openai_responses.ResponsesAccumulator),
)
_IMAGES = Endpoint(
    operation=names.OPERATION_IMAGE_GENERATION,
    attributes=openai_media.image_attributes,
    input_messages=openai_media.input_messages,
    accumulator=_of_content(openai_media.ImageAccumulator),
)
_TRANSCRIPTION = Endpoint(
    operation=names.OPERATION_TRANSCRIPTION,
    attributes=openai_media.transcription_attributes,
    input_messages=openai_media.input_messages,
    accumulator=_of_content(openai_media.TranscriptionAccumulator),
)
# What is sent to these addresses calls a model.
ENDPOINTS = {
    "/chat/completions": _CHAT,
    "/responses": _RESPONSES,
    "/responses/compact": _RESPONSES,
    "/completions": Endpoint(
        operation=names.OPERATION_TEXT_COMPLETION,
        attributes=openai_chat.request_attributes,
        input_messages=openai_texts.prompt_messages,
        accumulator=_of_content(openai_chat.ChatAccumulator),
        asks_usage=True,
    ),
    "/embeddings": Endpoint(
        operation=names.OPERATION_EMBEDDINGS,
        attributes=openai_texts.embedding_attributes,
        input_messages=openai_texts.input_messages,
        accumulator=_of_content(openai_texts.EmbeddingAccumulator),
    ),
    "/images/generations": _IMAGES,
    "/images/edits": _IMAGES,
    "/images/variations": _IMAGES,
    "/audio/speech": Endpoint(
        operation=names.OPERATION_SPEECH,
        attributes=openai_media.speech_attributes,
        input_messages=openai_media.input_messages,
        accumulator=openai_media.SpeechAccumulator,
    ),
    "/audio/transcriptions": _TRANSCRIPTION,
    "/audio/translations": Endpoint(
        operation=names.OPERATION_TRANSLATION,
        attributes=openai_media.transcription_attributes,
        input_messages=openai_media.input_messages,
        accumulator=_of_content(openai_media.TranscriptionAccumulator),
    ),
    "/moderations": Endpoint(
        operation=names.OPERATION_MODERATION,
        input_messages=openai_texts.input_messages,
        accumulator=_of_content(openai_texts.ModerationAccumulator),
    ),
}
_FETCH = Endpoint(
    operation=names.OPERATION_FETCH_RESPONSE,
    api_type="responses",
    accumulator=_of_content(openai_responses.FetchAccumulator),
)
# Its answers are read by the endpoint of the batch.
_FILE = Endpoint(
    operation=names.OPERATION_FETCH_RESPONSE, accumulator=_of_content(openai_chat.ChatAccumulator)
)
_RESPONSE = re.compile(r"/responses/(?!input_tokens$)[^/]+")
_CANCEL = re.compile(r"/responses/[^/]+/cancel")
_FILE_CONTENT = re.compile(r"/files/([^/]+)/content")
_BATCHES = re.compile(r"/batches(/[^/]+(/cancel)?)?")
# The client class decides where it can: an Azure client may sit in front of any host.
_CLIENTS = {"BaseAzureClient": "azure.ai.openai", "BedrockOpenAI": "aws.bedrock"}
# Ollama answers on this port unless told otherwise; other servers at home have none of their own.
_PORTS = {11434: "ollama"}


class OpenAIInstrumentor(StainlessInstrumentor):
    """Records the calls of every OpenAI client in this process, those that exist already included."""

    scope = __name__

    def instrumentation_dependencies(self) -> Collection[str]:
        return ("openai >= 1.54, < 4",)

    def clients(self) -> Sequence[type]:
        import openai

        return openai.OpenAI, openai.AsyncOpenAI

    def _uninstrument(self, **kwargs: Any) -> None:
        super()._uninstrument(**kwargs)
        openai_batches.settle()
        openai_background.OPEN_CALLS.end_all()

    def begin(self, client: Any, options: Any, *, streaming: bool) -> Following | None:
        path = str(options.url).partition("?")[0]
        if str(options.method).lower() == "get":
            return self._begin_get(client, options, path, streaming=streaming)
        endpoint = ENDPOINTS.get(path)
        if endpoint is not None:
            return self._begin_call(endpoint, client, options, streaming=streaming)
        if _CANCEL.fullmatch(path):
            return _Overhearing(_hear_response)
        return _Overhearing(openai_batches.FILES.learn) if _BATCHES.fullmatch(path) else None

    def _begin_get(self, client: Any, options: Any, path: str, *, streaming: bool) -> Following | None:
        if _RESPONSE.fullmatch(path):
            return self._begin_call(_FETCH, client, options, streaming=streaming)
        if _BATCHES.fullmatch(path):
            return _Overhearing(openai_batches.FILES.learn)
        file = _FILE_CONTENT.fullmatch(path)
        batch = openai_batches.FILES.get(file.group(1)) if file else None
        endpoint = ENDPOINTS.get(batch.path) if batch else None
        if file is None or batch is None or endpoint is None:
            return None
        return self._begin_file(client, options, file.group(1), batch, endpoint)

    def _begin_call(self, endpoint: Endpoint, client: Any, options: Any, *, streaming: bool) -> Call:
        body = _body(options)
        streaming = streaming or body.get("stream_format") == "sse"
        invocation = self.invocation(_read_request(endpoint, client, body, streaming=streaming))
        accumulator = endpoint.accumulator(invocation.policy.any, body)
        wanted = endpoint.asks_usage and settings.options().include_usage
        asked = openai_usage.asking(body) if wanted else None
        if asked is not None:
            # The rest of the body stays where it is: files and what the user adds are no parameters.
            stream_options = {"stream_options": asked["stream_options"]}
            options.json_data = {**(options.json_data or {}), **stream_options}
        recording = _recording(invocation, accumulator, body)
        return _Call(invocation, accumulator, options, recording, hide_usage=asked is not None)

    def _begin_file(
        self, client: Any, options: Any, file: str, batch: openai_batches.Batch, endpoint: Endpoint
    ) -> Call:
        def accumulator(content: bool) -> Accumulator:  # noqa: FBT001 - as in the table
            return endpoint.accumulator(content, {})

        invocation = self.invocation(_read_request(_FILE, client, {}, streaming=False))
        line = openai_batches.Line(endpoint.operation, endpoint.api_type, accumulator)
        recording = openai_batches.FileRecording(invocation, file, batch, line, self.invocation)
        return _Call(invocation, openai_batches.FileAccumulator(batch), options, recording)


class _Call(Call):
    """One request; what is special about it is in its recording."""

    def __init__(
        self,
        invocation: Invocation,
        accumulator: Accumulator,
        options: Any,
        recording: Recording,
        *,
        hide_usage: bool = False,
    ) -> None:
        super().__init__(invocation, accumulator, options)
        self.recording = recording
        self._hide_usage = hide_usage

    def body_reader(self, response: Any) -> type[BodyTap]:
        kind = str(response.headers.get("content-type", ""))
        plain = "json" not in kind and "event-stream" not in kind
        of_file = isinstance(self.recording, openai_batches.FileRecording)
        return openai_media.PlainTap if plain or of_file else BodyTap

    def deliver(self, result: Any) -> None:
        if type(result).__name__ == "HttpxBinaryResponseContent":
            with quietly("reading a response"):
                self._watch(result.response)
                return
        raw = getattr(result, "http_response", None)
        if raw is not None:
            with quietly("reading a response"):
                self._watch(raw)
                return
        super().deliver(result)
        if self._hide_usage and hasattr(result, "_iterator"):
            with quietly("hiding a chunk"):
                openai_usage.hide_from_stream(result)

    def _watch(self, response: Any) -> None:
        streaming = self.invocation.request.stream
        watch_body(response, self.recording, events=streaming, reader=self.body_reader(response))
        if self._hide_usage and not response.is_closed:
            openai_usage.hide_from_body(response)


class _Overhearing:
    """A request that calls no model and has no span, but whose answer says something about those that do."""

    producing = False
    is_over = False

    def __init__(self, hear: Callable[[Any], None]) -> None:
        self.context = otel_context.get_current()
        self.chunk = hear

    def fail(self, error: BaseException) -> None:
        pass

    def finish(self) -> None:
        pass

    def abandon(self) -> None:
        pass

    def closed(self) -> None:
        pass

    def deliver(self, result: Any) -> None:
        with quietly("reading an answer"):
            raw = getattr(result, "http_response", None)
            if raw is None:
                self.chunk(result)
            else:
                watch_body(raw, cast("Any", self), events=False)


def _hear_response(response: Any) -> None:
    """A cancelled response has ended, too."""
    answer = openai_responses.FetchAccumulator(False)
    answer.add(response)
    openai_background.settle(answer)


def _recording(invocation: Invocation, accumulator: Accumulator, body: Json) -> Recording:
    if isinstance(accumulator, openai_responses.FetchAccumulator):
        return openai_background.FetchRecording(invocation, accumulator)
    if isinstance(accumulator, openai_responses.ResponsesAccumulator):
        background = bool(body.get("background"))
        return openai_background.ResponseRecording(invocation, accumulator, background=background)
    if isinstance(accumulator, openai_chat.ChatAccumulator):
        return Recording(invocation, accumulator)
    return openai_media.MediaRecording(invocation, accumulator)


def _body(options: Any) -> Json:
    """What is sent: the parameters, what the user adds to them, and the files beside them."""
    body = options.json_data if isinstance(options.json_data, dict) else {}
    if isinstance(options.extra_json, Mapping):
        body = {**body, **options.extra_json}
    return {**body, openai_media.FILES: options.files} if options.files else body


def _read_request(endpoint: Endpoint, client: Any, body: Json, *, streaming: bool) -> Request:
    url = client.base_url
    model = body.get("model")
    attributes: dict[str, AttributeValue | None] = {
        names.SERVER_ADDRESS: url.host or None,
        names.SERVER_PORT: url.port or {"https": 443, "http": 80}.get(url.scheme),
        names.OPENAI_API_TYPE: endpoint.api_type,
    }
    with quietly("reading a request"):
        attributes.update(endpoint.attributes(body))
    return Request(
        operation=endpoint.operation,
        provider=_provider(client, url.host, url.port),
        model=model if isinstance(model, str) else None,
        attributes={key: value for key, value in attributes.items() if value is not None},
        stream=streaming,
        input_messages=lambda: endpoint.input_messages(body),
        system_instructions=lambda: endpoint.system_instructions(body),
        tool_definitions=lambda: endpoint.tool_definitions(body),
    )


def _provider(client: Any, host: str, port: int | None) -> str:
    for kind in type(client).__mro__:
        if kind.__name__ in _CLIENTS:
            return _CLIENTS[kind.__name__]
    return provider_of(host) or _PORTS.get(port or 0) or "openai"
