"""Switching it all on and off: which TracerProvider, which exporter, which provider SDKs."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType
from typing import Any
from urllib.parse import unquote
from weakref import WeakKeyDictionary

import wrapt
from opentelemetry import trace
from opentelemetry.metrics import MeterProvider
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider

from spanledger.instrumentation import collected, content, loggers, meters, options, processes, tracers
from spanledger.instrumentation import threads as thread_context
from spanledger.instrumentation.export import EXIT_MILLIS, LedgerProcessor, exporter_for
from spanledger.instrumentation.patching import Patch
from spanledger.instrumentation.quiet import quietly, say_once

ENDPOINT = "SPANLEDGER_ENDPOINT"
HEADERS = "SPANLEDGER_HEADERS"

# The module that tells that an SDK is in use, then where its instrumentor is.
PROVIDERS = {
    "aiobotocore.client": ("spanledger.instrumentation.providers.bedrock", "AsyncBedrockInstrumentor"),
    "anthropic": ("spanledger.instrumentation.providers.anthropic", "AnthropicInstrumentor"),
    "botocore.client": ("spanledger.instrumentation.providers.bedrock", "BedrockInstrumentor"),
    "cohere": ("spanledger.instrumentation.providers.cohere", "CohereInstrumentor"),
    "google.genai": ("spanledger.instrumentation.providers.google_genai", "GoogleGenAIInstrumentor"),
    "litellm": ("spanledger.instrumentation.providers.litellm", "LiteLLMInstrumentor"),
    "mistralai": ("spanledger.instrumentation.providers.mistral", "MistralInstrumentor"),
    # Since version 2 `mistralai` is a namespace, whose import cannot be noticed.
    "mistralai.azure.client": ("spanledger.instrumentation.providers.mistral", "MistralInstrumentor"),
    "mistralai.client": ("spanledger.instrumentation.providers.mistral", "MistralInstrumentor"),
    "mistralai.gcp.client": ("spanledger.instrumentation.providers.mistral", "MistralInstrumentor"),
    "openai": ("spanledger.instrumentation.providers.openai", "OpenAIInstrumentor"),
}


@dataclass
class _State:
    """What is switched on in this process."""

    on: bool = False
    # The provider that we set up ourselves because there was none.
    made: TracerProvider | None = None
    endpoint_given: bool = False
    hooked: set[str] = field(default_factory=set)
    processors: WeakKeyDictionary[Any, LedgerProcessor] = field(default_factory=WeakKeyDictionary)
    adoption: Patch | None = None


_state = _State()


def instrument(
    *,
    endpoint: str | None = None,
    headers: Mapping[str, str] | None = None,
    service_name: str | None = None,
    tracer_provider: trace.TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    capture_content: bool | str | None = None,
    redact: content.Redact | None = None,
    content_limit: int | None = None,
    count_tokens: content.CountTokens | None = None,
    include_usage: bool | None = None,
    propagate: bool | None = None,
    threads: bool | None = None,
) -> trace.TracerProvider:
    """Record the calls of every supported provider SDK, those imported later included.

    Spans go to `tracer_provider`, or to the application's own provider if it has one; either gets our
    exporter besides its own only when `endpoint` is given. Without a provider one is set up, with an OTLP
    exporter to `endpoint`, or to where the OTEL_* variables say, or to http://localhost:4317. Metrics go to
    `meter_provider`, or to the application's own if it has one.

    `capture_content`: True or "span", "event", "span_and_event", False. `redact` gets every part of a message
    and returns it changed, or None to leave it out; if it fails, that call's content is left out.
    `content_limit`: characters of text kept of a part. `count_tokens(text, model)` counts where a provider
    tells no usage; such usage is marked as estimated. `include_usage` asks for the usage of streams where the
    application does not. `propagate` sends `traceparent` to the provider and puts session and user into
    baggage. `threads` lets threads and executors go on in the context of who starts them.

    A second call changes nothing but these seven. Raises ValueError for a value that none of them takes.
    """
    decide_content = content.change if _state.on else content.decide
    decide_options = options.change if _state.on else options.decide
    decide_content(capture=capture_content, redact=redact, limit=content_limit, count_tokens=count_tokens)
    decide_options(include_usage=include_usage, propagate=propagate)
    if threads is not None:
        with quietly("keeping the context of threads"):
            (thread_context.keep_context if threads else thread_context.stop)()
    if not _state.on:
        _state.on = True
        _state.endpoint_given = endpoint is not None
        with quietly("setting up tracing"):
            _choose_provider(tracer_provider, endpoint, headers, service_name)
        tracers.choose(tracer_provider)
        meters.choose(meter_provider)
        processes.watch(at_exit=_send_the_last, at_shutdown=_send_what_waits, within_s=EXIT_MILLIS / 1000)
        for module in PROVIDERS:
            _hook(module)
    return tracers.chosen() or trace.get_tracer_provider()


def uninstrument() -> None:
    """Give every SDK its own methods back and stop describing and exporting spans."""
    if not _state.on:
        return
    collected.settle()
    _state.on = False
    for module in PROVIDERS:
        with quietly(f"restoring {module}"):
            _switch(module, on=False)
    for processor in _state.processors.values():
        processor.active = False
    if _state.adoption is not None:
        _state.adoption.undo()
        _state.adoption = None
    tracers.choose(None)
    meters.choose(None)
    loggers.stop()
    thread_context.stop()
    processes.stop()


def instrument_from_environment() -> None:
    """What `spanledger run` asks for through the environment of the processes it starts."""
    given = [item for item in os.environ.get(HEADERS, "").split(",") if item.strip()]
    pairs = [item.partition("=") for item in given if "=" in item]
    if len(pairs) < len(given):
        # Not quoted: it may be a key.
        say_once(f"{HEADERS} takes name=value,name=value; an entry without '=' is ignored")
    headers = {unquote(key.strip()): unquote(value.strip()) for key, _, value in pairs}
    threads = options.switch(thread_context.THREADS, default=True)
    instrument(endpoint=os.environ.get(ENDPOINT) or None, headers=headers or None, threads=threads)


def _send_the_last() -> None:
    collected.settle()
    for processor in list(_state.processors.values()):
        processor.shutdown()
    loggers.stop()


def _send_what_waits() -> None:
    collected.settle()
    for processor in list(_state.processors.values()):
        processor.force_flush()
    loggers.flush()


def _choose_provider(
    given: trace.TracerProvider | None,
    endpoint: str | None,
    headers: Mapping[str, str] | None,
    service_name: str | None,
) -> None:
    provider = given or trace.get_tracer_provider()
    if hasattr(provider, "add_span_processor"):
        _attach(provider, endpoint, headers, export=endpoint is not None or provider is _state.made)
    elif given is None:
        provider = _make_provider(endpoint, headers, service_name)
    if provider is _state.made:
        _adopt_later_provider()


def _make_provider(
    endpoint: str | None, headers: Mapping[str, str] | None, service_name: str | None
) -> TracerProvider:
    resource = Resource.create({SERVICE_NAME: service_name} if service_name else None)
    provider = TracerProvider(resource=resource)
    _attach(provider, endpoint, headers, export=True)
    trace.set_tracer_provider(provider)
    _state.made = provider
    return provider


def _attach(provider: Any, endpoint: str | None, headers: Mapping[str, str] | None, *, export: bool) -> None:
    """One processor for each provider, however often we are switched on."""
    processor = _state.processors.get(provider)
    if processor is None:
        processor = LedgerProcessor()
        _state.processors[provider] = processor
        provider.add_span_processor(processor)
    processor.active = True
    exporter = exporter_for(endpoint, headers) if export and not processor.exports else None
    if exporter is not None:
        processor.start_exporting(exporter)
    if processor.exports:
        loggers.export_to(endpoint, headers, getattr(provider, "resource", None))


def _adopt_later_provider() -> None:
    """An application that sets its own provider after us gets it, as if it had set it before us."""

    def set_provider(
        wrapped: Callable[..., Any], _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        provider = args[0] if args else kwargs.get("tracer_provider")
        with quietly("handing over to the application's tracer provider"):
            if _hand_over(provider):
                return None
        return wrapped(*args, **kwargs)

    with quietly("watching for the application's tracer provider"):
        _state.adoption = _state.adoption or Patch(trace, "set_tracer_provider", set_provider)


def _hand_over(provider: Any) -> bool:
    made = _state.made
    if made is None or trace.get_tracer_provider() is not made or provider is made:
        return False
    if not hasattr(provider, "add_span_processor") or not hasattr(trace, "_TRACER_PROVIDER"):
        return False
    if not _state.endpoint_given:
        loggers.stop()
    processor = _state.processors[made] if _state.endpoint_given else LedgerProcessor()
    provider.add_span_processor(processor)
    _state.processors[provider] = processor
    # The API lets a provider be set once; ours only kept the place until the application's came.
    trace._TRACER_PROVIDER = provider  # noqa: SLF001
    _state.made = None
    return True


def _hook(module: str) -> None:
    """Patch an SDK now if it is loaded, otherwise when it is: most processes never load it."""

    def loaded(_module: ModuleType) -> None:
        with quietly(f"instrumenting {module}"):
            if _state.on:
                _switch(module, on=True)

    if module in _state.hooked:
        with quietly(f"instrumenting {module}"):
            _switch(module, on=True, only_if_loaded=True)
        return
    _state.hooked.add(module)
    wrapt.register_post_import_hook(loaded, module)


def _switch(module: str, *, on: bool, only_if_loaded: bool = False) -> None:
    if module not in sys.modules and (only_if_loaded or not on):
        return
    path, name = PROVIDERS[module]
    instrumentor = getattr(import_module(path), name)()
    if on and not instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.instrument(tracer_provider=None, raise_exception_on_conflict=True)
    elif not on and instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.uninstrument()
