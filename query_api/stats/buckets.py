"""Buckets: time cut into minutes, hours, days, weeks or months as the clocks of a time zone show them.

Every cut is worked out here, once, and the database only looks up between which two a call began: so an hour
that a clock shows twice is two buckets, a day on which clocks change has 23 or 25 hours, and no bucket is
missing because nothing happened in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Literal, get_args
from zoneinfo import ZoneInfo, available_timezones

from spanledger.schemas.errors import BadData

Bucket = Literal["minute", "5m", "hour", "day", "week", "month"]

BUCKETS: tuple[Bucket, ...] = get_args(Bucket)
MOST_BUCKETS = 5_000

_SECONDS: dict[Bucket, int] = {"minute": 60, "5m": 300, "hour": 3600}
_LEAST_SECONDS: dict[Bucket, int] = {"day": 20 * 3600, "week": 6 * 86_400, "month": 27 * 86_400}


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def zone_of(name: str) -> ZoneInfo:
    """The time zone of this IANA name; raises ValueError where there is none."""
    # Asked of the list, so that no text of a caller's becomes part of a path.
    if name not in _zones():
        raise ValueError("no time zone is called so")
    return ZoneInfo(name)


def cuts(bucket: Bucket, zone: ZoneInfo, first: int, last: int) -> list[int]:
    """The starts of the buckets from the one that second `first` lies in to that of `last`, and one more.

    Seconds since 1970. BadData where there are more than MOST_BUCKETS.
    """
    shortest = _SECONDS.get(bucket) or _LEAST_SECONDS[bucket]
    found: list[int] = []
    if (last - first) // shortest <= 2 * MOST_BUCKETS:  # else they need not be counted
        for cut in (
            _fixed(_SECONDS[bucket], zone, first) if bucket in _SECONDS else _days(bucket, zone, first)
        ):
            found.append(cut)
            if cut > last or len(found) > MOST_BUCKETS + 1:
                break
    if not found or len(found) > MOST_BUCKETS + 1:
        raise BadData(
            f"bucket: the time that is asked for has more than {MOST_BUCKETS:,} buckets of one {bucket}; "
            f"ask for less time, or for a longer bucket: {', '.join(BUCKETS)}"
        )
    return found


def local_text(second: int, zone: ZoneInfo) -> str:
    """RFC 3339 with the offset that holds there and then."""
    return datetime.fromtimestamp(second, zone).isoformat()


def _fixed(step: int, zone: ZoneInfo, first: int) -> Iterator[int]:
    cut = first - _past(first, step, zone)
    while True:
        yield cut
        cut += step
        # Where clocks were put forward or back by half an hour, the bucket goes on to the next full one.
        past = _past(cut, step, zone)
        cut += step - past if past else 0


def _past(second: int, step: int, zone: ZoneInfo) -> int:
    """How many seconds ago the clocks of the zone showed a whole step."""
    offset = datetime.fromtimestamp(second, zone).utcoffset() or timedelta()
    return (second + int(offset.total_seconds())) % step


def _days(bucket: Bucket, zone: ZoneInfo, first: int) -> Iterator[int]:
    day = datetime.fromtimestamp(first, zone).date()
    if bucket == "week":
        day -= timedelta(days=day.weekday())
    elif bucket == "month":
        day = day.replace(day=1)
    before = None
    while True:
        # A midnight that clocks jump over is the moment of the jump; one that they show twice, the first.
        cut = int(datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC).timestamp())
        if cut != before:  # a day that a zone left out has no length
            yield cut
        before = cut
        if bucket == "month":
            day = (day + timedelta(days=31)).replace(day=1)
        else:
            day += timedelta(days=7 if bucket == "week" else 1)
