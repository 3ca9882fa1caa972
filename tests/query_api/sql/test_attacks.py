"""A key sees its own project and nothing else, whatever the SQL says."""

from __future__ import annotations

import json
import os
import re
import socket
from pathlib import Path

import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sql_attacks import ORACLES, OTHER_TABLES, OUTWARD, PAST_THE_VIEWS, REFUSED

from spanledger.query_api.sql.analysis import checked
from spanledger.query_api.sql.clients import Bounds, connect_for_sql
from spanledger.query_api.sql.functions import TABLE_FUNCTIONS, is_allowed
from spanledger.query_api.sql.views import VIEWS, database_of_views
from spanledger.schemas.errors import BadData

INTERNAL = re.compile(
    r"_sql\b|spanledger\.|additional_table|log_comment|\bv\d+\b|26\.9|/tmp/|/root|site-packages|"
    r"Stack trace|DB::|"
    r"system\.(?!tables|parts|processes|query_log|settings|columns|databases|users|one)|File \"|chdb"
)


def written(attack, target):
    views = database_of_views(target.database)
    return attack.replace("{db}", target.database).replace("{views}", views)


def tells(text, stored):
    return [canary for canary in stored.canaries if canary.lower() in text.lower()]


@pytest.mark.parametrize("attack", REFUSED, ids=range(len(REFUSED)))
def test_what_is_not_one_select_over_the_views_is_refused_and_tells_nothing(ask, target, stored, attack):
    query = written(attack, target)
    answer = ask(query, parameters={"n": "system.tables"} if "{n:" in query else {})
    assert answer.status_code == 400, answer.text[:300]
    told = answer.json()
    assert told["title"] == "Bad request"
    assert told["detail"]
    assert not tells(answer.text, stored)
    # What was sent may be told back; nothing else of the installation.
    plain = query.replace("`", "").replace('"', "")
    found = {each for each in INTERNAL.findall(told["detail"]) if each not in plain}
    assert not found, told["detail"]


def test_after_all_attacks_the_tables_are_as_they_were(rows, ask, target, stored, writer):
    before = writer.query("SELECT count(), groupBitXor(cityHash64(*)) FROM spans").result_rows
    tables = writer.query("SELECT name FROM system.tables WHERE database = currentDatabase()").result_rows
    for attack in REFUSED[-30:]:
        ask(written(attack, target))
    assert writer.query("SELECT count(), groupBitXor(cityHash64(*)) FROM spans").result_rows == before
    assert (
        writer.query("SELECT name FROM system.tables WHERE database = currentDatabase()").result_rows
        == tables
    )
    assert not Path("/tmp/zqx-outfile").exists()
    assert [row["name"] for row in rows("SELECT name FROM spans ORDER BY start_time")] == [
        "answer mine",
        "chat gpt-4o-mini",
    ]


@pytest.mark.parametrize("view", [view.name for view in VIEWS])
def test_a_view_gives_the_rows_of_the_project_alone(ask, rows, stored, view):
    answer = ask(f"SELECT * FROM {view}")
    assert answer.status_code == 200, answer.text
    assert answer.json()["row_count"] >= 1
    assert "mine" in answer.text
    assert not tells(answer.text, stored)


@pytest.mark.parametrize("query", ORACLES)
def test_a_condition_is_never_asked_of_rows_of_others(ask, stored, query):
    """An error would tell that there is such a row, and might quote it."""
    answer = ask(query)
    assert answer.status_code == 200, answer.text
    assert not tells(answer.text, stored)


# --- each wall alone


@pytest.mark.parametrize("attack", PAST_THE_VIEWS + ORACLES)
def test_without_the_analysis_tables_show_the_project_alone(sql_client, target, stored, attack):
    """The filters of the engine hold by themselves: for the tables themselves, through any nesting."""
    query = written(attack, target)
    try:
        text = repr(sql_client.query(query).result_rows)
    except ClickHouseError as error:
        text = str(error)
    assert not tells(text, stored)
    others = sql_client.query(
        f"SELECT count() FROM {target.database}.spans WHERE project != 'sql-mine'"
    ).result_rows
    assert others == [(0,)]


@pytest.mark.parametrize("table", ["migrations", "price_overrides", "price_lists", "reprice_runs"])
def test_without_the_analysis_tables_of_nobody_are_empty(sql_client, target, table):
    assert sql_client.query(f"SELECT count() FROM {target.database}.{table}").result_rows == [(0,)]


@pytest.mark.parametrize("view", [view.name for view in VIEWS])
def test_without_the_filters_a_view_shows_the_project_alone(target, stored, view):
    """The views' own condition holds by itself."""
    client = connect_for_sql(target, "sql-mine", {}, Bounds())
    try:
        text = repr(client.query(f"SELECT * FROM {view}").result_rows)
    finally:
        client.close()
    assert "mine" in text
    assert not tells(text, stored)


@pytest.mark.parametrize("attack", REFUSED, ids=range(len(REFUSED)))
def test_the_analysis_refuses_by_itself(target, attack):
    """On a client without filters: nothing that could show more than the views gets past it."""
    query = written(attack, target)
    client = connect_for_sql(target, "sql-mine", {}, Bounds())
    try:
        with pytest.raises((BadData, ClickHouseError, UnicodeEncodeError)):
            checked(client, query, {"n": "system.tables"} if "{n:" in query else {})
    finally:
        client.close()


def test_a_client_can_neither_write_nor_change_its_settings(sql_client, target):
    for statement in (
        f"INSERT INTO {target.database}.migrations (name) VALUES ('x')",
        f"DROP TABLE {target.database}.spans",
        "SET log_comment = 'x'",
        "SET readonly = 0",
        "SET additional_table_filters = {}",
        "SELECT 1 SETTINGS max_memory_usage = 0",
        "SELECT * FROM url('http://127.0.0.1:9/x', 'CSV', 'x String')",
        "SELECT * FROM file('/etc/hostname')",
    ):
        with pytest.raises(ClickHouseError, match=r"READONLY|readonly"):
            sql_client.command(statement)


def test_a_project_named_like_sql_is_a_name(target, stored, tables):
    """Quotes, backslashes and braces in the name of a project are part of the name."""
    for project in ("x' OR 1=1 --", "x\\' OR 1=1 --", "{}", "'", "\\", "a\nb", "sql-mine' --"):
        client = connect_for_sql(target, project, tables, Bounds())
        try:
            assert client.query("SELECT count() FROM spans").result_rows == [(0,)]
            assert client.query(f"SELECT count() FROM {target.database}.spans").result_rows == [(0,)]
        finally:
            client.close()


# --- no file, no connection


def test_attacks_open_no_file_and_no_connection(sql_api, target, stored, tmp_path):
    """A file that only the engine could read, and a port that counts who comes (case 49)."""
    secret = tmp_path / "secret.txt"
    secret.write_text("zqx-secret")
    os.utime(secret, ns=(1, secret.stat().st_mtime_ns))  # older than the modification: reading moves it
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        port = listener.getsockname()[1]
        for attack in OUTWARD + OTHER_TABLES:
            query = written(attack, target).replace("/etc/hostname", str(secret))
            query = query.replace("127.0.0.1:9", f"127.0.0.1:{port}").replace(
                "169.254.169.254", f"127.0.0.1:{port}"
            )
            answer = sql_api.post("/api/v1/sql", json={"query": query})
            assert answer.status_code == 400
            assert "zqx-secret" not in answer.text
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert secret.stat().st_atime_ns == 1
    secret.read_text()
    assert secret.stat().st_atime_ns != 1, "on this file system nobody can tell who read a file"


def test_a_question_opens_no_connection_from_python(ask, stored, monkeypatch):
    def refused(*_):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refused)
    assert ask("SELECT count() FROM spans").status_code == 200
    assert ask("SELECT * FROM url('http://127.0.0.1:9/x')").status_code == 400


# --- the list of functions


def test_functions_that_read_what_is_no_argument_are_not_allowed():
    for name in [
        "file",
        "dictGet",
        "dictHas",
        "joinGet",
        "getSetting",
        "version",
        "hostName",
        "currentUser",
        "sleep",
        "throwIf",
        "globalVariable",
        "hasColumnInTable",
        "formatQuery",
        "filesystemAvailable",
        "chdb",
        "formatRow",
        "serverTimezone",
        "aiGenerate",
        "__getScalar",
    ]:
        assert not is_allowed(name), name
        assert not is_allowed(name.upper()), name


def test_every_allowed_function_is_one_of_the_engine(reader):
    """A name that is misspelt, or that an engine no longer has, allows what nobody looked at."""
    from spanledger.query_api.sql import functions

    there = {row[0].lower() for row in reader.query("SELECT name FROM system.functions").result_rows}
    parts_of_the_language = {"lambda", "exists", "grouping", "untuple"}
    assert there | parts_of_the_language >= functions._ORDINARY | functions._AGGREGATE
    table_functions = {
        row[0].lower() for row in reader.query("SELECT name FROM system.table_functions").result_rows
    }
    assert table_functions >= TABLE_FUNCTIONS
    both = (functions._ORDINARY | functions._AGGREGATE) & table_functions - TABLE_FUNCTIONS
    # Functions whose names table functions have, too: the analysis refuses those as tables.
    assert both == {"format"}, both


def test_combinators_are_allowed_on_what_is_allowed():
    for name in ("sumIf", "countDistinct", "uniqArrayIf", "quantileTimingOrNull", "avgForEach", "SUMIF"):
        assert is_allowed(name), name
    for name in ("fileIf", "aggThrowIf", "If", "sumWhatever"):
        assert not is_allowed(name) or name == "If", name


# --- nestings

READS = [
    "{db}.spans",
    "spans",
    "llm_calls",
    "traces",
    "merge('{db}', 'spans')",
    "system.tables",
    "file('/etc/hostname', 'LineAsString', 'name String')",
    "numbers(2)",
    "view(SELECT * FROM {db}.spans)",
]
SHELLS = [
    "SELECT * FROM ({0})",
    "SELECT count() FROM ({0})",
    "WITH x AS ({0}) SELECT * FROM x",
    "WITH spans AS ({0}) SELECT * FROM spans",
    "SELECT 1 WHERE EXISTS({0})",
    "SELECT toString(count()) FROM spans WHERE 1 IN (SELECT count() FROM ({0}))",
    "SELECT (SELECT toString(groupArray(t)) FROM (SELECT tuple(*) AS t FROM ({0})))",
    "{0} UNION ALL {0}",
    "SELECT a.* FROM ({0}) AS a CROSS JOIN spans AS b",
    "SELECT arrayMap(x -> (SELECT count() FROM ({0})), [1])",
    "/* {db}.spans */ SELECT * FROM ({0}) -- ; SELECT 1",
    "SELECT * FROM ({0}) ORDER BY ALL LIMIT 5",
]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(read=st.sampled_from(READS), shells=st.lists(st.sampled_from(SHELLS), max_size=4))
def test_no_nesting_shows_another_project(ask, target, stored, read, shells):
    query = f"SELECT * FROM {read}"
    for shell in shells:
        query = shell.replace("{0}", query)
    query = written(query, target)
    answer = ask(query, limit=50)
    assert answer.status_code in (200, 400, 422), answer.text
    assert not tells(answer.text, stored)
    if read in ("{db}.spans", "system.tables") or read.startswith(("merge", "file", "view(")):
        assert answer.status_code == 400, query


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    pieces=st.lists(
        st.sampled_from(
            [
                "SELECT",
                "FROM",
                "spans",
                "WHERE",
                "UNION",
                "ALL",
                "(",
                ")",
                "*",
                ",",
                "1",
                "'x'",
                ";",
                "--",
                "/*",
                "*/",
                "{x:String}",
                "IN",
                "system.one",
                "AS",
                "WITH",
                "JOIN",
                "ON",
                "FORMAT",
                "SETTINGS",
                "INTO",
                "OUTFILE",
                "`a`",
                '"',
                "'",
                "\\",
                "file",
                "('/etc/hostname')",
                "spanledger",
                ".",
                "spans",
                "[",
                "]",
                "->",
                "$$",
                "#",
                "@@x",
            ]
        ),
        max_size=14,
    )
)
def test_no_heap_of_words_breaks_it(ask, stored, pieces):
    """Whatever text is sent, it is an answer or an error that says something, never a failure of ours."""
    answer = ask(" ".join(pieces))
    assert answer.status_code in (200, 400, 422), answer.text
    assert not tells(answer.text, stored)


def test_the_schema_tells_nothing_of_the_installation(sql_api, stored):
    answer = sql_api.get("/api/v1/sql/schema")
    assert answer.status_code == 200
    assert not tells(answer.text, stored)
    assert not INTERNAL.search(json.dumps(answer.json()))
