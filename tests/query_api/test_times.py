"""query_api.times: nanoseconds survive, and only whole times with an offset are taken."""

from __future__ import annotations

import pytest

from spanledger.query_api.times import format_time, parse_time


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-01-31T09:30:00.000000001Z", 1769851800_000000001),
        ("2026-01-31T09:30:00.5+02:00", 1769844600_500000000),
        ("2026-01-31t09:30:00-00:30", 1769853600_000000000),
        ("2262-04-11T23:47:16.854775807Z", (1 << 63) - 1),
    ],
)
def test_a_time_is_read_to_the_nanosecond(text, nanoseconds):
    assert parse_time(text) == nanoseconds
    assert parse_time(format_time(nanoseconds)) == nanoseconds


def test_a_time_is_written_with_nine_digits():
    assert format_time(1769851800_000000001) == "2026-01-31T09:30:00.000000001Z"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "NaN",
        "1769851800",
        "2026-01-31",
        "2026-01-31T09:30:00",
        "2026-01-31 09:30:00Z",
        "2026-01-31T09:30Z",
        "2026-02-30T09:30:00Z",
        "2026-01-31T09:30:60Z",
        "2026-01-31T09:30:00 02:00",
        "2026-01-31T09:30:00+24:00",
        "2026-01-31T09:30:00.1234567890Z",
        "1969-12-31T23:59:59Z",
        "2262-04-11T23:47:16.854775808Z",
        "0000-01-01T00:00:00Z",
        "9999-12-31T23:59:59-23:59",
        "٢٠٢٦-01-31T09:30:00Z",
        None,
    ],
)
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError):
        parse_time(text)
