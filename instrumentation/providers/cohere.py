"""Cohere's SDK: a table of endpoints of the API.

Every call of `Client` and `ClientV2` passes through `request` or `stream` of the SDK's HTTP client, as a path
with a JSON body, and comes back as httpx's response, of which typed objects and iterators are made then. Read
from there, the user's objects stay those of the SDK, and its retries are part of one span.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from spanledger.instrumentation import propagation
from spanledger.instrumentation.patching import Patch
from spanledger.instrumentation.providers import cohere_chat as chat
from spanledger.instrumentation.providers.endpoints import (
    Asked,
    Call,
    Endpoint,
    EndpointInstrumentor,
    decorated,
)
from spanledger.instrumentation.quiet import quietly
from spanledger.instrumentation.streams import BodyTap, watch_body
from spanledger.schemas import attributes as names
from spanledger.schemas.hosts import provider_of

_EMBED = Endpoint(
    operation=names.OPERATION_EMBEDDINGS,
    attributes=chat.embed_attributes,
    accumulator=chat.BilledAccumulator,
    input_messages=chat.embedded_texts,
)
_RERANK = Endpoint(
    operation=names.OPERATION_RERANK,
    attributes=chat.no_attributes,
    accumulator=chat.BilledAccumulator,
    input_messages=chat.reranked_texts,
)
# The end of the address, then what answers there.
ENDPOINTS = {
    "v2/chat": Endpoint(
        operation=names.OPERATION_CHAT,
        attributes=chat.request_attributes,
        accumulator=chat.ChatAccumulator,
        input_messages=chat.input_messages,
        tool_definitions=chat.tool_definitions,
    ),
    "v1/chat": Endpoint(
        operation=names.OPERATION_CHAT,
        attributes=chat.request_attributes,
        accumulator=chat.ChatV1Accumulator,
        input_messages=chat.input_messages,
        system_instructions=chat.system_instructions,
        tool_definitions=chat.tool_definitions,
    ),
    "v1/generate": Endpoint(
        operation=names.OPERATION_TEXT_COMPLETION,
        attributes=chat.request_attributes,
        accumulator=chat.GenerateAccumulator,
        input_messages=chat.input_messages,
    ),
    "v1/embed": _EMBED,
    "v2/embed": _EMBED,
    "v1/rerank": _RERANK,
    "v2/rerank": _RERANK,
}


class CohereInstrumentor(EndpointInstrumentor):
    """Records the calls of every Cohere client in this process, those that exist already included."""

    _scope = __name__

    def instrumentation_dependencies(self) -> Collection[str]:
        return ("cohere >= 5.0, < 8",)

    def _make_patches(self) -> Iterable[Patch]:
        from cohere.core import http_client

        yield decorated(http_client.HttpClient, "request", self._request)
        yield decorated(http_client.HttpClient, "stream", self._stream)
        yield decorated(http_client.AsyncHttpClient, "request", self._async_request)
        yield decorated(http_client.AsyncHttpClient, "stream", self._async_stream)

    def _request(
        self, wrapped: Callable[..., Any], client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        call = self._begin(lambda: _asked(client, args, kwargs))
        if call is None:
            return wrapped(*args, **kwargs)
        return call.run(_deliver, wrapped, args, _propagated(call, kwargs))

    async def _async_request(
        self, wrapped: Callable[..., Any], client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        call = self._begin(lambda: _asked(client, args, kwargs))
        if call is None:
            return await wrapped(*args, **kwargs)
        return await call.run_async(_deliver, wrapped, args, _propagated(call, kwargs))

    def _stream(
        self, wrapped: Callable[..., Any], client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        call = self._begin(lambda: _asked(client, args, kwargs, stream=True))
        if call is None:
            return wrapped(*args, **kwargs)
        return _Opening(call, wrapped(*args, **_propagated(call, kwargs)))

    def _async_stream(
        self, wrapped: Callable[..., Any], client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        call = self._begin(lambda: _asked(client, args, kwargs, stream=True))
        if call is None:
            return wrapped(*args, **kwargs)
        return _AsyncOpening(call, wrapped(*args, **_propagated(call, kwargs)))


class _Opening:
    """Takes the place of the context manager by which the SDK opens a stream and closes it."""

    def __init__(self, call: Call, manager: AbstractContextManager[Any]) -> None:
        self._call = call
        self._manager = manager

    def __enter__(self) -> Any:
        return self._call.run(_deliver, self._manager.__enter__, (), {})

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._manager.__exit__(kind, error, trace)


class _AsyncOpening:
    """The same for an asynchronous client."""

    def __init__(self, call: Call, manager: AbstractAsyncContextManager[Any]) -> None:
        self._call = call
        self._manager = manager

    async def __aenter__(self) -> Any:
        return await self._call.run_async(_deliver, self._manager.__aenter__, (), {})

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._manager.__aexit__(kind, error, trace)


class _Lines(BodyTap):
    """Events of version 2 are server-sent ones; version 1 sends a line of JSON for each."""

    def finish(self) -> None:
        with quietly("reading a raw body"):
            if self._events:
                self._buffer.extend(b"\n")
                self._read_events()
        super().finish()

    def _read_events(self) -> None:
        *lines, rest = self._buffer.split(b"\n")
        self._buffer = bytearray(rest)
        for line in lines:
            if line.startswith((b"data:", b"{")):
                self._event(bytes(line.removeprefix(b"data:")).strip())


def _deliver(call: Call, response: Any) -> None:
    if response.status_code >= 400:
        # The SDK makes its exception of this further up, when the body was read.
        call.recording.fail(str(response.status_code))
        return
    watch_body(response, call.recording, events=call.invocation.request.stream, reader=_Lines)


def _propagated(call: Call, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments with the headers by which the trace goes on at the provider, where that is asked for."""
    with quietly("propagating a trace"):
        headers = propagation.added(kwargs.get("headers"), call.invocation.context)
        return kwargs if headers == kwargs.get("headers") else {**kwargs, "headers": headers}
    return kwargs


def _asked(
    client: Any, args: tuple[Any, ...], kwargs: dict[str, Any], *, stream: bool = False
) -> Asked | None:
    address = _address(client, args, kwargs)
    url = urlsplit(address)
    endpoint = next((found for end, found in ENDPOINTS.items() if url.path.endswith("/" + end)), None)
    given = kwargs.get("json")
    if endpoint is None or not isinstance(given, Mapping):
        return None
    # The SDK marks with an Ellipsis what the user left out.
    body = {key: value for key, value in given.items() if value is not ... and value is not None}
    model = body.get("model")
    platform = _platform(client)
    return Asked(
        endpoint=endpoint,
        provider=platform or provider_of(url.hostname or "") or "cohere",
        model=model if isinstance(model, str) else None,
        body=body,
        # On its way to a platform the request is given another address.
        host=None if platform else url.hostname,
        port=None if platform else url.port or {"https": 443, "http": 80}.get(url.scheme),
        stream=stream,
    )


def _platform(client: Any) -> str | None:
    """Who answers a client for AWS or OCI: its HTTP client has a hook that rewrites each request for them."""
    with quietly("looking for a platform"):
        hooks = getattr(getattr(client, "httpx_client", None), "event_hooks", None) or {}
        for hook in hooks.get("request", ()):
            module = getattr(hook, "__module__", None)
            if module == "cohere.oci_client":
                return "oci"
            if module in {"cohere.aws_client", "cohere.bedrock_client"}:
                cells = [cell.cell_contents for cell in hook.__closure__ or ()]
                return "aws.sagemaker" if "sagemaker" in cells else "aws.bedrock"
    return None


def _address(client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """The whole address: versions before 5.2 hand it over, later ones a path and where it starts."""
    given = [argument for argument in args if isinstance(argument, str)]
    if len(given) > 1:
        return given[1]
    base = client.get_base_url(kwargs.get("base_url")) if hasattr(client, "get_base_url") else ""
    path = given[0] if given else str(kwargs.get("path") or "")
    return path if "://" in path else f"{base.rstrip('/')}/{path}"
