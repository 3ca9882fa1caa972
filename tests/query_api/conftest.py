"""The query API in the test's process, on the engine that the tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from starlette.testclient import TestClient

from spanledger.query_api.app import create_app
from spanledger.schemas.database import Target
from spanledger.schemas.settings import Settings


@pytest.fixture
def make_api(target: Target, project: str) -> Iterator[Callable[..., TestClient]]:
    """Start the API with these settings; by default as a user has it: no key, on loopback."""
    with ExitStack() as stack:

        def make(*, to: Target = target, **settings: Any) -> TestClient:
            settings = {"project": project, **settings}
            app = create_app(to, Settings(**settings), CollectorRegistry())
            return stack.enter_context(TestClient(app, base_url="http://localhost:8000"))

        yield make


@pytest.fixture
def api(make_api: Callable[..., TestClient]) -> TestClient:
    return make_api()


@pytest.fixture(scope="session")
def idle_api(target: Target) -> Iterator[TestClient]:
    """One API for all the tests that store nothing: its project is empty."""
    app = create_app(target, Settings(project="nothing-here"), CollectorRegistry())
    with TestClient(app, base_url="http://localhost:8000") as api:
        yield api
