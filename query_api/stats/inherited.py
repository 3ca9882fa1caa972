"""What a span has from its trace: a user, a conversation or an experiment that only another span names."""

from __future__ import annotations

from collections.abc import Collection

from spanledger.query_api.search.fields import FIELDS

INHERITED = tuple(name for name, field in FIELDS.items() if field.inherited)


def own_or_of_trace(field: str) -> str:
    """The value of a field of INHERITED: the span's own, else the first that a span of its trace names.

    For a query over `spans` with `joined` of that field behind it. Empty where nobody names one.
    """
    own = f"toString({FIELDS[field].sql})"
    return f"if({own} = '', ifNull(trace_{field}, ''), {own})"


def joined(fields: Collection[str], traces: str = "") -> str:
    """What stands behind `FROM spans FINAL` for `own_or_of_trace`; nothing without fields.

    `traces`: a condition on `trace_id`, where not all traces are needed. The spans that name a value are
    looked for at any time, for a trace may be longer than what is asked for.
    """
    if not fields:
        return ""
    names = sorted(fields)
    firsts = ", ".join(
        f"argMinIf(toString({FIELDS[name].sql}), (start_time, span_id), {FIELDS[name].sql} != '') "
        f"AS trace_{name}"
        for name in names
    )
    named = " OR ".join(f"{FIELDS[name].sql} != ''" for name in names)
    return (
        f" ANY LEFT JOIN (SELECT trace_id AS naming_trace, {firsts} FROM spans FINAL "  # noqa: S608
        f"WHERE project = {{project:String}} AND ({named}){' AND ' + traces if traces else ''} "
        "GROUP BY trace_id) AS naming ON trace_id = naming_trace"
    )
