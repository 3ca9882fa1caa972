"""Counts what became of the spans that were acknowledged: `python -m bench.audit FOLDER` on a database whose
server has stopped; the workloads are read as JSON from standard input, the figures are printed as JSON.

The ids are computed again from the workloads and compared with the table, so the counts are exact.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from clickhouse_connect.driver.client import Client

from bench.ids import Ids
from bench.workload import Workload
from spanledger.schemas.database import connect, parse_target

_AT_ONCE = 262_144


def audit(client: Client, sent: Sequence[Workload], *, project: str = "default") -> dict[str, int]:
    """How many spans were acknowledged, and how many of them the table has.

    `lost`: acknowledged and not there. `unknown`: there and never sent. `duplicates`: answers (FINAL) that
    would count a span twice. `rows` are on disk, of which `rows_more_than_once` repeat a span until a merge.
    """
    client.command("CREATE TEMPORARY TABLE sent (trace_id FixedString(16), span_id FixedString(8))")
    for workload in sent:
        _write_ids(client, workload)
    ask = {"project": project}

    def count(what: str, source: str) -> int:
        return int(client.query(f"SELECT {what} FROM {source}", parameters=ask).first_row[0])

    mine = "WHERE project = {project:String}"
    both = "(trace_id, span_id)"
    rows = count("count()", f"spans {mine}")
    visible = count("count()", f"spans FINAL {mine}")
    distinct = count(f"uniqExact({both})", f"spans {mine}")
    figures = {
        "acknowledged": count("count()", "sent"),
        "rows": rows,
        "visible": visible,
        "lost": count("count()", f"sent WHERE {both} NOT IN (SELECT {both} FROM spans FINAL {mine})"),
        "unknown": count("count()", f"spans FINAL {mine} AND {both} NOT IN (SELECT {both} FROM sent)"),
        "duplicates": visible - distinct,
        "rows_more_than_once": rows - distinct,
    }
    client.command("DROP TABLE sent")
    return figures


def _write_ids(client: Client, workload: Workload) -> None:
    ids = Ids(workload.seed)
    for first in range(0, workload.stored_spans, _AT_ONCE):
        counters = np.arange(first, min(first + _AT_ONCE, workload.stored_spans), dtype=np.uint64)
        rows = np.concatenate([ids.traces(counters), ids.spans(counters)], axis=1)
        client.raw_insert("sent", ["trace_id", "span_id"], rows.tobytes(), fmt="RowBinary")


def size_when_merged(client: Client) -> dict[str, float]:
    """Merges all parts, then: bytes on disk a span, of the parts that are active, and how many those are."""
    client.command("OPTIMIZE TABLE spans FINAL")
    rows, size, parts = client.query(
        "SELECT sum(rows), sum(bytes_on_disk), count() FROM system.parts "
        "WHERE active AND database = currentDatabase() AND table = 'spans'"
    ).first_row
    return {"bytes_per_span": round(size / rows, 1), "parts_when_merged": parts}


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.audit", description=__doc__)
    parser.add_argument("folder", type=Path, help="of the embedded database")
    parser.add_argument("--size", action="store_true", help="merge all parts and measure them too")
    chosen = parser.parse_args()
    sent = [Workload(**numbers) for numbers in json.load(sys.stdin)]
    client = connect(parse_target(f"chdb://{chosen.folder}"))
    figures: dict[str, Any] = {**audit(client, sent)}
    if chosen.size:
        figures |= size_when_merged(client)
    json.dump(figures, sys.stdout)


if __name__ == "__main__":
    main()
