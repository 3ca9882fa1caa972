"""What must not be stored, as senders see it: it is rejected with the reason, and need not be sent again."""

from __future__ import annotations

import secrets
import time

import pytest
from otlp_logs import EXPORT_LOGS, logs_request, record
from otlp_requests import llm_span, request

from spanledger.collector.store import Store
from spanledger.query_api.upkeep.deletion import Wanted, delete, new_deletion
from spanledger.query_api.upkeep.retention import set_retention
from spanledger.schemas.removals import DAY_NS, Removals
from spanledger.schemas.settings import Settings


@pytest.fixture
def removals(target):
    return Removals(target)


@pytest.fixture
def running(target, collect, project, removals):
    store = Store(target, Settings(), removals=removals)
    with collect([store], removals=removals, project=project) as collector:
        yield collector


@pytest.fixture
def erase(writer, removals, project):
    def erase(*ids):
        wanted = Wanted("trace", [one.hex() for one in ids])
        return delete(writer, removals, new_deletion(project, wanted, reason="a test", who=""), wanted)

    return erase


def names(reader, project):
    sql = "SELECT name FROM spans FINAL WHERE project = {p:String}"
    return [name for (name,) in reader.query(sql, parameters={"p": project}).result_rows]


def test_the_same_bytes_are_stored_once_and_refused_behind_a_deletion(running, erase, reader, project):
    """A replay is answered from memory before it, and looked at again after it."""
    trace = secrets.token_bytes(16)
    sent = request(llm_span(trace), llm_span(trace), llm_span())
    with running.sender() as sender:
        assert [sender.send(sent).rejected for _ in range(2)] == [0, 0]
        assert running.counted("spanledger_spans_replayed_total") == 3
        erase(trace)
        for _ in range(2):
            answer = sender.send(sent)
            assert (answer.code, answer.rejected) == ("OK", 2)
            assert answer.message == "2 spans rejected: 2 with a trace_id that was deleted"
    assert len(names(reader, project)) == 1
    assert running.counted("spanledger_spans_rejected_total", reason="deleted") == 2
    # Three, then the one that is left of them; the second answer after the deletion is from memory, too.
    assert running.counted("spanledger_spans_stored_total") == 4


def test_a_request_of_nothing_else_is_answered_the_same_over_http(running, erase):
    """With 200 and a count: an error would have some exporters send it again."""
    trace = secrets.token_bytes(16)
    erase(trace)
    with running.client() as client:
        answer = client.post(
            "/v1/traces",
            content=request(llm_span(trace)).SerializeToString(),
            headers={"Content-Type": "application/x-protobuf", "Accept": "application/json"},
        )
    assert answer.status_code == 200
    assert b"was deleted" in answer.content


def test_log_records_of_a_deleted_trace_are_refused_others_are_not(running, erase, reader, project):
    trace = secrets.token_bytes(16)
    erase(trace)
    with running.sender() as sender:
        sent = logs_request(record(trace), record(), record(b"", span_id=b""))
        answer = sender.send(sent.SerializeToString(), method=EXPORT_LOGS)
        assert (answer.code, answer.rejected) == ("OK", 1)
    sql = "SELECT count() FROM logs WHERE project = {p:String}"
    assert reader.query(sql, parameters={"p": project}).result_rows == [(2,)]


def test_what_is_older_than_the_project_keeps_is_refused(running, writer, removals, reader, project):
    set_retention(writer, project, 3)
    removals.refresh(writer)
    old = llm_span()
    old.start_time_unix_nano = time.time_ns() - 5 * DAY_NS
    with running.sender() as sender:
        answer = sender.send(request(old, llm_span()))
    assert answer.message == "1 spans rejected: 1 with a time from before what the project keeps"
    assert len(names(reader, project)) == 1
    assert running.counted("spanledger_spans_rejected_total", reason="expired") == 1


def test_requests_in_one_insert_are_told_each_its_own(running, erase):
    """Of many that are stored together each hears of its own spans."""
    gone = [secrets.token_bytes(16) for _ in range(4)]
    erase(*gone)
    bodies = [request(*(llm_span(one) for one in gone[:n]), llm_span()) for n in range(5)]
    with running.sender() as sender:
        assert [sender.send(body).rejected for body in bodies] == [0, 1, 2, 3, 4]
