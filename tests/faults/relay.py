"""A relay before a server: what goes through it can stop, with the connections left open."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator


class Relay:
    """Carries connections to a port. Of each it carries so many bytes there and then no more."""

    def __init__(self, port: int, first: int | None = None) -> None:
        self._to = port
        self._first = first
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self._listener.getsockname()[1]
        self._ends: list[socket.socket] = []
        self._silent: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def silence(self) -> None:
        """Carry nothing more, neither way; the connections that there are stay open."""
        self._silent |= set(self._ends)

    def stalled(self) -> int:
        """How many connections have had all the bytes that they get, besides those of `silence`."""
        return len(self._silent)

    def cut(self) -> None:
        """End the connections that there are."""
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
                self._ends += (near, far)
                for one, other, most in ((near, far, self._first), (far, near, None)):
                    threading.Thread(target=self._carry, args=(one, other, most), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket, most: int | None) -> None:
        carried = 0
        with contextlib.suppress(OSError):
            while data := one.recv(65_536):
                if one in self._silent:
                    continue
                other.sendall(data if most is None else data[: most - carried])
                carried += len(data)
                if most is not None and carried >= most:
                    self._silent.add(one)
            other.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def relay_to(port: int, first: int | None = None) -> Iterator[Relay]:
    relay = Relay(port, first)
    try:
        yield relay
    finally:
        relay.close()
