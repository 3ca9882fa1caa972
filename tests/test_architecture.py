"""The house: which room may import from which, and that generated files are what their sources make."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("schemas", "instrumentation", "collector", "query_api", "server")
# What each room may import of ours; a name behind the colon is the only one.
ALLOWED: dict[str, tuple[str, ...]] = {
    "schemas": ("spanledger.schemas",),
    "instrumentation": (
        "spanledger.instrumentation",
        "spanledger.schemas.attributes",
        "spanledger.schemas.hosts",
    ),
    "collector": ("spanledger.collector", "spanledger.schemas"),
    "query_api": ("spanledger.query_api", "spanledger.schemas", "spanledger.collector.ingest:Ingest"),
    "server": ("spanledger",),
}
# Packages of the server part: a plain `pip install spanledger` does not have them.
SERVER_ONLY = {
    "chdb",
    "clickhouse_connect",
    "fastapi",
    "google.rpc",
    "prometheus_client",
    "plotext",
    "psutil",
    "pydantic",
    "pydantic_settings",
    "rich",
    "starlette",
    "structlog",
    "uvicorn",
}
# What runs where only the instrumentation is installed.
BASE = (
    "instrumentation/**/*.py",
    "server/cli.py",
    "server/run.py",
    "server/__init__.py",
    "schemas/attributes.py",
    "schemas/hosts.py",
)


def modules(*patterns: str) -> list[Path]:
    return sorted(path for pattern in patterns for path in ROOT.glob(pattern))


def imports(path: Path, *, top_level_only: bool = False) -> Iterator[tuple[str, str]]:
    """(module, name) of every import in a file; name is empty for `import module`."""
    tree = ast.parse(path.read_text())
    package = ("spanledger", *path.relative_to(ROOT).parent.parts)
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (above, node.module) if part)
            yield from ((module, alias.name) for alias in node.names)


def within(module: str, name: str, allowed: str) -> bool:
    """Whether an import stays in what is allowed."""
    place, _, only = allowed.partition(":")
    if only:
        return module == place and name == only
    whole = f"{module}.{name}" if name else module
    return f"{module}.".startswith(f"{place}.") or whole == place


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_from_where_it_may(room):
    paths = modules(f"{room}/**/*.py")
    assert paths
    wrong = [
        f"{path.relative_to(ROOT)}: {module} {name}"
        for path in paths
        for module, name in imports(path)
        if module.split(".")[0] == "spanledger"
        and not any(within(module, name, allowed) for allowed in ALLOWED[room])
    ]
    assert wrong == []


@pytest.mark.parametrize("module", ["attributes", "hosts"])
def test_what_the_instrumentation_has_of_the_schemas_imports_nothing_of_ours(module):
    allowed = {"typing", "re", "functools"}
    assert {name for name, _ in imports(ROOT / "schemas" / f"{module}.py")} <= allowed


def test_no_room_imports_tests_or_the_benchmark():
    wrong = [
        f"{path.relative_to(ROOT)}: {module}"
        for path in modules(*(f"{room}/**/*.py" for room in ROOMS))
        for module, _ in imports(path)
        if module.split(".")[0] in ("tests", "bench", "pytest", *ROOMS)
    ]
    assert wrong == []


@pytest.mark.parametrize("path", modules(*BASE), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_base_install_imports_nothing_of_the_server_part(path):
    wrong = [
        module
        for module, _ in imports(path, top_level_only=True)
        for banned in SERVER_ONLY
        if f"{module}.".startswith(f"{banned}.")
    ]
    assert wrong == []


def test_what_runs_in_applications_loads_no_server_part():
    """Also not by way of what it imports; instrumenting loads only what the base install has."""
    # openai itself brings pydantic, and OpenTelemetry's SDK loads psutil where it is installed.
    banned = sorted(SERVER_ONLY - {"pydantic", "psutil"})
    script = (
        "import sys, spanledger.instrumentation, spanledger.server.cli, spanledger.server.run\n"
        f"print([name for name in {banned!r} if name in sys.modules])\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=ROOT.anchor,
    )
    assert finished.stdout.strip() == "[]"


def test_every_room_is_packaged_with_all_of_its_folders():
    text = (ROOT / "pyproject.toml").read_text()
    folders = {
        path.parent.relative_to(ROOT) for path in modules(*(f"{room}/**/__init__.py" for room in ROOMS))
    }
    missing = [str(folder) for folder in folders if f'"spanledger.{".".join(folder.parts)}"' not in text]
    assert missing == []


def _printed(command: list[str]) -> str:
    finished = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, cwd=ROOT)
    return finished.stdout.strip()
