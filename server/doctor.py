"""`spanledger doctor`: looks at everything that a ledger needs, says what it found and what to do."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from rich.console import Console
from rich.text import Text

from spanledger.schemas.settings import Settings
from spanledger.server.checks.configuration import check_exposure, check_limits, check_variables
from spanledger.server.checks.contents import check_contents
from spanledger.server.checks.database import check_database
from spanledger.server.checks.finding import Finding, Level, worst
from spanledger.server.checks.installation import check_installation
from spanledger.server.checks.ports import check_ports
from spanledger.server.checks.senders import check_senders

_LOOKS: dict[Level, tuple[str, str]] = {
    "ok": ("ok", "green"),
    "warning": ("warning", "yellow"),
    "problem": ("problem", "bold red"),
}
# What needs nothing but the settings; a check of certificates belongs here.
_OF_SETTINGS: tuple[Callable[[Settings], list[Finding]], ...] = (check_exposure, check_limits)


def doctor(flags: dict[str, Any], *, as_json: bool) -> int:
    """Run every check and print what was found; 1 where there is a problem, else 0."""
    # What the libraries have to say of a database that is away, the checks say themselves.
    logging.getLogger().addHandler(logging.NullHandler())
    findings = examine(flags)
    if as_json:
        document = {
            "version": version("spanledger"),
            "level": worst(findings),
            "checks": [asdict(finding) for finding in findings],
        }
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    else:
        _print(findings)
    return 1 if worst(findings) == "problem" else 0


def examine(flags: dict[str, Any]) -> list[Finding]:
    """Every finding, in the order in which one explains the next. Nothing is changed by looking."""
    findings = check_installation()
    settings, of_variables = check_variables(flags)
    findings += of_variables
    if settings is None:
        return findings
    for check in _OF_SETTINGS:
        findings += check(settings)
    ports = check_ports(settings)
    findings += ports.findings
    database = check_database(settings, ports)
    findings += database.findings
    if database.state:
        findings += check_contents(database.state, running=ports.answers)
    if ports.answers:
        findings += check_senders(settings)
    return findings


def _print(findings: Iterable[Finding]) -> None:
    console = Console()
    for finding in findings:
        name, style = _LOOKS[finding.level]
        line = Text(f"{name:8}", style).append(f"{finding.check:12}", "bold").append(finding.found, "default")
        if finding.advice:
            line.append(f" → {finding.advice}", "italic")
        # One line each, however long: a terminal wraps it, a pipe gets it whole.
        console.print(line, soft_wrap=True)
    counts = {level: sum(finding.level == level for finding in findings) for level in _LOOKS}
    console.print(", ".join(f"{count} {_LOOKS[level][0]}" for level, count in counts.items()), style="dim")
