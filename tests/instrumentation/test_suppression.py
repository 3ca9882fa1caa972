"""One call is one span, also when others instrument it."""

import sys
import types
from typing import Any

import pytest
from opentelemetry import context as otel_context
from opentelemetry.instrumentation.utils import is_instrumentation_enabled, suppress_instrumentation

from spanledger.instrumentation import suppression, tags
from spanledger.instrumentation.invocation import current

ASK: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}
INFERENCE = "opentelemetry.genai.client.inference.context"


def test_a_call_under_the_sdks_suppression_leaves_no_span(spans, client):
    with suppress_instrumentation():
        assert client.chat.completions.create(**ASK).choices
    assert spans.all() == []


@pytest.mark.parametrize("key", ["suppress_language_model_instrumentation", "suppress_instrumentation"])
def test_a_call_under_a_plain_key_leaves_no_span(spans, client, key):
    with current(otel_context.set_value(key, True)):
        assert list(client.chat.completions.create(**ASK, stream=True))
    assert spans.all() == []


def test_under_an_outer_inference_our_cost_goes_to_it_and_no_second_span_is_made(spans, client):
    outer = types.SimpleNamespace(attributes={"kept": 1})
    with current(otel_context.set_value(INFERENCE, outer)), tags("t"):
        client.chat.completions.create(**ASK)
    assert spans.all() == []
    assert outer.attributes["kept"] == 1
    assert outer.attributes["spanledger.cost.total"]
    assert outer.attributes["gen_ai.usage.cost.currency"] == "USD"
    assert outer.attributes["spanledger.tags"] == ("t",)
    assert "gen_ai.usage.input_tokens" not in outer.attributes


def test_while_our_span_is_open_others_are_told_and_http_spans_are_not_silenced(monkeypatch):
    class InferenceData:
        pass

    module = types.SimpleNamespace(InferenceData=InferenceData)
    monkeypatch.setitem(sys.modules, "opentelemetry.util.genai._inference_invocation", module)
    marked = suppression.marked(otel_context.get_current())
    with current(marked):
        assert suppression.suppressed()
        assert isinstance(otel_context.get_value(INFERENCE), InferenceData)
        assert is_instrumentation_enabled()
    with current(suppression.marked(marked, silence_all=True)):
        assert not is_instrumentation_enabled()
    assert not suppression.suppressed()


def test_another_instrumentation_inside_ours_is_silenced_for_the_call(make_recorded, client):
    import openai
    import wrapt

    enabled: list[bool] = []

    def theirs(wrapped: Any, _instance: Any, args: Any, kwargs: Any) -> Any:
        enabled.append(is_instrumentation_enabled())
        return wrapped(*args, **kwargs)

    original = openai.OpenAI.request
    owner = next(kind for kind in openai.OpenAI.__mro__ if "request" in vars(kind))
    wrapt.wrap_function_wrapper(owner, "request", theirs)
    try:
        spans = make_recorded()
        client.chat.completions.create(**ASK)
        assert enabled == [False]
        assert len(spans.all()) == 1
    finally:
        from spanledger.instrumentation import uninstrument

        uninstrument()
        owner.request = original
