"""Extents: from when to when the spans of traces start, looked up in one small table.

A search by trace id would otherwise ask the index of every stored day.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from clickhouse_connect.driver.client import Client

EXTENTS_SQL = """
SELECT
    lower(hex(trace_id)),
    toUnixTimestamp64Nano(min(first)),
    toUnixTimestamp64Nano(max(last))
FROM trace_times
WHERE trace_id IN (SELECT toFixedString(unhex(arrayJoin({trace_ids:Array(String)})), 16))
GROUP BY trace_id
"""


# The same as a condition on the spans of one trace, {trace_id:String}, without a query of its own: a constant
# by the time that partitions and index are chosen. Where the table knows nothing it leaves nothing out.
WITHIN_EXTENT = """
    start_time >= (
        SELECT min(first) FROM trace_times WHERE trace_id = toFixedString(unhex({trace_id:String}), 16)
    )
    AND start_time <= (
        SELECT if(count() = 0, fromUnixTimestamp64Nano(9223372036854775807, 'UTC'), max(last))
        FROM trace_times WHERE trace_id = toFixedString(unhex({trace_id:String}), 16)
    )"""


class Extent(NamedTuple):
    """No span of the trace starts before `first_ns` or after `last_ns`; there may be none at them either."""

    first_ns: int
    last_ns: int


def extents(client: Client, trace_ids: Sequence[str]) -> dict[str, Extent]:
    """The extents by trace id. Of a trace that was never stored there is none.

    They are bounds: wider than the spans where some were deleted, or where another project has a trace of
    the same id (schemas/migrations/0011_trace_times.sql).
    """
    rows = client.query(EXTENTS_SQL, parameters={"trace_ids": list(trace_ids)}).result_rows
    return {trace_id: Extent(first, last) for trace_id, first, last in rows}
