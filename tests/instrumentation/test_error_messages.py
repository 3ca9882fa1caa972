"""What an error says is recorded without the keys that are in it."""

import json

import pytest

from spanledger.instrumentation.invocation import error_message
from spanledger.instrumentation.quiet import quietly

KEY = "A1b2C3d4E5f6G7h8"


@pytest.mark.parametrize(
    "text",
    [
        f"Client error '400 Bad Request' for url 'https://host/v1beta/models/m:generateContent?key=AIza{KEY}'",
        f"for url https://host/path?alt=sse&key={KEY}&x=1",
        f"for url https://host/path?api-key={KEY}",
        f"Incorrect API key provided: gsk_{KEY}",
        f"Incorrect API key provided: xai-{KEY}",
        f"The AWS access key AKIA{KEY} is not known",
        f"authorization: bearer {KEY}",
    ],
)
def test_keys_of_every_provider_are_left_out(text):
    message = error_message(ValueError(text))
    assert KEY not in message
    assert "***" in message


@pytest.mark.parametrize("text", ["asia-northeast1 has no such model", "Asia-Pacific1 is full"])
def test_what_is_no_key_stays(text):
    assert error_message(ValueError(text)) == text


def test_our_own_log_never_quotes_the_bytes_of_an_answer(warnings_logged):
    """Python's error for bytes that are no text holds all of them."""
    with quietly("reading a body"):
        json.loads(b'{"said": "my secret \xff"}')
    (line,) = warnings_logged()
    assert "UnicodeDecodeError" in line
    assert "secret" not in line
