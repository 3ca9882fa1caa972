"""Where the cost of a span comes from: what is stored, what prices say today, what was sent, what changed."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal

import numpy as np
from clickhouse_connect.driver.client import Client

from spanledger.query_api.prices.sent import Sent, is_count, sent_counts, sent_for
from spanledger.query_api.prices.words import entry_answer, moment_text
from spanledger.query_api.times import format_time
from spanledger.query_api.values import attributes_of, money
from spanledger.schemas.calls import COUNTED_ROLES
from spanledger.schemas.errors import NotFound
from spanledger.schemas.price_api import (
    CostChange,
    CostChoice,
    CostExplanation,
    CostLine,
    CostSum,
    CostUsage,
    Reported,
    SentCount,
    SpanName,
    StoredCost,
)
from spanledger.schemas.prices.book import Key, PriceBook
from spanledger.schemas.prices.choice import BILLED, SOURCES, choose
from spanledger.schemas.prices.compute import UNREADABLE
from spanledger.schemas.prices.explain import Line, explain
from spanledger.schemas.prices.named import Named, keys_of
from spanledger.schemas.prices.units import NUMBERS, TOKEN_UNITS

Preference = Literal["provider", "reported", "computed"]

COST_SQL = """
SELECT
    toUnixTimestamp64Nano(start_time) AS start_ns, toString(role) AS role, scope_name, dialect,
    provider, request_model, response_model, service_tier,
    input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens,
    input_audio_tokens, output_audio_tokens, usage, usage_flags,
    counted, lower(hex(duplicate_of)) AS winner,
    cost_usd, cost_input_usd, cost_output_usd, cost_source, cost_reason, cost_reported_usd, cost_computed_usd,
    cost_origin, price_model, price_version,
    attributes_string, attributes_int, attributes_double, attributes_bool, attributes_json,
    content_string, content_json
FROM spans FINAL
WHERE project = {project:String} AND trace_id = toFixedString(unhex({trace_id:String}), 16)
    AND span_id = toFixedString(unhex({span_id:String}), 8)
ORDER BY received_at DESC
LIMIT 1
"""
HISTORY_SQL = """
SELECT run, changed_at, who, why, old_cost_usd, new_cost_usd, old_price_version, new_price_version,
    old_reason, new_reason
FROM cost_history
WHERE project = {project:String} AND trace_id = toFixedString(unhex({trace_id:String}), 16)
    AND span_id = toFixedString(unhex({span_id:String}), 8)
    AND start_time = fromUnixTimestamp64Nano({start:Int64}, 'UTC')
ORDER BY changed_at DESC, run
LIMIT 1000
"""
_UNIT_OF_SENT = {
    **TOKEN_UNITS,
    "input_tokens_apart": "input_tokens",
    "output_tokens_apart": "output_tokens",
    "cache_read_apart": "cache_read_tokens",
    "cache_write_apart": "cache_write_tokens",
    "reasoning_apart": "output_reasoning_tokens",
}

Row = Mapping[str, Any]


def explain_cost(
    book: PriceBook, client: Client, span: SpanName, *, project: str, preference: Preference
) -> CostExplanation:
    """Everything about the cost of a span; NotFound where it is not stored. Ids are lower-case hex."""
    names = {"project": project, **span.model_dump()}
    found = list(client.query(COST_SQL, parameters=names).named_results())
    if not found:
        raise NotFound(f"No span {span.span_id} of a trace {span.trace_id} is stored")
    [row] = found
    attributes = attributes_of(row)
    sent = sent_counts(attributes)
    counted = _counted(row)
    today = _today(book, project, row, attributes, _with_unreadable(row, counted, sent))
    stored = row["cost_computed_usd"]
    total = None if today.total_usd is None else Decimal(today.total_usd)
    as_stored = total == stored
    return CostExplanation(
        trace_id=span.trace_id,
        span_id=span.span_id,
        start_time=format_time(row["start_ns"]),
        role=row["role"],
        provider=row["provider"] or None,
        request_model=row["request_model"] or None,
        response_model=row["response_model"] or None,
        service_tier=row["service_tier"] or None,
        counted=row["counted"],
        duplicate_of=_span_name(row["winner"]),
        stored=_stored(row),
        today=today,
        as_stored=as_stored,
        would_be_usd=None if as_stored else today.total_usd,
        reported=_reported(row, attributes),
        choice=_choice(row, attributes, preference),
        usage=CostUsage(
            sent=[SentCount(meaning=each.column, attribute=each.key, value=each.value) for each in sent],
            counted=counted,
            flags=row["usage_flags"],
        ),
        history=[
            _change(change)
            for change in client.query(
                HISTORY_SQL, parameters=names | {"start": row["start_ns"]}
            ).named_results()
        ],
    )


def _span_name(ids: str) -> SpanName | None:
    """From 48 hexadecimal digits, or none."""
    return SpanName(trace_id=ids[:32], span_id=ids[32:]) if ids else None


def _counted(row: Row) -> dict[str, int]:
    """The counts by unit, in the order of the units."""
    counts = {unit: row[column] for column, unit in TOKEN_UNITS.items() if row[column] is not None}
    counts |= row["usage"]
    return {unit: counts[unit] for unit in sorted(counts, key=NUMBERS.__getitem__)}


def _with_unreadable(row: Row, counted: Mapping[str, int], sent: list[Sent]) -> dict[str, int]:
    """The counts with those that were sent and could not be read: a cost without them would be wrong."""
    if "unreadable" not in row["usage_flags"]:
        return dict(counted)
    bad = {
        unit: UNREADABLE
        for each in sent
        if (unit := _UNIT_OF_SENT.get(each.column, each.column)) in NUMBERS
        and unit not in counted
        and not is_count(each.value)
    }
    return bad | dict(counted)


def _today(
    book: PriceBook, project: str, row: Row, attributes: Mapping[str, Any], usage: Mapping[str, int]
) -> CostSum:
    """What today's book says of a stored span."""
    if row["role"] not in COUNTED_ROLES:
        return _no_cost("not_counted" if usage else None)
    key = _key(book, project, row, attributes)
    made = explain(book, key, usage, row["start_ns"])
    return CostSum(
        total_usd=money(made.total),
        input_usd=money(made.input),
        output_usd=money(made.output),
        reason=made.reason or None,
        model=key.model or None,
        entry=None if made.entry is None else entry_answer(made.entry),
        valid_from=None if made.valid_from is None else moment_text(made.valid_from),
        valid_to=None if made.valid_to is None else moment_text(made.valid_to),
        daily_from=made.daily_from or None,
        daily_to=made.daily_to or None,
        lines=[_line(line) for line in sorted(made.lines, key=lambda line: NUMBERS[line.unit])],
    )


def _no_cost(reason: str | None) -> CostSum:
    return CostSum(
        total_usd=None,
        input_usd=None,
        output_usd=None,
        reason=reason,
        model=None,
        entry=None,
        valid_from=None,
        valid_to=None,
        daily_from=None,
        daily_to=None,
        lines=[],
    )


def _key(book: PriceBook, project: str, row: Row, attributes: Mapping[str, Any]) -> Key:
    """By what name a stored span is priced."""
    host = sent_for("host", attributes)
    names = Named(
        project,
        row["provider"],
        row["request_model"],
        row["response_model"],
        row["service_tier"],
        str(host.value) if host else "",
    )
    return keys_of(book, [names])[0]


def _line(line: Line) -> CostLine:
    return CostLine(
        unit=line.unit,
        direction=line.direction or None,
        sent=money(line.sent),
        billed=money(line.billed),
        price=money(line.price),
        per=line.per,
        tier_start=line.tier_start,
        discount_percent=money(line.discount_percent),
        amount_usd=money(line.amount),
    )


def _stored(row: Row) -> StoredCost:
    return StoredCost(
        usd=money(row["cost_usd"]),
        source=row["cost_source"] or None,
        reason=row["cost_reason"] or None,
        computed_usd=money(row["cost_computed_usd"]),
        computed_input_usd=money(row["cost_input_usd"]),
        computed_output_usd=money(row["cost_output_usd"]),
        reported_usd=money(row["cost_reported_usd"]),
        price_model=row["price_model"] or None,
        price_version=row["price_version"] or None,
    )


def _reported(row: Row, attributes: Mapping[str, Any]) -> Reported | None:
    """What the sender said, in whatever currency: the column has dollars only."""
    sent = sent_for("cost_reported_usd", attributes)
    if sent is None:
        return None
    currency = sent_for("cost_currency", attributes)
    return Reported(
        usd=money(row["cost_reported_usd"]),
        by="provider" if row["cost_origin"] == BILLED else "application",
        attribute=sent.key,
        value=sent.value,
        currency=str(currency.value) if currency else None,
        instrumentation=row["scope_name"],
    )


def _choice(row: Row, attributes: Mapping[str, Any], preference: Preference) -> CostChoice:
    computed, reported = row["cost_computed_usd"], row["cost_reported_usd"]
    if row["winner"]:
        words = "This span does not count: another one records the same call."
    elif not row["counted"]:
        words = "This span does not count: it is no call of a model, or it repeats what its calls say."
    elif (expected := _expected(row, preference)) != row["cost_source"]:
        words = f"Stored under another preference: by this one the cost would be {expected or 'unknown'}."
    elif not expected:
        words = f"Neither is known: {row['cost_reason']}."
    elif expected == "computed":
        words = _why_computed(row, attributes, preference)
    elif computed is None:
        words = "Only the reported cost is known."
    else:
        words = (
            f"{'The bill of the provider' if preference == 'provider' else 'The reported cost'} comes first."
        )
    return CostChoice(
        preference=preference,
        counts=row["cost_source"] or None,
        words=words,
        difference_usd=None if computed is None or reported is None else money(reported - computed),
    )


def _expected(row: Row, preference: Preference) -> str:
    """What counts by a preference, as the collector decides it (collector/rows/money.py)."""
    computed, reported = row["cost_computed_usd"], row["cost_reported_usd"]
    number = choose(
        computed=np.bool_(computed is not None),
        reported=np.bool_(reported is not None),
        billed=np.bool_(row["cost_origin"] == BILLED),
        nothing=np.bool_(reported == 0),
        used=np.bool_(bool(_counted(row)) or "unreadable" in row["usage_flags"]),
        preference=preference,
    )
    return SOURCES[int(number)]


def _why_computed(row: Row, attributes: Mapping[str, Any], preference: Preference) -> str:
    if row["cost_reported_usd"] is None:
        if sent_for("cost_reported_usd", attributes) is None:
            return "Only the computed cost is known."
        return "What was reported is no amount of US dollars."
    if preference == "computed":
        return "The computed cost comes first."
    return "The computed cost comes before one that the provider has not billed."


def _change(row: Row) -> CostChange:
    return CostChange(
        run=row["run"],
        changed_at=moment_text(row["changed_at"]),
        who=row["who"],
        why=row["why"],
        old_cost_usd=money(row["old_cost_usd"]),
        new_cost_usd=money(row["new_cost_usd"]),
        old_price_version=row["old_price_version"] or None,
        new_price_version=row["new_price_version"] or None,
        old_reason=row["old_reason"] or None,
        new_reason=row["new_reason"] or None,
    )
