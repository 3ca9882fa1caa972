"""What is said goes onto the span in the form of the conventions, only where that is switched on."""

import base64
import hashlib
import json
from typing import Any

import pytest

from tests.instrumentation.anthropic.asking import ASK, HELLO, STREAM, TOOLS, plan

pytestmark = pytest.mark.usefixtures("by_the_conventions")

PIXEL = "iVBORw0KGgo="


def content(span: Any, which: str) -> Any:
    return json.loads(span.attributes[f"gen_ai.{which}"])


def asked(blocks: list[Any]) -> dict[str, Any]:
    return {**ASK, "messages": [{"role": "user", "content": blocks}]}


def test_messages_system_and_tools_are_in_the_form_of_the_conventions(spans_with_content, client):
    system = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
    search = {"type": "web_search_20250305", "name": "web_search"}
    client.messages.create(**ASK, system=system, tools=[*TOOLS, search], tool_choice={"type": "none"})
    span = spans_with_content.one()
    assert content(span, "system_instructions") == [{"type": "text", "content": "Be brief."}]
    assert content(span, "input.messages") == [
        {"role": "user", "parts": [{"type": "text", "content": "hello there Lisbon"}]}
    ]
    definitions = content(span, "tool.definitions")
    assert definitions[0] == {
        "type": "function",
        "name": "weather",
        "description": "the weather",
        "parameters": TOOLS[0]["input_schema"],
    }
    assert definitions[2] == {"type": "web_search_20250305", "name": "web_search"}


@pytest.mark.parametrize("how", ["whole", "stream", "raw", "raw stream", "helper"])
def test_thinking_text_and_parallel_tools_are_put_together_case_25(spans_with_content, client, how):
    """Case 25: two calls whose arguments come in turns keep their own arguments and ids."""
    wishes = {"extra_headers": plan(thinking="let me see", tools=2), "tools": TOOLS}
    if how == "whole":
        client.messages.create(**ASK, **wishes)
    elif how == "stream":
        list(client.messages.create(**STREAM, **wishes))
    elif how == "raw":
        client.messages.with_raw_response.create(**ASK, **wishes)
    elif how == "raw stream":
        list(client.messages.with_raw_response.create(**STREAM, **wishes).parse())
    else:
        with client.messages.stream(**ASK, **wishes) as stream:
            stream.until_done()
    called = [
        {"type": "tool_call", "id": f"toolu_{number}", "name": tool["name"], "arguments": {"city": "Lisbon"}}
        for number, tool in enumerate(TOOLS)
    ]
    assert content(spans_with_content.one(), "output.messages") == [
        {
            "role": "assistant",
            "parts": [{"type": "reasoning", "content": "let me see"}, *called],
            "finish_reason": "tool_call",
        }
    ]


def test_images_and_documents_never_cost_the_text_around_them_case_29(spans_with_content, client):
    """Case 29: data is its hash and size, text stays."""
    long = "A" * 100_000
    source = {"type": "base64", "media_type": "image/png"}
    blocks = [
        {"type": "text", "text": "what is this"},
        {"type": "image", "source": {**source, "data": PIXEL}},
        {"type": "image", "source": {**source, "data": long}},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "plain words"}},
        {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "inner"}]}},
    ]
    client.messages.create(**asked(blocks))
    parts = content(spans_with_content.one(), "input.messages")[0]["parts"]
    assert parts[0] == {"type": "text", "content": "what is this"}
    for part, data in ((parts[1], PIXEL), (parts[2], long)):
        held = base64.b64decode(data)
        assert (part["type"], part["modality"], part["mime_type"]) == ("blob", "image", "image/png")
        assert part["sha256"] == hashlib.sha256(held).hexdigest()
        assert part["size"] == len(held)
    assert parts[3]["uri"] == "https://example.com/a.png"
    assert parts[4] == {"type": "file", "modality": "document", "file_id": "file_1"}
    assert parts[5] == {"type": "text", "content": "plain words"}
    assert parts[6] == {"type": "text", "content": "inner"}
    assert len(spans_with_content.one().to_json()) < 20_000


def test_tool_results_are_text_and_their_pictures_follow(spans_with_content, client):
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    seen = [{"type": "text", "text": "a picture"}, image]
    blocks = [
        {"type": "tool_result", "tool_use_id": "t1", "content": "sunny"},
        {"type": "tool_result", "tool_use_id": "t2", "content": seen},
        {"type": "tool_result", "tool_use_id": "t3"},
    ]
    client.messages.create(**asked(blocks))
    parts = content(spans_with_content.one(), "input.messages")[0]["parts"]
    assert parts[0] == {"type": "tool_call_response", "id": "t1", "response": "sunny"}
    assert parts[1] == {"type": "tool_call_response", "id": "t2", "response": "a picture"}
    assert (parts[2]["type"], parts[2]["content"]) == ("blob", "")
    assert parts[3] == {"type": "tool_call_response", "id": "t3", "response": ""}


@pytest.mark.parametrize("stream", [False, True])
def test_server_tools_and_citations_are_kept_without_what_is_sealed(spans_with_content, client, stream):
    cited = {
        "type": "web_search_result_location",
        "cited_text": "sunny",
        "url": "https://example.com",
        "title": "weather",
        "encrypted_index": "sealed-index",
    }
    found = {
        "type": "web_search_result",
        "title": "weather",
        "url": "https://example.com",
        "encrypted_content": "sealed-content",
        "page_age": None,
    }
    blocks = [
        {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "weather"}},
        {"type": "web_search_tool_result", "tool_use_id": "srv_1", "content": [found]},
        {"type": "redacted_thinking", "data": "sealed-thought"},
        {"type": "text", "text": "It is sunny.", "citations": [cited]},
    ]
    said = client.messages.create(**ASK, stream=stream, extra_headers=plan(blocks=blocks))
    if stream:
        list(said)
    span = spans_with_content.one()
    call, result, redacted, text, _ = content(span, "output.messages")[0]["parts"]
    assert call == {
        "type": "server_tool_call",
        "id": "srv_1",
        "name": "web_search",
        "server_tool_call": {"type": "web_search", "arguments": {"query": "weather"}},
    }
    assert result["type"] == "server_tool_call_response"
    assert result["id"] == "srv_1"
    assert result["server_tool_call_response"]["content"][0]["url"] == "https://example.com"
    assert redacted == {"type": "redacted_thinking"}
    assert text["content"] == "It is sunny."
    assert text["citations"][0]["cited_text"] == "sunny"
    assert "sealed" not in span.to_json()


def test_the_models_of_the_sdk_can_be_asked_with_again(spans_with_content, client):
    """An application hands the SDK's own objects back as the next request."""
    first = client.messages.create(**ASK, tools=TOOLS, extra_headers=plan(thinking="hm"))
    later = [
        *HELLO,
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_0", "content": "sunny"}]},
    ]
    client.messages.create(**{**ASK, "messages": later}, tools=TOOLS)
    said = content(spans_with_content.all()[1], "input.messages")
    assert [part["type"] for part in said[1]["parts"]] == ["reasoning", "tool_call"]
    assert said[1]["parts"][1]["arguments"] == {"city": "Lisbon"}


def test_results_of_batches_have_their_answers(spans_with_content, client):
    batch = client.messages.batches.create(requests=[{"custom_id": "a", "params": ASK}])
    list(client.messages.batches.results(batch.id))
    message = content(spans_with_content.one(), "output.messages")[0]
    assert message["parts"] == [{"type": "text", "content": "You said: hello there Lisbon"}]


def test_content_of_an_unknown_kind_is_its_kind(spans_with_content, client, warnings_logged):
    blocks: list[Any] = [{"type": "hologram", "data": "x" * 10_000}, {"type": "text", "text": "words"}]
    client.messages.create(**asked(blocks))
    parts = content(spans_with_content.one(), "input.messages")[0]["parts"]
    assert parts == [{"type": "hologram"}, {"type": "text", "content": "words"}]
    assert warnings_logged() == []
