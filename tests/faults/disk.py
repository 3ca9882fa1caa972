"""A small disk: a tmpfs in a mount namespace of its own, which needs no root and is gone with its holder."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

_HOLD = 'mount -t tmpfs -o size="$1" small-disk "$2" && echo mounted && exec cat'


class Disk:
    """A file system of a few MiB on a folder that only processes started with `within` see."""

    def __init__(self, folder: Path, holder: int) -> None:
        self.folder = folder
        self.within = ["nsenter", f"--target={holder}", "--user", "--mount", "--preserve-credentials", "--"]
        # From outside it is seen through the process that holds it.
        self._seen = Path(f"/proc/{holder}/root{folder}")
        self._ballast = self._seen / "ballast"

    def free(self) -> int:
        """Bytes that are left."""
        at = os.statvfs(self._seen)
        return at.f_bavail * at.f_frsize

    def fill(self, leave: int = 0) -> None:
        """Let a file there grow until so many bytes are left."""
        with self._ballast.open("ab") as ballast:
            while (more := self.free() - leave) > 0:
                with contextlib.suppress(OSError):  # somebody else took of it in between
                    os.posix_fallocate(ballast.fileno(), ballast.tell(), more)
                    ballast.seek(0, os.SEEK_END)

    def relieve(self) -> None:
        """Take the file away again."""
        self._ballast.unlink()


@contextlib.contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[Disk]:
    """A disk of that size on the folder; skips the test where this machine does not let us make one."""
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", _HOLD, "sh"]
    try:
        holder = subprocess.Popen(
            [*command, f"{mebibytes}m", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except FileNotFoundError:
        pytest.skip("a small disk needs the command unshare (util-linux)")
    with holder:  # closing its standard input ends it
        if holder.stdout.readline() != b"mounted\n":
            pytest.skip(f"a small disk cannot be mounted here: {holder.stderr.read().decode().strip()}")
        yield Disk(folder, holder.pid)
