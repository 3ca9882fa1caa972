"""Facets: which values spans have and how often, for building filters.

Where a time has more spans than can be looked at quickly, pieces of it are looked at, spread over its spans,
and the counts are multiplied. Of prompts and answers the keys are told and nothing is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from clickhouse_connect.driver.client import Client

from spanledger.query_api.search.conditions import Condition, Level, compiled
from spanledger.query_api.search.counts import DAYS_SQL
from spanledger.query_api.search.fields import FIELDS
from spanledger.query_api.search.windows import Day, Window, samples
from spanledger.query_api.values import typed

# Rows that are looked at, in how many pieces: those of values, and those of all attributes.
VALUE_ROWS, ATTRIBUTE_ROWS, PIECES = 200_000, 20_000, 20
MOST_KEYS = 500
LONGEST_VALUE = 200  # bytes; what is longer is no value to choose from

FACETS = (
    "service",
    "name",
    "role",
    "operation",
    "provider",
    "model",
    "status",
    "error_type",
    "user",
    "conversation",
    "experiment",
    "agent",
    "tool",
    "tag",
)

_PAIRS = ", ".join(
    f"({n}, toString({FIELDS[name].sql}))" for n, name in enumerate(FACETS) if FIELDS[name].kind != "texts"
)
_TAGS = f"arrayMap(t -> ({FACETS.index('tag')}, toString(t)), arrayDistinct(tags))"
_WHERE = "WHERE project = {{project:String}} AND ({windows}) AND {condition}"
_VALUES_SQL = f"""
SELECT facet, value, count() AS n, count() OVER (PARTITION BY facet) AS different
FROM (
    SELECT arrayJoin(arrayConcat([{_PAIRS}], {_TAGS})) AS pair, pair.1 AS facet, pair.2 AS value
    FROM spans FINAL {_WHERE}
)
WHERE value != ''
GROUP BY facet, value
ORDER BY n DESC, value
LIMIT {{{{most:UInt32}}}} BY facet
"""  # noqa: S608 - constants
_COUNT_SQL = """
SELECT count(), countIf({condition}) FROM spans FINAL
WHERE project = {{project:String}} AND ({windows})
"""

_TYPE = (
    "multiIf(startsWith(v, '\"'), 'string', v IN ('true', 'false'), 'bool', "
    "match(v, '^-?[0-9]+$'), 'int', match(v, '^-?[0-9]'), 'double', 'other')"
)


def _choosable(text: str) -> str:
    return f"if(length({text}) > {LONGEST_VALUE}, NULL, {text})"


def _each(of_map: str, pair: str) -> str:
    """`pair` of each key `k` and value `v` of a map: level, key, type and value."""
    return f"arrayMap((k, v) -> {pair}, mapKeys({of_map}), mapValues({of_map}))"


def _plain(of_map: str, kind: str, text: str) -> str:
    return _each(of_map, f"('span', toString(k), '{kind}', {_choosable(text)})")


def _json(level: Level, of_map: str) -> str:
    value = f"if({_TYPE} = 'other', NULL, {_choosable('v')})"
    return _each(of_map, f"('{level}', toString(k), {_TYPE}, {value})")


def _keys(level: Level, keys: str, kind: str) -> str:
    return f"arrayMap(k -> ('{level}', toString(k), '{kind}', CAST(NULL, 'Nullable(String)')), {keys})"


_ATTRIBUTES = ", ".join(
    (
        _plain("attributes_string", "string", "toJSONString(v)"),
        _plain("attributes_int", "int", "toString(v)"),
        _plain("attributes_double", "double", "toString(v)"),
        _plain("attributes_bool", "bool", "toString(v)"),
        _keys("span", "attributes_json.keys", "other"),
        # Values of content are not even read.
        _keys("span", "content_string.keys", ""),
        _keys("span", "content_json.keys", ""),
        _json("resource", "resource_attributes"),
        _json("scope", "scope_attributes"),
        _keys("event", "arrayFlatten(events.attributes.keys)", ""),
        f"arrayFlatten(arrayMap(m -> {_json('link', 'm')}, links.attributes))",
    )
)
_ATTRIBUTES_SQL = f"""
SELECT level, key, value, n, total, different, kinds,
    dense_rank() OVER (ORDER BY total DESC, level, key) AS place
FROM (
    SELECT level, key, value, n,
        sum(n) OVER (PARTITION BY level, key) AS total,
        count(value) OVER (PARTITION BY level, key) AS different,
        groupUniqArray(kind) OVER (PARTITION BY level, key) AS kinds
    FROM (
        SELECT of_span.1 AS level, of_span.2 AS key, of_span.3 AS kind, of_span.4 AS value, count() AS n
        FROM (
            SELECT arrayJoin(arrayDistinct(arrayConcat({_ATTRIBUTES}))) AS of_span FROM spans FINAL {_WHERE}
        )
        WHERE {{chosen}}
        GROUP BY level, key, kind, value
    )
    ORDER BY level, key, value IS NULL, n DESC, value, kind
    LIMIT {{{{most:UInt32}}}} BY level, key
)
ORDER BY place, value IS NULL, n DESC, value
"""  # noqa: S608 - constants


class Asked(NamedTuple):
    """Of which spans, how many values of each; of attributes only those of a key and a level, if given."""

    since_ns: int
    until_ns: int
    condition: Condition
    limit: int
    key: str | None = None
    level: Level | None = None


class _Sample(NamedTuple):
    """What is looked at. `times`: how many spans stand behind each of them."""

    windows: Sequence[Window]
    times: float

    @property
    def exact(self) -> bool:
        return self.times == 1


def facets(client: Client, project: str, asked: Asked) -> dict[str, Any]:
    """The most frequent values of each field of FACETS, as schemas.stats_api.Facets."""
    sample = _sample(client, project, asked, VALUE_ROWS)
    rows = _asked(client, project, asked, sample, _VALUES_SQL)
    found: list[dict[str, Any]] = [{"field": name, "values": [], "more": False} for name in FACETS]
    for facet, value, count, different in rows:
        found[facet]["values"].append({"value": value, "count": round(count * sample.times)})
        found[facet]["more"] = different > asked.limit
    return {"spans": _count(client, project, asked, sample), "facets": found}


def attribute_facets(client: Client, project: str, asked: Asked) -> dict[str, Any]:
    """The most frequent attributes with their values, as schemas.stats_api.AttributeFacets."""
    sample = _sample(client, project, asked, ATTRIBUTE_ROWS)
    chosen = {"key": asked.key, "level": asked.level}
    given = {name: text for name, text in chosen.items() if text is not None}
    names = {"key": "of_span.2", "level": "of_span.1"}
    condition = " AND ".join(f"{names[name]} = {{{name}:String}}" for name in given) or "1"
    rows = _asked(client, project, asked, sample, _ATTRIBUTES_SQL, chosen=condition, given=given)
    found: dict[int, dict[str, Any]] = {}
    for level, key, value, count, total, different, kinds, place in rows:
        if place > MOST_KEYS:
            break
        entry = found.setdefault(
            place,
            {
                "key": key,
                "level": level,
                "types": sorted(kind for kind in kinds if kind),
                "count": round(total * sample.times),
                "values": [],
                "more": different > asked.limit,
            },
        )
        if value is not None:
            entry["values"].append({"value": typed(value), "count": round(count * sample.times)})
    return {
        "spans": _count(client, project, asked, sample),
        "attributes": list(found.values()),
        "more": any(row[-1] > MOST_KEYS for row in rows[-1:]),
    }


def _sample(client: Client, project: str, asked: Asked, most: int) -> _Sample:
    parameters = {"project": project, "since": asked.since_ns, "until": asked.until_ns}
    days = sorted(Day(*row) for row in client.query(DAYS_SQL, parameters=parameters).result_rows)
    rows = sum(day.rows for day in days)
    if rows <= most:
        return _Sample([Window(asked.since_ns, asked.until_ns)], 1)
    pieces = samples(days, asked.since_ns, asked.until_ns, rows=most, pieces=PIECES)
    looked_at = _Sample(pieces, 0)
    [[inside, _]] = _asked(client, project, asked, looked_at, _COUNT_SQL)
    return _Sample(pieces, rows / inside if inside else 0)


def _count(client: Client, project: str, asked: Asked, sample: _Sample) -> dict[str, Any]:
    [[_, fitting]] = _asked(client, project, asked, sample, _COUNT_SQL)
    return {"count": round(fitting * sample.times), "exact": sample.exact}


def _asked(
    client: Client,
    project: str,
    asked: Asked,
    sample: _Sample,
    sql: str,
    *,
    chosen: str = "1",
    given: Mapping[str, object] | None = None,
) -> Sequence[Sequence[Any]]:
    condition = compiled(asked.condition)
    parameters: dict[str, object] = {"project": project, "most": asked.limit, **(given or {})}
    within = []
    for n, (since_ns, until_ns) in enumerate(sample.windows):
        within.append(
            f"start_time >= fromUnixTimestamp64Nano({{since{n}:Int64}}, 'UTC') "
            f"AND start_time < fromUnixTimestamp64Nano({{until{n}:Int64}}, 'UTC')"
        )
        parameters |= {f"since{n}": since_ns, f"until{n}": until_ns}
    text = sql.format(windows=" OR ".join(within) or "0", condition=condition.text, chosen=chosen)
    return client.query(text, parameters=parameters | condition.parameters).result_rows
