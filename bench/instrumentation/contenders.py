"""Who is measured, and the environment that each has to itself."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from bench.machine import ROOT

FOLDER = ROOT / ".bench"
# The same for all: what a call takes without an instrumentation depends on them.
_SAME = (
    "openai==3.54.0",
    "opentelemetry-api==1.45.1",
    "opentelemetry-sdk==1.45.1",
    "opentelemetry-instrumentation==0.66b1",
    "opentelemetry-semantic-conventions==0.66b1",
)
_LIST_PACKAGES = (
    "import json; from importlib.metadata import distributions; "
    "print(json.dumps({found.name.lower(): found.version for found in distributions()}))"
)
_GENAI = {"OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental"}
_CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_HIDDEN = {"OPENINFERENCE_HIDE_INPUTS": "true", "OPENINFERENCE_HIDE_OUTPUTS": "true"}


@dataclass(frozen=True)
class Contender:
    """One instrumentation: its title, package and pins, and how it is told to record content or not."""

    title: str
    package: str
    pins: tuple[str, ...] = ()
    variables: dict[str, dict[str, str]] = field(default_factory=dict)


OURS = "spanledger"
# OpenTelemetry's former openai-v2 is not here: it does not load beside the packages that are named above.
CONTENDERS = {
    OURS: Contender("spanledger", "spanledger"),
    "genai-openai": Contender(
        "OpenTelemetry genai-openai",
        "opentelemetry-instrumentation-genai-openai",
        ("opentelemetry-instrumentation-genai-openai==1.3b0", "opentelemetry-util-genai==1.3b0"),
        {"on": {**_GENAI, _CAPTURE: "SPAN_ONLY"}, "off": {**_GENAI, _CAPTURE: "NO_CONTENT"}},
    ),
    "traceloop": Contender(
        "Traceloop",
        "opentelemetry-instrumentation-openai",
        ("opentelemetry-instrumentation-openai==0.62.4",),
        {"on": {"TRACELOOP_TRACE_CONTENT": "true"}, "off": {"TRACELOOP_TRACE_CONTENT": "false"}},
    ),
    "openinference": Contender(
        "OpenInference",
        "openinference-instrumentation-openai",
        ("openinference-instrumentation-openai==0.1.66",),
        {"on": {}, "off": _HIDDEN},
    ),
    "logfire": Contender("Logfire", "logfire", ("logfire==5.2.0",)),
}


def environment(name: str) -> tuple[Path, str]:
    """The interpreter of a contender's environment, made where its pins are new; and its package's version.

    Ours is installed from this tree each time, without the server's packages.
    """
    contender = CONTENDERS[name]
    folder = FOLDER / name
    python = folder / "bin" / "python"
    pins = (*_SAME, *contender.pins)
    stamp, digest = folder / ".pins", hashlib.sha256("\n".join(pins).encode()).hexdigest()
    if not stamp.exists() or stamp.read_text() != digest:
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        _pip(python, *pins, *((_wheel(),) if name == OURS else ()))
        stamp.write_text(digest)
    elif name == OURS:
        _pip(python, "--force-reinstall", "--no-deps", _wheel())
    listed = subprocess.run([python, "-c", _LIST_PACKAGES], check=True, capture_output=True, text=True)
    return python, json.loads(listed.stdout)[contender.package]


def _wheel() -> str:
    target = FOLDER / "wheel"
    shutil.rmtree(target, ignore_errors=True)
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", target, ROOT]
    subprocess.run(command, check=True, capture_output=True)
    return str(next(target.glob("*.whl")))


def _pip(python: Path, *arguments: str) -> None:
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True, capture_output=True)
