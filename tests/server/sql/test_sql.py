"""`spanledger sql`: a question from wherever it comes, an answer as it is wanted, and errors in a line."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import select
import subprocess
import sys
import time

import pytest
from otlp_requests import SECOND, llm_span, request, span
from processes import clean_environment

from spanledger.server.cli import main
from spanledger.server.sql import plot, tables

T0 = 1_760_000_000 * SECOND


@pytest.fixture
def sql(serving, capsys, monkeypatch):
    """Run `spanledger sql` with these arguments and this on standard input; what it prints."""
    url = serving()

    def sql(*arguments, stdin="", code=0):
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        found = main(["sql", *arguments, "--api", url])
        shown = capsys.readouterr()
        assert found == code, shown
        return "\n".join(line.rstrip() for line in (shown.out + shown.err).splitlines())

    return sql


@pytest.fixture
def calls(ingest):
    """Three calls of two models, an hour apart, and one without usage."""
    spans = [llm_span(model=model) for model in ("gpt-4o-mini", "gpt-4o-mini", "gpt-4o")]
    spans.append(llm_span(model="house-model", input_tokens="many", output_tokens="none"))
    for n, call in enumerate(spans):
        call.start_time_unix_nano = T0 + n * 3600 * SECOND
        call.end_time_unix_nano = call.start_time_unix_nano + SECOND
    ingest(request(*spans))


BY_MODEL = (
    "SELECT model, count() AS calls, sum(cost_usd) AS cost FROM llm_calls GROUP BY model ORDER BY model"
)


def test_a_table_aligns_numbers_and_shows_null(sql, calls):
    shown = sql(BY_MODEL).splitlines()
    assert shown == [
        "model        calls     cost",
        "gpt-4o           1   0.0035",
        "gpt-4o-mini      2  0.00042",
        "house-model      1     NULL",
        "3 rows",
    ]


def test_a_query_comes_from_a_file_or_from_standard_input(sql, calls, tmp_path):
    file = tmp_path / "query.sql"
    file.write_text(BY_MODEL)
    assert sql("-f", str(file)) == sql("-", stdin=BY_MODEL) == sql(stdin=BY_MODEL) == sql(BY_MODEL)


def test_parameters_are_strings_or_arrays(sql, calls):
    query = "SELECT name FROM spans WHERE model = {model:String} AND input_tokens > {least:UInt32}"
    assert "1 row" in sql(query, "--param", "model=gpt-4o", "--param", "least=5").splitlines()
    query = "SELECT count() AS n FROM spans WHERE model IN {models:Array(String)}"
    assert sql(query, "--param", 'models=["gpt-4o", "it\'s"]').splitlines()[1].strip() == "1"


def test_other_formats_are_printed_as_they_come(sql, calls):
    lines = sql(BY_MODEL, "--format", "jsonl").splitlines()
    assert json.loads(lines[0]) == {"model": "gpt-4o", "calls": "1", "cost": "0.0035"}
    assert sql(BY_MODEL, "--format", "csv").splitlines()[:2] == ["model,calls,cost", '"gpt-4o",1,0.0035']
    assert json.loads(sql(BY_MODEL, "--format", "json"))["row_count"] == 3


def test_a_table_says_where_it_stops(sql):
    shown = sql("SELECT number FROM numbers(1000)").splitlines()
    assert shown[-1] == "the first 200 rows; there are more (--limit N)"
    assert len(shown) == 202
    assert sql("SELECT number FROM numbers(200)").splitlines()[-1] == "200 rows"
    assert len(sql("SELECT number FROM numbers(1000)", "--limit", "500").splitlines()) == 502


def test_times_bound_what_is_looked_at(sql, calls):
    query = "SELECT count() AS n FROM traces"
    assert sql(query, "--from", "2025-10-09T10:00:00Z").splitlines()[1].strip() == "2"
    assert sql(query, "--to", "2025-10-09").splitlines()[1].strip() == "0"


def test_views_and_columns_are_described(sql):
    shown = sql(r"\d")
    assert re.search(r"^llm_calls +\d+ +The calls that totals count", shown, re.MULTILINE)
    shown = sql(r"\d spans")
    assert shown.startswith("spans: Every span, once.")
    assert re.search(r"^cost_usd +Nullable\(Decimal\(38, 18\)\) +What the call costs", shown, re.MULTILINE)
    assert "there is no view spons; there are: traces, spans" in sql(r"\d spons", code=2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["SELECT nme FROM spans"], "Unknown expression identifier `nme`"),
        (["SELECT 1", "--param", "x"], "NAME=VALUE is needed"),
        (["SELECT 1", "--param", "x=[1"], "an array in JSON"),
        (["SELECT 1", "--limit", "0"], "--limit: a whole number"),
        (["SELECT 1", "--from", "yesterday"], "--from yesterday"),
        (["SELECT 1", "-f", "nowhere.sql"], "one of them is needed"),
        (["-f", "nowhere.sql"], "nowhere.sql cannot be read: No such file"),
        (["SELECT 1", "--plot", "--format", "csv"], "leave one of them out"),
        (["SELECT 'a' AS a", "--plot"], "at least one column of numbers"),
        (["SELECT 1 AS a, 2 AS b FROM spans WHERE 0", "--plot"], "no rows"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(sql, arguments, words):
    shown = sql(*arguments, code=2)
    assert words in shown
    assert shown.startswith("spanledger sql: ")
    assert len(shown.splitlines()) == 1


def test_text_from_elsewhere_is_no_control_code(sql, ingest):
    ingest(request(span(name="\x1b[31mred\n[bold]x[/bold]")))
    shown = sql("SELECT name FROM spans")
    assert "\x1b" not in shown
    assert "[bold]x[/bold]" in shown


def test_many_columns_are_shown_row_by_row(sql, calls):
    shown = sql("SELECT * FROM spans ORDER BY start_time LIMIT 2")
    assert "row 1" in shown.splitlines()[0]
    assert re.search(r"^model +gpt-4o-mini$", shown, re.MULTILINE)


# --- charts


def test_a_series_over_time_is_a_line_with_times_below(sql, calls):
    shown = sql(
        "SELECT toStartOfHour(start_time) AS hour, count() AS calls FROM spans GROUP BY hour", "--plot"
    )
    assert "calls" in shown.splitlines()[0]
    assert re.search(r"09 0\d:00 .* 09 1\d:00", shown.splitlines()[-1])
    assert any("⠀" < sign <= "⣿" for sign in shown)


def test_words_are_bars_as_long_as_their_numbers(sql, calls):
    shown = sql(BY_MODEL.replace(", sum(cost_usd) AS cost", ""), "--plot")
    lengths = {
        name: line.count("█")
        for line in shown.splitlines()
        for name in ("gpt-4o-mini", "house-model")
        if name in line
    }
    assert lengths["gpt-4o-mini"] > 1.8 * lengths["house-model"] > 0
    names = [re.split(r"[┤│]", line)[0].strip() for line in shown.splitlines() if "┤" in line]
    assert names == ["gpt-4o", "gpt-4o-mini", "house-model"]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("DateTime64(9, 'UTC')", ["2026-01-31 09:30:00.000000001", "2026-01-31 09:31:00.5", None, "odd"]),
        ("Date", ["2026-01-31", "2026-02-01"]),
        ("Nullable(UInt64)", ["1", "2", None, "18446744073709551615"]),
        ("Float64", [1.5, "nan", "inf", -3]),
        ("String", ["", "a" * 100, "\x1b[2J", "é漢字"]),
        ("LowCardinality(String)", ["one"]),
        ("UInt8", [1]),
    ],
)
def test_any_column_can_be_the_axis(kind, values):
    columns = [
        {"name": "x", "type": kind},
        {"name": "y", "type": "Nullable(Decimal(38, 18))"},
        {"name": "z", "type": "Int8"},
    ]
    rows = [[value, None if n == 1 else str(n + 0.5), n] for n, value in enumerate(values)]
    shown = plot.chart(columns, rows).plain
    assert len(shown.splitlines()) > 4
    assert "\x1b" not in shown


def test_types_of_numbers_are_known():
    for kind in ("UInt8", "Int256", "Nullable(Float64)", "Decimal(38, 18)", "LowCardinality(UInt16)"):
        assert tables.is_number(kind), kind
    for kind in ("String", "Array(UInt8)", "DateTime", "Map(String, UInt8)", "Bool", "IntervalDay"):
        assert not tables.is_number(kind), kind


# --- the prompt


@pytest.mark.slow
def test_the_prompt_answers_and_goes_on(serving, calls, tmp_path):
    """In a terminal: help, a query over two lines, an error, a chart, history that only its owner reads."""
    ours, theirs = pty.openpty()
    environment = clean_environment() | {"XDG_STATE_HOME": str(tmp_path), "TERM": "dumb", "COLUMNS": "100"}
    program = subprocess.Popen(
        [sys.executable, "-m", "spanledger.server.cli", "sql", "--api", serving()],
        stdin=theirs, stdout=theirs, stderr=theirs, env=environment, close_fds=True,
    )  # fmt: skip
    os.close(theirs)
    seen = ""

    def until(words):
        nonlocal seen
        end = time.monotonic() + 30
        while words not in seen:
            assert time.monotonic() < end, seen
            if select.select([ours], [], [], 0.1)[0]:
                seen += os.read(ours, 65536).decode()
        seen = seen.partition(words)[2]

    def say(text):
        os.write(ours, text.encode() + b"\n")

    try:
        until("spanledger> ")
        say(r"\d llm_calls")
        until("cost_usd")
        until("spanledger> ")
        say("SELECT model, count() AS calls")
        until("... ")
        say("FROM llm_calls GROUP BY model ORDER BY calls DESC LIMIT 1;")
        until("gpt-4o-mini      2")
        until("spanledger> ")
        say("SELECT nme FROM spans;")
        until("Unknown expression identifier")
        until("spanledger> ")
        say(r"\plot SELECT model, count() AS calls FROM llm_calls GROUP BY model;")
        until("█")
        until("spanledger> ")
        say(r"\q")
        assert program.wait(timeout=30) == 0
    finally:
        program.kill()
        program.wait()
        os.close(ours)
    history = tmp_path / "spanledger" / "sql_history"
    assert "SELECT model, count() AS calls" in history.read_text()
    assert history.stat().st_mode & 0o077 == 0
