"""SDKs made by the generator of OpenAI's and Anthropic's: every call of theirs passes through one method.

`request` of the client sees typed, raw and streaming calls alike, after the arguments were made into plain
JSON. Patching there leaves no entry point out, never consumes an iterator that belongs to the user, sees no
"not given" marker, and holds for clients and wrappers that already exist.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]
from opentelemetry.trace import TracerProvider

from spanledger.instrumentation import cost, propagation, suppression
from spanledger.instrumentation.calls import Accumulator, Request
from spanledger.instrumentation.invocation import Invocation, current
from spanledger.instrumentation.patching import Patch
from spanledger.instrumentation.quiet import quietly
from spanledger.instrumentation.streams import BodyTap, Recording, watch_body, watch_stream
from spanledger.instrumentation.tracers import tracer


class Following(Protocol):
    """What goes along with one request of a client, from its start to whatever the SDK answers with."""

    @property
    def context(self) -> Context: ...

    def fail(self, error: BaseException) -> None: ...

    def deliver(self, result: Any) -> None: ...


class StainlessInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """Follows every client of one SDK in this process, those that exist already included."""

    scope: str
    _patches: tuple[Patch, ...] = ()
    _tracer_provider: TracerProvider | None = None

    @abstractmethod
    def clients(self) -> Sequence[type]:
        """The synchronous and the asynchronous client class; this is where the SDK is imported."""

    @abstractmethod
    def begin(self, client: Any, options: Any, *, streaming: bool) -> Following | None:
        """Start to follow a request, or None for one that calls no model."""

    def _instrument(self, **kwargs: Any) -> None:
        plain, asynchronous = self.clients()
        self._tracer_provider = kwargs.get("tracer_provider")
        cost.preload()
        self._patches = (
            Patch(plain, "request", self._request),
            Patch(asynchronous, "request", self._async_request),
        )

    def _uninstrument(self, **_kwargs: Any) -> None:
        for patch in self._patches:
            patch.undo()
        self._patches = ()

    def _request(
        self, wrapped: Callable[..., Any], client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        call = self._begin(client, args, kwargs)
        if call is None:
            return wrapped(*args, **kwargs)
        try:
            with current(call.context):
                result = wrapped(*args, **kwargs)
        except BaseException as error:
            call.fail(error)
            raise
        call.deliver(result)
        return result

    async def _async_request(
        self, wrapped: Callable[..., Any], client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        call = self._begin(client, args, kwargs)
        if call is None:
            return await wrapped(*args, **kwargs)
        try:
            with current(call.context):
                result = await wrapped(*args, **kwargs)
        except BaseException as error:
            call.fail(error)
            raise
        call.deliver(result)
        return result

    def _begin(self, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Following | None:
        with quietly("starting a span"):
            options = kwargs["options"] if "options" in kwargs else args[1]
            if not suppression.suppressed():
                following = self.begin(client, options, streaming=bool(kwargs.get("stream")))
                if following is not None:
                    with quietly("propagating"):
                        options.headers = propagation.added(options.headers, following.context)
                return following
        return None

    def invocation(self, request: Request) -> Invocation:
        """One call of a model, started now."""
        return Invocation(
            tracer(self.scope, self._tracer_provider),
            request,
            silence_all=any(patch.foreign for patch in self._patches),
            outer=suppression.outer_attributes(otel_context.get_current()),
        )


class Call:
    """Between the request and whatever object the SDK answers with."""

    def __init__(self, invocation: Invocation, accumulator: Accumulator, options: Any) -> None:
        self.invocation = invocation
        self.recording = Recording(invocation, accumulator)
        with quietly("following a parser"):
            self._follow_parser(options, accumulator)

    @property
    def context(self) -> Context:
        return self.invocation.context

    def _follow_parser(self, options: Any, accumulator: Accumulator) -> None:
        """A parser that rejects an answer must not hide what the answer cost."""
        parser = options.post_parser
        if not callable(parser):
            return

        def read_then_parse(completion: Any) -> Any:
            with quietly("reading a response"):
                accumulator.add(completion)
            return parser(completion)

        options.post_parser = read_then_parse

    def body_reader(self, _response: Any) -> type[BodyTap]:
        """What reads the bytes of a raw response."""
        return BodyTap

    def fail(self, error: BaseException) -> None:
        self.recording.fail(error)

    def deliver(self, result: Any) -> None:
        """Read the answer, or watch it while the user reads it."""
        with quietly("reading a response"):
            raw = getattr(result, "http_response", None)
            if raw is not None:
                streaming = self.invocation.request.stream
                watch_body(raw, self.recording, events=streaming, reader=self.body_reader(raw))
                return
            if hasattr(result, "_iterator"):
                watch_stream(result, self.recording)
                return
            self.recording.chunk(result)
        self.recording.finish()
