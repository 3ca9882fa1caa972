"""The Responses API: one span a call, whole, streamed, parsed, raw or made in the background."""

import gc
import json
from decimal import Decimal
from typing import Any

import genai_prices
import openai
import pydantic
import pytest
from opentelemetry.trace import StatusCode

from spanledger.instrumentation import uninstrument
from tests.instrumentation.conventions import check

pytestmark = pytest.mark.usefixtures("by_the_conventions")

ASK: dict[str, Any] = {"model": "gpt-4o-mini", "input": "hello there Lisbon"}
USED = {
    "input_tokens": 100,
    "input_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 0},
    "output_tokens": 50,
    "output_tokens_details": {"reasoning_tokens": 20},
    "total_tokens": 150,
}
HEADERS = {"x-stub-usage": json.dumps(USED)}
WEATHER = {
    "type": "function",
    "name": "weather",
    "description": "the weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": False,
}


def assert_used(attributes: Any) -> None:
    assert attributes["gen_ai.usage.input_tokens"] == 100
    assert attributes["gen_ai.usage.cache_read.input_tokens"] == 40
    assert attributes["gen_ai.usage.output_tokens"] == 50
    assert attributes["gen_ai.usage.reasoning.output_tokens"] == 20
    price = genai_prices.calc_price(
        genai_prices.Usage(input_tokens=100, cache_read_tokens=40, output_tokens=50),
        "gpt-4o-mini-2024-07-18",
        provider_id="openai",
    )
    assert Decimal(attributes["spanledger.cost.total"]) == price.total_price


def assert_not_billed(attributes: Any) -> None:
    assert not [key for key in attributes if ".usage." in key or ".cost." in key]


def messages(span: Any, which: str) -> Any:
    return json.loads(span.attributes[f"gen_ai.{which}.messages"])


def test_a_response_is_one_chat_span_by_the_conventions(spans, call):
    answer = call(
        lambda client: client.responses.create(
            **ASK,
            temperature=0,
            top_p=1,
            max_output_tokens=50,
            reasoning={"effort": "low"},
            service_tier="priority",
            previous_response_id="resp_before",
            prompt={"id": "pmpt_1", "version": "3"},
            conversation="conv_1",
            user="ada",
            text={"format": {"type": "json_object"}},
            extra_headers=HEADERS,
        )
    )
    span = spans.one()
    check(span, "chat")
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.request.temperature": 0.0,
        "gen_ai.request.top_p": 1.0,
        "gen_ai.request.max_tokens": 50,
        "gen_ai.request.reasoning.level": "low",
        "gen_ai.request.previous_response.id": "resp_before",
        "gen_ai.prompt.name": "pmpt_1",
        "gen_ai.prompt.version": "3",
        "gen_ai.conversation.id": "conv_1",
        "gen_ai.output.type": "json",
        "gen_ai.response.id": answer.id,
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
        "gen_ai.response.finish_reasons": ("stop",),
        "openai.api.type": "responses",
        "openai.request.service_tier": "priority",
        "openai.response.service_tier": "priority",
        "user.id": "ada",
    }
    assert expected.items() <= dict(span.attributes).items()
    assert span.attributes["gen_ai.usage.input_tokens"] == 100
    assert answer.output_text == "You said: hello there Lisbon"


def test_parameters_in_a_body_of_the_users_own_are_seen(spans, call):
    extra = {"service_tier": "flex", "max_output_tokens": 5}
    call(lambda client: client.responses.create(**ASK, extra_body=extra))
    assert spans.one().attributes["openai.request.service_tier"] == "flex"
    assert spans.one().attributes["gen_ai.request.max_tokens"] == 5


def test_tokens_and_cost_are_those_that_were_billed(spans, call):
    call(lambda client: client.responses.create(**ASK, extra_headers=HEADERS))
    assert_used(spans.one().attributes)


def test_case_7_a_streamed_response_is_one_span_with_usage(spans, call):
    """Case 7: other instrumentations leave no span for a streamed response."""
    events = call.read(lambda client: client.responses.create(**ASK, stream=True, extra_headers=HEADERS))
    assert events[0].type == "response.created"
    assert events[-1].response.output_text == "You said: hello there Lisbon"
    span = spans.one()
    check(span, "chat")
    assert_used(span.attributes)
    assert span.attributes["gen_ai.request.stream"] is True
    assert span.attributes["gen_ai.response.time_to_first_chunk"] > 0


def test_case_7_the_stream_helper_keeps_its_methods_and_is_one_span(spans, call):
    """Case 7 and 20: `.stream()` with its events and its final response."""

    def use(stream: Any) -> Any:
        return stream.get_final_response()

    final = call.within(lambda client: client.responses.stream(**ASK, extra_headers=HEADERS), use)
    assert final.output_text == "You said: hello there Lisbon"
    assert_used(spans.one().attributes)


def test_case_19_the_stream_is_the_sdks_own(spans, client):
    """Case 19: type, response and `with` are those of the SDK."""
    stream = client.responses.create(**ASK, stream=True)
    assert type(stream) is openai.Stream
    with stream:
        assert stream.response.status_code == 200
        assert next(stream).type == "response.created"
    assert stream.response.is_closed
    assert len(spans.all()) == 1


@pytest.mark.parametrize("ending", ["close", "with", "dropped", "never read"])
def test_case_3_a_streamed_response_left_early_is_one_span(spans, client, ending):
    """Case 3: break, close, `with` and garbage collection end the span once."""
    stream = client.responses.create(**ASK, stream=True)
    if ending == "close":
        next(stream)
        stream.close()
    elif ending == "with":
        with stream:
            next(stream)
    elif ending == "dropped":
        for _event in stream:
            break
    del stream
    gc.collect()
    assert spans.one().status.status_code is StatusCode.UNSET
    assert spans.one().attributes["gen_ai.response.finish_reasons"] == ("error",)


def test_case_23_a_stream_that_breaks_is_one_error_span_with_what_came_before(spans, call):
    """Case 23: the connection is lost in mid-stream."""
    headers = {"x-stub-break-after": "5"}
    with pytest.raises(openai.APIConnectionError):
        call.read(lambda client: client.responses.create(**ASK, stream=True, extra_headers=headers))
    span = spans.one()
    assert span.attributes["error.type"] == "openai.APIConnectionError"
    assert span.attributes["gen_ai.response.id"].startswith("resp_")
    assert span.attributes["spanledger.cost.reason"] == "no_usage"


def test_an_error_event_is_an_error_span_and_reaches_the_user_as_an_event(spans, call):
    headers = {"x-stub-error-after": "3"}
    events = call.read(lambda client: client.responses.create(**ASK, stream=True, extra_headers=headers))
    assert events[-1].type == "error"
    assert spans.one().attributes["error.type"] == "stub"


@pytest.mark.parametrize("stream", [False, True])
def test_a_response_that_failed_is_an_error_span_although_the_request_succeeded(spans, call, stream):
    headers = {"x-stub-status-of-response": "failed"}

    def make(client: Any) -> Any:
        return client.responses.create(**ASK, stream=stream, extra_headers=headers)

    if stream:
        call.read(make)
    else:
        assert call(make).status == "failed"
    span = spans.one()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == "server_error"
    assert span.attributes["gen_ai.response.finish_reasons"] == ("error",)


@pytest.mark.parametrize("stream", [False, True])
def test_an_incomplete_response_has_its_usage_and_says_length(spans, call, stream):
    headers = {**HEADERS, "x-stub-status-of-response": "incomplete"}

    def make(client: Any) -> Any:
        return client.responses.create(**ASK, stream=stream, extra_headers=headers)

    (call.read if stream else call)(make)
    assert spans.one().attributes["gen_ai.response.finish_reasons"] == ("length",)
    assert_used(spans.one().attributes)


def test_a_refused_request_is_one_error_span(spans, call):
    with pytest.raises(openai.RateLimitError):
        call(lambda client: client.responses.create(**ASK, extra_headers={"x-stub-status": "429"}))
    check(spans.one(), "chat")
    assert spans.one().attributes["error.type"] == "openai.RateLimitError"
    assert spans.one().attributes["server.address"] == "127.0.0.1"


def test_case_1_raw_responses_keep_headers_and_parse(spans, call):
    """Case 1: `with_raw_response` crashes applications elsewhere."""
    given = {**ASK, "extra_headers": HEADERS}
    parsed = call.parse(lambda client: client.responses.with_raw_response.create(**given))
    assert parsed.output_text == "You said: hello there Lisbon"
    assert_used(spans.one().attributes)


def test_case_1_a_raw_stream(spans, call):
    events = call.parse(
        lambda client: client.responses.with_raw_response.create(**ASK, stream=True, extra_headers=HEADERS)
    )
    assert events[-1].type == "response.completed"
    assert_used(spans.one().attributes)


@pytest.mark.parametrize("stream", [False, True])
def test_case_2_streaming_responses(spans, call, stream):
    """Case 2: `parse()` is a coroutine of the asynchronous form."""
    parsed = call.within(
        lambda client: client.responses.with_streaming_response.create(
            **ASK, stream=stream, extra_headers=HEADERS
        ),
        lambda response: response.parse(),
    )
    assert parsed[-1].type == "response.completed" if stream else parsed.output_text
    assert_used(spans.one().attributes)


class Trip(pydantic.BaseModel):
    city: str
    days: int


class Impossible(pydantic.BaseModel):
    city: int


def test_case_10_parse_returns_the_users_model(spans, call):
    """Case 10: structured output is traced, and a class as format does no harm."""
    answer = call(lambda client: client.responses.parse(**ASK, text_format=Trip, extra_headers=HEADERS))
    assert answer.output_parsed == Trip(city="Lisbon", days=1)
    assert spans.one().attributes["gen_ai.output.type"] == "json"
    assert_used(spans.one().attributes)


def test_case_10_an_answer_that_does_not_parse_still_has_its_usage(spans, call, monkeypatch):
    """Case 10: the validation error reaches the user, the tokens reach the ledger."""
    from tests.instrumentation.stubs import openai as stub

    monkeypatch.setattr(stub, "_answer_text", lambda _body: '{"city": "a secret place"}')
    with pytest.raises(pydantic.ValidationError):
        call(lambda client: client.responses.parse(**ASK, text_format=Impossible, extra_headers=HEADERS))
    span = spans.one()
    assert span.status.status_code is StatusCode.ERROR
    assert_used(span.attributes)
    assert "secret" not in span.to_json()


def test_case_9_a_function_call_and_its_output_are_read_back(spans_with_content, call):
    """Case 9: input items and tool outputs are missing from traces elsewhere."""

    def first(client: Any) -> Any:
        return client.responses.create(**ASK, tools=[WEATHER], instructions="Be brief.")

    answer = call(first)
    (called,) = answer.output
    history = [
        {"role": "user", "content": [{"type": "input_text", "text": "hello there Lisbon"}]},
        called.model_dump(exclude_none=True),
        {"type": "function_call_output", "call_id": called.call_id, "output": "22 degrees"},
    ]
    second = call(
        lambda client: client.responses.create(
            model="gpt-4o-mini", input=history, tools=[WEATHER], previous_response_id=answer.id
        )
    )
    assert second.output_text == "The tool says: 22 degrees"
    one, two = spans_with_content.all()
    tool_call = {
        "type": "tool_call",
        "id": called.call_id,
        "name": "weather",
        "arguments": {"city": "Lisbon"},
    }
    assert one.attributes["gen_ai.response.finish_reasons"] == ("tool_call",)
    assert messages(one, "output") == [
        {"role": "assistant", "parts": [tool_call], "finish_reason": "tool_call"}
    ]
    assert json.loads(one.attributes["gen_ai.system_instructions"]) == [
        {"type": "text", "content": "Be brief."}
    ]
    assert json.loads(one.attributes["gen_ai.tool.definitions"]) == [
        {key: WEATHER[key] for key in ("type", "name", "description", "parameters")}
    ]
    assert messages(two, "input") == [
        {"role": "user", "parts": [{"type": "text", "content": "hello there Lisbon"}]},
        {"role": "assistant", "parts": [tool_call]},
        {
            "role": "tool",
            "parts": [{"type": "tool_call_response", "id": called.call_id, "response": "22 degrees"}],
        },
    ]
    assert two.attributes["gen_ai.request.previous_response.id"] == answer.id


@pytest.mark.parametrize("stream", [False, True])
def test_every_item_of_an_answer_becomes_a_part(spans_with_content, call, stream):
    headers = {"x-stub-output": "reasoning,web_search_call,file_search_call,message,refusal,function_call"}

    def make(client: Any) -> Any:
        return client.responses.create(**ASK, stream=stream, tools=[WEATHER], extra_headers=headers)

    (call.read if stream else call)(make)
    (message,) = messages(spans_with_content.one(), "output")
    kinds = [part["type"] for part in message["parts"]]
    assert kinds == ["reasoning", "server_tool_call", "server_tool_call", "text", "refusal", "tool_call"]
    assert message["parts"][0]["content"] == "Thinking of harbours."
    assert message["parts"][1]["server_tool_call"]["action"]["query"] == "harbours"


def test_what_came_of_an_answer_that_broke_off_is_kept(spans_with_content, client):
    stream = client.responses.create(**ASK, stream=True)
    for event in stream:
        if event.type == "response.output_text.delta" and event.delta.endswith("hello"):
            break
    stream.close()
    (message,) = messages(spans_with_content.one(), "output")
    assert message["parts"] == [{"type": "text", "content": "You said: hello"}]


def test_case_25_calls_whose_arguments_come_in_turns_keep_their_own(spans_with_content, canned):
    """Case 25: arguments of parallel calls run into each other elsewhere; here the stream breaks off, too."""

    def added(place: int, name: str) -> str:
        call = {"id": f"fc_{place}", "type": "function_call", "call_id": f"call_{place}", "arguments": ""}
        event = {"type": "response.output_item.added", "output_index": place, "item": {**call, "name": name}}
        return json.dumps({**event, "sequence_number": 0})

    def delta(place: int, text: str) -> str:
        where = {"item_id": f"fc_{place}", "output_index": place, "sequence_number": 0}
        return json.dumps({"type": "response.function_call_arguments.delta", **where, "delta": text})

    events = [
        added(0, "weather"),
        added(1, "trains"),
        delta(0, '{"city"'),
        delta(1, '{"to"'),
        delta(0, ': "Lisbon"}'),
        delta(1, ': "Porto"}'),
    ]
    list(canned(events=events).responses.create(**ASK, stream=True))
    (message,) = messages(spans_with_content.one(), "output")
    assert [(part["id"], part["name"], part["arguments"]) for part in message["parts"]] == [
        ("call_0", "weather", {"city": "Lisbon"}),
        ("call_1", "trains", {"to": "Porto"}),
    ]


def test_searches_are_counted_and_billed(spans, call):
    headers = {**HEADERS, "x-stub-output": "web_search_call,web_search_call,file_search_call,message"}
    call(lambda client: client.responses.create(**ASK, extra_headers=headers))
    attributes = spans.one().attributes
    assert attributes["spanledger.usage.web_searches"] == 2
    assert attributes["spanledger.usage.storage_searches"] == 1
    price = genai_prices.calc_price(
        genai_prices.Usage(
            input_tokens=100, cache_read_tokens=40, output_tokens=50, web_searches=2, storage_searches=1
        ),
        "gpt-4o-mini-2024-07-18",
        provider_id="openai",
    )
    assert Decimal(attributes["spanledger.cost.total"]) == price.total_price


def test_case_8_usage_of_a_background_response_is_attributed_once_and_to_the_call(spans, call):
    """Case 8: the usage comes with a later request; that one is `fetch_response` and carries none."""
    headers = {**HEADERS, "x-stub-polls": "1"}
    begun = call(lambda client: client.responses.create(**ASK, background=True, extra_headers=headers))
    assert begun.status == "queued"
    assert spans.all() == []
    statuses = [call(lambda client: client.responses.retrieve(begun.id)).status for _ in range(3)]
    assert statuses == ["in_progress", "completed", "completed"]
    operations = [span.attributes["gen_ai.operation.name"] for span in spans.all()]
    assert operations == ["fetch_response", "fetch_response", "chat", "fetch_response"]
    for span in spans.all():
        assert span.attributes["gen_ai.response.id"] == begun.id
        if span.attributes["gen_ai.operation.name"] == "chat":
            check(span, "chat")
            assert_used(span.attributes)
        else:
            check(span, "fetch_response")
            assert_not_billed(span.attributes)


@pytest.mark.parametrize("form", ["raw", "streamed"])
def test_case_8_however_the_response_is_looked_up(spans, call, form):
    headers = {**HEADERS, "x-stub-polls": "0"}
    begun = call(lambda client: client.responses.create(**ASK, background=True, extra_headers=headers))
    if form == "raw":
        call.parse(lambda client: client.responses.with_raw_response.retrieve(begun.id))
    else:
        call.read(lambda client: client.responses.retrieve(begun.id, stream=True))
    fetch, chat = spans.all()
    assert_not_billed(fetch.attributes)
    assert_used(chat.attributes)


def test_case_8_a_stream_in_the_background_that_is_left_is_settled_by_a_later_request(spans, client):
    with client.responses.create(**ASK, background=True, stream=True, extra_headers=HEADERS) as stream:
        begun = next(stream).response
    assert spans.all() == []
    client.responses.retrieve(begun.id)
    _fetch, chat = spans.all()
    assert_used(chat.attributes)


def test_case_8_a_stream_in_the_background_read_to_its_end_needs_no_other_request(spans, call):
    given = {**ASK, "background": True, "stream": True, "extra_headers": HEADERS}
    call.read(lambda client: client.responses.create(**given))
    assert_used(spans.one().attributes)


def test_case_8_a_background_response_that_failed_is_an_error_span(spans, call):
    headers = {"x-stub-polls": "0", "x-stub-status-of-response": "failed"}
    begun = call(lambda client: client.responses.create(**ASK, background=True, extra_headers=headers))
    call(lambda client: client.responses.retrieve(begun.id))
    fetch, chat = spans.all()
    assert fetch.status.status_code is StatusCode.UNSET
    assert chat.attributes["error.type"] == "server_error"


def test_a_background_response_that_is_cancelled_has_ended(spans, call):
    begun = call(lambda client: client.responses.create(**ASK, background=True, extra_headers=HEADERS))
    call(lambda client: client.responses.cancel(begun.id))
    assert spans.one().attributes["gen_ai.response.finish_reasons"] == ("error",)


def test_a_background_response_that_nobody_looks_up_ends_without_usage_when_we_go(spans, client):
    client.responses.create(**ASK, background=True)
    assert spans.all() == []
    uninstrument()
    assert spans.one().attributes["spanledger.cost.reason"] == "no_usage"


def test_only_so_many_background_responses_stay_open(spans, client, monkeypatch):
    from spanledger.instrumentation.providers import openai_background

    monkeypatch.setattr(openai_background, "_MOST", 3)
    begun = [client.responses.create(**ASK, background=True) for _ in range(5)]
    assert [span.attributes["gen_ai.response.id"] for span in spans.all()] == [begun[0].id, begun[1].id]


def test_a_response_of_another_process_is_looked_up_without_usage(spans, call):
    answer = call(lambda client: client.responses.create(**ASK))
    spans.clear()
    call(lambda client: client.responses.retrieve(answer.id))
    span = spans.one()
    assert span.name == "fetch_response"
    assert span.attributes["gen_ai.response.id"] == answer.id
    assert_not_billed(span.attributes)


def test_what_calls_no_model_leaves_no_span(spans, call):
    answer = call(lambda client: client.responses.create(**ASK))
    spans.clear()
    call(lambda client: client.responses.input_items.list(answer.id))
    assert spans.all() == []


def test_a_compaction_is_a_call_with_usage(spans, call):
    call(lambda client: client.responses.compact(model="gpt-4o-mini", input="much", extra_headers=HEADERS))
    assert spans.one().attributes["gen_ai.usage.output_tokens"] == 50


def test_case_29_a_picture_in_the_input_costs_no_text(spans_with_content, client):
    """Case 29: base64 data is replaced by its hash, size and type."""
    parts = [
        {"type": "input_text", "text": "what is this"},
        {"type": "input_image", "image_url": "data:image/png;base64," + "A" * 100_000},
        {"type": "input_image", "file_id": "file_1"},
        {"type": "input_file", "file_url": "https://example.org/a.pdf"},
    ]
    client.responses.create(model="gpt-4o-mini", input=[{"role": "user", "content": parts}])
    text, image, kept, document = messages(spans_with_content.one(), "input")[0]["parts"]
    assert text == {"type": "text", "content": "what is this"}
    assert (image["type"], image["mime_type"], image["content"]) == ("blob", "image/png", "")
    assert (image["size"], len(image["sha256"])) == (75_000, 64)
    assert kept == {"type": "file", "modality": "image", "file_id": "file_1"}
    assert document["uri"] == "https://example.org/a.pdf"


def test_by_default_no_prompt_no_answer_and_no_key_is_recorded(spans, call):
    given = {"model": "gpt-4o-mini", "input": "my secret", "instructions": "secret"}
    call(lambda client: client.responses.create(**given))
    assert "secret" not in spans.one().to_json()
    assert "sk-test" not in spans.one().to_json()


def test_case_21_nothing_is_logged_for_what_was_not_given(spans, call, warnings_logged):
    """Case 21: markers for "not given" make warnings elsewhere."""
    call(
        lambda client: client.responses.create(
            **ASK, temperature=openai.omit, user=openai.omit, reasoning=openai.omit, tools=openai.omit
        )
    )
    assert warnings_logged() == []
    assert "gen_ai.request.temperature" not in spans.one().attributes
