"""What instrumentors share whose SDK sends every call through one method, as plain JSON to an address.

Such an SDK needs a table of endpoints and a reader of the method's arguments; beginning a span, running the
method below it and handing the answer to a recording is the same for all.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import wrapt
from opentelemetry import context as otel_context
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]
from opentelemetry.trace import TracerProvider
from opentelemetry.util.types import AttributeValue

from spanledger.instrumentation import cost, suppression
from spanledger.instrumentation.calls import Accumulator, Message, Request
from spanledger.instrumentation.invocation import Invocation, current
from spanledger.instrumentation.patching import Patch
from spanledger.instrumentation.quiet import quietly
from spanledger.instrumentation.streams import Recording, watch_body
from spanledger.instrumentation.tracers import tracer
from spanledger.schemas import attributes as names

Json = Mapping[str, Any]


def no_messages(_body: Json) -> list[Message]:
    return []


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One kind of call: its name in the conventions and the readers of its bodies.

    `accumulator` is told whether content is kept.
    """

    operation: str
    attributes: Callable[[Json], dict[str, AttributeValue | None]]
    accumulator: Callable[[bool], Accumulator]
    input_messages: Callable[[Json], list[Message]] = no_messages
    system_instructions: Callable[[Json], list[Message]] = no_messages
    tool_definitions: Callable[[Json], list[Message]] = no_messages


@dataclass(frozen=True, slots=True)
class Asked:
    """What is about to be sent: where to, for which model, and the JSON body."""

    endpoint: Endpoint
    provider: str
    model: str | None
    body: Json
    host: str | None = None
    port: int | None = None
    stream: bool = False

    def request(self) -> Request:
        endpoint, body = self.endpoint, self.body
        attributes: dict[str, AttributeValue | None] = {
            names.SERVER_ADDRESS: self.host,
            names.SERVER_PORT: self.port,
        }
        with quietly("reading a request"):
            attributes.update(endpoint.attributes(body))
        return Request(
            operation=endpoint.operation,
            provider=self.provider,
            model=self.model,
            attributes={key: value for key, value in attributes.items() if value is not None},
            stream=self.stream,
            input_messages=lambda: endpoint.input_messages(body),
            system_instructions=lambda: endpoint.system_instructions(body),
            tool_definitions=lambda: endpoint.tool_definitions(body),
        )


class Call:
    """Between the request and whatever object the SDK answers with."""

    def __init__(self, invocation: Invocation, accumulator: Accumulator) -> None:
        self.invocation = invocation
        self.accumulator = accumulator
        self.recording = Recording(invocation, accumulator)

    def run(
        self,
        deliver: Callable[["Call", Any], None],
        wrapped: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Send the request; `deliver` reads the answer or sets a watch on it."""
        try:
            with current(self.invocation.context):
                result = wrapped(*args, **kwargs)
        except BaseException as error:
            self.recording.fail(error)
            raise
        self._deliver(deliver, result)
        return result

    async def run_async(
        self,
        deliver: Callable[["Call", Any], None],
        wrapped: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        try:
            with current(self.invocation.context):
                result = await wrapped(*args, **kwargs)
        except BaseException as error:
            self.recording.fail(error)
            raise
        self._deliver(deliver, result)
        return result

    def _deliver(self, deliver: Callable[["Call", Any], None], result: Any) -> None:
        with quietly("reading a response"):
            deliver(self, result)
            return
        self.recording.finish()


def deliver_response(call: Call, response: Any) -> None:
    """Record an HTTP response of httpx: a status, a body, or the events that the user has still to read."""
    if response.status_code >= 400:
        # The SDK makes its exception of this further up, when the body was read.
        call.recording.fail(str(response.status_code))
        return
    watch_body(response, call.recording, events=call.invocation.request.stream)


class EndpointInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """Patches the methods that a subclass names and begins a call where it finds an endpoint."""

    _scope: ClassVar[str]
    _patches: tuple[Patch, ...] = ()
    _tracer_provider: TracerProvider | None = None

    def _make_patches(self) -> Iterable[Patch]:
        raise NotImplementedError

    def _instrument(self, **kwargs: Any) -> None:
        self._tracer_provider = kwargs.get("tracer_provider")
        cost.preload()
        try:
            for patch in self._make_patches():
                self._patches += (patch,)
        except BaseException:
            self._uninstrument()
            raise

    def _uninstrument(self, **_kwargs: Any) -> None:
        for patch in self._patches:
            patch.undo()
        self._patches = ()

    def _begin(self, read: Callable[[], Asked | None]) -> Call | None:
        """A call that has started, or None for what is not recorded: then the SDK is left alone."""
        with quietly("starting a span"):
            if suppression.suppressed():
                return None
            asked = read()
            if asked is None:
                return None
            invocation = Invocation(
                tracer(self._scope, self._tracer_provider),
                asked.request(),
                silence_all=any(patch.foreign for patch in self._patches),
                outer=suppression.outer_attributes(otel_context.get_current()),
            )
            return Call(invocation, asked.endpoint.accumulator(invocation.policy.any))
        return None


def decorated(target: Any, name: str, wrapper: Callable[..., Any]) -> Patch:
    """A patch of what an SDK decorates itself: its `__wrapped__` alone tells of no other instrumentation."""
    foreign = isinstance(vars(target).get(name), wrapt.ObjectProxy)
    patch = Patch(target, name, wrapper)
    patch.foreign = foreign
    return patch


def count(counts: Any, name: str) -> int | None:
    """A number of tokens; anything else that stands in its place is "not reported"."""
    value = counts.get(name) if isinstance(counts, Mapping) else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    known = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return value if known else None


def total(*counts: int | None) -> int | None:
    """The sum of what was reported; None where nothing was."""
    known = [value for value in counts if value is not None]
    return sum(known) if known else None


def double(value: Any) -> Any:
    """A parameter that the conventions want as a double; a user may well pass 0 or 1."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def tier_attributes(tier: Any) -> dict[str, AttributeValue]:
    """The tier by which the answer is billed: the ledger prices by it, too."""
    return {names.RESPONSE_SERVICE_TIER: tier} if isinstance(tier, str) and tier else {}
