"""Totals: what the spans of a trace amount to, each as an expression of SQL over all of them, each span once.

The list of traces, its conditions and sorts, and the view `traces` of SQL say the same, for it stands here.
"""

from __future__ import annotations

DURATION_NS = (
    "toUnixTimestamp64Nano(max(greatest(start_time, end_time))) - toUnixTimestamp64Nano(min(start_time))"
)
_INPUT = "sumIf(toUInt128(input_tokens), counted)"
_OUTPUT = "sumIf(toUInt128(output_tokens), counted)"
TOTALS: dict[str, str] = {
    "duration_ms": f"({DURATION_NS}) / 1e6",
    "span_count": "count()",
    "error_count": "countIf(status_code = 2)",
    "llm_call_count": "countIf(counted AND role = 'LLM')",
    "unpriced_call_count": "countIf(counted AND cost_usd IS NULL)",
    "input_tokens": _INPUT,
    "output_tokens": _OUTPUT,
    "tokens": f"if({_INPUT} IS NULL AND {_OUTPUT} IS NULL, NULL, ifNull({_INPUT}, 0) + ifNull({_OUTPUT}, 0))",
    "cost_usd": "sumIf(cost_usd, counted)",
}
MODELS = """arraySort(groupUniqArrayIf(
        toString(if(response_model = '', request_model, response_model)),
        response_model != '' OR request_model != ''
    ))"""


def first_of(column: str) -> str:
    """The first text in a column that a span says; empty where none does."""
    return f"argMinIf(toString({column}), (start_time, span_id), {column} != '')"
