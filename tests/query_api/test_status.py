"""GET /api/v1/status: what a ledger says of itself to who runs it."""

from __future__ import annotations

import os
import time
from importlib.metadata import version

import pytest
from otlp_requests import SECOND, request, span
from processes import wait_until

from spanledger.query_api import status
from spanledger.query_api.status import read_state
from spanledger.query_api.times import parse_time
from spanledger.schemas.database import migrations
from spanledger.schemas.prices import PRICE_VERSION

HOUR = 3600 * SECOND


def send(ingest, service: str, *late_ns: int) -> None:
    """Spans of a service that end so long before now; less than 0: in the future."""
    ends = [time.time_ns() - late for late in late_ns]
    spans = [span(start_time_unix_nano=end - SECOND, end_time_unix_nano=end) for end in ends]
    ingest(request(*spans, resource={"service.name": service}))


def services(client) -> dict[str, float]:
    return {each.service: each.fastest_arrival_s for each in read_state(client).services}


def test_a_ledger_tells_its_versions_migrations_prices_and_room(api, ingest, writer):
    ingest(request(span()))
    told = api.get("/api/v1/status").json()
    assert (told["version"], told["pid"], told["embedded"]) == (version("spanledger"), os.getpid(), True)
    database = told["database"]
    assert database["clickhouse_version"] == writer.command("SELECT version()")
    assert abs(parse_time(database["time"]) - time.time_ns()) < 60 * SECOND
    assert database["migrations"] == [name for name, _ in migrations()]
    assert database["prices"]["version"] == PRICE_VERSION
    assert database["prices"]["models"] > 1000
    assert database["parts"]["inserts_slow_down_at"] == 1000
    assert database["parts"]["most_in_partition"] <= database["parts"]["parts"]
    assert database["disks"][0]["free_bytes"] > 0


def test_the_fastest_of_a_services_newest_spans_tells_its_clock(ingest, reader, project):
    send(ingest, f"{project}-right", HOUR, 0, HOUR)
    send(ingest, f"{project}-ahead", -2 * HOUR)
    send(ingest, f"{project}-late", 3 * HOUR, 5 * HOUR)
    found = services(reader)
    assert 0 <= found[f"{project}-right"] < 60
    assert found[f"{project}-ahead"] == pytest.approx(-7200, abs=60)
    assert found[f"{project}-late"] == pytest.approx(3 * 3600, abs=60)
    assert next(iter(found)) == f"{project}-late"


def test_only_the_newest_hundred_spans_count(ingest, reader, project):
    send(ingest, project, 0)
    send(ingest, project, *[2 * HOUR] * 100)
    assert services(reader)[project] == pytest.approx(7200, abs=60)


def test_the_last_that_was_written_is_found_however_little_may_be_read(ingest, reader, project, monkeypatch):
    monkeypatch.setattr(status, "_MOST_ROWS", 1)
    send(ingest, project, 0)
    assert len(services(reader)) >= 1


def test_a_database_without_our_tables_tells_what_there_is(target):
    from dataclasses import replace

    from spanledger.schemas.database import connect_reader

    client = connect_reader(replace(target, database="default"))
    try:
        state = read_state(client)
    finally:
        client.close()
    assert (state.migrations, state.prices, state.services) == ([], None, [])
    assert state.clickhouse_version


def test_a_mutation_that_fails_is_told(writer, reader):
    """With the table, the statement and what the database says of it."""
    assert read_state(reader).failing_mutations == []
    writer.command("CREATE TABLE failing (n UInt8) ENGINE = MergeTree ORDER BY n")
    try:
        writer.command("INSERT INTO failing SELECT 1")
        writer.command(
            "ALTER TABLE failing DELETE WHERE throwIf(n = 1, 'as told') SETTINGS mutations_sync = 0"
        )
        wait_until(lambda: bool(read_state(reader).failing_mutations), 20)
        [told] = read_state(reader).failing_mutations
        assert told.table == "failing"
        assert "throwIf" in told.command
        assert "as told" in told.failure
    finally:
        writer.command("DROP TABLE failing SYNC")


def test_it_needs_the_key_and_takes_no_parameters(make_api):
    locked = make_api(api_key="a-long-secret-key")
    assert locked.get("/api/v1/status").status_code == 401
    assert make_api().get("/api/v1/status?x=1").status_code == 400
