"""The soak: what it promises is judged by what was seen, and a short one accounts for every span."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.soak import PAGE, filled_in, picture, sheet

ROOT = Path(__file__).parents[2]
MIB = 1024 * 1024


def results(**other: Any) -> dict[str, Any]:
    """Of a soak of 100 seconds in which all was well, but for what is given."""
    return {
        "machine": {
            "measured_at": "2026-01-05T12:00:00+00:00",
            "commit": "0123456789ab",
            "cores": 2,
            "processor": "a processor",
            "memory_bytes": 8 * 1024 * MIB,
            "system": "Linux 6",
            "python": "3.11.7",
            "packages": {},
            "load_average_before": 0.1,
        },
        "load": {"rate": 1000.0},
        "seconds": 100.0,
        "spans": 100_000,
        "visible": 104_096,
        "spans_per_second": 1000.0,
        "answer_ms": {"p50": 20.0, "p99": 90.0},
        "answer_ms_over_time": [[n * 10, 20.0, 90.0] for n in range(1, 11)],
        "over_time": [[n, 1000] for n in range(1, 101)],
        "looks": [[n, 10 + n % 5, 400 * MIB, n * MIB] for n in range(101)],
        "parts_most": 14,
        "memory_most_bytes": 400 * MIB,
        "refused": {},
        "server_cpu_s_per_million": 20.0,
        "others_cpu_share": 0.01,
        "lost": 0,
        "duplicates": 0,
    } | other


def growing_from(second: int) -> list[list[int]]:
    """Looks of a server whose memory doubles in a hundred seconds from then on."""
    return [[n, 10, 400 * MIB + max(n - second, 0) * 4 * MIB, n * MIB] for n in range(101)]


def marks(found: dict[str, Any]) -> list[str]:
    return [row[-1] for row in sheet(found).rows if row[-1]]


def test_a_soak_in_which_all_was_well_meets_every_promise():
    assert marks(results()) == ["yes"] * 6


@pytest.mark.parametrize(
    ("what", "wrong"),
    [
        (0, {"spans_per_second": 970.0}),
        (1, {"looks": growing_from(0)}),
        (2, {"parts_most": 301}),
        (3, {"looks": [[n, 10 + n // 5, 400 * MIB, n * MIB] for n in range(101)]}),
        (4, {"lost": 1}),
        (5, {"duplicates": 1}),
    ],
)
def test_each_promise_can_be_missed(what, wrong):
    assert [n for n, mark in enumerate(marks(results(**wrong))) if mark == "NO"] == [what]


def test_what_memory_grows_while_the_server_warms_up_is_no_leak():
    looks = [[n, 10, (200 if n < 15 else 400) * MIB, n * MIB] for n in range(101)]
    assert "NO" not in marks(results(looks=looks))


def test_the_picture_shows_every_second_and_every_look():
    rate, answers, memory, parts, disk = picture(results()).axes
    assert len(rate.lines[0].get_xdata()) == 99
    assert len(answers.lines[0].get_xdata()) == 10
    for axes in (memory, parts, disk):
        assert len(axes.lines[0].get_xdata()) == 101


def test_the_page_has_a_place_for_the_table():
    page = filled_in(PAGE.read_text(), results())
    assert "| lost spans | 0 | 0 | yes |\n" in page
    assert filled_in(page, results()) == page


@pytest.mark.slow
def test_a_short_soak_sends_at_its_rate_and_accounts_for_every_span(tmp_path):
    command = [sys.executable, "-m", "bench.soak", "--minutes=0.1", "--rate=2048", f"--folder={tmp_path}"]
    # It may say that a promise is not met: six seconds are all warm-up.
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    found = json.loads((tmp_path / "soak.json").read_text())
    assert found["spans"] == 12_288
    assert found["spans_per_second"] < 2048 * 1.1
    assert (found["lost"], found["duplicates"], found["unknown"]) == (0, 0, 0)
    assert all(len(look) == 4 for look in found["looks"])
    assert (tmp_path / "soak.svg").stat().st_size > 1000
    assert "lost spans" in ended.stdout
