"""The benchmark of instrumentations: calls are made and recorded, and every row is told."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench.instrumentation.__main__ import MODES, PAGE, Child, child, measure
from bench.instrumentation.contenders import CONTENDERS, OURS
from bench.instrumentation.table import CONTENT, KINDS, MEMORY, filled_in, machine, not_lowest, rows, sheet

HERE = Path(sys.executable)


def results(**ours: float) -> dict:
    """Of two rounds in which all add 9 µs to 100 and 9 MiB to 1, but for what is given of ours."""

    def of(name: str) -> dict:
        ns = dict.fromkeys(KINDS, 109000 - (1000 if name == OURS else 0))
        size = dict.fromkeys(MEMORY, (10 if name != OURS else 9) * 2**20)
        ns |= {key: value for key, value in ours.items() if name == OURS and key in ns}
        time = {kind: [{"bare": 100_000, "off": took, "on": took}] * 2 for kind, took in ns.items()}
        bare = dict.fromkeys(MEMORY, 2**20)
        return {"version": "1.0", "time": time, "memory": {"bare": bare, "off": size, "on": size}}

    facts = {
        "measured_at": "2026-01-05T12:00:00+00:00",
        "commit": "0123456789ab",
        "cores": 2,
        "processor": "a processor",
        "system": "Linux 6",
        "python": "3.11.7",
        "load_average_before": 0.5,
    }
    return {"machine": facts, "rounds": 2, "contenders": {name: of(name) for name in CONTENDERS}}


@pytest.mark.parametrize("mode", MODES)
def test_every_kind_of_call_is_made_and_is_one_span_unless_the_client_is_bare(mode):
    with child(HERE, OURS, mode) as started:
        for kind, calls in (("call", 4), ("stream", 2), ("concurrent", 50)):
            answer = started.ask(do="time", kind=kind, calls=calls)
            assert answer["spans"] == (0 if mode == "bare" else 1)
            assert answer["ns"] > 0
        assert set(started.ask(do="memory", calls=100)) == set(MEMORY)


def test_a_child_that_fails_is_named():
    failing = Child(HERE, OURS, "off")
    with pytest.raises(RuntimeError, match="spanledger, off: ended without an answer"):
        failing.ask(do="nothing that it knows")
    failing.end()


def test_a_run_has_every_row_measured():
    found = measure({OURS: (HERE, "1.0")}, rounds=1, memory_calls=100)
    assert len(list(rows(found))) == (len(KINDS) + len(MEMORY)) * len(CONTENT)
    assert all(len(line) == len(sheet(found).headings) for line in sheet(found).rows)


def test_the_table_names_every_row_and_every_contender():
    table = sheet(results())
    assert [row[0] for row in table.rows] == [
        f"{what}, content {content}" for content in CONTENT for what in (*KINDS.values(), *MEMORY.values())
    ]
    assert {contender.title for contender in CONTENDERS.values()} <= set(table.headings)
    assert all(f"{one.package} 1.0" in machine(results()) for name, one in CONTENDERS.items() if name != OURS)


def test_ours_is_lowest_where_nobody_adds_less():
    assert not_lowest(results()) == []
    assert not_lowest(results(call=109_000)) == []
    slower = not_lowest(results(call=110_000))
    assert slower == [f"{KINDS['call']}, content {content}" for content in CONTENT]


def test_the_page_has_a_place_for_the_table():
    text = filled_in(PAGE.read_text(), results())
    assert sheet(results()).as_markdown() in text
    assert machine(results()) in text
