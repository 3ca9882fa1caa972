"""Watching a stream go by without changing it: the user keeps the object that the SDK made.

Nothing here attaches a context: a stream is read in whichever task, thread or generator the user likes.
"""

import json
import time
import weakref
from collections.abc import AsyncIterator, Iterator
from contextvars import copy_context
from functools import partial
from typing import Any, Protocol

from spanledger.instrumentation.calls import Accumulator, Response
from spanledger.instrumentation.collected import watch_collections, when_safe
from spanledger.instrumentation.invocation import Invocation
from spanledger.instrumentation.quiet import quietly

# A body larger than this is passed on but not read for its usage.
_BODY_LIMIT = 16 * 1024 * 1024


class Recording:
    """One streamed answer: every chunk, and then exactly one of read to the end, failed or abandoned."""

    def __init__(self, invocation: Invocation, accumulator: Accumulator) -> None:
        self._invocation = invocation
        self._accumulator = accumulator
        self._last_chunk_ns: int | None = None
        # True while the SDK produces the next chunk: it closes the response itself at the end of that.
        self.producing = False

    def chunk(self, chunk: Any) -> None:
        self._invocation.chunk()
        self._last_chunk_ns = time.time_ns()
        with quietly("reading a chunk"):
            self._accumulator.add(chunk)

    def finish(self) -> None:
        self._invocation.finish(self._response())

    def fail(self, error: BaseException | str) -> None:
        self._invocation.fail(error, self._broken_off())

    def abandon(self) -> None:
        """The user closed or dropped the stream: it ended when its last chunk came."""
        self._invocation.finish(self._broken_off(), end_time=self._last_chunk_ns)

    @property
    def is_over(self) -> bool:
        return self._invocation.is_over

    def closed(self) -> None:
        if not self.producing and not self.is_over:
            # A generator of the SDK that is collected closes the response, too.
            when_safe(self.abandon)

    def _broken_off(self) -> Response:
        # The conventions have a finish reason for a generation that stopped before its own end.
        response = self._response()
        if self._invocation.request.stream and not response.finish_reasons:
            response.finish_reasons = ("error",)
        return response

    def _response(self) -> Response:
        with quietly("reading a stream"):
            return self._accumulator.response()
        return Response()


class Watcher(Protocol):
    """What the iterators below report to."""

    producing: bool

    def chunk(self, chunk: Any) -> None: ...

    def finish(self) -> None: ...

    def fail(self, error: BaseException | str) -> None: ...


def of_inner(around: Any, name: str) -> Any:
    """An attribute of what an iterator is around; a copy in the making is around nothing yet."""
    if name == "_inner":
        raise AttributeError(name)
    return getattr(around._inner, name)  # noqa: SLF001 - what these are made of


class RecordedIterator:
    """Takes the place of the iterator inside a synchronous stream."""

    def __init__(self, inner: Iterator[Any], watcher: Watcher) -> None:
        self._inner = inner
        self._watcher = watcher

    def __iter__(self) -> "RecordedIterator":
        return self

    def __next__(self) -> Any:
        watcher = self._watcher
        watcher.producing = True
        try:
            chunk = next(self._inner)
        except StopIteration:
            watcher.finish()
            raise
        except BaseException as error:
            watcher.fail(error)
            raise
        finally:
            watcher.producing = False
        watcher.chunk(chunk)
        return chunk

    def __getattr__(self, name: str) -> Any:
        return of_inner(self, name)


class RecordedAsyncIterator:
    """Takes the place of the iterator inside an asynchronous stream."""

    def __init__(self, inner: AsyncIterator[Any], watcher: Watcher) -> None:
        self._inner = inner
        self._watcher = watcher

    def __aiter__(self) -> "RecordedAsyncIterator":
        return self

    async def __anext__(self) -> Any:
        watcher = self._watcher
        watcher.producing = True
        try:
            chunk = await anext(self._inner)
        except StopAsyncIteration:
            watcher.finish()
            raise
        except BaseException as error:
            watcher.fail(error)
            raise
        finally:
            watcher.producing = False
        watcher.chunk(chunk)
        return chunk

    def __getattr__(self, name: str) -> Any:
        return of_inner(self, name)


def when_dropped(thing: Any, recording: Recording) -> None:
    """End the recording when this object is gone, whoever drops it.

    If that is the garbage collector, the recording ends when that is done (see `collected`).

    Up to Python 3.11 a collection may run in the middle of setting a context variable, and ending a span sets
    some (processors attach a context of their own): the interpreter would crash. A copy of the context is
    entered, so that the one that is being changed stays as it is.
    """
    watch_collections()
    weakref.finalize(thing, _abandon, recording)


def _abandon(recording: Recording) -> None:
    if not recording.is_over:
        when_safe(partial(_abandon_aside, recording))


def _abandon_aside(recording: Recording) -> None:
    copy_context().run(recording.abandon)


def watch_stream(stream: Any, recording: Recording) -> None:
    """Record a stream object of the SDK from the inside, so that its type and methods stay what they are."""
    inner = stream._iterator  # noqa: SLF001 - the one place all of the SDK's ways of reading pass through
    recorded: Any = (
        RecordedAsyncIterator(inner, recording)
        if hasattr(inner, "__anext__")
        else RecordedIterator(inner, recording)
    )
    stream._iterator = recorded  # noqa: SLF001
    when_dropped(recorded, recording)
    watch_close(stream.response, recording)


def watch_close(response: Any, recording: Recording) -> None:
    """Hear of it when the HTTP response is closed, by whichever of the objects around it."""
    close, aclose = response.close, response.aclose

    def heard_close() -> None:
        _let_go(response)
        recording.closed()
        close()

    async def heard_aclose() -> None:
        _let_go(response)
        recording.closed()
        await aclose()

    response.close, response.aclose = heard_close, heard_aclose


def _let_go(response: Any) -> None:
    """Give the response its own methods back; ours refer to it, which would keep it until a collection."""
    for name in ("close", "aclose", "iter_bytes", "aiter_bytes"):
        vars(response).pop(name, None)


class BodyTap:
    """Reads along the decoded bytes of a raw response: server-sent events, or one JSON body."""

    def __init__(self, recording: Recording, *, events: bool) -> None:
        self._recording = recording
        self._events = events
        self._buffer = bytearray()
        self._too_long = False
        self.fail = recording.fail

    @property
    def producing(self) -> bool:
        return self._recording.producing

    @producing.setter
    def producing(self, value: bool) -> None:
        self._recording.producing = value

    def chunk(self, data: bytes) -> None:
        with quietly("reading raw bytes"):
            if self._too_long:
                return
            self._buffer.extend(data)
            if self._events:
                self._read_events()
            if len(self._buffer) > _BODY_LIMIT:
                self._too_long = True
                self._buffer.clear()

    def finish(self) -> None:
        with quietly("reading a raw body"):
            if self._events:
                # The last line need not end.
                self._read_line(self._buffer)
            elif self._buffer:
                self._recording.chunk(json.loads(self._buffer))
        self._recording.finish()

    def _read_events(self) -> None:
        *lines, rest = self._buffer.split(b"\n")
        self._buffer = bytearray(rest)
        for line in lines:
            self._read_line(line)

    def _read_line(self, line: bytearray) -> None:
        payload = bytes(line[5:]).strip() if line.startswith(b"data:") else b""
        if payload:
            # One that cannot be read must not hide the next.
            with quietly("reading an event"):
                self._event(payload)

    def _event(self, payload: bytes) -> None:
        if payload.startswith(b"[DONE]"):
            self._recording.finish()
            return
        data = json.loads(payload)
        if isinstance(data, dict) and data.get("error"):
            self._recording.fail(_error_name(data["error"]))
        else:
            self._recording.chunk(data)


def _error_name(error: Any) -> str:
    found = (error.get("code") or error.get("type")) if isinstance(error, dict) else None
    return str(found or "_OTHER")


def watch_body(response: Any, recording: Recording, *, events: bool, reader: type[BodyTap] = BodyTap) -> None:
    """Record a raw response from its bytes: parse(), read(), json() and iter_lines() all draw on them.

    `reader` knows the form of the events, if it is another than server-sent events.
    """
    tap = reader(recording, events=events)
    if response.is_closed:
        tap.chunk(response.content)
        tap.finish()
        return
    plain, plain_async = response.iter_bytes, response.aiter_bytes

    def iter_bytes(chunk_size: int | None = None) -> RecordedIterator:
        return RecordedIterator(plain(chunk_size), tap)

    def aiter_bytes(chunk_size: int | None = None) -> RecordedAsyncIterator:
        return RecordedAsyncIterator(plain_async(chunk_size), tap)

    response.iter_bytes = iter_bytes
    response.aiter_bytes = aiter_bytes
    when_dropped(response, recording)
    watch_close(response, recording)
