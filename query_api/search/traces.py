"""Traces: what a whole trace amounts to, and the list of them.

A trace starts when its earliest span starts, however many days lie between its spans. So the list by time is
found in steps: a window of time (see windows.py) gives the traces that have a span in it, by the earliest
there. Then the spans of these are looked up wherever they lie, through the index on trace ids. A trace
that really starts where the window said is summed up and stands in the list; another window will find
the others.

Where a span must fulfil something, the spans that do are looked for first: those in the window, and those
behind it that are of a trace with a span in it. They are found without FINAL, as in spans.py: whether what
was found is the newest copy is seen when the trace is summed up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from clickhouse_connect.driver.client import Client

from spanledger.query_api.extents import OF_TRACES, of_traces
from spanledger.query_api.search.conditions import Condition, Parameters, compiled, of_number, reads
from spanledger.query_api.search.cursors import Position
from spanledger.query_api.search.inherited import settled_where
from spanledger.query_api.search.spans import FIRST_ROWS_FOR, Order, Sort
from spanledger.query_api.search.totals import DURATION_NS, MODELS, TOTALS, first_of
from spanledger.query_api.search.wholes import (
    TRACE_FIELDS,
    AllOf,
    AnySpan,
    Where,
    Whole,
    facts_of,
    fits,
    needed_span,
    needed_statuses,
    needed_totals,
    span_conditions,
)
from spanledger.query_api.search.windows import STARTS_WITHIN, Day, Window, rows_between, stored_days, windows
from spanledger.query_api.times import LATEST_NS, format_time, milliseconds
from spanledger.query_api.values import money, status_name

_MOST_AT_ONCE = 500
_MOST_FOUND = 2_000  # spans that fulfil a condition, looked for at once
_FEW_OF_TRACE = 3  # and of one trace
_NEVER = 1 << 63
_MOST_CROSSED = 500_000  # rows of a time whose traces are all looked for behind it at once

# FINAL gives each span once, as it was received last. The root is the first of: spans without a parent,
# spans whose parent is not stored, all others; within these the earliest.
SUMMARY_SQL = f"""
SELECT
    lower(hex(trace_id)) AS id,
    argMin(
        tuple(lower(hex(span_id)), name, service, status_code),
        tuple(multiIf(
            parent_span_id = toFixedString('', 8), 0,
            (trace_id, parent_span_id) NOT IN (
                SELECT trace_id, span_id FROM spans
                WHERE project = {{project:String}} AND {OF_TRACES}
            ), 1,
            2
        ), start_time, span_id)
    ) AS root,
    toUnixTimestamp64Nano(min(start_time)) AS start_ns,
    toUnixTimestamp64Nano(max(start_time)) AS last_ns,
    toUnixTimestamp64Nano(max(greatest(start_time, end_time))) AS end_ns,
    {TOTALS["span_count"]} AS span_count,
    {TOTALS["error_count"]} AS error_count,
    {TOTALS["llm_call_count"]} AS llm_call_count,
    {TOTALS["input_tokens"]} AS input_tokens,
    {TOTALS["output_tokens"]} AS output_tokens,
    {TOTALS["cost_usd"]} AS cost,
    {TOTALS["unpriced_call_count"]} AS unpriced,
    {MODELS} AS models,
    {first_of("conversation_id")} AS conversation,
    {first_of("user_id")} AS user,
    {first_of("experiment_id")} AS experiment,
    countIf(has({{copies:Array(String)}}, concat(
        lower(hex(trace_id)), lower(hex(span_id)), '/', toString(toUnixTimestamp64Nano(start_time)),
        '/', toString(toUnixTimestamp64Nano(received_at))
    ))) AS current_copies
FROM spans FINAL
PREWHERE project = {{project:String}} AND {OF_TRACES}
GROUP BY trace_id
"""  # noqa: S608

_IN_WINDOW = f"project = {{project:String}} AND {STARTS_WITHIN}"
_BEHIND_WINDOW = """project = {project:String}
    AND start_time >= fromUnixTimestamp64Nano({behind:Int64}, 'UTC')"""
# First the ids, which are narrow; what else is asked is read of the few rows that are left.
_BEHIND_SQL = f"""PREWHERE trace_id IN (SELECT trace_id FROM spans WHERE {_IN_WINDOW})
WHERE {_BEHIND_WINDOW}"""  # noqa: S608
CROSSING_SQL = f"SELECT trace_id FROM spans {_BEHIND_SQL}"  # noqa: S608

# The traces of a window, those that start there and some that do not.
CANDIDATES_SQL = """
SELECT lower(hex(trace_id)) AS id, toUnixTimestamp64Nano(min(start_time)) AS start_ns
FROM spans{final}
WHERE {in_window}{of_traces}
GROUP BY trace_id
HAVING (
        start_ns {sign} {{after_ns:Int64}}
        OR (start_ns = {{after_ns:Int64}} AND id {sign} {{after_id:String}})
    )
    AND {totals}
ORDER BY start_ns {order}, id {order}
LIMIT {{most:UInt32}}
"""
FOUND_SQL = """
SELECT
    lower(hex(trace_id)) AS trace,
    lower(hex(span_id)) AS span,
    toUnixTimestamp64Nano(start_time) AS start_ns,
    toUnixTimestamp64Nano(received_at) AS received_ns
FROM spans
{where}
    AND {condition}
ORDER BY start_time {order}
LIMIT {{few:UInt32}} BY trace_id
LIMIT {{most:UInt32}}
"""
HAS_SPANS_SQL = """
SELECT lower(hex(trace_id)) AS id, {conditions}
FROM spans FINAL
PREWHERE project = {{project:String}} AND {of_traces}
GROUP BY trace_id
"""

_RANKS: dict[Sort, tuple[str, str]] = {
    "duration": (DURATION_NS, "Int64"),
    "cost": (TOTALS["cost_usd"], "Decimal(38, 18)"),
    "tokens": (TOTALS["tokens"], "UInt128"),
}
# PREWHERE sorts out what was received later before FINAL chooses among copies: the list is that of one
# moment, whatever arrives while it is paged through.
RANKED_SQL = """
SELECT lower(hex(trace_id)) AS id, {value} AS value, toString(value) AS value_text
FROM spans FINAL
PREWHERE received_at <= fromUnixTimestamp64Nano({{as_of:Int64}}, 'UTC')
WHERE project = {{project:String}}
    AND start_time >= fromUnixTimestamp64Nano({{since:Int64}}, 'UTC'){of_traces}
GROUP BY trace_id
HAVING min(start_time) < fromUnixTimestamp64Nano({{until:Int64}}, 'UTC') AND {behind} AND {totals}
ORDER BY isNull(value), value {order}, id {order}
LIMIT {{most:UInt32}}
"""
NEWEST_SQL = """
SELECT toUnixTimestamp64Nano(max(received_at)) FROM spans
WHERE project = {project:String} AND start_time >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')
"""


class Search(NamedTuple):
    """Which traces, in which order: those that start in a time, and of these those that fulfil `where`.

    By another sort than time, what has no value comes last, and `since_ns` says how much is summed up.
    """

    where: Where = AllOf([])
    since_ns: int = 0
    until_ns: int = LATEST_NS
    sort: Sort = "time"
    order: Order = "desc"


class Extent(NamedTuple):
    """From where to where the spans of a trace start."""

    trace_id: str
    first_ns: int
    last_ns: int


class Trace(NamedTuple):
    """A summary as the API gives it, its extent, what conditions ask of it, and whether one of the copies
    of spans that were asked for counts.
    """

    extent: Extent
    summary: dict[str, Any]
    facts: dict[str, Any]
    has_current_copy: bool

    @property
    def position(self) -> Position:
        return Position(self.extent.first_ns, self.extent.trace_id)


class Copy(NamedTuple):
    """A stored copy of a span that fulfils what is needed of one."""

    trace_id: str
    span_id: str
    start_ns: int
    received_ns: int


def list_traces(
    client: Client,
    project: str,
    search: Search,
    *,
    limit: int,
    after: Position | None = None,
    as_of_ns: int = LATEST_NS,
) -> tuple[list[dict[str, Any]], Position | None]:
    """Up to `limit` summaries that follow `after`, and the position to go on from.

    `as_of_ns`: sorted by totals, spans received later do not move a trace (see `newest_received`).
    """
    search = search._replace(where=settled_where(client, project, search.where))
    if search.sort == "time":
        found = found_by_time(client, project, search, limit, after)
    else:
        found = _found_by_total(client, project, search, limit, after=after, as_of_ns=as_of_ns)
    shown: list[dict[str, Any]] = []
    last: Position | None = None
    for position, trace in found:
        if len(shown) == limit:
            return shown, last
        shown.append(trace.summary)
        last = position
    return shown, None


def newest_received(client: Client, project: str, since_ns: int) -> int:
    """When the newest of the spans since then was received."""
    [[newest]] = client.query(NEWEST_SQL, parameters={"project": project, "since": since_ns}).result_rows
    return int(newest)


# --- by time


def found_by_time(
    client: Client, project: str, search: Search, limit: int, after: Position | None
) -> Iterator[tuple[Position, Trace]]:
    """The traces that fit, in the order of their starts."""
    newest_first = search.order == "desc"
    since, until = search.since_ns, search.until_ns
    if after is None:
        after = Position(LATEST_NS, "g") if newest_first else Position(-1, "")
    elif newest_first:
        until = min(until, after.start_ns + 1)
    else:
        since = max(since, after.start_ns)
    days = stored_days(client)
    steps = _Steps(client, project, search, limit, days=days, whole=Window(since, until))
    needed = needed_span(search.where)
    first_rows = None if needed is None else FIRST_ROWS_FOR[reads(needed)]
    for window in windows(days, since, until, newest_first=newest_first, first_rows=first_rows):
        for candidates in steps.candidates(window, after):
            for trace in steps.fitting(candidates):
                yield trace.position, trace


class _Steps:
    """The steps of one search by time."""

    def __init__(
        self, client: Client, project: str, search: Search, limit: int, *, days: list[Day], whole: Window
    ) -> None:
        self._client = client
        self._project = project
        self._search = search
        self._days = days
        self._whole = whole
        self._newest_first = search.order == "desc"
        self._order = search.order.upper()
        self._needed = needed_span(search.where)
        # What is left to be seen of the summary sorts some out, so more are taken at once.
        plain = search.where == AllOf([]) or (
            self._needed is not None and all(isinstance(part, AnySpan) for part in _parts(search.where))
        )
        self._at_once = min(limit + 1 if plain else 4 * limit, _MOST_AT_ONCE + 1)
        # Of traces whose start was not seen yet: the copies that were found.
        self._copies: dict[str, list[Copy]] = {}
        # How much time the last part had, where a window was too much at once.
        self._width_ns: int | None = None
        self._knows_behind = self._needed is None

    def candidates(self, window: Window, after: Position) -> Iterator[list[Position]]:
        """The traces with a span in the window that may fit, behind `after`, by their first start there."""
        if self._needed is None:
            yield from self._in_window(window, after, None)
            return
        if self._newest_first and not self._knows_behind:
            self._look_behind(self._needed)
        rest: Window | None = window
        while rest is not None:
            part, rest, copies = self._matching(rest, self._needed)
            # Going back in time, what was found behind the part so far may be of a trace that starts in it.
            if not self._newest_first:
                self._copies = {}
            self._keep(copies)
            if self._copies:
                yield from self._in_window(part, after, sorted(self._copies))

    def _keep(self, copies: Iterable[Copy]) -> None:
        for copy in copies:
            self._copies.setdefault(copy.trace_id, []).append(copy)

    def _look_behind(self, needed: Condition) -> None:
        """Find, once for all windows, what is behind the whole time and of a trace with a span in it."""
        if rows_between(self._days, self._whole.until_ns, _NEVER) == 0:
            self._knows_behind = True
        elif rows_between(self._days, *self._whole) <= _MOST_CROSSED:
            copies = self._found(_BEHIND_SQL, self._whole, needed, _MOST_FOUND)
            self._knows_behind = len(copies) <= _MOST_FOUND
            if self._knows_behind:
                self._keep(copies)

    def _behind_ns(self, window: Window) -> int:
        """Where what comes behind a window begins, as far as it was not looked through already."""
        return self._whole.until_ns if self._newest_first else window.until_ns

    def _in_window(
        self, window: Window, after: Position, trace_ids: list[str] | None
    ) -> Iterator[list[Position]]:
        totals = needed_totals(self._search.where)
        conditions, parameters = _of_totals(totals)
        if totals and rows_between(self._days, window.until_ns, _NEVER):
            # What is summed up in the window says nothing about a trace that goes on behind it.
            conditions = f"({conditions} OR trace_id IN ({CROSSING_SQL}))"
        statuses = needed_statuses(self._search.where)
        of_root, given_status = _of_root(statuses)
        conditions, parameters = f"{conditions} AND {of_root}", parameters | given_status
        sql = candidates_sql(
            self._search.order, conditions, summed=bool(totals or statuses), chosen=trace_ids is not None
        )
        parameters |= self._bounds(window) | {"behind": window.until_ns, "most": self._at_once}
        if trace_ids is not None:
            parameters["trace_ids"] = trace_ids
        full = True
        while full:
            given = parameters | {"after_ns": after.start_ns, "after_id": after.trace_id}
            rows = self._client.query(sql, parameters=given).result_rows
            candidates = [Position(start_ns, trace_id) for trace_id, start_ns in rows]
            if candidates:
                after = candidates[-1]
                yield candidates
            full = len(candidates) == self._at_once

    def _matching(self, window: Window, needed: Condition) -> tuple[Window, Window | None, list[Copy]]:
        """The part of a window that was looked through, what is left of it, and what was found.

        Found are copies of spans in the part, and behind it those of traces with a span in the part.
        """
        part = window
        if self._width_ns is not None:
            part = self._slice(window, 4 * self._width_ns)
        while True:
            most = _MOST_FOUND if part.until_ns - part.since_ns > 1 else 0
            inside = self._found(f"WHERE {_IN_WINDOW}", part, needed, most)
            if most and len(inside) > most:
                part = self._until_edge(part, inside[-1].start_ns)
                continue
            behind: list[Copy] = []
            if not self._knows_behind and rows_between(self._days, self._behind_ns(part), _NEVER):
                behind = self._found(_BEHIND_SQL, part, needed, most)
            if not most or len(behind) <= most:
                self._width_ns = None if part == window else part.until_ns - part.since_ns
                return part, self._left(window, part), inside + behind
            half = (part.until_ns - part.since_ns) // 2
            part = self._until_edge(
                part, part.until_ns - 1 - half if self._newest_first else part.since_ns + half
            )

    def _slice(self, window: Window, width_ns: int) -> Window:
        """What comes first of a window, so much of it."""
        if self._newest_first:
            return Window(max(window.since_ns, window.until_ns - width_ns), window.until_ns)
        return Window(window.since_ns, min(window.until_ns, window.since_ns + width_ns))

    def _until_edge(self, window: Window, edge_ns: int) -> Window:
        """The part of a window that comes before a moment in the order, and is not empty."""
        if self._newest_first:
            return Window(min(edge_ns + 1, window.until_ns - 1), window.until_ns)
        return Window(window.since_ns, max(edge_ns, window.since_ns + 1))

    def _left(self, window: Window, part: Window) -> Window | None:
        left = (
            Window(window.since_ns, part.since_ns)
            if self._newest_first
            else Window(part.until_ns, window.until_ns)
        )
        return left if left.since_ns < left.until_ns else None

    def _found(self, where: str, window: Window, needed: Condition, most: int) -> list[Copy]:
        """Up to one more than `most` copies, a few of each trace; all for 0."""
        condition = compiled(needed)
        sql = FOUND_SQL.format(where=where, condition=condition.text, order=self._order)
        parameters = {
            **condition.parameters,
            **self._bounds(window),
            "behind": self._behind_ns(window),
            "few": _FEW_OF_TRACE,
            "most": most + 1 if most else (1 << 32) - 1,
        }
        return [Copy(*row) for row in self._client.query(sql, parameters=parameters).result_rows]

    def _bounds(self, window: Window) -> dict[str, Any]:
        return {"project": self._project, "since": window.since_ns, "until": window.until_ns}

    def fitting(self, candidates: list[Position]) -> Iterator[Trace]:
        """Those of the candidates that start where they were found, and fit."""
        copies = [copy for place in candidates for copy in self._copies.get(place.trace_id, ())]
        traces = summaries(self._client, self._project, [place.trace_id for place in candidates], copies)
        starting = [
            traces[place.trace_id]
            for place in candidates
            if place.trace_id in traces and traces[place.trace_id].position == place
        ]
        for trace in starting:
            self._copies.pop(trace.extent.trace_id, None)
        yield from fitting(self._client, self._project, self._search.where, starting, self._needed)


def _parts(where: Where) -> Sequence[Where]:
    return where.parts if isinstance(where, AllOf) else (where,)


def fitting(
    client: Client, project: str, where: Where, traces: list[Trace], needed: Condition | None = None
) -> list[Trace]:
    """Those of the traces that fulfil `where`. `needed`: what `has_current_copy` of them was asked for."""
    asked = list(span_conditions(where))
    known: dict[str, list[bool]] = {}
    unsure = traces
    if asked == [needed]:
        known = {trace.extent.trace_id: [True] for trace in traces if trace.has_current_copy}
        # A few copies of each trace were looked at: where none of them counts, another one may.
        unsure = [trace for trace in traces if trace.extent.trace_id not in known]
    if asked and unsure:
        known |= _has_spans(client, project, asked, [trace.extent for trace in unsure])
    none = [False] * len(asked)
    return [
        trace
        for trace in traces
        if fits(where, trace.facts, _answers(asked, known.get(trace.extent.trace_id, none)))
    ]


def _answers(asked: Sequence[Condition], answers: Sequence[bool]) -> Callable[[Condition], bool]:
    by_id = dict(zip(map(id, asked), answers, strict=True))
    return lambda condition: by_id[id(condition)]


def _has_spans(
    client: Client, project: str, conditions: Sequence[Condition], extents: list[Extent]
) -> dict[str, list[bool]]:
    """Of each trace, whether it has a span that fulfils each of the conditions."""
    parameters: dict[str, Any] = {
        "project": project,
        "trace_ids": [extent.trace_id for extent in extents],
        "first": min(extent.first_ns for extent in extents),
        "last": max(extent.last_ns for extent in extents),
    }
    texts = []
    for n, condition in enumerate(conditions):
        fulfilled = compiled(condition, prefix=f"c{n}_")
        texts.append(f"max({fulfilled.text})")
        parameters |= fulfilled.parameters
    sql = HAS_SPANS_SQL.format(conditions=", ".join(texts), of_traces=OF_TRACES)
    rows = client.query(sql, parameters=parameters).result_rows
    return {row[0]: [bool(each) for each in row[1:]] for row in rows}


def candidates_sql(order: Order, totals: str = "1", *, summed: bool = False, chosen: bool = False) -> str:
    """The query for candidates with the parts that it needs: constants, and the condition on totals."""
    return CANDIDATES_SQL.format(
        final=" FINAL" if summed else "",
        in_window=_IN_WINDOW,
        of_traces=_OF_TRACES if chosen else "",
        sign="<" if order == "desc" else ">",
        totals=totals,
        order=order.upper(),
    )


_OF_TRACES = """
    AND trace_id IN (SELECT toFixedString(unhex(arrayJoin({trace_ids:Array(String)})), 16))"""


def _of_totals(totals: Iterable[Whole]) -> tuple[str, dict[str, Any]]:
    """Conditions on totals as an expression over the spans of a trace."""
    parameters = Parameters("t")
    texts = [
        of_number(
            TOTALS[total.field],
            total.op,
            total.value,
            parameters,
            exact=TRACE_FIELDS[total.field].kind == "money",
        )
        for total in totals
    ]
    return " AND ".join(texts) or "1", dict(parameters.given)


# Where a span of the trace has no parent, the earliest such is the root, whatever comes behind it.
_NO_PARENT = "parent_span_id = toFixedString('', 8)"
_ROOT_STATUS = (
    f"transform(argMinIf(status_code, (start_time, span_id), {_NO_PARENT}), [1, 2], ['ok', 'error'], 'unset')"
)


def _of_root(statuses: Iterable[Whole]) -> tuple[str, dict[str, Any]]:
    """Conditions on the status as an expression over the spans of a trace, true where they cannot tell."""
    parameters = Parameters("s")
    texts = []
    for status in statuses:
        names = [status.value] if status.op == "eq" else list(status.value or ())  # type: ignore[arg-type]
        texts.append(f"{_ROOT_STATUS} IN {parameters.add(names, 'Array(String)')}")
    known = " AND ".join(texts) or "1"
    return f"(countIf({_NO_PARENT}) = 0 OR ({known}))" if texts else "1", dict(parameters.given)


# --- by totals


def _found_by_total(
    client: Client, project: str, search: Search, limit: int, *, after: Position | None, as_of_ns: int
) -> Iterator[tuple[Position, Trace]]:
    """The traces that fit, in the order of their totals."""
    value, kind = _RANKS[search.sort]
    needed = needed_span(search.where)
    totals, parameters = _of_totals(needed_totals(search.where))
    of_root, given_status = _of_root(needed_statuses(search.where))
    totals = f"{totals} AND {of_root}"
    parameters |= given_status
    parameters |= {
        "project": project,
        "since": search.since_ns,
        "until": search.until_ns,
        "as_of": as_of_ns,
    }
    of_traces = ""
    if needed is not None:
        condition = compiled(needed)
        of_traces = f"""
    AND trace_id IN (SELECT trace_id FROM spans WHERE project = {{project:String}}
        AND start_time >= fromUnixTimestamp64Nano({{since:Int64}}, 'UTC') AND {condition.text})"""  # noqa: S608
        parameters |= condition.parameters
    most = limit + 1 if search.where == AllOf([]) else max(4 * limit, _MOST_AT_ONCE)
    full = True
    while full:
        behind = "1" if after is None else _behind(search.order, kind, after)
        sql = RANKED_SQL.format(
            value=value, of_traces=of_traces, behind=behind, totals=totals, order=search.order.upper()
        )
        given = parameters | {"most": most}
        if after is not None:
            given["after_id"] = after.trace_id
            if after.value is not None:
                given["after_value"] = f"{after.value:f}"
        rows = client.query(sql, parameters=given).result_rows
        ranked = [
            Position(0, trace_id, value=None if text is None else Decimal(text)) for trace_id, _, text in rows
        ]
        for start in range(0, len(ranked), limit + 1):
            part = ranked[start : start + limit + 1]
            traces = {
                trace_id: trace
                for trace_id, trace in summaries(client, project, [place.trace_id for place in part]).items()
                if search.since_ns <= trace.extent.first_ns < search.until_ns
            }
            shown = [traces[place.trace_id] for place in part if place.trace_id in traces]
            places = {place.trace_id: place for place in part}
            for trace in fitting(client, project, search.where, shown):
                yield places[trace.extent.trace_id], trace
        full = len(rows) == most
        after = ranked[-1] if ranked else after
        most = min(4 * most, 20_000)


def _behind(order: Order, kind: str, after: Position) -> str:
    sign = "<" if order == "desc" else ">"
    of_id = f"id {sign} {{after_id:String}}"
    if after.value is None:
        return f"(value IS NULL AND {of_id})"
    given = f"{{after_value:{kind}}}"
    return f"(value IS NULL OR value {sign} {given} OR (value = {given} AND {of_id}))"


# --- looking up


def summaries(
    client: Client, project: str, trace_ids: Sequence[str], copies: Iterable[Copy] = ()
) -> dict[str, Trace]:
    """The summaries of these traces by id. `copies`: of which is asked whether they are what counts."""
    if not trace_ids:
        return {}
    parameters = of_traces(client, trace_ids) | {
        "project": project,
        "copies": [f"{copy.trace_id}{copy.span_id}/{copy.start_ns}/{copy.received_ns}" for copy in copies],
    }
    result = client.query(SUMMARY_SQL, parameters=parameters)
    return {row["id"]: _trace(row) for row in result.named_results()}


def _trace(row: Mapping[str, Any]) -> Trace:
    span_id, name, service, status_code = row["root"]
    summary = {
        "trace_id": row["id"],
        "root_span_id": span_id,
        "name": name,
        "service": service or None,
        "status": status_name(status_code),
        "start_time": format_time(row["start_ns"]),
        "end_time": format_time(row["end_ns"]),
        "duration_ms": milliseconds(row["end_ns"] - row["start_ns"]),
        "span_count": row["span_count"],
        "error_count": row["error_count"],
        "llm_call_count": row["llm_call_count"],
        "input_tokens": row["input_tokens"],
        "output_tokens": row["output_tokens"],
        "cost_usd": money(row["cost"]),
        "unpriced_call_count": row["unpriced"],
        "models": row["models"],
        "conversation_id": row["conversation"] or None,
        "user_id": row["user"] or None,
        "experiment_id": row["experiment"] or None,
    }
    extent = Extent(row["id"], row["start_ns"], row["last_ns"])
    return Trace(extent, summary, facts_of(row), row["current_copies"] > 0)
