"""The repricings there were."""

from __future__ import annotations

from clickhouse_connect.driver.client import Client

from spanledger.query_api.prices.words import decimal_text, moment_text
from spanledger.query_api.times import format_time
from spanledger.schemas.price_api import RepriceRun, RepriceRuns

_MOST = 1000
_RUNS_SQL = """
SELECT run, started_at, finished_at, who, why, toUnixTimestamp64Nano(since), toUnixTimestamp64Nano(until),
    condition, changed_spans, difference_usd
FROM reprice_runs FINAL
ORDER BY started_at DESC, run
LIMIT {most:UInt32}
"""


def reprice_runs(client: Client) -> RepriceRuns:
    """The newest thousand."""
    rows = client.query(_RUNS_SQL, parameters={"most": _MOST}).result_rows
    return RepriceRuns(
        runs=[
            RepriceRun(
                run=run,
                started_at=moment_text(started),
                finished_at=None if finished is None else moment_text(finished),
                who=who,
                why=why,
                since=format_time(since),
                until=format_time(until),
                condition=condition,
                changed_spans=changed,
                difference_usd=decimal_text(difference),
            )
            for run, started, finished, who, why, since, until, condition, changed, difference in rows
        ]
    )
