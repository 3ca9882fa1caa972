"""Scores and feedback reach the ledger, as events of the span, trace or answer that they are of."""

import math
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor

from spanledger.instrumentation import feedback, loggers, score, session, workflow

NAME = "gen_ai.evaluation.name"
VALUE = "gen_ai.evaluation.score.value"


@pytest.fixture
def events(monkeypatch):
    """What an application's own LoggerProvider is given."""
    exporter = InMemoryLogRecordExporter()
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    monkeypatch.setattr("opentelemetry._logs._internal._LOGGER_PROVIDER", provider)

    def read() -> list[Any]:
        return [data.log_record for data in exporter.get_finished_logs()]

    yield read
    provider.shutdown()


def test_a_score_is_an_event_of_the_current_span(spans, events):
    with session("s-1"), workflow("w"):
        score("relevance", 0.8, label="relevant", explanation="names the city")
    (event,) = events()
    assert event.event_name == "gen_ai.evaluation.result"
    context = spans.one().context
    assert (event.trace_id, event.span_id) == (context.trace_id, context.span_id)
    assert dict(event.attributes) == {
        NAME: "relevance",
        VALUE: 0.8,
        "gen_ai.evaluation.score.label": "relevant",
        "gen_ai.evaluation.explanation": "names the city",
        "session.id": "s-1",
    }


def test_a_score_can_be_of_a_span_that_is_over_of_a_trace_or_of_an_answer(spans, events):
    with workflow("w"):
        over = trace.get_current_span()
    score("a", 1, span=over)
    score("b", 1, trace_id="0af7651916cd43dd8448eb211c80319c", span_id="b7ad6b7169203331")
    score("c", 1, trace_id="0af7651916cd43dd8448eb211c80319c")
    score("d", 1, response_id="chatcmpl-1")
    found = {event.attributes[NAME]: event for event in events()}
    assert found["a"].span_id == over.get_span_context().span_id
    assert (f"{found['b'].trace_id:x}", f"{found['b'].span_id:x}") == (
        "af7651916cd43dd8448eb211c80319c",
        "b7ad6b7169203331",
    )
    assert (f"{found['c'].trace_id:x}", found["c"].span_id) == ("af7651916cd43dd8448eb211c80319c", 0)
    assert (found["d"].trace_id, found["d"].attributes["gen_ai.response.id"]) == (0, "chatcmpl-1")


def test_feedback_is_thumbs_a_value_or_a_comment(spans, events):
    with workflow("w"):
        feedback(True)
        feedback(False, comment="wrong city")
        feedback(value=3, comment="so so")
    found = [dict(event.attributes) for event in events()]
    assert all(attributes.pop(NAME) == "user_feedback" for attributes in found)
    assert found == [
        {VALUE: 1.0, "gen_ai.evaluation.score.label": "positive"},
        {
            VALUE: 0.0,
            "gen_ai.evaluation.score.label": "negative",
            "gen_ai.evaluation.explanation": "wrong city",
        },
        {VALUE: 3.0, "gen_ai.evaluation.explanation": "so so"},
    ]
    with pytest.raises(ValueError, match="feedback needs one of"):
        feedback()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"value": math.nan}, "a score is a finite number, not nan"),
        ({"value": "good"}, "a score is a finite number, not 'good'"),
        ({"trace_id": "xyz"}, "trace_id is 'xyz'; it is a number of up to 32 hexadecimal digits"),
        ({"trace_id": 1 << 128}, "trace_id is 340282366920938463463374607431768211456; it is"),
        ({"trace_id": "1", "span_id": "0"}, "span_id is '0'"),
        ({"span_id": "1"}, "give its trace_id, too"),
    ],
)
def test_what_is_no_score_and_no_id_is_refused(given, words):
    with pytest.raises(ValueError, match=words):
        score("s", **given)


def test_a_score_of_nothing_is_dropped_with_one_warning(events, warnings_logged):
    score("s", 1)
    score("s", 1)
    assert events() == []
    assert len(warnings_logged()) == 1


def test_without_any_exporter_a_score_does_nothing(spans):
    with workflow("w"):
        score("s", 1)
    assert loggers._own.provider is None
