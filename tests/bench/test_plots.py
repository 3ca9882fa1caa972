"""The performance page: its tables and pictures are what the kept results say."""

from __future__ import annotations

import json
import re

import pytest

from bench.plots import FOLDER, KEPT, PAGES, filled_in, rate, stages
from bench.report import TARGETS, sheets, wrong

RESULTS = json.loads(KEPT.read_text())


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_the_tables_are_those_of_the_results(page):
    text = page.read_text()
    assert "<!-- bench: targets -->\n| what |" in text
    assert filled_in(text, RESULTS) == text


def test_the_pictures_have_the_figures_of_the_results():
    assert f"{RESULTS['load']['server_cpu_s_per_million']:.1f}" in (FOLDER / "stages.svg").read_text()
    legend = [f"{one['stage']} {one['cpu_us']:.1f}" for one in RESULTS["stages"]]
    assert all(name in (FOLDER / "stages.svg").read_text() for name in legend)
    assert "spans acknowledged" in (FOLDER / "rate.svg").read_text()


def test_a_picture_shows_every_second_and_every_stage():
    above, below, _ = rate(RESULTS).axes
    assert len(above.patches) == len(RESULTS["load"]["over_time"]) - 1
    assert max(below.lines[0].get_ydata()) == RESULTS["load"]["parts_most"]
    large, _ = stages(RESULTS).axes
    assert len(large.patches) == len(RESULTS["stages"]) + 1


def test_a_page_is_not_filled_from_half_a_benchmark():
    half = {name: part for name, part in RESULTS.items() if name != "stages"}
    with pytest.raises(ValueError, match="no figures for stages"):
        filled_in(PAGES[0].read_text(), half)


def test_every_target_of_the_results_is_measured():
    assert None not in [target.measured(RESULTS) for target in TARGETS]


def row(results, what: str) -> list[str]:
    (found,) = [row for row in sheets(results)[0].rows if row[0] == what]
    return list(found)


@pytest.mark.parametrize(("measured", "mark"), [(75_000, "yes"), (75_001, "yes"), (74_999, "NO")])
def test_a_target_is_marked_as_met_or_not(measured, mark):
    results = {"load": RESULTS["load"] | {"spans_per_second": measured}}
    found = row(results, "acknowledged spans a second")
    assert found[1:] == ["at least 75,000", f"{measured:,}", mark]


def test_what_was_not_measured_has_no_mark():
    assert [target.row({})[2:] for target in TARGETS] == [["not measured", ""]] * len(TARGETS)


def test_a_ratio_is_held_against_both_flat_runs():
    rates = {"grpc": 60_000, "grpc, again": 40_000, "http-protobuf": 39_000, "grpc, 1 % nested": 26_000}
    compared = [RESULTS["load"] | {"name": name, "spans_per_second": rate} for name, rate in rates.items()]
    assert row({"compared": compared}, "HTTP protobuf, of gRPC")[2:] == ["0.78", "NO"]
    assert row({"compared": compared}, "1 % of spans nested, of flat")[2:] == ["0.52", "yes"]


@pytest.mark.parametrize("what", ["lost", "duplicates", "unknown"])
def test_a_span_too_few_or_too_many_fails_the_benchmark(what):
    assert wrong({"load": RESULTS["load"] | {what: 3}}) == [f"load: 3 spans {what}"]
    assert wrong({"load": RESULTS["load"] | {"lost": 0, "duplicates": 0, "unknown": 0}}) == []


def test_a_markdown_table_has_a_cell_for_each_heading():
    for sheet in sheets(RESULTS):
        lines = sheet.as_markdown().splitlines()
        assert {len(re.findall(r"\|", line)) for line in lines} == {len(sheet.headings) + 1}
