"""query_api.search.windows: the windows of a search cover what is stored, newest first, and grow."""

from __future__ import annotations

import itertools
import random

from spanledger.query_api.search.windows import FIRST_ROWS, Day, rows_between, samples, windows

LATEST = (1 << 63) - 1
DAY = 86_400 * 10**9


def test_a_small_database_is_one_window():
    days = [Day(3 * DAY, 4 * DAY - 1, 10), Day(0, DAY - 1, 10)]
    assert list(windows(days, 0, LATEST)) == [(0, 4 * DAY)]


def test_nothing_stored_is_no_window():
    assert list(windows([], 0, LATEST)) == []
    assert list(windows([Day(0, 10, 5)], 11, LATEST)) == []
    assert list(windows([Day(5, 10, 5)], 0, 5)) == []


def test_a_large_day_is_cut_into_windows_that_grow():
    found = list(windows([Day(0, DAY - 1, 100 * FIRST_ROWS)], 0, LATEST))
    widths = [window.until_ns - window.since_ns for window in found]
    assert len(found) < 10
    assert abs(widths[0] - DAY // 100) < 2
    assert all(abs(after / before - 4) < 0.01 for before, after in itertools.pairwise(widths[:-1]))


def test_a_lonely_span_in_the_far_future_does_not_widen_the_search():
    days = [Day(100 * 365 * DAY, 100 * 365 * DAY, 1), Day(0, DAY - 1, 10 * FIRST_ROWS)]
    first = next(windows(days, 0, LATEST))
    assert first.since_ns > DAY * 8 // 10


def test_windows_cover_every_stored_moment_in_the_range_without_overlap():
    chance = random.Random(11)
    for _ in range(300):
        days = []
        for number in sorted(chance.sample(range(40), chance.randrange(1, 12)), reverse=True):
            first = number * DAY + chance.randrange(DAY // 2)
            last = first + chance.choice([0, 1, chance.randrange(DAY // 2)])
            days.append(Day(first, last, chance.choice([1, 5, FIRST_ROWS, 30 * FIRST_ROWS])))
        since, until = sorted((chance.randrange(40 * DAY), chance.randrange(40 * DAY)))
        oldest_first = list(windows(days, since, until, newest_first=False))
        found = list(windows(days, since, until))
        for some in (found, oldest_first[::-1]):
            assert_covers(some, days, since, until)


def assert_covers(found, days, since, until):
    assert all(since <= window.since_ns < window.until_ns <= until for window in found)
    assert all(newer.since_ns == older.until_ns for newer, older in itertools.pairwise(found))
    for day in days:
        for moment in (day.first_ns, (day.first_ns + day.last_ns) // 2, day.last_ns):
            covered = sum(window.since_ns <= moment < window.until_ns for window in found)
            assert covered == (since <= moment < until)


def test_samples_are_spread_over_the_rows_and_do_not_overlap():
    chance = random.Random(12)
    for _ in range(200):
        days = [Day(n * DAY, (n + 1) * DAY - 1, chance.choice([1, 500, 100_000])) for n in range(6)]
        found = samples(days, DAY // 2, 5 * DAY, rows=1000, pieces=5)
        assert 1 <= len(found) <= 5
        assert all(DAY // 2 <= one.since_ns < one.until_ns <= 5 * DAY for one in found)
        assert all(one.until_ns <= other.since_ns for one, other in itertools.pairwise(found))
        rows = sum(rows_between(days, *one) for one in found)
        assert rows <= 1100
