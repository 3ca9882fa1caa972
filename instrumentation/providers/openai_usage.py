"""Usage of streams: OpenAI's protocol sends it only to those who ask, in a chunk of its own.

Where it is switched on, we ask in the user's place and take that chunk out again before the user sees it.
"""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from spanledger.instrumentation.reading import field, items
from spanledger.instrumentation.streams import of_inner

_END = b"\n\n"


def asking(body: Any) -> dict[str, Any] | None:
    """The body of a streamed request that asks for usage, or None where the user said yes or no already."""
    if not isinstance(body, Mapping) or not body.get("stream"):
        return None
    options = body.get("stream_options") or {}
    if not isinstance(options, Mapping) or "include_usage" in options:
        return None
    return {**body, "stream_options": {**options, "include_usage": True}}


def is_extra(chunk: Any) -> bool:
    """The chunk that comes only because usage was asked for: counts and no choice."""
    return not items(field(chunk, "choices")) and field(chunk, "usage") is not None


class _Hiding:
    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return of_inner(self, name)


class _HidingIterator(_Hiding):
    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        while is_extra(chunk := next(self._inner)):
            pass
        return chunk


class _HidingAsyncIterator(_Hiding):
    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        while is_extra(chunk := await anext(self._inner)):
            pass
        return chunk


def hide_from_stream(stream: Any) -> None:
    """Take the extra chunk out of a stream object of the SDK, whose recording has seen it already."""
    inner = stream._iterator  # noqa: SLF001 - as in watch_stream
    hiding = _HidingAsyncIterator if hasattr(inner, "__anext__") else _HidingIterator
    stream._iterator = hiding(inner)  # noqa: SLF001


class _Events:
    """Cuts bytes into server-sent events and leaves out the extra one."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        *events, self._rest = (self._rest + data).replace(b"\r\n", b"\n").split(_END)
        return b"".join(event + _END for event in events if not _is_extra_event(event))

    def rest(self) -> bytes:
        return self._rest


def _is_extra_event(event: bytes) -> bool:
    if b'"usage"' not in event or not event.startswith(b"data:"):
        return False
    try:
        return is_extra(json.loads(event[5:]))
    except ValueError:
        return False


def hide_from_body(response: Any) -> None:
    """The same for a raw response: parse(), read(), text and iter_lines() all draw on its bytes."""
    plain, plain_async = response.iter_bytes, response.aiter_bytes

    def iter_bytes(chunk_size: int | None = None) -> Iterator[bytes]:
        events = _Events()
        for data in plain(chunk_size):
            if kept := events.feed(data):
                yield kept
        if events.rest():
            yield events.rest()

    async def aiter_bytes(chunk_size: int | None = None) -> AsyncIterator[bytes]:
        events = _Events()
        async for data in plain_async(chunk_size):
            if kept := events.feed(data):
                yield kept
        if events.rest():
            yield events.rest()

    response.iter_bytes, response.aiter_bytes = iter_bytes, aiter_bytes
