"""The OpenAI SDK: a table of endpoints, and how to read their requests, responses and chunks.

Every call of the SDK passes through `request` of its client, typed, raw and streaming ones alike, after the
arguments were made into plain JSON. Patching there leaves no entry point out, never consumes an iterator
that belongs to the user, sees no "not given" marker, and holds for clients and wrappers that already exist.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]
from opentelemetry.trace import TracerProvider
from opentelemetry.util.types import AttributeValue

from spanledger.instrumentation import cost, suppression
from spanledger.instrumentation.calls import Accumulator, Request
from spanledger.instrumentation.invocation import Invocation, current
from spanledger.instrumentation.patching import Patch
from spanledger.instrumentation.providers import openai_chat
from spanledger.instrumentation.quiet import quietly
from spanledger.instrumentation.streams import Recording, watch_body, watch_stream
from spanledger.instrumentation.tracers import tracer
from spanledger.schemas import attributes as names
from spanledger.schemas.hosts import provider_of


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One kind of call: its name in the conventions and the readers of its bodies."""

    operation: str
    api_type: str
    attributes: Callable[[Any], dict[str, AttributeValue | None]]
    input_messages: Callable[[Any], list[dict[str, Any]]]
    tool_definitions: Callable[[Any], list[dict[str, Any]]]
    accumulator: Callable[[bool], Accumulator]


ENDPOINTS = {
    "/chat/completions": Endpoint(
        operation=names.OPERATION_CHAT,
        api_type="chat_completions",
        attributes=openai_chat.request_attributes,
        input_messages=openai_chat.input_messages,
        tool_definitions=openai_chat.tool_definitions,
        accumulator=openai_chat.ChatAccumulator,
    ),
}
# The client class decides where it can: an Azure client may sit in front of any host.
_CLIENTS = {"BaseAzureClient": "azure.ai.openai", "BedrockOpenAI": "aws.bedrock"}
_SCOPE = __name__


class OpenAIInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """Records the calls of every OpenAI client in this process, those that exist already included."""

    _patches: tuple[Patch, ...] = ()
    _tracer_provider: TracerProvider | None = None

    def instrumentation_dependencies(self) -> Collection[str]:
        return ("openai >= 1.66, < 4",)

    def _instrument(self, **kwargs: Any) -> None:
        import openai

        self._tracer_provider = kwargs.get("tracer_provider")
        cost.preload()
        self._patches = (
            Patch(openai.OpenAI, "request", self._request),
            Patch(openai.AsyncOpenAI, "request", self._async_request),
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
            with current(call.invocation.context):
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
            with current(call.invocation.context):
                result = await wrapped(*args, **kwargs)
        except BaseException as error:
            call.fail(error)
            raise
        call.deliver(result)
        return result

    def _begin(self, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> "_Call | None":
        with quietly("starting a span"):
            options = kwargs["options"] if "options" in kwargs else args[1]
            endpoint = ENDPOINTS.get(options.url)
            if endpoint is None or suppression.suppressed():
                return None
            silence_all = any(patch.foreign for patch in self._patches)
            invocation = Invocation(
                tracer(_SCOPE, self._tracer_provider),
                _read_request(endpoint, client, options, streaming=bool(kwargs.get("stream"))),
                silence_all=silence_all,
                outer=suppression.outer_attributes(otel_context.get_current()),
            )
            return _Call(invocation, endpoint.accumulator(invocation.policy.any), options)
        return None


class _Call:
    """Between the request and whatever object the SDK answers with."""

    def __init__(self, invocation: Invocation, accumulator: Accumulator, options: Any) -> None:
        self.invocation = invocation
        self._recording = Recording(invocation, accumulator)
        with quietly("following a parser"):
            self._follow_parser(options, accumulator)

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

    def fail(self, error: BaseException) -> None:
        self._recording.fail(error)

    def deliver(self, result: Any) -> None:
        """Read the answer, or watch it while the user reads it."""
        with quietly("reading a response"):
            raw = getattr(result, "http_response", None)
            if raw is not None:
                watch_body(raw, self._recording, events=self.invocation.request.stream)
                return
            if hasattr(result, "_iterator"):
                watch_stream(result, self._recording)
                return
            self._recording.chunk(result)
        self._recording.finish()


def _read_request(endpoint: Endpoint, client: Any, options: Any, *, streaming: bool) -> Request:
    body = options.json_data if isinstance(options.json_data, dict) else {}
    url = client.base_url
    model = body.get("model")
    attributes = {
        names.SERVER_ADDRESS: url.host or None,
        names.SERVER_PORT: url.port or {"https": 443, "http": 80}.get(url.scheme),
        names.OPENAI_API_TYPE: endpoint.api_type,
    }
    with quietly("reading a request"):
        attributes.update(endpoint.attributes(body))
    return Request(
        operation=endpoint.operation,
        provider=_provider(client, url.host),
        model=model if isinstance(model, str) else None,
        attributes={key: value for key, value in attributes.items() if value is not None},
        stream=streaming,
        input_messages=lambda: endpoint.input_messages(body),
        tool_definitions=lambda: endpoint.tool_definitions(body),
    )


def _provider(client: Any, host: str) -> str:
    for kind in type(client).__mro__:
        if kind.__name__ in _CLIENTS:
            return _CLIENTS[kind.__name__]
    return provider_of(host) or "openai"
