"""One call, one span: the context keys by which instrumentations of one call spare each other."""

import sys
from collections.abc import MutableMapping
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from spanledger.instrumentation.quiet import quietly

# Traceloop's key, the plain spelling of the SDK's key, and the key of opentelemetry-util-genai.
_LANGUAGE_MODEL_KEY = "suppress_language_model_instrumentation"
_PLAIN_KEY = "suppress_instrumentation"
_INFERENCE_KEY = "opentelemetry.genai.client.inference.context"
# The SDK makes this one with a random part, so it can only be asked for by its private name.
_SDK_KEY: str = getattr(otel_context, "_SUPPRESS_INSTRUMENTATION_KEY", _PLAIN_KEY)


def suppressed(context: Context | None = None) -> bool:
    """Somebody above asked for silence, or already records this call under their own span."""
    keys = (_SDK_KEY, _PLAIN_KEY, _LANGUAGE_MODEL_KEY)
    return any(otel_context.get_value(key, context) for key in keys)


def outer_attributes(context: Context | None = None) -> MutableMapping[str, Any] | None:
    """The attributes of a util-genai inference around this call: what we know goes there."""
    data = otel_context.get_value(_INFERENCE_KEY, context)
    found = getattr(data, "attributes", None)
    return found if isinstance(found, MutableMapping) else None


def marked(context: Context, *, silence_all: bool = False) -> Context:
    """The context in which the provider's client runs while our span is open.

    `silence_all` sets the SDK's own key too. That hides the spans of HTTP clients as well, so it is
    for the one case that needs it: another instrumentation already sits inside ours.
    """
    context = otel_context.set_value(_LANGUAGE_MODEL_KEY, True, context)
    context = otel_context.set_value(_INFERENCE_KEY, _inference_data(), context)
    if silence_all:
        context = otel_context.set_value(_SDK_KEY, True, context)
        context = otel_context.set_value(_PLAIN_KEY, True, context)
    return context


def _inference_data() -> Any:
    # util-genai looks for an instance of its own class; when it is not loaded nobody looks.
    module = sys.modules.get("opentelemetry.util.genai._inference_invocation")
    data_class = getattr(module, "InferenceData", None)
    if callable(data_class):
        # A class of a beta: it may want arguments tomorrow.
        with quietly("marking a call for util-genai"):
            return data_class()
    return True
