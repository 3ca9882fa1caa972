import json
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import httpx2
import pytest

from spanledger.server.stub_provider import StubProvider
from tests.instrumentation.stubs import anthropic as stubs

KEY = "sk-ant-test-0123456789"


@pytest.fixture(scope="session")
def served() -> Iterator[tuple[stubs.AnthropicStub, StubProvider]]:
    with stubs.serving() as running:
        yield running


@pytest.fixture
def stub(served: tuple[stubs.AnthropicStub, StubProvider]) -> stubs.AnthropicStub:
    served[0].bills.clear()
    return served[0]


@pytest.fixture
def url(served: tuple[stubs.AnthropicStub, StubProvider]) -> str:
    return served[1].root_url


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_AUTH_TOKEN",
        "ANTHROPIC_BASE_URL",
        "ANTHROPIC_OPEN_TELEMETRY",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def client(url: str) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=url, api_key=KEY, max_retries=0) as made:
        yield made


@pytest.fixture
def make_async_client(url: str) -> Callable[[], anthropic.AsyncAnthropic]:
    return lambda: anthropic.AsyncAnthropic(base_url=url, api_key=KEY, max_retries=0)


@pytest.fixture
def canned() -> Iterator[Callable[..., anthropic.Anthropic]]:
    """A client whose provider gives one fixed answer: a JSON body, or the events of a stream."""
    clients: list[anthropic.Anthropic] = []

    def make(
        body: Any = None, events: list[Any] | None = None, base_url: str = "http://canned"
    ) -> anthropic.Anthropic:
        def answer(_request: httpx2.Request) -> httpx2.Response:
            if events is not None:
                text = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
                return httpx2.Response(200, text=text, headers={"content-type": "text/event-stream"})
            return httpx2.Response(200, json=body)

        http_client = httpx2.Client(transport=httpx2.MockTransport(answer))
        clients.append(
            anthropic.Anthropic(base_url=base_url, api_key=KEY, max_retries=0, http_client=http_client)
        )
        return clients[-1]

    yield make
    for made in clients:
        made.close()
