"""The OpenAI SDK: a table of endpoints, and how to read their requests, responses and chunks."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from opentelemetry.util.types import AttributeValue

from spanledger.instrumentation.calls import Accumulator, Request
from spanledger.instrumentation.providers import openai_chat
from spanledger.instrumentation.providers.stainless import Call, StainlessInstrumentor
from spanledger.instrumentation.quiet import quietly
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


class OpenAIInstrumentor(StainlessInstrumentor):
    """Records the calls of every OpenAI client in this process, those that exist already included."""

    scope = __name__

    def instrumentation_dependencies(self) -> Collection[str]:
        return ("openai >= 1.66, < 4",)

    def clients(self) -> Sequence[type]:
        import openai

        return openai.OpenAI, openai.AsyncOpenAI

    def begin(self, client: Any, options: Any, *, streaming: bool) -> Call | None:
        endpoint = ENDPOINTS.get(options.url)
        if endpoint is None:
            return None
        invocation = self.invocation(_read_request(endpoint, client, options, streaming=streaming))
        return Call(invocation, endpoint.accumulator(invocation.policy.any), options)


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
