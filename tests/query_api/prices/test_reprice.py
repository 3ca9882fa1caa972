"""query_api.prices.reprice: costs are worked out again once, whatever happens, and what they were is kept."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from otlp_requests import llm_span, request

from spanledger.query_api.prices import changes, journal
from spanledger.query_api.prices.reprice import Plan, Progress, reprice
from spanledger.schemas.prices.overrides import Override, add_override, remove_override

MICRO = Decimal("0.000001")
SPANS = """
SELECT trace_id, response_id, counted, cost_usd, cost_input_usd, cost_output_usd, cost_computed_usd,
    cost_source, cost_reason, price_model, price_version, input_tokens, attributes_string, content_string,
    received_at
FROM spans FINAL WHERE project = {project:String} ORDER BY response_id
"""
HISTORY = "SELECT * FROM cost_history WHERE project = {project:String} ORDER BY changed_at, trace_id"


@pytest.fixture
def override(writer: Client, project: str) -> Iterator[Callable[..., Override]]:
    """Set prices for the project of the test, by default ten dollars a million tokens of any kind."""
    made = []

    def set_prices(model: str = "gpt-4o-mini", price: str = "10") -> Override:
        prices = [{"unit": unit, "price": price} for unit in ("input_tokens", "output_tokens")]
        made.append(add_override(writer, project=project, match_value=model, prices=prices))
        return made[-1]

    yield set_prices
    for each in made:
        remove_override(writer, each.id)


@pytest.fixture
def run(writer: Client, project: str) -> Callable[..., Progress]:
    """Price the project's spans anew; the last progress."""

    def run(preference: str = "provider", **plan: Any) -> Progress:
        defaults = {
            "since_ns": 0,
            "until_ns": 1 << 62,
            "project": project,
            "who": "ann",
            "why": "a wrong price",
        }
        *_, last = reprice(writer, Plan(**(defaults | plan)), preference)
        return last

    return run


@pytest.fixture
def mended(override: Callable[..., Override], run: Callable[..., Progress]) -> Callable[[], Progress]:
    """Mend a price, and price anew."""

    def mended() -> Progress:
        override()
        return run()

    return mended


def rows(reader: Client, project: str, sql: str = SPANS) -> list[dict[str, Any]]:
    return list(reader.query(sql, parameters={"project": project}).named_results())


def calls(*names: str, **given: Any) -> Any:
    """Calls of a thousand tokens in and a hundred out, told apart by their response ids."""
    return request(*(llm_span(gen_ai__response__id=name, **given) for name in names))


def test_a_mended_price_changes_costs_and_nothing_else(ingest, reader, project, override, run):
    ingest(calls("a", "b", gen_ai__input__messages='[{"role": "user"}]'))
    ingest(calls("c", model="gpt-4o"))
    before = rows(reader, project)
    made = override()
    last = run()
    after = rows(reader, project)
    assert [row["cost_usd"] for row in after] == [11_000 * MICRO, 11_000 * MICRO, before[2]["cost_usd"]]
    assert [row["cost_input_usd"] for row in after[:2]] == [10_000 * MICRO] * 2
    assert [row["cost_output_usd"] for row in after[:2]] == [1_000 * MICRO] * 2
    assert made.id in after[0]["price_version"]
    costs = (
        "cost_usd",
        "cost_input_usd",
        "cost_output_usd",
        "cost_computed_usd",
        "price_version",
        "price_model",
    )
    for old, new in zip(before, after, strict=True):
        changed = {name for name in old if old[name] != new[name]}
        assert changed - {"received_at"} <= set(costs)
    assert (last.done_spans, last.total_spans, last.changed_spans) == (3, 3, 2)
    assert last.difference_usd == 22_000 * MICRO - before[0]["cost_usd"] - before[1]["cost_usd"]


def test_history_says_what_a_cost_was_who_changed_it_when_and_why(ingest, reader, project, override, run):
    ingest(calls("a"))
    [before] = rows(reader, project)
    override()
    last = run()
    [change] = rows(reader, project, HISTORY)
    assert (change["old_cost_usd"], change["new_cost_usd"]) == (before["cost_usd"], 11_000 * MICRO)
    assert (change["who"], change["why"], change["run"]) == ("ann", "a wrong price", last.run)
    assert change["old_price_version"] == before["price_version"]
    found = reader.query(f"SELECT * FROM reprice_runs FINAL WHERE run = '{last.run}'").named_results()
    [stored] = list(found)
    assert (stored["looked_at"], stored["changed_spans"]) == (1, 1)
    assert stored["difference_usd"] == last.difference_usd
    assert stored["started_at"] < stored["finished_at"]


def test_a_dry_run_says_the_same_and_changes_nothing(ingest, reader, project, override, run):
    ingest(calls("a", "b"))
    before = rows(reader, project)
    override()
    dry = run(dry_run=True)
    assert rows(reader, project) == before
    assert rows(reader, project, HISTORY) == []
    wet = run()
    assert dry[1:] == wet[1:]
    [model] = wet.by_model
    assert (model["provider"], model["model"], model["spans"]) == ("openai", "gpt-4o-mini", 2)
    assert (model["old_usd"], model["new_usd"]) == (2 * before[0]["cost_usd"], 22_000 * MICRO)


def test_twice_is_once(ingest, reader, project, override, run):
    ingest(calls("a", "b"))
    override()
    run()
    once = rows(reader, project)
    assert run().changed_spans == 0
    assert rows(reader, project) == once
    assert len(rows(reader, project, HISTORY)) == 2


def test_what_was_unpriced_gets_a_cost_and_what_lost_its_price_a_reason(
    ingest, reader, project, override, run
):
    ingest(calls("a", model="our-model"))
    made = override("our-model")
    last = run(unpriced_only=True)
    [row] = rows(reader, project)
    assert (row["cost_usd"], row["cost_source"], row["cost_reason"]) == (11_000 * MICRO, "computed", "")
    assert last.by_model[0]["newly_priced"] == 1
    assert row["price_model"] == "openai:our-model"
    assert run(unpriced_only=True).done_spans == 0
    assert made.project == project


def test_only_what_is_asked_for_is_looked_at(ingest, reader, project, override, run):
    ingest(calls("a", "b"))
    ingest(calls("c", model="gpt-4o"))
    override()
    override("gpt-4o")
    assert run(model="gpt-4o").done_spans == 1
    assert run(provider="anthropic").done_spans == 0
    assert run(since_ns=1 << 61).done_spans == 0
    assert run(project="another").done_spans == 0
    assert run().changed_spans == 2


def test_a_reported_cost_still_counts_first_where_the_provider_reported_it(
    ingest, reader, project, override, run
):
    billed = {"gen_ai__usage__cost__amount": 0.5, "gen_ai__usage__cost__source": "provider"}
    ingest(calls("a", **billed))
    ingest(calls("b", gen_ai__usage__cost__amount=0.5))
    override()
    run()
    first, second = rows(reader, project)
    assert (first["cost_usd"], first["cost_source"]) == (Decimal("0.5"), "reported")
    assert first["cost_computed_usd"] == second["cost_usd"] == 11_000 * MICRO
    run("reported")
    assert [row["cost_usd"] for row in rows(reader, project)] == [Decimal("0.5")] * 2


def test_a_call_that_does_not_count_stays_so(ingest, writer, reader, project, mended):
    ingest(calls("a"))
    columns = (
        "* REPLACE (false AS counted, NULL AS cost_usd, 'duplicate' AS cost_reason, 'x' AS duplicate_of, "
        "now64(9) AS received_at)"
    )
    writer.command(f"INSERT INTO spans SELECT {columns} FROM spans WHERE project = '{project}'")
    last = mended()
    [row] = rows(reader, project)
    assert (row["counted"], row["cost_usd"], row["cost_reason"]) == (False, None, "duplicate")
    assert row["cost_computed_usd"] == 11_000 * MICRO
    assert (last.changed_spans, last.difference_usd) == (1, 0)


def test_a_copy_that_arrives_while_costs_are_written_is_not_lost(
    ingest, reader, project, mended, monkeypatch
):
    """The span is sent again, with more, after its row was read: the newer row stands."""
    span = llm_span(gen_ai__response__id="a")
    ingest(request(span))
    write_down = journal.write_down

    def sent_again(*arguments: Any) -> None:
        write_down(*arguments)
        again = llm_span(gen_ai__response__id="a", user__id="late")
        again.trace_id, again.span_id = span.trace_id, span.span_id
        again.start_time_unix_nano = span.start_time_unix_nano
        ingest(request(again))

    monkeypatch.setattr(journal, "write_down", sent_again)
    mended()
    [row] = rows(reader, project)
    assert row["attributes_string"]["user.id"] == "late"


def test_many_spans_of_one_hour_are_taken_in_parts(ingest, reader, project, mended, monkeypatch):
    monkeypatch.setattr(changes, "CHUNK", 10)
    ingest(calls(*(f"{n:03}" for n in range(100))))
    last = mended()
    assert (last.done_spans, last.changed_spans) == (100, 100)
    assert {row["cost_usd"] for row in rows(reader, project)} == {11_000 * MICRO}
    assert len(rows(reader, project, HISTORY)) == 100


@pytest.mark.slow
@pytest.mark.parametrize("after", [1, 8])
def test_a_process_that_is_killed_is_begun_again_without_a_double_effect(tmp_path: Path, after: int):
    """Killed after so many chunks of about a hundred of two thousand spans."""

    def command(name: str, number: int) -> list[str]:
        return [
            sys.executable,
            str(Path(__file__).parent / "reprice_program.py"),
            str(tmp_path),
            name,
            str(number),
        ]

    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run(command("make", 2_000), check=True, env=environment, timeout=120)
    with subprocess.Popen(
        command("reprice", 100), stdout=subprocess.PIPE, text=True, env=environment
    ) as killed:
        assert killed.stdout is not None
        for _ in range(after):
            assert killed.stdout.readline()
        killed.send_signal(signal.SIGKILL)
    subprocess.run(command("reprice", 100), check=True, env=environment, timeout=120, capture_output=True)
    told = subprocess.run(command("report", 0), check=True, env=environment, timeout=120, capture_output=True)
    spans, history = json.loads(told.stdout)
    assert spans == [2_000, "22", 1]
    assert history[:2] == [2_000, 2_000]
    assert [Decimal(cost) for cost in history[2:4]] == [Decimal("0.00021")] * 2
    assert history[4] == 2
