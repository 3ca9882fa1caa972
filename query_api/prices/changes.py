"""What spans cost by today's prices, and which of them cost something else than their rows say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Context, Decimal
from typing import Any, NamedTuple

import numpy as np
from clickhouse_connect.driver.client import Client

from spanledger.schemas.calls import COUNTED_ROLES
from spanledger.schemas.dialects import UNIT_FIELDS
from spanledger.schemas.prices.book import PriceBook
from spanledger.schemas.prices.choice import BILLED, COMPUTED, SOURCES, UNKNOWN, choose
from spanledger.schemas.prices.compute import NOT_SENT, REASONS, Costs, compute, make_costs
from spanledger.schemas.prices.named import Named, entries_of
from spanledger.schemas.prices.units import NUMBERS, TOKEN_UNITS, UNITS

CHUNK = 50_000  # spans that are looked at together
# Times are cut no finer than rows are sorted; an hour with too many is cut by trace id.
_HOUR_NS = 3600 * 10**9
_DEEPEST = 8  # bytes of a trace id that it is cut by
_EXACT = Context(prec=60)

_OTHER_UNITS = [field.column for field in UNIT_FIELDS]
_NAMED = ("project", "provider", "request_model", "response_model", "service_tier")
_NAMES = ", ".join(f"toString({column})" for column in _NAMED)
# Who names no provider may name an address. The map that has it is long to read, and so only read for those.
_WITHOUT_HOST, _WITH_HOST = f"{_NAMES}, ''", f"{_NAMES}, attributes_string['server.address']"
_OF_LIST = "toString(price_model), toString(price_version)"

_WHERE = f"""
WHERE role IN ({", ".join(f"'{role}'" for role in COUNTED_ROLES)})
    AND start_time >= fromUnixTimestamp64Nano({{since:Int64}}, 'UTC')
    AND start_time < fromUnixTimestamp64Nano({{until:Int64}}, 'UTC')
    AND trace_id >= toFixedString(unhex({{first_trace:String}}), 16)
    AND trace_id <= toFixedString(unhex({{last_trace:String}}), 16)
    AND ({{all_projects:Bool}} OR project = {{project:String}})
    AND ({{provider:String}} = '' OR provider = {{provider:String}})
    AND ({{model:String}} = '' OR request_model = {{model:String}} OR response_model = {{model:String}})
    AND (NOT {{unpriced_only:Bool}} OR cost_computed_usd IS NULL)
"""
_BY_HOUR = f"""
SELECT intDiv(toUnixTimestamp64Nano(start_time), {_HOUR_NS}) AS hour, count() FROM spans FINAL
{_WHERE}
GROUP BY hour ORDER BY hour
"""  # noqa: S608
_BY_TRACE = f"""
SELECT lower(hex(substring(trace_id, 1, {{bytes:UInt8}}))) AS beginning, count() FROM spans FINAL
{_WHERE}
GROUP BY beginning ORDER BY beginning
"""  # noqa: S608
_AMOUNT = "ifNull({0}, toDecimal128(-1, 18))"
# Numbers of a fixed width, which are read without making an object of each; texts by their numbers.
_COLUMNS: tuple[tuple[str, str, Any], ...] = (
    ("trace_id", "trace_id", "V16"),
    ("span_id", "span_id", "V8"),
    ("start", "toUnixTimestamp64Nano(start_time)", "<i8"),
    ("names", "sipHash64({names})", "<u8"),
    ("of_list", f"sipHash64({_OF_LIST})", "<u8"),
    *((unit, f"ifNull(toInt64({column}), -1)", "<i8") for column, unit in TOKEN_UNITS.items()),
    *(
        (unit, f"if(mapContains(usage, '{unit}'), toInt64(usage['{unit}']), -1)", "<i8")
        for unit in _OTHER_UNITS
    ),
    ("unreadable", "toUInt8(has(usage_flags, 'unreadable'))", "u1"),
    ("reported", _AMOUNT.format("cost_reported_usd"), ("<u8", 2)),
    ("computed", _AMOUNT.format("cost_computed_usd"), ("<u8", 2)),
    ("cost", _AMOUNT.format("cost_usd"), ("<u8", 2)),
    ("source", f"toUInt8(indexOf({list(SOURCES)}, toString(cost_source)) - 1)", "u1"),
    ("reason", f"toUInt8(indexOf({list(REASONS)}, toString(cost_reason)) - 1)", "u1"),
    ("counted", "toUInt8(counted)", "u1"),
    ("billed", f"toUInt8(cost_origin = '{BILLED}')", "u1"),
)
_ROW = np.dtype([(name, *([kind] if isinstance(kind, str) else kind)) for name, _, kind in _COLUMNS])
_SPANS = f"SELECT {', '.join(sql for _, sql, _ in _COLUMNS)} FROM spans FINAL"  # noqa: S608
# Of a copy that is superseded the texts are not needed, and do no harm.
_TEXTS = "SELECT DISTINCT sipHash64({0}), {0} FROM spans"


class Plan(NamedTuple):
    """Which spans: calls that began in a time, and who wants it and why. `project` None: of all projects.

    dry_run: say what would change, and change nothing.
    """

    since_ns: int
    until_ns: int
    provider: str = ""
    model: str = ""
    unpriced_only: bool = False
    who: str = ""
    why: str = ""
    dry_run: bool = False
    project: str | None = None


class Chunk(NamedTuple):
    """Spans that are looked at together: of a time, and of trace ids from the first to the last."""

    since_ns: int
    until_ns: int
    first_trace: str
    last_trace: str
    spans: int


_ALL_TRACES = ("00" * 16, "ff" * 16)


def chunks_of(client: Client, plan: Plan) -> Iterator[Chunk]:
    """Hours, put together where they are small and near, cut where they are large."""
    whole = Chunk(plan.since_ns, plan.until_ns, *_ALL_TRACES, 0)
    held: Chunk | None = None
    for hour, spans in client.query(_BY_HOUR, parameters=_parameters(plan, whole)).result_rows:
        since, until = max(hour * _HOUR_NS, plan.since_ns), min((hour + 1) * _HOUR_NS, plan.until_ns)
        if held and held.spans + spans <= CHUNK and since - held.until_ns <= 24 * _HOUR_NS:
            held = held._replace(until_ns=until, spans=held.spans + spans)
            continue
        if held:
            yield from _cut(client, plan, held)
        held = Chunk(since, until, *_ALL_TRACES, spans)
    if held:
        yield from _cut(client, plan, held)


def _cut(client: Client, plan: Plan, chunk: Chunk, depth: int = 1) -> Iterator[Chunk]:
    """The chunk, in parts by trace id where it is large: as the rows are sorted, each is read by itself."""
    if chunk.spans <= 2 * CHUNK or depth > _DEEPEST:
        yield chunk
        return
    parameters = _parameters(plan, chunk) | {"bytes": depth}
    held: Chunk | None = None
    for beginning, spans in client.query(_BY_TRACE, parameters=parameters).result_rows:
        last = beginning.ljust(32, "f")
        if held and held.spans + spans <= CHUNK:
            held = held._replace(last_trace=last, spans=held.spans + spans)
            continue
        if held:
            yield from _cut(client, plan, held, depth + 1)
        held = Chunk(chunk.since_ns, chunk.until_ns, beginning.ljust(32, "0"), last, spans)
    if held:
        yield from _cut(client, plan, held, depth + 1)


def _parameters(plan: Plan, chunk: Chunk) -> dict[str, Any]:
    return {
        "since": chunk.since_ns,
        "until": chunk.until_ns,
        "first_trace": chunk.first_trace,
        "last_trace": chunk.last_trace,
        "all_projects": plan.project is None,
        "project": plan.project or "",
        "provider": plan.provider,
        "model": plan.model,
        "unpriced_only": plan.unpriced_only,
    }


class Changes(NamedTuple):
    """The rows of a chunk whose cost is another now, as they were, with what is new of each."""

    rows: Any
    costs: Costs
    source: Any
    reason: Any
    cost: Any
    priced: Any
    names: Mapping[int, Named]
    of_list: Mapping[int, tuple[str, str]]
    new_of_list: list[tuple[str, str]]  # the distinct ones ...
    new_numbers: Any  # ... and which of them each row has


def changes_of(client: Client, book: PriceBook, plan: Plan, chunk: Chunk, preference: str) -> Changes:
    parameters = _parameters(plan, chunk)
    names: dict[int, Named] = {}
    read = []
    for fields, condition in ((_WITHOUT_HOST, " AND provider != ''"), (_WITH_HOST, " AND provider = ''")):
        found = client.query(_TEXTS.format(fields) + _WHERE + condition, parameters=parameters).result_rows
        if found:
            names |= {row[0]: Named(*row[1:]) for row in found}
            sql = _SPANS.replace("{names}", fields) + _WHERE + condition
            data = client.raw_query(sql, parameters=parameters, fmt="RowBinary")
            read.append(np.frombuffer(data, _ROW))
    rows = np.concatenate(read) if read else np.empty(0, _ROW)
    of_list = {
        row[0]: (row[1], row[2])
        for row in client.query(_TEXTS.format(_OF_LIST) + _WHERE, parameters=parameters).result_rows
    }
    # Of spans that arrive in between the names are not known: they have the newest prices anyway.
    known = np.isin(rows["names"], np.array([*names], np.uint64)) & np.isin(
        rows["of_list"], np.array([*of_list], np.uint64)
    )
    rows = rows[known]
    hashes, places = np.unique(rows["names"], return_inverse=True)
    entries = np.array(entries_of(book, [names[one] for one in hashes.tolist()]), np.int64)[places]
    usage = np.full((len(UNITS), len(rows)), NOT_SENT, np.int64)
    for unit in (*TOKEN_UNITS.values(), *_OTHER_UNITS):
        usage[NUMBERS[unit]] = rows[unit]
    made = make_costs(len(rows))
    compute(usage, entries, np.ascontiguousarray(rows["start"]), book.prices, made)
    # A count that could not be read when it came is not stored: what such a call used is not known.
    computed = (made.rate >= 0) & (rows["unreadable"] == 0)
    source = choose(
        computed=computed,
        reported=is_amount(rows["reported"]),
        billed=rows["billed"] == 1,
        nothing=(rows["reported"] == 0).all(axis=1),
        used=(usage >= 0).any(axis=0),
        preference=preference,
    )
    unreadable = (made.rate >= 0) & (rows["unreadable"] == 1)
    reason = np.where(
        source == UNKNOWN, np.where(unreadable, REASONS.index("impossible_usage"), made.reason), 0
    )
    cost = np.where((source == COMPUTED)[:, None], made.total, rows["reported"])
    rates, numbers = np.unique(np.where(computed, made.rate, -1), return_inverse=True)
    new_of_list = [("", "") if rate < 0 else _entry(book, rate) for rate in rates.tolist()]
    # Where the list is another and the price is not, nothing has changed.
    was = is_amount(rows["computed"])
    same = (
        (was == computed)
        & (~computed | (rows["computed"] == made.total).all(axis=1))
        & (rows["source"] == source)
    )
    same &= (source != UNKNOWN) | (rows["reason"] == reason) | (rows["counted"] == 0)
    some = np.flatnonzero(~same)
    costs = made._replace(**{name: getattr(made, name)[some] for name in ("total", "input", "output")})
    return Changes(
        rows[some],
        costs,
        source[some],
        reason[some],
        cost[some],
        computed[some],
        names,
        of_list,
        new_of_list,
        numbers[some],
    )


def _entry(book: PriceBook, rate: int) -> tuple[str, str]:
    entry = book.rate(rate).entry
    return entry.name, entry.applied


def is_amount(pairs: Any) -> Any:
    """Whether an amount is there: instead of one that is not, a negative one is read."""
    return pairs[:, 1] >> np.uint64(63) == 0


def exact_sum(pairs: Any) -> Decimal:
    """The exact sum of amounts: halves of 32 bits do not overflow."""
    total = 0
    for shift, half in ((0, pairs[:, 0]), (64, pairs[:, 1])):
        low, high = half & np.uint64(0xFFFF_FFFF), half >> np.uint64(32)
        total += (int(low.sum()) << shift) + (int(high.sum()) << (shift + 32))
    return Decimal(total).scaleb(-18, _EXACT)
