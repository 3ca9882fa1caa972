"""Where the spans of traces lie in time, for queries that look them up by trace id.

The index on trace ids stands in every day's parts, and all of them would be asked. The table `trace_times`
tells the time within which every span of a trace starts (schemas/migrations/0011_trace_times.sql). It may be
too wide, never too narrow; where it does not know all of the traces, all times are looked through.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clickhouse_connect.driver.client import Client

_EVER = (0, (1 << 63) - 1)
_TIMES_SQL = """
SELECT toUnixTimestamp64Nano(min(first)), toUnixTimestamp64Nano(max(last)), uniqExact(trace_id)
FROM trace_times
WHERE trace_id IN (SELECT toFixedString(unhex(arrayJoin({trace_ids:Array(String)})), 16))
"""
_WITHIN = """
    AND start_time >= fromUnixTimestamp64Nano({first:Int64}, 'UTC')
    AND start_time <= fromUnixTimestamp64Nano({last:Int64}, 'UTC')"""
# Conditions on rows of `spans`, with the parameters of `of_traces`: the times are constants, for a query in
# the query would be analysed with each of the columns around it. All are of columns of the sorting key, which
# copies of a span have in common, so they may stand in a PREWHERE before FINAL chooses among copies: the
# engine then reads the other columns only where a row is left, but does not do so by itself.
OF_TRACE = f"trace_id = toFixedString(unhex({{trace_id:String}}), 16){_WITHIN}"
OF_TRACES = f"trace_id IN (SELECT toFixedString(unhex(arrayJoin({{trace_ids:Array(String)}})), 16)){_WITHIN}"


def of_traces(client: Client, trace_ids: Sequence[str]) -> dict[str, Any]:
    """The parameters of OF_TRACE and OF_TRACES for these traces: nanoseconds, both included."""
    asked = sorted(set(trace_ids))
    rows = client.query(_TIMES_SQL, parameters={"trace_ids": asked}).result_rows
    first, last, known = rows[0]
    if known < len(asked):
        first, last = _EVER
    return {"trace_id": asked[0], "trace_ids": asked, "first": first, "last": last}
