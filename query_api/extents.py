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
