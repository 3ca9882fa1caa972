"""collector.duplicates.resolve: what is decided stands in the rows, whatever comes in which order."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from decimal import Decimal

import pytest
from clickhouse_connect.driver.client import Client
from otlp_requests import SECOND

from spanledger.collector.duplicates import resolve as resolve_module
from spanledger.collector.duplicates.resolve import Duplicates, Resolver
from spanledger.collector.duplicates.watch import Watch
from spanledger.collector.store import Store
from spanledger.schemas.database import Target, connect
from spanledger.schemas.settings import Settings

from .conftest import T0, Ledger, call

COST = Decimal("0.00021")
ID = "gen_ai.response.id"


def test_of_two_records_one_counts_and_the_other_names_it(ledger):
    ledger.put(call("more", gen_ai__response__id="r", gen_ai__usage__cache_read__input_tokens=10))
    ledger.put(call("less", gen_ai__response__id="r"), scope="two")
    ledger.put(call("other", 5000, 6000, gen_ai__response__id="s"))
    assert set(ledger.counted().values()) == {"counts"}
    assert ledger.resolve() == 1
    assert ledger.counted() == {"more": "counts", "less": "more", "other": "counts"}
    assert ledger.rows("cost_usd", "cost_computed_usd", "cost_source", "cost_reason")["less"] == (
        None,
        COST,
        "computed",
        "duplicate",
    )
    assert ledger.rows("cost_usd", "cost_reason")["other"] == (COST, "")


def test_what_is_decided_is_written_once(ledger):
    """The row is the same in every other column."""
    ledger.put(call("a", gen_ai__response__id="r", session__id="c", tag__tags=["x"], more={"k": [1]}))
    columns = "name", "attributes_string", "attributes_json", "tags", "usage_flags", "start_time", "end_time"
    before = ledger.rows(*columns)["a"]
    ledger.put(
        call("b", gen_ai__response__id="r", session__id="c", gen_ai__usage__reasoning__output_tokens=1),
        scope="two",
    )
    assert ledger.resolve() == 1
    assert ledger.counted() == {"a": "b", "b": "counts"}
    assert ledger.rows(*columns)["a"] == before
    ledger.put(call("z", 9000, 9001), scope="two")
    assert ledger.resolve() == 0


def test_a_record_that_is_sent_again_is_marked_again(ledger):
    first, second = call("a", gen_ai__response__id="r"), call("b", 1, 999, gen_ai__response__id="r")
    ledger.put(first)
    ledger.put(second, scope="two")
    ledger.resolve()
    decided = ledger.counted()
    assert sorted(decided.values()) in (["a", "counts"], ["b", "counts"])
    ledger.put(first)
    ledger.put(second, scope="two")
    assert set(ledger.counted().values()) == {"counts"}
    assert ledger.resolve() == 1
    assert ledger.counted() == decided


def test_a_copy_that_arrives_while_it_is_decided_is_not_overwritten(ledger, monkeypatch):
    """It says something else, so that what was decided no longer holds: it is looked at in its turn."""
    ledger.put(call("a", gen_ai__response__id="r", gen_ai__usage__cache_read__input_tokens=1))
    ledger.put(call("b", gen_ai__response__id="r"), scope="two")
    write = ledger.resolver._write

    def write_late(*changed) -> None:
        monkeypatch.undo()
        ledger.put(call("b", gen_ai__response__id="other", gen_ai__usage__input_tokens=7), scope="two")
        write(*changed)

    monkeypatch.setattr(ledger.resolver, "_write", write_late)
    assert ledger.resolve() == 1
    assert ledger.rows("response_id", "input_tokens")["b"] == ("other", 7)
    ledger.resolve()
    assert ledger.counted() == {"a": "counts", "b": "counts"}
    assert ledger.rows("response_id", "input_tokens", "cost_reason")["b"] == ("other", 7, "")


def test_what_turns_out_to_be_a_sum_gives_its_calls_back(ledger):
    """One call below another is the same call; when a second one arrives the upper one is their sum."""
    top = {"gen_ai__usage__input_tokens": 2000, "gen_ai__usage__output_tokens": 200}
    ledger.put(call("top", 0, 3000, **top), scope="gcp.vertex.agent")
    ledger.put(call("first", 100, 1000, parent="top"), scope="gcp.vertex.agent")
    assert ledger.resolve() == 1
    assert counting(ledger) == 1
    ledger.put(call("second", 1100, 2000, parent="top"), scope="gcp.vertex.agent")
    assert ledger.resolve() > 0
    assert ledger.counted() == {"top": "", "first": "counts", "second": "counts"}
    assert ledger.rows("cost_usd", "cost_reason") == {
        "top": (None, "not_counted"),
        "first": (COST, ""),
        "second": (COST, ""),
    }


def test_the_record_that_counts_borrows_for_whom_it_was_and_gives_it_back(ledger):
    more = {"gen_ai__response__id": "r", "gen_ai__usage__cache_read__input_tokens": 10}
    ledger.put(call("rich", **more))
    known = {"gen_ai__response__id": "r", "session__id": "c-1", "user__id": "u-1"}
    ledger.put(call("poor", **known), scope="two")
    ledger.resolve()
    columns = "conversation_id", "user_id", "borrowed"
    assert ledger.rows(*columns) == {
        "rich": ("c-1", "u-1", ["conversation_id", "user_id"]),
        "poor": ("c-1", "u-1", []),
    }
    # The same span says something else when it is sent again.
    ledger.put(call("poor", **(known | {"session__id": "c-2", "user__id": ""})), scope="two")
    ledger.resolve()
    assert ledger.rows(*columns)["rich"] == ("c-2", "", ["conversation_id"])
    ledger.put(call("poor", **(known | {"session__id": "c-2", "gen_ai__response__id": "s"})), scope="two")
    ledger.resolve()
    assert ledger.counted() == {"poor": "counts", "rich": "counts"}
    assert ledger.rows(*columns) == {"rich": ("", "", []), "poor": ("c-2", "u-1", [])}


def test_what_a_record_says_itself_is_not_borrowed(ledger):
    more = {"gen_ai__response__id": "r", "gen_ai__usage__cache_read__input_tokens": 10, "session__id": "own"}
    ledger.put(call("rich", **more))
    ledger.put(call("poor", gen_ai__response__id="r", session__id="c", user__id="u"), scope="two")
    ledger.resolve()
    assert ledger.rows("conversation_id", "user_id", "borrowed")["rich"] == ("own", "u", ["user_id"])


def test_another_service_and_another_project_are_left_alone(ledger):
    """Only records of one trace may come from two services."""
    ledger.put(call("a", gen_ai__response__id="r"), service="app")
    own, ledger.project = ledger.project, f"{ledger.project}-other"
    ledger.put(call("b", gen_ai__response__id="r"), scope="two", service="app")
    ledger.put(call("c", 9000, 9001), service="app")
    ledger.resolve()
    assert ledger.counted() == {"b": "counts", "c": "counts"}
    ledger.project = own
    assert ledger.counted() == {"a": "counts"}


def test_a_call_that_never_ends_holds_nobody_up(ledger):
    """Clocks may be anything: what it may be a duplicate of is looked for within an hour."""
    endless = call("endless", gen_ai__response__id="r")
    endless.end_time_unix_nano = 2**63 - 1
    ledger.put(endless, scope="logfire")
    ledger.put(call("again", gen_ai__response__id="r"), scope="two")
    ledger.put(call("beside", 10, 20, gen_ai__response__id="s"), scope="two")
    places = ledger.watch.take()
    assert sum(ledger.resolver.resolve(place, seen) for place, seen in places.items()) == 1
    assert max(seen.last_ns for seen in places.values()) < T0 + 2 * 3600 * SECOND
    assert list(ledger.counted().values()).count("counts") == 2


def test_many_changes_are_written_in_parts(ledger, monkeypatch):
    monkeypatch.setattr(resolve_module, "_AT_ONCE", 3)
    spans = [call(f"a{n}", n * 2000, n * 2000 + 100, gen_ai__response__id=f"r{n}") for n in range(10)]
    ledger.put(*spans)
    again = [call(f"b{n}", n * 2000, n * 2000 + 100, gen_ai__response__id=f"r{n}") for n in range(10)]
    ledger.put(*again, scope="two")
    assert ledger.resolve() == 10
    assert list(ledger.counted().values()).count("counts") == 10
    assert len(ledger.counted()) == 20


# --- after a restart


def test_what_was_stored_before_a_restart_is_looked_at_after_it(ledger):
    ledger.put(call("a", gen_ai__response__id="r"))
    ledger.put(call("b", gen_ai__response__id="r"), scope="two")
    ledger.put(call("c", gen_ai__response__id="s"), service="alone")
    ledger.watch.take()
    after = Watch()
    after.saw(seen for seen in ledger.resolver.recent(3600) if seen.project == ledger.project)
    places = after.take()
    assert {place.service for place in places} == {"app"}
    assert sum(ledger.resolver.resolve(place, seen) for place, seen in places.items()) == 1
    assert [seen for seen in ledger.resolver.recent(1) if seen.project == ledger.project] == []


# --- the thread


@pytest.fixture
def running(own_target: Target, own_client: Client, project: str) -> Iterator[tuple[Duplicates, Ledger]]:
    duplicates = Duplicates(own_target, Settings())
    store = Store(own_target, Settings(), duplicates.watch)
    yield duplicates, Ledger(store, duplicates.watch, Resolver(connect(own_target)), own_client, project)
    duplicates.stop()
    store.close()


def wait_until(true: Callable[[], bool]) -> None:
    ends = time.monotonic() + 30
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.02)


def put_twice(ledger: Ledger, n: int) -> None:
    ledger.put(call(f"a{n}", n, n + 100, gen_ai__response__id=f"r{n}"))
    ledger.put(call(f"b{n}", n, n + 100, gen_ai__response__id=f"r{n}"), scope="two")


def counting(ledger: Ledger) -> int:
    return list(ledger.counted().values()).count("counts")


def test_the_thread_resolves_behind_the_inserts(running):
    duplicates, ledger = running
    duplicates.start()
    for n in range(5):
        put_twice(ledger, n)
    wait_until(duplicates.settled)
    assert (counting(ledger), len(ledger.counted())) == (5, 10)
    put_twice(ledger, 5)
    wait_until(duplicates.settled)
    assert (counting(ledger), len(ledger.counted())) == (6, 12)


def test_while_the_database_fails_nothing_is_forgotten_and_the_thread_goes_on(running, own_client, caplog):
    duplicates, ledger = running
    put_twice(ledger, 0)
    own_client.command("RENAME TABLE spans TO spans_away")
    try:
        with caplog.at_level(logging.WARNING, "spanledger.collector"):
            duplicates.start()
            wait_until(lambda: "looking for duplicate calls failed" in caplog.text)
        assert duplicates.watch.changed.is_set()
        assert not duplicates.settled()
    finally:
        own_client.command("RENAME TABLE spans_away TO spans")
    wait_until(duplicates.settled)
    assert (counting(ledger), len(ledger.counted())) == (1, 2)


def test_it_ends_when_it_is_told_to_wherever_it_is(running):
    duplicates, ledger = running
    duplicates.start()
    put_twice(ledger, 0)
    duplicates.stop()
    assert not duplicates._thread.is_alive()
    duplicates.stop()


def test_one_that_was_never_started_ends_too(own_target):
    Duplicates(own_target, Settings()).stop()
