"""`spanledger delete` and `spanledger retention`: counts and asks first, then says when it is done."""

from __future__ import annotations

import secrets
import sys
from datetime import timedelta

import pytest
from otlp_requests import llm_span, request

from spanledger.query_api.upkeep.keeper import Keeper
from spanledger.server.cli import main
from spanledger.server.upkeep import removal


@pytest.fixture
def spanledger(serving, capsys, monkeypatch):
    """Run a command with these arguments; what it prints. A deletion waits for nothing under way."""
    monkeypatch.setattr(Keeper.__init__, "__kwdefaults__", {"settle": timedelta(0)})
    monkeypatch.setattr(removal, "_LOOK_S", 0.05)
    url = serving()

    def spanledger(*arguments, code=0):
        found = main([*arguments, "--api", url])
        shown = capsys.readouterr()
        assert found == code, shown
        return shown.err if code == 2 else shown.out

    return spanledger


@pytest.fixture
def answer(monkeypatch):
    """Somebody is there, and answers so."""

    def answer(text):
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
        monkeypatch.setattr("builtins.input", lambda question: text)

    return answer


@pytest.fixture
def left(writer, project):
    def left():
        sql = "SELECT count() FROM spans WHERE project = {p:String}"
        return writer.query(sql, parameters={"p": project}).result_rows[0][0]

    return left


def test_a_trace_is_counted_deleted_and_waited_for(spanledger, ingest, left):
    trace = secrets.token_bytes(16)
    ingest(request(llm_span(trace), llm_span(trace), llm_span()))
    shown = spanledger("delete", "--trace", trace.hex(), "--why", "a key was in it", "--yes")
    assert shown.startswith("1 traces, 2 spans, 0 log records, 0 changes of costs\n")
    assert "no answer has it any more" in shown
    assert "Gone from the files, too" in shown
    assert left() == 1


def test_a_dry_run_only_counts(spanledger, ingest, left):
    ingest(request(llm_span(user__id="ada"), llm_span(user__id="ada")))
    assert spanledger("delete", "--user", "ada", "--dry-run").startswith("2 traces, 2 spans")
    assert left() == 2


def test_who_says_no_deletes_nothing(spanledger, ingest, left, answer):
    ingest(request(llm_span(gen_ai__conversation__id="talk")))
    answer("n")
    shown = spanledger("delete", "--conversation", "talk", "--why", "x", code=1)
    assert "Nothing was deleted" in shown
    assert left() == 1
    answer("y")
    spanledger("delete", "--conversation", "talk", "--why", "x")
    assert left() == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["delete", "--user", "ada"], "--why: say why"),
        (["delete", "--user", "ada", "--why", "x"], "nobody is there to be asked: --yes goes on"),
        (["delete", "--trace", "x", "--why", "x"], "'x' is no trace id; allowed: 32 hexadecimal digits"),
        (["retention", "soon"], "DAYS soon: a whole number from 1, forever or default is needed"),
        (["retention", "0"], "DAYS 0: a whole number from 1"),
        (["retention", "40000", "--yes"], "a whole number from 1 to 36500, or null"),
    ],
)
def test_what_is_wrong_is_one_line(spanledger, arguments, words):
    shown = spanledger(*arguments, code=2)
    assert words in shown
    assert shown.count("\n") == 1


def test_exactly_one_thing_is_deleted(spanledger):
    for arguments in ([], ["--user", "a", "--trace", "1" * 32]):
        with pytest.raises(SystemExit):
            spanledger("delete", *arguments)


def test_retention_is_shown_and_set(spanledger, answer):
    assert spanledger("retention") == "Spans and log records are kept for ever (the default).\n"
    answer("n")
    assert "Nothing was changed" in spanledger("retention", "30", code=1)
    answer("y")
    assert spanledger("retention", "30").startswith("Spans and log records are kept for 30 days, from 20")
    assert "for one day" in spanledger("retention", "1", "--yes")
    # More is kept then: nobody needs to be asked.
    answer("n")
    assert "for 60 days" in spanledger("retention", "60")
    assert "for ever (the project's own setting)" in spanledger("retention", "forever")
    assert "(the default)" in spanledger("retention", "default")
