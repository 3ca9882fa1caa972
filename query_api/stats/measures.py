"""Measures: what is counted over calls or spans, each as an expression of SQL and as the API gives it.

None depends on the order in which spans came or are read: sums are of integers and decimals, and a
percentile is the value of a call, chosen among all of them; of very many, cut to a step of a fine scale.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal, NamedTuple, get_args

from spanledger.query_api.times import milliseconds
from spanledger.query_api.values import double, money

Of = Literal["calls", "spans"]
Measure = Literal["tokens", "cost", "duration", "time_to_first_chunk", "tokens_per_second"]
Order = Literal[
    "calls",
    "spans",
    "errors",
    "cost_usd",
    "unpriced_calls",
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "duration_p50",
    "duration_p95",
    "duration_p99",
    "duration_max",
]

MEASURES: tuple[Measure, ...] = get_args(Measure)
_LEVELS = ("p50", "p95", "p99", "max")
_TOKENS = ("input", "output", "cache_read", "cache_write", "reasoning", "input_audio", "output_audio")
# What can be a time: a sender may say anything. A nanosecond is as fine as times are stored.
_SAYS_FIRST_CHUNK = "ifNull(time_to_first_chunk_s BETWEEN 0 AND 9e9, 0)"
_FIRST_CHUNK_NS = f"toInt64(round(if({_SAYS_FIRST_CHUNK}, assumeNotNull(time_to_first_chunk_s), 0.) * 1e9))"
_MADE_TOKENS = "ifNull(output_tokens, 0) > 0 AND duration_ns > 0"
# Columns that few senders fill. Each takes as long to read as all of the rest takes to group, so it is left
# out where no span has it.
RARE: dict[Measure, tuple[str, ...]] = {
    "tokens": tuple(f"{name}_tokens" for name in _TOKENS[2:]),
    "time_to_first_chunk": ("time_to_first_chunk_s",),
}
_NULL = "CAST(NULL, 'Nullable(UInt128)')"
_NONE = {"chunk": "arrayWithConstant(4, toFloat32(nan))", "chunk_count": "toUInt64(0)"}


class _Sql(NamedTuple):
    """An aggregate: a function with its condition, which `If` makes a part of it."""

    function: str
    argument: str
    condition: str
    levels: str = ""

    def text(self, condition: str) -> str:
        """The aggregate over what fulfils another condition as well."""
        both = " AND ".join(f"({each})" for each in (condition, self.condition) if each)
        parts = [each for each in (self.argument, both) if each]
        return f"{self.function}{'If' if both else ''}{self.levels}({', '.join(parts)})"


# Seven digits of every value, which takes half of the memory of sixteen and counts: every value of a
# group is held until the end. The level 1 is the greatest.
_QUANTILES = "(0.5, 0.95, 0.99, 1)"
# Of very many values half of that again: the number of a step on a scale with 1,024 steps from each power of
# two to the next, which is the upper half of a 32-bit float from 1 on and without the sign. A step is read
# as its middle, less than 0.05 % beside the value; the greatest value stays what it is.
_STEP = "toUInt16(greatest(toInt32(bitShiftRight(reinterpretAsUInt32({value}), 13)) - 130048, 0))"
_OF_STEP = "if(n = 0, 0., toFloat64(reinterpretAsFloat32(bitShiftLeft(toUInt32(n) + 130048, 13) + 4096)))"
_FINE = 10**6  # of a rate, so that its scale begins at a millionth
_COUNTS: dict[str, _Sql] = {"calls": _Sql("count", "", "")}
_OF_CALLS: dict[Measure, dict[str, _Sql]] = {
    "tokens": {name: _Sql("sum", f"toUInt128({name}_tokens)", "") for name in _TOKENS},
    "cost": {"cost": _Sql("sum", "cost_usd", ""), "unpriced": _Sql("count", "", "cost_usd IS NULL")},
    "time_to_first_chunk": {
        "chunk": _Sql("quantilesExact", f"toFloat32({_FIRST_CHUNK_NS})", _SAYS_FIRST_CHUNK, _QUANTILES),
        "chunk_sum": _Sql("sum", f"toInt128({_FIRST_CHUNK_NS})", _SAYS_FIRST_CHUNK),
        "chunk_count": _Sql("count", "", _SAYS_FIRST_CHUNK),
    },
    "tokens_per_second": {
        "rate": _Sql(
            "quantileExact", "toFloat32(ifNull(output_tokens, 0) / duration_ns * 1e9)", _MADE_TOKENS, "(0.5)"
        ),
        "made": _Sql("sum", "toUInt128(ifNull(output_tokens, 0))", _MADE_TOKENS),
        "made_in": _Sql("sum", "toUInt128(duration_ns)", _MADE_TOKENS),
    },
}
_OF_ALL: dict[Measure, dict[str, _Sql]] = {
    "duration": {
        "duration": _Sql("quantilesExact", "toFloat32(duration_ns)", "", _QUANTILES),
        "duration_sum": _Sql("sum", "toUInt128(duration_ns)", ""),
    }
}
_ORDERS: dict[Order, str] = {
    "calls": "countIf(counted)",
    "spans": "count()",
    "errors": "countIf(status_code = 2)",
    "cost_usd": "sumIf(cost_usd, counted)",
    "unpriced_calls": "countIf(counted AND cost_usd IS NULL)",
    "input_tokens": "sumIf(toUInt128(input_tokens), counted)",
    "output_tokens": "sumIf(toUInt128(output_tokens), counted)",
    "total_tokens": "sumIf(toUInt128(ifNull(input_tokens, 0)) + ifNull(output_tokens, 0), counted)",
    "duration_p50": "quantileExact(0.5)(toFloat32(duration_ns))",
    "duration_p95": "quantileExact(0.95)(toFloat32(duration_ns))",
    "duration_p99": "quantileExact(0.99)(toFloat32(duration_ns))",
    "duration_max": "max(toFloat32(duration_ns))",
}


def columns(
    of: Of, measures: Sequence[Measure], unsent: Collection[str] = (), *, in_steps: bool = False
) -> list[tuple[str, str]]:
    """Name and expression of each column that the measures are made of.

    `unsent`: columns of RARE that are NULL in every span that is asked for. `in_steps`: percentiles to
    0.05 %, for half of the memory.
    """
    counted = "" if of == "calls" else "counted"
    text = _in_steps if in_steps else _exactly
    found = [("spans", "count()"), ("errors", "countIf(status_code = 2)"), ("calls", _calls(of))]
    for measure in MEASURES:
        if measure in measures:
            for name, sql in _OF_CALLS.get(measure, {}).items():
                column = f"{name}_tokens" if measure == "tokens" else RARE.get(measure, ("",))[0]
                gone = column in unsent
                found.append((name, _NONE.get(name, _NULL) if gone else text(name, sql, counted)))
            found += [(name, text(name, sql, "")) for name, sql in _OF_ALL.get(measure, {}).items()]
    return found


def _exactly(_name: str, sql: _Sql, condition: str) -> str:
    return sql.text(condition)


def _in_steps(name: str, sql: _Sql, condition: str) -> str:
    """Percentiles of steps, as the values in their middle; other aggregates as they are."""
    if not sql.levels:
        return sql.text(condition)
    fine = _FINE if name == "rate" else 1
    step = _STEP.format(value=f"toFloat32({sql.argument} * {fine})" if fine > 1 else sql.argument)
    steps = sql._replace(argument=step).text(condition)
    if name == "rate":
        return f"arrayMap(n -> {_OF_STEP} / {fine}, [{steps}])[1]"
    greatest = sql._replace(function="max", levels="").text(condition)
    least = f"arrayMap(n -> least({_OF_STEP}, toFloat64({greatest})), arraySlice({steps}, 1, 3))"
    return f"arrayPushBack({least}, toFloat64({greatest}))"


def _calls(of: Of) -> str:
    return _COUNTS["calls"].text("" if of == "calls" else "counted")


def order_sql(order: Order) -> str:
    """The expression by which groups are ordered, greatest first; NULL stands at the end."""
    return _ORDERS[order]


def order_needs(order: Order) -> tuple[Measure, ...]:
    """The measures that `place` reads for an order."""
    if order.startswith("duration"):
        return ("duration",)
    if order.endswith("_tokens"):
        return ("tokens",)
    return ("cost",) if order in ("cost_usd", "unpriced_calls") else ()


def place(order: Order, row: Mapping[str, Any]) -> Decimal | float | None:
    """What a row has for an order."""
    match order:
        case "cost_usd":
            return row["cost"]  # type: ignore[no-any-return]
        case "unpriced_calls":
            return float(row["unpriced"])
        case "total_tokens":
            return Decimal((row["input"] or 0) + (row["output"] or 0))
        case "input_tokens" | "output_tokens":
            sent = row[order.removesuffix("_tokens")]
            return None if sent is None else Decimal(sent)
        case "calls" | "spans" | "errors":
            return float(row[order])
        case _:
            return _known(row["duration"][_LEVELS.index(order.removeprefix("duration_"))])


def answer(of: Of, measures: Sequence[Measure], row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `columns` as the API gives it."""
    made: dict[str, Any] = {"spans": row["spans"]} if of == "spans" else {}
    made |= {"calls": row["calls"], "errors": row["errors"]}
    if "tokens" in measures:
        known = [row[name] for name in ("input", "output") if row[name] is not None]
        made |= {f"{name}_tokens": row[name] for name in _TOKENS[:2]}
        made |= {"total_tokens": sum(known) if known else None}
        made |= {f"{name}_tokens": row[name] for name in _TOKENS[2:]}
    if "cost" in measures:
        made |= {"cost_usd": money(row["cost"]), "unpriced_calls": row["unpriced"]}
    if "duration" in measures:
        everything = row["spans"]
        made["duration_ms"] = _spread(row["duration"], row["duration_sum"], everything)
    if "time_to_first_chunk" in measures:
        made["time_to_first_chunk_ms"] = _spread(row["chunk"], row["chunk_sum"], row["chunk_count"])
    if "tokens_per_second" in measures:
        seconds = Decimal(row["made_in"] or 0) / 10**9
        made["tokens_per_second"] = {
            "median": None if not row["made_in"] else _digits(row["rate"]),
            "overall": _digits(float(row["made"] / seconds)) if seconds else None,
        }
    return made


def nothing(of: Of, measures: Sequence[Measure]) -> dict[str, Any]:
    """`answer` for no calls at all: no cost and no tokens, which is known."""
    zeros: dict[str, Any] = {name: 0 for name, _ in columns(of, measures)}
    zeros |= {"cost": Decimal(0), "duration": (None,) * 4, "chunk": (None,) * 4, "rate": None}
    return answer(of, measures, zeros)


def _spread(percentiles: Sequence[float | None], total: int | None, count: int) -> dict[str, float | None]:
    made: dict[str, float | None] = {
        level: _milliseconds(value) if count else None
        for level, value in zip(_LEVELS, percentiles, strict=True)
    }
    made["avg"] = float(Decimal(total or 0) / count / 10**6) if count else None
    return made


def _milliseconds(value: float | None) -> float | None:
    known = _known(value)
    return None if known is None else _digits(milliseconds(int(known)))


def _known(value: float | None) -> float | None:
    return None if value is None or isinstance(double(value), str) else value


def _digits(value: float) -> float:
    """Without the digits beyond those that were kept."""
    return float(f"{value:.7g}")
