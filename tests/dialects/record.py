"""Records golden files: `python -m tests.dialects.record [names...]`, all of them without names.

Each driver runs in an environment of its own under `.recording/`, against the provider of this folder, and
exports to a capture on loopback. Installing needs the package registries; recording itself stays on loopback.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.dialects import provider
from tests.dialects.expected import contradictions, expected
from tests.dialects.hand_made import HAND_MADE
from tests.dialects.neutral import neutral
from tests.dialects.table import DIALECTS, ENVIRONMENTS, Dialect
from tests.otlp_json_printer import otlp_json

Json = dict[str, Any]

_HERE = Path(__file__).parent
_ROOT = _HERE.parent.parent
_DRIVERS = _HERE / "drivers"
_GOLDEN = _HERE / "golden"
_RECORDING = _ROOT / ".recording"
_REQUESTS = {"traces": ExportTraceServiceRequest, "logs": ExportLogsServiceRequest}
_LIST_PACKAGES = (
    "import json; from importlib.metadata import distributions; "
    "print(json.dumps({found.name.lower(): found.version for found in distributions()}))"
)
_NOT_OF_THE_DIALECT = {"pip", "setuptools", "wheel"}


@dataclass
class Capture:
    """What came in at the address that stands for a backend, as OTLP/JSON."""

    traces: list[Json] = field(default_factory=list)
    logs: list[Json] = field(default_factory=list)

    def app(self) -> FastAPI:
        app = FastAPI(title="capture", openapi_url=None)

        @app.post("/{path:path}")
        async def take(path: str, request: Request) -> Response:
            body = await request.body()
            if request.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            kind = request.headers.get("content-type", "")
            signal = path.rpartition("/")[2]
            if signal in _REQUESTS:
                sent = json.loads(body) if "json" in kind else _printed(signal, body)
                getattr(self, signal).append(sent)
            empty = b"{}" if "json" in kind else b""
            return Response(empty, media_type=kind)

        return app


def _printed(signal: str, body: bytes) -> Json:
    return otlp_json(_REQUESTS[signal].FromString(body))


def main(names: list[str]) -> int:
    known = [*DIALECTS, *HAND_MADE]
    unknown = set(names) - set(known)
    if unknown:
        print(f"no such dialect: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
        return 2
    failures = 0
    for name in names or known:
        golden = HAND_MADE[name]() if name in HAND_MADE else record(name, DIALECTS[name])
        wrong = list(contradictions(golden))
        _write(name, golden)
        print(f"{name}: {golden['expected']['counted_calls']} calls, {len(wrong)} contradictions")
        for line in wrong:
            print(f"    {line}")
        failures += bool(wrong)
    return min(failures, 1)


def record(name: str, dialect: Dialect) -> Json:
    """One golden file: the driver is run, and what it sent and was billed is put together."""
    folder, packages, runtime = _environment(dialect.environment)
    ledger, capture = provider.Ledger(), Capture()
    with (
        provider.serving(provider.create_app(ledger)) as provider_url,
        provider.serving(capture.app()) as capture_url,
    ):
        _run(dialect, folder, provider_url, capture_url)
    return {
        "dialect": name,
        "hand_made": False,
        "packages": packages,
        **runtime,
        "requests": {"traces": neutral(capture.traces), "logs": neutral(capture.logs)},
        "billed": ledger.calls,
        "expected": expected(
            ledger.calls,
            not_sent=dialect.not_sent,
            unseen=dialect.unseen,
            conversation_id=provider.SCENARIO["conversation_id"],
            user_id=provider.SCENARIO["user_id"],
            error_type=dialect.error_type,
        ),
    }


def _run(dialect: Dialect, folder: Path, provider_url: str, capture_url: str) -> None:
    script = _DRIVERS / dialect.driver
    if script.suffix == ".mjs":
        # Node looks for packages beside the script.
        script = shutil.copy(script, folder / script.name)
        program = shutil.which("node") or "node"
    else:
        program = str(folder / "bin" / "python")
    home = _RECORDING / "home"
    home.mkdir(exist_ok=True)
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "NO_PROXY": "127.0.0.1",
        "GIT_CEILING_DIRECTORIES": str(_RECORDING),  # no driver is to find this project's commit
        "SCENARIO": str(_HERE / "scenario.json"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONWARNINGS": "ignore",
        "OPENAI_API_KEY": "sk-recording",
        "OPENAI_BASE_URL": f"{provider_url}/v1",
        "ANTHROPIC_API_KEY": "sk-recording",
        "ANTHROPIC_BASE_URL": provider_url,
        "GOOGLE_API_KEY": "recording",
        "GOOGLE_GEMINI_BASE_URL": provider_url,
        "MISTRAL_API_KEY": "recording",
        "MISTRAL_SERVER_URL": f"{provider_url}/mistral_ai",
        "LANGFUSE_PUBLIC_KEY": "pk-recording",
        "LANGFUSE_SECRET_KEY": "sk-recording",
        "LANGFUSE_BASE_URL": capture_url,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "OTEL_SERVICE_NAME": "harbour",
        "OTEL_EXPORTER_OTLP_ENDPOINT": capture_url,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        **dialect.variables,
    }
    command = [program, str(script), *dialect.arguments]
    subprocess.run(command, env=variables, cwd=folder, check=True, timeout=120)


def _environment(name: str) -> tuple[Path, dict[str, str], dict[str, str]]:
    """The folder of an environment, made when its pins changed; what is installed; the runtime's version."""
    locked = _DRIVERS / name / "package-lock.json"
    pins = locked.read_text() if locked.exists() else "\n".join(ENVIRONMENTS[name])
    folder = _RECORDING / name
    stamp, digest = folder / ".pins", hashlib.sha256(pins.encode()).hexdigest()
    if not stamp.exists() or stamp.read_text() != digest:
        print(f"{name}: installing")
        shutil.rmtree(folder, ignore_errors=True)
        _install_node(folder, locked.parent) if locked.exists() else _install_python(folder, name)
        stamp.write_text(digest)
    if locked.exists():
        return folder, _node_packages(locked), {"node": _output(["node", "--version"]).lstrip("v")}
    python = str(folder / "bin" / "python")
    packages = json.loads(_output([python, "-c", _LIST_PACKAGES]))
    version = _output([python, "-c", "import platform; print(platform.python_version())"])
    kept = {name: packages[name] for name in sorted(packages.keys() - _NOT_OF_THE_DIALECT)}
    return folder, kept, {"python": version}


def _install_python(folder: Path, name: str) -> None:
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, *ENVIRONMENTS[name]], check=True)


def _install_node(folder: Path, sources: Path) -> None:
    folder.mkdir(parents=True)
    for file in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(sources / file, folder / file)
    subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"], cwd=folder, check=True)


def _node_packages(locked: Path) -> dict[str, str]:
    listed = json.loads(locked.read_text())["packages"]
    return {path.removeprefix("node_modules/"): found["version"] for path, found in listed.items() if path}


def _output(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _write(name: str, golden: Json) -> None:
    _GOLDEN.mkdir(exist_ok=True)
    (_GOLDEN / f"{name}.json").write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.dialects.record", description=__doc__)
    parser.add_argument("names", nargs="*", help="dialects to record; all when none is named")
    sys.exit(main(parser.parse_args().names))
