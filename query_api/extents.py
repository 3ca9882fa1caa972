"""Where the spans of traces lie in time, as a part of queries that look them up by trace id.

The index on trace ids stands in every day's parts, and all of them would be asked. The table `trace_times`
tells the time within which every span of a trace starts (schemas/migrations/0011_trace_times.sql). It may be
too wide, never too narrow; where it does not know all of the traces, all times are looked through.
"""

from __future__ import annotations

# `asked`: the ids of the parameter `trace_ids`. `times`: the first and the last nanosecond of their spans.
ASKED_SQL = """
WITH
    asked AS (SELECT toFixedString(unhex(arrayJoin({trace_ids:Array(String)})), 16)),
    (
        SELECT (
            if(
                uniqExact(trace_id) = arrayUniq({trace_ids:Array(String)}),
                toUnixTimestamp64Nano(min(first)),
                0
            ),
            if(
                uniqExact(trace_id) = arrayUniq({trace_ids:Array(String)}),
                toUnixTimestamp64Nano(max(last)),
                9223372036854775807
            )
        )
        FROM trace_times
        WHERE trace_id IN (asked)
    ) AS times"""
# The condition on rows of `spans`.
OF_ASKED_SQL = """trace_id IN (asked)
    AND start_time >= fromUnixTimestamp64Nano(times.1, 'UTC')
    AND start_time <= fromUnixTimestamp64Nano(times.2, 'UTC')"""
