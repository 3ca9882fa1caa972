"""The benchmark as a whole, on a load so small that its figures mean nothing but that they are there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SMALL = ["--spans=8192", "--compared-spans=2048", "--distinct=1024", "--lone-requests=3"]


def ran(module: str, *arguments: str) -> str:
    command = [sys.executable, "-m", module, *arguments]
    finished = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=300, check=True)
    return finished.stdout


@pytest.mark.slow
def test_a_small_benchmark_accounts_for_every_span(tmp_path):
    ran("bench", "--only", "load", "ceiling", "compare", f"--json={tmp_path / 'results'}", *SMALL)
    results = json.loads((tmp_path / "results").read_text())
    load = results["load"]
    assert load["spans"] == 8192
    # with the warm-up and the lone requests
    assert load["acknowledged"] == load["visible"] == 8192 + 4096 + 3
    for run in [load, *results["compared"]]:
        assert (run["lost"], run["duplicates"], run["unknown"]) == (0, 0, 0)
        assert run["server_cpu_s_per_million"] > 0
        assert run["memory_peak_bytes"] >= run["memory_most_bytes"] > 0
        assert run["parts_most"] > 0
    assert load["bytes_per_span"] > 0
    assert load["lone"]["requests"] == 3
    assert [run["name"] for run in results["compared"]] == [
        "grpc",
        "http-protobuf",
        "grpc, 1 % nested",
        "http-json",
        "grpc, again",
    ]
    assert [one["rows"] for one in results["ceilings"]] == [8192, 8192, 8192]


@pytest.mark.slow
def test_replays_are_stored_once(tmp_path):
    ran("bench", "--only", "load", "--replays=0.5", f"--json={tmp_path / 'results'}", *SMALL)
    load = json.loads((tmp_path / "results").read_text())["load"]
    assert load["replayed_requests"] == 8
    assert (load["lost"], load["duplicates"]) == (0, 0)


@pytest.mark.slow
def test_every_stage_is_measured_in_the_order_of_a_spans_way():
    stages = json.loads(ran("bench.stages", "--inserts=1", "--merged-inserts=1", "--lone=2"))
    names = [stage["stage"] for stage in stages]
    assert names == ["raw gRPC", "gate", "rows", "parse", "store", "merges"]
    # The others are differences, which may come out below nothing.
    assert all(stage["cpu_us"] > 0 for stage in stages[:4])
