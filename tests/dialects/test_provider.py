"""The provider of recordings answers real clients and bills what the scenario says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from tests.dialects.drivers.scenario import SCENARIO, openai_chat, openai_others
from tests.dialects.provider import Ledger, create_app, serving


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def url(ledger: Ledger) -> Iterator[str]:
    with serving(create_app(ledger)) as url:
        yield url


def counts(call: dict[str, Any]) -> list[int]:
    """Input, output, read from the cache, written to it, reasoning."""
    return list((call["usage"] or {}).values())


def test_an_openai_client_goes_through_all_steps_and_each_is_billed(ledger, url):
    with openai.OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0) as client:
        openai_chat(client)
        openai_others(client)
    assert {call["step"]: counts(call) for call in ledger.calls} == {
        "plain": [120, 30, 64, 0, 12],
        "stream": [120, 30, 64, 0, 12],
        "tool call": [91, 22, 64, 0, 12],
        "tool answer": [101, 20, 64, 0, 12],
        "failing": [],
        "embeddings": [53, 0, 0, 0, 0],
        "responses": [120, 30, 64, 0, 12],
        "responses stream": [120, 30, 64, 0, 12],
    }
    assert {call["user"] for call in ledger.calls} == {SCENARIO["user_id"]}
    assert [call["status"] for call in ledger.calls] == [200] * 4 + [429] + [200] * 3


def test_anthropic_answers_counts_that_are_apart_and_is_billed_for_their_sum(ledger, url):
    body = {
        "model": "claude-sonnet-4-5",
        "system": SCENARIO["system"],
        "messages": [{"role": "user", "content": SCENARIO["question"]}],
    }
    usage = httpx.post(f"{url}/v1/messages", json=body, trust_env=False).json()["usage"]
    assert usage["input_tokens"] == 120 - 64 - 10
    assert usage["cache_creation"] == {"ephemeral_5m_input_tokens": 7, "ephemeral_1h_input_tokens": 3}
    (call,) = ledger.calls
    assert counts(call) == [120, 30, 64, 10, 12]
    assert call["finish_reasons"] == ["end_turn"]


def test_gemini_answers_output_without_thoughts_and_is_billed_for_both(ledger, url):
    body = {
        "systemInstruction": {"parts": [{"text": SCENARIO["system"]}]},
        "contents": [{"role": "user", "parts": [{"text": SCENARIO["question"]}]}],
    }
    address = f"{url}/v1beta/models/gemini-2.5-flash:generateContent"
    usage = httpx.post(address, json=body, trust_env=False).json()["usageMetadata"]
    assert (usage["candidatesTokenCount"], usage["thoughtsTokenCount"]) == (18, 12)
    (call,) = ledger.calls
    assert counts(call) == [120, 30, 64, 0, 12]
    assert call["provider"] == "gcp.gemini"
