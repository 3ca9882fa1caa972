"""Reads a large JSON body in a process of its own.

Python's parser lets nobody else run until it is done, and what it makes takes up to 25 times the memory of
the text: a small gzip body could stop the server for seconds. The process ends with its body, and its memory
with it.
"""

from __future__ import annotations

import contextlib
import resource
import subprocess
import sys
from collections.abc import Callable
from pkgutil import resolve_name
from signal import SIGABRT, SIGKILL

from spanledger.schemas.errors import BadData, Busy, TooLarge

_BAD, _NO_MEMORY = 3, 4  # exit codes


def read_apart(read: Callable[[bytes], bytes], body: bytes, *, timeout_s: float, memory_bytes: int) -> bytes:
    """What `read`, a function of a module, makes of the body; blocks until then.

    Raises BadData as `read` does, TooLarge where `memory_bytes` are not enough for the process, and Busy
    where it takes longer than `timeout_s`.
    """
    name = f"{read.__module__}:{read.__qualname__}"
    command = [sys.executable, "-m", __name__, name, str(memory_bytes)]
    try:
        # A session of its own, so that a Ctrl-C in the terminal is for the server alone.
        done = subprocess.run(  # noqa: S603
            command,
            input=body,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=timeout_s,
            check=False,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        raise Busy(
            f"reading this JSON body takes longer than {timeout_s:.1f} s; protobuf is faster"
        ) from None
    if done.returncode == _BAD:
        raise BadData(done.stdout.decode())
    if done.returncode in (_NO_MEMORY, -SIGKILL, -SIGABRT):
        raise TooLarge(f"reading this JSON body takes more memory than {memory_bytes} bytes; send protobuf")
    done.check_returncode()
    return done.stdout


def main(name: str, memory_bytes: int) -> int:
    """Standard input to standard output; the exit code says what the output is."""
    with contextlib.suppress(ValueError, OSError):  # not every system has this limit
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    try:
        answer, code = resolve_name(name)(sys.stdin.buffer.read()), 0
    except BadData as error:
        answer, code = str(error).encode(), _BAD
    except MemoryError:
        return _NO_MEMORY
    sys.stdout.buffer.write(answer)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
