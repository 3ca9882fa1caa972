"""Inherited: a search that asks for a user, a conversation or an experiment looks for its traces once.

A span that names none has that of its trace. Where few traces are in question they are found before the
search, and it reads what lies in them; otherwise every query of the search finds out by itself.
"""

from __future__ import annotations

from clickhouse_connect.driver.client import Client

from spanledger.query_api.search.conditions import (
    All,
    Any,
    Compare,
    Condition,
    Not,
    Settled,
    first_in_sql,
    sent_in_sql,
)
from spanledger.query_api.search.fields import FIELDS
from spanledger.query_api.search.wholes import AllOf, AnyOf, AnySpan, NotOf, Where

MOST_TRACES = 2_000


def settled(client: Client, project: str, condition: Condition) -> Condition:
    """The condition, with the traces of what is inherited where these are few."""
    match condition:
        case All(parts):
            return All([settled(client, project, part) for part in parts])
        case Any(parts):
            return Any([settled(client, project, part) for part in parts])
        case Not(part):
            return Not(settled(client, project, part))
        case Compare(name, "ne" | "not_in" as op, _) if FIELDS[name].inherited:
            return Not(settled(client, project, condition._replace(op="eq" if op == "ne" else "in")))
        case Compare(name, _, _) if FIELDS[name].inherited:
            return _settled(client, project, condition)
        case _:
            return condition


def settled_where(client: Client, project: str, where: Where) -> Where:
    """The same for a condition on traces."""
    match where:
        case AllOf(parts):
            return AllOf([settled_where(client, project, part) for part in parts])
        case AnyOf(parts):
            return AnyOf([settled_where(client, project, part) for part in parts])
        case NotOf(part):
            return NotOf(settled_where(client, project, part))
        case AnySpan(condition):
            return AnySpan(settled(client, project, condition))
        case _:
            return where


def _settled(client: Client, project: str, compare: Compare) -> Condition:
    sql = sent_in_sql(compare, MOST_TRACES + 1)
    rows = client.query(sql.text, parameters={"project": project, **sql.parameters}).result_rows
    sent_in = [trace_id for (trace_id,) in rows]
    if len(sent_in) > MOST_TRACES:
        return compare
    first_in: list[str] = []
    if sent_in:
        sql = first_in_sql(compare)
        given = {"project": project, "trace_ids": sent_in, **sql.parameters}
        first_in = [trace_id for (trace_id,) in client.query(sql.text, parameters=given).result_rows]
    return Settled(compare, sent_in, first_in)
