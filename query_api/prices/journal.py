"""Writes changes of costs down, then into the rows of their spans.

The first is the second's guarantee: what is written down and not applied when a process dies is applied by
the next one.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
from clickhouse_connect.driver.client import Client

from spanledger.query_api.prices.changes import Changes, Chunk, Plan, is_amount
from spanledger.schemas.prices.choice import SOURCES, UNKNOWN
from spanledger.schemas.prices.compute import REASONS
from spanledger.schemas.rewriting import INSERT_SETTINGS, rewriting

_WORD = (1 << 64) - 1

_CHANGE_COLUMNS = (
    "project",
    "trace_id",
    "span_id",
    "start_time",
    "run",
    "chunk",
    "changed_at",
    "old_cost_usd",
    "new_cost_usd",
    "old_computed_usd",
    "new_computed_usd",
    "new_input_usd",
    "new_output_usd",
    "old_source",
    "new_source",
    "old_reason",
    "new_reason",
    "old_price_model",
    "new_price_model",
    "old_price_version",
    "new_price_version",
)


def write_down(client: Client, run: str, chunk: int, changes: Changes) -> None:
    """Insert the changes into `cost_changes`, in RowBinary."""
    now = np.int64(time.time_ns() // 1000)
    rows = changes.rows
    amounts = [
        (rows["cost"], is_amount(rows["cost"])),
        (changes.cost, changes.source != UNKNOWN),
        (rows["computed"], is_amount(rows["computed"])),
        (changes.costs.total, changes.priced),
        (changes.costs.input, changes.priced),
        (changes.costs.output, changes.priced),
    ]
    marks = np.stack([there for _, there in amounts], axis=1)
    keys = np.stack(
        [
            rows["names"].view(np.int64),
            rows["of_list"].view(np.int64),
            rows["source"],
            rows["reason"],
            changes.source,
            changes.reason,
            changes.new_numbers,
            marks @ (1 << np.arange(len(amounts))),
        ],
        axis=1,
    )
    groups, place_of = np.unique(keys, axis=0, return_inverse=True)
    out = []
    for number, (names, of_list, source, reason, new_source, new_reason, new, mark) in enumerate(
        groups.tolist()
    ):
        some = np.flatnonzero(place_of.reshape(-1) == number)
        pieces = [
            _text(changes.names[names & _WORD].project),
            rows["trace_id"][some],
            rows["span_id"][some],
            rows["start"][some],
            _text(run),
            np.uint32(chunk).tobytes(),
            now.tobytes(),
        ]
        for bit, (values, _) in enumerate(amounts):
            pieces += [b"\0", np.ascontiguousarray(values[some])] if mark >> bit & 1 else [b"\1"]
        old_model, old_version = changes.of_list[of_list & _WORD]
        new_model, new_version = changes.new_of_list[new]
        pieces += [
            _text(text)
            for text in (
                SOURCES[source],
                SOURCES[new_source],
                REASONS[reason],
                REASONS[new_reason],
                old_model,
                new_model,
                old_version,
                new_version,
            )
        ]
        columns = [_column(piece, len(some)) for piece in pieces]
        out.append(np.concatenate(columns, axis=1).tobytes())
    client.raw_insert(
        "cost_changes",
        list(_CHANGE_COLUMNS),
        insert_block=b"".join(out),
        settings=INSERT_SETTINGS,
        fmt="RowBinary",
    )


def _column(piece: Any, rows: int) -> Any:
    """A piece of every row as bytes: one for each, or the same for all."""
    if isinstance(piece, bytes):
        return np.broadcast_to(np.frombuffer(piece, np.uint8), (rows, len(piece)))
    return np.ascontiguousarray(piece).view(np.uint8).reshape(rows, -1)


def _text(text: str) -> bytes:
    data = text.encode()
    size, out = len(data), bytearray()
    while size > 0x7F:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    out.append(size)
    return bytes(out) + data


# A row that does not count keeps saying so; a row that was decided about in between is written as it is now.
_NEW = {
    "cost_usd": "if(s.counted, c.new_cost_usd, NULL)",
    "cost_input_usd": "c.new_input_usd",
    "cost_output_usd": "c.new_output_usd",
    "cost_computed_usd": "c.new_computed_usd",
    "cost_source": "c.new_source",
    "cost_reason": "multiIf(s.counted OR c.new_source = '', c.new_reason, s.duplicate_of != '', 'duplicate', "
    "'not_counted')",
    "price_model": "c.new_price_model",
    "price_version": "c.new_price_version",
}


def apply(client: Client, run: str, number: int, chunk: Chunk) -> None:
    """Write the changes of a chunk into the rows of its spans, unless they are there."""
    of_chunk = "FROM cost_changes FINAL WHERE run = {run:String} AND chunk = {chunk:UInt32}"
    extent = (
        "start_time >= fromUnixTimestamp64Nano({since:Int64}, 'UTC') "
        "AND start_time < fromUnixTimestamp64Nano({until:Int64}, 'UTC') "
        "AND trace_id >= toFixedString(unhex({first_trace:String}), 16) "
        "AND trace_id <= toFixedString(unhex({last_trace:String}), 16)"
    )
    sql = (
        f"{rewriting(client, _NEW)}FROM "  # noqa: S608
        f"(SELECT * FROM spans FINAL WHERE {extent} AND project IN (SELECT project {of_chunk}) "
        f"AND trace_id IN (SELECT trace_id {of_chunk})) AS s "
        f"INNER JOIN (SELECT * {of_chunk}) AS c "
        "ON s.project = c.project AND s.trace_id = c.trace_id AND s.span_id = c.span_id "
        "AND s.start_time = c.start_time "
        "WHERE NOT (s.cost_computed_usd <=> c.new_computed_usd AND s.cost_source = c.new_source "
        "AND s.price_version = c.new_price_version AND (NOT s.counted OR s.cost_usd <=> c.new_cost_usd))"
    )
    parameters = {
        "run": run,
        "chunk": number,
        "since": chunk.since_ns,
        "until": chunk.until_ns,
        "first_trace": chunk.first_trace,
        "last_trace": chunk.last_trace,
    }
    client.command(sql, parameters=parameters, settings=INSERT_SETTINGS)


def complete(client: Client) -> None:
    """Finish the chunks that a process which died has written down and not applied."""
    rows = client.query(
        "SELECT run, chunk, toUnixTimestamp64Nano(since), toUnixTimestamp64Nano(until), first_trace, "
        "last_trace, changed_spans FROM reprice_chunks FINAL WHERE NOT applied ORDER BY run, chunk"
    ).result_rows
    for run, number, *chunk in rows:
        apply(client, run, number, Chunk(*chunk))
        write_chunk(client, run, number, Chunk(*chunk), applied=True)


class Run(NamedTuple):
    """A row of `reprice_runs`: what was asked for, and what has become of it so far."""

    run: str
    started_at: datetime
    finished_at: datetime | None
    who: str
    why: str
    project: str
    since: int
    until: int
    condition: str
    looked_at: int
    changed_spans: int
    difference_usd: Decimal


def begun(run: str, plan: Plan) -> Run:
    """The row of a run that begins now."""
    condition = {"provider": plan.provider, "model": plan.model, "unpriced_only": plan.unpriced_only}
    return Run(
        run,
        datetime.now(UTC),
        None,
        plan.who,
        plan.why,
        plan.project or "",
        plan.since_ns,
        plan.until_ns,
        json.dumps({key: value for key, value in condition.items() if value}),
        0,
        0,
        Decimal(0),
    )


def write_run(client: Client, run: Run) -> None:
    names = (*Run._fields, "written_at")
    client.insert("reprice_runs", [(*run, datetime.now(UTC))], column_names=names, settings=INSERT_SETTINGS)


def write_chunk(client: Client, run: str, number: int, chunk: Chunk, *, applied: bool) -> None:
    names = (
        "run",
        "chunk",
        "since",
        "until",
        "first_trace",
        "last_trace",
        "changed_spans",
        "applied",
        "written_at",
    )
    client.insert(
        "reprice_chunks",
        [(run, number, *chunk, applied, datetime.now(UTC))],
        column_names=names,
        settings=INSERT_SETTINGS,
    )
