"""Reads the calls of a place, decides which of them count, and writes that into their rows.

A row is written again as it is but for the decision, one nanosecond younger: it takes the place of the one
that was read, and not of a copy that arrives in between, which is looked at in its turn.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from spanledger.collector.duplicates.groups import Decision, Key, Record, decide
from spanledger.collector.duplicates.watch import LONGEST_NS, Place, Range, Seen, Watch
from spanledger.collector.metrics import Metrics
from spanledger.schemas.calls import COUNTED_ROLES
from spanledger.schemas.database import Target, connect
from spanledger.schemas.errors import SpanledgerError
from spanledger.schemas.rewriting import INSERT_SETTINGS, rewriting
from spanledger.schemas.settings import Settings

_log = logging.getLogger("spanledger.collector")

_AROUND_NS = 10**9
_PAUSE_S = 0.2  # between two looks, and ...
_SHARE = 4.0  # ... so many times as long as the last one took
_REFRESH_S = 60.0  # how long another process's calls may go unseen
_AT_ONCE = 400  # keys or ids in a statement: a server takes a parameter of 128 KiB

_ROLES = ", ".join(f"'{role}'" for role in COUNTED_ROLES)
# A call that lasts longer than an hour is found by its trace alone.
_RECORDS = f"""
SELECT
    trace_id, span_id,
    toUnixTimestamp64Nano(start_time) AS start_ns, toUnixTimestamp64Nano(end_time) AS end_ns,
    parent_span_id, toString(role) AS role, toString(scope_name) AS scope,
    concat(service, ' ', if(resource_attributes['service.instance.id'] != '',
        resource_attributes['service.instance.id'],
        concat(resource_attributes['host.name'], ' ', resource_attributes['process.pid']))) AS instance,
    response_id, toString(request_model) AS asked, toString(response_model) AS answered,
    input_tokens, output_tokens,
    toUInt64((cache_read_tokens IS NOT NULL) + (cache_write_tokens IS NOT NULL)
        + (reasoning_tokens IS NOT NULL) + (input_audio_tokens IS NOT NULL)
        + (output_audio_tokens IS NOT NULL) + length(usage)) AS details,
    cost_source != '' AS priced,
    status_code = 2 AS failed,
    sipHash64(content_string['gen_ai.input.messages'], content_string['request_data']) AS prompt,
    if(dialect = 'logfire' AND attributes_string['logfire.span_type'] = 'log'
            AND mapContains(attributes_double, 'duration'),
        start_ns - toInt64(attributes_double['duration'] * 1e9), NULL) AS opened_ns,
    if(has(borrowed, 'conversation_id'), '', conversation_id) AS own_conversation,
    if(has(borrowed, 'user_id'), '', user_id) AS own_user,
    counted, duplicate_of, conversation_id, user_id
FROM spans FINAL
WHERE project = {{project:String}} AND role IN ({_ROLES})
    AND start_time >= fromUnixTimestamp64Nano({{from:Int64}}, 'UTC')
    AND start_time <= fromUnixTimestamp64Nano({{last:Int64}}, 'UTC')
"""  # noqa: S608
_BY_TIME = """
    AND service = {service:String} AND end_time >= fromUnixTimestamp64Nano({first:Int64}, 'UTC')
"""
_BY_TRACE = "    AND trace_id IN (SELECT toFixedString(unhex(arrayJoin({traces:Array(String)})), 16))\n"
_PARENTS = """
SELECT trace_id, span_id, any(parent_span_id), any(toString(role))
FROM spans
WHERE project = {project:String} AND role = 'OTHER'
    AND trace_id IN (SELECT toFixedString(unhex(arrayJoin({traces:Array(String)})), 16))
    AND start_time >= fromUnixTimestamp64Nano({from:Int64}, 'UTC')
    AND start_time <= fromUnixTimestamp64Nano({last:Int64}, 'UTC')
GROUP BY trace_id, span_id
"""
# What a row says once it is decided. Which cost would count, and the parts of the computed one, stay.
_DECIDED = {
    "counted": "{counted:Array(UInt8)}[found] = 1",
    "duplicate_of": "unhex({winners:Array(String)}[found])",
    "borrowed": "arrayFilter((name, known) -> known != '' AND {counted:Array(UInt8)}[found] = 1, "
    "['conversation_id', 'user_id'], [if(has(borrowed, 'conversation_id') OR s.conversation_id = '', "
    "{conversations:Array(String)}[found], ''), if(has(borrowed, 'user_id') OR s.user_id = '', "
    "{users:Array(String)}[found], '')])",
    "conversation_id": "{conversations:Array(String)}[found]",
    "user_id": "{users:Array(String)}[found]",
    "cost_usd": "multiIf({counted:Array(UInt8)}[found] = 0 OR cost_source = '', NULL, "
    "cost_source = 'computed', cost_computed_usd, cost_reported_usd)",
    "cost_reason": "multiIf(cost_source = '', cost_reason, {counted:Array(UInt8)}[found] = 1, '', "
    "{winners:Array(String)}[found] = '', 'not_counted', 'duplicate')",
}
_SCOPES = f"""
SELECT toString(project), toString(service), groupUniqArray(10)(toString(scope_name)),
    toUnixTimestamp64Nano(min(start_time)), toUnixTimestamp64Nano(max(end_time))
FROM spans
WHERE role IN ({_ROLES}) AND start_time >= now64(9) - INTERVAL {{seconds:UInt32}} SECOND
    AND received_at >= now64(9) - INTERVAL {{seconds:UInt32}} SECOND
GROUP BY project, service, intDiv(toUnixTimestamp64Nano(start_time), 600000000000)
"""  # noqa: S608


class Resolver:
    """Looks at what a watch hands out, with a client of its own; not for two threads at once."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._rewriting = ""

    def resolve(self, place: Place, seen: Range) -> int:
        """Decide about a place's calls and those they may be duplicates of; how many rows have changed."""
        rows = list(self._rows(place, seen))
        records = [_record(row) for row in rows]
        stored = {record.key: row for record, row in zip(records, rows, strict=True)}
        decisions = decide(records, self._parents(place, records))
        changed = [
            (key, decision)
            for key, decision in decisions.items()
            if _stored(stored[key])
            != (decision.counts, _winner(decision), decision.conversation_id, decision.user_id)
        ]
        for first in range(0, len(changed), _AT_ONCE):
            self._write(place.project, changed[first : first + _AT_ONCE])
        return len(changed)

    def _rows(self, place: Place, seen: Range) -> Iterator[Mapping[str, Any]]:
        parameters = {
            "project": place.project,
            "service": place.service,
            "from": max(seen.first_ns - LONGEST_NS, 0),
            "first": max(seen.first_ns - _AROUND_NS, 0),
            "last": seen.last_ns + _AROUND_NS,
        }
        found: dict[Key, Mapping[str, Any]] = {}
        for row in self._query(_RECORDS + _BY_TIME, parameters):
            found[row["trace_id"], row["span_id"], row["start_ns"]] = row
        traces = sorted(seen.trace_ids | {trace for trace, _, _ in found})
        parameters |= {"last": seen.last_ns + LONGEST_NS}
        for first in range(0, len(traces), _AT_ONCE):
            some = [trace.hex() for trace in traces[first : first + _AT_ONCE]]
            for row in self._query(_RECORDS + _BY_TRACE, parameters | {"traces": some}):
                found[row["trace_id"], row["span_id"], row["start_ns"]] = row
        yield from found.values()

    def _parents(
        self, place: Place, records: Sequence[Record]
    ) -> dict[tuple[bytes, bytes], tuple[bytes, str]]:
        """Of what may stand between two calls of a trace: its parent and its role."""
        counts: dict[bytes, int] = {}
        for record in records:
            counts[record.trace_id] = counts.get(record.trace_id, 0) + 1
        traces = sorted(trace for trace, count in counts.items() if count > 1)
        parents = {}
        for first in range(0, len(traces), _AT_ONCE):
            some = traces[first : first + _AT_ONCE]
            parameters = {
                "project": place.project,
                "traces": [trace.hex() for trace in some],
                "from": max(min(record.start_ns for record in records) - LONGEST_NS, 0),
                "last": max(record.start_ns for record in records) + LONGEST_NS,
            }
            for trace, span, parent, role in self._client.query(_PARENTS, parameters=parameters).result_rows:
                parents[trace, span] = parent, role
        return parents

    def _query(self, sql: str, parameters: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        formats: dict[str, str | dict[str, str]] = {"FixedString*": "bytes", "duplicate_of": "bytes"}
        return self._client.query(sql, parameters=dict(parameters), column_formats=formats).named_results()

    def _write(self, project: str, changed: Sequence[tuple[Key, Decision]]) -> None:
        self._rewriting = self._rewriting or rewriting(self._client, _DECIDED)
        sql = (
            f"{self._rewriting}FROM (SELECT *, "  # noqa: S608
            "indexOf({keys:Array(String)}, concat(lower(hex(trace_id)), "
            "lower(hex(span_id)), toString(toUnixTimestamp64Nano(start_time)))) AS found FROM spans FINAL "
            "WHERE project = {project:String} "
            "AND trace_id IN (SELECT toFixedString(unhex(arrayJoin({traces:Array(String)})), 16)) "
            "AND start_time >= fromUnixTimestamp64Nano({first:Int64}, 'UTC') "
            "AND start_time <= fromUnixTimestamp64Nano({last:Int64}, 'UTC')) AS s WHERE found > 0"
        )
        keys = [key for key, _ in changed]
        self._client.command(
            sql,
            parameters={
                "project": project,
                "keys": [f"{trace.hex()}{span.hex()}{start}" for trace, span, start in keys],
                "traces": sorted({trace.hex() for trace, _, _ in keys}),
                "first": min(start for _, _, start in keys),
                "last": max(start for _, _, start in keys),
                "counted": [int(decision.counts) for _, decision in changed],
                "conversations": [decision.conversation_id for _, decision in changed],
                "users": [decision.user_id for _, decision in changed],
                "winners": [_winner(decision).hex() for _, decision in changed],
            },
            settings=INSERT_SETTINGS,
        )

    def recent(self, seconds: int) -> list[Seen]:
        """What every service has sent in the last seconds, whoever stored it; of the traces none."""
        rows = self._client.query(_SCOPES, parameters={"seconds": seconds}).result_rows
        no_trace = np.zeros((1, 16), np.uint8)
        return [
            Seen(project, service, frozenset(scopes), False, np.array([first]), np.array([last]), no_trace)
            for project, service, scopes, first, last in rows
        ]

    def close(self) -> None:
        self._client.close()


def _record(row: Mapping[str, Any]) -> Record:
    return Record(
        row["trace_id"],
        row["span_id"],
        row["start_ns"],
        max(row["end_ns"], row["start_ns"]),
        row["parent_span_id"],
        row["role"],
        row["scope"],
        row["instance"],
        row["response_id"],
        frozenset(name.lower() for name in (row["asked"], row["answered"]) if name),
        row["prompt"],
        row["input_tokens"],
        row["output_tokens"],
        row["details"],
        bool(row["priced"]),
        bool(row["failed"]),
        row["own_conversation"],
        row["own_user"],
        row["opened_ns"],
    )


def _stored(row: Mapping[str, Any]) -> tuple[bool, bytes, str, str]:
    """What a row says is decided, in the order of what is compared with it."""
    return bool(row["counted"]), row["duplicate_of"], row["conversation_id"], row["user_id"]


def _winner(decision: Decision) -> bytes:
    return b"" if decision.duplicate_of is None else decision.duplicate_of[0] + decision.duplicate_of[1]


class Duplicates:
    """Resolves duplicates in a thread of its own, behind the inserts: within a second where there is time."""

    def __init__(self, target: Target, settings: Settings, metrics: Metrics | None = None) -> None:
        self.watch = Watch()
        self._metrics = metrics
        if metrics is not None:
            metrics.undecided_seconds.set_function(self.watch.waiting_s)
        self._target = target.with_timeouts(
            connect_s=settings.store_timeout_s, answer_s=settings.store_timeout_s
        )
        self._thread = threading.Thread(target=self._run, name="spanledger-duplicates", daemon=True)
        self._stopping = threading.Event()
        self._working = False

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        resolver: Resolver | None = None
        refreshed = -_REFRESH_S
        while not self._stopping.is_set():
            began = time.monotonic()
            places: dict[Place, Range] = {}
            try:
                if resolver is None:
                    resolver = Resolver(connect(self._target))
                if began - refreshed > _REFRESH_S:
                    self._refresh(resolver, first=refreshed < 0)
                    refreshed = began
                self._working = True
                places = self.watch.take()
                self._look_at(resolver, places)
                self._working = False
            except (ClickHouseError, SpanledgerError, OSError) as error:
                # Not lost: it is looked at again, from the beginning.
                _log.warning("looking for duplicate calls failed: %.500s", error)
                self.watch.put_back(places)
                if resolver is not None:
                    resolver.close()
                resolver = None
                self._stopping.wait(1.0)
            self._stopping.wait(max(_PAUSE_S, _SHARE * (time.monotonic() - began)))
            self.watch.changed.wait(_REFRESH_S)
        if resolver is not None:
            resolver.close()

    def _look_at(self, resolver: Resolver, places: dict[Place, Range]) -> None:
        """Take the places one by one until told to stop; what is left in `places` was not looked at."""
        for place in list(places):
            try:
                decided = resolver.resolve(place, places[place])
            except (ClickHouseError, SpanledgerError, OSError):
                raise
            except Exception:  # noqa: BLE001  (spans that nobody thought of must not end the looking at all others)
                _log.exception("calls could not be looked at for duplicates")
                decided = 0
            if self._metrics is not None:
                self._metrics.decided_calls.inc(decided)
            del places[place]
            if self._stopping.is_set():
                return

    def _refresh(self, resolver: Resolver, *, first: bool) -> None:
        """Hear of calls that other processes have stored, or this one before it was stopped."""
        seconds = 3600 if first else int(_REFRESH_S) + 10
        self.watch.saw(resolver.recent(seconds))

    def settled(self) -> bool:
        """Whether everything that was seen has been looked at."""
        return not self.watch.changed.is_set() and not self._working

    def stop(self, within_s: float = 5.0) -> None:
        """End; what was not looked at is looked at after the next start."""
        self._stopping.set()
        self.watch.changed.set()
        if self._thread.is_alive():
            self._thread.join(within_s)
