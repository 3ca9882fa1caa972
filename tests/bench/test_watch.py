"""What is read about processes from /proc, and about parts from the names of their folders."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.watch import Watch, active_parts, cpu_seconds, family, memory_bytes, table_folder, wait_until_idle


@pytest.mark.parametrize(
    ("folders", "active"),
    [
        ([], 0),
        (["20260105_1_1_0", "20260105_2_2_0"], 2),
        (["20260105_1_1_0", "20260105_2_2_0", "20260105_1_2_1"], 1),
        # merged again, with the old ones still there
        (["20260105_1_1_0", "20260105_2_2_0", "20260105_1_2_1", "20260105_1_3_2", "20260105_4_4_0"], 2),
        # a part merged with itself, as OPTIMIZE FINAL does
        (["20260105_1_2_1", "20260105_1_2_2"], 1),
        (["20260105_1_2_1", "20260106_1_2_1"], 2),
        (["tmp_merge_20260105_1_2_1", "tmp_insert_20260105_3_3_0", "detached", "20260105_1_1_0"], 1),
    ],
)
def test_a_part_within_another_is_not_active(tmp_path, folders, active):
    for folder in folders:
        (tmp_path / folder).mkdir()
    (tmp_path / "format_version.txt").touch()
    assert active_parts(tmp_path) == active


def test_active_parts_are_the_engines(target, writer):
    """Before and after a merge, which leaves the old parts on disk for a while."""
    writer.command("CREATE TABLE parts_counted (n UInt64) ENGINE = MergeTree ORDER BY n")
    writer.command("SYSTEM STOP MERGES parts_counted")
    folder = table_folder(Path(target.path), "parts_counted")
    for n in range(5):
        writer.command(f"INSERT INTO parts_counted SETTINGS async_insert = 0 VALUES ({n})")
    assert active_parts(folder) == 5
    writer.command("SYSTEM START MERGES parts_counted")
    writer.command("OPTIMIZE TABLE parts_counted FINAL")
    assert len(list(folder.glob("all_*"))) > 1
    assert active_parts(folder) == 1
    writer.command("DROP TABLE parts_counted")


def test_processor_time_and_memory_are_what_the_system_says():
    used, ended = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    ours = os.getpid()
    seconds = used.ru_utime + used.ru_stime + ended.ru_utime + ended.ru_stime
    assert cpu_seconds(ours) == pytest.approx(seconds, abs=0.5)
    assert memory_bytes(ours, "VmHWM") == pytest.approx(used.ru_maxrss * 1024, rel=0.1)
    assert 0 < memory_bytes(ours, "VmRSS") <= memory_bytes(ours, "VmHWM")


def test_a_process_counts_with_those_that_it_started():
    script = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE) as process:
        deadline = time.monotonic() + 20
        while len(family(process.pid)) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        found = family(process.pid)
        process.communicate(b"\n")
    assert found[0] == process.pid
    assert len(found) == 2


def test_a_watch_sees_the_work_and_the_parts_that_came(tmp_path):
    with Watch(os.getpid(), tmp_path, every_s=0.01) as watch:
        (tmp_path / "20260105_1_1_0").mkdir()
        until = time.process_time() + 0.3
        while time.process_time() < until:
            pass
        (tmp_path / "20260105_1_1_0").rmdir()
    seen = watch.report()
    assert seen["cpu_s"] >= 0.25
    assert (seen["parts_most"], seen["parts_last"]) == (1, 0)
    assert seen["memory_most_bytes"] > 0
    assert watch.busy_s >= 0.25


def test_a_watch_of_a_folder_sees_what_it_takes_on_disk(tmp_path):
    (tmp_path / "part").mkdir()
    with Watch(os.getpid(), tmp_path, folder=tmp_path) as watch:
        (tmp_path / "part" / "data").write_bytes(b"x" * 100_000)
    assert watch.report()["looks"][-1][3] >= 100_000


def test_idle_is_waited_for_no_longer_than_allowed():
    script = "while True: pass"
    with subprocess.Popen([sys.executable, "-c", script]) as process:
        assert wait_until_idle(process.pid, at_most_s=0.5) > 0
        process.kill()
