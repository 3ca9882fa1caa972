"""Times and numbers of the price tables as the API says them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from spanledger.query_api.times import format_time, parse_time
from spanledger.query_api.values import money
from spanledger.schemas.errors import BadData
from spanledger.schemas.price_api import PriceEntry
from spanledger.schemas.prices.book import Entry

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment_text(moment: datetime) -> str:
    """A time of the database as RFC 3339."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return format_time((aware - _EPOCH) // timedelta(microseconds=1) * 1000)


def moment_of(text: str | None, what: str) -> datetime | None:
    """An RFC 3339 text as a time in whole seconds; BadData names the field `what`."""
    if text is None:
        return None
    try:
        nanoseconds = parse_time(text)
    except ValueError as error:
        raise BadData(f"{what}: {error}; allowed: a time like 2026-01-31T09:30:00Z") from None
    seconds, rest = divmod(nanoseconds, 10**9)
    if rest:
        raise BadData(f"{what}: a time in whole seconds is needed, like 2026-01-31T09:30:00Z")
    return _EPOCH + timedelta(seconds=seconds)


def time_of_day(second: int) -> str:
    return f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"


def decimal_text(number: Decimal) -> str:
    """As `money`, for a number that there is."""
    return money(number) or "0"


def entry_answer(entry: Entry) -> PriceEntry:
    return PriceEntry(
        name=entry.name,
        source=entry.source,
        price_version=entry.price_version or None,
        rule=entry.rule,
        overrides=entry.override.split(),
        variant=entry.variant or None,
    )
