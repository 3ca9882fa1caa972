"""Clients that behave as exporters do, and write down what was acknowledged, to hold the ledger to it."""

from __future__ import annotations

import secrets
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import cycle
from typing import NamedTuple, Protocol, Self

import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from otlp_requests import request, span
from processes import Ledger, wait_until
from transports import JSON, PROTOBUF, Reply, encode, reply


class Answer(Protocol):
    """A code of gRPC's, and the delays that were asked for."""

    code: str
    delays: Sequence[float]
    message: str


class Sending(Protocol):
    """A client for any number of threads."""

    def send(self, sent: bytes | ExportTraceServiceRequest, *, timeout: float = 30) -> Answer: ...


class _Http:
    """OTLP over HTTP; a connection that fails is an answer, as it is over gRPC."""

    def __init__(self, ledger: Ledger, encoding: str) -> None:
        self._encoding = encoding
        self._client = httpx.Client(
            base_url=ledger.otlp_http,
            trust_env=False,
            verify=False,
            limits=httpx.Limits(max_connections=None),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def send(self, sent: bytes | ExportTraceServiceRequest, *, timeout: float = 30) -> Answer:
        request = ExportTraceServiceRequest.FromString(sent) if isinstance(sent, bytes) else sent
        headers = {"Content-Type": self._encoding}
        body = encode(request, self._encoding)
        try:
            return reply(self._client.post("/v1/traces", content=body, headers=headers, timeout=timeout))
        except httpx.TimeoutException as error:
            return Reply("DEADLINE_EXCEEDED", str(error))
        except httpx.TransportError as error:
            return Reply("UNAVAILABLE", str(error))


# Every way in, and what opens it.
TRANSPORTS: dict[str, Callable[[Ledger], AbstractContextManager[Sending]]] = {
    "grpc": Ledger.sender,
    "http-protobuf": lambda ledger: _Http(ledger, PROTOBUF),
    "http-json": lambda ledger: _Http(ledger, JSON),
}

_SPANS_IN_TRACE = 300
_PAUSE_S = 0.1


class Sent(NamedTuple):
    """A request, and the spans in it."""

    trace_id: bytes
    span_ids: set[str]
    body: bytes


class Load:
    """Clients that send without a pause, each its own traces, in turn over each transport.

    What is refused or not answered is sent again, also to the next ledger, until it has its OK.
    `text_bytes`: how much text, that cannot be compressed much, each span carries.
    """

    def __init__(self, clients: int = 6, *, spans: int = 5, text_bytes: int = 0) -> None:
        ways = cycle(TRANSPORTS.values())
        self._clients = [_Client(next(ways), spans, text_bytes) for _ in range(clients)]

    def start(self, ledger: Ledger) -> None:
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=client.run, args=(ledger, self._stopped), daemon=True)
            for client in self._clients
        ]
        for thread in self._threads:
            thread.start()

    def wait_for(self, spans: int, seconds: float = 30) -> None:
        """Until so many more spans are acknowledged."""
        enough = self.acknowledged() + spans
        wait_until(lambda: self.acknowledged() >= enough, seconds)

    def wait_for_everyone(self, seconds: float = 30) -> None:
        """Until every client has had an OK since now, so also for what was refused before."""
        before = [client.codes["OK"] for client in self._clients]
        wait_until(
            lambda: all(c.codes["OK"] > n for c, n in zip(self._clients, before, strict=True)), seconds
        )

    def wait_for_refusals(self, refusals: int, seconds: float = 30) -> None:
        """Until so many more requests were told to come again."""
        enough = self.codes["UNAVAILABLE"] + refusals
        wait_until(lambda: self.codes["UNAVAILABLE"] >= enough, seconds)

    def stop(self) -> None:
        """Wait until every client has its last answer."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive(), "a call was never answered"

    @property
    def codes(self) -> Counter[str]:
        """The answers, by their codes."""
        return sum((client.codes for client in self._clients), Counter())

    def acknowledged(self) -> int:
        return sum(len(ids) for client in self._clients for ids in list(client.acknowledged.values()))

    def stored(self, ledger: Ledger) -> int:
        """How many of its spans the ledger has, by their trees."""
        return sum(len(ledger.span_ids(trace)) for client in self._clients for trace in client.sent)

    def check(self, ledger: Ledger) -> None:
        """Every acknowledged span is in its tree once, and nothing is that nobody sent."""
        for client in self._clients:
            for trace_id, sent in client.sent.items():
                stored = ledger.span_ids(trace_id)
                assert len(stored) == len(set(stored))
                assert client.acknowledged[trace_id] <= set(stored) <= sent

    def check_counts(self, ledger: Ledger) -> None:
        """As `check`, by the numbers in the list of traces only: one question for all."""
        listed = ledger.get("/api/v1/traces", limit=500)["traces"]
        counts = {trace["trace_id"]: trace["span_count"] for trace in listed}
        for client in self._clients:
            for trace_id, sent in client.sent.items():
                acknowledged = len(client.acknowledged[trace_id])
                assert acknowledged <= counts.pop(trace_id.hex(), 0) <= len(sent)
        assert not counts


@dataclass
class _Client:
    connect: Callable[[Ledger], AbstractContextManager[Sending]]
    spans: int
    text_bytes: int
    acknowledged: dict[bytes, set[str]] = field(default_factory=dict)
    sent: dict[bytes, set[str]] = field(default_factory=dict)
    codes: Counter[str] = field(default_factory=Counter)
    _unanswered: Sent | None = None
    _trace_id: bytes = b""

    def run(self, ledger: Ledger, stopped: threading.Event) -> None:
        with self.connect(ledger) as sender:
            while not stopped.is_set():
                self._unanswered = self._unanswered or self._next()
                answer = sender.send(self._unanswered.body, timeout=15)
                if answer.code == "OK":
                    self.acknowledged[self._unanswered.trace_id] |= self._unanswered.span_ids
                    self._unanswered = None
                self.codes[answer.code] += 1
                if answer.code != "OK":
                    stopped.wait(_PAUSE_S)

    def _next(self) -> Sent:
        if len(self.sent.get(self._trace_id, ())) + self.spans > _SPANS_IN_TRACE or not self._trace_id:
            self._trace_id = secrets.token_bytes(16)
            self.acknowledged[self._trace_id] = set()
            self.sent[self._trace_id] = set()
        made = sent(self._trace_id, self.spans, self.text_bytes)
        self.sent[self._trace_id] |= made.span_ids
        return made


def sent(trace_id: bytes, spans: int, text_bytes: int = 0) -> Sent:
    """A request of so many new spans of a trace, each with so much text."""
    made = []
    for _ in range(spans):
        text = {"text": secrets.token_urlsafe(text_bytes)[:text_bytes]} if text_bytes else None
        made.append(span(trace_id, text))
    return Sent(trace_id, {one.span_id.hex() for one in made}, request(*made).SerializeToString())
