"""query_api.storage: sizes from the database at each scrape, and a scrape never hangs with the database."""

from __future__ import annotations

import socket
import time

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from otlp_requests import request, span
from prometheus_client.parser import text_string_to_metric_families

from spanledger.query_api import readers as readers_module
from spanledger.query_api import storage
from spanledger.query_api.storage import Storage, read_storage
from spanledger.schemas.database import parse_target
from spanledger.schemas.errors import Busy


def gauges(api) -> dict[str, float]:
    found = {}
    for family in text_string_to_metric_families(api.get("/metrics").text):
        for sample in family.samples:
            if sample.name.startswith(("spanledger_database", "spanledger_spans_", "spanledger_disk")):
                found[sample.name] = sample.value
    return found


def test_a_scrape_tells_parts_rows_bytes_and_room(api, ingest, writer):
    ingest(request(span(), span()))
    found = gauges(api)
    (rows,) = writer.query("SELECT count() FROM spans").result_rows[0]
    assert found["spanledger_database_up"] == 1
    assert found["spanledger_spans_rows"] == rows
    assert found["spanledger_spans_parts"] >= found["spanledger_spans_parts_in_partition"] >= 1
    assert found["spanledger_spans_bytes_on_disk"] > 0
    assert 0 < found["spanledger_disk_free_bytes"] < found["spanledger_disk_total_bytes"]


def test_a_reading_is_used_again_while_it_is_fresh(api, ingest, monkeypatch):
    before = gauges(api)["spanledger_spans_rows"]
    ingest(request(span()))
    assert gauges(api)["spanledger_spans_rows"] == before
    monkeypatch.setattr(storage, "FRESH_S", 0)
    assert gauges(api)["spanledger_spans_rows"] == before + 1


def test_without_the_database_the_last_values_stay_for_a_while_and_up_is_0_at_once(api, monkeypatch):
    known = gauges(api)
    monkeypatch.setattr(storage, "FRESH_S", 0)

    def away(_):
        raise Busy("away")

    with monkeypatch.context() as patch:
        patch.setattr(readers_module.Readers, "_client", away)
        assert gauges(api) == known | {"spanledger_database_up": 0}
        patch.setattr(storage, "STALE_S", 0)
        assert gauges(api) == {"spanledger_database_up": 0}
    assert gauges(api)["spanledger_database_up"] == 1


def test_a_database_that_hangs_is_waited_for_once_and_no_scrape_hangs(make_api, monkeypatch):
    monkeypatch.setattr(readers_module, "_CONNECT_S", 6)
    monkeypatch.setattr(readers_module, "_SOCKET_S", 6)
    monkeypatch.setattr(storage, "PATIENCE_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hanging = parse_target(f"clickhouse://127.0.0.1:{silent.getsockname()[1]}/spanledger")
        api = make_api(to=hanging, api_key="the-root-key")
        api.headers["Authorization"] = "Bearer the-root-key"
        started = time.monotonic()
        for _ in range(20):
            assert gauges(api) == {"spanledger_database_up": 0}
        # A hang of the database lasts six seconds here; a scrape that waited for it each time, 120.
        assert time.monotonic() - started < 6


class Guarded:
    """A client whose user lacks a grant, or whose query fails for another reason."""

    def __init__(self, code: int) -> None:
        self.code = code

    def query(self, _: str) -> None:
        raise DatabaseError("refused", code=self.code)


def test_what_the_user_may_not_see_is_unknown_and_other_errors_are_errors():
    assert read_storage(Guarded(497)) == Storage(None, None)
    with pytest.raises(DatabaseError):
        read_storage(Guarded(241))
