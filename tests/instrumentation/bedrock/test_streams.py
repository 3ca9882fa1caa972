"""An event stream of Bedrock leaves exactly one span, however it is read and however it ends."""

import gc
import json
from typing import Any

import botocore.exceptions
import pytest
from botocore.eventstream import EventStream
from opentelemetry import context as otel_context
from opentelemetry.trace import StatusCode

from tests.instrumentation.bedrock.asking import (
    COHERE,
    LLAMA,
    MISTRAL,
    NOVA,
    TITAN,
    TOOLS,
    WORDS,
    converse,
    invoke,
)
from tests.instrumentation.bedrock.test_calls import assert_billed

pytestmark = pytest.mark.usefixtures("by_the_conventions")


def opened(client: Any, operation: str, **wishes: Any) -> Any:
    if operation == "converse_stream":
        return client.converse_stream(**converse(**wishes))["stream"]
    return client.invoke_model_with_response_stream(**invoke(**wishes))["body"]


OPERATIONS = pytest.mark.parametrize("operation", ["converse_stream", "invoke_model_with_response_stream"])


@OPERATIONS
def test_a_stream_read_to_its_end_has_its_usage_case_19(spans, client, stub, operation):
    """Case 19: the object is botocore's, and the span has what the last event says."""
    stream = opened(client, operation)
    assert type(stream) is EventStream
    assert len(list(stream)) > 4
    span = spans.one()
    assert span.attributes["gen_ai.request.stream"] is True
    assert span.attributes["gen_ai.response.time_to_first_chunk"] > 0
    assert span.attributes["gen_ai.response.finish_reasons"] == ("end_turn",)
    assert span.status.status_code is StatusCode.UNSET
    assert_billed(span, stub.bills[-1])


@pytest.mark.parametrize("model", [NOVA, TITAN, LLAMA, MISTRAL, COHERE])
def test_streams_of_every_maker_have_their_tokens_and_texts(spans_with_content, client, stub, model):
    list(client.invoke_model_with_response_stream(**invoke(model, "text"))["body"])
    span = spans_with_content.one()
    assert span.attributes["gen_ai.usage.input_tokens"] == stub.bills[-1]["usage"]["inputTokens"]
    assert span.attributes["gen_ai.usage.output_tokens"] == stub.bills[-1]["usage"]["outputTokens"]
    message = json.loads(span.attributes["gen_ai.output.messages"])[0]
    assert message["parts"] == [{"type": "text", "content": f"You said: {WORDS}"}]
    assert message["finish_reason"] == "stop"


@OPERATIONS
@pytest.mark.parametrize("ending", ["close", "dropped", "never read"])
def test_a_stream_left_early_is_one_span_that_is_no_error_case_3(spans, client, operation, ending):
    """Case 3: closed, broken off or never read."""
    stream = opened(client, operation)
    if ending == "close":
        next(iter(stream))
        stream.close()
    elif ending == "dropped":
        for _event in stream:
            break
    del stream
    gc.collect()
    span = spans.one()
    assert span.status.status_code is StatusCode.UNSET
    assert span.attributes["gen_ai.response.finish_reasons"] == ("error",)


@OPERATIONS
def test_an_exception_in_a_stream_is_one_error_span_with_its_code(spans, client, operation):
    stream = opened(client, operation, error_after=2)
    with pytest.raises(botocore.exceptions.EventStreamError):
        list(stream)
    span = spans.one()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == "throttlingException"


@OPERATIONS
def test_a_stream_that_breaks_is_one_error_span(spans, client, operation):
    stream = opened(client, operation, break_after=3)
    with pytest.raises(Exception, match=r"(?i)connection|incomplete|response ended"):
        list(stream)
    assert spans.one().status.status_code is StatusCode.ERROR


@OPERATIONS
def test_nothing_stays_attached_to_the_context_case_22(spans, client, operation):
    """Case 22: no context across a yield."""
    before = otel_context.get_current()
    for _event in opened(client, operation):
        assert otel_context.get_current() == before
    assert otel_context.get_current() == before
    assert len(spans.all()) == 1


def test_thinking_and_parallel_tools_are_put_together_case_25(spans_with_content, client):
    """Case 25: two calls whose arguments come in turns."""
    asked = converse(thinking="let me see", tools=2)
    client.converse(**asked, toolConfig=TOOLS)
    list(client.converse_stream(**asked, toolConfig=TOOLS)["stream"])
    whole, streamed = (
        json.loads(span.attributes["gen_ai.output.messages"]) for span in spans_with_content.all()
    )
    assert whole == streamed
    assert whole[0]["finish_reason"] == "tool_call"
    assert whole[0]["parts"] == [
        {"type": "reasoning", "content": "let me see"},
        {"type": "tool_call", "id": "t0", "name": "weather", "arguments": {"city": "Lisbon 0"}},
        {"type": "tool_call", "id": "t1", "name": "trains", "arguments": {"city": "Lisbon 1"}},
    ]


def test_many_streams_leave_no_recording_behind_case_4(spans, client):
    """Case 4: read, closed or dropped."""
    from spanledger.instrumentation.streams import Recording

    def recordings() -> int:
        gc.collect()
        return sum(isinstance(thing, Recording) for thing in gc.get_objects())

    def run(times: int) -> None:
        for number in range(times):
            stream = opened(client, "converse_stream")
            if number % 2:
                stream.close()
            else:
                list(stream)

    run(4)
    before = recordings()
    run(60)
    assert recordings() <= before
    assert len(spans.all()) == 64


def test_what_is_asked_later_is_not_in_the_call_before(spans_with_content, client):
    """A conversation goes on in the same list while the stream before it is still held."""
    messages = [{"role": "user", "content": [{"text": "first"}]}]
    stream = client.converse_stream(**{**converse(), "messages": messages})["stream"]
    next(iter(stream))
    messages.append({"role": "assistant", "content": [{"text": "second"}]})
    stream.close()
    asked = spans_with_content.one().attributes["gen_ai.input.messages"]
    assert "first" in asked
    assert "second" not in asked
