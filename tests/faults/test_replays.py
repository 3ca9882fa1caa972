"""The same spans again, from a retry or a second collector: one span, one cost, in every answer, at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from faults.load import TRANSPORTS
from otlp_requests import llm_span, request
from processes import Ledger, running_ledger

pytestmark = pytest.mark.slow

COST = "0.00021"  # of one llm_span
TOKENS = 1000


def check_once(ledger: Ledger, *spans) -> None:
    """Each span, of a trace of its own, is once in its tree and in the list, with its tokens and cost."""
    once = (1, 1, TOKENS, COST)
    listed = {trace["trace_id"]: told(trace) for trace in ledger.get("/api/v1/traces", limit=500)["traces"]}
    assert listed == {made.trace_id.hex(): once for made in spans}
    for made in spans:
        assert ledger.span_ids(made.trace_id) == [made.span_id.hex()]
        assert told(ledger.get(f"/api/v1/traces/{made.trace_id.hex()}")) == once


def told(trace) -> tuple:
    return tuple(trace[name] for name in ("span_count", "llm_call_count", "input_tokens", "cost_usd"))


def test_a_request_sent_again_also_at_the_same_time_and_after_a_restart_changes_no_answer(tmp_path, database):
    made = llm_span()
    body = request(made).SerializeToString()
    for _ in range(2):
        with running_ledger(tmp_path, database) as ledger, ThreadPoolExecutor(8) as threads:

            def send(connect, ledger=ledger) -> str:
                with connect(ledger) as sender:
                    return sender.send(body).code

            for connect in TRANSPORTS.values():
                assert send(connect) == "OK"
                check_once(ledger, made)
            assert set(threads.map(send, [*TRANSPORTS.values()] * 8)) == {"OK"}
            check_once(ledger, made)


def test_two_collectors_that_receive_the_same_spans_at_once_are_as_one(tmp_path, clickhouse):
    spans = [llm_span() for _ in range(40)]
    with (
        running_ledger(tmp_path, clickhouse.url) as one,
        running_ledger(tmp_path, clickhouse.url) as other,
        one.sender() as to_one,
        other.sender() as to_other,
        ThreadPoolExecutor(16) as threads,
    ):
        sent = [threads.submit(sender.send, request(made)) for made in spans for sender in (to_one, to_other)]
        assert {answer.result().code for answer in sent} == {"OK"}
        check_once(one, *spans)
        check_once(other, *spans)
