"""An API with a root key on a database of its own, and keys of projects in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from spanledger.schemas.database import Target


@pytest.fixture
def root() -> str:
    """The root key."""
    return "the-root-key-of-this-ledger"


@pytest.fixture
def guarded(make_api: Callable[..., TestClient], own_target: Target, root: str) -> TestClient:
    """The API of a ledger with a root key, which it does not show by itself."""
    return make_api(to=own_target, api_key=root)


@pytest.fixture
def ask(guarded: TestClient) -> Callable[..., Any]:
    """Ask with a key: `ask(key, "GET", path)`; the answer."""

    def ask(key: str, method: str, path: str, **sent: Any) -> Any:
        return guarded.request(method, path, headers={"Authorization": f"Bearer {key}"}, **sent)

    return ask


@pytest.fixture
def make_key(ask: Callable[..., Any], root: str) -> Callable[..., dict[str, Any]]:
    """A key of a project, which is made where it is not there: `make_key("alpha", "read")`."""

    def make(project: str, *scopes: str, **more: Any) -> dict[str, Any]:
        ask(root, "POST", "/api/v1/projects", json={"name": project})
        asked = {"name": f"of {project}", "scopes": scopes, **more}
        made = ask(root, "POST", "/api/v1/keys", params={"project": project}, json=asked)
        assert made.status_code == 200, made.text
        return made.json()

    return make
