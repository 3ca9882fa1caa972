"""From an unmodified application to the API, in both placements: real processes all the way."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal

import genai_prices
import pytest
from otlp_requests import llm_span, request, span
from processes import clean_environment, walk

from spanledger.server import stub_provider

pytestmark = pytest.mark.slow

# A plain program of a user's: all it knows is the OpenAI client.
APP = """
from openai import OpenAI
client = OpenAI()
long = "You answer briefly and kindly and you never invent a fact " * 5
for model in ("gpt-4o-mini", "gpt-4.1-nano", "gpt-5-mini", "o3-mini", "gpt-4o"):
    for question in ("hi", "how are you today?"):
        messages = [{"role": "system", "content": long}, {"role": "user", "content": question}]
        client.chat.completions.create(model=model, messages=messages)
        chunks = client.chat.completions.create(
            model=model, messages=messages, stream=True, stream_options={"include_usage": True}
        )
        list(chunks)
client.chat.completions.create(
    model="gpt-4o-mini",
    messages=[{"role": "user", "content": "count"}],
    extra_headers={"x-stub-cached-tokens": "3"},
)
client.chat.completions.create(model="a-model-without-a-price", messages=[{"role": "user", "content": "hi"}])
"""


def run_recorded(placement, stub, *program: str) -> None:
    """Run a program as `spanledger run` does for a user, with the stub as its provider."""
    command = [sys.executable, "-m", "spanledger.server.cli", "run", "--endpoint", placement.collector.otlp]
    provider = {"OPENAI_BASE_URL": stub.base_url, "OPENAI_API_KEY": "stub"}
    subprocess.run([*command, "--", *program], check=True, timeout=120, env=clean_environment() | provider)


def price(usage, model) -> genai_prices.types.PriceCalculation:
    """What genai-prices itself asks for the usage that the provider reported."""
    return genai_prices.calc_price(
        genai_prices.Usage(
            input_tokens=usage["prompt_tokens"],
            output_tokens=usage["completion_tokens"],
            cache_read_tokens=usage["prompt_tokens_details"]["cached_tokens"],
        ),
        model,
        provider_id="openai",
    )


@pytest.fixture(scope="module")
def recorded(placement):
    """(call of the provider's, node of the tree) for every completion of APP that was answered."""
    with stub_provider.running() as stub:
        run_recorded(placement, stub, sys.executable, "-c", APP)
        calls = {call["id"]: call for call in stub.calls()}
    traces = placement.traces()
    found = [node for trace in traces for node in walk(placement.tree(trace["trace_id"]))]
    return calls, {node["response_id"]: node for node in found}


def test_every_call_of_the_application_is_in_the_ledger_once(recorded):
    calls, spans = recorded
    assert len(calls) == 22
    assert spans.keys() == calls.keys()
    assert {node["role"] for node in spans.values()} == {"LLM"}


def test_tokens_are_what_the_provider_reported(recorded):
    calls, spans = recorded
    for response_id, call in calls.items():
        usage, node = call["usage"], spans[response_id]["usage"]
        assert (node["input_tokens"], node["output_tokens"]) == (
            usage["prompt_tokens"],
            usage["completion_tokens"],
        )
        assert (node["cache_read_tokens"] or 0) == usage["prompt_tokens_details"]["cached_tokens"]
        assert (node["reasoning_tokens"] or 0) == usage["completion_tokens_details"]["reasoning_tokens"]
    assert any(call["usage"]["prompt_tokens_details"]["cached_tokens"] for call in calls.values())
    assert any(call["usage"]["completion_tokens_details"]["reasoning_tokens"] for call in calls.values())


def test_each_cost_is_that_of_the_price_list_to_the_last_digit(recorded):
    calls, spans = recorded
    for response_id, call in calls.items():
        cost = spans[response_id]["cost"]
        if call["model"] == "a-model-without-a-price":
            assert (cost["usd"], cost["reason"]) == (None, "unknown_model")
            continue
        expected = price(call["usage"], call["model"])
        assert Decimal(cost["usd"]) == expected.total_price
        assert Decimal(cost["input_usd"]) == expected.input_price
        assert Decimal(cost["output_usd"]) == expected.output_price
        assert cost["price_version"] == f"genai-prices {genai_prices.__version__}"


def test_the_demo_application_is_one_tree_whose_sums_are_those_of_its_calls(placement):
    with stub_provider.running() as stub:
        run_recorded(placement, stub, sys.executable, "-m", "spanledger.server.demo_app")
        calls = stub.calls()
    (trace,) = [found for found in placement.traces() if found["name"] and "plan_day" in found["name"]]
    tree = placement.tree(trace["trace_id"])
    (root,) = tree["roots"]
    completions = [node for node in walk(tree) if node["role"] == "LLM"]
    assert root["role"] == "WORKFLOW"
    assert {"AGENT", "TOOL", "LLM"} <= {node["role"] for node in walk(tree)}
    assert sorted(node["response_id"] for node in completions if node["response_id"]) == sorted(
        call["id"] for call in calls
    )
    for summary in (trace, tree):
        assert summary["span_count"] == len(walk(tree))
        assert summary["input_tokens"] == sum(call["usage"]["prompt_tokens"] for call in calls)
        assert summary["output_tokens"] == sum(call["usage"]["completion_tokens"] for call in calls)
        assert Decimal(summary["cost_usd"]) == sum(
            price(call["usage"], call["model"]).total_price for call in calls
        )


def test_what_was_answered_ok_is_in_the_next_answer_of_the_api(placement):
    with placement.collector.sender() as sender:
        for _ in range(10):
            sent = span(name="just now")
            assert sender.send(request(sent)).code == "OK"
            (root,) = placement.tree(sent.trace_id.hex())["roots"]
            assert root["name"] == "just now"


def test_a_request_sent_again_changes_no_answer(placement):
    sent = llm_span()
    with placement.collector.sender() as sender:
        answers = []
        for _ in range(3):
            assert sender.send(request(sent)).code == "OK"
            answers.append(placement.tree(sent.trace_id.hex()))
    assert answers[0] == answers[1] == answers[2]
    assert answers[0]["span_count"] == 1
    assert answers[0]["cost_usd"] == "0.00021"


def test_every_process_says_that_it_is_ready_and_counts_what_it_does(placement):
    assert placement.api.ask("/readyz").status_code == 200
    assert placement.collector.ask("/readyz").status_code == 200
    assert "spanledger_spans_stored_total" in placement.collector.ask("/metrics").text
