"""collector.duplicates.watch: what may be recorded twice is looked at, and what cannot be is not."""

from __future__ import annotations

import numpy as np
import pytest
from otlp_requests import SECOND, span

from spanledger.collector.duplicates import watch as watch_module
from spanledger.collector.duplicates.watch import Place, Seen, Watch
from spanledger.schemas.errors import Busy

from .conftest import MS, T0, call

BUCKET = 600 * SECOND
AT = 1_760_000_400 * SECOND  # in the middle of ten minutes


def seen(*scopes: str, at: int = AT, project: str = "p", service: str = "app", **more) -> Seen:
    """One call of a second."""
    trace = np.frombuffer(more.pop("trace", b"t" * 16), np.uint8).reshape(1, 16)
    nested = more.pop("nested", False)
    return Seen(project, service, frozenset(scopes), nested, np.array([at]), np.array([at + SECOND]), trace)


def taken(watch: Watch) -> list[str]:
    return sorted(place.service for place in watch.take())


def test_a_service_with_one_instrumentation_is_never_looked_at(watch):
    for n in range(5):
        watch.saw([seen("one", at=AT + n * BUCKET), seen("two", service="other"), seen("two", project="q")])
    assert not watch.changed.is_set()
    assert watch.take() == {}
    assert watch.waiting_s() == 0


@pytest.mark.parametrize(
    "inserts",
    [
        [[seen("one", "two")]],
        [[seen("one")], [seen("two")]],
        [[seen("one"), seen("two")]],
        [[seen("one", nested=True)]],
        [[seen("logfire.openai")]],
        [[seen("gen_ai")]],
        [[seen("gcp.vertex.agent")]],
        [[seen("openrouter")]],
    ],
)
def test_two_scopes_calls_within_calls_and_libraries_that_send_two_spans_are_suspect(watch, inserts):
    for calls in inserts:
        watch.saw(calls)
    assert watch.changed.is_set()
    assert taken(watch) == ["app"]
    assert not watch.changed.is_set()


def test_once_suspect_a_service_stays_it(watch):
    watch.saw([seen("one", "two")])
    watch.take()
    watch.saw([seen("one", at=AT + 100 * BUCKET), seen("one", service="other")])
    assert taken(watch) == ["app"]


def test_calls_are_looked_at_by_ten_minutes_with_their_times_and_traces(watch):
    watch.saw([seen("one", "two", trace=b"a" * 16), seen("one", at=AT + 5 * SECOND, trace=b"b" * 16)])
    watch.saw([seen("two", at=AT + BUCKET, trace=b"c" * 16)])
    places = watch.take()
    first, second = (Place("p", "app", (AT + n * BUCKET) // BUCKET) for n in range(2))
    assert places.keys() == {first, second}
    assert (places[first].first_ns, places[first].last_ns) == (AT, AT + 6 * SECOND)
    assert places[first].trace_ids == {b"a" * 16, b"b" * 16}
    assert places[second].trace_ids == {b"c" * 16}


def test_around_the_halves_of_streams_it_is_looked_as_far_as_a_stream_lasts(watch):
    watch.saw([seen("logfire.openai")])
    [found] = watch.take().values()
    assert (found.first_ns, found.last_ns) == (AT - BUCKET, AT + SECOND + BUCKET)


def test_places_that_are_put_back_join_what_came_since(watch):
    watch.saw([seen("one", "two", trace=b"a" * 16)])
    places = watch.take()
    watch.saw([seen("one", at=AT + 9 * SECOND, trace=b"b" * 16)])
    watch.put_back(places)
    assert watch.changed.is_set()
    [found] = watch.take().values()
    assert (found.first_ns, found.last_ns) == (AT, AT + 10 * SECOND)
    assert found.trace_ids == {b"a" * 16, b"b" * 16}
    watch.put_back({})
    assert watch.take() == {}


def test_how_long_the_oldest_waits_is_known(watch):
    watch.saw([seen("one", "two")])
    first = watch.waiting_s()
    watch.saw([seen("one")])
    assert watch.waiting_s() >= first >= 0
    places = watch.take()
    assert watch.waiting_s() == 0
    watch.put_back(places)
    assert watch.waiting_s() >= 0


def test_of_a_place_with_very_many_traces_the_time_is_remembered(watch, monkeypatch):
    monkeypatch.setattr(watch_module, "_MOST_TRACES", 2)
    watch.saw([seen("one", "two", at=AT + n, trace=bytes([n + 1]) * 16) for n in range(5)])
    [found] = watch.take().values()
    assert len(found.trace_ids) == 2
    assert found.last_ns == AT + 4 + SECOND


def test_names_that_anybody_sends_do_not_fill_the_memory(watch, monkeypatch):
    """The service that was not heard of for the longest is forgotten."""
    monkeypatch.setattr(watch_module, "_MOST_SERVICES", 3)
    for service in ("a", "b", "c", "a", "d"):
        watch.saw([seen("one", service=service)])
    assert len(watch._scopes) == 3
    for service in ("a", "b"):
        watch.saw([seen("two", service=service)])
    assert taken(watch) == ["a"]


# --- what an insert says


def test_an_insert_says_what_calls_it_has(ledger, watch):
    ledger.put(call("a", 0, 700), call("b", 100, 900), span(name="work"))
    assert watch.take() == {}
    ledger.put(call("c", 200, 800), scope="two")
    [(place, found)] = watch.take().items()
    assert place[:2] == (ledger.project, "app")
    assert (found.first_ns, found.last_ns) == (T0 + 200 * MS, T0 + 800 * MS)
    assert found.trace_ids == {b"t" * 16}


def test_a_call_within_a_call_of_one_insert_is_suspect_and_within_other_spans_is_not(ledger, watch):
    work = span(b"t" * 16, {}, name="work", span_id=b"work....")
    ledger.put(work, call("a", parent="work"))
    assert watch.take() == {}
    ledger.put(call("a", parent="work"), call("b", parent="a"))
    assert taken(watch) == ["app"]


def test_spans_that_are_no_calls_are_not_looked_at(ledger, watch):
    for scope in ("one", "two", "logfire"):
        ledger.put(call("a", gen_ai__operation__name="execute_tool"), scope=scope)
    assert watch.take() == {}


def test_what_the_database_has_not_taken_is_not_looked_at(ledger, watch, own_client):
    own_client.command("RENAME TABLE spans TO spans_away")
    try:
        with pytest.raises(Busy):
            ledger.put(call("a"), scope="logfire")
    finally:
        own_client.command("RENAME TABLE spans_away TO spans")
    assert watch.take() == {}
