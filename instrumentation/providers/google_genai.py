"""The Google GenAI SDK, for the Developer API and for Vertex: a table of methods of the API.

Every call of the SDK, those of chats and of automatic function calling included, passes through four methods
of its API client, after the arguments were made into JSON. So each request to a model is one span, however
many of them one method of the application makes.
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import urlsplit

from spanledger.instrumentation import propagation, suppression
from spanledger.instrumentation.invocation import Invocation, current
from spanledger.instrumentation.patching import Patch
from spanledger.instrumentation.providers import google_genai_content as content
from spanledger.instrumentation.providers.endpoints import (
    Asked,
    Call,
    Endpoint,
    EndpointInstrumentor,
    tier_attributes,
)
from spanledger.instrumentation.quiet import quietly
from spanledger.instrumentation.reading import field, items
from spanledger.instrumentation.streams import RecordedAsyncIterator, RecordedIterator, when_dropped
from spanledger.instrumentation.tracers import tracer
from spanledger.schemas import attributes as names

_GENERATE = Endpoint(
    operation=names.OPERATION_GENERATE_CONTENT,
    attributes=content.request_attributes,
    accumulator=content.GenerateAccumulator,
    input_messages=content.input_messages,
    system_instructions=content.system_instructions,
    tool_definitions=content.tool_definitions,
)
_EMBED = Endpoint(
    operation=names.OPERATION_EMBEDDINGS,
    attributes=content.embed_attributes,
    accumulator=content.EmbedAccumulator,
    input_messages=content.embedded_texts,
)
_IMAGES = Endpoint(
    operation=names.OPERATION_IMAGE_GENERATION,
    attributes=content.image_attributes,
    accumulator=content.ImageAccumulator,
    input_messages=content.embedded_texts,
)
# The method of the API, which stands behind the colon of its address.
ENDPOINTS = {
    "generateContent": _GENERATE,
    "streamGenerateContent": _GENERATE,
    "batchEmbedContents": _EMBED,
    "embedContent": _EMBED,
}
# Results of a batch may be fetched again and again; so many of the last ones are remembered.
_REMEMBERED_BATCHES = 1024
_BATCH_TIER = "batch"
_FINISHED_BATCH = {"BATCH_STATE_SUCCEEDED", "JOB_STATE_SUCCEEDED"}


class GoogleGenAIInstrumentor(EndpointInstrumentor):
    """Records the calls of every google-genai client in this process, those that exist already included."""

    _scope = __name__

    # Names of the batches whose answers were recorded, the oldest first.
    _batches: ClassVar[dict[str, object]] = {}

    def instrumentation_dependencies(self) -> Collection[str]:
        return ("google-genai >= 1.0, < 4",)

    def _make_patches(self) -> Iterable[Patch]:
        from google.genai import _api_client

        client = getattr(_api_client, "BaseApiClient", None) or _api_client.ApiClient  # type: ignore[attr-defined]
        yield Patch(client, "request", self._request)
        yield Patch(client, "async_request", self._async_request)
        yield Patch(client, "request_streamed", self._request_streamed)
        yield Patch(client, "async_request_streamed", self._async_request_streamed)

    def _request(
        self, wrapped: Callable[..., Any], client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        call = self._begin(lambda: _asked(client, args, kwargs))
        if call is not None:
            return call.run(_deliver, wrapped, *_propagated(call, args, kwargs))
        result = wrapped(*args, **kwargs)
        self._record_batch(client, args, kwargs, result)
        return result

    async def _async_request(
        self, wrapped: Callable[..., Any], client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        call = self._begin(lambda: _asked(client, args, kwargs))
        if call is not None:
            return await call.run_async(_deliver, wrapped, *_propagated(call, args, kwargs))
        result = await wrapped(*args, **kwargs)
        self._record_batch(client, args, kwargs, result)
        return result

    def _request_streamed(
        self, wrapped: Callable[..., Any], client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        call = self._begin(lambda: _asked(client, args, kwargs, stream=True))
        if call is None:
            return wrapped(*args, **kwargs)
        args, kwargs = _propagated(call, args, kwargs)
        chunks = wrapped(*args, **kwargs)
        return _recorded(_SendingIterator(chunks, call.invocation), call)

    async def _async_request_streamed(
        self, wrapped: Callable[..., Any], client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        call = self._begin(lambda: _asked(client, args, kwargs, stream=True))
        if call is None:
            return await wrapped(*args, **kwargs)
        chunks = await call.run_async(_deliver_nothing, wrapped, *_propagated(call, args, kwargs))
        return _recorded(chunks, call)

    def _record_batch(self, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        """One span for each answer of a batch when they are fetched first, at the price of a batch."""
        with quietly("reading a batch"):
            path, method = _argument(args, kwargs, 1, "path"), _argument(args, kwargs, 0, "http_method")
            if method != "get" or not str(path).startswith("batches/") or suppression.suppressed():
                return
            batch = _body_of(result)
            answers, name = list(_batch_answers(batch)), str(batch.get("name"))
            if not answers or not self._is_new(name):
                return
            asked = _asked_of(client, _GENERATE, _model(batch["metadata"]["model"]), {}).request()
            for given_name, answer in answers:
                known = {names.METADATA_BATCH_ID: name, names.METADATA_CUSTOM_ID: given_name}
                about = {key: value for key, value in known.items() if isinstance(value, str)}
                request = replace(asked, attributes={**asked.attributes, **about})
                invocation = Invocation(tracer(self._scope, self._tracer_provider), request)
                read = content.GenerateAccumulator(invocation.policy.any)
                read.add(answer)
                response = read.response()
                response.service_tier = _BATCH_TIER
                response.attributes.update(tier_attributes(_BATCH_TIER))
                invocation.finish(response)

    def _is_new(self, batch: str) -> bool:
        """Whether the answers of this batch are seen for the first time in this process."""
        # Atomic, so there is no lock that a forked child could inherit taken.
        mine = object()
        if self._batches.setdefault(batch, mine) is not mine:
            return False
        if len(self._batches) > _REMEMBERED_BATCHES:
            self._batches.pop(next(iter([*self._batches])), None)
        return True


class _SendingIterator:
    """The SDK sends the request of a stream when its first chunk is asked for: that runs below our span."""

    def __init__(self, chunks: Iterator[Any], invocation: Invocation) -> None:
        self._chunks = chunks
        self._invocation: Invocation | None = invocation

    def __iter__(self) -> "_SendingIterator":
        return self

    def __next__(self) -> Any:
        invocation, self._invocation = self._invocation, None
        if invocation is None:
            return next(self._chunks)
        with current(invocation.context):
            return next(self._chunks)


class _JsonWatcher:
    """Reads each chunk's JSON for the recording."""

    def __init__(self, call: Call) -> None:
        self._recording = call.recording
        self.fail = call.recording.fail
        self.finish = call.recording.finish
        self.producing = False

    def chunk(self, chunk: Any) -> None:
        with quietly("reading a chunk"):
            self._recording.chunk(_body_of(chunk))


def _recorded(chunks: Any, call: Call) -> Any:
    """The chunks once more; this object is the SDK's own, the application never holds it."""
    watcher = _JsonWatcher(call)
    recorded: Any = (
        RecordedAsyncIterator(chunks, watcher)
        if hasattr(chunks, "__anext__")
        else RecordedIterator(chunks, watcher)
    )
    when_dropped(recorded, call.recording)
    return recorded


def _deliver(call: Call, result: Any) -> None:
    call.recording.chunk(_body_of(result))
    call.recording.finish()


def _deliver_nothing(_call: Call, _chunks: Any) -> None:
    return


def _body_of(result: Any) -> Mapping[str, Any]:
    """The JSON of an answer; SDKs before 1.23 hand over the parsed body itself."""
    body = result if isinstance(result, Mapping) else getattr(result, "body", None)
    if isinstance(body, str | bytes):
        body = json.loads(body) if body else {}
    return body if isinstance(body, Mapping) else {}


def _propagated(
    call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments with the headers by which the trace goes on at the provider, where that is asked for."""
    with quietly("propagating a trace"):
        context = call.invocation.context
        options = _argument(args, kwargs, 3, "http_options")
        own = field(options, "headers")
        headers = propagation.added(own, context)
        if headers == own:
            return args, kwargs
        copy = getattr(options, "model_copy", None)
        held = copy(update={"headers": headers}) if copy else {**(options or {}), "headers": headers}
        if len(args) > 3:
            return (*args[:3], held, *args[4:]), kwargs
        return args, {**kwargs, "http_options": held}
    return args, kwargs


def _argument(args: tuple[Any, ...], kwargs: dict[str, Any], position: int, name: str) -> Any:
    return args[position] if len(args) > position else kwargs.get(name)


def _asked(
    client: Any, args: tuple[Any, ...], kwargs: dict[str, Any], *, stream: bool = False
) -> Asked | None:
    path = str(_argument(args, kwargs, 1, "path"))
    address, _, method = path.partition("?")[0].rpartition(":")
    body = _argument(args, kwargs, 2, "request_dict")
    if not isinstance(body, dict):
        return None
    endpoint = _prediction(body) if method == "predict" else ENDPOINTS.get(method)
    if endpoint is None:
        return None
    options = _argument(args, kwargs, 3, "http_options")
    return _asked_of(client, endpoint, _model(address), body, options=options, stream=stream)


def _prediction(body: Mapping[str, Any]) -> Endpoint | None:
    """Vertex has one method for its older models: embeddings send `content`, images send `prompt`."""
    instances = body.get("instances")
    first = instances[0] if isinstance(instances, list) and instances else None
    if not isinstance(first, Mapping):
        return None
    if "content" in first:
        return _EMBED
    return _IMAGES if "prompt" in first else None


def _model(address: str) -> str:
    """`models/gemini-x` and `publishers/google/models/gemini-x` are gemini-x; tuned ones say so."""
    _, marker, name = address.rpartition("models/")
    return name if marker and not address.startswith("tunedModels/") else address


def _asked_of(
    client: Any,
    endpoint: Endpoint,
    model: str,
    body: Mapping[str, Any],
    *,
    options: Any = None,
    stream: bool = False,
) -> Asked:
    url = urlsplit(str(field(options, "base_url") or field(client._http_options, "base_url") or ""))  # noqa: SLF001
    return Asked(
        endpoint=endpoint,
        provider="gcp.vertex_ai" if client.vertexai else "gcp.gemini",
        model=model or None,
        body=body,
        host=url.hostname,
        port=url.port or {"https": 443, "http": 80}.get(url.scheme),
        stream=stream,
    )


def _batch_answers(batch: Mapping[str, Any]) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    """Answers that stand in a finished batch, each with its request's key; a file is not fetched for this."""
    metadata = batch.get("metadata")
    if not isinstance(metadata, Mapping) or metadata.get("state") not in _FINISHED_BATCH:
        return
    inlined = field(metadata.get("output") or batch.get("response"), "inlinedResponses")
    for one in items(field(inlined, "inlinedResponses")):
        if isinstance(field(one, "response"), Mapping):
            yield field(field(one, "metadata"), "key"), one["response"]
