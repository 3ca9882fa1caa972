"""The OpenAI SDK in front of a stub of the whole API, and one way to call it that is synchronous or not."""

import asyncio
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest

from spanledger.instrumentation.providers import openai_background
from tests.instrumentation.stubs import openai as stub_of_openai

KEY = "sk-test-0123456789"


@pytest.fixture(scope="session")
def api() -> Iterator[stub_of_openai.Stub]:
    with stub_of_openai.running() as running:
        yield running


@pytest.fixture(autouse=True)
def _fresh(api: stub_of_openai.Stub) -> Iterator[None]:
    api.forget()
    yield
    openai_background.OPEN_CALLS.end_all()


@pytest.fixture
def client(api: stub_of_openai.Stub) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=api.base_url, api_key=KEY, max_retries=0) as made:
        yield made


@pytest.fixture
def make_async_client(api: stub_of_openai.Stub) -> Callable[[], openai.AsyncOpenAI]:
    return lambda: openai.AsyncOpenAI(base_url=api.base_url, api_key=KEY, max_retries=0)


class Caller:
    """Makes a call with either client; `make` gets the client and returns what its method returns."""

    def __init__(self, client: Any, make_async: Callable[[], Any] | None) -> None:
        self._client = client
        self._make_async = make_async

    def __call__(self, make: Callable[[Any], Any]) -> Any:
        """The answer of one call."""
        return self._run(make, _awaited)

    def read(self, make: Callable[[Any], Any]) -> list[Any]:
        """All chunks of a stream."""
        return self._run(make, _all_chunks)

    def parse(self, make: Callable[[Any], Any]) -> Any:
        """What `parse` makes of a raw response, read to its end if it is a stream."""
        return self._run(make, _parsed)

    def within(self, make: Callable[[Any], Any], use: Callable[[Any], Any]) -> Any:
        """Use what a context manager gives, as `with_streaming_response` and `.stream()` do."""

        async def used(managed: Any) -> Any:
            if hasattr(managed, "__aenter__"):
                async with managed as entered:
                    return await _settled(use(entered))
            with managed as entered:
                return await _settled(use(entered))

        return self._run(make, used)

    def _run(self, make: Callable[[Any], Any], use: Callable[[Any], Any]) -> Any:
        async def run() -> Any:
            if self._make_async is None:
                return await use(make(self._client))
            async with self._make_async() as client:
                return await use(make(client))

        return asyncio.run(run())


async def _awaited(made: Any) -> Any:
    return await made if inspect.isawaitable(made) else made


async def _all_chunks(made: Any) -> list[Any]:
    stream = await _awaited(made)
    return [chunk async for chunk in stream] if hasattr(stream, "__aiter__") else list(stream)


async def _settled(value: Any) -> Any:
    """Awaited, and a stream read to its end."""
    value = await _awaited(value)
    if hasattr(value, "__aiter__"):
        return [chunk async for chunk in value]
    return list(value) if hasattr(value, "_iterator") or isinstance(value, Iterator) else value


async def _parsed(made: Any) -> Any:
    return await _settled((await _awaited(made)).parse())


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest, client: Any, make_async_client: Any) -> Caller:
    return Caller(client, make_async_client if request.param == "async" else None)
