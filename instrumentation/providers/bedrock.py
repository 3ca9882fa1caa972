"""Bedrock's models through boto3 and aiobotocore: Converse and InvokeModel, whole and streamed.

Every call of every client of AWS passes through one method; only those of bedrock-runtime are looked at.
"""

import asyncio
import inspect
import json
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from opentelemetry import context as otel_context
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]
from opentelemetry.trace import TracerProvider
from opentelemetry.util.types import AttributeValue

from spanledger.instrumentation import cost, suppression
from spanledger.instrumentation.calls import Accumulator, Request, Response
from spanledger.instrumentation.invocation import Invocation, current
from spanledger.instrumentation.patching import Patch
from spanledger.instrumentation.providers import bedrock_bodies, bedrock_converse
from spanledger.instrumentation.providers.bedrock_bodies import BodyAccumulator
from spanledger.instrumentation.providers.bedrock_models import model_of
from spanledger.instrumentation.quiet import quietly
from spanledger.instrumentation.reading import field, settled
from spanledger.instrumentation.streams import (
    BodyTap,
    RecordedAsyncIterator,
    RecordedIterator,
    Recording,
    when_dropped,
)
from spanledger.instrumentation.tracers import tracer
from spanledger.schemas import attributes as names

_SERVICE = "bedrock-runtime"
_PROVIDER = "aws.bedrock"
# Operation of the API, then whether its answer is a stream.
_CONVERSE = {"Converse": False, "ConverseStream": True}
_INVOKE = {"InvokeModel": False, "InvokeModelWithResponseStream": True}
_STREAMED = {**_CONVERSE, **_INVOKE}


class BedrockInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """Records the calls of every boto3 client of bedrock-runtime, those that exist already included."""

    scope = __name__
    _patches: tuple[Patch, ...] = ()
    _tracer_provider: TracerProvider | None = None
    _foreign = False

    def instrumentation_dependencies(self) -> Collection[str]:
        return ("botocore >= 1.35.74, < 2",)

    def _patch(self) -> Patch:
        from botocore.client import BaseClient

        self._foreign = _is_foreign(BaseClient)
        return Patch(BaseClient, "_make_api_call", self._call)

    def _instrument(self, **kwargs: Any) -> None:
        self._tracer_provider = kwargs.get("tracer_provider")
        cost.preload()
        self._patches = (self._patch(),)

    def _uninstrument(self, **_kwargs: Any) -> None:
        for patch in self._patches:
            patch.undo()
        self._patches = ()

    def _call(
        self, wrapped: Callable[..., Any], client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        call = self._begin(client, args, kwargs)
        if call is None:
            return wrapped(*args, **kwargs)
        try:
            with current(call.invocation.context):
                response = wrapped(*args, **kwargs)
        except BaseException as error:
            call.recording.fail(error)
            raise
        call.deliver(response)
        return response

    def _begin(self, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> "_Call | None":
        with quietly("starting a span"):
            if client.meta.service_model.service_name != _SERVICE:
                return None
            operation = kwargs["operation_name"] if "operation_name" in kwargs else args[0]
            if operation not in _STREAMED or suppression.suppressed():
                return None
            given = kwargs["api_params"] if "api_params" in kwargs else args[1]
            invocation = Invocation(
                tracer(self.scope, self._tracer_provider),
                _read_request(client, operation, given),
                silence_all=self._foreign,
                outer=suppression.outer_attributes(otel_context.get_current()),
            )
            return _Call(operation, invocation)
        return None


def _is_foreign(client: type) -> bool:
    """Whether another instrumentation sits on the method; botocore's own decorator is a plain function."""
    return not inspect.isfunction(vars(client)["_make_api_call"])


class AsyncBedrockInstrumentor(BedrockInstrumentor):
    """The same of aiobotocore's clients, which have a method of their own."""

    # The base class keeps one instance for a class and those below it.
    _instance = None

    def instrumentation_dependencies(self) -> Collection[str]:
        return ("aiobotocore >= 2.15, < 4",)

    def _patch(self) -> Patch:
        from aiobotocore.client import AioBaseClient

        self._foreign = _is_foreign(AioBaseClient)
        return Patch(AioBaseClient, "_make_api_call", self._async_call)

    async def _async_call(
        self, wrapped: Callable[..., Any], client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        call = self._begin(client, args, kwargs)
        if call is None:
            return await wrapped(*args, **kwargs)
        try:
            with current(call.invocation.context):
                response = await wrapped(*args, **kwargs)
        except BaseException as error:
            call.recording.fail(error)
            raise
        call.deliver(response)
        return response


class _Billed:
    """An accumulator whose answer is named as Bedrock bills it."""

    def __init__(self, inner: Accumulator, model: str | None) -> None:
        self.inner = inner
        self.attributes: dict[str, AttributeValue] = {}
        self.tier: str | None = None
        self._model = model
        self.add = inner.add

    def response(self) -> Response:
        found = self.inner.response()
        routed = isinstance(self.inner, bedrock_converse.ConverseAccumulator) and found.model
        found.model = found.model if routed else self._model or found.model
        found.service_tier = self.tier or found.service_tier
        found.attributes.update(self.attributes)
        return found


class _Call:
    """Between the request and the answer, whose body or stream the user has yet to read."""

    def __init__(self, operation: str, invocation: Invocation) -> None:
        self.invocation = invocation
        self._operation = operation
        content = invocation.policy.any
        self._inner: Accumulator = (
            bedrock_converse.ConverseAccumulator(content)
            if operation in _CONVERSE
            else BodyAccumulator(content, operation=invocation.request.operation)
        )
        self._accumulator = _Billed(self._inner, model_of(invocation.request.model))
        self.recording = Recording(invocation, self._accumulator)

    def deliver(self, response: Any) -> None:
        with quietly("reading a response"):
            self._read_head(response)
            if self._operation == "Converse":
                self.recording.chunk(response)
                self.recording.finish()
            elif self._operation == "InvokeModel":
                _WatchedBody(response["body"], self.recording)
            else:
                _watch_events(response["stream" if "stream" in response else "body"], self.recording)
            return
        self.recording.finish()

    def _read_head(self, response: Mapping[str, Any]) -> None:
        metadata = response.get("ResponseMetadata") or {}
        if isinstance(self._inner, BodyAccumulator):
            self._inner.headers(metadata.get("HTTPHeaders") or {})
            tier = response.get("serviceTier")
            if isinstance(tier, str):
                self._accumulator.tier = tier
                self._accumulator.attributes[names.BEDROCK_RESPONSE_SERVICE_TIER] = tier
        request_id = metadata.get("RequestId")
        if isinstance(request_id, str):
            self._accumulator.attributes[names.AWS_REQUEST_ID] = request_id


class _WatchedBody:
    """Reads along while the user reads a body; the object stays botocore's."""

    def __init__(self, body: Any, recording: Recording) -> None:
        self._body = body
        self._recording = recording
        self._tap = BodyTap(recording, events=False)
        self._read = body.read
        self._readinto = getattr(body, "readinto", None)
        self._close = body.close
        is_async = inspect.iscoroutinefunction(body.read)
        body.read = self.async_read if is_async else self.read
        body.close = self.close
        if self._readinto is not None and not is_async:
            body.readinto = self.readinto
        when_dropped(body, recording)

    def read(self, amt: int | None = None) -> Any:
        try:
            data = self._read(amt)
        except BaseException as error:
            self._recording.fail(error)
            raise
        self._heard(data, whole=amt is None or amt < 0)
        return data

    async def async_read(self, amt: int | None = None) -> Any:
        try:
            data = await self._read(amt)
        except BaseException as error:
            self._recording.fail(error)
            raise
        self._heard(data, whole=amt is None or amt < 0)
        return data

    def readinto(self, target: Any) -> Any:
        size = self._readinto(target) if self._readinto is not None else 0
        self._heard(memoryview(target).cast("B")[:size], whole=False)
        return size

    def close(self) -> Any:
        self._let_go()
        self._recording.closed()
        return self._close()

    def _heard(self, data: Any, *, whole: bool) -> None:
        with quietly("reading a body"):
            self._tap.chunk(bytes(data))
            length, read = self._state("content_length"), self._state("amount_read")
            if whole or not data or (length is not None and read == int(length)):
                self._let_go()
                self._tap.finish()

    def _state(self, name: str) -> Any:
        plain = getattr(self._body, f"_{name}", None)
        return getattr(self._body, f"_self_{name}", None) if plain is None else plain

    def _let_go(self) -> None:
        # Ours refer to the body, which would keep it until a collection.
        for name in ("read", "readinto", "close"):
            # Not by its dictionary: up to aiobotocore 2 the body is a proxy, which shows that of another.
            with suppress(AttributeError):
                delattr(self._body, name)


class _Frames:
    """The frames below the events: their end and their errors, while the events are read above."""

    producing = False

    def __init__(self, recording: Recording) -> None:
        self.finish = recording.finish
        self.fail = recording.fail

    def chunk(self, frame: Any) -> None:
        """Read when it is parsed."""


def _watch_events(stream: Any, recording: Recording) -> None:
    """Record an event stream from the inside, so that its type and methods stay what they are."""
    parse, close, frames = stream._parse_event, stream.close, stream._event_generator  # noqa: SLF001

    def heard(event: Any) -> Any:
        try:
            parsed = parse(event)
        except BaseException as error:
            recording.fail(_named(error))
            raise
        if parsed:
            recording.chunk(parsed)
        return parsed

    async def heard_async(event: Any) -> Any:
        try:
            parsed = await parse(event)
        except BaseException as error:
            recording.fail(_named(error))
            raise
        if parsed:
            recording.chunk(parsed)
        return parsed

    def heard_close() -> Any:
        recording.closed()
        return close()

    wrap = RecordedAsyncIterator if hasattr(frames, "__anext__") else RecordedIterator
    watched = wrap(frames, _Frames(recording))
    # Asynchronous streams parsed without waiting up to aiobotocore 2.
    stream._parse_event = heard_async if inspect.iscoroutinefunction(parse) else heard  # noqa: SLF001
    stream._event_generator = watched  # noqa: SLF001
    stream.close = heard_close
    when_dropped(watched, recording)


def _named(error: BaseException) -> BaseException | str:
    """Errors in a stream all have one class; their code says more."""
    if isinstance(error, asyncio.CancelledError):
        return error
    code = field(field(getattr(error, "response", None), "Error"), "Code")
    return code if isinstance(code, str) and code else error


def _read_request(client: Any, operation: str, given: Mapping[str, Any]) -> Request:
    asked = given.get("modelId")
    model = asked if isinstance(asked, str) else None
    body = settled(given) if operation in _CONVERSE else _json_body(given.get("body"))
    reader: Any = bedrock_converse if operation in _CONVERSE else bedrock_bodies
    attributes = _server(client)
    with quietly("reading a request"):
        attributes.update(reader.request_attributes(body))
    return Request(
        operation=names.OPERATION_CHAT
        if operation in _CONVERSE
        else bedrock_bodies.operation_of(model, body),
        provider=_PROVIDER,
        model=model,
        attributes={key: value for key, value in attributes.items() if value is not None},
        stream=_STREAMED[operation],
        input_messages=lambda: reader.input_messages(body),
        system_instructions=lambda: reader.system_instructions(body),
        tool_definitions=lambda: reader.tool_definitions(body),
    )


def _json_body(body: Any) -> Mapping[str, Any]:
    """The body of a model; one that is a file is the SDK's to read and stays unread here."""
    with quietly("reading a request"):
        if isinstance(body, str | bytes | bytearray):
            found = json.loads(body)
            if isinstance(found, dict):
                return found
    return {}


def _server(client: Any) -> dict[str, AttributeValue | None]:
    with quietly("reading an address"):
        url = urlsplit(client.meta.endpoint_url)
        port = url.port or {"https": 443, "http": 80}.get(url.scheme)
        return {names.SERVER_ADDRESS: url.hostname, names.SERVER_PORT: port}
    return {}
