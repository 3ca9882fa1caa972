"""What goes from process to process: nothing by default; trace, session and user where it is asked for."""

import asyncio
from typing import Any

import httpx2
import openai
import pytest
from opentelemetry import baggage, propagate
from opentelemetry import context as otel_context

from spanledger.instrumentation import options, session, user, workflow
from spanledger.instrumentation.invocation import current

ASK: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}
BODY = {"id": "c", "model": "gpt-4o-mini", "object": "chat.completion", "created": 1, "choices": []}


@pytest.fixture
def sent():
    """Two clients, and the headers that they sent."""
    headers: list[httpx2.Headers] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        headers.append(request.headers)
        return httpx2.Response(200, json=BODY)

    transport = httpx2.MockTransport(answer)
    settings: dict[str, Any] = {"base_url": "http://canned/v1", "api_key": "k", "max_retries": 0}
    plain = openai.OpenAI(**settings, http_client=httpx2.Client(transport=transport))
    asynchronous = openai.AsyncOpenAI(**settings, http_client=httpx2.AsyncClient(transport=transport))
    yield plain, asynchronous, headers
    plain.close()


def test_by_default_the_provider_hears_of_no_trace_and_no_user(make_recorded, sent):
    client, _, headers = sent
    make_recorded()
    with session("s-1"), user("ada"):
        client.chat.completions.create(**ASK)
        assert baggage.get_all() == {}
    assert not {"traceparent", "tracestate", "baggage"} & set(headers[0])


@pytest.mark.parametrize("how", ["argument", "variable"])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_where_it_is_asked_for_a_call_continues_its_span_at_the_provider(
    make_recorded, sent, monkeypatch, how, asynchronous
):
    plain, other, headers = sent
    if how == "variable":
        monkeypatch.setenv(options.PROPAGATE, "true")
    spans = make_recorded(**({"propagate": True} if how == "argument" else {}))
    if asynchronous:
        asyncio.run(other.chat.completions.create(**ASK, extra_headers={"x-own": "1"}))
    else:
        plain.chat.completions.create(**ASK, extra_headers={"x-own": "1"})
    context = spans.one().context
    ids = f"{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    assert headers[0]["traceparent"] == f"00-{ids}"
    assert headers[0]["x-own"] == "1"
    assert "baggage" not in headers[0]


def test_a_traceparent_of_the_applications_own_stays(make_recorded, sent):
    client, _, headers = sent
    make_recorded(propagate=True)
    own = "00-" + "1" * 32 + "-" + "2" * 16 + "-01"
    client.chat.completions.create(**ASK, extra_headers={"Traceparent": own})
    assert headers[0]["traceparent"] == own


def test_session_and_user_of_the_caller_are_read_from_baggage_and_ours_win(spans, client):
    incoming = propagate.extract({"baggage": "user.id=ada%20l,session.id=s-1,plan=pro"})
    with current(incoming):
        client.chat.completions.create(**ASK)
        with user("bob"), workflow("w"):
            pass
    call, step = spans.all()
    assert (call.attributes["user.id"], call.attributes["session.id"]) == ("ada l", "s-1")
    assert call.attributes["gen_ai.conversation.id"] == "s-1"
    assert (step.attributes["user.id"], step.attributes["session.id"]) == ("bob", "s-1")
    assert "plan" not in call.attributes


def test_where_it_is_asked_for_session_and_user_go_into_baggage_and_out_of_it_again(make_recorded):
    make_recorded(propagate=True)
    with current(baggage.set_baggage("plan", "pro")), session("s-1"):
        with user("ada"):
            headers: dict[str, str] = {}
            propagate.inject(headers)
        assert dict(baggage.get_all()) == {"plan": "pro", "session.id": "s-1"}
    entries = {entry.partition("=")[::2] for entry in headers["baggage"].split(",")}
    assert entries == {("plan", "pro"), ("session.id", "s-1"), ("user.id", "ada")}
    assert baggage.get_all(otel_context.get_current()) == {}
