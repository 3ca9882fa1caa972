"""The API behind a real port, for projects that exist beside each other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
import uvicorn
from prometheus_client import CollectorRegistry

from spanledger.query_api.app import create_app
from spanledger.schemas.database import Target
from spanledger.schemas.settings import Settings


@contextmanager
def _serving(target: Target, project: str) -> Iterator[str]:
    app = create_app(target, Settings(project=project), CollectorRegistry())
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
    """Serve the API of the test's project, or of another; its address."""
    with ExitStack() as stack:
        yield lambda of=project: stack.enter_context(_serving(target, of))
