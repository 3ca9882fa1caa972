"""Switching on and off: once, completely, and beside whatever tracing the application has."""

import os
import subprocess
import sys
from typing import Any

import openai
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from spanledger.instrumentation import instrument, uninstrument
from spanledger.instrumentation.providers.openai import OpenAIInstrumentor

ASK: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}


def test_instrumenting_twice_records_once(spans, client):
    instrument(tracer_provider=spans.provider)
    client.chat.completions.create(**ASK)
    assert len(spans.all()) == 1


def test_uninstrumenting_gives_the_sdk_back_as_it_was_any_number_of_times(make_recorded, client):
    originals = (openai.OpenAI.request, openai.AsyncOpenAI.request)
    raw = client.chat.completions.with_raw_response
    for _round in range(3):
        spans = make_recorded()
        raw.create(**ASK)
        assert len(spans.all()) == 1
        uninstrument()
        raw.create(**ASK)
        client.chat.completions.create(**ASK)
        assert len(spans.all()) == 1
        assert (openai.OpenAI.request, openai.AsyncOpenAI.request) == originals


def test_a_method_kept_from_before_uninstrumenting_passes_through(spans, client):
    kept = client.request
    uninstrument()
    client.request = kept
    client.chat.completions.create(**ASK)
    assert spans.all() == []


def test_clients_and_raw_wrappers_made_before_are_recorded(make_recorded, client):
    raw = client.chat.completions.with_raw_response
    spans = make_recorded()
    raw.create(**ASK)
    assert len(spans.all()) == 1


def test_a_subclass_of_a_client_is_recorded_once(spans, stub):
    class Own(openai.OpenAI):
        def request(self, *args: Any, **kwargs: Any) -> Any:
            return super().request(*args, **kwargs)

    with Own(base_url=stub.base_url, api_key="k") as client:
        client.chat.completions.create(**ASK)
    assert len(spans.all()) == 1


def test_a_second_call_answers_with_the_provider_that_is_used(spans):
    assert instrument(tracer_provider=TracerProvider(shutdown_on_exit=False)) is spans.provider


def test_wrong_variables_of_a_start_without_code_are_warned_of_and_no_header_is_quoted():
    code = """
from spanledger.instrumentation.setup import instrument_from_environment
instrument_from_environment()
import os; os._exit(0)
"""
    done = run_python(
        code,
        OTEL_TRACES_EXPORTER="none",
        SPANLEDGER_HEADERS="authorization secret,x=1",
        SPANLEDGER_THREADS="maybe",
    )
    assert "SPANLEDGER_THREADS is 'maybe'; allowed are true and false: it is on" in done.stderr
    assert "SPANLEDGER_HEADERS takes name=value" in done.stderr
    assert "secret" not in done.stderr


def test_the_instrumentor_works_alone_as_opentelemetry_instrument_uses_it(client):
    provider, exporter = TracerProvider(shutdown_on_exit=False), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor = OpenAIInstrumentor()
    assert instrumentor.instrumentation_dependencies() == ("openai >= 1.54, < 4",)
    instrumentor.instrument(tracer_provider=provider)
    try:
        client.chat.completions.create(**ASK)
    finally:
        instrumentor.uninstrument()
    assert len(exporter.get_finished_spans()) == 1


def run_python(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A fresh process, because a global tracer provider is for the life of one."""
    inherited = {
        key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "SPANLEDGER_"))
    }
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**inherited, **variables},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


PRELUDE = """
import gc, sys
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
import spanledger.instrumentation as ledger
def provider_of_the_application():
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider, exporter
def processors(provider):
    return [type(p).__name__ for p in provider._active_span_processor._span_processors]
"""


@pytest.mark.parametrize(("endpoint", "exports"), [(None, False), ("http://127.0.0.1:1", True)])
def test_the_applications_own_provider_stays_and_is_given_an_exporter_only_when_asked(endpoint, exports):
    code = f"""{PRELUDE}
own, _ = provider_of_the_application()
trace.set_tracer_provider(own)
assert ledger.instrument(endpoint={endpoint!r}) is own is trace.get_tracer_provider()
ledger.uninstrument(); ledger.instrument(endpoint={endpoint!r})
assert processors(own) == ["SimpleSpanProcessor", "LedgerProcessor"], processors(own)
assert own._active_span_processor._span_processors[1].exports is {exports}
"""
    done = run_python(code)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("endpoint", "exports"), [(None, False), ("http://127.0.0.1:1", True)])
def test_a_provider_that_the_application_sets_later_is_treated_as_one_set_before(endpoint, exports):
    code = f"""{PRELUDE}
made = ledger.instrument(endpoint={endpoint!r})
own, seen = provider_of_the_application()
trace.set_tracer_provider(own)
assert trace.get_tracer_provider() is own and own is not made
assert processors(own) == ["SimpleSpanProcessor", "LedgerProcessor"]
assert own._active_span_processor._span_processors[1].exports is {exports}
with ledger.user("ada"), ledger.workflow("w"):
    pass
(span,) = seen.get_finished_spans()
assert (span.name, span.attributes["user.id"]) == ("invoke_workflow w", "ada")
import os; sys.stderr.flush(); os._exit(0)
"""
    done = run_python(code)
    assert (done.returncode, done.stderr) == (0, "")


def test_without_a_provider_one_is_set_up_and_the_environment_can_switch_export_off():
    code = f"""{PRELUDE}
made = ledger.instrument(service_name="shop")
assert trace.get_tracer_provider() is made
assert made.resource.attributes["service.name"] == "shop"
assert not made._active_span_processor._span_processors[0].exports
with ledger.workflow("w"):
    pass
"""
    done = run_python(code, OTEL_TRACES_EXPORTER="none")
    assert (done.returncode, done.stderr) == (0, "")


def test_an_sdk_that_is_imported_later_is_recorded_and_one_that_never_is_costs_nothing(stub):
    code = f"""{PRELUDE}
own, seen = provider_of_the_application()
ledger.instrument(tracer_provider=own)
assert "openai" not in sys.modules and "genai_prices" not in sys.modules
import openai
client = openai.OpenAI(base_url={stub.base_url!r}, api_key="k")
client.chat.completions.create(model="gpt-4o-mini", messages=[{{"role": "user", "content": "hi"}}])
assert [span.name for span in seen.get_finished_spans()] == ["chat gpt-4o-mini"]
"""
    done = run_python(code)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_sdk_of_an_unsupported_version_is_left_alone_with_one_warning(monkeypatch, warnings_logged):
    monkeypatch.setattr(OpenAIInstrumentor, "instrumentation_dependencies", lambda _self: ("openai >= 99",))
    original = openai.OpenAI.request
    provider = TracerProvider(shutdown_on_exit=False)
    try:
        instrument(tracer_provider=provider)
        assert openai.OpenAI.request is original
        assert len(warnings_logged()) == 1
    finally:
        uninstrument()
