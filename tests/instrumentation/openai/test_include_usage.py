"""Usage of streams that the user did not ask for: asked in the user's place, and hidden from the user."""

import json
from typing import Any

import pytest

HELLO: list[Any] = [{"role": "user", "content": "hello there Lisbon"}]
ASK: dict[str, Any] = {"model": "gpt-4o-mini", "messages": HELLO, "stream": True}


@pytest.fixture
def asked(make_recorded):
    return make_recorded(include_usage=True)


def assert_used(recorded: Any) -> None:
    attributes = recorded.one().attributes
    assert attributes["gen_ai.usage.input_tokens"] == 6
    assert attributes["gen_ai.usage.output_tokens"] == 6
    assert "spanledger.cost.total" in attributes


def test_case_5_without_the_setting_a_stream_has_no_usage(spans, call):
    """Case 5: usage is absent and never guessed."""
    call.read(lambda client: client.chat.completions.create(**ASK))
    assert spans.one().attributes["spanledger.cost.reason"] == "no_usage"


def test_case_5_usage_is_asked_for_and_its_chunk_hidden(asked, call):
    """Case 5 and 6: the user sees the stream that was asked for; every chunk has a choice."""
    chunks = call.read(lambda client: client.chat.completions.create(**ASK))
    assert all(chunk.choices for chunk in chunks)
    assert all(chunk.usage is None for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert_used(asked)


def test_case_5_next_by_next(asked, client):
    stream = client.chat.completions.create(**ASK)
    chunk = next(stream, None)
    while chunk is not None:
        assert chunk.choices
        chunk = next(stream, None)
    assert_used(asked)


@pytest.mark.parametrize("setting", [True, False])
def test_who_asks_for_usage_gets_it(make_recorded, call, setting):
    recorded = make_recorded(include_usage=setting)
    chunks = call.read(
        lambda client: client.chat.completions.create(**ASK, stream_options={"include_usage": True})
    )
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 6
    assert_used(recorded)


def test_who_asks_for_usage_in_a_body_of_their_own_gets_it(asked, call):
    extra = {"stream_options": {"include_usage": True}}
    chunks = call.read(lambda client: client.chat.completions.create(**ASK, extra_body=extra))
    assert chunks[-1].usage.completion_tokens == 6
    assert_used(asked)


def test_who_does_not_want_it_is_not_overruled(asked, call):
    call.read(lambda client: client.chat.completions.create(**ASK, stream_options={"include_usage": False}))
    assert asked.one().attributes["spanledger.cost.reason"] == "no_usage"


def test_other_options_of_the_stream_stay(asked, client, canned):
    options = {"include_obfuscation": False}
    list(client.chat.completions.create(**ASK, stream_options=options))
    assert options == {"include_obfuscation": False}
    assert_used(asked)


def test_usage_on_a_chunk_with_choices_hides_nothing(asked, call):
    """Case 6: some servers put the usage on the last chunk with a choice."""
    headers = {"x-stub-usage-with-choices": "1"}
    chunks = call.read(lambda client: client.chat.completions.create(**ASK, extra_headers=headers))
    assert chunks[-1].usage is not None
    assert_used(asked)


def test_azures_first_chunk_without_choices_is_kept(asked, canned):
    first = {"id": "", "object": "chat.completion.chunk", "choices": [], "prompt_filter_results": []}
    chunks = list(canned(events=[json.dumps(first), "[DONE]"]).chat.completions.create(**ASK))
    assert len(chunks) == 1


def test_raw_streams_lose_the_chunk_too(asked, call):
    chunks = call.parse(lambda client: client.chat.completions.with_raw_response.create(**ASK))
    assert all(chunk.choices for chunk in chunks)
    assert_used(asked)


@pytest.mark.parametrize("reading", ["parse", "iter_lines", "iter_text", "iter_bytes", "read"])
def test_streaming_responses_lose_it_however_they_are_read(asked, call, reading):
    read = call.within(
        lambda client: client.chat.completions.with_streaming_response.create(**ASK),
        lambda response: getattr(response, reading)(),
    )
    if reading == "parse":
        assert all(chunk.choices for chunk in read)
    else:
        text = read if isinstance(read, bytes) else b"".join(_bytes(piece) for piece in read)
        assert b'"choices": []' not in text
        assert b"[DONE]" in text
        assert b"Lisbon" in text
    assert_used(asked)


def _bytes(piece: Any) -> bytes:
    return piece if isinstance(piece, bytes) else piece.encode()


def test_events_cut_anywhere_are_put_together_again(asked, client):
    with client.chat.completions.with_streaming_response.create(**ASK) as response:
        text = b"".join(response.iter_bytes(7))
    assert b'"choices": []' not in text
    assert text.count(b"data:") == len([event for event in text.split(b"\n\n") if event])
    assert text.endswith(b"data: [DONE]\n\n")
    assert_used(asked)


def test_the_stream_helper(asked, call):
    final = call.within(
        lambda client: client.chat.completions.stream(model="gpt-4o-mini", messages=HELLO),
        lambda stream: stream.get_final_completion(),
    )
    assert final.choices[0].message.content == "You said: hello there Lisbon"
    assert_used(asked)


def test_a_stream_left_early_is_one_span(asked, client):
    with client.chat.completions.create(**ASK) as stream:
        next(stream)
    assert asked.one().attributes["gen_ai.response.finish_reasons"] == ("error",)


def test_legacy_completions(asked, call, api):
    given = {"model": "gpt-3.5-turbo-instruct", "prompt": "hi there", "stream": True}
    chunks = call.read(lambda client: client.completions.create(**given))
    assert all(chunk.choices for chunk in chunks)
    used = api.last()["usage"]
    assert asked.one().attributes["gen_ai.usage.output_tokens"] == used["completion_tokens"]


def test_what_is_not_streamed_is_sent_as_it_was(asked, call, api):
    call(lambda client: client.completions.create(model="gpt-3.5-turbo-instruct", prompt="hi"))
    call.read(lambda client: client.responses.create(model="gpt-4o-mini", input="hi", stream=True))
    assert not ["stream_options" for request in api.account.requests if "stream_options" in request["body"]]


def test_the_environment_switches_it_on(make_recorded, client, monkeypatch):
    monkeypatch.setenv("SPANLEDGER_INCLUDE_USAGE", "true")
    recorded = make_recorded()
    list(client.chat.completions.create(**ASK))
    assert_used(recorded)
