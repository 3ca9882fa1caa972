"""Images and audio: tokens, seconds or characters as they are billed; files as size, type and hash only."""

import hashlib
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import genai_prices
import openai
import pytest

from tests.instrumentation.conventions import check
from tests.instrumentation.stubs.openai import SOUND

pytestmark = pytest.mark.usefixtures("by_the_conventions")

DRAW: dict[str, Any] = {"model": "gpt-image-1.5", "prompt": "a harbour"}
SPEAK: dict[str, Any] = {"model": "tts-1", "voice": "alloy", "input": "Boats come."}
PNG = b"\x89PNG a picture"
WAV = b"RIFF a sound"


def cost(model: str, **used: Any) -> Decimal:
    return genai_prices.calc_price(genai_prices.Usage(**used), model, provider_id="openai").total_price


def output(span: Any) -> Any:
    return json.loads(span.attributes["gen_ai.output.messages"])[0]["parts"]


def asked(span: Any) -> Any:
    return json.loads(span.attributes["gen_ai.input.messages"])[0]["parts"]


def assert_drawn(span: Any) -> None:
    attributes = span.attributes
    assert attributes["gen_ai.output.type"] == "image"
    assert attributes["gen_ai.usage.input_tokens"] == 210
    assert attributes["gen_ai.usage.text.input_tokens"] == 10
    assert attributes["gen_ai.usage.image.input_tokens"] == 200
    assert attributes["gen_ai.usage.output_tokens"] == 1000
    expected = cost("gpt-image-1.5", input_tokens=210, input_image_tokens=200, output_tokens=1000)
    assert Decimal(attributes["spanledger.cost.total"]) == expected


@pytest.mark.parametrize("form", ["typed", "raw", "streaming"])
def test_an_image_is_one_span_with_its_usage(spans, call, form):
    if form == "typed":
        answer = call(lambda client: client.images.generate(**DRAW, n=2))
    elif form == "raw":
        answer = call.parse(lambda client: client.images.with_raw_response.generate(**DRAW, n=2))
    else:
        answer = call.within(
            lambda client: client.images.with_streaming_response.generate(**DRAW, n=2),
            lambda response: response.parse(),
        )
    assert len(answer.data) == 2
    check(spans.one(), "image_generation")
    assert spans.one().attributes["gen_ai.request.choice.count"] == 2
    assert_drawn(spans.one())


def test_a_streamed_image_has_the_usage_of_its_last_event(spans_with_content, call):
    events = call.read(lambda client: client.images.generate(**DRAW, stream=True, partial_images=1))
    assert [event.type.rpartition(".")[2] for event in events] == ["partial_image", "completed"]
    check(spans_with_content.one(), "image_generation")
    assert_drawn(spans_with_content.one())
    assert len(output(spans_with_content.one())) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_an_edit_records_what_it_was_given_as_hash_size_and_type(spans_with_content, call, stream):
    def make(client: Any) -> Any:
        return client.images.edit(**DRAW, image=("harbour.png", PNG, "image/png"), stream=stream)

    (call.read if stream else call)(make)
    span = spans_with_content.one()
    assert_drawn(span)
    text, image = asked(span)
    assert text["content"] == "a harbour"
    expected = {
        "type": "blob",
        "modality": "image",
        "mime_type": "image/png",
        "content": "",
        "size": len(PNG),
        "sha256": hashlib.sha256(PNG).hexdigest(),
    }
    assert image == expected
    (drawn,) = output(span)
    assert (drawn["content"], drawn["size"]) == ("", len(b"a picture of a harbour"))


def test_a_file_that_is_open_is_sent_whole_and_not_read_by_us(spans_with_content, client, api):
    client.images.edit(**DRAW, image=io.BytesIO(PNG))
    assert api.account.requests[-1]["body"]["image"] == PNG
    assert asked(spans_with_content.one())[1]["content"] == ""


def test_a_file_by_its_path(spans_with_content, client, api, tmp_path):
    path = tmp_path / "harbour.png"
    path.write_bytes(PNG)
    client.images.edit(**DRAW, image=Path(path))
    assert api.account.requests[-1]["body"]["image"] == PNG
    assert asked(spans_with_content.one())[1]["mime_type"] == "image/png"


def test_an_image_without_usage_has_no_cost(spans, call):
    headers = {"x-stub-no-usage": "1"}
    call(lambda client: client.images.generate(model="dall-e-3", prompt="x", extra_headers=headers))
    assert spans.one().attributes["spanledger.cost.reason"] == "no_usage"


def test_a_refused_image_is_one_error_span(spans, call):
    with pytest.raises(openai.BadRequestError):
        call(lambda client: client.images.generate(**DRAW, extra_headers={"x-stub-status": "400"}))
    check(spans.one(), "image_generation")


def test_speech_billed_by_characters_has_their_price(spans_with_content, call):
    answer = call(lambda client: client.audio.speech.create(**SPEAK))
    assert answer.content == SOUND
    span = spans_with_content.one()
    check(span, "speech")
    assert span.attributes["spanledger.usage.input_characters"] == 11
    assert Decimal(span.attributes["spanledger.cost.total"]) == cost("tts-1", input_characters=11)
    (part,) = output(span)
    assert (part["mime_type"], part["size"]) == ("audio/mpeg", len(SOUND))
    assert part["sha256"] == hashlib.sha256(SOUND).hexdigest()
    assert asked(span) == [{"type": "text", "content": "Boats come."}]


def test_speech_billed_by_tokens_that_nobody_told_has_no_cost(spans, call):
    call(lambda client: client.audio.speech.create(model="gpt-4o-mini-tts", voice="alloy", input="Boats"))
    assert spans.one().attributes["spanledger.cost.reason"] == "no_usage"


def test_speech_as_events_tells_its_tokens(spans_with_content, call):
    call(
        lambda client: client.audio.speech.create(
            model="gpt-4o-mini-tts", voice="alloy", input="Boats come.", stream_format="sse"
        )
    )
    span = spans_with_content.one()
    check(span, "speech")
    assert span.attributes["gen_ai.usage.input_tokens"] == 3
    assert span.attributes["gen_ai.usage.output_tokens"] == 90
    expected = cost("gpt-4o-mini-tts", input_tokens=3, output_tokens=90)
    assert Decimal(span.attributes["spanledger.cost.total"]) == expected
    assert output(span)[0]["sha256"] == hashlib.sha256(SOUND).hexdigest()


def test_speech_read_piece_by_piece_is_hashed_as_it_passes(spans_with_content, call):
    def use(response: Any) -> Any:
        return response.iter_bytes(1000)

    pieces = call.within(
        lambda client: client.audio.speech.with_streaming_response.create(**SPEAK),
        use,
    )
    assert b"".join(pieces) == SOUND
    assert output(spans_with_content.one())[0]["sha256"] == hashlib.sha256(SOUND).hexdigest()
    assert spans_with_content.one().attributes["spanledger.usage.input_characters"] == 11


def test_raw_speech(spans, call):
    raw = call(lambda client: client.audio.speech.with_raw_response.create(**SPEAK))
    assert raw.content == SOUND
    assert spans.one().attributes["spanledger.usage.input_characters"] == 11


def transcribe(client: Any, **more: Any) -> Any:
    given = {"model": "gpt-4o-transcribe", "file": ("a.wav", WAV, "audio/wav"), **more}
    return client.audio.transcriptions.create(**given)


@pytest.mark.parametrize("form", ["typed", "raw", "streaming", "streamed"])
def test_a_transcription_billed_by_tokens(spans_with_content, call, form):
    if form == "typed":
        assert call(lambda client: transcribe(client, temperature=0)).text == "Boats come"
    elif form == "streamed":
        events = call.read(lambda client: transcribe(client, stream=True))
        assert events[-1].text == "Boats come"
    elif form == "raw":
        given = {"model": "gpt-4o-transcribe", "file": ("a.wav", WAV)}
        call.parse(lambda client: client.audio.transcriptions.with_raw_response.create(**given))
    else:
        given = {"model": "gpt-4o-transcribe", "file": ("a.wav", WAV)}
        call.within(
            lambda client: client.audio.transcriptions.with_streaming_response.create(**given),
            lambda response: response.parse(),
        )
    span = spans_with_content.one()
    check(span, "transcription")
    assert span.attributes["gen_ai.usage.audio.input_tokens"] == 40
    expected = cost("gpt-4o-transcribe", input_tokens=44, input_audio_tokens=40, output_tokens=6)
    assert Decimal(span.attributes["spanledger.cost.total"]) == expected
    assert output(span) == [{"type": "text", "content": "Boats come"}]
    (sound,) = asked(span)
    assert (sound["modality"], sound["size"]) == ("audio", len(WAV))


@pytest.mark.parametrize("response_format", ["json", "verbose_json"])
def test_a_transcription_billed_by_the_second(spans, call, response_format):
    call(lambda client: transcribe(client, model="whisper-1", response_format=response_format))
    span = spans.one()
    check(span, "transcription")
    assert span.attributes["spanledger.usage.audio_seconds"] == 12
    assert Decimal(span.attributes["spanledger.cost.total"]) == cost("whisper-1", audio_seconds=12)
    assert not [key for key in span.attributes if key.endswith("_tokens")]


def test_the_length_of_a_verbose_transcription_stands_in_for_usage_that_is_not_told(spans, call):
    headers = {"x-stub-no-usage": "1"}
    call(
        lambda client: transcribe(
            client, model="whisper-1", response_format="verbose_json", extra_headers=headers
        )
    )
    assert spans.one().attributes["spanledger.usage.audio_seconds"] == 12


@pytest.mark.parametrize("form", ["typed", "streaming"])
@pytest.mark.parametrize("response_format", ["text", "srt", "vtt"])
def test_a_transcription_that_is_no_json_is_handed_on_and_has_no_usage(
    spans_with_content, call, form, response_format
):
    given = {"model": "whisper-1", "file": ("a.wav", WAV), "response_format": response_format}
    if form == "typed":
        assert call(lambda client: client.audio.transcriptions.create(**given)) == "Boats come"
    else:
        text = call.within(
            lambda client: client.audio.transcriptions.with_streaming_response.create(**given),
            lambda response: response.text(),
        )
        assert text == "Boats come"
    span = spans_with_content.one()
    assert span.attributes["spanledger.cost.reason"] == "no_usage"
    assert output(span) == [{"type": "text", "content": "Boats come"}]


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
def test_a_translation(spans, call):
    answer = call(lambda client: client.audio.translations.create(model="whisper-1", file=("a.wav", WAV)))
    assert answer.text == "Boats come"
    check(spans.one(), "translation")
    assert spans.one().attributes["spanledger.usage.audio_seconds"] == 12


def test_without_content_nothing_of_a_file_or_a_text_is_recorded(spans, call):
    call(lambda client: transcribe(client, prompt="secret"))
    call(lambda client: client.audio.speech.create(model="tts-1", voice="alloy", input="secret"))
    everything = "".join(span.to_json() for span in spans.all())
    assert "secret" not in everything
    assert "sha256" not in everything
