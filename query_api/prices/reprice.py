"""Works out costs again, after prices were mended, and keeps what they were.

Spans are taken in chunks of a time. Of each chunk those whose cost is another now are written down in
`cost_changes` first, and into their rows then; a row is written again as it is but for its cost, one
nanosecond younger, so that it takes the place of the one that was read and not of a copy that arrives in
between. A chunk is history when both is done. What a process that died left between the two, the next run
completes; a run that is begun again finds the spans that were done unchanged, so that nothing is done twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np
from clickhouse_connect.driver.client import Client

from spanledger.query_api.prices import journal
from spanledger.query_api.prices.changes import Changes, Plan, changes_of, chunks_of, exact_sum, is_amount
from spanledger.schemas.prices.book import PriceBook
from spanledger.schemas.prices.choice import UNKNOWN

__all__ = ["Plan", "Progress", "reprice"]


class Progress(NamedTuple):
    """How far a run is. `difference_usd`: of the costs that count, where both are known.

    The last one is `finished` and has `by_model`: provider, model, spans, old_usd, new_usd, newly_priced,
    no_longer_priced.
    """

    run: str
    done_spans: int
    total_spans: int
    changed_spans: int
    difference_usd: Decimal
    finished: bool
    by_model: list[dict[str, Any]]


def reprice(client: Client, plan: Plan, preference: str) -> Iterator[Progress]:
    """Work out the costs of a plan's spans with today's prices; say how far it is after every chunk.

    preference: which cost counts (schemas/prices/choice.py). Raises what the client raises; then it can be
    begun again. One at a time.
    """
    run = "" if plan.dry_run else uuid4().hex
    row = journal.begun(run, plan)
    if run:
        journal.complete(client)
        journal.write_run(client, row)
    chunks = list(chunks_of(client, plan))
    total = sum(chunk.spans for chunk in chunks)
    book = PriceBook(client)
    sums = _Sums()
    done = 0
    for number, chunk in enumerate(chunks):
        changes = changes_of(client, book, plan, chunk, preference)
        sums.add(changes)
        if run and len(changes.rows):
            changed = chunk._replace(spans=len(changes.rows))
            journal.write_chunk(client, run, number, changed, applied=False)
            journal.write_down(client, run, number, changes)
            journal.apply(client, run, number, changed)
            journal.write_chunk(client, run, number, changed, applied=True)
        done += chunk.spans
        yield Progress(run, done, total, sums.changed, sums.difference, finished=False, by_model=[])
    if run:
        journal.write_run(
            client,
            row._replace(
                finished_at=datetime.now(UTC),
                looked_at=done,
                changed_spans=sums.changed,
                difference_usd=sums.difference,
            ),
        )
    yield Progress(run, done, total, sums.changed, sums.difference, finished=True, by_model=sums.by_model())


class _Sums:
    """What has changed, by model."""

    def __init__(self) -> None:
        self.changed = 0
        self.difference = Decimal(0)
        self._by_model: dict[tuple[str, str], dict[str, Any]] = {}

    def add(self, changes: Changes) -> None:
        """Only calls that count have a cost to differ."""
        self.changed += len(changes.rows)
        rows = changes.rows
        old_known, new_known = is_amount(rows["cost"]), changes.source != UNKNOWN
        for one in np.unique(rows["names"]).tolist():
            of_name = (rows["names"] == one) & (rows["counted"] == 1)
            name = changes.names[one]
            sums = self._by_model.setdefault(
                (name.provider, name.answered or name.asked),
                {
                    "spans": 0,
                    "old_usd": Decimal(0),
                    "new_usd": Decimal(0),
                    "newly_priced": 0,
                    "no_longer_priced": 0,
                },
            )
            sums["spans"] += int((rows["names"] == one).sum())
            old, new = (
                exact_sum(rows["cost"][of_name & old_known]),
                exact_sum(changes.cost[of_name & new_known]),
            )
            both = of_name & old_known & new_known
            self.difference += exact_sum(changes.cost[both]) - exact_sum(rows["cost"][both])
            sums["old_usd"] += old
            sums["new_usd"] += new
            sums["newly_priced"] += int((of_name & ~old_known & new_known).sum())
            sums["no_longer_priced"] += int((of_name & old_known & ~new_known).sum())

    def by_model(self) -> list[dict[str, Any]]:
        return [
            {"provider": provider, "model": model, **sums}
            for (provider, model), sums in sorted(self._by_model.items(), key=lambda item: -item[1]["spans"])
            if sums["spans"]
        ]
