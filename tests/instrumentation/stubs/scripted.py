"""A server on loopback that answers as the request itself asks, and keeps an account of what it billed.

A request carries its script as JSON in the header `x-stub`: what a provider's stub reads from it is said
there; these are common to all:

    status: 429        answer this status instead
    delay_ms: 50       wait before the answer, and before each event of a stream
    break_after: 2     drop the connection after so many events
    error_after: 2     send the provider's error event after so many events
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]


@dataclass
class Asked:
    """A request as it came in."""

    method: str
    path: str
    body: Json
    script: Json
    headers: dict[str, str]


@dataclass
class Reply:
    """One JSON body, or the events of a stream, each the text of its lines without the empty one."""

    body: Any = None
    events: list[str] | None = None
    status: int = 200
    error_event: str = "data: {}"
    content_type: str = "text/event-stream"


@dataclass
class Stub:
    """A running stub: where it listens, what it billed, and the requests it saw."""

    root_url: str
    billed: list[Json] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)

    def forget(self) -> None:
        self.billed.clear()
        self.asked.clear()


Answer = Callable[[Asked, list[Json]], Reply]


@contextmanager
def running(answer: Answer, failure: Callable[[int], Any]) -> Iterator[Stub]:
    """The stub in a thread on a free port; `failure` makes the provider's body for an error status."""
    stub = Stub("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Small events would wait for each other otherwise.
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            self._answer(json.loads(self.rfile.read(length) or b"{}"))

        def do_GET(self) -> None:
            self._answer({})

        def _answer(self, body: Json) -> None:
            headers = {key.lower(): value for key, value in self.headers.items()}
            script = json.loads(headers.get("x-stub") or "{}")
            asked = Asked(self.command, self.path, body, script, headers)
            stub.asked.append(asked)
            time.sleep(script.get("delay_ms", 0) / 1000)
            if "status" in script:
                status = script["status"]
                self._send(json.dumps(failure(status)).encode(), status, "application/json")
                return
            reply = answer(asked, stub.billed)
            if reply.events is None:
                self._send(json.dumps(reply.body).encode(), reply.status, "application/json")
            else:
                self._stream(reply, script)

        def _send(self, data: bytes, status: int, content_type: str) -> None:
            self.send_response(status)
            self.send_header("content-type", content_type)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _stream(self, reply: Reply, script: Json) -> None:
            self.send_response(200)
            self.send_header("content-type", reply.content_type)
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for number, event in enumerate(reply.events or []):
                if number == script.get("break_after"):
                    self.close_connection = True
                    return
                if number == script.get("error_after"):
                    self._chunk(reply.error_event)
                    break
                time.sleep(script.get("delay_ms", 0) / 1000)
                self._chunk(event)
            self.wfile.write(b"0\r\n\r\n")

        def _chunk(self, event: str) -> None:
            data = (event + "\n\n").encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()

        def handle(self) -> None:
            # A client that closes a stream early is what some tests are about.
            try:
                super().handle()
            except (ConnectionError, TimeoutError):
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that http.server gave it
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    stub.root_url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)
