"""The ledger in both placements, as real processes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from processes import Ledger, running_clickhouse, running_ledger


@dataclass(frozen=True)
class Placement:
    """Where spans go and where questions go; with the embedded engine that is one process."""

    name: str
    collector: Ledger
    api: Ledger

    def tree(self, trace_id: str) -> Any:
        return self.api.get(f"/api/v1/traces/{trace_id}")

    def traces(self) -> list[Any]:
        return self.api.get("/api/v1/traces")["traces"]


@pytest.fixture(scope="module", params=["embedded", "server"])
def placement(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Placement]:
    """`spanledger serve` on a folder; or collector and API as two processes on a ClickHouse server."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "embedded":
        with running_ledger(folder, f"chdb://{folder / 'database'}") as ledger:
            yield Placement("embedded", ledger, ledger)
        return
    with (
        running_clickhouse(folder) as clickhouse,
        running_ledger(folder, clickhouse.url, "collector") as collector,
        running_ledger(folder, clickhouse.url, "api") as api,
    ):
        yield Placement("server", collector, api)
