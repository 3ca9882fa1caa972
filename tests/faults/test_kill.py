"""`kill -9` at any moment: what was acknowledged is stored, and nothing needs repair."""

from __future__ import annotations

import os
import random
import time

import pytest
from faults.load import Load
from processes import running_clickhouse, running_ledger

pytestmark = pytest.mark.slow

ROUNDS = int(os.environ.get("KILL_ROUNDS", "20"))


def test_whenever_it_is_killed_every_acknowledged_span_is_there_once_and_nothing_needs_repair(
    tmp_path, database
):
    load = Load(clients=8)
    chance = random.Random(1)
    for _ in range(ROUNDS):
        with running_ledger(tmp_path, database) as ledger:
            load.check_counts(ledger)
            load.start(ledger)
            load.wait_for(60)
            time.sleep(chance.uniform(0, 0.25))
            ledger.kill()
            load.stop()
    with running_ledger(tmp_path, database) as ledger:
        load.start(ledger)
        load.wait_for_everyone()
        load.stop()
        load.check(ledger)
        assert set_aside(tmp_path) == []
    assert load.codes["UNAVAILABLE"] >= ROUNDS
    assert set(load.codes) == {"OK", "UNAVAILABLE"}


def set_aside(folder) -> list[str]:
    """Parts of tables that the engine found broken."""
    return [path.name for path in folder.glob("database/store/*/*/detached/*")]


def test_kill_9_of_the_database_server_loses_nothing_that_was_acknowledged(tmp_path, clickhouse):
    load = Load()
    with running_ledger(tmp_path, clickhouse.url) as ledger:
        load.start(ledger)
        load.wait_for(100)
        clickhouse.kill()
        time.sleep(0.5)
        with running_clickhouse(tmp_path, clickhouse.port):
            load.wait_for_everyone()
            load.stop()
            load.check(ledger)
    assert set(load.codes) == {"OK", "UNAVAILABLE"}
