"""query_api.upkeep: what is deleted is gone from every answer at once, from the disk then, and stays gone."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from otlp_logs import logs_request, record
from otlp_requests import llm_span, request, span

from spanledger.collector.duplicates import resolve
from spanledger.collector.duplicates.resolve import Resolver
from spanledger.collector.duplicates.watch import Watch
from spanledger.collector.rows.block import LeftOut, Request
from spanledger.collector.store import Store
from spanledger.query_api.prices import journal as price_journal
from spanledger.query_api.prices.reprice import Plan, reprice
from spanledger.query_api.upkeep import journal
from spanledger.query_api.upkeep.tables import tables_of_spans
from spanledger.schemas.database import connect
from spanledger.schemas.prices.overrides import add_override, remove_override
from spanledger.schemas.removals import Removals
from spanledger.schemas.settings import Settings

NOTHING = {"cost_changes": 0, "logs": 0, "spans": 0}


def change_of_cost(writer: Client, project: str, trace_id: bytes) -> None:
    """An entry in the history of costs, for a span of the trace."""
    writer.command(
        "INSERT INTO cost_changes (project, trace_id, run) "
        "SELECT {project:String}, toFixedString(unhex({trace:String}), 16), 'a run'",
        parameters={"project": project, "trace": trace_id.hex()},
    )


def test_every_table_with_rows_of_spans_is_known(writer):
    """A table that is added with a project and a trace id is among them, whatever it is called."""
    found = writer.query(
        "SELECT DISTINCT table, type FROM system.columns WHERE database = currentDatabase() "
        "AND name = 'trace_id' AND table IN (SELECT name FROM system.tables "
        "WHERE database = currentDatabase() AND engine LIKE '%MergeTree')"
    ).result_rows
    assert {kind for _, kind in found} == {"FixedString(16)"}
    # These have ids and times of traces that are gone, and nothing of what was in them.
    only_ids = {"deleted_traces", "trace_times"}
    assert {table.name for table in tables_of_spans(writer)} == {name for name, _ in found} - only_ids


def test_a_trace_is_gone_at_once_from_every_table_and_its_neighbours_stay(
    put, erase, stored, writer, project
):
    """Spans, log records and the history of costs; not another trace, nor the same id in another project."""
    trace, other = secrets.token_bytes(16), secrets.token_bytes(16)
    for one in (trace, other):
        put(request(llm_span(one), llm_span(one)))
        put(logs_request(record(one)), "logs")
        change_of_cost(writer, project, one)
    put(request(llm_span(trace)), under=f"{project}-b")
    row = erase("trace", trace.hex())
    assert stored(trace) == NOTHING
    assert stored(other) == {"cost_changes": 1, "logs": 1, "spans": 2}
    assert stored(trace, f"{project}-b")["spans"] == 1
    assert (row.state, row.traces, row.spans, row.logs, row.cost_changes) == ("hidden", 1, 2, 1, 1)


def test_nothing_of_it_is_left_in_a_file_when_it_is_done(put, erase, finish, files_with, writer):
    """A text that only the deleted spans hold stands in files before, and in none after it."""
    canary, kept = (f"canary-{secrets.token_hex(20)}" for _ in range(2))
    trace = secrets.token_bytes(16)
    said = json.dumps([{"role": "user", "parts": [{"type": "text", "content": canary}]}])
    put(request(llm_span(trace, gen_ai__input__messages=said, user__id=f"user-{canary}")))
    put(logs_request(record(trace, canary)), "logs")
    put(request(llm_span(gen_ai__input__messages=kept)))
    writer.command("OPTIMIZE TABLE spans FINAL")
    assert files_with(canary)
    done = finish(erase("user", f"user-{canary}"))
    assert files_with(canary) == []
    assert files_with(kept)
    assert done.state == "done"
    assert done.hidden_at <= done.erased_at <= done.done_at


def test_the_same_bytes_are_refused_afterwards_also_by_another_collector(put, erase, stored, target, project):
    """The trace is rejected with the reason, its neighbour in the request is stored."""
    trace, other = secrets.token_bytes(16), secrets.token_bytes(16)
    sent = request(llm_span(trace), llm_span(other), llm_span(trace))
    assert put(sent).rows == 3
    erase("trace", trace.hex())
    again = put(sent)
    assert (again.rows, again.left_out) == (1, [LeftOut(deleted=2)])
    elsewhere = Removals(target)
    elsewhere.start()
    try:
        place = elsewhere.now().of(project, 0)
        assert place.last - place.first == 1
    finally:
        elsewhere.stop()
    assert stored(trace) == NOTHING
    assert put(logs_request(record(trace)), "logs").rows == 0


def test_what_another_process_stored_before_it_knew_is_taken_away(
    put, erase, finish, stored, *, target, keeper, writer
):
    """A collector that has not heard of the deletion stores a copy: the keeper finds it, and goes on."""
    trace = secrets.token_bytes(16)
    sent = request(llm_span(trace))
    put(sent)
    row = erase("trace", trace.hex())
    stale = Store(target, Settings(), removals=Removals(target))
    body = sent.SerializeToString()
    stale.insert([Request(body, row.project, 1, 1)])
    assert stored(trace)["spans"] == 1
    finish(row)
    assert stored(trace) == NOTHING
    # Also when the deletion was done already, for a day.
    stale.insert([Request(body, row.project, 1, 1)])
    keeper.wake()
    keeper.look(writer)
    assert stored(trace) == NOTHING
    stale.close()


def test_the_resolver_of_duplicates_does_not_bring_rows_back(
    target, writer, project, *, erase, finish, stored, monkeypatch
):
    """The trace is deleted after its rows were read, and before they are written again."""
    watch = Watch()
    store = Store(target, Settings(), watch)
    trace = secrets.token_bytes(16)
    outer = llm_span(trace, gen_ai__response__id="r1")
    inner = llm_span(trace, gen_ai__response__id="r1")
    inner.parent_span_id = outer.span_id
    for sent, scope in ((outer, "one"), (inner, "two")):
        body = request(sent, scope=scope).SerializeToString()
        store.insert([Request(body, project, 1, 1)])
    deleted: list[Any] = []
    decide = resolve.decide

    def deleted_meanwhile(*arguments: Any) -> Any:
        deleted.append(erase("trace", trace.hex()))
        return decide(*arguments)

    monkeypatch.setattr(resolve, "decide", deleted_meanwhile)
    resolver = Resolver(connect(target))
    places = watch.take()
    changed = sum(resolver.resolve(place, places[place]) for place in places)
    assert changed
    assert stored(trace) == NOTHING
    finish(deleted[0])
    assert stored(trace) == NOTHING
    resolver.close()
    store.close()


def test_pricing_anew_does_not_bring_rows_back(put, writer, project, *, erase, finish, stored, monkeypatch):
    """The trace is deleted after its costs were read, and before they are written down."""
    trace = secrets.token_bytes(16)
    put(request(llm_span(trace), llm_span(trace)))
    prices = [{"unit": "input_tokens", "price": "10"}]
    override = add_override(writer, project=project, match_value="gpt-4o-mini", prices=prices)
    write_down = price_journal.write_down
    deleted: list[Any] = []

    def deleted_meanwhile(*arguments: Any) -> None:
        deleted.append(erase("trace", trace.hex()))
        write_down(*arguments)

    monkeypatch.setattr(price_journal, "write_down", deleted_meanwhile)
    list(reprice(writer, Plan(0, 1 << 62, project=project), "provider"))
    remove_override(writer, override.id)
    assert deleted
    assert stored(trace)["spans"] == 0
    finish(deleted[0])
    assert stored(trace) == NOTHING


def test_of_a_user_the_traces_go_that_were_there(put, erase, stored, project):
    """Whole traces, also of spans that do not name the user; a new trace is new data, nobody else's goes."""
    mine, other = secrets.token_bytes(16), secrets.token_bytes(16)
    put(request(llm_span(mine, user__id="ada"), span(mine)))
    put(request(llm_span(other, user__id="bob")))
    row = erase("user", "ada")
    assert (row.traces, row.spans) == (1, 2)
    assert stored(mine) == NOTHING
    assert stored(other)["spans"] == 1
    new = secrets.token_bytes(16)
    assert put(request(llm_span(new, user__id="ada"))).rows == 1
    assert stored(new)["spans"] == 1


def test_of_a_conversation_all_traces_go(put, erase, stored):
    traces = [secrets.token_bytes(16) for _ in range(3)]
    for trace in traces:
        put(request(llm_span(trace, gen_ai__conversation__id="talk 7")))
    assert erase("conversation", "talk 7").traces == 3
    assert all(stored(trace) == NOTHING for trace in traces)


def test_deleting_what_is_not_there_is_done_at_once(erase):
    assert erase("user", "nobody").state == "done"


def test_the_journal_does_not_name_whose_data_it_was(put, erase, finish, files_with, writer):
    """It has a hash by which somebody who knows the id finds it; the id itself stands nowhere any more."""
    user = f"ada-{secrets.token_hex(16)}@example.org"
    put(request(llm_span(user__id=user)))
    assert files_with(user)
    row = finish(erase("user", user))
    assert row.subject_sha256 == hashlib.sha256(f"{row.deletion}\n{user}".encode()).hexdigest()
    assert files_with(user) == []
    told = writer.query("SELECT command FROM system.mutations").result_rows
    assert not any(user in command for (command,) in told)


def test_many_traces_of_a_user_go_in_one(put, erase, finish, writer, project):
    put(request(*(llm_span(user__id="many") for _ in range(3000))))
    row = finish(erase("user", "many"))
    assert (row.traces, row.spans) == (3000, 3000)
    counted = writer.query(
        "SELECT count() FROM spans WHERE project = {p:String}", parameters={"p": project}
    ).result_rows
    assert counted == [(0,)]


@pytest.mark.slow
@pytest.mark.parametrize("step", ["marked", "hiding", "hidden", "erasing"])
def test_a_deletion_survives_a_kill(tmp_path: Path, step: str):
    """Killed between any two steps, the next process finishes it, and neither rows nor files have it."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        program = Path(__file__).parent / "deletion_program.py"
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
        return subprocess.run(
            [sys.executable, str(program), str(tmp_path), *words],
            env=environment,
            timeout=120,
            capture_output=True,
            text=True,
            check=False,
        )

    def files_with_ada() -> str:
        command = ["grep", "-rlaF", "canary-of-ada", str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    assert run("make").returncode == 0
    assert files_with_ada()
    assert run("delete", step).returncode == -9
    finished = run("finish")
    assert finished.returncode == 0, finished.stderr
    told = json.loads(finished.stdout)
    assert told == {"states": ["done"], "of_ada": 0, "others": 500, "refused": 40}
    assert files_with_ada() == ""


def test_a_late_refusal_of_everything_is_no_error(put, erase):
    """A request of which nothing may be stored is answered like one of which a part may not."""
    trace = secrets.token_bytes(16)
    sent = request(llm_span(trace))
    put(sent)
    erase("trace", trace.hex())
    assert put(sent).rows == 0


def test_journal_rows_are_read_as_they_were_written(erase, writer, project):
    row = erase("trace", secrets.token_hex(16))
    assert journal.one(writer, project, row.deletion) == row
    assert journal.page(writer, project, limit=10) == [row]
    assert journal.one(writer, f"{project}-b", row.deletion) is None
