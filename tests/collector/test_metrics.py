"""collector.metrics: what senders were answered is counted by how, and timed."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
from otlp_requests import request, span
from prometheus_client import CollectorRegistry

from spanledger.collector.metrics import Metrics
from spanledger.collector.rows.block import Request
from spanledger.collector.store import Store
from spanledger.schemas.errors import BadData, Busy, Misconfigured
from spanledger.schemas.settings import Settings

KEY = "a-key-for-the-collector"


def answered(collector, outcome: str) -> float:
    return collector.counted("spanledger_otlp_requests_total", transport="grpc", outcome=outcome)


def test_every_answer_of_the_grpc_receiver_is_counted_by_its_outcome_and_timed(target, collect):
    with collect([Store(target, Settings())], api_key=KEY, project="counted") as collector:
        with collector.sender(key=KEY) as sender:
            for sent in (request(span()), request(span(), span(span_id=b"bad")), b"\xff", request()):
                sender.send(sent)
        with collector.sender(key="wrong") as sender:
            assert sender.send(request(span())).code == "UNAUTHENTICATED"
        counts = [
            answered(collector, name) for name in ("ok", "partial", "invalid_argument", "unauthenticated")
        ]
        assert counts == [2, 1, 1, 1]
        # Who has no key is not let in, and so not timed.
        assert collector.counted("spanledger_otlp_request_seconds_count", transport="grpc") == 4


class Held:
    """A store that holds its inserts until it is told, and then is down."""

    def __init__(self) -> None:
        self.begun, self.released = threading.Event(), threading.Event()

    def insert(self, requests: Sequence[Request]) -> None:
        self.begun.set()
        assert self.released.wait(20)
        raise Busy("down")

    def close(self) -> None: ...


def test_a_store_that_is_down_is_unavailable_and_a_sender_that_gives_up_is_cancelled(collect):
    store = Held()
    with collect([store]) as collector, collector.sender() as sender:
        assert sender.send(request(span()), timeout=0.3).code == "DEADLINE_EXCEEDED"
        assert store.begun.wait(10)
        store.released.set()
        assert sender.send(request(span())).code == "UNAVAILABLE"
        assert answered(collector, "cancelled") == 1
        assert answered(collector, "unavailable") == 1


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (BadData("x"), "invalid_argument"),
        (Busy("x"), "unavailable"),
        (Misconfigured("x"), "internal"),
        (KeyError("x"), "internal"),
    ],
)
def test_what_is_raised_decides_the_outcome_on_every_transport_and_goes_on(error, outcome):
    registry = CollectorRegistry()
    with pytest.raises(type(error)), Metrics(registry).answering("http"):
        raise error
    labels = {"transport": "http", "outcome": outcome}
    assert registry.get_sample_value("spanledger_otlp_requests_total", labels) == 1
