"""Python and the packages: whether what is installed is what is required."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement

from spanledger.server.checks.finding import Finding, ok, problem

_TOLD = ("spanledger", "chdb", "clickhouse-connect", "grpcio", "protobuf", "fastapi", "genai-prices")
_OLDEST_PYTHON = (3, 11)


def check_installation() -> list[Finding]:
    """One line for Python, one for the packages or one for each that does not fit."""
    return [_python(), *_packages()]


def _python() -> Finding:
    found = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.version_info < _OLDEST_PYTHON:
        return problem("python", found, "install Python 3.11 or newer")
    return ok("python", found)


def _packages() -> list[Finding]:
    wrong = [
        problem("packages", f"{what}; spanledger needs {requirement}", "pip install 'spanledger[server]'")
        for requirement in _required()
        if (what := _wrong_with(requirement))
    ]
    return wrong or [ok("packages", ", ".join(f"{name} {version(name)}" for name in _TOLD))]


def _required() -> Iterator[Requirement]:
    for text in requires("spanledger") or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": "server"}):
            # The marker only says for which extra.
            requirement.marker = None
            yield requirement


def _wrong_with(requirement: Requirement) -> str:
    try:
        installed = version(requirement.name)
    except PackageNotFoundError:
        return f"{requirement.name} is not installed"
    fits = requirement.specifier.contains(installed, prereleases=True)
    return "" if fits else f"{requirement.name} is {installed}"
