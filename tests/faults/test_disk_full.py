"""The embedded database's disk is full: senders are told to come again, reading works, nothing is lost."""

from __future__ import annotations

import pytest
from faults.disk import small_disk
from faults.load import Load
from processes import running_ledger

from spanledger.schemas.settings import MIB

pytestmark = pytest.mark.slow


@pytest.fixture
def disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    with small_disk(folder, 64) as disk:
        yield disk


def test_filled_under_load_it_refuses_and_reads_and_once_there_is_space_stores_all_of_it_once(tmp_path, disk):
    database = f"chdb://{disk.folder / 'database'}"
    load = Load(clients=4, text_bytes=20_000)
    with running_ledger(tmp_path, database, within=disk.within) as ledger:
        disk.fill(leave=8 * MIB)
        load.start(ledger)
        load.wait_for_refusals(8)
        disk.fill()  # now also what was too little for an insert
        for page in ("/healthz", "/readyz", "/metrics", "/api/v1/traces"):
            assert ledger.ask(page).status_code == 200
        load.wait_for_refusals(8)
        ledger.kill()
        load.stop()
    # It starts on a full disk too, and reads.
    with running_ledger(tmp_path, database, within=disk.within) as ledger:
        load.start(ledger)
        load.wait_for_refusals(8)
        load.check_counts(ledger)
        disk.relieve()
        load.wait_for_everyone()
        load.stop()
        load.check(ledger)
    assert set(load.codes) == {"OK", "UNAVAILABLE"}
