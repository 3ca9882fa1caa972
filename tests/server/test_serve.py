"""server.serve: the wiring of the parts into a process."""

from __future__ import annotations

import socket

from spanledger.server.serve import _bind


def test_whoever_was_told_that_the_api_is_ready_can_connect():
    """The address is announced before the server's first turn in the event loop."""
    listener = _bind("127.0.0.1:0")
    try:
        socket.create_connection(listener.getsockname(), timeout=1).close()
    finally:
        listener.close()
