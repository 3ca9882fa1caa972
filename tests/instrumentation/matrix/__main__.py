"""Tries the instrumentation with older versions of the OpenAI SDK: `make matrix`, or with VERSIONS="...".

Each version gets an environment of its own under `.matrix/`, with this project's base install, and runs
`openai_smoke.py` there against the stub of the provider's API, which stays in this process. Installing needs
the package registries; the calls stay on loopback. docs/instrumentation/openai.md says what passed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tests.instrumentation.stubs import openai as stub

_HERE = Path(__file__).parent
_ROOT = _HERE.parent.parent.parent
ENVIRONMENTS = _ROOT / ".matrix"


class Version(NamedTuple):
    """A version of the SDK, with what else is pinned."""

    number: str
    pins: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return " ".join((self.number, *self.pins))


# httpx 0.28 took an argument away that the SDK before 1.55.3 still passed.
_OLD_HTTPX = ("httpx<0.28",)
# From two years back to today, and both major versions of wrapt.
VERSIONS = (
    Version("1.54.5", _OLD_HTTPX),
    Version("1.57.4"),
    Version("1.59.9"),
    Version("1.66.5"),
    Version("1.78.1"),
    Version("1.93.3"),
    Version("1.107.3"),
    Version("1.109.1", ("wrapt<2",)),
    Version("2.0.1"),
    Version("2.8.1"),
    Version("2.20.0"),
    Version("2.35.1"),
    Version("2.54.0"),
    Version("3.0.0"),
    Version("3.20.0"),
    Version("3.40.0"),
    Version("3.54.0"),
    Version("3.54.0", ("wrapt<2",)),
)


def main(wanted: list[str]) -> int:
    versions = [version for version in VERSIONS if not wanted or version.number in wanted]
    if not versions:
        print(f"no such version; there are {', '.join(version.number for version in VERSIONS)}")
        return 2
    wheel = built_wheel("openai")
    failures = 0
    with stub.running() as provider:
        for version in versions:
            outcome = _try(version, wheel, provider.base_url)
            passed = [check for check, problem in outcome.items() if problem is None]
            failures += len(outcome) != len(passed) or not outcome
            problems = "; ".join(f"{check}: {problem}" for check, problem in outcome.items() if problem)
            print(f"{version.name}: {len(passed)} of {len(outcome)} passed; {problems}", flush=True)
    return min(failures, 1)


def built_wheel(name: str) -> Path:
    """The project as it is now, built once for all environments of this name."""
    target = ENVIRONMENTS / "wheels" / name
    shutil.rmtree(target, ignore_errors=True)
    command = [sys.executable, "-m", "build", "--outdir", target, _ROOT]
    subprocess.run(command, check=True, capture_output=True)
    return next(target.glob("*.whl"))


def _try(version: Version, wheel: Path, base_url: str) -> dict[str, str | None]:
    """Of each check of the smoke test: None where it passed, otherwise what was wrong."""
    folder = ENVIRONMENTS / version.name.replace(" ", "-").replace("<", "-below-")
    python = folder / "bin" / "python"
    try:
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip(python, "install", "--force-reinstall", "--no-deps", str(wheel))
        pip(python, "install", str(wheel), f"openai=={version.number}", *version.pins)
    except subprocess.CalledProcessError as problem:
        return {"install": str(problem.stderr or problem)[-200:].replace("\n", " ")}
    variables = {
        "PATH": os.environ["PATH"],
        "OPENAI_BASE_URL": base_url,
        "OPENAI_API_KEY": "sk-matrix",
        "NO_PROXY": "*",
    }
    ran = subprocess.run(
        [python, "-W", "error::UserWarning", _HERE / "openai_smoke.py"],
        env=variables,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if ran.returncode:
        return {"run": ran.stderr.strip().splitlines()[-1][:200]}
    outcome: dict[str, str | None] = json.loads(ran.stdout)
    return outcome


def pip(python: Path, *arguments: str) -> None:
    command = [str(python), "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check"]
    subprocess.run(command, check=True, capture_output=True, text=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
