"""The summary of a trace from its spans as they were read: equal to its line in the list.

The list sums up in SQL (`search.traces.SUMMARY_SQL`). Here the spans are there already, and a second query
would take as long as the first, and see what arrived in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal, localcontext
from typing import Any

from spanledger.query_api.times import format_time, milliseconds
from spanledger.query_api.values import money, status_name

_DIGITS = 76  # more than a sum of stored amounts has


def summary_of(trace_id: str, spans: Mapping[str, list[Any]]) -> dict[str, Any]:
    """The fields of `TraceSummary`. spans: columns by name, of every span once."""
    starts, ids, counted = spans["start_ns"], spans["id"], spans["counted"]
    order = sorted(range(len(ids)), key=lambda n: (starts[n], ids[n]))
    root = _root(order, ids, spans["parent"])
    start = starts[order[0]]
    end = max(*starts, *spans["end_ns"])
    costs = [cost for cost, counts in zip(spans["cost_usd"], counted, strict=True) if counts]
    models = {
        answered or asked
        for answered, asked in zip(spans["response_model"], spans["request_model"], strict=True)
    }
    return {
        "trace_id": trace_id,
        "root_span_id": ids[root],
        "name": spans["name"][root],
        "service": spans["service"][root] or None,
        "status": status_name(spans["status_code"][root]),
        "start_time": format_time(start),
        "end_time": format_time(end),
        "duration_ms": milliseconds(end - start),
        "span_count": len(ids),
        "error_count": spans["status_code"].count(2),
        "llm_call_count": sum(
            counts and role == "LLM" for counts, role in zip(counted, spans["role"], strict=True)
        ),
        "input_tokens": _sum(spans["input_tokens"], counted),
        "output_tokens": _sum(spans["output_tokens"], counted),
        "cost_usd": money(_total(costs)),
        "unpriced_call_count": costs.count(None),
        # By their bytes, as the database sorts.
        "models": sorted(models - {""}, key=str.encode),
        **{
            name: next((spans[name][n] for n in order if spans[name][n]), None)
            for name in ("conversation_id", "user_id", "experiment_id")
        },
    }


def _root(order: list[int], ids: list[str], parents: list[str]) -> int:
    """The earliest span without a parent, else the earliest whose parent is not stored, else the earliest."""
    known = set(ids)
    without = (n for n in order if not parents[n])
    orphans = (n for n in order if parents[n] not in known)
    return next(without, next(orphans, order[0]))


def _sum(column: Iterable[int | None], counted: Iterable[bool]) -> int | None:
    found = [value for value, counts in zip(column, counted, strict=True) if counts and value is not None]
    return sum(found) if found else None


def _total(costs: Iterable[Decimal | None]) -> Decimal | None:
    known = [cost for cost in costs if cost is not None]
    with localcontext(prec=_DIGITS):
        return sum(known[1:], known[0]) if known else None
