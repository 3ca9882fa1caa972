"""Processes that own a ledger, for tests that kill one: FOLDER make | delete STEP | finish."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from datetime import timedelta
from typing import Any

from otlp_requests import llm_span, request

from spanledger.collector.gate import check
from spanledger.collector.rows.block import Request
from spanledger.collector.store import Store
from spanledger.query_api.upkeep import deletion, journal, keeper, tables
from spanledger.query_api.upkeep.deletion import Wanted, delete, new_deletion
from spanledger.query_api.upkeep.keeper import Keeper
from spanledger.schemas.database import Target, connect, migrate, parse_target
from spanledger.schemas.prices import load_prices
from spanledger.schemas.removals import Removals
from spanledger.schemas.settings import Settings

ADAS = 40


def make(target: Target) -> None:
    """A ledger of Ada's calls among others."""
    migrate(target)
    client = connect(target)
    load_prices(client)
    # So that a text is found in the files.
    client.command("ALTER TABLE spans MODIFY COLUMN user_id CODEC(NONE)")
    store = Store(target, Settings())
    spans = [llm_span(user__id="canary-of-ada", note=os.urandom(20).hex()) for _ in range(ADAS)]
    others = [llm_span() for _ in range(500)]
    body = request(*spans, *others).SerializeToString()
    store.insert([Request(body, "default", time.time_ns(), check(body, 32).spans)])
    store.close()


def die(*_: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def begin(target: Target, step: str) -> None:
    """Delete Ada's data, and be killed at a step."""
    client, removals = connect(target), Removals(target)
    if step == "marked":
        deletion.hide_deleted = die
    if step == "hiding":  # one of the tables is done
        real = tables.hide

        def hide(of: Any, table: Any, *rest: Any) -> int:
            return die() if table.name == "spans" else real(of, table, *rest)

        tables.hide = hide
    if step == "hidden":  # the journal does not know yet
        real_hide = deletion.hide_deleted
        deletion.hide_deleted = lambda *given: die(real_hide(*given))
    wanted = Wanted("user", subject="canary-of-ada")
    delete(client, removals, new_deletion("default", wanted, reason="she asked", who="a test"), wanted)
    if step == "erasing":
        real_erase = keeper.erase
        keeper.erase = lambda *given: die(real_erase(*given))
        Keeper(target, removals, settle=timedelta(0)).look(client)


def finish(target: Target) -> None:
    """What the next process does, and what is there then."""
    keeper._ORPHANED = timedelta(0)
    client, removals = connect(target), Removals(target)
    worker = Keeper(target, removals, settle=timedelta(0))
    for _ in range(300):
        worker.look(client)
        if not journal.unfinished(client):
            break
        time.sleep(0.05)
    place = removals.now().of("default", 0)
    counts = client.query(
        "SELECT countIf(user_id = 'canary-of-ada'), countIf(user_id = '') FROM spans FINAL"
    ).result_rows[0]
    told = {
        "states": [row.state for row in journal.page(client, "default", limit=10)],
        "of_ada": counts[0],
        "others": counts[1],
        "refused": place.last - place.first,
    }
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    folder, command, *more = sys.argv[1:]
    {"make": make, "delete": begin, "finish": finish}[command](parse_target(f"chdb://{folder}"), *more)
