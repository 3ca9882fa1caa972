"""The API behind a real port, for the commands that ask it; and programs under `spanledger run`."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from prometheus_client import CollectorRegistry
from span_receiver import Receiver, environment_with, receiving

from spanledger.query_api.app import create_app
from spanledger.schemas.database import Target
from spanledger.schemas.settings import Settings
from spanledger.server import stub_provider


@contextmanager
def _serving(target: Target, **settings: Any) -> Iterator[str]:
    app = create_app(target, Settings(**settings), CollectorRegistry())
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def serving(target: Target, project: str) -> Iterator[Callable[..., str]]:
    """Serve the API with these settings; its address."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(_serving(target, **{"project": project, **settings}))


@pytest.fixture(scope="module")
def stub() -> Iterator[stub_provider.StubProvider]:
    with stub_provider.running() as running:
        yield running


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as received:
        yield received


@pytest.fixture
def spanledger_run(
    stub: stub_provider.StubProvider, tmp_path: Path
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `spanledger run ...` in an empty folder, as a process of its own."""

    def start(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "spanledger.server.run", *words],
            env=environment_with(stub, **variables),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return start
