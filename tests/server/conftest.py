"""The API behind a real port, for the commands that ask it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import uvicorn
from prometheus_client import CollectorRegistry

from spanledger.query_api.app import create_app
from spanledger.schemas.database import Target
from spanledger.schemas.settings import Settings


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
