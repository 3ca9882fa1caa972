"""Times between RFC 3339 text and integers of nanoseconds since 1970, without losing a digit."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = 1_000_000_000
LATEST_NS = (1 << 63) - 1  # the last moment that can be stored
_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)", flags=re.ASCII
)
TIME_FORM = "an RFC 3339 time with its offset, from 1970 to 2262, like 2026-01-31T09:30:00Z"


def parse_time(text: object) -> int:
    """Nanoseconds since 1970; raises ValueError where the text is not a full time with its offset."""
    found = _RFC3339.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError("not a time (a + in a URL must be written %2B)")
    day, clock, fraction, offset = found.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if offset in 'Zz' else offset}")
        whole = (moment - _EPOCH) // timedelta(seconds=1)
    except (ValueError, OverflowError):
        raise ValueError("not a time of the calendar") from None
    nanoseconds = whole * _SECOND + int((fraction or "0").ljust(9, "0"))
    if not 0 <= nanoseconds <= LATEST_NS:
        raise ValueError("beyond what can be stored")
    return nanoseconds


def format_time(nanoseconds: int) -> str:
    """RFC 3339 in UTC with nine fraction digits."""
    seconds, fraction = divmod(nanoseconds, _SECOND)
    return f"{_second(seconds)}.{fraction:09d}Z"


@lru_cache(4096)  # the times of a trace are of few seconds
def _second(seconds: int) -> str:
    return f"{_EPOCH + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}"


def milliseconds(nanoseconds: int) -> float:
    return nanoseconds / 1_000_000
