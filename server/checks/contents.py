"""What is in the database: migrations, prices, parts, room, and the spans that came last."""

from __future__ import annotations

import time
from collections.abc import Iterator

from spanledger.query_api.times import parse_time
from spanledger.schemas.api import DatabaseState, PricesState, ServiceState
from spanledger.schemas.database import migrations
from spanledger.schemas.prices import PRICE_VERSION
from spanledger.schemas.prices.lists import of_file
from spanledger.server.checks.finding import Finding, ok, problem, warning

_GIB = 1024**3
_DAY_S = 86_400
_OLD_PRICES_S = 90 * _DAY_S
_LONG_SILENCE_S = _DAY_S
# A span cannot arrive before it ends. Clocks that are kept by NTP differ by less.
_AHEAD_S = 2.0
_FAR_AHEAD_S = 300.0
_LATE_S = 3600.0
_GRANT = "GRANT SELECT ON system.parts, system.disks and system.merge_tree_settings to its user"


def check_contents(state: DatabaseState, *, running: bool) -> list[Finding]:
    """All that a database says of itself; `running`: a ledger is at work on it."""
    findings = [*_migrations(state, running=running)]
    if not state.migrations:
        return [*findings, *_disks(state)]
    return [
        *findings,
        *_prices(state.prices),
        *_parts(state),
        *_disks(state),
        *_mutations(state),
        *_arrivals(state),
        *_clocks(state.services or []),
    ]


def _migrations(state: DatabaseState, *, running: bool) -> Iterator[Finding]:
    ours = [name for name, _ in migrations()]
    missing = [name for name in ours if name not in state.migrations]
    unknown = [name for name in state.migrations if name not in ours]
    start = "restart" if running else "start"
    if unknown:
        found = f"a newer spanledger has been here: {', '.join(unknown)}"
        yield problem("migrations", found, "upgrade this installation")
    elif missing:
        found = f"{len(missing)} of {len(ours)} are missing: {', '.join(missing)}"
        yield warning("migrations", found, f"{start} `spanledger serve`, which applies them")
    else:
        yield ok("migrations", f"all {len(ours)} are applied")


def _prices(prices: PricesState | None) -> Iterator[Finding]:
    restart = "restart `spanledger serve`, which loads the list"
    if prices is None or not prices.models:
        yield problem("prices", "none are loaded: every cost is unknown", restart)
        return
    age_s = time.time() - parse_time(prices.loaded_at) / 1e9
    found = f"{prices.version} with {prices.models} models, loaded {_ago(age_s)}"
    if prices.version != PRICE_VERSION and not of_file(prices.version):
        yield warning("prices", f"{found}; {PRICE_VERSION} is installed", restart)
    elif age_s > _OLD_PRICES_S:
        upgrade = "pip install --upgrade genai-prices, then restart `spanledger serve`"
        yield warning("prices", f"{found}: newer models have no price", upgrade)
    else:
        yield ok("prices", found)


def _parts(state: DatabaseState) -> Iterator[Finding]:
    parts = state.parts
    if parts is None:
        yield warning("parts", "the database user may not see them", _GRANT)
        return
    found = (
        f"{parts.parts} parts, {parts.rows} rows, {parts.bytes_on_disk / _GIB:.1f} GiB; "
        f"at most {parts.most_in_partition} a day"
    )
    limit = f"ClickHouse slows inserts down from {parts.inserts_slow_down_at} on"
    if parts.most_in_partition >= parts.inserts_slow_down_at:
        yield problem("parts", f"{found}; {limit}", "send larger requests, less often; give merges more disk")
    elif parts.most_in_partition * 2 >= parts.inserts_slow_down_at:
        yield warning("parts", f"{found}; {limit}", "send larger requests, less often")
    else:
        yield ok("parts", found)


def _disks(state: DatabaseState) -> Iterator[Finding]:
    if state.disks is None:
        yield warning("disk", "the database user may not see the disks", _GRANT)
    for disk in state.disks or ():
        yield room(f"the database's disk {disk.name}", disk.free_bytes, disk.total_bytes)


def _mutations(state: DatabaseState) -> Iterator[Finding]:
    """Nothing is said where all is well: there is one only while something is deleted."""
    for each in state.failing_mutations or ():
        yield problem(
            "deletion",
            f"{each.table}: {each.command} fails ({each.failure})",
            "mend what it says, and it goes on by itself; `KILL MUTATION` where it never can",
        )


def room(disk: str, free: int, total: int) -> Finding:
    """Whether a disk has room for more spans and for merges of what it has."""
    found = f"{disk} has {free / _GIB:.1f} of {total / _GIB:.1f} GiB free"
    advice = "make room, or move the database: a full disk means that spans are refused"
    if free < _GIB:
        return problem("disk", found, advice)
    if free < 0.1 * total and free < 20 * _GIB:
        return warning("disk", found, advice)
    return ok("disk", found)


def _arrivals(state: DatabaseState) -> Iterator[Finding]:
    if state.services is None:
        yield warning("spans", "the database user may not see which came last", _GRANT)
    elif not state.services:
        yield warning("spans", "none has ever arrived", "record a program: `spanledger run -- python app.py`")
    else:
        newest = state.services[0]
        silence_s = time.time() - parse_time(newest.last_received_at) / 1e9
        found = f"the last one arrived {_ago(silence_s)}, from {_named(newest)}"
        if silence_s > _LONG_SILENCE_S:
            yield warning("spans", found, "see whether the senders run, and what their exporters log")
        else:
            yield ok("spans", found)


def _clocks(services: list[ServiceState]) -> Iterator[Finding]:
    wrong = [finding for service in services if (finding := _clock(service))]
    yield from wrong
    if services and not wrong:
        yield ok("clock", f"spans of {len(services)} services arrived soon after they ended")


def _clock(service: ServiceState) -> Finding | None:
    late_s = service.fastest_arrival_s
    if late_s < -_AHEAD_S:
        told = problem if late_s < -_FAR_AHEAD_S else warning
        found = f"{_named(service)}: spans ended {_lasting(-late_s)} after they arrived"
        return told("clock", found, "its clock is ahead, or the collector's behind: set both by NTP")
    if late_s > _LATE_S:
        return warning(
            "clock",
            f"{_named(service)}: the newest spans arrived {_lasting(late_s)} after they ended",
            "its clock is behind (set it by NTP), or it sends what it had kept back",
        )
    return None


def _named(service: ServiceState) -> str:
    return f"service {service.service!r}" if service.service else "a service without a name"


def _ago(seconds: float) -> str:
    return f"{_lasting(max(seconds, 0))} ago"


def _lasting(seconds: float) -> str:
    for size, unit in ((_DAY_S, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
