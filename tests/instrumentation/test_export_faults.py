"""A collector that is away, hangs, refuses or talks without end costs spans, and nothing else.

The application gets its answers and its exit; what is waiting stays bounded; what is lost is counted.
"""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import pytest

pytestmark = pytest.mark.slow

# A small queue is full soon. What is reported last runs after the exporter was shut down.
PROGRAM = """
import atexit, json, pathlib, sys
from spanledger.instrumentation import dropped, instrument, workflow
from openai import OpenAI

found = {"answers": []}
def report():
    found["dropped"] = dropped()._asdict()
    # Not the usage of the process, which begins with what the process that started it had.
    status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
    found["rss_mb"] = int(status["VmHWM"].split()[0]) // 1024
    print(json.dumps(found))
atexit.register(report)

provider = instrument(endpoint=sys.argv[1], headers={"x-api-key": "secret"})
with OpenAI(base_url=sys.argv[2], api_key="k") as client:
    for number in range(3):
        question = [{"role": "user", "content": f"question {number}"}]
        answer = client.chat.completions.create(model="gpt-4o-mini", messages=question)
        found["answers"].append(answer.choices[0].message.content)
        chunks = client.chat.completions.create(model="gpt-4o-mini", messages=question, stream=True)
        texts = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
        found["answers"].append("".join(filter(None, texts)))
for number in range(300):
    with workflow("w"):
        pass
found["waiting"] = len(provider._active_span_processor._span_processors[0]._batch._batch_processor._queue)
"""
SPANS = 306
QUEUE = 64
ANSWERS = [f"You said: question {number}" for number in range(3) for _ in range(2)]


def run(endpoint: str, provider: str, protocol: str) -> tuple[dict[str, Any], str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "SPANLEDGER_"))}
    settings = {
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_BSP_MAX_QUEUE_SIZE": str(QUEUE),
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "16",
        "OTEL_BSP_SCHEDULE_DELAY": "50",
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, endpoint, provider],
        env=clean | settings,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return json.loads(done.stdout), done.stderr


class Talker(BaseHTTPRequestHandler):
    """Answers every request in the one way of its server."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.server.asked.append(dict(self.headers))
        self.rfile.read(int(self.headers.get("content-length", 0)))
        status, body = self.server.answer
        if status is None:
            self.server.over.wait(30)
            self.close_connection = True
            return
        self.send_response(status)
        if status == 307:
            self.send_header("Location", self.server.elsewhere)
        length = 1 << 30 if body == "declared" else 0
        if body == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        if body:
            self._talk(chunked=body == "chunked")

    def _talk(self, *, chunked: bool) -> None:
        piece = b"x" * (1 << 20)
        data = b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece
        self.close_connection = True
        try:
            for _ in range(1 << 10):
                self.wfile.write(data)
                self.server.sent += len(piece)
        except OSError:
            return

    def log_message(self, *_args: Any) -> None:
        pass


@contextmanager
def talking(status: int | None, body: str = "", elsewhere: str = "") -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Talker)
    server.daemon_threads = True
    server.answer, server.elsewhere, server.asked, server.sent = (status, body), elsewhere, [], 0
    server.over = threading.Event()
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()
        thread.join(10)


@contextmanager
def calling(answer: Any) -> Iterator[str]:
    """A gRPC server whose every method is `answer`."""

    class Handler(grpc.GenericRpcHandler):
        def service(self, _details: Any) -> Any:
            return grpc.unary_unary_rpc_method_handler(answer)

    server = grpc.server(ThreadPoolExecutor(max_workers=4), handlers=(Handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop(grace=None).wait(10)


@contextmanager
def silent() -> Iterator[str]:
    """Takes connections and never says a word, not even the protocol's first."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def unharmed(found: dict[str, Any], log: str) -> None:
    """All answers, a bounded queue, every span counted as lost, one line of ours for each kind of loss."""
    assert found["answers"] == ANSWERS
    assert found["waiting"] <= QUEUE
    assert sum(found["dropped"].values()) == SPANS
    assert found["dropped"]["not_delivered"] > 0
    assert log.count("the collector is away or refuses spans") == 1
    assert log.count("more is recorded than") == bool(found["dropped"]["queue_full"])
    assert "secret" not in log
    assert "Traceback" not in log


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_a_collector_that_is_down(stub, protocol):
    unharmed(*run(f"http://127.0.0.1:{free_port()}", stub.base_url, protocol))


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_a_collector_that_takes_the_connection_and_hangs(stub, protocol):
    with silent() as url:
        unharmed(*run(url, stub.base_url, protocol))


def test_a_collector_that_hangs_in_the_middle_of_the_protocol(stub):
    with talking(None) as server:
        unharmed(*run(server.url, stub.base_url, "http/protobuf"))
    over = threading.Event()

    def hang(_request: bytes, _context: Any) -> bytes:
        over.wait(30)
        return b""

    with calling(hang) as url:
        unharmed(*run(url, stub.base_url, "grpc"))
        over.set()


@pytest.mark.parametrize("status", [400, 413, 500])
def test_a_collector_that_refuses_over_http(stub, status):
    with talking(status) as server:
        unharmed(*run(server.url, stub.base_url, "http/protobuf"))
        assert server.asked


@pytest.mark.parametrize("code", ["INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "INTERNAL", "UNAUTHENTICATED"])
def test_a_collector_that_refuses_over_grpc(stub, code):
    def refuse(_request: bytes, context: Any) -> bytes:
        context.abort(getattr(grpc.StatusCode, code), "no")

    with calling(refuse) as url:
        unharmed(*run(url, stub.base_url, "grpc"))


def test_a_redirect_is_not_followed_with_the_key_in_hand(stub):
    with talking(200) as other, talking(307, elsewhere=f"{other.url}/v1/traces") as server:
        unharmed(*run(server.url, stub.base_url, "http/protobuf"))
        assert server.asked[0]["x-api-key"] == "secret"
        assert other.asked == []


@pytest.mark.parametrize("body", ["declared", "chunked"])
@pytest.mark.parametrize("status", [200, 400])
def test_an_answer_of_a_gigabyte_is_not_read(stub, status, body):
    with talking(status, body) as server:
        found, log = run(server.url, stub.base_url, "http/protobuf")
        assert server.sent < 256 << 20
    assert found["answers"] == ANSWERS
    assert found["rss_mb"] < 512
    assert "Traceback" not in log
    if status == 400:
        unharmed(found, log)


def test_an_answer_that_is_too_large_for_grpc_is_a_refusal(stub):
    with calling(lambda _request, _context: b"\x0a" + b"x" * (32 << 20)) as url:
        found, log = run(url, stub.base_url, "grpc")
    unharmed(found, log)
    assert found["rss_mb"] < 512
