"""Switching on and off, beside other instrumentations and other versions of what does the patching."""

import subprocess
import sys
from typing import Any

import anthropic
import pytest
import wrapt
from opentelemetry import context as otel_context

from spanledger.instrumentation import instrument, uninstrument
from spanledger.instrumentation.providers.anthropic import AnthropicInstrumentor
from tests.instrumentation.anthropic.asking import ASK, STREAM

pytestmark = pytest.mark.usefixtures("by_the_conventions")


def test_off_and_on_again_leaves_one_span_and_then_none_case_30(spans, client):
    """Case 30: three rounds, with a client and bound methods made before and kept."""
    kept = client.messages.create
    raw = client.messages.with_raw_response
    for _ in range(3):
        kept(**ASK)
        raw.create(**ASK)
        assert len(spans.all()) == 2
        uninstrument()
        kept(**ASK)
        raw.create(**ASK)
        list(kept(**STREAM))
        assert len(spans.all()) == 2
        spans.clear()
        instrument(tracer_provider=spans.provider)
        instrument(tracer_provider=spans.provider)


def test_off_gives_the_sdk_its_own_functions_back_case_30():
    """Case 30: nothing of ours is left on the classes."""
    from anthropic import _base_client as base

    def owned() -> list[Any]:
        return [
            vars(base.SyncAPIClient)["request"],
            vars(base.AsyncAPIClient)["request"],
            vars(base).get("start_api_call_span"),
        ]

    before = owned()
    instrument()
    assert isinstance(owned()[0], wrapt.FunctionWrapper)
    uninstrument()
    assert owned() == before


def test_patching_works_with_the_wrapt_that_is_installed_case_24(spans, client):
    """Case 24: wrapt 2 renamed a parameter; a wrapper that could not be set would be silent."""
    client.messages.create(**ASK)
    assert len(spans.all()) == 1, wrapt.__version__


@pytest.mark.parametrize("key", ["suppress_instrumentation", "suppress_language_model_instrumentation"])
@pytest.mark.parametrize("stream", [False, True])
def test_who_asks_for_silence_gets_it(spans, client, key, stream):
    token = otel_context.attach(otel_context.set_value(key, True))
    try:
        assert list(client.messages.create(**ASK, stream=stream))
    finally:
        otel_context.detach(token)
    assert spans.all() == []


def test_importing_the_instrumentor_imports_no_sdk():
    code = (
        "import sys, spanledger.instrumentation, spanledger.instrumentation.providers.anthropic;"
        "sys.exit('anthropic' in sys.modules or 'botocore' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_an_sdk_imported_later_is_recorded():
    code = """
import sys
from opentelemetry.sdk.trace import TracerProvider
from spanledger.instrumentation import instrument
instrument(tracer_provider=TracerProvider())
import anthropic
from spanledger.instrumentation.providers.anthropic import AnthropicInstrumentor
sys.exit(not AnthropicInstrumentor().is_instrumented_by_opentelemetry)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_the_entry_point_has_a_name_of_its_own():
    from importlib.metadata import entry_points

    found = [
        entry
        for entry in entry_points(group="opentelemetry_instrumentor")
        if entry.value.startswith("spanledger.instrumentation.providers.anthropic:")
    ]
    assert [entry.name for entry in found] == ["spanledger_anthropic"]
    assert found[0].load() is AnthropicInstrumentor


def test_the_class_of_the_client_is_the_sdks(spans, client):
    assert type(client) is anthropic.Anthropic
    assert callable(client.request)
