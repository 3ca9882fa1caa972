"""What one call of bedrock-runtime leaves behind, whichever its operation and model."""

import gc
import json
from decimal import Decimal
from typing import Any

import boto3
import botocore.exceptions
import pytest
import wrapt
from botocore.response import StreamingBody
from opentelemetry import context as otel_context
from opentelemetry.trace import SpanKind, StatusCode

from spanledger.instrumentation import instrument, uninstrument
from spanledger.schemas import attributes as names
from tests.instrumentation.bedrock.asking import (
    ACCESS,
    CLAUDE,
    COHERE,
    GLOBAL,
    LLAMA,
    MISTRAL,
    NOVA,
    TITAN,
    TOOLS,
    WORDS,
    converse,
    invoke,
    price_of,
    total_input,
)
from tests.instrumentation.conventions import check

pytestmark = pytest.mark.usefixtures("by_the_conventions")


def assert_billed(span: Any, billed: Any) -> None:
    assert span.attributes["gen_ai.provider.name"] == "aws.bedrock"
    assert span.attributes["gen_ai.usage.input_tokens"] == total_input(billed)
    assert span.attributes["gen_ai.usage.output_tokens"] == billed["usage"]["outputTokens"]
    assert Decimal(span.attributes["spanledger.cost.total"]) == price_of(billed)


def test_converse_is_one_client_span_by_the_conventions(spans, client, stub):
    answer = client.converse(
        **converse(),
        system=[{"text": "Be brief."}],
        inferenceConfig={"maxTokens": 50, "temperature": 0, "topP": 1, "stopSequences": ["END"]},
        additionalModelRequestFields={"top_k": 7},
    )
    assert answer["output"]["message"]["content"][0]["text"] == f"You said: {WORDS}"
    span = spans.one()
    check(span, "chat", without={names.RESPONSE_ID})
    assert (span.name, span.kind, span.status.status_code) == (
        f"chat {CLAUDE}",
        SpanKind.CLIENT,
        StatusCode.UNSET,
    )
    expected = {
        "gen_ai.request.model": CLAUDE,
        "gen_ai.response.model": CLAUDE,
        "gen_ai.request.max_tokens": 50,
        "gen_ai.request.temperature": 0.0,
        "gen_ai.request.top_p": 1.0,
        "gen_ai.request.top_k": 7,
        "gen_ai.request.stop_sequences": ("END",),
        "gen_ai.response.finish_reasons": ("end_turn",),
        "server.address": "127.0.0.1",
        "aws.request_id": stub.bills[-1]["id"],
    }
    assert expected.items() <= dict(span.attributes).items()
    assert_billed(span, stub.bills[-1])


@pytest.mark.parametrize("model", [CLAUDE, GLOBAL, NOVA])
def test_the_cache_is_part_of_the_input_cases_15_to_17(spans, client, stub, model):
    """Cases 15, 16 and 17: 5 fresh, 900 read and 100 written tokens are 1005, whoever's model it is."""
    usage = {"inputTokens": 5, "outputTokens": 10, "cacheReadInputTokens": 900, "cacheWriteInputTokens": 100}
    client.converse(**converse(model, usage=usage))
    client.invoke_model(**invoke(model, usage=usage))["body"].read()
    for span, billed in zip(spans.all(), stub.bills, strict=True):
        assert span.attributes["gen_ai.usage.input_tokens"] == 1005
        assert span.attributes["gen_ai.usage.cache_read.input_tokens"] == 900
        assert span.attributes["gen_ai.usage.cache_write.input_tokens"] == 100
        assert_billed(span, billed)


def test_a_cache_write_is_priced_by_its_time_to_live_case_16(spans, client, stub):
    """Case 16: Converse says how long what was written is kept."""
    details = [{"ttl": "5m", "inputTokens": 40}, {"ttl": "1h", "inputTokens": 60}]
    usage = {"inputTokens": 5, "outputTokens": 10, "cacheWriteInputTokens": 100, "cacheDetails": details}
    client.converse(**converse(usage=usage))
    span = spans.one()
    assert span.attributes["spanledger.usage.cache_write_1h_tokens"] == 60
    assert_billed(span, stub.bills[-1])


@pytest.mark.parametrize(
    ("identifier", "model"),
    [
        (f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/{CLAUDE}", CLAUDE),
        ("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0", NOVA),
    ],
)
def test_an_arn_is_priced_as_the_model_it_names_case_26(spans, client, stub, identifier, model):
    """Case 26: what was asked for has no price, what it names has."""
    client.converse(**converse(identifier))
    span = spans.one()
    assert span.attributes["gen_ai.request.model"] == identifier
    assert span.attributes["gen_ai.response.model"] == model
    assert Decimal(span.attributes["spanledger.cost.total"]) == price_of({**stub.bills[-1], "model": model})


def test_a_profile_with_a_name_of_its_own_is_priced_by_what_the_answer_says_case_26(spans, client):
    """Case 26: InvokeModel's answer names the model; Converse's does not, and says so."""
    profile = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3"
    client.invoke_model(**invoke(profile, usage={"inputTokens": 5, "outputTokens": 1}))["body"].read()
    client.converse(**converse(profile))
    told, untold = spans.all()
    assert "gen_ai.response.model" not in untold.attributes
    assert untold.attributes["spanledger.cost.reason"] == "unknown_model"
    assert told.attributes["gen_ai.usage.input_tokens"] == 5


BODIES = [
    (CLAUDE, "messages", "chat"),
    (NOVA, "messages", "chat"),
    (TITAN, "text", "text_completion"),
    (LLAMA, "text", "text_completion"),
    (MISTRAL, "text", "text_completion"),
    (MISTRAL, "messages", "chat"),
    (COHERE, "messages", "chat"),
]


@pytest.mark.parametrize("maker", BODIES)
def test_the_body_of_every_maker_has_its_tokens(spans_with_content, client, stub, maker):
    model, form, operation = maker
    body = client.invoke_model(**invoke(model, form))["body"]
    assert type(body) is StreamingBody
    assert WORDS in body.read().decode()
    span = spans_with_content.one()
    assert span.name == f"{operation} {model}"
    assert span.attributes["gen_ai.usage.input_tokens"] == total_input(stub.bills[-1])
    assert span.attributes["gen_ai.usage.output_tokens"] == stub.bills[-1]["usage"]["outputTokens"]
    assert span.attributes["gen_ai.request.max_tokens"] == 100
    assert len(span.attributes["gen_ai.response.finish_reasons"]) == 1
    asked = json.loads(span.attributes["gen_ai.input.messages"])[0]["parts"]
    said = json.loads(span.attributes["gen_ai.output.messages"])[0]
    assert asked == [{"type": "text", "content": WORDS}]
    assert said["parts"] == [{"type": "text", "content": f"You said: {WORDS}"}]
    assert said["finish_reason"] == "stop"
    if "cohere" in model:
        assert span.attributes["spanledger.cost.reason"] == "unknown_model"
    else:
        assert Decimal(span.attributes["spanledger.cost.total"]) == price_of(stub.bills[-1])


@pytest.mark.parametrize("model", [LLAMA, MISTRAL, COHERE])
def test_counts_of_the_headers_stand_in_for_a_body_that_is_not_read(spans, client, stub, model):
    client.invoke_model(**invoke(model, "text"))["body"].close()
    gc.collect()
    assert spans.one().attributes["gen_ai.usage.output_tokens"] == stub.bills[-1]["usage"]["outputTokens"]


def test_without_counts_anywhere_there_are_none(spans, client):
    client.invoke_model(**invoke(COHERE, uncounted=True))["body"].read()
    assert spans.one().attributes["spanledger.cost.reason"] == "no_usage"


@pytest.mark.parametrize("model", ["amazon.titan-embed-text-v2:0", "cohere.embed-english-v3"])
def test_embeddings_have_input_tokens_and_no_vectors_case_29(spans_with_content, client, stub, model):
    """Case 29: vectors are no attributes."""
    assert "embedding" in client.invoke_model(**invoke(model))["body"].read().decode()
    span = spans_with_content.one()
    check(span, "embeddings")
    assert span.name == f"embeddings {model}"
    assert span.attributes["gen_ai.usage.input_tokens"] == stub.bills[-1]["usage"]["inputTokens"]
    assert "0.7125" not in span.to_json()


@pytest.mark.parametrize("reading", ["read", "pieces", "chunks", "lines", "load", "iterate", "readinto"])
def test_a_body_may_be_read_in_any_way_cases_1_and_2(spans, client, stub, reading):
    """Cases 1 and 2: the user reads botocore's own object."""
    body = client.invoke_model(**invoke())["body"]
    if reading == "read":
        data = body.read()
    elif reading == "pieces":
        data = b"".join(iter(lambda: body.read(50), b""))
    elif reading == "chunks":
        data = b"".join(body.iter_chunks(64))
    elif reading == "lines":
        data = b"".join(body.iter_lines())
    elif reading == "load":
        data = json.dumps(json.load(body)).encode()
    elif reading == "iterate":
        data = b"".join(body)
    else:
        space = bytearray(100_000)
        data = bytes(space[: body.readinto(space)])
    assert json.loads(data)["usage"]["output_tokens"] == stub.bills[-1]["usage"]["outputTokens"]
    assert_billed(spans.one(), stub.bills[-1])


@pytest.mark.parametrize("ending", ["close", "dropped", "read in part"])
def test_a_body_that_is_not_read_is_one_span_case_3(spans, client, ending):
    """Case 3: closed, dropped or left in the middle."""
    body = client.invoke_model(**invoke())["body"]
    if ending == "close":
        body.close()
    elif ending == "read in part":
        body.read(10)
        body.close()
    del body
    gc.collect()
    assert spans.one().status.status_code is StatusCode.UNSET


ERRORS = [
    ("ThrottlingException", 429),
    ("ValidationException", 400),
    ("AccessDeniedException", 403),
    ("ModelTimeoutException", 408),
]


@pytest.mark.parametrize(("code", "status"), ERRORS)
@pytest.mark.parametrize("operation", ["converse", "converse_stream", "invoke_model"])
def test_a_refused_call_is_an_error_span_with_its_request_case_33(spans, client, code, status, operation):
    """Case 33: the user's own exception, and a span with address and model."""
    asked = (invoke if operation == "invoke_model" else converse)(status=status, code=code)
    with pytest.raises(botocore.exceptions.ClientError) as raised:
        getattr(client, operation)(**asked)
    assert raised.value.response["Error"]["Code"] == code
    span = spans.one()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == f"botocore.errorfactory.{code}"
    assert span.attributes["gen_ai.request.model"] == CLAUDE
    assert span.attributes["server.address"] == "127.0.0.1"


def test_parameters_that_botocore_quotes_are_not_recorded(spans, client):
    """A prompt in the wrong form is in botocore's message as it is; content is off."""
    with pytest.raises(botocore.exceptions.ParamValidationError, match="my secret"):
        client.converse(modelId="amazon.nova-pro-v1:0", messages=[{"role": "user", "content": "my secret"}])
    described = spans.one().status.description
    assert "messages[0].content" in described
    assert "secret" not in described


def test_parameters_that_botocore_refuses_are_an_error_span(spans, client):
    with pytest.raises(botocore.exceptions.ParamValidationError):
        client.converse(modelId=CLAUDE, messages="not a list")
    assert spans.one().attributes["error.type"] == "botocore.exceptions.ParamValidationError"


def test_who_asks_for_silence_gets_it(spans, client):
    token = otel_context.attach(otel_context.set_value("suppress_instrumentation", True))
    try:
        client.converse(**converse())
    finally:
        otel_context.detach(token)
    assert spans.all() == []


def test_counting_tokens_and_other_services_are_no_calls_of_a_model(spans, url):
    session = boto3.Session(**ACCESS)
    storage = session.client("s3", endpoint_url=url)
    with pytest.raises(botocore.exceptions.ClientError):
        storage.list_buckets()
    assert spans.all() == []


def test_off_and_on_again_leaves_one_span_and_then_none_case_30(spans, client):
    """Case 30: three rounds with one client, and botocore has its own method back."""
    from botocore.client import BaseClient

    for _ in range(3):
        client.converse(**converse())
        assert len(spans.all()) == 1
        assert isinstance(vars(BaseClient)["_make_api_call"], wrapt.FunctionWrapper)
        uninstrument()
        assert not isinstance(vars(BaseClient)["_make_api_call"], wrapt.FunctionWrapper)
        client.converse(**converse())
        assert len(spans.all()) == 1
        spans.clear()
        instrument(tracer_provider=spans.provider)
        instrument(tracer_provider=spans.provider)


def test_by_default_no_prompt_no_answer_and_no_key_is_recorded(spans, client):
    client.converse(**converse(), system=[{"text": "a secret"}])
    client.invoke_model(**invoke())["body"].read()
    everything = "".join(span.to_json() for span in spans.all())
    assert "Lisbon" not in everything
    assert "secret" not in everything
    assert "AKID" not in everything


def test_content_of_converse_is_in_the_form_of_the_conventions_case_29(spans_with_content, client):
    """Case 29: bytes are their hash and size."""
    image = {"image": {"format": "png", "source": {"bytes": b"\x89PNG" * 10_000}}}
    document = {"document": {"format": "pdf", "name": "d", "source": {"bytes": b"%PDF"}}}
    result = {"toolResult": {"toolUseId": "t0", "content": [{"json": {"sky": "blue"}}, image]}}
    call = {"toolUse": {"toolUseId": "t0", "name": "weather", "input": {"city": "Lisbon"}}}
    messages: list[Any] = [
        {"role": "user", "content": [{"text": "look"}, image, document, {"cachePoint": {"type": "default"}}]},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [result, {"text": "and"}]},
    ]
    client.converse(modelId=CLAUDE, messages=messages, system=[{"text": "Be brief."}], toolConfig=TOOLS)
    span = spans_with_content.one()
    asked = json.loads(span.attributes["gen_ai.input.messages"])
    assert [part["type"] for part in asked[0]["parts"]] == ["text", "blob", "blob"]
    assert (asked[0]["parts"][1]["mime_type"], asked[0]["parts"][1]["size"]) == ("image/png", 40_000)
    assert asked[1]["parts"] == [
        {"type": "tool_call", "id": "t0", "name": "weather", "arguments": {"city": "Lisbon"}}
    ]
    assert asked[2]["parts"][0] == {"type": "tool_call_response", "id": "t0", "response": '{"sky":"blue"}'}
    assert [part["type"] for part in asked[2]["parts"]] == ["tool_call_response", "blob", "text"]
    system = json.loads(span.attributes["gen_ai.system_instructions"])
    assert system == [{"type": "text", "content": "Be brief."}]
    assert json.loads(span.attributes["gen_ai.tool.definitions"])[0]["name"] == "weather"
    assert len(span.to_json()) < 20_000


def test_a_body_of_an_unknown_shape_is_sent_and_leaves_a_span(spans, client, warnings_logged):
    body = client.invoke_model(
        modelId=TITAN, body=json.dumps({"inputText": "x", "textGenerationConfig": [5]})
    )["body"]
    assert body.read()
    assert len(spans.all()) == 1
    assert warnings_logged() == []
