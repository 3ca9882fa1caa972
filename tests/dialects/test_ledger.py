"""Every dialect lands in the same columns: what golden files send is what the provider billed, by call."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from genai_prices import Usage, calc_price

from spanledger.query_api.search.traces import Search, list_traces
from spanledger.query_api.trees.spans import trace_json
from spanledger.query_api.trees.tree import walk
from spanledger.schemas.calls import finish_reason_of
from spanledger.schemas.prices.aliases import price_provider
from tests.dialects.reading import Golden, golden_file, golden_files

# Where one call is in several spans: what dialects.md saw counted twice.
TWICE = (
    "anthropic-and-genai-anthropic",
    "genai-openai-and-openinference",
    "google-adk-old",
    "litellm",
    "logfire",
    "openinference-langchain-and-genai-openai",
    "openrouter-broadcast",
    "pydantic-ai",
    "vercel6",
    "vercel7",
)
every_file = pytest.mark.parametrize("golden", golden_files(), ids=str)
COUNTS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
TEXTS = ("provider", "request_model", "response_model", "response_id", "conversation_id", "user_id")


def nodes(reader: Client, project: str) -> list[dict[str, Any]]:
    """The spans of all traces of a project as the API gives them, in the order of their start."""
    traces, _ = list_traces(reader, project, Search(), limit=500)
    trees = [json.loads(b"".join(trace_json(reader, project, trace["trace_id"]))) for trace in traces]
    found = [node for tree in trees for _, node in walk(tree["roots"])]
    return sorted(found, key=lambda node: (node["start_time"], node["span_id"]))


def counted_calls(reader: Client, project: str) -> list[dict[str, Any]]:
    return [node for node in nodes(reader, project) if node["counted"]]


@every_file
def test_the_calls_that_count_say_what_the_provider_billed(golden, put, put_logs, reader, project):
    put(golden.trace_requests())
    put_logs(golden.log_requests())
    calls = counted_calls(reader, project)
    assert len(calls) == golden.expected["counted_calls"]
    wrong = []
    for call, expected in zip(calls, golden.calls, strict=True):
        found = {name: call[name] for name in TEXTS} | {name: call["usage"][name] or 0 for name in COUNTS}
        wanted = {name: expected[name] for name in TEXTS} | {name: expected[name] or 0 for name in COUNTS}
        found["finish_reasons"] = call["finish_reasons"]
        wanted["finish_reasons"] = [finish_reason_of(reason) for reason in expected["finish_reasons"]]
        found["failed"] = call["status"] == "error" or call["error_type"] is not None
        wanted["failed"] = expected["error_type"] is not None
        skipped = set(expected["not_sent"])
        if wanted["failed"]:
            # Nothing answered, so that there is nothing to compare with what is said of the answer.
            skipped |= {"response_model", "response_id", "finish_reasons"}
            skipped |= {"failed"} if "error_type" in skipped else set()
        if found["response_model"] is None and expected["response_model"] == expected["request_model"]:
            skipped.add("response_model")  # no other model is named
        wrong += [
            (expected["step"], name, found[name], value)
            for name, value in wanted.items()
            if name not in skipped and found[name] != value
        ]
        assert call["dialect"] is not None
    assert not wrong, "\n".join(map(str, wrong))


@every_file
def test_the_messages_are_those_that_the_provider_saw(golden, put, put_logs, reader, project):
    """By role, text, and the calls and answers of tools in them; where nothing was sent, nothing is."""
    put(golden.trace_requests())
    put_logs(golden.log_requests())
    spans = nodes(reader, project)
    wrong = []
    for call, expected in zip([node for node in spans if node["counted"]], golden.calls, strict=True):
        others = [node for node in spans if (node["duplicate_of"] or {}).get("span_id") == call["span_id"]]
        for side in ("input", "output") if call["role"] == "LLM" else ():
            if f"{side}_messages" in expected["not_sent"]:
                continue
            found = next((each for node in (call, *others) if (each := list(said(node, side)))), [])
            wanted = list(said({"system_instructions": None, side: expected[f"{side}_messages"]}, side))
            if found != wanted:
                wrong.append((expected["step"], side, found, wanted))
    assert not wrong, "\n".join(map(str, wrong))


def said(node: dict[str, Any], side: str) -> Iterator[tuple[Any, ...]]:
    """What messages say, without what libraries add: names of tools, wrappers, ids that no protocol has."""
    system = node["system_instructions"] if side == "input" else None
    for message in [*([{"role": "system", "parts": system}] if system else ()), *(node[side] or ())]:
        for part in message["parts"]:
            match part["type"]:
                case "text" | "reasoning":
                    yield message["role"], part["type"], part["content"]
                case "tool_call":
                    yield message["role"], "tool_call", part["name"], part["arguments"]
                case "tool_call_response":
                    answer = part.get("response")
                    if isinstance(answer, str) and answer.startswith("{"):
                        answer = json.loads(answer)
                    wrapped = isinstance(answer, dict) and answer.keys() == {"result"}
                    yield message["role"], "tool_call_response", answer["result"] if wrapped else answer
                case other:
                    yield message["role"], other


@every_file
def test_the_total_is_what_the_provider_billed(golden, put, reader, project):
    """Call by call and trace by trace, to the last digit; what a failed call costs is not known."""
    put(golden.trace_requests())
    calls = counted_calls(reader, project)
    costs = [billed(golden, expected) for expected in golden.calls]
    for call, expected, cost in zip(calls, golden.calls, costs, strict=True):
        usage_sent = not set(expected["not_sent"]) & {*COUNTS[:4], "response_model"}
        found = call["cost"]["usd"] or call["cost"]["reported_usd"]
        if cost is None:
            assert (call["cost"]["usd"], call["cost"]["reason"]) == (None, "no_usage")
        elif usage_sent and call["cost"]["source"] == "computed":
            assert Decimal(found) == pytest.approx(cost, abs=Decimal("1e-12"))
    traces, _ = list_traces(reader, project, Search(), limit=500)
    listed = sum(Decimal(trace["cost_usd"] or 0) for trace in traces)
    assert listed == sum(Decimal(call["cost"]["usd"] or 0) for call in calls)
    assert sum(trace["llm_call_count"] for trace in traces) == sum(call["role"] == "LLM" for call in calls)


def billed(golden: Golden, expected: dict[str, Any]) -> Decimal | None:
    """What the provider takes for a call by its public prices, as far as what they depend on is sent."""
    bill = golden.billed[expected["billed"]]
    usage = bill.get("usage") or {}
    if not usage.get("input_tokens"):
        return None
    counts = {name: usage.get(name) for name in COUNTS[:4]}
    if golden.dialect in ("anthropic", "anthropic-and-genai-anthropic"):
        counts["cache_write_1h_tokens"] = bill["raw_usage"]["cache_creation"]["ephemeral_1h_input_tokens"]
    price = calc_price(
        Usage(**counts),
        bill["response_model"],
        provider_id="openrouter"
        if golden.dialect.startswith("openrouter")
        else price_provider(bill["provider"]),
        genai_request_timestamp=datetime.fromtimestamp(int(bill["received_unix_nano"]) / 1e9, UTC),
    )
    return price.total_price


@pytest.mark.parametrize("golden", golden_files(), ids=str)
def test_no_order_of_arrival_and_no_replay_changes_a_total(golden, put, reader, project):
    """Every span alone in any order, and all of it once more."""
    put(golden.trace_requests(), project=f"{project}-in-order")
    once = totals(reader, f"{project}-in-order")
    put(golden.span_requests(seed=1))
    assert totals(reader, project) == once
    put(golden.trace_requests())
    assert totals(reader, project) == once


@pytest.mark.parametrize("seed", range(2, 4))
@pytest.mark.parametrize("dialect", TWICE)
def test_calls_in_several_spans_count_once_in_every_order(dialect, put, reader, project, seed):
    golden = golden_file(dialect)
    put(golden.trace_requests(), project=f"{project}-in-order")
    put(golden.span_requests(seed))
    found = totals(reader, project)
    assert found == totals(reader, f"{project}-in-order")
    assert found["calls"] == golden.expected["counted_calls"]


@pytest.mark.parametrize("seed", range(2))
def test_langchain_and_a_provider_instrumentation_in_two_traces_count_once(put, reader, project, seed):
    """As they are where nothing above holds them together: every call's two records are roots."""
    golden = golden_file("openinference-langchain-and-genai-openai")
    requests = golden.span_requests(seed)
    for n, request in enumerate(requests):
        [[span]] = [scope.spans for resource in request.resource_spans for scope in resource.scope_spans]
        span.parent_span_id = b""
        span.trace_id = n.to_bytes(16, "big").replace(b"\0", b"\1")
    put(requests)
    calls = counted_calls(reader, project)
    assert len(calls) == golden.expected["counted_calls"]
    assert [call["usage"]["input_tokens"] for call in calls] == [
        call["input_tokens"] for call in golden.calls
    ]


def totals(reader: Client, project: str) -> dict[str, Any]:
    """What a person adds up: of the calls that count, and of everything that has a cost."""
    sql = """
    SELECT countIf(counted) AS calls,
        sumIf(input_tokens, counted) AS input, sumIf(output_tokens, counted) AS output,
        sumIf(cost_usd, counted) AS cost, sum(cost_usd) AS all_cost,
        arraySort(groupArrayIf((lower(hex(span_id)), conversation_id, user_id), counted)) AS counting,
        arraySort(groupArrayIf(lower(hex(duplicate_of)), duplicate_of != '')) AS replaced
    FROM spans FINAL WHERE project = {project:String}
    """
    [row] = reader.query(sql, parameters={"project": project}).named_results()
    assert row["cost"] == row["all_cost"]
    return dict(row)
