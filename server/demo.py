"""`spanledger demo`: from nothing to the span tree of an example application, and nothing left behind."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from spanledger.schemas.errors import Busy, SpanledgerError
from spanledger.server.reading import Api, show
from spanledger.server.stub_provider import running

_SPANS_EXPECTED = 8
_GO_ON = """\
What next:
  make serve                                 keep a ledger (folder spanledger-data), until Ctrl-C
  spanledger run -- python your_app.py       record your application's calls, its code unchanged
  spanledger traces; spanledger tree ID      look at them here; http://127.0.0.1:8000/docs is the API
"""


def demo(*, real: bool) -> int:
    """Start a server on a fresh embedded database, run the example under `spanledger run`, show its tree.

    `real`: call OpenAI itself with OPENAI_API_KEY. Returns 0 when the tree was printed.
    """
    if real and not os.environ.get("OPENAI_API_KEY"):
        raise SpanledgerError("--real calls OpenAI: set OPENAI_API_KEY first")
    with tempfile.TemporaryDirectory(prefix="spanledger-demo-") as folder, contextlib.ExitStack() as started:
        say = Console(stderr=True).print
        say("Starting a server on an empty embedded database ...")
        api, otlp = started.enter_context(running_server(Path(folder) / "database"))
        provider = {} if real else stub_environment(started.enter_context(running()).base_url)
        say("Running the example application under `spanledger run` ...\n")
        run_example(otlp, provider)
        traces = wait_for_trace(api)
        say("")
        show(api.traces(limit=5))
        for trace in traces:
            show(api.tree(trace["trace_id"]))
    sys.stdout.write("\n" + _GO_ON)
    return 0


def stub_environment(base_url: str) -> dict[str, str]:
    """What makes an unmodified OpenAI client talk to the stub provider."""
    return {"OPENAI_BASE_URL": base_url, "OPENAI_API_KEY": "stub"}


@contextlib.contextmanager
def running_server(database: Path) -> Iterator[tuple[Api, str]]:
    """A server process on free ports: its API, and its OTLP endpoint; stopped at the end."""
    log_path = database.with_suffix(".log")
    command = [sys.executable, "-m", "spanledger.server.cli", "serve", "--database", f"chdb://{database}"]
    for listen in ("--grpc-listen", "--otlp-http-listen", "--api-listen"):
        command += [listen, "127.0.0.1:0"]
    # A setting of the caller's must not reach this server.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SPANLEDGER_")}
    with log_path.open("w") as log, subprocess.Popen(command, stderr=log, env=environment) as server:  # noqa: S603
        try:
            ports = _wait_for_ports(server, log_path)
            yield (
                Api(f"http://127.0.0.1:{ports['answering queries']}"),
                f"http://127.0.0.1:{ports['receiving OTLP over gRPC']}",
            )
        finally:
            server.terminate()
            server.wait(timeout=20)


def _wait_for_ports(server: subprocess.Popen[bytes], log_path: Path) -> dict[str, str]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        text = log_path.read_text()
        if '"ready"' in text:
            return {event: port for port, event in re.findall(r'"port": (\d+), "event": "([^"]*)"', text)}
        if server.poll() is not None:
            raise SpanledgerError(f"the server did not start:\n{text}")
        time.sleep(0.05)
    raise Busy(f"the server is not ready after 60 s:\n{log_path.read_text()}")


def run_example(otlp: str, provider: dict[str, str]) -> None:
    """Run the example application as a user would; raises SpanledgerError where it fails."""
    command = [sys.executable, "-m", "spanledger.server.cli", "run", "--endpoint", otlp, "--capture-content"]
    command += ["--service-name", "demo-app", "--", sys.executable, "-m", "spanledger.server.demo_app"]
    finished = subprocess.run(command, env=os.environ | provider, check=False)  # noqa: S603
    if finished.returncode:
        raise SpanledgerError(f"the example application failed with exit code {finished.returncode}")


def wait_for_trace(api: Api) -> list[dict[str, Any]]:
    """The traces once the example's spans are there: stored means visible, so this seldom waits."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        traces: list[dict[str, Any]] = api.get("/api/v1/traces")["traces"]
        if sum(trace["span_count"] for trace in traces) >= _SPANS_EXPECTED:
            return traces
        time.sleep(0.1)
    raise SpanledgerError("the example's spans have not arrived after 15 s")
