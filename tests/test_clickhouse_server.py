"""The ClickHouse double: the real HTTP client gets from it what it gets from the engine itself."""

from __future__ import annotations

import clickhouse_connect
import httpx
import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError
from processes import running_clickhouse

QUERIES = [
    "SELECT 1",
    "SELECT number, toString(number), number / 3 FROM numbers(100000)",
    "SELECT NULL::Nullable(UInt8), toDecimal128('1.000000000000000001', 18), [1, 2], map('a', [1.5])",
    "SELECT toDateTime64('2026-01-02 03:04:05.123456789', 9, 'UTC'), toFixedString('ab', 4)",
    "SELECT 'a\\0b\U0001f600', tuple(1, 'x'), toLowCardinality('y'), CAST('a' AS Enum8('a' = 1))",
    "SELECT 1 WHERE 0",
    "SELECT nan, inf, -inf, true",
]


@pytest.fixture(scope="module")
def double(tmp_path_factory):
    with running_clickhouse(tmp_path_factory.mktemp("double")) as double:
        yield double


@pytest.fixture
def client(double):
    client = clickhouse_connect.get_client(host="127.0.0.1", port=double.port, compress=False)
    yield client
    client.close()


@pytest.mark.parametrize("query", QUERIES)
def test_answers_are_those_of_the_engine(client, reader, query):
    ours, theirs = client.query(query), reader.query(query)
    assert repr(ours.result_rows) == repr(theirs.result_rows)
    assert ours.column_types == theirs.column_types


@pytest.mark.parametrize(
    "value", ["plain", "it's", 'a"b`c', "tab\tline\nback\\slash", "{x:String}", "é\U0001f600", ""]
)
def test_parameters_are_values_whatever_they_hold(client, value):
    assert client.query("SELECT {v:String}", parameters={"v": value}).result_rows == [(value,)]
    assert client.query("SELECT {v:Array(String)}", parameters={"v": [value, value]}).result_rows == [
        ([value, value],)
    ]


def test_settings_hold_for_one_request_only(client):
    query = "SELECT getSetting('max_threads')"
    before = client.query(query).result_rows
    assert client.query(query, settings={"max_threads": 3}).result_rows == [(3,)]
    assert client.query(query).result_rows == before


def test_rows_are_inserted_by_every_way_that_the_client_has(client):
    client.command("CREATE TABLE rows (`values` Array(String), n UInt8) ENGINE = MergeTree ORDER BY n")
    client.insert("rows", [[["a"], 1]], column_names=["values", "n"])
    client.raw_insert("rows", ["n"], b"2\n", fmt="TSV")
    client.raw_insert("rows", ["n"], iter([b"3", b"\n"]), fmt="TSV")
    client.command("INSERT INTO rows (n) VALUES (4)")
    client.command("INSERT INTO rows SELECT ['FORMAT TSV'], 5")
    rows = client.query("SELECT n, values FROM rows ORDER BY n").result_rows
    assert rows == [(1, ["a"]), (2, []), (3, []), (4, []), (5, ["FORMAT TSV"])]


def test_raw_formats_come_as_they_are(client):
    assert (
        client.raw_query("SELECT number FROM numbers(2)", fmt="JSONEachRow")
        == b'{"number":0}\n{"number":1}\n'
    )
    assert client.raw_query("SELECT 1 AS x", fmt="TabSeparatedWithNames") == b"x\n1\n"
    assert client.command("SELECT 'one'") == "one"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("SELEC", 62),
        ("SELECT * FROM nothing", 60),
        ("SELECT throwIf(1)", 395),
        ("SELECT 1 SETTINGS nope = 1", 115),
    ],
)
def test_errors_carry_the_engines_code(client, query, code):
    with pytest.raises(ClickHouseError) as refused:
        client.query(query)
    assert refused.value.code == code
    assert client.query("SELECT 1").result_rows == [(1,)]


def test_two_clients_work_side_by_side(double):
    clients = [clickhouse_connect.get_client(host="127.0.0.1", port=double.port) for _ in range(2)]
    clients[0].command("CREATE DATABASE mine")
    clients[0].database = "mine"
    assert [c.command("SELECT currentDatabase()") for c in clients] == ["mine", "default"]
    for client in clients:
        client.close()


def test_a_login_is_asked_for(tmp_path):
    with running_clickhouse(tmp_path, 0, "ada", "p@ss") as guarded:
        login = {"host": "127.0.0.1", "port": guarded.port, "username": "ada"}
        client = clickhouse_connect.get_client(password="p@ss", **login)
        assert client.command("SELECT 1") == 1
        client.close()
        with pytest.raises(ClickHouseError) as refused:
            clickhouse_connect.get_client(password="guess", **login)
        assert refused.value.code == 516


def test_told_to_fail_it_fails_inserts_done_or_undone_and_nothing_else_until_told_otherwise(double, client):
    client.command("CREATE TABLE troubled (n UInt8) ENGINE = MergeTree ORDER BY n")
    for n, (status, code, done) in enumerate([(500, 241, False), (500, 210, True), (502, None, False)]):
        double.fail(status, code, done=done)
        with pytest.raises(ClickHouseError) as refused:
            client.raw_insert("troubled", ["n"], f"{n}\n".encode(), fmt="TSV")
        assert refused.value.code == code
        assert client.query("SELECT n FROM troubled").result_rows == [(1,)] * (n >= 1)
    double.recover()
    client.raw_insert("troubled", ["n"], b"3\n", fmt="TSV")
    assert client.query("SELECT n FROM troubled ORDER BY n").result_rows == [(1,), (3,)]


def test_it_answers_pings(double):
    assert httpx.get(f"http://127.0.0.1:{double.port}/ping", trust_env=False).text == "Ok.\n"
