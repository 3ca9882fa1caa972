"""collector.grpc_receiver: the ledger's rules over real gRPC into the real engine."""

from __future__ import annotations

import math
import random
import secrets
import struct
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from otlp_requests import (
    HOSTILE_KEYS,
    field,
    fixed64,
    key_values,
    llm_span,
    nested_arrays,
    request,
    span,
    varint,
    wire_request,
)

from spanledger.collector.gate import REASONS
from spanledger.collector.rows.block import Block, Request
from spanledger.collector.store import Store
from spanledger.schemas.errors import Busy
from spanledger.schemas.settings import MIB

ODD_COUNTS = [
    "abc",
    -5,
    "-5",
    str(1 << 64),
    "1e400",
    1e300,
    math.nan,
    math.inf,
    2.5,
    True,
    b"7",
    ["7"],
    {"n": 7},
    None,
    "",
]


@pytest.fixture(scope="module")
def sender(collector):
    with collector.sender() as sender:
        yield sender


# --- OK means stored


def test_what_is_answered_ok_is_visible_at_once(sender, rows):
    for _ in range(20):
        sent = span()
        assert sender.send(request(sent)).code == "OK"
        assert rows(sent.trace_id) == [("work",)]


def test_the_same_bytes_sent_twice_are_one_span_with_one_cost(sender, rows):
    sent = llm_span()
    body = request(sent).SerializeToString()
    expected = [(1000, Decimal("0.00021"))]  # 1000 * 0.15 + 100 * 0.60 USD a million
    for _ in range(3):
        assert sender.send(body).code == "OK"
        assert rows(sent.trace_id, "input_tokens", "cost_usd") == expected


def test_the_same_bytes_sent_by_many_at_once_are_one_span_with_one_cost(collector, rows):
    sent = llm_span()
    body = request(sent).SerializeToString()
    with ThreadPoolExecutor(8) as pool, collector.sender() as one, collector.sender() as other:
        answers = list(pool.map(lambda n: (one, other)[n % 2].send(body), range(16)))
    assert {answer.code for answer in answers} == {"OK"}
    assert rows(sent.trace_id, "cost_usd") == [(Decimal("0.00021"),)]


def test_the_span_received_last_wins(sender, rows):
    trace_id, first = secrets.token_bytes(16), span(name="first")
    for name in ("first", "second"):
        again = span(
            trace_id, name=name, span_id=first.span_id, start_time_unix_nano=first.start_time_unix_nano
        )
        sender.send(request(again))
        assert rows(trace_id) == [(name,)]


def test_the_same_span_id_with_another_start_is_another_span(sender, rows):
    trace_id, once = secrets.token_bytes(16), span()
    for name, later in (("a", 0), ("b", 1)):
        start = once.start_time_unix_nano + later
        sender.send(request(span(trace_id, name=name, span_id=once.span_id, start_time_unix_nano=start)))
    assert rows(trace_id) == [("a",), ("b",)]


def test_requests_of_many_threads_are_counted_exactly(collector, rows):
    trace_id = secrets.token_bytes(16)

    def work(thread: int) -> set[str]:
        with collector.sender() as sender:
            return {
                sender.send(request(*(span(trace_id, name=f"{thread}") for _ in range(7)))).code
                for _ in range(5)
            }

    with ThreadPoolExecutor(32) as pool:
        assert set().union(*pool.map(work, range(32))) == {"OK"}
    assert len(rows(trace_id)) == 32 * 5 * 7


# --- a bad span never harms its neighbours


def test_one_bad_span_among_ten_is_refused_with_its_reason_and_nine_are_stored(collector, sender, rows):
    reason = "trace_id_length"
    trace_id = secrets.token_bytes(16)
    before = collector.counted("spanledger_spans_rejected_total", reason=reason)
    spans = [span(trace_id, name=f"{n}") for n in range(9)]
    answer = sender.send(request(*spans[:5], span(trace_id[:15]), *spans[5:]))
    assert answer[:3] == ("OK", f"1 spans rejected: 1 with {REASONS[reason]}", 1)
    assert rows(trace_id) == [(f"{n}",) for n in range(9)]
    assert collector.counted("spanledger_spans_rejected_total", reason=reason) == before + 1


def test_many_different_reasons_make_a_message_of_bounded_length(sender):
    """All bad: INVALID_ARGUMENT with words that fit a trailer; some bad: an answer far below 4 MiB."""
    bad = [span(b"t" * (size + 17)) for size in range(2_000)]
    refused = sender.send(request(*bad))
    assert refused.code == "INVALID_ARGUMENT"
    assert len(refused.message) < 4_000
    answer = sender.send(request(span(), *bad))
    assert (answer.code, answer.rejected) == ("OK", 2_000)
    assert len(answer.message) < 4_000


def test_reasons_are_counted_under_few_names(collector, sender):
    """What is sent must not decide how many time series there are."""
    for size in range(17, 60):
        sender.send(request(span(), span(b"t" * size)))
    samples = [
        sample.labels["reason"]
        for metric in collector.registry.collect()
        if metric.name == "spanledger_spans_rejected"
        for sample in metric.samples
        if sample.name.endswith("_total")
    ]
    assert len(samples) < 20


def test_an_empty_request_is_ok(sender):
    assert sender.send(b"")[:3] == ("OK", "", 0)


def test_random_bytes_are_invalid_and_the_server_goes_on(sender, rows):
    chance = random.Random(7)
    answers = {sender.send(b"\x0a\xff" + chance.randbytes(size)).code for size in range(1, 400, 7)}
    assert answers == {"INVALID_ARGUMENT"}
    sent = span()
    assert sender.send(request(sent)).code == "OK"
    assert rows(sent.trace_id) == [("work",)]


def test_logs_sent_as_traces_are_invalid(sender):
    logs = ExportLogsServiceRequest()
    record = logs.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=5, severity_text="INFO")
    record.body.string_value = "a log line"
    answer = sender.send(logs.SerializeToString())
    assert answer.code == "INVALID_ARGUMENT"
    assert "trace_id" in answer.message


def test_another_service_is_unimplemented(sender):
    other = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
    assert sender.send(b"", method=other).code == "UNIMPLEMENTED"


def test_invalid_utf8_is_invalid(sender):
    assert (
        sender.send(wire_request(span().SerializeToString() + field(5, b"\xff"))).code == "INVALID_ARGUMENT"
    )


@pytest.mark.parametrize(
    ("depth", "code"), [(30, "OK"), (1_000, "INVALID_ARGUMENT"), (100_000, "INVALID_ARGUMENT")]
)
def test_deep_nesting_is_stored_or_invalid(sender, rows, depth, code):
    sent = span()
    deep = field(9, field(1, b"deep") + field(2, nested_arrays(depth)))
    assert sender.send(wire_request(sent.SerializeToString() + deep)).code == code
    stored = [("[" * depth + '"core"' + "]" * depth,)] if code == "OK" else []
    assert rows(sent.trace_id, "attributes_json['deep']") == stored


def with_wrong_wire_types() -> dict[str, bytes]:
    """Spans that protobuf reads, taking a field of the wrong wire type for one that it does not know."""
    good = span().SerializeToString()
    return {
        "name as fixed64": good + fixed64(5, 7),
        "start as bytes": good + field(7, b"12345678"),
        "kind as fixed64": good + fixed64(6, 7),
        "attributes as varint": good + varint(9 << 3) + varint(5),
        "status as fixed64": good + fixed64(15, 7),
        "flags as varint": good + varint(16 << 3) + varint(1),
        "a group": good + varint(900 << 3 | 3) + varint(900 << 3 | 4),
        "kind beyond 32 bits": good + varint(6 << 3) + varint((1 << 33) + 2),
        "a count beyond 32 bits": good + varint(10 << 3) + varint(1 << 40),
        "a bool beyond one bit": good + attribute(varint(2 << 3) + varint(1 << 40)),
        "two values in one": good + attribute(field(1, b"text") + varint(3 << 3) + varint(5)),
    }


def attribute(value: bytes) -> bytes:
    """The attribute `k` of a span with a value given as the bytes of its message."""
    return field(9, field(1, b"k") + field(2, value))


@pytest.mark.parametrize("wrong", with_wrong_wire_types())
def test_a_field_of_a_wrong_wire_type_harms_nobody_else(collector, rows, wrong):
    """Whether it is stored or refused: the answer says it, and what others send meanwhile is stored."""
    body = with_wrong_wire_types()[wrong]
    trace_id = secrets.token_bytes(16)

    def good(n: int) -> str:
        with collector.sender() as sender:
            return sender.send(request(span(trace_id, name=f"{n:02}"))).code

    def bad(_: int) -> str:
        with collector.sender() as sender:
            return sender.send(wire_request(body)).code

    with ThreadPoolExecutor(12) as pool:
        theirs = [pool.submit(bad, n) for n in range(3)]
        ours = [pool.submit(good, n) for n in range(12)]
    assert {answer.result() for answer in ours} == {"OK"}
    assert len({answer.result() for answer in theirs} & {"OK", "INVALID_ARGUMENT"}) == 1
    assert rows(trace_id) == [(f"{n:02}",) for n in range(12)]


def sent_twice() -> dict[str, tuple[bytes, bytes]]:
    """A span's bytes and an id: a field that is sent twice, of which protobuf takes the last."""
    ids = {name: secrets.token_bytes(16) for name in ("trace_id", "name", "key")}
    whole = {name: span(trace_id, {"k": "v"}).SerializeToString() for name, trace_id in ids.items()}
    key = field(9, field(1, b"k1") + field(1, b"k2") + field(2, field(1, b"v")))
    return {
        "trace_id": (field(1, b"t" * 15) + whole["trace_id"], ids["trace_id"]),
        "name": (field(5, b"first") + whole["name"], ids["name"]),
        "key": (whole["key"] + key, ids["key"]),
    }


@pytest.mark.parametrize("twice", ["trace_id", "name", "key"])
def test_of_a_field_sent_twice_the_last_one_is_stored(sender, rows, twice):
    """What the gate checked must be what is stored."""
    body, trace_id = sent_twice()[twice]
    assert sender.send(wire_request(body)).code == "OK"
    expected = {"k": "v"} | ({"k2": "v"} if twice == "key" else {})
    assert rows(trace_id, "name", "attributes_string") == [("work", expected)]


def test_a_start_that_the_gate_did_not_see_is_not_stored(sender, rows):
    sent = span()
    year_2300 = struct.pack("<Q", 10_413_792_000 * 1_000_000_000)
    assert sender.send(wire_request(sent.SerializeToString() + field(7, year_2300))).code == "OK"
    assert rows(sent.trace_id, "toUnixTimestamp64Nano(start_time)") == [(sent.start_time_unix_nano,)]


# --- attributes


def test_unknown_fields_are_ignored(sender, rows):
    sent = span()
    extended = (
        sent.SerializeToString() + field(999, b"new") + fixed64(1000, 7) + varint(1001 << 3) + varint(1)
    )
    assert sender.send(wire_request(extended) + field(500, b"new too")).code == "OK"
    assert rows(sent.trace_id) == [("work",)]


def test_nan_and_infinities_are_stored_as_they_are(sender, rows):
    odd = {"nan": math.nan, "inf": math.inf, "minus": -math.inf, "list": [math.nan, 1.0]}
    sent = span(attributes=odd, events=[], links=[])
    assert sender.send(request(sent, resource={"nan": math.nan})).code == "OK"
    ((doubles, jsons, resource),) = rows(
        sent.trace_id, "attributes_double", "attributes_json", "resource_attributes"
    )
    assert math.isnan(doubles["nan"])
    assert (doubles["inf"], doubles["minus"]) == (math.inf, -math.inf)
    assert jsons == {"list": '[{"@double":"nan"},1.0]'}
    assert resource == {"nan": '{"@double":"nan"}'}


def test_of_two_equal_keys_the_last_one_counts(sender, rows):
    sent = llm_span()
    sent.attributes.extend(key_values({"k": "first"}))
    sent.attributes.extend(key_values({"k": "second", "gen_ai.usage.input_tokens": 7}))
    assert sender.send(request(sent)).code == "OK"
    assert rows(sent.trace_id, "attributes_string", "input_tokens") == [
        (
            {"k": "second"} | {pair.key: pair.value.string_value for pair in sent.attributes[:3]},
            7,
        )
    ]


def test_of_two_equal_keys_a_search_finds_the_last_one(sender, rows):
    sent = span()
    for value in ("first", "second"):
        sent.attributes.extend(key_values({"k": value}))
    assert sender.send(request(sent)).code == "OK"
    assert rows(sent.trace_id, "attributes_string['k']") == [("second",)]


def test_hostile_keys_and_values_are_kept_verbatim(sender, rows):
    everything = {key: key for key in (*HOSTILE_KEYS, "k" * 256)}
    sent = span(attributes=everything)
    assert sender.send(request(sent)).code == "OK"
    ((stored,),) = rows(sent.trace_id, "attributes_string")
    assert stored == everything


@pytest.mark.parametrize("odd", ODD_COUNTS, ids=repr)
def test_a_token_count_that_is_none_is_unknown_and_costs_nothing_known(sender, rows, odd):
    sent = llm_span(input_tokens=odd, output_tokens=odd)
    assert sender.send(request(sent))[:3] == ("OK", "", 0)
    columns = ("name", "input_tokens", "output_tokens", "cost_usd", "cost_reason")
    assert rows(sent.trace_id, *columns) == [("chat gpt-4o-mini", None, None, None, "no_usage")]


@pytest.mark.parametrize("huge", [1 << 62, (1 << 63) - 1, str(1 << 63), str((1 << 64) - 1)])
def test_a_token_count_near_the_end_of_the_integers_is_no_error(sender, rows, huge):
    """The span is stored, and its cost is right or absent: never negative, never wrapped around."""
    sent = llm_span(input_tokens=huge, output_tokens=huge, gen_ai__usage__cache_read__input_tokens=huge)
    assert sender.send(request(sent))[:3] == ("OK", "", 0)
    ((cost, cost_input, cost_output),) = rows(sent.trace_id, "cost_usd", "cost_input_usd", "cost_output_usd")
    count = Decimal(huge)
    right = count * Decimal("0.075") / 1_000_000, count * Decimal("0.6") / 1_000_000
    assert cost is None or (cost_input, cost_output) == right
    assert cost is None or cost == sum(right)


@pytest.mark.parametrize(
    "odd",
    [
        "abc",
        "NaN",
        "1e400",
        "-1e400",
        str(1 << 100),
        -1.0,
        b"1",
        True,
        {"usd": 1},
    ],
)
def test_a_reported_cost_that_is_none_is_no_error(sender, rows, odd):
    sent = llm_span(model="model-without-price", gen_ai__usage__cost__amount=odd)
    assert sender.send(request(sent))[:3] == ("OK", "", 0)
    ((cost,),) = rows(sent.trace_id, "cost_usd")
    assert cost is None


def test_events_and_links_keep_their_attributes(sender, rows):
    sent = span()
    event = sent.events.add(name="happened", time_unix_nano=sent.start_time_unix_nano + 1)
    event.attributes.extend(key_values({"n": 1, "deep": {"a": [1, 2]}}))
    link = sent.links.add(trace_id=b"T" * 16, span_id=b"S" * 8)
    link.attributes.extend(key_values({"why": "because"}))
    assert sender.send(request(sent)).code == "OK"
    columns = ("events.name", "events.attributes", "links.trace_id", "links.attributes")
    assert rows(sent.trace_id, *columns) == [
        (["happened"], [{"n": "1", "deep": '{"a":[1,2]}'}], ["T" * 16], [{"why": '"because"'}])
    ]


def test_event_times_outside_the_calendar_are_no_error(sender, rows):
    sent = span()
    sent.events.add(name="late", time_unix_nano=(1 << 64) - 1)
    sent.events.add(name="never", time_unix_nano=0)
    assert sender.send(request(sent)).code == "OK"
    assert rows(sent.trace_id, "events.name") == [(["late", "never"],)]


def test_numbers_nobody_knows_yet_are_kept(sender, rows):
    sent = span(kind=99)
    sent.status.code = 77
    assert sender.send(request(sent)).code == "OK"
    assert rows(sent.trace_id, "kind", "status_code") == [(99, 77)]


# --- sizes and compression


def test_gzip_requests_are_read(collector, rows):
    sent = span(attributes={"text": "a" * 100_000})
    with collector.sender(gzip=True) as sender:
        assert sender.send(request(sent)).code == "OK"
    assert rows(sent.trace_id, "length(attributes_string['text'])") == [(100_000,)]


@pytest.mark.slow
def test_a_request_of_64_mib_is_stored_and_one_byte_more_is_refused(collector, rows):
    sent = span(attributes={"gen_ai.input.messages": ""})
    padding = 64 * MIB - len(request(sent).SerializeToString())
    for size in range(padding - 20, padding + 1):
        sent.attributes[0].value.string_value = "a" * size
        body = request(sent).SerializeToString()
        if len(body) == 64 * MIB:
            break
    assert len(body) == 64 * MIB
    with collector.sender() as sender:
        assert sender.send(body).code == "OK"
        assert rows(sent.trace_id, "length(content_string['gen_ai.input.messages'])") == [(size,)]
        sent.attributes[0].value.string_value += "a"
        answer = sender.send(request(sent))
    assert answer.code == "RESOURCE_EXHAUSTED"
    assert answer.delays == []


def test_a_request_over_the_limit_is_exhausted_also_where_it_is_small_on_the_wire(collect, store):
    body = request(span(attributes={"text": "a" * 20_000}))
    with collect([_Kept(store)], max_request_bytes=10_000) as small:
        for gzip in (False, True):
            with small.sender(gzip=gzip) as sender:
                answer = sender.send(body)
                assert answer.code == "RESOURCE_EXHAUSTED"
                assert answer.delays == []
                assert sender.send(request(span())).code == "OK"


class _Kept:
    """The tests' own store, which a collector must not close at its end."""

    def __init__(self, store: Store) -> None:
        self.insert = store.insert

    def close(self) -> None: ...


# --- keys


@pytest.fixture
def guarded(collect, store):
    with collect([_Kept(store)], api_key="the-key", project="over-grpc") as collector:
        yield collector


@pytest.mark.parametrize("key", [None, "wrong", "the-ke", "the-key2", "THE-KEY", "Bearer the-key"])
def test_a_call_without_the_key_is_unauthenticated_and_stores_nothing(guarded, rows, key):
    sent = span()
    with guarded.sender(key=key) as sender:
        answer = sender.send(request(sent))
    assert answer.code == "UNAUTHENTICATED"
    assert "the-key" not in answer.message
    assert rows(sent.trace_id) == []


def test_a_call_with_the_key_is_answered(guarded, rows):
    sent = span()
    with guarded.sender(key="the-key") as sender:
        assert sender.send(request(sent)).code == "OK"
    assert rows(sent.trace_id) == [("work",)]


def test_every_method_needs_the_key(guarded):
    with guarded.sender() as sender:
        for method in ("/opentelemetry.proto.collector.logs.v1.LogsService/Export", "/any.Service/Call"):
            assert sender.send(b"", method=method).code in ("UNAUTHENTICATED", "UNIMPLEMENTED")


# --- answers


class Slow:
    """A store that takes its time; it counts what it stored."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.inserts, self.stored = seconds, 0, 0

    def insert(self, requests: Sequence[Request]) -> Block:
        time.sleep(self.seconds)
        self.inserts += 1
        self.stored += len(requests)
        return Block(b"", len(requests), 0, 0, 0)

    def close(self) -> None: ...


def test_a_slow_store_answers_everybody_within_its_budget_of_bytes(collect):
    """A budget for 20 requests, 30 callers at once: each is stored or told to come again, and why."""
    slow = Slow(0.2)

    with collect([slow], queue_bytes=100_000) as collector:

        def work(_: int) -> list:
            with collector.sender() as sender:
                return [sender.send(request(span(attributes={"text": "x" * 5_000}))) for _ in range(5)]

        with ThreadPoolExecutor(30) as pool:
            answers = [answer for some in pool.map(work, range(30)) for answer in some]
        waiting = collector.counted("spanledger_waiting_bytes")
    codes = Counter(answer.code for answer in answers)
    assert codes.keys() == {"OK", "UNAVAILABLE"}
    assert codes["OK"] == slow.stored
    refused = [answer for answer in answers if answer.code == "UNAVAILABLE"]
    assert all("the limit is 100000" in answer.message for answer in refused)
    assert all(len(answer.delays) == 2 for answer in refused)
    assert waiting == 0


def test_a_busy_store_is_unavailable_with_the_delay_in_both_trailers(collect):
    class Down:
        def insert(self, requests: Sequence[Request]) -> Block:
            raise Busy("the database is away", retry_after_s=1.5)

        def close(self) -> None: ...

    with collect([Down()]) as collector, collector.sender() as sender:
        answer = sender.send(request(span()))
    assert (answer.code, answer.message) == ("UNAVAILABLE", "the database is away")
    assert answer.delays == [1.5, 1.5]
