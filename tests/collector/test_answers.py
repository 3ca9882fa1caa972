"""collector.answers: the same words for every transport, short, and nothing of what went wrong inside."""

from __future__ import annotations

import json
import logging

import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from spanledger.collector import answers
from spanledger.collector.ingest import Written
from spanledger.collector.signals import TRACES
from spanledger.schemas.errors import BadData, Busy, Misconfigured, SpanledgerError


def test_full_success_says_nothing():
    answer = answers.success(TRACES, Written(5, 0, ""))
    assert not answer.HasField("partial_success")
    assert answers.encode(answer, answers.PROTOBUF) == b""
    assert answers.encode(answer, answers.JSON) == b"{}"


def test_a_part_that_was_refused_is_counted_with_its_reason():
    answer = answers.success(TRACES, Written(4, 1, "1 span is bad"))
    assert (answer.partial_success.rejected_spans, answer.partial_success.error_message) == (
        1,
        "1 span is bad",
    )
    assert json.loads(answers.encode(answer, answers.JSON)) == {
        "partialSuccess": {"rejectedSpans": "1", "errorMessage": "1 span is bad"}
    }


def test_a_warning_about_what_was_stored_is_told_without_a_count():
    answer = answers.success(TRACES, Written(5, 0, "values were cut"))
    assert answer.HasField("partial_success")
    assert answer.partial_success.rejected_spans == 0


def test_what_is_worth_another_try_says_when():
    status = answers.status(Busy("full", retry_after_s=1.25))
    info = RetryInfo()
    assert (status.code, status.message, status.details[0].Unpack(info)) == (14, "full", True)
    assert info.retry_delay.ToMilliseconds() == 1250
    assert json.loads(answers.encode(status, answers.JSON)) == {
        "code": 14,
        "message": "full",
        "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1.250s"}],
    }


def test_what_is_not_worth_another_try_says_no_delay():
    assert answers.status(BadData("wrong")) == Status(code=3, message="wrong")


@pytest.mark.parametrize("error", [BadData("wrong"), Busy("full")])
def test_errors_with_a_status_of_their_own_are_answered_as_they_are_but_for_what_they_hold(error, caplog):
    """The frames of a traceback hold the request."""
    with pytest.raises(type(error)):
        raise error
    assert answers.refusal(error) is error
    assert error.__traceback__ is None
    assert not caplog.records


@pytest.mark.parametrize("error", [ValueError("secret"), Misconfigured("secret"), SpanledgerError("secret")])
def test_any_other_error_is_an_id_for_the_sender_and_a_line_in_the_log(error, caplog):
    with caplog.at_level(logging.ERROR):
        told = answers.refusal(error)
    assert (told.http_status, told.grpc_code) == (500, "INTERNAL")
    (record,) = caplog.records
    error_id = str(told).split()[-1].rstrip(".")
    assert len(error_id) == 32
    assert f"error {error_id}: {type(error).__name__}" in record.getMessage()
    assert "secret" not in f"{told} {caplog.text}"


@pytest.mark.parametrize("text", ["a" * 100_000, "\U0001f600" * 100_000])
def test_long_texts_are_cut_on_a_character(text):
    cut = answers.short(text)
    assert cut.endswith(" ...")
    assert text.startswith(cut.removesuffix(" ..."))
    assert len(cut.encode()) <= 1004
    assert answers.short(cut) != text
    assert answers.short("short") == "short"
