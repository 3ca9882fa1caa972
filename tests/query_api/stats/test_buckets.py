"""Buckets: time cut without gaps, where clocks show it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spanledger.query_api.stats.buckets import BUCKETS, MOST_BUCKETS, cuts, local_text, zone_of
from spanledger.schemas.errors import BadData

ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/Sao_Paulo",
    "America/Havana",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Africa/Monrovia",
    "Asia/Beirut",
]
HOUR = 3600


def second(text):
    return int(datetime.fromisoformat(text).timestamp())


@settings(max_examples=150, deadline=None)
@given(
    bucket=st.sampled_from(BUCKETS),
    zone=st.sampled_from(ZONES),
    first=st.integers(0, 2**32 - 1),
    steps=st.integers(0, 60),
)
def test_buckets_are_in_order_and_cover_the_time(bucket, zone, first, steps):
    last = first + steps * {"minute": 60, "5m": 300, "hour": HOUR}.get(bucket, 80_000)
    found = cuts(bucket, zone_of(zone), first, last)
    assert found == sorted(set(found))
    assert found[0] <= first < found[1]
    assert found[-2] <= last < found[-1]


@pytest.mark.parametrize(
    ("zone", "first", "hours"),
    [
        ("Europe/Berlin", "2025-03-30T00:00:00+01:00", 23),
        ("Europe/Berlin", "2025-10-26T00:00:00+02:00", 25),
        ("America/Sao_Paulo", "2018-11-04T01:00:00-02:00", 23),  # midnight was jumped over
        ("America/Havana", "2025-11-02T00:00:00-04:00", 25),  # midnight was shown twice
        ("Australia/Lord_Howe", "2025-04-06T00:00:00+11:00", 24.5),
        ("Asia/Kolkata", "2025-04-06T00:00:00+05:30", 24),
    ],
)
def test_a_day_is_from_midnight_to_midnight_of_its_zone(zone, first, hours):
    found = cuts("day", zone_of(zone), second(first) + HOUR, second(first) + HOUR)
    assert [local_text(found[0], zone_of(zone)), found[1] - found[0]] == [first, hours * HOUR]


def test_a_day_that_a_zone_left_out_is_none():
    zone = zone_of("Pacific/Apia")
    found = cuts("day", zone, second("2011-12-29T12:00:00-10:00"), second("2011-12-31T12:00:00+14:00"))
    assert [local_text(cut, zone)[:10] for cut in found] == ["2011-12-29", "2011-12-31", "2012-01-01"]


def test_an_hour_that_clocks_show_twice_is_two():
    start, zone = second("2025-10-26T00:00:00+00:00"), zone_of("Europe/Berlin")
    found = cuts("hour", zone, start, start + 2 * HOUR)
    assert [local_text(cut, zone)[11:16] for cut in found] == ["02:00", "02:00", "03:00", "04:00"]


def test_hours_of_a_zone_begin_where_its_clocks_show_them():
    start = second("2025-10-26T00:00:00+00:00")
    assert cuts("hour", zone_of("Asia/Kolkata"), start, start)[0] == start - HOUR // 2


def test_weeks_begin_on_monday_and_months_on_the_first():
    first, last = second("2026-01-28T10:00:00+00:00"), second("2026-03-01T10:00:00+00:00")
    days = {
        bucket: [datetime.fromtimestamp(cut, UTC) for cut in cuts(bucket, zone_of("UTC"), first, last)]
        for bucket in ("week", "month")
    }
    assert {day.weekday() for day in days["week"]} == {0}
    assert {b - a for a, b in zip(days["week"], days["week"][1:], strict=False)} == {timedelta(days=7)}
    assert [f"{day:%m-%d}" for day in days["month"]] == ["01-01", "02-01", "03-01", "04-01"]


@pytest.mark.parametrize("bucket", BUCKETS)
def test_too_many_are_refused_and_not_counted(bucket):
    with pytest.raises(BadData, match="ask for less time, or for a longer bucket"):
        cuts(bucket, zone_of("UTC"), 0, 10**12)
    assert len(cuts("minute", zone_of("UTC"), 0, (MOST_BUCKETS - 1) * 60)) == MOST_BUCKETS + 1


@pytest.mark.parametrize("name", ["", "Nowhere", "../../etc/passwd", "/etc/passwd", "Europe", "UTC\0"])
def test_what_is_no_time_zone_is_refused(name):
    with pytest.raises(ValueError, match="no time zone is called so"):
        zone_of(name)
