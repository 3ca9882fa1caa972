"""Wholes: conditions on a trace, of what it amounts to and of the spans it has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any as Anything
from typing import NamedTuple, get_args

from spanledger.query_api.search.conditions import Any, Compare, Condition, Op, Value
from spanledger.query_api.search.fields import Field
from spanledger.query_api.values import status_name
from spanledger.schemas.api import Status

# What the summary of a trace says (traces.py), as fields; `sql` gives it over the spans of a trace.
TRACE_FIELDS: dict[str, Field] = {
    "trace_id": Field("text", "", "The trace, 32 hex digits."),
    "name": Field("text", "", "Name of the root span."),
    "service": Field("text", "", "service.name of the root span."),
    "status": Field("choice", "", "Status of the root span.", choices=get_args(Status)),
    "user": Field("text", "", "The first end user that a span names."),
    "conversation": Field("text", "", "The first conversation that a span names."),
    "experiment": Field("text", "", "The first experiment that a span names."),
    "model": Field("texts", "", "A model that answered, or was asked where no answer tells."),
    "duration_ms": Field("number", "duration_ns / 1e6", "Milliseconds from the first start to the last end."),
    "span_count": Field("number", "span_count", "Spans."),
    "error_count": Field("number", "error_count", "Spans whose status is error."),
    "llm_call_count": Field("number", "llm_call_count", "Calls of a model."),
    "unpriced_call_count": Field("number", "unpriced", "Calls whose cost is not known."),
    "input_tokens": Field("number", "input_tokens", "Tokens that went in, of all calls."),
    "output_tokens": Field("number", "output_tokens", "Tokens that came out, of all calls."),
    "tokens": Field("number", "tokens", "Tokens in and out, of all calls."),
    "cost_usd": Field("money", "cost", "What the calls cost, US dollars."),
}


class Whole(NamedTuple):
    """A field of TRACE_FIELDS beside a value, as `Compare` is for spans."""

    field: str
    op: Op
    value: Value | Sequence[Value] | None = None


class AnySpan(NamedTuple):
    """At least one span fulfils it."""

    condition: Condition


class AllOf(NamedTuple):
    """Every one of them."""

    parts: Sequence[Where]


class AnyOf(NamedTuple):
    """At least one of them."""

    parts: Sequence[Where]


class NotOf(NamedTuple):
    """Whatever does not fulfil it."""

    part: Where


Where = Whole | AnySpan | AllOf | AnyOf | NotOf


def fits(where: Where, facts: Mapping[str, Anything], has_span: Callable[[Condition], bool]) -> bool:
    """Whether a trace fulfils it: `facts` by TRACE_FIELDS, None what is not known; `has_span` of AnySpan."""
    match where:
        case AllOf(parts):
            return all(fits(part, facts, has_span) for part in parts)
        case AnyOf(parts):
            return any(fits(part, facts, has_span) for part in parts)
        case NotOf(part):
            return not fits(part, facts, has_span)
        case AnySpan(condition):
            return has_span(condition)
        case Whole(field, op, value):
            return compares(facts[field], op, value)


def compares(fact: Anything, op: Op, value: Anything) -> bool:
    """Whether a fact fulfils a comparison; one of many texts must, and what is not known fulfils none."""
    if op in ("ne", "not_in"):
        return not compares(fact, "eq" if op == "ne" else "in", value)
    if isinstance(fact, list):
        return bool(fact) if op == "exists" else any(compares(one, op, value) for one in fact)
    if fact is None or fact == "":
        return False
    return _COMPARES[op](fact, value)


_COMPARES: dict[str, Callable[[Anything, Anything], bool]] = {
    "exists": lambda _, __: True,
    "eq": lambda fact, value: bool(fact == value),
    "in": lambda fact, values: fact in values,
    "lt": lambda fact, value: bool(fact < value),
    "le": lambda fact, value: bool(fact <= value),
    "gt": lambda fact, value: bool(fact > value),
    "ge": lambda fact, value: bool(fact >= value),
    "contains": lambda fact, value: value in fact,
    "starts_with": lambda fact, value: fact.startswith(value),
    "ends_with": lambda fact, value: fact.endswith(value),
}


def span_conditions(where: Where) -> Iterator[Condition]:
    """Every condition on spans in it."""
    match where:
        case AllOf(parts) | AnyOf(parts):
            for part in parts:
                yield from span_conditions(part)
        case NotOf(part):
            yield from span_conditions(part)
        case AnySpan(condition):
            yield condition
        case Whole():
            pass


def needed_span(where: Where) -> Condition | None:
    """A condition that some span of every trace that fits fulfils; None: there is none to be told."""
    match where:
        case AnySpan(condition):
            return condition
        case Whole("status", "eq" | "in" as op, value):
            return Compare("status", op, value)  # the root is a span
        case AllOf(parts):
            found = [needed for part in parts if (needed := needed_span(part)) is not None]
            # What was asked of spans tells more than what follows from the trace's own status.
            asked = [part.condition for part in parts if isinstance(part, AnySpan)]
            return next(iter([*asked, *found]), None)
        case AnyOf(parts):
            of_each = [needed_span(part) for part in parts]
            known = [needed for needed in of_each if needed is not None]
            return Any(known) if known and len(known) == len(of_each) else None
        case _:
            return None


def needed_totals(where: Where) -> list[Whole]:
    """Conditions on numbers of the trace that every trace that fits fulfils."""
    match where:
        case AllOf(parts):
            return [found for part in parts for found in needed_totals(part)]
        case Whole(field, op) if TRACE_FIELDS[field].kind in ("number", "money"):
            return [] if op in ("ne", "not_in") else [where]
        case _:
            return []


def needed_statuses(where: Where) -> list[Whole]:
    """Conditions on the status that every trace that fits fulfils."""
    match where:
        case AllOf(parts):
            return [found for part in parts for found in needed_statuses(part)]
        case Whole("status", "eq" | "in"):
            return [where]
        case _:
            return []


def facts_of(row: Mapping[str, Anything]) -> dict[str, Anything]:
    """What TRACE_FIELDS say of a trace, from a row of the summary query."""
    given = (row["input_tokens"], row["output_tokens"])
    tokens = None if given == (None, None) else sum(count or 0 for count in given)
    _, name, service, status_code = row["root"]
    return {
        "trace_id": row["id"],
        "name": name,
        "service": service,
        "status": status_name(status_code),
        "user": row["user"],
        "conversation": row["conversation"],
        "experiment": row["experiment"],
        "model": row["models"],
        "duration_ms": (row["end_ns"] - row["start_ns"]) / 1_000_000,
        "span_count": row["span_count"],
        "error_count": row["error_count"],
        "llm_call_count": row["llm_call_count"],
        "unpriced_call_count": row["unpriced"],
        "input_tokens": row["input_tokens"],
        "output_tokens": row["output_tokens"],
        "tokens": tokens,
        "cost_usd": row["cost"],
    }
