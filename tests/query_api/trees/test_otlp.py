"""query_api.trees.otlp: what was stored can be given back as OTLP and stored again, with nothing changed."""

from __future__ import annotations

import json
import secrets
from random import Random

import pytest
from ledger_rows import stored_rows
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from otlp_logs import logs_request, record
from otlp_requests import request, span
from random_requests import a_request

from spanledger.collector import otlp_json
from spanledger.collector.gate import AllRejected, check
from spanledger.collector.rows.block import Request

PROTOBUF = {"Accept": "application/x-protobuf"}
_SHIFTS = {"received_at", "project"}


def put(store, body, project, received_at_ns=1):
    try:
        checked = check(body, 32)
    except AllRejected:
        return 0
    if checked.spans:
        store.insert([Request(body, project, received_at_ns, checked.spans, bool(checked.rejected))])
    return checked.spans


def columns(reader, project):
    rows = stored_rows(reader, project, "spans")
    return {
        span_id: {name: value for name, value in row.items() if name not in _SHIFTS}
        for span_id, row in rows.items()
    }


def in_one_trace(made, trace_id):
    """Good spans only, all of one trace."""
    for above in made.resource_spans:
        for beside in above.scope_spans:
            for one in beside.spans:
                one.trace_id = trace_id
                if len(one.parent_span_id) not in (0, 8):
                    one.parent_span_id = b""
                one.start_time_unix_nano = min(max(one.start_time_unix_nano, 1), 1 << 60)
                one.end_time_unix_nano = min(one.end_time_unix_nano, (1 << 63) - 1)
    return made


@pytest.mark.parametrize("form", ["json", "protobuf"])
@pytest.mark.parametrize("seed", range(12))
def test_what_was_stored_is_stored_again_with_every_column_but_the_time_of_its_arrival(  # noqa: PLR0917
    api, store, reader, project, form, seed
):
    chance = Random(seed)
    trace_id = chance.randbytes(16)
    ids = iter(lambda: chance.randbytes(8), None)
    sent = ExportTraceServiceRequest()
    for _ in range(6):
        sent.MergeFrom(in_one_trace(a_request(chance, ids), trace_id))
    assert put(store, sent.SerializeToString(), project) > 0
    headers = PROTOBUF if form == "protobuf" else {}
    answer = api.get(f"/api/v1/traces/{trace_id.hex()}?format=otlp", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == f"application/{'x-' * (form == 'protobuf')}{form}"
    body = answer.content if form == "protobuf" else otlp_json.traces(answer.content)
    again = f"{project}-again"
    put(store, body, again, 2)
    first, second = columns(reader, project), columns(reader, again)
    if form == "json":
        # JSON has one NaN. The others are told by their bits, in protobuf only.
        first, second = _with_one_nan(first), _with_one_nan(second)
    assert second == first
    assert set(first) != set()


def _with_one_nan(rows):
    def plain(bits):
        is_nan = bits & (0x7FF << 52) == 0x7FF << 52 and bits & ((1 << 52) - 1)
        return "nan" if is_nan else bits

    return {
        key: row
        | {
            "attributes_double": [
                (name, plain(int.from_bytes(value, "big") if isinstance(value, bytes) else value))
                for name, value in row["attributes_double"]
            ]
        }
        for key, row in rows.items()
    }


def test_spans_of_one_resource_and_scope_stand_together_and_ids_are_hex(api, ingest):
    first = span(start_time_unix_nano=10**18)
    second = span(first.trace_id, start_time_unix_nano=10**18 + 1, parent_span_id=first.span_id)
    other = span(first.trace_id, start_time_unix_nano=10**18 + 2)
    ingest(request(second))
    ingest(request(first))
    ingest(request(other, scope="another"))
    answer = json.loads(api.get(f"/api/v1/traces/{first.trace_id.hex()}?format=otlp").content)
    [above] = answer["resourceSpans"]
    assert above["resource"] == {"attributes": [{"key": "service.name", "value": {"stringValue": "tests"}}]}
    assert [
        (beside["scope"]["name"], [one["spanId"] for one in beside["spans"]])
        for beside in above["scopeSpans"]
    ] == [("tests", [first.span_id.hex(), second.span_id.hex()]), ("another", [other.span_id.hex()])]
    assert above["scopeSpans"][0]["spans"][1]["parentSpanId"] == first.span_id.hex()


def test_both_forms_say_the_same_and_do_not_depend_on_the_order_of_arrival(api, ingest):
    trace_id = secrets.token_bytes(16)
    spans = [span(trace_id, {"n": n, "list": [n, {"deep": b"x"}]}) for n in range(5)]
    for one in spans[::-1]:
        ingest(request(one))
    path = f"/api/v1/traces/{trace_id.hex()}?format=otlp"
    as_protobuf, as_json = api.get(path, headers=PROTOBUF).content, api.get(path).content
    assert otlp_json.traces(as_json) == as_protobuf
    ingest(request(*spans))
    assert api.get(path).content == as_json
    [above] = ExportTraceServiceRequest.FromString(as_protobuf).resource_spans
    assert [one.name for one in above.scope_spans[0].spans] == ["work"] * 5


def test_log_records_of_a_trace_are_given_as_they_were_sent(api, ingest_logs):
    trace_id = secrets.token_bytes(16)
    sent = record(trace_id, {"k": 1.5}, span_id=b"s" * 8, event_name="e", attributes={"a": [1, b"x"]})
    ingest_logs(logs_request(sent))
    path = f"/api/v1/traces/{trace_id.hex()}?format=otlp-logs"
    found = ExportLogsServiceRequest.FromString(api.get(path, headers=PROTOBUF).content)
    assert found.resource_logs[0].scope_logs[0].log_records[0] == sent
    assert otlp_json.logs(api.get(path).content) == found.SerializeToString()
    assert api.get(f"/api/v1/traces/{secrets.token_hex(16)}?format=otlp-logs").status_code == 404


def test_fields_are_not_chosen_of_otlp_and_other_formats_are_refused(idle_api):
    path = f"/api/v1/traces/{'1' * 32}"
    for query in ("format=otlp&fields=call", "format=xml", "fields=nothing", "fields=call,-links", "more=1"):
        answer = idle_api.get(f"{path}?{query}")
        assert answer.status_code == 400, query
        assert answer.json()["errors"][0]["what"], query
    assert "content" in idle_api.get(f"{path}?fields=nothing").text
    assert idle_api.get(f"{path}?format=otlp").status_code == 404
