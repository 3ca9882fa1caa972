"""What a process takes and how many parts its table has, seen from outside: /proc and the folder."""

from __future__ import annotations

import os
import re
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PART = re.compile(r"(?P<partition>\w+)_(?P<first>\d+)_(?P<last>\d+)_(?P<level>\d+)")


def family(pid: int) -> list[int]:
    """A process and those that it started, and those that they started."""
    parents = {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        # A process may end while we look.
        with suppress(FileNotFoundError, ProcessLookupError):
            parents[int(place.parent.name)] = int(_stat(place)[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def _stat(place: Path) -> list[str]:
    """The fields from the third on; the name in the second may hold anything, brackets too."""
    return place.read_text().rpartition(")")[2].split()


def cpu_seconds(pid: int) -> float:
    """Processor time of a process and those that it started, ended ones too."""
    ticks = 0
    for one in family(pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            ticks += sum(map(int, _stat(Path(f"/proc/{one}/stat"))[11:15]))
    return ticks * _TICK_S


def memory_bytes(pid: int, what: str) -> int:
    """Of a process and those that it started. `VmRSS`: what they hold together now. `VmHWM`: the most that
    each ever held, added up."""
    total = 0
    for one in family(pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            status = Path(f"/proc/{one}/status").read_text()
            found = re.search(rf"^{what}:\s+(\d+) kB", status, re.MULTILINE)
            total += int(found.group(1)) * 1024 if found else 0
    return total


def busy_seconds() -> float:
    """Processor time that all processes of the machine have had, on all cores, and what was stolen."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) * _TICK_S


def active_parts(table: Path) -> int:
    """The parts of a table that no other part contains, as the names of their folders tell.

    A merged part stays on disk for some minutes beside the one that it went into.
    """
    parts = [
        (found["partition"], int(found["first"]), int(found["last"]), int(found["level"]))
        for folder in table.iterdir()
        if (found := _PART.fullmatch(folder.name)) and not folder.name.startswith("tmp_")
    ]
    # Sorted like this, what contains a part stands before it.
    parts.sort(key=lambda part: (part[0], part[1], -part[2], -part[3]))
    active = 0
    partition, last = "", -1
    for part in parts:
        if part[0] != partition or part[2] > last:
            active += 1
            partition, last = part[0], part[2]
    return active


def disk_bytes(folder: Path) -> int:
    """What a folder and all within it takes on disk."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            # Merges take files away while we look.
            with suppress(FileNotFoundError):
                total += os.lstat(Path(place) / name).st_blocks * 512
    return total


def table_folder(database: Path, table: str) -> Path:
    """Where an embedded database keeps a table."""
    return database / "data" / "spanledger" / table


class Watch:
    """Watches a process, those that it started, and the parts of its table, from entering to leaving.

    `report()`: CPU seconds, the most memory and parts, and a row for each look:
    seconds since entering, parts, bytes of memory, and bytes in `folder` where one is given.
    """

    def __init__(self, pid: int, table: Path, *, every_s: float = 0.5, folder: Path | None = None) -> None:
        self._pid = pid
        self._table = table
        self._every_s = every_s
        self._folder = folder
        self._looks: list[tuple[int | float, ...]] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch")

    def __enter__(self) -> Self:
        self.began_at = time.time()
        self._cpu = cpu_seconds(self._pid)
        self._busy = busy_seconds()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()
        self._look()
        self.cpu_s = cpu_seconds(self._pid) - self._cpu
        self.busy_s = busy_seconds() - self._busy

    def report(self) -> dict[str, Any]:
        return {
            "cpu_s": round(self.cpu_s, 2),
            "memory_most_bytes": max(memory for _, _, memory, *_ in self._looks),
            "parts_most": max(parts for _, parts, *_ in self._looks),
            "parts_last": self._looks[-1][1],
            "looks": [list(look) for look in self._looks],
        }

    def _run(self) -> None:
        while not self._end.wait(self._every_s):
            self._look()

    def _look(self) -> None:
        self._looks.append(
            (
                round(time.time() - self.began_at, 2),
                active_parts(self._table),
                memory_bytes(self._pid, "VmRSS"),
                *([disk_bytes(self._folder)] if self._folder else []),
            )
        )


def wait_until_idle(pid: int, *, at_most_s: float) -> float:
    """Until a process takes next to no processor time: merges are done. Returns the CPU seconds it took."""
    began = before = cpu_seconds(pid)
    deadline = time.monotonic() + at_most_s
    while time.monotonic() < deadline:
        time.sleep(1)
        now = cpu_seconds(pid)
        if now - before < 0.05:
            break
        before = now
    return cpu_seconds(pid) - began
