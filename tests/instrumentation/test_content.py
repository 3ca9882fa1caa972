"""What is left of content when it is recorded: redacted, without bytes, within the limit, or nothing."""

import hashlib
import json
from decimal import Decimal
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON

from spanledger.instrumentation import content, instrument, tool
from spanledger.instrumentation.calls import Request
from spanledger.instrumentation.invocation import Invocation
from tests.instrumentation.conventions import check

pytestmark = pytest.mark.usefixtures("by_the_conventions")

ASK: dict[str, Any] = {"model": "gpt-4o-mini"}


def asked(*texts: str) -> list[Any]:
    return [{"role": "user", "content": [{"type": "text", "text": text} for text in texts]}]


def parts(span: Any, which: str = "input") -> Any:
    return json.loads(span.attributes[f"gen_ai.{which}.messages"])[0]["parts"]


def test_the_redaction_sees_every_part_and_what_it_returns_is_recorded(make_recorded, client):
    seen: list[str] = []

    def redact(part: dict[str, Any]) -> dict[str, Any] | None:
        seen.append(part["content"])
        if "password" in part["content"]:
            return None
        part["content"] = part["content"].replace("Ada", "***")
        return part

    spans = make_recorded(capture_content=True, redact=redact)
    messages = asked("I am Ada", "my password is 123")
    answer = client.chat.completions.create(**ASK, messages=messages)
    span = spans.one()
    check(span, "chat")
    assert seen == ["I am Ada", "my password is 123", answer.choices[0].message.content]
    assert parts(span) == [{"type": "text", "content": "I am ***"}]
    assert messages == asked("I am Ada", "my password is 123")


def _raises(part: dict[str, Any]) -> dict[str, Any]:
    raise KeyError(part["content"])


def _returns_text(part: dict[str, Any]) -> Any:
    return part["content"]


@pytest.mark.parametrize("redact", [_raises, _returns_text])
@pytest.mark.parametrize("stream", [False, True])
def test_a_redaction_that_fails_costs_the_content_and_never_the_call_nor_a_word_in_the_log(
    make_recorded, client, warnings_logged, redact, stream
):
    spans = make_recorded(capture_content=True, redact=redact)
    for _ in range(2):
        assert list(client.chat.completions.create(**ASK, messages=asked("a secret"), stream=stream))
    for span in spans.all():
        assert not [key for key in span.attributes if key.endswith("messages")]
    (logged,) = warnings_logged()
    assert "redact" in logged
    assert "secret" not in logged


def test_switching_content_on_again_keeps_the_redaction(make_recorded, client):
    spans = make_recorded(capture_content=False, redact=lambda _part: None)
    instrument(tracer_provider=spans.provider, capture_content=True)
    client.chat.completions.create(**ASK, messages=asked("a secret"))
    assert parts(spans.one()) == []


def test_the_redaction_sees_what_tools_are_given_and_answer(make_recorded):
    def redact(part: dict[str, Any]) -> dict[str, Any] | None:
        if part["type"] == "tool_call":
            part["arguments"]["card"] = "***"
            return part
        return None

    spans = make_recorded(capture_content=True, redact=redact)

    @tool
    def pay(card: str) -> str:
        return f"paid with {card}"

    assert pay("4111") == "paid with 4111"
    attributes = spans.one().attributes
    assert json.loads(attributes["gen_ai.tool.call.arguments"]) == {"card": "***"}
    assert "gen_ai.tool.call.result" not in attributes


@pytest.mark.parametrize("how", ["argument", "variable"])
def test_a_text_beyond_the_limit_is_cut_and_says_what_it_was(make_recorded, client, monkeypatch, how):
    if how == "variable":
        monkeypatch.setenv(content.LIMIT, "100")
    spans = make_recorded(capture_content=True, **({"content_limit": 100} if how == "argument" else {}))
    long = "ä" * 1000
    client.chat.completions.create(**ASK, messages=asked("short", long))
    short, cut = parts(spans.one())
    assert short == {"type": "text", "content": "short"}
    assert cut == {
        "type": "text",
        "content": "ä" * 100,
        "omitted_characters": 900,
        "sha256": hashlib.sha256(long.encode()).hexdigest(),
    }


def test_a_large_structure_is_cut_as_its_json():
    policy = content.ContentPolicy(span=True, limit=20)
    arguments = {"rows": list(range(100))}
    part = policy.part({"type": "tool_call", "id": "call_1234567890", "name": "n", "arguments": arguments})
    text = content.to_json(arguments)
    assert part is not None
    assert (part["arguments"], part["omitted_characters"]) == (text[:20], len(text) - 20)
    assert part["id"] == "call_1234567890"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"capture_content": "everything"}, "capture_content is 'everything'; allowed are"),
        ({"content_limit": -1}, "content_limit is -1; it is a number of characters"),
    ],
)
def test_a_setting_that_nothing_takes_is_refused_with_what_is_allowed(given, words):
    with pytest.raises(ValueError, match=words):
        instrument(**given)


def test_where_a_provider_tells_no_usage_the_applications_count_is_marked_as_estimated(make_recorded, client):
    spans = make_recorded(count_tokens=lambda text, _model: len(text.split()))
    headers = {"x-stub-no-usage": "1"}
    client.chat.completions.create(**ASK, messages=asked("one two three"), extra_headers=headers)
    list(client.chat.completions.create(**ASK, messages=asked("one two three"), stream=True))
    client.chat.completions.create(**ASK, messages=asked("one two three"))
    whole, streamed, told = spans.all()
    for span in (whole, streamed):
        assert span.attributes["spanledger.usage.estimated"] is True
        assert span.attributes["gen_ai.usage.input_tokens"] == 3
        assert span.attributes["gen_ai.usage.output_tokens"] == len(["You", "said:", "one", "two", "three"])
        assert Decimal(span.attributes["spanledger.cost.total"]) > 0
    assert "spanledger.usage.estimated" not in told.attributes
    assert "messages" not in "".join(span.to_json() for span in spans.all())


def test_a_count_that_fails_leaves_usage_unknown(make_recorded, client, warnings_logged):
    def broken(text: str, _model: str) -> int:
        raise RuntimeError(f"no token for {text}")

    spans = make_recorded(count_tokens=broken)
    client.chat.completions.create(**ASK, messages=asked("a"), extra_headers={"x-stub-no-usage": "1"})
    assert spans.one().attributes["spanledger.cost.reason"] == "no_usage"
    (warning,) = warnings_logged()
    assert "RuntimeError" in warning
    assert "no token" not in warning


@pytest.mark.parametrize(
    ("variable", "given"),
    [
        ("SPANLEDGER_CAPTURE_CONTENT", "maybe"),
        ("SPANLEDGER_CONTENT_LIMIT", "-1"),
        ("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "spans"),
        ("SPANLEDGER_INCLUDE_USAGE", "maybe"),
        ("SPANLEDGER_PROPAGATE", "2"),
    ],
)
def test_a_variable_with_a_wrong_value_is_warned_of_by_name_and_value(
    monkeypatch, make_recorded, warnings_logged, variable, given
):
    monkeypatch.setenv(variable, given)
    make_recorded()
    content.decide()
    (warning,) = warnings_logged()
    assert warning.startswith(f"{variable} is {given!r}")


def test_of_a_call_that_no_sampler_keeps_no_text_is_gathered():
    content.decide(capture=True)
    request = Request("chat", "openai", "gpt-4o-mini", {})
    kept, passed_over = (
        Invocation(TracerProvider(sampler=sampler).get_tracer("test"), request)
        for sampler in (ALWAYS_ON, ALWAYS_OFF)
    )
    content.decide(capture=False)
    assert (kept.policy.any, passed_over.policy.any) == (True, False)


def test_a_call_that_was_refused_is_not_estimated(make_recorded, client):
    import openai

    spans = make_recorded(count_tokens=lambda text, _model: len(text))
    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(**ASK, messages=asked("a"), extra_headers={"x-stub-status": "429"})
    assert "gen_ai.usage.input_tokens" not in spans.one().attributes
