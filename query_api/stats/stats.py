"""Stats: what calls amount to, by group and by time.

Two steps. The first finds the groups that are shown, by one measure: the others may be many and are one row,
`other`. The second gives every call the number of its group and of its bucket and works out all measures for
each pair, each group, each bucket and the whole (CUBE): percentiles cannot be added up. Where the newest day
has few groups the whole time probably has, and the first step is left out until it turns out to be needed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple, get_args
from zoneinfo import ZoneInfo

from clickhouse_connect.driver.client import Client

from spanledger.query_api.search.conditions import All, Condition, compiled
from spanledger.query_api.search.fields import FIELDS
from spanledger.query_api.search.windows import STARTS_WITHIN, Day, rows_between, stored_days
from spanledger.query_api.stats.buckets import Bucket, cuts, local_text
from spanledger.query_api.stats.inherited import INHERITED, joined, own_or_of_trace
from spanledger.query_api.stats.measures import (
    MEASURES,
    RARE,
    Measure,
    Of,
    Order,
    answer,
    columns,
    nothing,
    order_needs,
    order_sql,
    place,
)
from spanledger.query_api.times import LATEST_NS, format_time
from spanledger.schemas.errors import BadData

GroupBy = Literal[
    "model",
    "provider",
    "service",
    "name",
    "role",
    "operation",
    "user",
    "conversation",
    "experiment",
    "tag",
    "status",
    "error_type",
]
GROUPS: tuple[GroupBy, ...] = get_args(GroupBy)
MOST_CELLS = 20_000

_SECOND = 10**9
# Where the first step is cheap, or its answer would be that there are many.
_SHORT_NS = 86_400 * _SECOND
# More stored rows than these take half of a gigabyte for their percentiles.
_MOST_EXACT = 1_000_000
_MANY = (*INHERITED, "tag", "name")
_WITHIN = f"project = {{project:String}} AND {STARTS_WITHIN}"
# A copy of a span starts when the span does: no FINAL.
_EXTENT_SQL = f"""
SELECT count(), toUnixTimestamp64Nano(min(start_time)), toUnixTimestamp64Nano(max(start_time))
FROM spans WHERE {_WITHIN}
"""  # noqa: S608 - constants

Key = tuple[str, ...]
Row = dict[str, Any]


class Asked(NamedTuple):
    """What is asked for: of which spans, of what of them, and how it is cut up."""

    since_ns: int = 0
    until_ns: int = LATEST_NS
    condition: Condition = All(())
    of: Of = "calls"
    group_by: tuple[GroupBy, ...] = ()
    bucket: Bucket | None = None
    zone: ZoneInfo = ZoneInfo("UTC")
    order: Order = "calls"
    limit: int = 20
    measures: tuple[Measure, ...] = MEASURES


class _Source(NamedTuple):
    """Where the spans that are asked for come from: what stands behind FROM, its parameters, the days that
    are stored; and the columns that are worked out of them.
    """

    sql: str
    parameters: dict[str, object]
    days: list[Day]
    measured: list[tuple[str, str]]


class _Bucket(NamedTuple):
    start: int
    end: int


def stats_json(client: Client, project: str, asked: Asked) -> bytes:
    """The answer as JSON, equal to the byte for the same spans whatever their order and however often they
    came. BadData where more is asked for than one answer holds.
    """
    source = _source(client, project, asked)
    buckets = _buckets(client, project, asked)
    if (guessed := _all_groups(client, source, asked, buckets)) is not None:
        keys, others, rows = guessed[0], 0, guessed[1]
        _check_size(keys, others, buckets)
    else:
        keys, others = _groups(client, source, asked)
        _check_size(keys, others, buckets)
        rows = _rows(client, source, asked, keys, buckets)
    made = _answer(asked, keys, others, buckets, rows)
    return json.dumps(made, ensure_ascii=False, separators=(",", ":")).encode()


def _check_size(keys: Sequence[Key], others: int, buckets: Sequence[_Bucket]) -> None:
    if (cells := (len(keys) + bool(others) + 1) * max(1, len(buckets))) > MOST_CELLS:
        raise BadData(
            f"bucket, limit: {len(keys)} groups in {len(buckets):,} buckets are {cells:,} rows, "
            f"and at most {MOST_CELLS:,} are given: ask for less time, a longer bucket or a lower limit"
        )


def _source(client: Client, project: str, asked: Asked) -> _Source:
    where = compiled(asked.condition)
    counted = " AND counted" if asked.of == "calls" else ""
    inherited = [name for name in asked.group_by if name in INHERITED]
    traces = f"trace_id IN (SELECT trace_id FROM spans WHERE {_WITHIN})"  # noqa: S608 - constants
    if (asked.since_ns, asked.until_ns) == (0, LATEST_NS):
        traces = ""
    parameters = where.parameters | {"project": project, "since": asked.since_ns, "until": asked.until_ns}
    days = stored_days(client)
    return _Source(
        f"spans FINAL{joined(inherited, traces)} WHERE {_WITHIN}{counted} AND {where.text}",
        parameters,
        days,
        _columns(client, asked, parameters, days),
    )


def _columns(
    client: Client, asked: Asked, parameters: Mapping[str, object], days: list[Day]
) -> list[tuple[str, str]]:
    measures = sorted({*asked.measures, *order_needs(asked.order)})
    is_long = asked.until_ns - asked.since_ns >= _SHORT_NS
    unsent = _unsent(client, parameters, measures) if is_long else ()
    in_steps = rows_between(days, asked.since_ns, asked.until_ns) > _MOST_EXACT
    return columns(asked.of, measures, unsent, in_steps=in_steps)


# --- buckets


def _buckets(client: Client, project: str, asked: Asked) -> list[_Bucket]:
    """Every bucket of the time that is asked for; of an open one those from the first span to the last."""
    if asked.bucket is None:
        return []
    first, last = asked.since_ns, asked.until_ns - 1
    if first == 0 or asked.until_ns == LATEST_NS:
        parameters = {"project": project, "since": asked.since_ns, "until": asked.until_ns}
        [[count, first_ns, last_ns]] = client.query(_EXTENT_SQL, parameters=parameters).result_rows
        if not count:
            return []
        first = first or first_ns
        last = last_ns if asked.until_ns == LATEST_NS else last
    found = cuts(asked.bucket, asked.zone, first // _SECOND, last // _SECOND)
    return [_Bucket(start, end) for start, end in pairwise(found)]


# --- groups


def _groups(client: Client, source: _Source, asked: Asked) -> tuple[list[Key], int]:
    """The keys of the groups that are shown, and how many others there are."""
    if not asked.group_by:
        return [()], 0
    names = [f"k{n}" for n in range(len(asked.group_by))]
    keys = ", ".join(
        f"{_each_tag() if name == 'tag' else _value(name)} AS {key}"
        for name, key in zip(asked.group_by, names, strict=True)
    )
    listed = ", ".join(names)
    found = client.query(
        f"SELECT {', '.join(f'toString({key})' for key in names)}, count() OVER () FROM ("  # noqa: S608
        f"SELECT {keys}, {order_sql(asked.order)} AS o FROM {source.sql} GROUP BY {listed}) "
        f"ORDER BY o DESC NULLS LAST, {listed} LIMIT {{most:UInt32}}",
        parameters=source.parameters | {"most": asked.limit},
    ).result_rows
    if not found:
        return [], 0
    return [tuple(row[:-1]) for row in found], found[0][-1] - len(found)


def _all_groups(
    client: Client, source: _Source, asked: Asked, buckets: Sequence[_Bucket]
) -> tuple[list[Key], dict[tuple[int, int], Row]] | None:
    """Every group with the rows of `_rows`, where all are shown; None where they seem to be more, or are."""
    if asked.until_ns - asked.since_ns < _SHORT_NS or any(name in _MANY for name in asked.group_by):
        return None
    if not asked.group_by or not _seem_few(client, source, asked):
        return None
    values = [_value(name) for name in asked.group_by]
    # A tuple would be taken for several keys.
    key = values[0] if len(values) == 1 else f"[{', '.join(f'toString({sql})' for sql in values)}]"
    most = (asked.limit + 1) * (len(buckets) + 1)
    found = _measured(client, source, key, {}, buckets=buckets, most=most)
    keys = sorted({_key(group) for group, _ in found if group is not None})
    if len(keys) > asked.limit or len(found) > most:
        return None
    numbers = {key: n for n, key in enumerate(keys, 1)}
    return keys, {
        (0 if group is None else numbers[_key(group)], bucket): row for (group, bucket), row in found.items()
    }


def _key(group: str | Key) -> Key:
    return (group,) if isinstance(group, str) else group


def _seem_few(client: Client, source: _Source, asked: Asked) -> bool:
    """Whether the newest day has no more groups than are shown; asked without FINAL."""
    newest_ns = min([asked.until_ns, *(day.last_ns + 1 for day in source.days[:1])])
    keys = ", ".join(_value(name) for name in asked.group_by)
    counted = " AND counted" if asked.of == "calls" else ""
    since_ns = max(asked.since_ns, newest_ns - _SHORT_NS)
    found = client.query(
        f"SELECT DISTINCT {keys} FROM spans WHERE {_WITHIN}{counted} LIMIT {{most:UInt32}}",  # noqa: S608
        parameters=source.parameters | {"since": since_ns, "most": asked.limit + 1},
    ).result_rows
    return len(found) <= asked.limit


def _value(name: GroupBy) -> str:
    return own_or_of_trace(name) if name in INHERITED else FIELDS[name].sql


def _each_tag() -> str:
    return "arrayJoin(if(empty(tags), [''], arrayDistinct(arrayMap(t -> toString(t), tags))))"


def _number(asked: Asked, keys: Sequence[Key]) -> tuple[str, dict[str, object]]:
    """The number of a span's group, from 1, with its parameters; behind the last are all the others."""
    parameters: dict[str, object] = {
        "keys": [_text(key) for key in keys],
        "numbers": list(range(1, len(keys) + 1)),
    }

    def found(values: Sequence[str]) -> str:
        table = "{keys:Array(String)}, {numbers:Array(UInt32)}"
        return f"transform({_text_sql(values)}, {table}, toUInt32({len(keys) + 1}))"

    values = [_value(name) if name != "tag" else "t" for name in asked.group_by]
    if "tag" not in asked.group_by:
        return found(values), parameters
    tags = "if(empty(tags), [''], arrayMap(t -> toString(t), tags))"
    return f"arrayJoin(arrayDistinct(arrayMap(t -> {found(values)}, {tags})))", parameters


def _text(key: Key) -> str:
    """A key as one text, that of no other key."""
    return key[0] if len(key) == 1 else "".join(f"{len(part.encode())}:{part}" for part in key)


def _text_sql(values: Sequence[str]) -> str:
    if len(values) == 1:
        return values[0]
    return "concat(" + ", ".join(f"toString(length({each})), ':', {each}" for each in values) + ")"


# --- rows


def _rows(
    client: Client, source: _Source, asked: Asked, keys: Sequence[Key], buckets: Sequence[_Bucket]
) -> dict[tuple[int, int], Row]:
    """The measures by number of the group and of the bucket, each from 1; 0 stands for all of them."""
    number, parameters = _number(asked, keys) if asked.group_by else ("", {})
    # A call with two tags stands in two groups: what is not by group is asked for apart.
    apart = "tag" in asked.group_by
    found: dict[tuple[int, int], Row] = {}
    for by_group in (number, "") if apart else (number,):
        for (group, bucket), row in _measured(client, source, by_group, parameters, buckets=buckets).items():
            if not (apart and by_group and group is None):
                found[group or 0, bucket] = row
    return found


def _measured(
    client: Client,
    source: _Source,
    by_group: str,
    parameters: Mapping[str, object],
    *,
    buckets: Sequence[_Bucket],
    most: int = MOST_CELLS * 2,
) -> dict[tuple[Any, int], Row]:
    """The measures by group, None for all of them, and by number of the bucket, from 1, 0 for all of them.

    Up to one more than `most`, of which nothing is said.
    """
    of_bucket = "roundDown(toUnixTimestamp(start_time), {cuts:Array(Int64)})" if buckets else ""
    places = {each.start: n for n, each in enumerate(buckets, 1)}
    given = source.parameters | {"cuts": [each.start for each in buckets], "most": most + 1, **parameters}
    sql = _cube(source, by_group, of_bucket)
    found: dict[tuple[Any, int], Row] = {}
    for row in client.query(sql, parameters=given).named_results():
        group, bucket = row.pop("g"), row.pop("b")
        group = tuple(group) if isinstance(group, list) else group
        every_group, every_bucket = row.pop("every_group"), row.pop("every_bucket")
        found[None if every_group else group, 0 if every_bucket else places[bucket]] = row
    return found


def _unsent(client: Client, parameters: Mapping[str, object], measures: Sequence[Measure]) -> list[str]:
    """The columns of RARE that no span has. Takes milliseconds: of a value only its being there is read."""

    def is_sent(name: str) -> bool:
        sql = f"SELECT 1 FROM spans WHERE {_WITHIN} AND NOT {name}.null LIMIT 1"  # noqa: S608 - constants
        return bool(client.query(sql, parameters=dict(parameters)).result_rows)

    return [name for measure in measures for name in RARE.get(measure, ()) if not is_sent(name)]


def _cube(source: _Source, group: str, bucket: str) -> str:
    keys = [name for name, sql in (("g", group), ("b", bucket)) if sql]
    made = ", ".join(f"{sql} AS m_{name}" for name, sql in source.measured)
    given = ", ".join(f"m_{name} AS {name}" for name, _ in source.measured)
    every_group = "grouping(g)" if group else "1"
    every_bucket = "grouping(b)" if bucket else "1"
    group_by = f" GROUP BY {', '.join(keys)} WITH CUBE" if keys else ""
    return (
        f"SELECT g, b, every_group, every_bucket, {given} FROM (SELECT "  # noqa: S608 - constants, parameters
        f"{group or 'toUInt32(0)'} AS g, {bucket or 'toInt64(0)'} AS b, {every_group} AS every_group, "
        f"{every_bucket} AS every_bucket, {made} FROM {source.sql}{group_by} LIMIT {{most:UInt32}})"
    )


# --- the answer


def _answer(
    asked: Asked,
    keys: Sequence[Key],
    others: int,
    buckets: Sequence[_Bucket],
    rows: Mapping[tuple[int, int], Row],
) -> dict[str, Any]:
    times = [_times(each, asked.zone) for each in buckets]
    empty = nothing(asked.of, asked.measures)

    def measured(group: int) -> dict[str, Any]:
        row = rows.get((group, 0))
        made = dict(empty) if row is None or not row["spans"] else answer(asked.of, asked.measures, row)
        if asked.bucket is not None:
            made["buckets"] = [
                time | (answer(asked.of, asked.measures, rows[group, n]) if (group, n) in rows else empty)
                for n, time in enumerate(times, 1)
            ]
        return made

    shown = [
        {"key": {name: part or None for name, part in zip(asked.group_by, key, strict=True)}} | measured(n)
        for n, key in _in_order(asked, keys, rows)
    ]
    return {
        "of": asked.of,
        "group_by": list(asked.group_by),
        "bucket": asked.bucket,
        "time_zone": asked.zone.key,
        "order_by": asked.order,
        "groups": shown if asked.group_by else [],
        "other": {"groups": others} | measured(len(keys) + 1) if others else None,
        "total": measured(0),
    }


def _in_order(
    asked: Asked, keys: Sequence[Key], rows: Mapping[tuple[int, int], Row]
) -> list[tuple[int, Key]]:
    if not asked.group_by:
        return []

    def rank(item: tuple[int, Key]) -> tuple[bool, Any, Key]:
        found = place(asked.order, rows[item[0], 0])
        return (found is None, 0 if found is None else -found, item[1])

    # One that was gone when the measures were read (its spans came once more, with another key) is left out.
    there = [item for item in enumerate(keys, 1) if (item[0], 0) in rows]
    return sorted(there, key=rank)


def _times(bucket: _Bucket, zone: ZoneInfo) -> dict[str, str]:
    return {
        "start": format_time(bucket.start * _SECOND),
        "end": format_time(bucket.end * _SECOND),
        "local_start": local_text(bucket.start, zone),
    }
