"""schemas.database: where the database is, and that its tables are made once in both placements."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError
from processes import running_clickhouse

from spanledger.schemas import database
from spanledger.schemas.database import connect, connect_reader, migrate, migrations, parse_target, statements
from spanledger.schemas.errors import Busy, Misconfigured
from spanledger.schemas.prices import load_prices

NOW = datetime.now(UTC)

# Addresses


def test_an_embedded_database_is_a_folder():
    target = parse_target("chdb:///var/lib/spanledger")
    assert (target.embedded, target.path, target.database) == (True, "/var/lib/spanledger", "spanledger")
    assert str(target) == "chdb:///var/lib/spanledger"


def test_a_relative_folder_is_taken_from_where_the_process_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parse_target("chdb://data/of%20mine").path == f"{tmp_path}/data/of mine"


def test_a_folder_in_the_home_is_found_there(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    assert parse_target("chdb://~/ledger").path == "/home/ada/ledger"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("clickhouse://host", ("host", 8123, False, "default", "", "spanledger")),
        ("clickhouses://host", ("host", 8443, True, "default", "", "spanledger")),
        ("clickhouse://ada:p%40ss@host:99/ledger", ("host", 99, False, "ada", "p@ss", "ledger")),
        ("clickhouse://[::1]:99/", ("::1", 99, False, "default", "", "spanledger")),
    ],
)
def test_a_server_is_host_port_login_and_database(url, expected):
    target = parse_target(url)
    found = (target.host, target.port, target.secure, target.username, target.password, target.database)
    assert found == expected
    assert target.embedded is False


def test_options_of_the_client_follow_the_question_mark():
    target = parse_target("clickhouses://host/ledger?verify=false&ca_cert=/ca.pem")
    assert target.options == (("verify", "false"), ("ca_cert", "/ca.pem"))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "spanledger-data",
        "chdb://",
        "http://host",
        "postgres://host/db",
        "clickhouse://",
        "clickhouse://host/a-b",
        "clickhouse://host/a;DROP",
        "clickhouse://host/`x`",
        "clickhouse://host:port",
        "clickhouse://host:99999",
    ],
)
def test_any_other_address_is_misconfigured_and_the_setting_is_named(url):
    with pytest.raises(Misconfigured, match="SPANLEDGER_DATABASE"):
        parse_target(url)


@pytest.mark.parametrize(
    "url", ["http://ada:secret@host", "clickhouse://ada:secret@host:x/db", "clickhouse://a:secret@/d"]
)
def test_a_password_is_in_no_message(url):
    with pytest.raises(Misconfigured) as refused:
        parse_target(url)
    assert "secret" not in str(refused.value)
    target = parse_target("clickhouse://ada:secret@host")
    assert "secret" not in f"{target} {target!r}"


# Migrations


def test_migrations_are_numbered_without_gaps():
    numbers = [int(name.split("_")[0]) for name, _ in migrations()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_statements_have_no_comment_and_no_name_of_a_database():
    """The client is connected to ours, whatever its name."""
    for _, sql in migrations():
        for statement in statements(sql):
            assert not statement.startswith("--")
            assert "{" not in statement


def test_every_statement_can_be_repeated():
    """So two processes may migrate at once, and one that was killed half way goes on."""
    for _, sql in migrations():
        for statement in statements(sql):
            # Times that are written again are the same least and greatest ones.
            repeatable = (
                "IF NOT EXISTS",
                "IF EXISTS",
                "MODIFY SETTING",
                "MODIFY COLUMN",
                "INSERT INTO trace_times\n",
            )
            assert any(form in statement for form in repeatable), statement[:100]


def test_migrating_again_does_nothing(target):
    assert migrate(target) == []


def test_a_migration_that_was_interrupted_is_done_by_the_next_start(target, writer):
    writer.command(
        "ALTER TABLE migrations DELETE WHERE name = '0005_blocks.sql'", settings={"mutations_sync": 1}
    )
    assert migrate(target) == ["0005_blocks.sql"]
    assert migrate(target) == []


@pytest.mark.parametrize("cut", [0, 3, -1], ids=["before", "within", "behind"])
def test_a_ledger_with_the_price_dictionaries_of_older_releases_goes_on(target, cut):
    """Wherever an earlier start was interrupted: they are gone, and the installed list is there."""
    old = replace(target, database=f"older_{abs(cut)}")
    text = (Path(__file__).parent / "0001_prices_of_0_1.sql").read_text()
    client = connect(old, database="default")
    client.command(f"CREATE DATABASE {old.database}")
    client.close()
    client = connect(old)
    for statement in statements(text.replace("{database}", old.database).replace("{credentials}", "")):
        client.command(statement)
    client.insert(
        "price_versions", [["genai-prices 0.2.3", NOW]], column_names=["price_version", "loaded_at"]
    )
    assert client.command("SELECT count() FROM system.dictionaries WHERE database = currentDatabase()") == 3
    names = [name for name, _ in migrations()]
    client.command(
        "CREATE TABLE migrations (name String, applied_at DateTime64(6, 'UTC') DEFAULT now64(6)) "
        "ENGINE = ReplacingMergeTree ORDER BY name"
    )
    client.insert("migrations", [[names[0]]], column_names=["name"])
    for statement in statements(dict(migrations())["0006_price_book.sql"])[:cut]:
        client.command(statement)
    assert migrate(old) == names[1:]
    assert load_prices(client) is True
    tables = client.query("SELECT name FROM system.tables WHERE database = currentDatabase()").result_rows
    assert sorted(name for (name,) in tables if name.startswith("price")) == [
        "price_list_models",
        "price_list_providers",
        "price_list_rates",
        "price_lists",
        "price_overrides",
    ]
    assert client.command("SELECT count() FROM system.dictionaries WHERE database = currentDatabase()") == 0
    client.close()


def test_an_older_clickhouse_is_refused(target, monkeypatch):
    monkeypatch.setattr(database, "MINIMUM_VERSION", (99, 1))
    with pytest.raises(Misconfigured, match=r"needs 99\.1 or newer"):
        migrate(target)


# The reader


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A migrated database on a server."""
    with running_clickhouse(tmp_path_factory.mktemp("server")) as clickhouse:
        target = parse_target(clickhouse.url)
        migrate(target)
        client = connect(target)
        load_prices(client)
        client.close()
        yield target


@pytest.fixture(params=["embedded", "server"])
def only_reads(request, target, server):
    client = connect_reader(target if request.param == "embedded" else server)
    yield client
    client.close()


def test_a_reader_reads(only_reads):
    assert only_reads.query("SELECT count() FROM spans WHERE project = 'nobody'").result_rows == [(0,)]


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE spans",
        "TRUNCATE TABLE spans",
        "INSERT INTO migrations (name) VALUES ('x')",
        "ALTER TABLE spans DELETE WHERE 1",
        "CREATE TABLE mine (x UInt8) ENGINE = Memory",
        "SELECT * FROM file('/etc/hostname', 'LineAsString')",
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
        "SELECT * FROM remote('127.0.0.1:1', system.one)",
        "SET readonly = 0",
        "SET max_result_rows = 0",
        "SELECT 1; DROP TABLE spans",
    ],
)
def test_a_reader_does_nothing_else(only_reads, reader, statement):
    with pytest.raises(ClickHouseError):
        only_reads.command(statement)
    # Another client looks: this one may still hold what the failed query had answered before it failed.
    assert reader.query("SELECT count() FROM spans WHERE project = 'nobody'").result_rows == [(0,)]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT count() FROM system.numbers_mt WHERE number % 7 = 8",
        "SELECT number FROM numbers(2000000)",
        "SELECT groupArray(toString(number)) FROM numbers(100000000)",
    ],
    ids=["time", "rows", "memory"],
)
@pytest.mark.slow
def test_a_reader_is_bounded_in_time_rows_and_memory(target, monkeypatch, query):
    limits = {"max_execution_time": 1, "max_memory_usage": 64 * 1024**2, "max_result_rows": 1_000_000}
    monkeypatch.setattr(database, "READER_SETTINGS", limits)
    client = connect_reader(target)
    try:
        with pytest.raises(ClickHouseError):
            client.query(query)
    finally:
        client.close()


@pytest.mark.slow
def test_a_client_whose_query_failed_half_way_must_not_be_used_again(target, monkeypatch):
    """The engine hands the rows of the failed query to the next one; who keeps clients must know it."""
    monkeypatch.setattr(database, "READER_SETTINGS", {"max_execution_time": 1})
    client = connect_reader(target)
    try:
        with pytest.raises(ClickHouseError):
            client.query("SELECT number AS x FROM numbers(900000) WHERE sleepEachRow(0.00001) = 0")
        try:
            answer = client.query("SELECT toUInt64(7) AS x").result_rows
        except ClickHouseError:
            answer = []
        assert answer != [(7,)], "the engine was mended: clients can be kept after a failure"
    finally:
        client.close()


# A server


def test_a_server_has_the_same_tables_as_the_embedded_engine(server, reader):
    columns = (
        "SELECT table, name, type FROM system.columns WHERE database = 'spanledger' "
        "AND NOT startsWith(table, '.') ORDER BY table, name"
    )
    client = connect_reader(server)
    assert client.query(columns).result_rows == reader.query(columns).result_rows
    client.close()


def test_many_processes_may_migrate_a_server_at_once(tmp_path):
    with running_clickhouse(tmp_path) as clickhouse:
        target = parse_target(clickhouse.url)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: migrate(target), range(4)))
        client = connect(target)
        assert client.query("SELECT count() FROM migrations FINAL").result_rows == [(len(migrations()),)]
        client.close()


def test_a_ledger_behind_a_login_has_tables_and_prices(tmp_path):
    """The double's engine knows only `default` without a password: nothing but the client may log in."""
    with running_clickhouse(tmp_path, 0, "default", "it's") as clickhouse:
        target = parse_target(f"clickhouse://default:it's@127.0.0.1:{clickhouse.port}/ledger")
        migrate(target)
        client = connect(target)
        assert load_prices(client) is True
        assert client.query("SELECT count() FROM price_list_rates").result_rows > [(8_000,)]
        client.close()
        with pytest.raises(Busy) as refused:
            connect(parse_target(f"clickhouse://default:no@127.0.0.1:{clickhouse.port}/ledger"))
    assert "Authentication failed" in str(refused.value)


def test_a_server_that_is_not_there_is_busy():
    with pytest.raises(Busy, match=r"default@127\.0\.0\.1:1/spanledger does not answer"):
        connect(parse_target("clickhouse://127.0.0.1:1"))
