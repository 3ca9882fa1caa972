"""Answers: exact in every format, whole or an error, within limits, and errors that help."""

from __future__ import annotations

import csv
import gc
import io
import json
import tempfile
from concurrent.futures import ThreadPoolExecutor

import pytest
from clickhouse_connect.driver.client import Client

from spanledger.query_api.sql import clients, errors, runs
from spanledger.schemas.database import parse_target
from spanledger.schemas.errors import Misconfigured

EVERY_KIND = (
    "SELECT toUInt64(18446744073709551615) AS big, toDecimal128('0.000000000000000001', 18) AS small, "
    "nan AS odd, NULL AS nothing, 'a,\"b\"\nc' AS text, [1, 2] AS list, map('k', 'v') AS pairs, "
    "true AS flag, "
    "toDateTime64('2026-01-31 09:30:00.000000001', 9, 'UTC') AS at"
)


def test_json_keeps_every_digit_and_names_the_types(ask):
    answer = ask(EVERY_KIND)
    assert answer.headers["content-type"] == "application/json"
    assert int(answer.headers["content-length"]) == len(answer.content)
    told = answer.json()
    assert told["rows"] == [
        {
            "big": "18446744073709551615",
            "small": "0.000000000000000001",
            "odd": "nan",
            "nothing": None,
            "text": 'a,"b"\nc',
            "list": [1, 2],
            "pairs": {"k": "v"},
            "flag": True,
            "at": "2026-01-31 09:30:00.000000001",
        }
    ]
    assert told["row_count"] == 1
    assert [column["name"] for column in told["columns"]] == list(told["rows"][0])
    assert [column["type"] for column in told["columns"][:4]] == [
        "UInt64", "Decimal(38, 18)", "Float64", "Nullable(Nothing)",
    ]  # fmt: skip


def test_formats_say_the_same(ask):
    rows = ask(EVERY_KIND).json()["rows"]
    assert ask(EVERY_KIND, format="json_arrays").json()["rows"] == [list(rows[0].values())]
    lines = ask(EVERY_KIND, format="jsonl")
    assert [json.loads(line) for line in lines.text.splitlines()] == rows
    assert lines.headers["content-type"].startswith("application/x-ndjson")
    names, values = csv.reader(io.StringIO(ask(EVERY_KIND, format="csv").text))
    assert names == list(rows[0])
    assert values[:5] == ["18446744073709551615", "0.000000000000000001", "nan", "\\N", 'a,"b"\nc']
    parquet = ask("SELECT name, cost_usd, tags, attributes FROM spans", format="parquet").content
    assert parquet[:4] == parquet[-4:] == b"PAR1"
    arrow = ask("SELECT number FROM numbers(3)", format="arrow").content
    assert arrow[:4] == b"\xff\xff\xff\xff"
    assert len(arrow) % 8 == 0


def test_no_rows_are_an_answer_in_every_format(ask):
    query = "SELECT name, cost_usd FROM spans WHERE name = 'nothing is called so'"
    assert ask(query).json() == {
        "columns": [
            {"name": "name", "type": "String"},
            {"name": "cost_usd", "type": "Nullable(Decimal(38, 18))"},
        ],
        "rows": [],
        "row_count": 0,
    }
    assert ask(query, format="csv").text == "name,cost_usd\n"
    assert ask(query, format="jsonl").text == ""
    assert ask(query, format="json_arrays").json()["rows"] == []
    assert ask(query, format="parquet").content[:4] == b"PAR1"


def test_many_rows_come_whole(ask):
    """Longer than a piece of the engine's, and of ours."""
    query = "SELECT number AS n, toString(number) AS text FROM numbers(300000)"
    told = ask(query).json()
    assert told["row_count"] == len(told["rows"]) == 300_000
    assert told["rows"][299_999] == {"n": "299999", "text": "299999"}
    assert len(ask(query, format="csv").text.splitlines()) == 300_001


def test_limit_takes_the_first_rows_and_keeps_the_order(ask):
    query = "SELECT number AS n FROM numbers(1000) ORDER BY n DESC"
    assert [row["n"] for row in ask(query, limit=3).json()["rows"]] == ["999", "998", "997"]
    assert ask(query + " LIMIT 2", limit=3).json()["row_count"] == 2


def test_more_rows_than_allowed_are_an_error_unless_a_limit_is_said(ask):
    query = "SELECT number AS n FROM numbers(2000000)"
    answer = ask(query)
    assert answer.status_code == 422
    assert "1,000,000 rows" in answer.json()["detail"]
    assert "`limit`" in answer.json()["detail"]
    assert ask(query, limit=10, format="jsonl").text.count("\n") == 10


@pytest.mark.parametrize(
    ("name", "kind", "value", "given"),
    [
        ("text", "String", 'it\'s \\ "a" \n {x:String} %(x)s \x00 \U0001f600', None),
        ("number", "Int64", -(2**63), str(-(2**63))),
        ("number", "Float64", 1.5, 1.5),
        ("flag", "Bool", False, False),
        ("texts", "Array(String)", ["a'b", "c\\d", ""], None),
        ("numbers", "Array(UInt64)", [1, 2], ["1", "2"]),
        ("nothing", "Nullable(String)", None, None),
        ("exact", "Decimal(38, 18)", "0.000000000000000001", "0.000000000000000001"),
        ("at", "DateTime64(9, 'UTC')", "2026-01-31 09:30:00.5", "2026-01-31 09:30:00.500000000"),
    ],
)
def test_parameters_are_values(rows, name, kind, value, given):
    [row] = rows(f"SELECT {{{name}:{kind}}} AS x", parameters={name: value})
    assert row["x"] == (value if given is None else given)


@pytest.mark.parametrize(
    ("query", "parameters", "words"),
    [
        ("SELECT {x:Int64}", {}, "`x` is not set"),
        ("SELECT {x:Int64}", {"x": "many"}, "many cannot be parsed as Int64 for query parameter 'x'"),
        ("SELECT {x:UInt8}", {"x": 300}, "x is 300; UInt8 holds 0 to 255"),
        ("SELECT {x:Array(Nullable(Int8))}", {"x": [1, None, "-129"]}, "x is -129; Int8 holds -128 to 127"),
        ("SELECT 1", {"x": 1}, "no {x:Type}"),
        ("SELECT {x:Int64}", {"x": 1, "y": 2}, "no {y:Type}; it has: x"),
        ("SELECT {x:Int64}", {"x y": 1}, "'x y' is no name"),
        ("SELECT {x:String}", {"x": {"a": 1}}, "arrays of these"),
        ("SELECT {x:String}", {"x": "\ud83d"}, "no value that can be sent"),
        ("SELECT {x:NoType}", {"x": "a"}, "NoType"),
    ],
)
def test_parameters_that_do_not_fit_are_named(ask, query, parameters, words):
    answer = ask(query, parameters=parameters)
    assert answer.status_code == 400
    assert words in answer.json()["detail"]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT nme FROM spans LIMIT 0", "`nme`"),
        ("SELECT 1 FROM spans WHER x = 1", "Syntax error: failed at position 26"),
        ("SELECT nme FROM spans", "Unknown expression identifier `nme`. Maybe you meant: ['name']"),
        ("SELECT name FROM spons", "'spons'. Maybe you meant spans?"),
        ("SELECT name FROM cost_histor", "Unknown table expression identifier 'cost_histor'"),
        ("SELECT name FROM migration", "Unknown table expression identifier 'migration'"),
        ("SELECT name + 1 FROM spans", "Illegal types"),
        ("SELECT sum(name) FROM spans", "Illegal type"),
        ("SELECT toInt8('x')", "Cannot parse string 'x' as Int8"),
        ("SELECT name, count() FROM spans", "GROUP BY"),
        ("SELECT count( FROM spans", "Unmatched parentheses"),
        ("SELECT file('x')", "the function file is not allowed"),
        (
            "SELECT * FROM system.tables",
            "system.tables cannot be read; allowed: one SELECT over traces, spans",
        ),
        ("DROP TABLE spans", "allowed is one SELECT over"),
        ("SELECT 1 SETTINGS max_threads = 1", "SETTINGS is not taken"),
        ("SELECT 1 FORMAT CSV", "the request says `format`"),
        ("SELECT 1; SELECT 2", "Multi-statements are not allowed"),
    ],
)
def test_errors_say_what_is_wrong_and_where(ask, query, words):
    answer = ask(query)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert words in answer.json()["detail"]
    assert "spanledger" not in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "query"),
        ({"query": 1}, "query"),
        ({"query": "SELECT 1", "fromat": "csv"}, "fromat"),
        ({"query": "SELECT 1", "format": "xml"}, "json, json_arrays, jsonl, csv, arrow, parquet"),
        ({"query": "SELECT 1", "limit": 0}, "from 1 to 1000000"),
        ({"query": "SELECT 1", "limit": 1_000_001}, "from 1 to 1000000"),
        ({"query": "SELECT 1", "limit": "3"}, "limit"),
        ({"query": "SELECT 1", "start": "yesterday"}, "RFC 3339"),
        (
            {"query": "SELECT 1", "start": "2026-01-02T00:00:00Z", "end": "2026-01-01T00:00:00Z"},
            "start must be",
        ),
        ({"query": "SELECT 1", "parameters": []}, "parameters"),
        ({"query": "S" * 100_001}, "100000"),
        ([], "dictionary"),
    ],
)
def test_a_request_that_is_no_question_is_refused(sql_api, body, words):
    answer = sql_api.post("/api/v1/sql", json=body)
    assert answer.status_code == 400
    assert words in answer.json()["detail"]


# --- limits


def test_a_query_that_takes_too_long_is_stopped_and_nobody_else_waits(ask, sql_api, monkeypatch):
    """Case 45: the others are answered while it runs, and the next question as well."""
    monkeypatch.setattr(clients, "MOST_SECONDS", 1)
    monkeypatch.setattr(errors, "MOST_SECONDS", 1)
    long = "SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(sipHash64(number))"
    with ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(ask, long) for _ in range(runs.AT_ONCE)]
        assert sql_api.get("/api/v1/traces").status_code == 200
        assert sql_api.get("/readyz").status_code == 200
        answers = [one.result() for one in asked]
    for answer in answers:
        assert answer.status_code == 422, answer.text
        assert "longer than 1 s" in answer.json()["detail"]
    assert ask("SELECT 1 AS one").json()["rows"] == [{"one": 1}]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT groupArray(number) FROM numbers(1000000000)", "MiB of memory"),
        ("SELECT length(groupArray(repeat('x', 1000))) FROM numbers(100000000)", "MiB of memory"),
        ("SELECT repeat('x', 100000) AS x FROM numbers(10000)", "MiB"),
        ("SELECT number FROM numbers(5000000)", "1,000,000 rows"),
    ],
)
def test_a_query_that_needs_too_much_is_stopped(ask, query, words, monkeypatch):
    for module in (clients, errors):
        monkeypatch.setattr(module, "MOST_MEMORY_BYTES", 64 * clients.MIB)
    for form in ("json", "parquet"):
        answer = ask(query, format=form)
        assert answer.status_code == 422, answer.text
        assert words in answer.json()["detail"]
    assert ask("SELECT 1 AS one").json()["rows"] == [{"one": 1}]


def test_twenty_at_once_get_their_own_answers(ask):
    """A few run at a time, and none gets rows of another."""

    def one(n):
        if n % 5 == 4:
            return ask(f"SELECT toInt8('{n}x')").status_code
        return ask("SELECT {n:Int64} AS n, count() AS c FROM numbers(20000)", parameters={"n": n}).json()[
            "rows"
        ]

    with ThreadPoolExecutor(20) as threads:
        found = list(threads.map(one, range(20)))
    assert found == [400 if n % 5 == 4 else [{"n": str(n), "c": "20000"}] for n in range(20)]


def test_answers_that_nobody_reads_are_bounded(ask, monkeypatch):
    monkeypatch.setattr(runs, "_MOST_WAITING_BYTES", 1000)
    answer = ask("SELECT repeat('x', 5000) AS x")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    monkeypatch.undo()
    assert ask("SELECT repeat('x', 5000) AS x").status_code == 200


def test_an_answer_that_nobody_waits_for_leaves_no_room_taken():
    """As when the one who asked was told to come again before it was complete."""
    waiting = runs._Waiting()
    place = waiting.place()
    place.add(5)
    answer = runs.Answer(tempfile.TemporaryFile(), 5, "text/csv", place.end)  # noqa: SIM115
    assert waiting._bytes == 5
    del answer
    gc.collect()
    assert waiting._bytes == 0


def test_an_answer_that_was_read_leaves_no_room_taken(sql_api, ask):
    ask("SELECT repeat('x', 5000) AS x FROM numbers(1000)")
    assert sql_api.app.state.sql._waiting._bytes == 0


def test_a_failure_of_the_database_is_no_fault_of_the_query(ask, monkeypatch):
    """The database away: come again, with none of what the driver says."""

    def away(*_):
        raise OSError("connection refused by 10.1.2.3")

    monkeypatch.setattr(runs, "connect_for_sql", away)
    answer = ask("SELECT 1")
    assert answer.status_code == 503
    assert "10.1.2.3" not in answer.text


def test_views_that_cannot_be_made_are_told_of(make_api, monkeypatch):
    def refused(client: Client, database: str) -> None:
        raise OSError("no grant")

    monkeypatch.setattr(runs, "make_views", refused)
    answer = make_api().post("/api/v1/sql", json={"query": "SELECT 1"})
    assert answer.status_code == 503
    assert "views" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("database", "restricted"),
    [
        ("chdb://somewhere", "clickhouse://reader@db/spanledger"),
        ("clickhouse://owner@db/spanledger", "clickhouse://reader@db/other"),
        ("clickhouse://owner@db/spanledger", "chdb://somewhere"),
    ],
)
def test_a_restricted_user_is_one_of_the_same_database(database, restricted):
    with pytest.raises(Misconfigured, match="SPANLEDGER_SQL_DATABASE"):
        runs.Sql(parse_target(database), parse_target(restricted))


def test_engine_words_of_the_installation_are_left_out():
    told = errors.plain(
        "Code: 47. DB::Exception: Code: 47. DB::Exception: Unknown thing in ledger_sql.spans at "
        "/var/lib/x/y.sql: In scope SELECT v1 FROM ledger.spans. (UNKNOWN) "
        "(version 26.9.2.1 (official build)). "
        "(UNKNOWN_IDENTIFIER)",
        "ledger_sql",
    )
    assert told == "Unknown thing in spans at ..."
