"""What a user installs: a wheel into an environment of their own, the base part and the server part."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from processes import clean_environment, running_ledger

from spanledger.server import stub_provider

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SERVER_ONLY = {
    "chdb",
    "chdb-core",
    "clickhouse-connect",
    "fastapi",
    "uvicorn",
    "prometheus-client",
    "psutil",
    "structlog",
}
APP = """
from openai import OpenAI
OpenAI().chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "hello"}])
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The distribution, built by way of a source distribution, as a release is."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def base_install(wheel, tmp_path_factory) -> Path:
    """The `bin` of an environment with the wheel, without extras, and the user's own openai."""
    folder = tmp_path_factory.mktemp("base")
    venv.create(folder, with_pip=True)
    run(folder / "bin/python", "-m", "pip", "install", "--quiet", wheel, "openai>=1.54,<4")
    return folder / "bin"


def run(*command: object, **options) -> str:
    finished = subprocess.run(
        [str(word) for word in command],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
        env=clean_environment() | options.pop("env", {}),
        **options,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def test_the_base_install_brings_nothing_of_the_server(base_install):
    listed = json.loads(run(base_install / "python", "-m", "pip", "list", "--format", "json"))
    names = {package["name"].lower().replace("_", "-") for package in listed}
    assert "spanledger" in names
    assert not names & SERVER_ONLY


def test_the_base_install_records_an_application(base_install, tmp_path):
    """`spanledger run` from there, elsewhere on the disk, into a ledger that is another installation."""
    app = tmp_path / "app.py"
    app.write_text(APP)
    database = f"chdb://{tmp_path / 'database'}"
    with stub_provider.running() as stub, running_ledger(tmp_path, database) as ledger:
        run(
            base_install / "spanledger",
            *(
                "run",
                "--endpoint",
                ledger.otlp,
                "--service-name",
                "theirs",
                "--",
                base_install / "python",
                app,
            ),
            cwd=tmp_path,
            env={"OPENAI_BASE_URL": stub.base_url, "OPENAI_API_KEY": "stub"},
        )
        (trace,) = ledger.get("/api/v1/traces")["traces"]
        (call,) = stub.calls()
    assert (trace["service"], trace["llm_call_count"]) == ("theirs", 1)
    assert trace["input_tokens"] == call["usage"]["prompt_tokens"]
    assert trace["cost_usd"] is not None


def test_the_base_install_says_what_a_server_command_needs(base_install):
    finished = subprocess.run(
        [base_install / "spanledger", "serve"], check=False, capture_output=True, text=True, timeout=60
    )
    assert finished.returncode == 2
    assert "pip install 'spanledger[server]'" in finished.stderr


def test_the_wheel_holds_the_files_that_are_no_python(wheel):
    """Migrations and the type marker are found by the installed package, not by the clone."""
    names = set(zipfile.ZipFile(wheel).namelist())
    migrations = {
        f"spanledger/schemas/migrations/{path.name}" for path in (ROOT / "schemas/migrations").glob("*.sql")
    }
    assert migrations
    assert names >= migrations | {"spanledger/schemas/py.typed"}
    assert not any(name.startswith(("tests/", "bench/", "schemas/")) for name in names)
