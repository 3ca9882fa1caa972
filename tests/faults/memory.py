"""How much memory another process took at most."""

from __future__ import annotations

import re
from pathlib import Path


class PeakMemory:
    """The peak of a process's resident memory since this was made (Linux counts it)."""

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak is now what is resident now
        self._before = self._peak()

    def growth(self) -> int:
        """Bytes by which it grew at most."""
        return self._peak() - self._before

    def _peak(self) -> int:
        return int(re.search(r"VmHWM:\s+(\d+) kB", self._status.read_text()).group(1)) * 1024
