"""Mistral's SDK: a table of endpoints of the API.

Every call passes through `do_request` of the SDK's base class, as a request of httpx with a JSON body, and
comes back as httpx's response, of which typed objects and event streams are made afterwards. Read from there,
the user's objects stay those of the SDK, and its retries are part of one span.
"""

import json
import sys
from collections.abc import Callable, Collection, Iterable
from types import ModuleType
from typing import Any

import wrapt

from spanledger.instrumentation import propagation
from spanledger.instrumentation.patching import Patch
from spanledger.instrumentation.providers import mistral_chat as chat
from spanledger.instrumentation.providers.endpoints import (
    Asked,
    Call,
    Endpoint,
    EndpointInstrumentor,
    deliver_response,
)
from spanledger.instrumentation.quiet import quietly
from spanledger.schemas import attributes as names
from spanledger.schemas.hosts import provider_of

_CHAT = Endpoint(
    operation=names.OPERATION_CHAT,
    attributes=chat.request_attributes,
    accumulator=chat.ChatAccumulator,
    input_messages=chat.input_messages,
    tool_definitions=chat.tool_definitions,
)
_FIM = Endpoint(
    operation=names.OPERATION_TEXT_COMPLETION,
    attributes=chat.request_attributes,
    accumulator=chat.ChatAccumulator,
    input_messages=chat.prompt_of_fim,
)
# The end of the address, then what answers there.
ENDPOINTS = {
    "/chat/completions": _CHAT,
    "/agents/completions": _CHAT,
    "/fim/completions": _FIM,
    "/embeddings": Endpoint(
        operation=names.OPERATION_EMBEDDINGS,
        attributes=chat.embed_attributes,
        accumulator=chat.EmbedAccumulator,
        input_messages=chat.embedded_texts,
    ),
    "/ocr": Endpoint(
        operation=names.OPERATION_OCR,
        attributes=chat.no_attributes,
        accumulator=chat.OcrAccumulator,
        input_messages=chat.document_of_ocr,
    ),
}
# One base class for each client of the SDK, of version 1 and of later ones.
_MODULES = (
    "mistralai.basesdk",
    "mistralai_azure.basesdk",
    "mistralai_gcp.basesdk",
    "mistralai.client.basesdk",
    "mistralai.azure.client.basesdk",
    "mistralai.gcp.client.basesdk",
)


class MistralInstrumentor(EndpointInstrumentor):
    """Records the calls of every Mistral client in this process, those that exist already included."""

    _scope = __name__
    # Modules whose import is waited for; a hook cannot be taken back.
    _awaited: frozenset[str] = frozenset()

    def instrumentation_dependencies(self) -> Collection[str]:
        return ("mistralai >= 1.0, < 4",)

    def _make_patches(self) -> Iterable[Patch]:
        for name in _MODULES:
            module = sys.modules.get(name)
            if module is not None:
                yield from self._patches_of(module)
            elif name not in self._awaited:
                self._awaited |= {name}
                wrapt.register_post_import_hook(self._loaded, name)

    def _loaded(self, module: ModuleType) -> None:
        with quietly(f"instrumenting {module.__name__}"):
            if self.is_instrumented_by_opentelemetry:
                self._patches += tuple(self._patches_of(module))

    def _patches_of(self, module: Any) -> Iterable[Patch]:
        yield Patch(module.BaseSDK, "do_request", self._request)
        yield Patch(module.BaseSDK, "do_request_async", self._async_request)

    def _request(
        self, wrapped: Callable[..., Any], _client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        call = self._begin(lambda: _asked(args, kwargs))
        if call is None:
            return wrapped(*args, **kwargs)
        _propagate(call, args, kwargs)
        return call.run(deliver_response, wrapped, args, kwargs)

    async def _async_request(
        self, wrapped: Callable[..., Any], _client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        call = self._begin(lambda: _asked(args, kwargs))
        if call is None:
            return await wrapped(*args, **kwargs)
        _propagate(call, args, kwargs)
        return await call.run_async(deliver_response, wrapped, args, kwargs)


def _http_request(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return kwargs["request"] if "request" in kwargs else args[1]


def _propagate(call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    with quietly("propagating a trace"):
        headers = _http_request(args, kwargs).headers
        for name, value in propagation.headers(call.invocation.context).items():
            headers.setdefault(name, value)


def _asked(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Asked | None:
    request = _http_request(args, kwargs)
    endpoint = _endpoint(request.url.path)
    if endpoint is None:
        return None
    body = json.loads(request.content)
    if not isinstance(body, dict):
        return None
    if endpoint is _CHAT and "messages" not in body:
        # Vertex has one address for all.
        endpoint = _FIM
    model = body.get("model") or body.get("agent_id")
    url = request.url
    return Asked(
        endpoint=endpoint,
        provider=provider_of(url.host) or "mistral_ai",
        model=model if isinstance(model, str) else None,
        body=body,
        host=url.host or None,
        port=url.port or {"https": 443, "http": 80}.get(url.scheme),
        stream=bool(kwargs.get("stream")),
    )


def _endpoint(path: str) -> Endpoint | None:
    if path.endswith((":rawPredict", ":streamRawPredict")):
        return _CHAT
    return next((endpoint for end, endpoint in ENDPOINTS.items() if path.endswith(end)), None)
