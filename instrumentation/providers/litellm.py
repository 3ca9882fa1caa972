"""LiteLLM: a table of its functions.

LiteLLM calls other SDKs, and its router calls LiteLLM: whatever runs inside a call of ours is silent, so one
call is one span, whichever way it takes. There is no place below the functions that all of them pass through
and that knows the call's arguments, so the functions themselves are wrapped, where they are defined and where
the package hands them out.
"""

import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from opentelemetry.util.types import AttributeValue

from spanledger.instrumentation import propagation
from spanledger.instrumentation.calls import Response, Usage
from spanledger.instrumentation.invocation import current
from spanledger.instrumentation.options import options
from spanledger.instrumentation.patching import Patch
from spanledger.instrumentation.providers import openai_chat, openai_texts, openai_usage
from spanledger.instrumentation.providers.endpoints import (
    Asked,
    Call,
    Endpoint,
    EndpointInstrumentor,
    decorated,
)
from spanledger.instrumentation.quiet import quietly
from spanledger.instrumentation.reading import field, items, settled
from spanledger.instrumentation.streams import when_dropped
from spanledger.schemas import attributes as names
from spanledger.schemas.hosts import ALIASES, provider_of

# LiteLLM's names for other ways to the same provider.
_WAYS = {
    "text-completion-openai": "openai",
    "azure_text": "azure.ai.openai",
    "vertex_ai_beta": "gcp.vertex_ai",
    "codestral": "mistral_ai",
    "text-completion-codestral": "mistral_ai",
    "anthropic_text": "anthropic",
}


@dataclass(frozen=True, slots=True)
class Function:
    """A function of LiteLLM: what it does, and the names of its first arguments."""

    endpoint: Endpoint
    positional: tuple[str, ...]


def _chat_attributes(body: Mapping[str, Any]) -> dict[str, AttributeValue | None]:
    found = openai_chat.request_attributes(body)
    if isinstance(body.get("response_format"), type):
        # A model of pydantic is asked for as JSON.
        found[names.OUTPUT_TYPE] = "json"
    return found


class _Accumulator(openai_chat.ChatAccumulator):
    """An answer in OpenAI's form, with the counts that LiteLLM has besides."""

    def __init__(self, content: bool) -> None:  # noqa: FBT001 - called through the table of endpoints
        super().__init__(content)
        # What a stream keeps of its chunks; those the user sees may come without their usage.
        self.kept: list[Any] | None = None
        self._hidden: Mapping[str, Any] = {}
        self._answered: str | None = None

    def add(self, chunk: Any) -> None:
        super().add(chunk)
        self._hidden = field(chunk, "_hidden_params") or self._hidden
        # A stream's own `model` repeats the one that was asked for.
        self._answered = field(self._hidden, "provider_response_model") or self._answered
        if self.kept is None:
            self._read(field(chunk, "usage"))

    def _read(self, told: Any) -> None:
        self._usage = read_usage(told) if told is not None else self._usage

    def response(self) -> Response:
        if self.kept is not None:
            # The usage of the last chunk that a user sees may be LiteLLM's own count; that of the chunks as
            # they came is the provider's.
            self._usage = None
            for chunk in self.kept:
                self._read(field(chunk, "usage"))
        if field(self._hidden, "cache_hit"):
            # LiteLLM's own cache answered: nobody billed anything.
            self._usage = None
        response = super().response()
        response.model = self._answered or response.model
        response.attributes.update(server(field(self._hidden, "api_base")))
        return response


class _Embeddings(openai_texts.EmbeddingAccumulator):
    def __init__(self, content: bool) -> None:  # noqa: FBT001 - called through the table of endpoints
        super().__init__(content)
        self._hidden: Mapping[str, Any] = {}

    def add(self, chunk: Any) -> None:
        super().add(chunk)
        self._hidden = field(chunk, "_hidden_params") or {}

    def response(self) -> Response:
        response = super().response()
        if field(self._hidden, "cache_hit"):
            response.usage = None
        response.attributes.update(server(field(self._hidden, "api_base")))
        return response


_CHAT = Function(
    Endpoint(
        operation=names.OPERATION_CHAT,
        attributes=_chat_attributes,
        accumulator=_Accumulator,
        input_messages=openai_chat.input_messages,
        tool_definitions=openai_chat.tool_definitions,
    ),
    ("model", "messages"),
)
_TEXT = Function(
    Endpoint(
        operation=names.OPERATION_TEXT_COMPLETION,
        attributes=_chat_attributes,
        accumulator=_Accumulator,
        input_messages=openai_texts.prompt_messages,
    ),
    ("prompt", "model"),
)
_EMBED = Function(
    Endpoint(
        operation=names.OPERATION_EMBEDDINGS,
        attributes=openai_texts.embedding_attributes,
        accumulator=_Embeddings,
        input_messages=openai_texts.input_messages,
    ),
    ("model", "input"),
)
FUNCTIONS = {"completion": _CHAT, "text_completion": _TEXT, "embedding": _EMBED}
ASYNC_FUNCTIONS = {"acompletion": _CHAT, "atext_completion": _TEXT, "aembedding": _EMBED}


class LiteLLMInstrumentor(EndpointInstrumentor):
    """Records the calls of LiteLLM and its routers in this process."""

    _scope = __name__
    # The streams that are being read, and the classes of theirs that are watched.
    _streams: WeakKeyDictionary[Any, "_Reading"]
    _watched: set[type]

    def instrumentation_dependencies(self) -> Collection[str]:
        return ("litellm >= 1.60, < 2",)

    def _make_patches(self) -> Iterable[Patch]:
        import litellm

        self._streams = WeakKeyDictionary()
        self._watched = set()
        for module in (litellm, sys.modules["litellm.main"]):
            for name, function in FUNCTIONS.items():
                if callable(getattr(module, name, None)) and name in vars(module):
                    yield decorated(module, name, self._function(function))
            for name, function in ASYNC_FUNCTIONS.items():
                if callable(getattr(module, name, None)) and name in vars(module):
                    yield decorated(module, name, self._async_function(function))

    def _function(self, function: Function) -> Callable[..., Any]:
        def call_litellm(
            wrapped: Callable[..., Any], _module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> Any:
            call = self._begin(lambda: _asked(function, args, kwargs))
            if call is None:
                return wrapped(*args, **kwargs)
            given = _asking(kwargs)
            deliver = partial(self._deliver, hides=given is not kwargs)
            return call.run(deliver, wrapped, args, _propagated(call, given))

        return call_litellm

    def _async_function(self, function: Function) -> Callable[..., Any]:
        async def call_litellm(
            wrapped: Callable[..., Any], _module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> Any:
            call = self._begin(lambda: _asked(function, args, kwargs))
            if call is None:
                return await wrapped(*args, **kwargs)
            given = _asking(kwargs)
            deliver = partial(self._deliver, hides=given is not kwargs)
            return await call.run_async(deliver, wrapped, args, _propagated(call, given))

        return call_litellm

    def _deliver(self, call: Call, result: Any, *, hides: bool) -> None:
        kind = type(result)
        if hasattr(kind, "__next__") or hasattr(kind, "__anext__"):
            if "<locals>" in kind.__qualname__ or kind.__module__ == "builtins":
                # A class that is made for one call cannot be watched: it would be kept for ever.
                call.recording.finish()
                return
            self._watch(kind)
            accumulator = call.accumulator
            if isinstance(accumulator, _Accumulator):
                held = getattr(result, "completion_stream", None)
                accumulator.kept = _chunks_of(result) or _chunks_of(held)
            self._streams[result] = _Reading(call, hides=hides)
            when_dropped(result, call.recording)
            return
        call.recording.chunk(result)
        call.recording.finish()

    def _watch(self, kind: type) -> None:
        """Watch a class of streams, from the first of its objects on: it stays the class that it is."""
        if kind in self._watched:
            return
        self._watched.add(kind)
        wrappers = {
            "__next__": self._next,
            "__anext__": self._anext,
            "close": self._close,
            "aclose": self._aclose,
        }
        for name, wrapper in wrappers.items():
            if hasattr(kind, name):
                self._patches += (decorated(kind, name, wrapper),)

    def _next(
        self, wrapped: Callable[..., Any], stream: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        reading = self._streams.get(stream)
        if reading is None:
            return wrapped(*args, **kwargs)
        try:
            with reading.producing():
                chunk = wrapped(*args, **kwargs)
        except StopIteration:
            reading.call.recording.finish()
            raise
        except BaseException as error:
            reading.call.recording.fail(error)
            raise
        reading.call.recording.chunk(chunk)
        return self._next(wrapped, stream, args, kwargs) if reading.hides(chunk) else chunk

    async def _anext(
        self, wrapped: Callable[..., Any], stream: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        reading = self._streams.get(stream)
        if reading is None:
            return await wrapped(*args, **kwargs)
        try:
            with reading.producing():
                chunk = await wrapped(*args, **kwargs)
        except StopAsyncIteration:
            reading.call.recording.finish()
            raise
        except BaseException as error:
            reading.call.recording.fail(error)
            raise
        reading.call.recording.chunk(chunk)
        return await self._anext(wrapped, stream, args, kwargs) if reading.hides(chunk) else chunk

    def _close(
        self, wrapped: Callable[..., Any], stream: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        reading = self._streams.get(stream)
        if reading is not None:
            reading.call.recording.closed()
        return wrapped(*args, **kwargs)

    async def _aclose(
        self, wrapped: Callable[..., Any], stream: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        reading = self._streams.get(stream)
        if reading is not None:
            reading.call.recording.closed()
        return await wrapped(*args, **kwargs)


class _Reading:
    """One stream that a user reads."""

    def __init__(self, call: Call, *, hides: bool) -> None:
        self.call = call
        self._hides = hides

    def hides(self, chunk: Any) -> bool:
        """Whether the chunk is there only because we asked for the usage in it."""
        if not self._hides or field(chunk, "usage") is None:
            return False
        return not any(
            field(choice, "finish_reason")
            or field(choice, "text")
            or field(field(choice, "delta"), "content")
            for choice in items(field(chunk, "choices"))
        )

    def producing(self) -> "_Producing":
        return _Producing(self.call)


class _Producing:
    """While LiteLLM makes the next chunk; some providers are only asked when the first one is wanted."""

    def __init__(self, call: Call) -> None:
        self._recording = call.recording
        self._inside = current(call.invocation.context)

    def __enter__(self) -> None:
        self._recording.producing = True
        self._inside.__enter__()

    def __exit__(self, *error: object) -> None:
        self._inside.__exit__(None, None, None)
        self._recording.producing = False


def _asking(kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments, with a question for the usage of a stream where the application switched that on."""
    return (openai_usage.asking(kwargs) if options().include_usage else None) or kwargs


def _propagated(call: Call, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments with the headers by which the trace goes on at the provider, where that is asked for."""
    with quietly("propagating a trace"):
        own = kwargs.get("extra_headers")
        headers = propagation.added(own, call.invocation.context)
        return kwargs if headers == own else {**kwargs, "extra_headers": headers}
    return kwargs


def _chunks_of(stream: Any) -> list[Any] | None:
    kept = getattr(stream, "chunks", None)
    return kept if isinstance(kept, list) else None


def _asked(function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Asked | None:
    import litellm

    body = settled({**dict(zip(function.positional, args, strict=False)), **kwargs})
    given = body.get("model")
    if not isinstance(given, str):
        return None
    base = body.get("api_base") or body.get("base_url")
    model, provider = given, str(body.get("custom_llm_provider") or "")
    with quietly("asking LiteLLM for the provider"):
        model, provider, _, found = litellm.get_llm_provider(
            model=given, custom_llm_provider=body.get("custom_llm_provider"), api_base=base
        )
        base = base or found or litellm.api_base
    where = server(base)
    host = where.get(names.SERVER_ADDRESS)
    return Asked(
        endpoint=function.endpoint,
        provider=_provider(provider, str(host) if host else ""),
        model=model,
        body=body,
        host=str(host) if host else None,
        port=where.get(names.SERVER_PORT),  # type: ignore[arg-type]
        stream=bool(body.get("stream")),
    )


def _provider(named: str, host: str) -> str:
    """LiteLLM's own resolution; OpenAI's protocol at another known host is that host's."""
    provider = _WAYS.get(named) or ALIASES.get(named, named)
    if provider in {"openai", "openai_like", "custom_openai", ""} and host:
        return provider_of(host) or provider or "openai"
    return provider or "openai"


def server(base: Any) -> dict[str, AttributeValue]:
    """Address and port of where a call went, as far as LiteLLM says."""
    with quietly("reading an address"):
        url = urlsplit(base) if isinstance(base, str) else None
        if url is not None and url.hostname:
            port = url.port or {"https": 443, "http": 80}.get(url.scheme)
            found: dict[str, AttributeValue] = {names.SERVER_ADDRESS: url.hostname}
            return {**found, names.SERVER_PORT: port} if port else found
    return {}


def read_usage(told: Any) -> Usage | None:
    """LiteLLM's counts: a usage of zeros is its placeholder for none."""
    usage = openai_chat.read_usage(told)
    if usage is None or not (usage.input or usage.output):
        return None
    details = field(told, "prompt_tokens_details")
    written = field(details, "cache_creation_tokens")
    if written is None:
        written = field(told, "cache_creation_input_tokens")
    if usage.cache_write is None and isinstance(written, int):
        usage = replace(usage, cache_write=written)
    if usage.cache_read is None and isinstance(field(told, "cache_read_input_tokens"), int):
        usage = replace(usage, cache_read=field(told, "cache_read_input_tokens"))
    return _with_reasoning(usage, field(told, "total_tokens"))


def _with_reasoning(usage: Usage, total: Any) -> Usage:
    """Some providers of LiteLLM leave reasoning out of the output; the total tells."""
    inputs, outputs, reasoning = usage.input or 0, usage.output or 0, usage.reasoning or 0
    if reasoning and total == inputs + outputs + reasoning:
        return replace(usage, output=outputs + reasoning)
    return usage
