"""collector.rows.logs and log_columns: what of a log record is stored, and which records are not."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from otlp_logs import logs_request, record
from otlp_requests import any_value, field, key_values, nested_arrays, request, span
from xxhash import xxh3_128_digest

from spanledger.collector.gate import REASONS, check
from spanledger.collector.rows.block import Request
from spanledger.collector.rows.tables import LOGS
from spanledger.collector.store import Store
from spanledger.schemas.errors import BadData
from spanledger.schemas.settings import Settings

DEPTH = Settings().max_attribute_depth
SECOND = 10**9
LATEST = 0xFFFF_FFFF * SECOND  # 2106

Put = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def put(store: Store, reader, project) -> Put:
    """Store requests, each given as a message or as bytes; all rows of the test, by time."""

    def put(*sent: ExportLogsServiceRequest | bytes, by: Store = store) -> list[dict[str, Any]]:
        bodies = [one if isinstance(one, bytes) else one.SerializeToString() for one in sent]
        checked = [check(body, DEPTH, LOGS) for body in bodies]
        by.insert(
            [
                Request(body, project, time.time_ns(), good.spans, bool(good.rejected), "logs")
                for body, good in zip(bodies, checked, strict=True)
            ]
        )
        return list(
            reader.query(
                "SELECT *, toUnixTimestamp64Nano(time) AS time_ns, "
                "toUnixTimestamp64Nano(observed_time) AS observed_ns "
                "FROM logs FINAL WHERE project = {p:String} ORDER BY time, id",
                parameters={"p": project},
            ).named_results()
        )

    return put


def wire(*records: bytes) -> bytes:
    """A request whose records are given as the bytes of their messages."""
    return field(1, field(2, b"".join(field(2, body) for body in records)))


def test_every_field_of_a_record_is_stored(put):
    sent = record(
        b"T" * 16,
        span_id=b"S" * 8,
        time_unix_nano=1_700_000_000_000_000_001,
        observed_time_unix_nano=1_700_000_000_000_000_002,
        severity_number=17,
        severity_text="ERROR",
        event_name="gen_ai.choice",
        flags=1,
        dropped_attributes_count=3,
        attributes={"text": "ä", "whole": 1 << 60, "real": 0.5, "yes": True, "list": [1, "b"], "none": None},
    )
    made = logs_request(sent, resource={"service.name": "shop", "n": 1}, scope="lib")
    made.resource_logs[0].schema_url = "https://r"
    made.resource_logs[0].resource.dropped_attributes_count = 4
    made.resource_logs[0].scope_logs[0].schema_url = "https://s"
    scope = made.resource_logs[0].scope_logs[0].scope
    scope.version, scope.dropped_attributes_count = "1.2", 5
    scope.attributes.extend(key_values({"in": "scope"}))
    (row,) = put(made)
    told = {
        "trace_id": b"T" * 16,
        "span_id": b"S" * 8,
        "time_ns": 1_700_000_000_000_000_001,
        "observed_ns": 1_700_000_000_000_000_002,
        "severity_number": 17,
        "severity_text": "ERROR",
        "event_name": "gen_ai.choice",
        "flags": 1,
        "dropped_attributes_count": 3,
        "attributes_string": {"text": "ä"},
        "attributes_int": {"whole": 1 << 60},
        "attributes_double": {"real": 0.5},
        "attributes_bool": {"yes": True},
        "attributes_json": {"list": '[1,"b"]', "none": "null"},
        "body": '"said"',
        "service": "shop",
        "resource_attributes": {"service.name": '"shop"', "n": "1"},
        "resource_schema_url": "https://r",
        "resource_dropped_attributes_count": 4,
        "scope_name": "lib",
        "scope_version": "1.2",
        "scope_attributes": {"in": '"scope"'},
        "scope_schema_url": "https://s",
        "scope_dropped_attributes_count": 5,
        "attributes_cut": [],
    }
    assert {name: row[name] for name in told} == told


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("text", '"text"'),
        ("", '""'),
        ({"content": "hi\n", "n": [1, 2.0, None, True]}, '{"content":"hi\\n","n":[1,2.0,null,true]}'),
        (b"\x00\xff", '{"@bytes":"AP8="}'),
        (float("nan"), '{"@double":"nan"}'),
        (7, "7"),
        (None, ""),
    ],
)
def test_a_body_is_json_text_of_whatever_it_is(put, sent, stored):
    (row,) = put(logs_request(record(body=sent)))
    assert row["body"] == stored


def test_a_body_and_content_are_kept_whole_and_other_values_cut(put, target):
    store = Store(target, Settings(max_attribute_value_bytes=16))
    long = "ü" * 1000
    messages = [{"role": "user", "content": long}]
    sent = record(
        body={"content": long},
        attributes={"gen_ai.prompt": long, "gen_ai.input.messages": messages, "other": long},
    )
    try:
        (row,) = put(logs_request(sent), by=store)
    finally:
        store.close()
    assert json.loads(row["body"]) == {"content": long}
    assert row["content_string"] == {"gen_ai.prompt": long}
    assert json.loads(row["content_json"]["gen_ai.input.messages"]) == messages
    assert row["attributes_string"] == {"other": "ü" * 8}
    assert row["attributes_cut"] == ["other"]


@pytest.mark.parametrize(
    ("name", "attributes", "stored"),
    [
        ("gen_ai.choice", {}, "gen_ai.choice"),
        ("", {"event.name": "gen_ai.user.message"}, "gen_ai.user.message"),
        ("new", {"event.name": "old"}, "new"),
        ("", {}, ""),
    ],
)
def test_an_event_is_named_by_its_field_or_else_by_its_attribute(put, name, attributes, stored):
    (row,) = put(logs_request(record(event_name=name, attributes=attributes)))
    assert row["event_name"] == stored
    assert row["attributes_string"] == attributes


@pytest.mark.parametrize("absent", [b"", b"\0" * 16])
def test_a_record_of_no_trace_is_stored_without_one(put, absent):
    (row,) = put(logs_request(record(absent, span_id=absent[:8])))
    assert (row["trace_id"], row["span_id"]) == (b"\0" * 16, b"\0" * 8)


def test_the_observed_time_stands_in_for_the_time(put):
    (row,) = put(logs_request(record(time_unix_nano=0, observed_time_unix_nano=SECOND + 1)))
    assert (row["time_ns"], row["observed_ns"]) == (SECOND + 1, SECOND + 1)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"time_unix_nano": 0}, "time_missing"),
        ({"time_unix_nano": LATEST + 1}, "time_range"),
        ({"time_unix_nano": 1 << 63}, "time_range"),
        ({"time_unix_nano": 0, "observed_time_unix_nano": LATEST + 1}, "time_range"),
        ({"observed_time_unix_nano": 1 << 63}, "observed_time_range"),
        ({"trace_id": b"short"}, "trace_id_length"),
        ({"span_id": b"123456789"}, "span_id_length"),
        ({"attributes": {"deep": json.loads("[" * 40 + "]" * 40)}}, "value_depth"),
        ({"body": json.loads("[" * 40 + "]" * 40)}, "value_depth"),
    ],
)
def test_a_bad_record_is_rejected_alone(put, fields, reason):
    sent = logs_request(record(body=1), record(**fields), record(body=2))
    assert check(sent.SerializeToString(), DEPTH, LOGS) == (2, Counter({reason: 1}))
    assert sorted(row["body"] for row in put(sent)) == ["1", "2"]
    with pytest.raises(BadData, match=f"none of the 1 log records can be stored: 1 with {REASONS[reason]}"):
        check(logs_request(record(**fields)).SerializeToString(), DEPTH, LOGS)


def test_the_latest_time_is_stored(put):
    (row,) = put(logs_request(record(time_unix_nano=LATEST, observed_time_unix_nano=(1 << 63) - 1)))
    assert (row["time_ns"], row["observed_ns"]) == (LATEST, (1 << 63) - 1)


def test_a_resource_or_scope_that_nests_too_deep_takes_its_records_with_it_and_no_others(put):
    good, bad = record(body="good"), record(body="bad")
    deep = {"deep": json.loads("[" * 40 + "]" * 40)}
    both = logs_request(good)
    both.MergeFrom(logs_request(bad, resource=deep))
    under = logs_request(record(body="bad"))
    under.resource_logs[0].scope_logs[0].scope.attributes.extend(key_values(deep))
    both.MergeFrom(under)
    assert check(both.SerializeToString(), DEPTH, LOGS) == (1, Counter(value_depth=2))
    assert [row["body"] for row in put(both)] == ['"good"']


@pytest.mark.parametrize("number", [3, 12])
def test_text_that_is_not_utf8_refuses_the_request(number):
    broken = record().SerializeToString() + field(number, b"\xff")
    with pytest.raises(BadData, match=r"ExportLogsServiceRequest: a string is not valid UTF-8"):
        check(wire(record().SerializeToString(), broken), DEPTH, LOGS)


@pytest.mark.parametrize("value", [field(1, b"\xff"), nested_arrays(3).replace(b"core", b"\xff\xff\xff\xff")])
def test_a_body_that_is_not_utf8_refuses_the_request(value):
    with pytest.raises(BadData, match="UTF-8"):
        check(wire(record(body=None).SerializeToString() + field(5, value)), DEPTH, LOGS)


def test_cut_bytes_are_refused():
    body = logs_request(record()).SerializeToString()
    with pytest.raises(BadData, match="no valid protobuf"):
        check(body[:-3], DEPTH, LOGS)


def test_a_trace_request_holds_no_log_record():
    # The fields have other types; what is left has no time.
    body = request(span(name="")).SerializeToString()
    with pytest.raises(BadData, match="none of the 1 log records can be stored"):
        check(body, DEPTH, LOGS)


# --- the same record, sent again


def test_the_same_record_is_one_row_in_whatever_company_it_comes(put):
    one, two, three = record(body=1), record(body=2), record(body=3)
    put(logs_request(one, two))
    put(logs_request(two))
    rows = put(logs_request(three, two), logs_request(two))
    assert sorted(row["body"] for row in rows) == ["1", "2", "3"]


def test_a_record_that_differs_in_anything_is_another_row(put):
    at = time.time_ns()

    def same(**fields: Any) -> Any:
        return record(b"t" * 16, **({"span_id": b"s" * 8, "time_unix_nano": at} | fields))

    requests = [
        logs_request(same()),
        logs_request(same(body="other")),
        logs_request(same(attributes={"a": 1})),
        logs_request(same(severity_number=1)),
        logs_request(same(), scope="other"),
        logs_request(same(), resource={"service.name": "other"}),
        logs_request(same(), resource={"service.name": "tests", "host.name": "b"}),
    ]
    for tested in requests:
        put(tested)
    assert len(put(*requests)) == len(requests)


def test_empty_resources_and_scopes_do_not_share_what_is_sent_under_others(put):
    at, made = time.time_ns(), ExportLogsServiceRequest()
    same = record(b"t" * 16, span_id=b"s" * 8, time_unix_nano=at)
    for name in ("", "named", ""):
        made.resource_logs.add().scope_logs.add(log_records=[same]).scope.name = name
    assert len(put(made)) == 2


def test_the_id_of_a_record_is_the_same_in_every_process(put):
    sent = logs_request(record(body="x"))
    group = sent.resource_logs[0]
    resource, scope = (
        field(1, message.SerializeToString()) for message in (group.resource, group.scope_logs[0].scope)
    )
    (row,) = put(sent)
    (sent_record,) = group.scope_logs[0].log_records
    above = xxh3_128_digest(resource) + xxh3_128_digest(scope)
    assert row["id"] == xxh3_128_digest(above + sent_record.SerializeToString())


def test_many_records_under_many_resources_are_stored_each_once(put):
    made = ExportLogsServiceRequest()
    for service in range(50):
        some = [record(body={"n": [service, n]}, attributes={f"key-{n}": "v" * n}) for n in range(40)]
        made.MergeFrom(logs_request(*some, resource={"service.name": f"service-{service}"}))
    rows = put(made, made)
    assert sorted(json.loads(row["body"])["n"] for row in rows) == [
        [s, n] for s in range(50) for n in range(40)
    ]
    assert all(row["service"] == f"service-{json.loads(row['body'])['n'][0]}" for row in rows)
    assert all(
        row["attributes_string"] == {f"key-{n}": "v" * n}
        for row in rows
        for n in [json.loads(row["body"])["n"][1]]
    )


def test_of_a_body_sent_twice_the_last_counts(put):
    body = record(body="first").SerializeToString() + field(5, any_value("last").SerializeToString())
    (row,) = put(wire(body))
    assert row["body"] == '"last"'
