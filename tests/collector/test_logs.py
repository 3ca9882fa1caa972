"""Log records through the whole collector: every transport and encoding, and beside spans."""

from __future__ import annotations

import gzip
import json
import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.protobuf.message import Message
from google.rpc.code_pb2 import Code
from google.rpc.status_pb2 import Status
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogExporter
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from otlp_json_printer import otlp_json
from otlp_logs import EXPORT_LOGS, logs_request, record
from otlp_requests import request, span

from spanledger.collector.rows.block import Block, Request
from spanledger.collector.store import Store
from spanledger.schemas.settings import Settings

PROTOBUF, JSON = "application/x-protobuf", "application/json"
METRICS = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"


@pytest.fixture
def stored(reader) -> Callable[..., list[tuple]]:
    """The records of a trace, as every query reads them."""

    def read(trace_id: bytes, *columns: str) -> list[tuple]:
        return reader.query(
            f"SELECT {', '.join(columns or ('body',))} FROM logs FINAL WHERE project = 'over-grpc' "
            "AND hex(trace_id) = {t:String} ORDER BY time, body",
            parameters={"t": trace_id.hex().upper()},
        ).result_rows

    return read


def post(client: httpx.Client, sent: Message, media_type: str, *, zipped: bool = False) -> httpx.Response:
    body = sent.SerializeToString() if media_type == PROTOBUF else json.dumps(otlp_json(sent)).encode()
    headers = {"Content-Type": media_type} | ({"Content-Encoding": "gzip"} if zipped else {})
    return client.post("/v1/logs", content=gzip.compress(body) if zipped else body, headers=headers)


def test_a_request_gives_the_same_rows_by_every_transport_and_encoding(collect, target, reader):
    sent = logs_request(
        record(
            body={"role": "user", "content": ["ä\U0001f600", 1, 0.5, True, None, b"\x00"]},
            event_name="gen_ai.user.message",
            attributes={"gen_ai.system": "openai", "deep": {"a": [1]}, "big": 1 << 60},
            severity_number=9,
            severity_text="INFO",
            flags=1,
        ),
        record(b"", span_id=b"", body=None),
    )
    rows = []
    for way in ("grpc", PROTOBUF, JSON, "zipped protobuf", "zipped json"):
        project = f"logs-by-{way}"
        with collect([Store(target, Settings())], project=project) as collector:
            if way == "grpc":
                with collector.sender() as sender:
                    assert sender.send(sent.SerializeToString(), method=EXPORT_LOGS).code == "OK"
            else:
                media_type = JSON if "json" in way else PROTOBUF
                with collector.client() as client:
                    answer = post(client, sent, media_type, zipped="zipped" in way)
                assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
                assert answer.content == (b"{}" if media_type == JSON else b"")
        rows.append(
            reader.query(
                "SELECT * EXCEPT (project, received_at) FROM logs FINAL "
                "WHERE project = {p:String} ORDER BY ALL",
                parameters={"p": project},
            ).result_rows
        )
    assert len(rows[0]) == 2
    assert all(row == rows[0] for row in rows)


def emit(exporter: Any) -> int:
    """Emit an event within a span by the SDK; the id of the trace."""
    provider = LoggerProvider(resource=Resource.create({"service.name": "shop"}))
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    with TracerProvider().get_tracer("app").start_as_current_span("chat") as current:
        provider.get_logger("app", "1.0").emit(
            LogRecord(
                timestamp=time.time_ns(),
                event_name="gen_ai.evaluation.result",
                severity_number=SeverityNumber.INFO,
                body={"explanation": "well said"},
                attributes={"gen_ai.evaluation.score.value": 0.75, "gen_ai.evaluation.name": "tone"},
            )
        )
        trace_id = current.get_span_context().trace_id
    provider.shutdown()
    return trace_id


@pytest.mark.parametrize("transport", ["grpc", "http"])
def test_the_official_exporters_of_python_are_understood(collector, stored, transport):
    if transport == "grpc":
        exporter = GrpcLogExporter(endpoint=f"127.0.0.1:{collector.port}", insecure=True, timeout=10)
    else:
        exporter = HttpLogExporter(endpoint=f"http://127.0.0.1:{collector.http_port}/v1/logs", timeout=10)
    trace_id = emit(exporter).to_bytes(16, "big")
    columns = ("event_name", "body", "attributes_double", "attributes_string", "service", "severity_number")
    assert stored(trace_id, *columns, "span_id != toFixedString('', 8)") == [
        (
            "gen_ai.evaluation.result",
            '{"explanation":"well said"}',
            {"gen_ai.evaluation.score.value": 0.75},
            {"gen_ai.evaluation.name": "tone"},
            "shop",
            9,
            1,
        )
    ]


def test_bad_records_are_rejected_alone_and_counted(collector, stored):
    good = record()
    sent = logs_request(good, record(span_id=b"bad"), record(time_unix_nano=0))
    told = (
        "2 log records rejected: 1 with neither time_unix_nano nor observed_time_unix_nano; "
        "1 with a span_id that is not 8 bytes long"
    )
    before = collector.counted("spanledger_logs_rejected_total", reason="span_id_length")
    with collector.sender() as sender, collector.client() as client:
        answer = sender.send(sent.SerializeToString(), method=EXPORT_LOGS)
        assert (answer.code, answer.rejected, answer.message) == ("OK", 2, told)
        by_http = ExportLogsServiceResponse.FromString(post(client, sent, PROTOBUF).content)
        assert by_http.partial_success.rejected_log_records == 2
        assert by_http.partial_success.error_message == told
        assert post(client, logs_request(record(), record(b"bad")), JSON).json() == {
            "partialSuccess": {
                "rejectedLogRecords": "1",
                "errorMessage": "1 log records rejected: 1 with a trace_id that is not 16 bytes long",
            }
        }
    assert stored(good.trace_id) == [('"said"',)]
    assert collector.counted("spanledger_logs_rejected_total", reason="span_id_length") > before


def test_received_and_stored_records_are_counted_apart_from_spans(collector):
    def counts() -> list[float]:
        names = ("logs_received", "logs_stored", "spans_received", "spans_stored")
        return [collector.counted(f"spanledger_{name}_total") for name in names]

    before = counts()
    with collector.sender() as sender:
        sender.send(logs_request(record(), record(), record(b"bad")).SerializeToString(), method=EXPORT_LOGS)
    assert [now - then for now, then in zip(counts(), before, strict=True)] == [3, 2, 0, 0]


def test_a_record_is_one_however_often_and_by_whatever_way_it_comes(collector, stored):
    first = record()
    second = record(first.trace_id)
    sent = logs_request(first, second)

    def over_grpc(one: Any) -> bool:
        with collector.sender() as sender:
            return sender.send(one.SerializeToString(), method=EXPORT_LOGS).code == "OK"

    def over_http(one: Any) -> bool:
        with collector.client() as client:
            return post(client, one, JSON).status_code == 200

    # Of other company, so that it is not the request that is known already.
    tries = [sent, logs_request(first), logs_request(second, record()), logs_request(record(), first)]
    with ThreadPoolExecutor(8) as pool:
        done = [pool.submit(way, one) for one in tries for way in (over_grpc, over_http)]
        assert all(future.result() for future in done)
    assert len(stored(first.trace_id)) == 2


def test_a_trace_request_is_refused_as_logs_and_logs_as_a_trace_request(collector):
    headers = {"Content-Type": PROTOBUF}
    with collector.client() as client:
        for path, sent in (("/v1/logs", request(span(name=""))), ("/v1/traces", logs_request(record()))):
            answer = client.post(path, content=sent.SerializeToString(), headers=headers)
            assert answer.status_code == 400
            assert Status.FromString(answer.content).code == Code.INVALID_ARGUMENT


def test_the_same_bytes_for_both_services_are_not_taken_for_the_same_request(collector):
    with collector.sender() as sender:
        empty = b"\x0a\x00"  # one resource with nothing under it, of either kind
        for method in (None, EXPORT_LOGS, None, EXPORT_LOGS):
            assert sender.send(empty, **({"method": method} if method else {})).code == "OK"
        logs = logs_request(record()).SerializeToString()
        assert sender.send(logs, method=EXPORT_LOGS).code == "OK"
        assert sender.send(logs).code == "INVALID_ARGUMENT"


def test_the_query_of_the_documentation_finds_an_event(collect, target, reader):
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "send-otlp.md").read_text()
    (sql,) = re.findall(r"```sql\n(.*?FROM logs.*?)```", page, re.DOTALL)
    score = {"gen_ai.evaluation.score.value": 0.5}
    sent = logs_request(record(event_name="gen_ai.evaluation.result", attributes=score, span_id=b"12345678"))
    store = Store(target, Settings())
    with collect([store], project="documented") as collector, collector.sender() as sender:
        assert sender.send(sent.SerializeToString(), method=EXPORT_LOGS).code == "OK"
    found = reader.query(sql.replace("'default'", "'documented'")).result_rows
    assert found == [(b"12345678".hex(), "gen_ai.evaluation.result", 0.5, '"said"')]


def test_metrics_are_not_received(collector):
    with collector.sender() as sender, collector.client() as client:
        assert sender.send(b"", method=METRICS).code == "UNIMPLEMENTED"
        answer = client.post("/v1/metrics", content=b"", headers={"Content-Type": PROTOBUF})
    assert answer.status_code == 404
    assert "/v1/traces, /v1/logs" in Status.FromString(answer.content).message


class Gathered:
    """Notes what each insert was of; the first one lasts until the rest has come."""

    def __init__(self) -> None:
        self.inserts: list[list[tuple[str, int]]] = []
        self.begun, self.rest_is_here = threading.Event(), threading.Event()

    def insert(self, requests: Sequence[Request]) -> Block:
        self.inserts.append([(request.table, request.spans) for request in requests])
        self.begun.set()
        assert self.rest_is_here.wait(20)
        return Block(b"", 0, 0, 0, 0)

    def close(self) -> None: ...


def test_spans_and_log_records_are_inserted_apart_and_each_together(collect):
    store = Gathered()

    def send(number: int) -> str:
        with collector.sender() as sender:
            if number % 2:
                return sender.send(
                    logs_request(*[record()] * number).SerializeToString(), method=EXPORT_LOGS
                ).code
            return sender.send(request(*(span() for _ in range(number)))).code

    with collect([store]) as collector, ThreadPoolExecutor(9) as pool:
        sent = [pool.submit(send, 8)]
        assert store.begun.wait(10)
        sent += [pool.submit(send, number) for number in range(1, 7)]
        # They are counted as they are handed to the batcher.
        names = ("spanledger_spans_received_total", "spanledger_logs_received_total")
        while [collector.counted(name) for name in names] != [20, 9]:
            time.sleep(0.01)
        store.rest_is_here.set()
        assert [future.result() for future in sent] == ["OK"] * 7
    assert store.inserts[0] == [("spans", 8)]
    together = [sorted(insert) for insert in store.inserts[1:]]
    assert sorted(together) == [[("logs", n) for n in (1, 3, 5)], [("spans", n) for n in (2, 4, 6)]]
