"""Deletion by the running processes, in both placements: refused by the collector, whoever deleted it."""

from __future__ import annotations

import secrets

import httpx
import pytest
from otlp_requests import llm_span, request
from processes import running_ledger, wait_until

pytestmark = pytest.mark.slow

PATH = "/api/v1/deletions"


def delete(ledger, trace):
    answer = httpx.post(
        f"http://127.0.0.1:{ledger.ports['api']}{PATH}",
        json={"trace_ids": [trace.hex()], "reason": "a test"},
        trust_env=False,
        timeout=60,
    )
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def test_a_deleted_trace_is_gone_at_once_and_the_collector_refuses_it(placement):
    """In another process within a second or two, in the same one at once."""
    trace, other = secrets.token_bytes(16), secrets.token_bytes(16)
    sent = request(llm_span(trace), llm_span(other))
    with placement.collector.sender() as sender:
        assert sender.send(sent).rejected == 0
        delete(placement.api, trace)
        assert placement.api.span_ids(trace) == []
        assert len(placement.api.span_ids(other)) == 1
        if placement.name == "server":
            # Until it has heard, the collector answers from memory, or stores what is taken away again.
            wait_until(lambda: sender.send(sent).rejected == 1, 10)
        assert sender.send(sent).rejected == 1
    wait_until(lambda: placement.api.span_ids(trace) == [], 20)


def test_a_process_that_is_killed_knows_it_when_it_is_back(tmp_path):
    """Killed when the deletion was answered: it goes on, and the collector refuses from its start."""
    database = f"chdb://{tmp_path / 'database'}"
    trace = secrets.token_bytes(16)
    sent = request(llm_span(trace))
    with running_ledger(tmp_path, database) as ledger:
        with ledger.sender() as sender:
            sender.send(sent)
        deletion = delete(ledger, trace)
        ledger.kill()
    with running_ledger(tmp_path, database) as ledger:
        assert ledger.span_ids(trace) == []
        with ledger.sender() as sender:
            assert sender.send(sent).rejected == 1
        wait_until(lambda: ledger.get(f"{PATH}/{deletion}")["state"] == "erased", 60)
        assert ledger.span_ids(trace) == []
