"""server.checks.contents: what a database says of itself, judged."""

from __future__ import annotations

import time
from typing import Any

import pytest

from spanledger.query_api.times import format_time
from spanledger.schemas.api import (
    DatabaseState,
    DiskState,
    MutationState,
    PartsState,
    PricesState,
    ServiceState,
)
from spanledger.schemas.database import migrations
from spanledger.schemas.prices import PRICE_VERSION
from spanledger.server.checks.contents import check_contents, room
from spanledger.server.checks.finding import worst

GIB = 1024**3
DAY = 86_400
OURS = [name for name, _ in migrations()]


def ago(seconds: float) -> str:
    return format_time(time.time_ns() - int(seconds * 1e9))


def prices(**other: Any) -> PricesState:
    return PricesState(**({"version": PRICE_VERSION, "loaded_at": ago(DAY), "models": 2000} | other))


def parts(most: int) -> PartsState:
    return PartsState(
        parts=most, most_in_partition=most, inserts_slow_down_at=1000, rows=5, bytes_on_disk=GIB
    )


def service(name: str = "app", fastest_s: float = 0.2, last_s: float = 5) -> ServiceState:
    return ServiceState(service=name, last_received_at=ago(last_s), fastest_arrival_s=fastest_s)


def findings(*, running: bool = False, **other: Any) -> list:
    healthy = {
        "clickhouse_version": "26.9.1",
        "time": ago(0),
        "migrations": OURS,
        "prices": prices(),
        "parts": parts(3),
        "disks": [DiskState(name="default", free_bytes=50 * GIB, total_bytes=100 * GIB)],
        "services": [service()],
    }
    return check_contents(DatabaseState(**(healthy | other)), running=running)


def told(found: list) -> str:
    return "\n".join(f"{each.check} {each.level}: {each.found} → {each.advice}" for each in found)


def test_a_healthy_database_is_ok_in_every_line():
    found = findings()
    assert worst(found) == "ok", told(found)
    assert [each.check for each in found] == ["migrations", "prices", "parts", "disk", "spans", "clock"]
    assert "from service 'app'" in told(found)


@pytest.mark.parametrize(
    ("state", "level", "found"),
    [
        (
            {"migrations": OURS[:-1]},
            "warning",
            f"1 of {len(OURS)} are missing: {OURS[-1]} → start `spanledger",
        ),
        ({"migrations": []}, "warning", f"{len(OURS)} of {len(OURS)} are missing"),
        ({"migrations": [*OURS, "9999_later.sql"]}, "problem", "9999_later.sql → upgrade this installation"),
        ({"prices": None}, "problem", "none are loaded: every cost is unknown"),
        ({"prices": prices(models=0)}, "problem", "none are loaded"),
        (
            {"prices": prices(version="genai-prices 0.0.1")},
            "warning",
            f"{PRICE_VERSION} is installed → restart",
        ),
        (
            {"prices": prices(version="genai-prices file 0123456789ab")},
            "ok",
            "file 0123456789ab with 2000 models",
        ),
        (
            {"prices": prices(loaded_at=ago(120 * DAY))},
            "warning",
            "loaded 120 d ago: newer models have no price",
        ),
        ({"parts": parts(499)}, "ok", "at most 499 a day"),
        ({"parts": parts(500)}, "warning", "slows inserts down from 1000 on → send larger requests"),
        ({"parts": parts(1000)}, "problem", "slows inserts down from 1000 on"),
        ({"parts": None}, "warning", "may not see them → GRANT SELECT"),
        ({"disks": None}, "warning", "may not see the disks → GRANT SELECT"),
        ({"services": []}, "warning", "none has ever arrived → record a program"),
        ({"services": None}, "warning", "may not see which came last → GRANT SELECT"),
        (
            {"services": [service(last_s=3 * DAY)]},
            "warning",
            "the last one arrived 3 d ago, from service 'app'",
        ),
        ({"services": [service(fastest_s=-1.5)]}, "ok", "arrived soon after they ended"),
        (
            {"services": [service(fastest_s=-30)]},
            "warning",
            "spans ended 30 s after they arrived → its clock is",
        ),
        ({"services": [service(fastest_s=-7200)]}, "problem", "spans ended 2 h after they arrived"),
        ({"services": [service(fastest_s=3000)]}, "ok", "arrived soon after they ended"),
        (
            {"services": [service(fastest_s=4 * 3600)]},
            "warning",
            "arrived 4 h after they ended → its clock is",
        ),
        ({"services": [service(), service("late", 9000)]}, "warning", "clock warning: service 'late'"),
        ({"services": [service("")]}, "ok", "from a service without a name"),
    ],
)
def test_what_is_not_well_is_named_with_what_to_do(state, level, found):
    judged = findings(**state)
    assert worst(judged) == level, told(judged)
    assert found in told(judged)
    assert all(each.advice for each in judged if each.level != "ok")


def test_a_ledger_at_work_is_to_be_restarted_for_a_migration():
    assert "→ restart `spanledger serve`" in told(findings(running=True, migrations=OURS[:-1]))


def test_without_tables_nothing_is_said_of_what_would_be_in_them():
    assert [each.check for each in findings(migrations=[])] == ["migrations", "disk"]


def test_a_name_from_outside_cannot_steer_the_terminal():
    assert "\x1b" not in told(findings(services=[service("\x1b[31mred\n", -30)]))


@pytest.mark.parametrize(
    ("free", "total", "level"),
    [
        (GIB - 1, 2 * GIB, "problem"),
        (9 * GIB, 100 * GIB, "warning"),
        (11 * GIB, 100 * GIB, "ok"),
        (25 * GIB, 1000 * GIB, "ok"),
    ],
)
def test_a_disk_is_judged_by_what_is_left_of_it(free, total, level):
    assert room("a disk", free, total).level == level


def test_a_deletion_that_the_database_fails_to_make_is_a_problem():
    """It is told with what the database says; where there is none, nothing is said of it."""
    failing = MutationState(table="spans", command="APPLY DELETED MASK", failure="no room")
    [told] = [each for each in findings(failing_mutations=[failing]) if each.check == "deletion"]
    assert told.level == "problem"
    assert "spans: APPLY DELETED MASK fails (no room)" in told.found
    assert not [each for each in findings(failing_mutations=[]) if each.check == "deletion"]
