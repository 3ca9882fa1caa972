"""How fast costs are worked out again: a million calls whose prices have all changed, and none of whose have.

Run it with `make bench-reprice`.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.machine import facts
from bench.pipeline import Database, Rows, checked, fresh_database
from bench.requests import Requests
from bench.workload import Workload
from spanledger.query_api.prices.reprice import Plan, Progress, reprice
from spanledger.schemas.prices.overrides import add_override

_REQUESTS_IN_INSERT = 64
_SPANS_IN_REQUEST = 512


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=1_000_000)
    calls = parser.parse_args().calls
    console = Console()
    with fresh_database() as database:
        stored = _store(database, calls)
        console.print(f"{stored:,} spans are stored ...")
        rows = [("nothing has changed", *_timed(database))]
        add_override(database.client, match_kind="regex", match_value=".", discount_percent="10")
        rows.append(("every price has changed", *_timed(database)))
        rows.append(("the same once more", *_timed(database)))
        [(counted, history)] = database.client.query(
            "SELECT (SELECT count() FROM spans FINAL WHERE counted), (SELECT count() FROM cost_history)"
        ).result_rows
    machine = facts()
    table = Table(title=f"{counted:,} calls, {history:,} changes in the history")
    console.print(f"{machine['cores']} cores, commit {machine['commit']}")
    for name in ("prices", "calls looked at", "changed", "seconds", "calls/s"):
        table.add_column(name, justify="left" if name == "prices" else "right")
    for name, last, seconds in rows:
        rate = f"{last.done_spans / seconds:,.0f}"
        table.add_row(name, f"{last.done_spans:,}", f"{last.changed_spans:,}", f"{seconds:.1f}", rate)
    console.print(table)


def _store(database: Database, calls: int) -> int:
    """Spans until so many of them are calls, and priced."""
    rows = Rows(database)
    requests = iter(Requests(Workload(spans=10**9, spans_per_request=_SPANS_IN_REQUEST)))
    stored = found = 0
    while found < calls:
        block = rows.make(checked(next(requests) for _ in range(_REQUESTS_IN_INSERT)))
        rows.insert(block)
        stored += block.rows
        found += sum(len(seen.starts_ns) for seen in block.calls)
    return stored


def _timed(database: Database) -> tuple[Progress, float]:
    """The end of a run over everything, and how long it took."""
    plan: dict[str, Any] = {"who": "the benchmark", "why": "to see how long it takes"}
    started = time.perf_counter()
    *_, last = reprice(database.client, Plan(0, 1 << 62, **plan), "provider")
    return last, time.perf_counter() - started


if __name__ == "__main__":
    main()
