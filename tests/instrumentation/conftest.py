import gc
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import httpx2
import openai
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from spanledger.instrumentation import collected, content, instrument, options, quiet, uninstrument
from spanledger.schemas import attributes as names
from spanledger.server import stub_provider
from tests.instrumentation.conventions import check_all

# LiteLLM has an environment of its own, where these are run (see the Makefile).
collect_ignore = [] if find_spec("litellm") else ["test_litellm.py"]


@dataclass
class Recorded:
    """The spans of one test, and the provider that they went through."""

    provider: TracerProvider
    exporter: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)

    def all(self) -> list[ReadableSpan]:
        # What a garbage collection dropped ends at the next call; here there may be none.
        collected.settle()
        return list(self.exporter.get_finished_spans())

    def one(self) -> ReadableSpan:
        spans = self.all()
        assert len(spans) == 1, [span.name for span in spans]
        return spans[0]

    def named(self, name: str) -> ReadableSpan:
        return next(span for span in self.all() if span.name == name)

    def clear(self) -> None:
        self.exporter.clear()


@pytest.fixture(scope="session")
def stub() -> Iterator[stub_provider.StubProvider]:
    with stub_provider.running() as running:
        yield running


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = (content.OWN_SWITCH, content.OTEL_SWITCH, content.LIMIT, options.INCLUDE_USAGE, options.PROPAGATE)
    for name in (*ours, "OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def all_recorded() -> list[Recorded]:
    return []


@pytest.fixture
def by_the_conventions(all_recorded: list[Recorded]) -> Iterator[None]:
    """For a whole file by `pytestmark`: every span of a call that its tests leave is held to the table."""
    yield
    check_all(
        [
            span
            for recorded in all_recorded
            for span in recorded.all()
            if span.kind is SpanKind.CLIENT and names.OPERATION_NAME in (span.attributes or {})
        ]
    )


@pytest.fixture
def make_recorded(all_recorded: list[Recorded]) -> Iterator[Callable[..., Recorded]]:
    """Instrument with these settings; undone after the test."""

    def make(**settings: Any) -> Recorded:
        recorded = Recorded(TracerProvider(shutdown_on_exit=False))
        all_recorded.append(recorded)
        recorded.provider.add_span_processor(SimpleSpanProcessor(recorded.exporter))
        instrument(tracer_provider=recorded.provider, **settings)
        return recorded

    yield make
    uninstrument()
    content.decide(capture=False)
    options.decide()


@pytest.fixture
def spans(make_recorded: Callable[..., Recorded]) -> Recorded:
    return make_recorded()


@pytest.fixture
def spans_with_content(make_recorded: Callable[..., Recorded]) -> Recorded:
    return make_recorded(capture_content=True)


@pytest.fixture
def client(stub: stub_provider.StubProvider) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=stub.base_url, api_key="sk-test-0123456789", max_retries=0) as made:
        yield made


@pytest.fixture
def make_async_client(stub: stub_provider.StubProvider) -> Callable[[], openai.AsyncOpenAI]:
    return lambda: openai.AsyncOpenAI(base_url=stub.base_url, api_key="sk-test-0123456789", max_retries=0)


@pytest.fixture
def canned() -> Iterator[Callable[..., openai.OpenAI]]:
    """A client whose provider gives one fixed answer: a JSON body, or the lines of an event stream."""
    clients: list[openai.OpenAI] = []

    def make(
        body: Any = None, events: list[str] | None = None, base_url: str = "http://canned/v1"
    ) -> openai.OpenAI:
        def answer(_request: httpx2.Request) -> httpx2.Response:
            if events is not None:
                text = "".join(f"data: {event}\n\n" for event in events)
                return httpx2.Response(200, text=text, headers={"content-type": "text/event-stream"})
            return httpx2.Response(200, json=body)

        transport = httpx2.MockTransport(answer)
        clients.append(
            openai.OpenAI(
                base_url=base_url, api_key="k", max_retries=0, http_client=httpx2.Client(transport=transport)
            )
        )
        return clients[-1]

    yield make
    for made in clients:
        made.close()


@pytest.fixture
def warnings_logged(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    """What OTel and we logged at WARNING or above."""
    quiet._said.clear()
    caplog.set_level(logging.WARNING)

    def logged() -> list[str]:
        gc.collect()
        ours = ("opentelemetry", "spanledger")
        return [record.getMessage() for record in caplog.records if record.name.startswith(ours)]

    yield logged
    quiet._said.clear()
